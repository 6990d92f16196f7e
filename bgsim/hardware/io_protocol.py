"""What a compute node and its I/O node say to each other: file system calls as messages of packets.

A request is one packet with the call's arguments, a path included, and the data of a write in packets behind
it; an answer is one packet with the result, and the data of a read behind it. A packet of 256 B carries a
header of the daemon's and, of data, ``ciod.packet_payload`` bytes.

The format is a guess in the manner of what is known: data in packets of 240 B (IBM's Linux driver), one
packet for a call's arguments. Which calls are shipped follows the descriptions of CNK (Mm).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

CHANNEL = 1
"""Virtual channel of the calls; 0 is the messaging library's."""

PATH_BYTES_MAX = 224
"""What the packet with the arguments holds beside them."""


class Call(IntEnum):
    """The calls that are shipped."""

    OPEN = 0
    STAT = 1
    READ = 2
    WRITE = 3
    CLOSE = 4
    LSEEK = 5


METADATA = (Call.OPEN, Call.STAT)
"""Calls that the file server answers from its metadata."""


class Layer(IntEnum):
    """Where a call spends its time."""

    COMPUTE = 0
    COLLECTIVE = 1
    CIOD = 2
    ETHERNET = 3
    SERVER = 4


LAYERS: dict[Layer, str] = {
    Layer.COMPUTE: "compute_core",
    Layer.COLLECTIVE: "collective_network",
    Layer.CIOD: "ciod",
    Layer.ETHERNET: "ethernet",
    Layer.SERVER: "file_server",
}
"""Names of the layers, as they stand in records."""


@dataclass(eq=False, slots=True)
class Request:
    """One shipped call.

    Attributes
    ----------
    node, process
        Compute node, and process on it.
    call
        Which call.
    path
        Of open and stat.
    descriptor
        Of the others, as open answered.
    length
        Bytes to read or write.
    offset
        New position of lseek.
    shared
        Of open: whether all processes open this file, so that what is read of it is kept.
    create
        Of open: whether a file that is not there is made, empty.
    layers
        Cycles by :class:`Layer` so far.
    since
        When the time began that belongs to no layer yet.
    """

    node: int
    process: int
    call: Call
    path: str = ""
    descriptor: int = -1
    length: int = 0
    offset: int = 0
    shared: bool = False
    create: bool = False
    layers: list[int] = field(default_factory=lambda: [0] * len(Layer))
    since: int = 0

    def charge(self, layer: Layer, now: int) -> None:
        """Give the time up to now to a layer."""
        self.layers[layer] += now - self.since
        self.since = now


@dataclass(eq=False, slots=True)
class Answer:
    """What came of a call: its result, or an error number below zero."""

    request: Request
    value: int


@dataclass(frozen=True, slots=True)
class Fragment:
    """The daemon's header in each packet: which message, and which of its packets, from 0."""

    message: Request | Answer
    number: int
    last: bool


def data_packets(length: int, payload_bytes: int) -> int:
    """Packets that so many bytes of file data take."""
    return -(-length // payload_bytes)


def request_packets(call: Call, length: int, payload_bytes: int) -> int:
    """Packets from the compute node to the I/O node."""
    return 1 + (data_packets(length, payload_bytes) if call == Call.WRITE else 0)


def answer_packets(call: Call, value: int, payload_bytes: int) -> int:
    """Packets back, for a result."""
    return 1 + (data_packets(max(0, value), payload_bytes) if call == Call.READ else 0)
