"""Messages for the packet engines, as columns: who sends how many packets to whom, when, and how.

A message is cut into full packets. Messages of one DMA injection FIFO are sent in the order in which they
were posted. A message may wait for another one to arrive: a get is a request of one small packet that, on its
arrival, makes the target's DMA engine send the data; a rendezvous send has one more such step.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bgsim.network.topology import Closed, Shape, node_count

Ints: TypeAlias = NDArray[np.int64]

PAYLOAD_BYTES = 240
FULL_CHUNKS = 8
REQUEST_CHUNKS = 2  # a descriptor of 32 bytes and the packet header
NEVER = -1


def _column(value: object, size: int, dtype: type) -> NDArray[np.int64]:
    return np.ascontiguousarray(np.broadcast_to(np.asarray(value, dtype=dtype), (size,)))


@dataclass(slots=True)
class Messages:
    """A table of messages.

    Attributes
    ----------
    source, destination
        Node numbers, shape (n,).
    packets
        Packets of each message, shape (n,); the last has ``last_chunks``, the others are full.
    last_chunks
        Size of the last packet in chunks of 32 bytes, 1 to 8.
    dynamic, priority
        Routing of each message: adaptive, or deterministic on the bubble or the priority channel.
    fifo
        DMA injection FIFO it is posted to, 0 to 7.
    post_cycles
        Time from which it may be sent; -1 if it waits for another message.
    then
        Message that the arrival of this one's last packet releases, or -1; it starts at this one's
        destination.
    delay_cycles
        Time between that arrival and the release.
    """

    source: Ints
    destination: Ints
    packets: Ints
    last_chunks: Ints
    dynamic: Ints
    priority: Ints
    fifo: Ints
    post_cycles: Ints
    then: Ints
    delay_cycles: Ints
    size: int = field(init=False)

    def __post_init__(self) -> None:
        self.size = len(self.source)
        if (self.source == self.destination).any():
            raise ValueError("a message to its own node does not use the torus")
        if (self.packets < 1).any():
            raise ValueError("a message has at least one packet")

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
        then: object = NEVER,
        delay_cycles: object = 0,
    ) -> Messages:
        """Make a table from columns and scalars."""
        size = np.broadcast(*map(np.asarray, (source, destination, packets))).size
        routing = (dynamic, priority, fifo)
        columns = (source, destination, packets, last_chunks, *routing, post_cycles, then, delay_cycles)
        return cls(*(_column(column, size, np.int64) for column in columns))


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
) -> Messages:
    """Post gets back to back: a request to the target, which sends the data back adaptively.

    Requests are adaptive, too, and posted to FIFO 0; data is sent from FIFO 1, which remote
    gets have for themselves. ``serve_cycles`` is the time from a request's arrival to its data being ready.
    """
    count = len(source) * posted
    begin = np.broadcast_to(np.asarray(stagger), source.shape)
    asker, server = np.repeat(source, posted), np.repeat(target, posted)
    requests = np.arange(count)
    both = np.concatenate
    return Messages.make(
        both([asker, server]),
        both([server, asker]),
        both([np.ones(count, np.int64), np.full(count, packet_count(size_bytes))]),
        last_chunks=both([np.full(count, REQUEST_CHUNKS), np.full(count, FULL_CHUNKS)]),
        dynamic=1,
        fifo=both([np.zeros(count, np.int64), np.ones(count, np.int64)]),
        post_cycles=both([np.repeat(begin, posted), np.full(count, NEVER)]),
        then=both([requests + count, np.full(count, NEVER)]),
        delay_cycles=both([np.full(count, serve_cycles), np.zeros(count, np.int64)]),
    )


def hops_word(
    source: Ints, destination: Ints, shape: Shape, torus: Closed
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Pack minimal hops of each message into a word, and the dimensions in which both ways are minimal.

    Returns
    -------
    word
        Hops in x, y and z in bytes 0, 1 and 2, and in bits 24 to 26 whether they go in negative direction.
    ties
        Bits 0 to 2: the destination is half way round the dimension.
    """
    word = np.zeros(len(source), np.int64)
    ties = np.zeros(len(source), np.int64)
    stride = 1
    for dimension, (size, closed) in enumerate(zip(shape, torus, strict=True)):
        delta = destination // stride % size - source // stride % size
        if closed:
            delta %= size
            ties |= (2 * delta == size).astype(np.int64) << dimension
            delta = np.where(2 * delta > size, delta - size, delta)
        word |= np.abs(delta) << 8 * dimension
        word |= (delta < 0).astype(np.int64) << (24 + dimension)
        stride *= size
    return word.astype(np.int32), ties.astype(np.int32)
