"""The injection side of the DMA engine: descriptors in, packets out.

For each injection FIFO that has work, the engine reads the descriptor from memory, then the message, cuts
it into packets and puts them into the torus injection FIFOs, taking turns between FIFOs packet by packet. A
counter counts down by each packet's bytes as it enters the torus FIFO; the head pointer moves on when the
last one has.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from simpy import Environment

from bgsim.datasheet import Datasheet
from bgsim.hardware.dma_counters import CounterFile
from bgsim.hardware.dma_descriptor import Descriptor, DmaPacket
from bgsim.hardware.dma_fifo import Fifo
from bgsim.hardware.dma_registers import DESCRIPTOR_BYTES, GROUPS, INJECTION_FIFOS
from bgsim.hardware.memory import Memory
from bgsim.hardware.torus_port import TorusPort
from bgsim.network.callout import call_after
from bgsim.network.links import Packet


class DmaError(RuntimeError):
    """Software asked for what the hardware answers with a fatal error."""


@dataclass(slots=True, eq=False)
class _Message:
    """A message being injected."""

    fifo: Fifo
    descriptor: Descriptor
    chunks: int
    packet_payload_bytes: int
    packet_link_bytes: int
    offset: int = 0


class InjectionUnit:
    """128 injection FIFOs sharing one path to the torus.

    Parameters
    ----------
    environment
        Simulation environment in core cycles.
    port
        The node's torus injection FIFOs.
    memory
        Physical memory holding the descriptors.
    counters
        Injection counters.
    datasheet
        The machine.
    is_enabled
        Tells whether a FIFO is enabled and activated.
    on_local
        Called with each packet of a local copy.
    on_descriptor_done
        Called with a FIFO whose head pointer has moved on.

    Attributes
    ----------
    fifos
        The injection FIFOs.
    network_fifos
        Which torus FIFOs each may use, as an eight-bit mask whose leftmost bit is FIFO 0.
    messages, packets
        How many were sent so far.
    """

    def __init__(
        self,
        environment: Environment,
        port: TorusPort,
        memory: Memory,
        counters: CounterFile,
        datasheet: Datasheet,
        *,
        is_enabled: Callable[[int], bool],
        on_local: Callable[[DmaPacket], None],
        on_descriptor_done: Callable[[Fifo], None],
    ) -> None:
        self.fifos = [Fifo(index) for index in range(GROUPS * INJECTION_FIFOS)]
        self.network_fifos = [0x80] * len(self.fifos)
        self.messages = 0
        self.packets = 0
        self._environment = environment
        self._port = port
        self._memory = memory
        self._counters = counters
        self._is_enabled = is_enabled
        self._on_local = on_local
        self._on_descriptor_done = on_descriptor_done
        self._format = port.network.format
        self._descriptor_latency = datasheet.cycles("cache.l3_latency")
        self._payload_latency = datasheet.cycles("memory.latency")
        self._packet_interval = datasheet.cycles("dma.packet_interval")
        self._busy: set[int] = set()
        self._ready: deque[_Message] = deque()
        self._free_at = 0
        self._pump_scheduled = False
        port.on_space = self._pump

    def kick(self, index: int) -> None:
        """Start on a FIFO if it has work, is enabled, and is not being worked on."""
        fifo = self.fifos[index]
        if index in self._busy or fifo.head == fifo.tail or not self._is_enabled(index):
            return
        self._busy.add(index)
        call_after(self._environment, self._descriptor_latency, self._descriptor_read, fifo)

    def append(self, index: int, descriptors: tuple[Descriptor, ...]) -> None:
        """Put descriptors that arrived by remote get at the tail of a FIFO, and start on them."""
        fifo = self.fifos[index]
        for descriptor in descriptors:
            self._memory.write(fifo.tail << 4, descriptor)
            fifo.tail = fifo.advance(fifo.tail, DESCRIPTOR_BYTES >> 4)
        self.kick(index)

    def _descriptor_read(self, fifo: Fifo) -> None:
        descriptor = self._memory.read(fifo.head << 4)
        if not isinstance(descriptor, Descriptor):
            raise DmaError(
                f"injection FIFO {fifo.index}: no descriptor at {fifo.head << 4:#x}, where its head points"
            )
        if not self._counters.enabled(descriptor.injection_counter):
            raise DmaError(f"injection counter {descriptor.injection_counter} is used while it is disabled")
        chunks = (
            self._format.chunks_max if descriptor.full_packets else self._format.chunks(descriptor.length)
        )
        payload = chunks * self._format.chunk_bytes - self._format.header_bytes
        message = _Message(fifo, descriptor, chunks, payload, self._format.link_bytes(chunks))
        self.messages += 1
        call_after(self._environment, self._payload_latency, self._payload_read, message)

    def _payload_read(self, message: _Message) -> None:
        self._ready.append(message)
        self._pump()

    def _pump(self) -> None:
        """Inject the next packet of the next message that can, if the unit is free.

        A message without room keeps its turn: it goes before those that were behind it, once it has room.
        """
        now = int(self._environment.now)
        if now >= self._free_at:  # otherwise the unit is still busy with the packet before
            for turn, message in enumerate(self._ready):
                if self._can_inject(message):
                    del self._ready[turn]
                    self._free_at = now + self._packet_interval
                    self._inject(message, now)
                    break
            else:
                return  # nothing to do, or all wait for room in the torus FIFOs, which calls back
        if not self._pump_scheduled:
            for message in self._ready:
                if self._can_inject(message):
                    self._pump_scheduled = True
                    call_after(self._environment, self._free_at - now, self._scheduled_pump)
                    break

    def _scheduled_pump(self) -> None:
        self._pump_scheduled = False
        self._pump()

    def _can_inject(self, message: _Message) -> bool:
        return message.descriptor.local or self._port.has_room(self.network_fifos[message.fifo.index])

    def _inject(self, message: _Message, now: int) -> None:
        """Inject a packet for which there is room."""
        descriptor = message.descriptor
        network_fifo = None
        if not descriptor.local:
            network_fifo = self._port.fifo_with_room(self.network_fifos[message.fifo.index])
            assert network_fifo is not None, "somebody looked whether there is room"
        offset = message.offset
        size = min(message.packet_payload_bytes, descriptor.length - offset)
        content = DmaPacket(descriptor, self._port.node, offset, size, message.chunks)
        message.offset = offset = offset + size
        self.packets += 1
        if offset == descriptor.length:
            self._finish(message)
        else:
            self._ready.append(message)
        if network_fifo is None:
            self._on_local(content)
        else:
            packet = Packet(
                self._port.node,
                descriptor.destination,
                message.packet_link_bytes,
                content,
                descriptor.dynamic,
                descriptor.channel,
            )
            # A packet that can leave at once calls back for more while this one is being injected.
            self._port.send(network_fifo, packet)
        self._counters.decrement(descriptor.injection_counter, size)

    def _finish(self, message: _Message) -> None:
        fifo = message.fifo
        fifo.head = fifo.advance(fifo.head, DESCRIPTOR_BYTES >> 4)
        self._busy.discard(fifo.index)
        self._on_descriptor_done(fifo)
        self.kick(fifo.index)
