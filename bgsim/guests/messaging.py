"""A user-level messaging library like DCMF on the torus DMA engine: put, get, eager and rendezvous sends.

The program writes descriptors into injection FIFOs, moves their tails, and learns of completion by
polling: byte counters for data, a reception FIFO for packets that software must handle. A put or a get
costs an armed counter, a moved tail and the polls that follow. An eager message is one descriptor; its
packets wait in the receiver's memory until the progress loop copies them out. A rendezvous sends a
request that names a counter of the sender's; the receiver answers with a remote get, and either side
is done when its counter is zero.

Descriptors (:mod:`bgsim.guests.message_descriptors`) go into the injection FIFO of the direction their route
begins with. Contents are Python objects that travel with the last packet. Left out: several communicating
threads, interrupt mode, and messages nobody expects (a receiver takes whatever comes in order of arrival).

Source: IBM SPI headers and the DCMF paper's outline; software costs ``bgsim datasheet 'dcmf.*'``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from typing import Any

from bgsim.datasheet import Datasheet
from bgsim.guests.cnk import BUFFERS_MIB, DATA_MIB, RINGS_MIB, TEXT_MIB
from bgsim.guests.dma_calls import DmaCalls
from bgsim.guests.message_descriptors import (
    ACKNOWLEDGEMENT_BYTES,
    DIRECTIONS,
    GROUP,
    RING_ENTRIES,
    UNWATCHED_COUNTER,
    Descriptors,
    rings,
)
from bgsim.guests.messages import Accesses, Costs, Message, Send
from bgsim.guests.user_code import UserCode
from bgsim.hardware import dma_registers as reg
from bgsim.hardware.dma_descriptor import Descriptor, DmaPacket
from bgsim.hardware.dma_registers import CounterControl, CounterRegister, FifoRegister, Register
from bgsim.network.topology import Closed, Shape
from bgsim.platforms.seam import Code, Load, Now, Poll, ReadMemory, Request, Store, poll

RECEPTION_FIFO = 0
RECEPTION_ENTRIES = 512
POLLED_COUNTERS = 32
"""Counters below it are polled by value, for puts and gets; those above by hit-zero word, for rendezvous."""

REQUEST_BYTES = 48
"""A request-to-send: its packet has a software header and describes the buffer and counter of the sender."""

_RECEPTION_RING = RINGS_MIB + 1 << 20
_RECEPTION = {
    each: reg.group_address(GROUP, reg.reception_fifo(RECEPTION_FIFO, each)) for each in FifoRegister
}
_RECEPTION_START = _RECEPTION_RING >> 4
_RECEPTION_UNITS = RECEPTION_ENTRIES * reg.PACKET_SLOT_BYTES >> 4
_NOT_EMPTY = reg.group_address(GROUP, Register.RECEPTION_NOT_EMPTY)
_NOT_EMPTY_BIT = reg.bit(GROUP * reg.RECEPTION_FIFOS + RECEPTION_FIFO)
_CONTROLS = {False: Register.INJECTION_COUNTER_CONTROL, True: Register.RECEPTION_COUNTER_CONTROL}
_HIT_ZERO, _HIT_ZERO_CLEAR = (
    {key: reg.group_address(GROUP, control + offset + 4) for key, control in _CONTROLS.items()}
    for offset in (CounterControl.HIT_ZERO, CounterControl.HIT_ZERO_CLEAR)
)
"""Word of counters 32 to 63, by whether they are reception counters."""


def _is_zero(value: int) -> bool:
    return value == 0


def _has_packets(word: int) -> bool:
    return bool(word & _NOT_EMPTY_BIT)


class Messenger:
    """The library of one process.

    Parameters
    ----------
    kernel
        The kernel it runs on.
    node
        Number of its node.
    shape, torus
        The partition.

    Attributes
    ----------
    arrived
        Messages received and not yet taken, in order of their completion.
    on_mark
        Told what the library has just come to, and when: ``noticed`` when a poll has found something,
        ``handled`` when that is dealt with; with packets, ``found`` and ``taken`` before and behind what is
        done for each of them. For instruments.
    on_armed
        Told whenever a counter has been armed: True for a reception counter, and its number. For
        instruments; the library itself only polls.
    """

    def __init__(
        self, datasheet: Datasheet, kernel: DmaCalls, node: int, shape: Shape, torus: Closed
    ) -> None:
        self.node = node
        self.code = UserCode(datasheet, (TEXT_MIB,), (DATA_MIB, RINGS_MIB))
        self.costs = Costs(datasheet)
        self.accesses = Accesses()
        self.arrived: deque[Message] = deque()
        self._pause = self.code.instructions(self.costs.poll)
        self.on_mark: Callable[[str, int], None] | None = None
        self.on_armed: Callable[[bool, int], None] = lambda reception, counter: None
        self._kernel = kernel
        full_packets = datasheet.flag("torus.put_full_packets")
        self._descriptors = Descriptors(node, shape, torus, full_packets)
        self._rings = rings()
        self._head = _RECEPTION_START
        self._chunk_units = datasheet.integer("torus.packet_chunk") >> 4
        self._partial: dict[int, tuple[Descriptor, int]] = {}  # by identity of the message's descriptor
        free = range(POLLED_COUNTERS, UNWATCHED_COUNTER)
        self._free = {False: deque(free), True: deque(free)}  # injection, reception
        self._sending: dict[int, Send] = {}  # by injection counter
        self._receiving: dict[int, Message] = {}  # by reception counter
        self._waiting_requests: deque[Message] = deque()  # for a reception counter

    def initialise(self, calls: DmaCalls | None = None) -> Code:
        """Get FIFOs and counters from the kernel, or from who owns them now; nothing may be under way."""
        kernel = self._kernel if calls is None else calls
        self._head = _RECEPTION_START
        for fifo, ring in enumerate(self._rings):
            ring.tail = ring.head = 0
            yield from kernel.allocate_injection_fifo(
                GROUP, fifo, ring.base, RING_ENTRIES, network_fifos=0x80 >> fifo % DIRECTIONS
            )
        yield from kernel.allocate_reception_fifo(GROUP, RECEPTION_FIFO, _RECEPTION_RING, RECEPTION_ENTRIES)
        yield from kernel.allocate_counters(GROUP)

    def linger(self, over: Callable[[], bool]) -> Code:
        """What a process does until its job is over: nothing, since its counters and FIFOs need no one."""
        yield from ()

    # -- one-sided

    def put(self, target: int, length: int, counter: int, remote: bool = False) -> Code:
        """Start a put.

        Parameters
        ----------
        target
            Node number.
        length
            Bytes.
        counter
            Counter below `POLLED_COUNTERS` that tells of completion: an injection counter, or a reception
            counter if `remote`.
        remote
            Whether to wait until the data is at the target, which then puts one byte back.
        """
        yield self.code.cycles(self.costs.post)
        own = UNWATCHED_COUNTER if remote else counter
        data = self._descriptors.put(target, length, own)
        if not remote:
            yield from self._arm(False, counter, length)
            yield from self._post(data)
            return
        yield from self._arm(True, counter, ACKNOWLEDGEMENT_BYTES)
        yield from self._post(data, self._descriptors.acknowledgement(target, counter))

    def get(self, target: int, length: int, counter: int) -> Code:
        """Start a get; reception counter `counter` reaches zero when the data has arrived."""
        yield self.code.cycles(self.costs.post + self.costs.get_extra)
        yield from self._arm(True, counter, length)
        yield from self._post(self._descriptors.remote_get(target, length, counter, UNWATCHED_COUNTER))

    def wait(self, reception: bool, counter: int) -> Code:
        """Poll a counter until it is zero."""
        offset = reg.reception_counter if reception else reg.injection_counter
        register = reg.group_address(GROUP, offset(counter, CounterRegister.VALUE))
        yield from poll(Poll(((Load(register), _is_zero),), self._pause))
        yield from self.mark("noticed counter")
        yield self.code.cycles(self.costs.complete)
        yield from self.mark("handled counter")

    # -- two-sided

    def send(
        self, target: int, size: int, content: Any = None, eager: bool | None = None
    ) -> Generator[Request, Any, Send]:
        """Start sending a message; short ones are eager, unless told."""
        yield self.code.cycles(self.costs.post)
        if size <= self.costs.eager_limit if eager is None else eager:
            message = Message(self.node, size, content)
            yield from self._post(self._descriptors.packets(target, max(1, size), message))
            return Send(message, done=True)
        while not self._free[False]:
            yield from self.progress()
        counter = self._free[False].popleft()
        message = Message(self.node, size, content, counter)
        send = self._sending[counter] = Send(message)
        yield from self._arm(False, counter, size)
        yield from self._post(self._descriptors.packets(target, REQUEST_BYTES, message))
        return send

    def receive(self) -> Generator[Request, Any, Message]:
        """Wait for a message."""
        while not self.arrived:
            yield from self.progress()
        return self.arrived.popleft()

    def finish(self, send: Send) -> Code:
        """Wait until a send's buffer may be used again."""
        while not send.done:
            yield from self.progress()

    def progress(self) -> Code:
        """Poll until something has happened, and handle it.

        A round looks at the reception FIFO, then at the counters of rendezvous under way.
        """
        reads: list[tuple[str, Load, Callable[[int], bool]]] = [("packets", Load(_NOT_EMPTY), _has_packets)]
        if self._receiving:
            reads.append(("data", Load(_HIT_ZERO[True]), self._any_of(self._receiving)))
        if self._sending:
            reads.append(("departure", Load(_HIT_ZERO[False]), self._any_of(self._sending)))
        polled = Poll(tuple((load, wanted) for _, load, wanted in reads), self._pause)
        position, word = yield from poll(polled)
        what = reads[position][0]
        yield from self.mark(f"noticed {what}")
        if position == 0:
            yield from self._drain()
        elif what == "data":
            for counter in (yield from self._hits(True, word, self._receiving)):
                yield self.code.cycles(self.costs.complete)
                self.arrived.append(self._receiving.pop(counter))
                self._free[True].append(counter)
                if self._waiting_requests:
                    yield from self._answer(self._waiting_requests.popleft())
        else:
            for counter in (yield from self._hits(False, word, self._sending)):
                yield self.code.cycles(self.costs.complete)
                self._sending.pop(counter).done = True
                self._free[False].append(counter)
        yield from self.mark(f"handled {what}")

    # -- within the node

    def send_local(self, size: int, content: Any = None) -> Generator[Request, Any, Message]:
        """Copy a message into the shared memory of the node's processes."""
        yield self.code.instructions(self.costs.local_send)
        yield self.code.instructions(self._copied(size), (BUFFERS_MIB,))
        return Message(self.node, size, content)

    def receive_local(self, message: Message) -> Code:
        """Copy a message out of shared memory."""
        yield self.code.instructions(self.costs.receive)
        yield self.code.instructions(self._copied(message.size), (BUFFERS_MIB,))
        self.arrived.append(message)

    # -- what is behind it

    def _copied(self, size: int) -> int:
        return round(size * self.costs.per_byte)

    def mark(self, what: str) -> Code:
        """Tell an instrument, if there is one, what the library has come to."""
        if self.on_mark is not None:
            self.on_mark(what, (yield Now()))

    def _drain(self) -> Code:
        """Copy all packets out of the reception FIFO."""
        self.accesses.handling += 2
        tail = yield Load(_RECEPTION[FifoRegister.TAIL])
        yield from self.mark("found packets")
        while self._head != tail:
            packet = yield ReadMemory(self._head << 4)
            assert isinstance(packet, DmaPacket), f"no packet at {self._head << 4:#x}"
            # A packet takes as many chunks in memory as on the wire.
            past = self._head + packet.chunks * self._chunk_units - _RECEPTION_START
            self._head = _RECEPTION_START + past % _RECEPTION_UNITS
            yield from self._packet(packet)
        yield from self.mark("taken packets")
        yield Store(_RECEPTION[FifoRegister.HEAD], tail)

    def _packet(self, packet: DmaPacket) -> Code:
        work = self.costs.packet + self._copied(packet.payload_bytes)
        yield self.code.instructions(work, (RINGS_MIB + 1, BUFFERS_MIB))
        yield self.code.cycles(self.costs.packet_read)
        descriptor = packet.descriptor
        _, got = self._partial.pop(id(descriptor), (descriptor, 0))
        got += packet.payload_bytes
        assert got <= descriptor.length, "more packets than the message has"
        if got < descriptor.length:
            self._partial[id(descriptor)] = (descriptor, got)
            return
        message = descriptor.payload
        assert isinstance(message, Message)
        yield self.code.instructions(self.costs.receive)
        if message.counter is None:
            self.arrived.append(message)
        elif self._free[True]:
            yield from self._answer(message)
        else:
            self._waiting_requests.append(message)

    def _answer(self, message: Message) -> Code:
        """Fetch the data of a rendezvous."""
        assert message.counter is not None
        counter = self._free[True].popleft()
        self._receiving[counter] = message
        yield self.code.cycles(self.costs.post + self.costs.get_extra)
        yield from self._arm(True, counter, message.size)
        yield from self._post(
            self._descriptors.remote_get(message.source, message.size, counter, message.counter)
        )

    @staticmethod
    def _any_of(outstanding: dict[int, Any]) -> Callable[[int], bool]:
        mask = sum(map(reg.bit, outstanding))
        return lambda word: bool(word & mask)

    def _hits(
        self, reception: bool, word: int, outstanding: dict[int, Any]
    ) -> Generator[Request, Any, list[int]]:
        """Those of the outstanding counters whose hit-zero bits are set, which are then cleared."""
        hits = [counter for counter in outstanding if word & reg.bit(counter)]
        self.accesses.handling += 1
        yield Store(_HIT_ZERO_CLEAR[reception], sum(map(reg.bit, hits)))
        return hits

    def _arm(self, reception: bool, counter: int, length: int) -> Code:
        offset = reg.reception_counter if reception else reg.injection_counter
        self.accesses.posting += 1
        yield Store(reg.group_address(GROUP, offset(counter, CounterRegister.INCREMENT)), length)
        self.on_armed(reception, counter)

    def _post(self, *descriptors: Descriptor) -> Code:
        """Write descriptors for one destination into a FIFO and move its tail."""
        fifo = self._descriptors.direction(self.node, descriptors[0].destination)
        ring = self._rings[fifo]
        while not ring.has_room(len(descriptors)):
            self.accesses.posting += 1
            ring.seen((yield Load(reg.group_address(GROUP, reg.injection_fifo(fifo, FifoRegister.HEAD)))))
        for descriptor in descriptors:
            yield ring.write(descriptor)
        self.accesses.posting += 1
        yield Store(reg.group_address(GROUP, reg.injection_fifo(fifo, FifoRegister.TAIL)), ring.pointer)
