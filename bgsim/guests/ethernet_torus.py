"""The Ethernet driver over the torus: one descriptor per frame, fragments out of a reception FIFO.

Sending puts a 16-byte link header before the frame and one 32-byte descriptor into the ring; two
register stores tell the engine. When all that was sent has been injected the counter reaches zero
and its interrupt frees the buffers. Receiving drains the FIFO into socket buffers: the handler makes
six accesses whatever the number of fragments.

Source: Kittyhawk Linux ``torus.c`` and ``bgnet.c``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from typing import Any

from bgsim.datasheet import Datasheet
from bgsim.guests.ethernet import Counted, Frame, enable_interrupt
from bgsim.guests.network_paths import NetworkPaths
from bgsim.hardware import dma_registers as reg
from bgsim.hardware.dma_descriptor import Descriptor, DmaPacket, Transfer
from bgsim.hardware.dma_registers import CounterControl, CounterRegister, Dcr, FifoRegister, Register
from bgsim.platforms.seam import (
    Code,
    Load,
    ReadDcr,
    ReadMemory,
    Request,
    SetInterrupts,
    Store,
    WriteDcr,
    WriteMemory,
)

GROUP = reg.KERNEL_GROUP
COUNTER = reg.KERNEL_COUNTER
TRANSMIT_RING = 0x0C0_0000
RECEIVE_RING = 0x0C1_0000
"""Guest-physical addresses of the rings, in the MiB of its socket buffers."""

_DESCRIPTOR = reg.DESCRIPTOR_BYTES >> 4
_SLOT = reg.PACKET_SLOT_BYTES >> 4
SENT_INTERRUPT = int(reg.Interrupt.INJECTION_COUNTER_ZERO)
RECEIVED_INTERRUPT = int(reg.Interrupt.RECEPTION_FIFO_THRESHOLD)


def _register(offset: int) -> int:
    return reg.group_address(GROUP, offset)


_INJECTION = {each: _register(reg.injection_fifo(reg.KERNEL_INJECTION_FIFO, each)) for each in FifoRegister}
_RECEPTION = {each: _register(reg.reception_fifo(reg.KERNEL_RECEPTION_FIFO, each)) for each in FifoRegister}
_CONTROL = Register.INJECTION_COUNTER_CONTROL


class TorusEthernet(Counted):
    """The torus part of the driver on one node.

    Attributes
    ----------
    interrupts
        Interrupts it handles.
    """

    interrupts = (SENT_INTERRUPT, RECEIVED_INTERRUPT)

    def __init__(self, datasheet: Datasheet, paths: NetworkPaths) -> None:
        super().__init__(datasheet, paths)
        self._datasheet = datasheet
        self._coalesced = 1
        self._transmit_entries = datasheet.integer("guest.bgnet.transmit_ring")
        self._receive_entries = datasheet.integer("guest.bgnet.receive_ring")
        self._tail = 0
        self._head = 0
        self._in_ring: deque[Frame] = deque()
        self._pending = 0  # ring slot of the oldest buffer not yet freed
        self._partial: dict[int, tuple[Descriptor, int]] = {}  # by identity of the message's descriptor

    def initialise(self) -> Code:
        """Point the FIFOs at the rings, enable counter, FIFOs and interrupts."""
        word, mask = COUNTER // 32, reg.bit(COUNTER)
        yield Store(_register(_CONTROL + CounterControl.ENABLE + 4 * word), mask)
        yield Store(_register(reg.injection_counter(COUNTER, CounterRegister.VALUE)), 0)
        yield Store(_register(reg.injection_counter(COUNTER, CounterRegister.BASE)), 0)
        yield Store(_register(_CONTROL + CounterControl.HIT_ZERO_CLEAR + 4 * word), mask)
        for registers, base, units in (
            (_INJECTION, TRANSMIT_RING, self._transmit_entries * _DESCRIPTOR),
            (_RECEPTION, RECEIVE_RING, self._receive_entries * _SLOT),
        ):
            yield Store(registers[FifoRegister.START], base >> 4)
            yield Store(registers[FifoRegister.END], (base >> 4) + units)
            yield Store(registers[FifoRegister.HEAD], base >> 4)
            yield Store(registers[FifoRegister.TAIL], base >> 4)
        for half in range(2):
            fifo = GROUP * reg.RECEPTION_FIFOS + reg.KERNEL_RECEPTION_FIFO
            yield WriteDcr(reg.DCR_BASE + Dcr.RECEPTION_FIFO_MAP + 2 * GROUP + half, fifo * 0x0101_0101)
        yield from _set_bits(Dcr.INJECTION_COUNTER_INTERRUPT, reg.counter_interrupt_bit(GROUP, COUNTER))
        self._coalesced = self._datasheet.integer("guest.torus_coalesce_packets")
        threshold = (self._receive_entries - self._coalesced) * _SLOT
        yield WriteDcr(reg.DCR_BASE + Dcr.RECEPTION_THRESHOLD, threshold)
        fifo_bit = reg.bit(GROUP * reg.RECEPTION_FIFOS + reg.KERNEL_RECEPTION_FIFO)
        yield from _set_bits(Dcr.RECEPTION_FIFO_INTERRUPT, fifo_bit)
        yield from _set_bits(Dcr.INJECTION_FIFO_ENABLE + GROUP, reg.bit(reg.KERNEL_INJECTION_FIFO))
        yield Store(_register(Register.INJECTION_ACTIVATE), reg.bit(reg.KERNEL_INJECTION_FIFO))
        yield from _set_bits(Dcr.RECEPTION_FIFO_ENABLE, fifo_bit)
        for number in self.interrupts:
            yield from enable_interrupt(number)

    def transmit(self, frame: Frame) -> Generator[Request, Any, bool]:
        """Send a frame: one descriptor, two register stores."""
        yield self.paths.work(self.paths.torus_send)
        yield self.paths.lock()
        yield SetInterrupts(False)
        after = (self._tail + 1) % self._transmit_entries
        room = after != self._pending
        if room:
            descriptor = Descriptor(
                transfer=Transfer.MEMORY_FIFO,
                destination=frame.destination,
                length=self.link_header + self.ethernet_header + frame.ip_bytes,
                injection_counter=GROUP * reg.COUNTERS + COUNTER,
                reception_group=GROUP,
                payload=frame,
            )
            yield WriteMemory(TRANSMIT_RING + self._tail * reg.DESCRIPTOR_BYTES, descriptor)
            self._tail = after
            self._in_ring.append(frame)
            self._sent(frame)
            yield Store(
                _register(reg.injection_counter(COUNTER, CounterRegister.INCREMENT)), descriptor.length
            )
            yield Store(_INJECTION[FifoRegister.TAIL], (TRANSMIT_RING >> 4) + after * _DESCRIPTOR)
        else:
            self.frames_dropped += 1
            self.on_sent(frame)
        yield SetInterrupts(True)
        return room

    def interrupt(self, number: int) -> Code:
        """Counter at zero, or fragments in the reception FIFO."""
        if number == SENT_INTERRUPT:
            yield from self._sent_interrupt()
        else:
            yield from self._received_interrupt()

    def gather(self) -> Code:
        """Fetch fragments too few for the threshold, if the driver asks for interrupts of several."""
        if self._coalesced > 1:
            yield from self._received_interrupt()

    def _sent_interrupt(self) -> Code:
        for word in range(2):
            hit = yield Load(_register(_CONTROL + CounterControl.HIT_ZERO + 4 * word))
            if hit:
                head = yield Load(_INJECTION[FifoRegister.HEAD])
                done = (head - (TRANSMIT_RING >> 4)) // _DESCRIPTOR
                freed = 0
                while self._pending != done:
                    self._pending = (self._pending + 1) % self._transmit_entries
                    freed += 1
                    self.on_sent(self._in_ring.popleft())
                yield self.paths.work(freed * self.paths.frame // 2)
            yield Store(_register(_CONTROL + CounterControl.HIT_ZERO_CLEAR + 4 * word), hit)

    def _received_interrupt(self) -> Code:
        for word in range(2):
            yield Store(_register(Register.RECEPTION_THRESHOLD_CLEAR + 4 * word), 0xFFFF_FFFF)
            waiting = yield Load(_register(Register.RECEPTION_NOT_EMPTY + 4 * word))
            if waiting:
                yield from self._drain()

    def _drain(self) -> Code:
        tail = yield Load(_RECEPTION[FifoRegister.TAIL])
        end = (tail - (RECEIVE_RING >> 4)) // _SLOT
        while self._head != end:
            frames: list[Frame] = []
            fragments = 0
            while self._head != end and not frames:
                packet = yield ReadMemory(RECEIVE_RING + self._head * reg.PACKET_SLOT_BYTES)
                assert isinstance(packet, DmaPacket), f"slot {self._head} holds no packet"
                self._head = (self._head + 1) % self._receive_entries
                fragments += 1
                frames += self._take(packet)
            instructions = fragments * self.paths.torus_fragment + len(frames) * self.paths.frame
            yield self.paths.work(instructions)
            for frame in frames:
                self._received(frame)
        yield Store(_RECEPTION[FifoRegister.HEAD], (RECEIVE_RING >> 4) + end * _SLOT)

    def _take(self, packet: DmaPacket) -> list[Frame]:
        """The frame a fragment completes, if it does."""
        descriptor = packet.descriptor
        _, got = self._partial.pop(id(descriptor), (descriptor, 0))
        got += packet.payload_bytes
        assert got <= descriptor.length, "more fragments than the frame has"
        if got < descriptor.length:
            self._partial[id(descriptor)] = (descriptor, got)
            return []
        assert isinstance(descriptor.payload, Frame)
        return [descriptor.payload]


def _set_bits(offset: int, bits: int) -> Code:
    number = reg.DCR_BASE + offset
    word = yield ReadDcr(number)
    yield WriteDcr(number, word | bits)
