"""What software asks of the DMA engine, and what it sends over the torus.

A descriptor is 32 bytes in an injection FIFO: a DMA header (counter, address, length), the packet header
that the engine copies into every packet, and a software header. Contents are Python objects; lengths and
counters are exact. Source: IBM SPI headers DMA_Packet.h and DMA_Descriptors.h (2007), Kittyhawk Linux
torus.h.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple


class Transfer(IntEnum):
    """What becomes of a message at its destination."""

    MEMORY_FIFO = 0  # packets go into a reception FIFO
    DIRECT_PUT = 1  # data goes to memory, a reception counter counts it
    REMOTE_GET = 2  # the message is descriptors, which the destination injects


class VirtualChannel(IntEnum):
    """Torus virtual channels, by number."""

    DYNAMIC_0 = 0
    DYNAMIC_1 = 1
    BUBBLE = 2
    PRIORITY = 3


@dataclass(frozen=True, slots=True)
class Descriptor:
    """One injection descriptor.

    Attributes
    ----------
    transfer
        Kind of transfer.
    destination
        Node number; ignored for a local copy.
    length
        Bytes of the message, at least one.
    injection_counter
        Counter that counts bytes as they are injected: ``group * 64 + counter``.
    reception_group
        Which of the destination's four reception groups gets memory-FIFO packets.
    reception_counter
        Counter of a direct put at the destination: ``group * 64 + counter``.
    remote_fifo
        Injection FIFO of the destination that a remote get feeds: ``group * 32 + fifo``.
    payload
        For a memory FIFO or a put, any object; for a remote get, a tuple of descriptors.
    offset
        Put: bytes from the reception counter's base address.
    full_packets
        Whether all packets are of full size; otherwise all have the size the first one needs.
    dynamic
        Whether the network may choose the route.
    channel
        Torus virtual channel.
    local
        Copy within the node, not over the torus.
    source_key
        Software header: identifies the message to its receiver.
    """

    transfer: Transfer
    destination: int
    length: int
    injection_counter: int = 0
    reception_group: int = 0
    reception_counter: int = 0
    remote_fifo: int = 0
    payload: object = None
    offset: int = 0
    full_packets: bool = True
    dynamic: bool = True
    channel: VirtualChannel = VirtualChannel.DYNAMIC_0
    local: bool = False
    source_key: int = 0

    def __post_init__(self) -> None:
        """Refuse what the hardware answers with an error interrupt."""
        if self.length < 1:
            raise ValueError("a message has at least one byte")


class DmaPacket(NamedTuple):
    """The content of one torus packet sent by a DMA engine; in memory, one slot of a reception FIFO.

    Attributes
    ----------
    descriptor
        The message it is part of.
    source
        Node number it comes from.
    offset
        Position of its first byte in the message.
    payload_bytes
        Bytes of the message in it.
    chunks
        Size of the packet in chunks of 32 bytes.
    """

    descriptor: Descriptor
    source: int
    offset: int
    payload_bytes: int
    chunks: int

    @property
    def last(self) -> bool:
        """Whether it carries the end of the message."""
        return self.offset + self.payload_bytes >= self.descriptor.length
