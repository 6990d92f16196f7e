"""Message graphs for the torus engines, as columns: messages, and the gates that release them.

A message is cut into full packets. Messages of one DMA injection FIFO are sent in the order in which they
were posted. What happens between messages are *gates*: a gate waits for messages to arrive or to be sent and
for other gates, then takes a core for some time, opens, and posts its messages. A get is a request of one
small packet whose arrival opens a gate of the target's DMA engine, which sends the data; a compute phase is a
gate of a core.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bgsim.compiled import compiled
from bgsim.network.topology import Closed, Shape, node_count

Ints: TypeAlias = NDArray[np.int64]

CHUNK_BYTES = 32
HEADER_BYTES = 16
FULL_CHUNKS = 8
PAYLOAD_BYTES = FULL_CHUNKS * CHUNK_BYTES - HEADER_BYTES
REQUEST_CHUNKS = 2  # a descriptor of 32 bytes and the packet header
NEVER = -1

FIFO_LOCAL, FIFO_REQUESTS = 6, 7
"""DMA injection FIFOs of local copies, and of requests and acknowledgements; 0 to 5 are the directions'."""


def _column(value: object, size: int) -> Ints:
    return np.array(np.broadcast_to(np.asarray(value, np.int64), (size,)))  # its own, and writable


def _kept(value: object, size: int) -> Ints:
    """A column, which is the array that was given if that is one already."""
    given = np.asarray(value, np.int64)
    whole = given.shape == (size,) and given.flags.c_contiguous and given.flags.writeable
    return given if whole else _column(given, size)


def _setting(value: object, size: int) -> Ints:
    """A column of which most tables give one number for all messages: that is kept once, and read-only."""
    given = np.asarray(value, np.int64)
    return np.broadcast_to(given, (size,)) if given.ndim == 0 else _kept(given, size)


@dataclass(slots=True)
class Messages:
    """A table of messages.

    Attributes
    ----------
    source, destination
        Node numbers, shape (n,); equal ones are a local copy by the node's DMA engine.
    packets
        Packets of each message, shape (n,); the last has ``last_chunks``, the others are full.
    last_chunks
        Size of the last packet in chunks of 32 bytes, 1 to 8.
    dynamic, priority
        Routing of each message: adaptive, or deterministic on the bubble or the priority channel.
    fifo
        DMA injection FIFO it is posted to, 0 to 7.
    post_cycles
        Time from which it may be sent; -1 if it waits for a gate.
    gate
        Gate that releases it, or -1.
    then
        Gate counted when its last packet has arrived, or -1.
    sent_then
        Gate counted when its last packet has left the DMA engine, or -1.
    hints
        Hint bits, X+ X- Y+ Y- Z+ Z- from the lowest: a bit forces the way round its dimension, be it the
        longer one; 0 leaves all to the hardware.
    deposit
        Whether a copy is left at each node on the way, which must be a straight line. The message has arrived
        when all copies have.
    memory_fifo
        Whether its packets go into the destination's reception FIFO in memory, which may be full, and not to
        where the message says.
    """

    source: Ints
    destination: Ints
    packets: Ints
    last_chunks: Ints
    dynamic: Ints
    priority: Ints
    fifo: Ints
    post_cycles: Ints
    gate: Ints
    then: Ints
    sent_then: Ints
    hints: Ints
    deposit: Ints
    memory_fifo: Ints
    size: int = field(init=False)

    def __post_init__(self) -> None:
        self.size = len(self.source)
        if (self.packets < 1).any():
            raise ValueError("a message has at least one packet")
        if ((self.post_cycles >= 0) & (self.gate >= 0)).any():
            raise ValueError("a message is posted at a time or by a gate, not both")
        if self.deposit.any() and (self.deposit & self.memory_fifo).any():
            raise ValueError("copies left on the way do not go into memory FIFOs")

    @classmethod
    def make(
        cls,
        source: object,
        destination: object,
        packets: object,
        *,
        last_chunks: object = FULL_CHUNKS,
        dynamic: object = 0,
        priority: object = 0,
        fifo: object = 0,
        post_cycles: object = 0,
        gate: object = NEVER,
        then: object = NEVER,
        sent_then: object = NEVER,
        hints: object = 0,
        deposit: object = 0,
        memory_fifo: object = 0,
    ) -> Messages:
        """Make a table from columns and scalars; with a gate, ``post_cycles`` need not be given.

        Arrays of 64-bit integers become the table's columns as they are: nobody writes to them any more.
        """
        size = np.broadcast(*map(np.asarray, (source, destination, packets))).size
        gated = np.asarray(gate) >= 0
        if gated.size and gated.all():
            post_cycles = NEVER
        elif gated.any():
            post_cycles = np.where(gated, NEVER, np.asarray(post_cycles))
        ends = (_kept(column, size) for column in (source, destination, packets))
        routing = (_setting(column, size) for column in (last_chunks, dynamic, priority, fifo))
        posting = (_setting(column, size) for column in (post_cycles,))
        countings = (_kept(column, size) for column in (gate, then, sent_then))
        handling = (_setting(column, size) for column in (hints, deposit, memory_fifo))
        return cls(*ends, *routing, *posting, *countings, *handling)


