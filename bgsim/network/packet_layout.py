"""Packed state of the compiled packet engine: where everything is in its arrays.

A node is one record of bytes: a few lines about its FIFOs and its DMA engine, one cache line per output
link, and the packets. What a link decides on is in its own line: which FIFOs ask for it, and the times at
which each slot downstream is free again, as far as its tokens tell. Times inside a record are 16 bits wide,
relative to an epoch that the engine moves.
"""

from __future__ import annotations

from typing import Final

from bgsim.network.router import DIRECTIONS, QUEUES

# A packet, 64 bits: hops left in x, y, z (bytes 0 to 2), their signs (24 to 26), routing, size, message.
DYNAMIC_BIT: Final = 27
PRIORITY_BIT: Final = 28
DEPOSIT_BIT: Final = 29
MEMORY_BIT: Final = 30
CHUNKS_BIT: Final = 32
MESSAGE_BIT: Final = 36
HOPS_MASK: Final = 0xFFFFFF

# Byte offsets in a node's record. One number per FIFO of the first three.
READY: Final = 0  # 16 bits: its read port is free, its head may ask
COUNT: Final = 64  # 8 bits: packets in it
HEAD: Final = 96  # 8 bits: slot of its first packet
NEIGHBOUR: Final = 128  # 32 bits each
RECEIVE: Final = 152  # 32 bits: FIFOs whose head has arrived at its destination
DMA_ACTIVE: Final = 156  # 8 bits: DMA FIFOs with messages
DMA_TURN: Final = 157  # 8 bits
DMA_FREE: Final = 158  # 16 bits
DMA_HEAD: Final = 160  # 32 bits each: first message of each DMA FIFO
DMA_TAIL: Final = 192  # 32 bits each: last one
DMA_PENDING: Final = 224  # 8 bits: an event will come
RECEPTION_TURN: Final = 225  # 8 bits: the next packet for memory comes from this FIFO or a later one
RECEPTION_USED: Final = 226  # 16 bits each: packets in the memory FIFO, and in that for priority packets
RECEPTION_NEXT: Final = 230  # 16 bits each: when software takes the next one
LINKS: Final = 256

# Byte offsets in a link's record, 64 bytes with up to four slots in a FIFO, else 128.
LINK_DYNAMIC: Final = 0  # 32 bits: FIFOs whose head asks for it; in the upper half those that may escape here
LINK_DETERMINISTIC: Final = 8  # 32 bits: the same of deterministic routing; in the upper half of priority
LINK_SLOTS: Final = 16  # 16 bits each, four per channel: time at which a slot downstream is free
LINK_FREE: Final = 48  # 16 bits
LINK_WAKE: Final = 50  # 16 bits: it will be looked at at this time
LINK_GRANTS: Final = 52  # 32 bits: packets sent
LINK_CHUNKS: Final = 56  # 32 bits: chunks sent, the upper half of the word before
LINK_TURN: Final = 60  # 8 bits: round robin starts here
LINK_STARVED: Final = 61  # 8 bits: channels whose next token wakes it
LINK_SLOTS_LONG: Final = 64  # instead of LINK_SLOTS, eight per channel

FAR: Final = 0xFFFF
"""Instead of a time: the slot is occupied."""

# What a node looks at in an instant; an event is a node's number times eight and one of these.
RECEPTION: Final = 6  # after the links 0 to 5
INJECTION: Final = 7

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
SPARE: Final = 16
SPARES: Final = 24
HOPS: Final = 32
DELIVERED: Final = 40
INJECTED: Final = 48
UNDELIVERED: Final = 56
EPOCH: Final = 64
EVENTS: Final = 72
TOUCHED: Final = 80
RELEASED: Final = 88
PUSHES: Final = 96
SCALARS: Final = 13

# The timing wheel: for each cycle a chain of blocks of 16 words: the next block, and 15 events. Blocks with
# the numbers of cycles are the first of their chains. A cursor says where the next event of a cycle goes.
BLOCK: Final = 16
BLOCK_EVENTS: Final = 15
WHEEL_LEAST: Final = 1024
WHEEL_MOST: Final = 8192
REBASE: Final = 49152
"""The epoch is moved before this time."""


def link_bytes(capacity: int) -> int:
    """Bytes of a link's record if a FIFO has room for so many packets."""
    return 16 * capacity


def packets_at(capacity: int) -> int:
    """Offset of a node's packets."""
    return LINKS + DIRECTIONS * link_bytes(capacity)


def node_bytes(capacity: int) -> int:
    """Bytes of a node's record, a multiple of a cache line."""
    return packets_at(capacity) + QUEUES * capacity * 8
