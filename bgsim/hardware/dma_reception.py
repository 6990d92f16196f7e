"""The reception side of the DMA engine: packets from the torus into memory.

Memory-FIFO packets go into a ring that software drains; when it is full the packet is refused and the torus
holds it. Data of direct puts is counted off a reception counter. The descriptors of a remote get are put
into an injection FIFO of this node.
"""

from __future__ import annotations

from collections.abc import Callable

from simpy import Environment

from bgsim.datasheet import Datasheet
from bgsim.hardware.dma_counters import CounterFile
from bgsim.hardware.dma_descriptor import Descriptor, DmaPacket, Transfer
from bgsim.hardware.dma_fifo import Fifo
from bgsim.hardware.dma_injection import DmaError, InjectionUnit
from bgsim.hardware.dma_registers import DESCRIPTOR_BYTES, GROUPS, RECEPTION_FIFOS
from bgsim.hardware.memory import Memory
from bgsim.network.callout import call_after
from bgsim.network.links import Packet
from bgsim.network.topology import Direction

DIRECT_PUT, MEMORY_FIFO = Transfer.DIRECT_PUT, Transfer.MEMORY_FIFO
LOCAL_PORT = 7
"""Where packets of a local copy come from, after the six directions and the high-priority port."""


class ReceptionUnit:
    """32 reception FIFOs, the direct puts and the remote gets.

    Parameters
    ----------
    environment
        Simulation environment in core cycles.
    memory
        Physical memory.
    counters
        Reception counters.
    injection
        Where remote gets go.
    datasheet
        The machine.
    fifo_for
        Gives the reception FIFO for a reception group and a port.
    is_enabled
        Tells whether a reception FIFO is enabled.
    on_fifo_packet
        Called with a FIFO that has got a packet.
    """

    def __init__(
        self,
        environment: Environment,
        memory: Memory,
        counters: CounterFile,
        injection: InjectionUnit,
        datasheet: Datasheet,
        *,
        fifo_for: Callable[[int, int], int],
        is_enabled: Callable[[int], bool],
        on_fifo_packet: Callable[[Fifo], None],
    ) -> None:
        count = GROUPS * RECEPTION_FIFOS
        self.fifos = [Fifo(index) for index in range(count)]
        self.header_fifos = [Fifo(index) for index in range(GROUPS)]
        self.refused = False
        self._environment = environment
        self._memory = memory
        self._counters = counters
        self._injection = injection
        self._fifo_for = fifo_for
        self._is_enabled = is_enabled
        self._on_fifo_packet = on_fifo_packet
        self._chunk_pointers = datasheet.integer("torus.packet_chunk") >> 4
        self._write_latency = datasheet.cycles("cache.l3_latency")
        self._packet_interval = datasheet.cycles("dma.packet_interval")
        self._free_at = 0
        # Room promised to packets that are on their way to memory, in units of 16 bytes.
        self._promised = [0] * count
        self._promised_injection: dict[int, int] = {}

    def on_packet(self, packet: Packet) -> bool:
        """Take a packet from the torus, or refuse it for want of room."""
        content = packet.content
        if not isinstance(content, DmaPacket):
            raise DmaError(f"a packet of node {packet.source} was not sent by a DMA engine")
        if content.descriptor.transfer is DIRECT_PUT:
            self._later(self._write_put, content)
            return True
        port = packet.arrival_link
        assert isinstance(port, Direction), "torus links are named by their directions"
        return self.receive(content, port)

    def receive(self, packet: DmaPacket, port: int) -> bool:
        """Take a packet, or refuse it for want of room.

        Parameters
        ----------
        packet
            The packet.
        port
            Direction it travelled in, or `LOCAL_PORT`.
        """
        descriptor = packet.descriptor
        transfer = descriptor.transfer
        if transfer is DIRECT_PUT:
            self._later(self._write_put, packet)
        elif transfer is MEMORY_FIFO:
            index = self._fifo_for(descriptor.reception_group, port)
            fifo, size = self.fifos[index], packet.chunks * self._chunk_pointers
            if not self._is_enabled(index) or fifo.used + self._promised[index] + size >= fifo.size:
                self.refused = True
                return False
            self._promised[index] += size
            self._later(self._write_fifo, fifo, packet, size)
        else:
            target = self._injection.fifos[descriptor.remote_fifo]
            size = packet.payload_bytes >> 4
            promised = self._promised_injection.get(target.index, 0)
            if target.used + promised + size >= target.size:
                self.refused = True
                return False
            self._promised_injection[target.index] = promised + size
            self._later(self._write_descriptors, target, packet, size)
        return True

    def _later(self, write: Callable[..., None], *args: object) -> None:
        """Write to memory when the unit's turn has come and the memory has answered."""
        environment = self._environment
        now = int(environment.now)
        start = self._free_at if self._free_at > now else now
        self._free_at = start + self._packet_interval
        call_after(environment, start - now + self._write_latency, write, *args)

    def _write_fifo(self, fifo: Fifo, packet: DmaPacket, size: int) -> None:
        self._promised[fifo.index] -= size
        self._memory.write(fifo.tail << 4, packet)
        fifo.tail = fifo.advance(fifo.tail, size)
        self._on_fifo_packet(fifo)

    def _write_descriptors(self, target: Fifo, packet: DmaPacket, size: int) -> None:
        self._promised_injection[target.index] -= size
        descriptors = packet.descriptor.payload
        if not isinstance(descriptors, tuple) or not all(
            isinstance(each, Descriptor) for each in descriptors
        ):
            raise DmaError("the message of a remote get is a tuple of descriptors")
        if packet.descriptor.length != DESCRIPTOR_BYTES * len(descriptors):
            raise DmaError(
                f"a remote get of {len(descriptors)} descriptors is not {packet.descriptor.length} bytes"
            )
        first = packet.offset // DESCRIPTOR_BYTES
        self._injection.append(
            target.index, descriptors[first : first + packet.payload_bytes // DESCRIPTOR_BYTES]
        )

    def _write_put(self, packet: DmaPacket) -> None:
        descriptor = packet.descriptor
        counter = descriptor.reception_counter
        if not self._counters.enabled(counter):
            raise DmaError(f"reception counter {counter} is used while it is disabled")
        if descriptor.payload is not None and packet.last:
            self._memory.write((self._counters.base[counter] << 4) + descriptor.offset, descriptor.payload)
        self._counters.decrement(counter, packet.payload_bytes)
