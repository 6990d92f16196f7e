"""Packed state of the compiled packet engine: where everything is in its arrays.

A node is one record of bytes: a few cache lines about its FIFOs, what their heads ask for and when it should
look at what; the slots downstream of its links; and the packets in its FIFOs. Times inside a record are 16
bits wide, relative to an epoch that the engine moves.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from bgsim.network.router import DIRECTIONS, QUEUES


class Router(NamedTuple):
    """The router's parameters as the compiled loop takes them; see :class:`RouterParameters`.

    With ``early_reads`` a FIFO's read port may be free again before the header of its next packet comes.
    From ``capacity``, the slots of a FIFO, to ``row_mask``, one less than the rows of times at which headers
    arrive, they say where things are in a node's record.
    """

    injection_slots: int
    chunk: int
    overhead: int
    hop: int
    token: int
    read: int
    early_reads: int
    endpoint: int
    dma: int
    local: int
    reception_slots: int
    reception_cycles: int
    lots: int
    window: int
    capacity: int
    stride: int
    dma_fifos: int
    packets: int
    rows: int
    row_mask: int
    blocks: int


class Places(NamedTuple):
    """Addresses: the nodes' records, when each has something to do, which have, and what else is read."""

    memory: int
    nexts: int
    messages: int
    scalars: int
    ways: int
    due: int


# A packet, 64 bits: hops left in x, y, z (bytes 0 to 2), their signs (24 to 26), routing, size, message.
SIGNS_BIT: Final = 24
DYNAMIC_BIT: Final = 27
PRIORITY_BIT: Final = 28
DEPOSIT_BIT: Final = 29
MEMORY_BIT: Final = 30
CHUNKS_BIT: Final = 32
MESSAGE_BIT: Final = 36
HOPS_MASK: Final = 0xFFFFFF
MESSAGES_MOST: Final = 1 << 64 - MESSAGE_BIT

# What a node may have to look at: the links 0 to 5, and these. One lane each of what follows.
RECEPTION: Final = 6
INJECTION: Final = 7
LANES: Final = 8

# Byte offsets in a node's record. One number per FIFO of the first five.
READY: Final = 0  # 16 bits: its read port is free, its head may ask
COUNT: Final = 64  # 8 bits: packets in it or on their way to it
HEAD: Final = 96  # 8 bits: slot of its first packet
WANT: Final = 128  # 8 bits: links on which its head may take a dynamic channel, bit by direction
MUST: Final = 160  # 8 bits: the link of dimension order, for the other channels; or bit 6, it has arrived
# One number per lane of the next two.
WAKE: Final = 192  # 16 bits: time to look; FAR: no reason yet
FREE: Final = 208  # 16 bits: the link or the DMA engine is free
NEIGHBOUR: Final = 224  # 32 bits per link
CALLED: Final = 248  # 8 bits per link that leads here: channels whose tokens wake it, as its node asked
CLOSED: Final = 254  # 16 bits: links that wait for a dynamic slot and will be woken by it; << 8: for a bubble
COUNTERS: Final = 256  # 32 bits per link: packets sent, and another 32: chunks sent
TURN: Final = 304  # 8 bits per lane: round robin starts here
PRIORITY_HEADS: Final = 312  # 32 bits: FIFOs whose head is a priority packet
DMA_LOOK: Final = 316  # 16 bits: when the engine, if it is blocked, looks for room or last did
DMA_BLOCKED: Final = 318  # 8 bits: injection FIFOs of which one must get room for the engine to go on; or 0
DMA_ACTIVE: Final = 319  # 8 bits: DMA FIFOs with messages
ARRIVE: Final = 320  # 16 bits per channel of a link: when the last header came or will, if there is one row
RECEPTION_USED: Final = 368  # 16 bits each: packets in the memory FIFO, and in that for priority packets
RECEPTION_NEXT: Final = 372  # 16 bits each: when software takes the next one
STARVED: Final = 376  # 8 bits per link: channels whose tokens are to wake it
SLOTS: Final = 384  # 16 bits per channel of a link and slot downstream: free at, as far as tokens tell

ROW: Final = 64
"""Bytes of 32 times."""
LINE: Final = 64
"""Bytes of a cache line; a record is a multiple of it."""
FAR: Final = 0xFFFF
"""Instead of a time: never, as far as is known; the slot is occupied."""

# A message's record, 32 bits each.
MESSAGE_BYTES: Final = 32
MESSAGE_HOPS: Final = 0
MESSAGE_LATEST: Final = 4  # lower 32 bits of the latest arrival of a packet so far
MESSAGE_UNSENT: Final = 8
MESSAGE_UNDELIVERED: Final = 12
MESSAGE_NEXT: Final = 16
MESSAGE_THEN: Final = 20
MESSAGE_SENT_THEN: Final = 24
MESSAGE_PLACE: Final = 28  # FIFO (bits 0 to 2), last packet's chunks (3 to 7), source (8 and up)
NONE: Final = 0xFFFFFFFF
"""Instead of a message or gate."""

DMA_TAIL: Final = 32
"""Last messages of the DMA FIFOs, after the first ones."""

# Byte offsets of the scalars of a run.
NOW: Final = 0
POSTED: Final = 8
DELIVERED: Final = 16
INJECTED: Final = 24
UNDELIVERED: Final = 32
EPOCH: Final = 40
EVENTS: Final = 48
FULL: Final = 64  # 8 bits per FIFO of the node that grants a link: packets in it whose headers have come
SCALARS: Final = 12

BLOCK: Final = 32
"""Nodes whose next times are looked at together; the array of them is padded to whole blocks."""
REBASE: Final = 49152
"""The epoch is moved before this time."""


def ways() -> list[int]:
    """Links that bring a packet nearer, bit by direction, by dimensions left (3 bits) and signs (3 bits).

    A packet that has no hops left wants :data:`RECEPTION`.
    """
    links = []
    for left in range(8):
        for signs in range(8):
            wanted = (1 << 2 * axis + (signs >> axis & 1) for axis in range(3) if left >> axis & 1)
            links.append(sum(wanted) or 1 << RECEPTION)
    return links


def dma_at(capacity: int) -> int:
    """Offset of the messages of the DMA FIFOs, 32 bits each: their first ones, then their last ones."""
    return SLOTS + DIRECTIONS * 8 * capacity


def packets_at(capacity: int) -> int:
    """Offset of a node's packets."""
    return dma_at(capacity) + 2 * DMA_TAIL


def rows_at(capacity: int, headers: int) -> int:
    """Offset of the rows of times at which headers arrive, as many as there can be headers on a link."""
    return ARRIVE if headers == 1 else packets_at(capacity) + QUEUES * capacity * 8


def node_bytes(capacity: int, headers: int) -> int:
    """Bytes of a node's record: whole cache lines, and an odd number, which spreads records over a cache."""
    end = packets_at(capacity) + QUEUES * capacity * 8
    if headers > 1:
        end += headers * ROW
    return (-(-end // LINE) | 1) * LINE
