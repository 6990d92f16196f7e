"""Packed state of the compiled packet engine: where everything is in its arrays.

A node is one record of bytes: a few cache lines about its FIFOs, what their heads ask for and when it should
look at what; the slots downstream of its links; and the packets in its FIFOs. Times inside a record are 16
bits wide, relative to an epoch that the engine moves.
"""

from __future__ import annotations

from typing import Final

from bgsim.network.router import DIRECTIONS, QUEUES

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
COUNT: Final = 64  # 8 bits: packets in it whose headers have arrived
HEAD: Final = 96  # 8 bits: slot of its first packet
WANT: Final = 128  # 8 bits: links on which its head may take a dynamic channel, bit by direction
MUST: Final = 160  # 8 bits: the link of dimension order, for the other channels; or bit 6, it has arrived
# One number per lane of the next four.
WAKE: Final = 192  # 16 bits: time to look; FAR: no reason yet
ARRIVE: Final = 208  # 16 bits: time at which the next header comes in over a link
FREE: Final = 224  # 16 bits: the link or the DMA engine is free
TURN: Final = 240  # 8 bits: round robin starts here
RECEPTION_USED: Final = 248  # 16 bits each: packets in the memory FIFO, and in that for priority packets
RECEPTION_NEXT: Final = 252  # 16 bits each: when software takes the next one
NEIGHBOUR: Final = 256  # 32 bits each
STARVED: Final = 280  # 8 bits per link: channels whose tokens wake it
DMA_ACTIVE: Final = 287  # 8 bits: DMA FIFOs with messages
PRIORITY_HEADS: Final = 288  # 32 bits: FIFOs whose head is a priority packet
RING_SHORT: Final = 292  # 32 bits per link: the header on its way in, if there is never more than one
COUNTERS: Final = 320  # 32 bits per link: packets sent, and another 32: chunks sent
TAIL: Final = 368  # 8 bits per channel of a link: where the next packet goes downstream, modulo the slots
RECEIVED: Final = 392  # 8 bits per link: headers that came in
DMA_HEAD: Final = 400  # 32 bits each: first message of each DMA FIFO
DMA_TAIL: Final = 432  # 32 bits each: last one
SLOTS: Final = 480  # 16 bits per channel of a link and slot downstream: free at, as far as tokens tell

FAR: Final = 0xFFFF
"""Instead of a time: never, as far as is known; the slot is occupied."""
NO_HEADER: Final = 0xFFFFFFFF
"""Instead of the channel (bit 16 and up) and time of arrival of a header on its way."""

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

# Byte offsets of the scalars of a run.
NOW: Final = 0
POSTED: Final = 8
DELIVERED: Final = 16
INJECTED: Final = 24
UNDELIVERED: Final = 32
EPOCH: Final = 40
EVENTS: Final = 48
SCALARS: Final = 7

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


def link_slots_bytes(capacity: int) -> int:
    """Bytes of the slots downstream of a link if a FIFO has room for so many packets."""
    return 8 * capacity


def packets_at(capacity: int) -> int:
    """Offset of a node's packets."""
    return SLOTS + DIRECTIONS * link_slots_bytes(capacity)


def ring_at(capacity: int, headers: int) -> int:
    """Offset of the rings of headers on their way, of so many per link."""
    return RING_SHORT if headers == 1 else packets_at(capacity) + QUEUES * capacity * 8


def node_bytes(capacity: int, headers: int) -> int:
    """Bytes of a node's record, a multiple of a cache line."""
    end = packets_at(capacity) + QUEUES * capacity * 8
    if headers > 1:
        end += DIRECTIONS * headers * 4
    return -(-end // 64) * 64