@dataclass(slots=True)
class Gates:
    """What releases messages: a table of things that wait, are done by a core, and open.

    A gate is ready when it has been counted ``needs`` times, not before ``start_cycles``. Ready gates queue
    at their core, which serves them one at a time in order of readiness (at one instant, the lower number
    first; what opens in an instant may make others ready in it, which follow). After ``work_cycles`` of core
    time, and the core's detours, the gate opens: its messages are posted in order of number, and ``then`` is
    counted. A gate that *keeps* its core is followed there by the one it counts, whatever else is queued.

    Attributes
    ----------
    needs
        Number of countings it waits for, shape (g,).
    start_cycles
        Time before which it is not ready.
    core
        Core that does it, or -1: nobody, a pure delay.
    work_cycles
        Core time it takes.
    then
        Gate counted when this one opens, or -1.
    also
        Where that is not enough: further countings, shape (k, 2); when gate ``also[i, 0]`` opens, gate
        ``also[i, 1]`` is counted, after ``then``.
    keeps
        Whether the core, when the gate opens, goes straight on with ``then``, which waits for nothing else;
        shape (g,).
    """

    needs: Ints
    start_cycles: Ints
    core: Ints
    work_cycles: Ints
    then: Ints
    also: Ints
    keeps: Ints
    size: int = field(init=False)

    def __post_init__(self) -> None:
        self.size = len(self.needs)
        least = [int(column.min(initial=0)) for column in (self.needs, self.start_cycles, self.work_cycles)]
        if min(least) < 0:
            raise ValueError("a gate's needs, start and work are not negative")

    @classmethod
    def make(
        cls,
        needs: object,
        *,
        start_cycles: object = 0,
        core: object = NEVER,
        work_cycles: object = 0,
        then: object = NEVER,
        also: Ints | None = None,
        keeps: object = 0,
    ) -> Gates:
        """Make a table from columns and scalars."""
        columns = (needs, start_cycles, core, work_cycles, then, keeps)
        size = np.broadcast(*map(np.asarray, columns)).size
        more = np.zeros((0, 2), np.int64) if also is None else np.asarray(also, np.int64).reshape(-1, 2)
        needs, start, core, work, then = (_column(column, size) for column in columns[:-1])
        return cls(needs, start, core, work, then, more, _setting(keeps, size))

    @classmethod
    def none(cls) -> Gates:
        """No gates: every message is posted at a time."""
        return cls.make(np.zeros(0, np.int64))

    def check(self, messages: Messages) -> None:
        """Refuse gates that do not exist, that are not counted as often as they wait for, or not kept for.

        Raises
        ------
        ValueError
            With the number of the gate.
        """
        counted, unused = np.zeros(self.size, np.int64), np.zeros(self.size, np.int64)
        for column, into in (
            (messages.then, counted),
            (messages.sent_then, counted),
            (self.then, counted),
            (np.ascontiguousarray(self.also[:, 1]), counted),
            (messages.gate, unused),
            (np.ascontiguousarray(self.also[:, 0]), unused),
        ):
            if not _count(column, into):
                raise ValueError(f"gate {max(int(column.max()), self.size)} does not exist")
        if (counted != self.needs).any():
            gate = int(np.argmax(counted != self.needs))
            raise ValueError(f"gate {gate} is counted {counted[gate]} times and needs {self.needs[gate]}")
        keeping = np.flatnonzero(self.keeps)
        next_gate = self.then[keeping]
        at_once = (self.core[keeping] >= 0) & (next_gate >= 0)
        at_once &= (self.core[next_gate] == self.core[keeping]) & (self.needs[next_gate] == 1)
        at_once &= self.start_cycles[next_gate] == 0
        if not at_once.all():
            gate = int(keeping[np.argmin(at_once)])
            raise ValueError(f"gate {gate} keeps its core for a gate that cannot follow it there at once")


@compiled
def _count(column: Ints, counted: Ints) -> bool:
    """Count the gates that a column names; returns whether all of them exist."""
    for gate in column:
        if gate >= len(counted) or gate < NEVER:
            return False
        if gate >= 0:
            counted[gate] += 1
    return True


def packet_count(size_bytes: int) -> int:
    """Packets of a message; a partial last packet is sent as a full one."""
    return max(1, -(-size_bytes // PAYLOAD_BYTES))


def shifted(shape: Shape, displacement: tuple[int, int, int]) -> Ints:
    """Node at a displacement from each node of a torus, shape (nodes,)."""
    nodes = np.arange(node_count(shape))
    X, Y, Z = shape
    x, y, z = nodes % X, nodes // X % Y, nodes // (X * Y)
    dx, dy, dz = displacement
    return np.asarray((x + dx) % X + X * ((y + dy) % Y + Y * ((z + dz) % Z)), dtype=np.int64)


def puts(source: Ints, destination: Ints, size_bytes: int, posted: int, stagger: Ints | int = 0) -> Messages:
    """Post puts back to back from each source: deterministic, full packets.

    The messages of a source are ``posted`` equal ones; ``stagger`` is when each source begins, in cycles.
    """
    begin = np.broadcast_to(np.asarray(stagger), source.shape)
    return Messages.make(
        np.repeat(source, posted),
        np.repeat(destination, posted),
        packet_count(size_bytes),
        post_cycles=np.repeat(begin, posted),
    )


def gets(
    source: Ints,
    target: Ints,
    size_bytes: int,
    posted: int,
    *,
    stagger: Ints | int = 0,
    serve_cycles: int = 0,
) -> tuple[Messages, Gates]:
    """Post gets back to back: a request to the target, which sends the data back adaptively.

    Requests are adaptive, too, and posted to FIFO 0; data is sent from FIFO 1, which remote
    gets have for themselves. ``serve_cycles`` is the time from a request's arrival to its data being ready.
    The first half of the messages are the requests, the second half the data.
    """
    count = len(source) * posted
    begin = np.broadcast_to(np.asarray(stagger), source.shape)
    asker, server = np.repeat(source, posted), np.repeat(target, posted)
    served, none = np.arange(count), np.full(count, NEVER)
    both = np.concatenate
    messages = Messages.make(
        both([asker, server]),
        both([server, asker]),
        both([np.ones(count, np.int64), np.full(count, packet_count(size_bytes))]),
        last_chunks=both([np.full(count, REQUEST_CHUNKS), np.full(count, FULL_CHUNKS)]),
        dynamic=1,
        fifo=both([np.zeros(count, np.int64), np.ones(count, np.int64)]),
        post_cycles=both([np.repeat(begin, posted), none]),
        gate=both([none, served]),
        then=both([served, none]),
    )
    return messages, Gates.make(np.ones(count, np.int64), work_cycles=serve_cycles)


HINTS_REFUSED = {
    1: "hint bits ask for both ways round a dimension",
    2: "hint bits lead off the end of a mesh",
}


def hops_word(
    source: Ints, destination: Ints, shape: Shape, torus: Closed, hints: Ints | int = 0
) -> NDArray[np.int32]:
    """Pack minimal hops of each message into a word.

    Half way round a dimension both ways are minimal. The hardware's hint bits settle it by where the packet
    starts: in positive direction from an even coordinate, in negative direction from an odd one. Hint bits
    set by the user, as in :class:`Messages`, come first.

    Returns
    -------
    word
        Hops in x, y and z in bytes 0, 1 and 2, and in bits 24 to 26 whether they go in negative direction.

    Raises
    ------
    ValueError
        If hint bits ask for both ways, or for one that leads off a mesh.
    """
    word = np.zeros(len(source), np.int32)
    given = np.broadcast_to(np.asarray(hints, np.int64), word.shape)
    wishes = np.array(given[:1] if given.strides == (0,) else given)  # one for all is kept once
    ends = np.ascontiguousarray(source, np.int64), np.ascontiguousarray(destination, np.int64)
    places = np.empty(node_count(shape), np.int32)
    refused = _pack_hops(*ends, np.array(shape), np.array(torus), wishes, places, word)
    if refused:
        raise ValueError(HINTS_REFUSED[refused])
    return word


def first_fifo(source: Ints, destination: Ints, shape: Shape, torus: Closed) -> Ints:
    """DMA injection FIFO of each message: that of its first link in dimension order, or that of local copies.

    Returns
    -------
    numpy.ndarray
        0 to 5 for x+, x-, y+, y-, z+, z-, or 6; shape (messages,).
    """
    word = hops_word(source, destination, shape, torus).astype(np.int64)
    fifo = np.full(len(source), FIFO_LOCAL, np.int64)
    for dimension in (2, 1, 0):
        backwards = word >> (24 + dimension) & 1
        fifo = np.where(word >> 8 * dimension & 255, 2 * dimension + backwards, fifo)
    return fifo


@compiled
def _pack_hops(  # type: ignore[no-untyped-def]
    source, destination, shape, torus, hints, places, word
):
    """Fill in the words; returns which fault of :data:`HINTS_REFUSED` the hint bits have, or 0."""
    node = 0  # divisions are slow: look the coordinates up
    for z in range(shape[2]):
        for y in range(shape[1]):
            for x in range(shape[0]):
                places[node] = x | y << 8 | z << 16
                node += 1
    for message in range(len(word)):
        here, there = places[source[message]], places[destination[message]]
        wish = hints[message if len(hints) > 1 else 0]
        packed = 0
        for dimension in range(3):
            size = shape[dimension]
            position = here >> 8 * dimension & 255
            delta = (there >> 8 * dimension & 255) - position
            up = wish >> 2 * dimension & 1
            down = wish >> 2 * dimension + 1 & 1
            if up and down:
                return 1
            if torus[dimension]:
                if delta < 0:
                    delta += size
                if down:
                    delta -= size if delta else 0
                elif not up and 2 * delta + (position & 1) > size:
                    delta -= size
            elif (up and delta < 0) or (down and delta > 0):
                return 2
            packed |= abs(delta) << 8 * dimension
            if delta < 0:
                packed |= 1 << 24 + dimension
        word[message] = packed
    return 0


def copies(messages: Messages, word: NDArray[np.int32]) -> Ints:
    """Nodes that each message's packets are delivered to, given :func:`hops_word`.

    Raises
    ------
    ValueError
        If a message that leaves copies does not go straight.
    """
    hops = np.stack([word >> 8 * dimension & 0xFF for dimension in range(3)])
    if ((messages.deposit == 1) & ((hops > 0).sum(axis=0) != 1)).any():
        raise ValueError("copies are left on a straight line to another node")
    return np.where(messages.deposit == 1, hops.sum(axis=0), 1).astype(np.int64)
