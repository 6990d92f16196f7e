"""What an NFS client and its server say to each other: procedures of version 3, lengths of their messages.

Lengths follow from the protocol's XDR: a record mark, the header of the call or of its answer, and the
procedure's arguments and results with the attributes that version 3 puts into nearly every answer. File
handles have 32 bytes, credentials the name of a node and no further groups; that is a choice.

Left out: directories other than as parts of a path, rename, remove and the like, locks, and errors other
than that there is no such file.

Source: RFC 1813 (NFS version 3), RFC 1831 (RPC).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from bgsim.hardware.io_protocol import Layer

RECORD_MARK_BYTES = 4
CALL_HEADER_BYTES = RECORD_MARK_BYTES + 24 + 44 + 8
"""Identifier to procedure number; credentials of a node with a name of up to 16 bytes; an empty verifier."""

ANSWER_HEADER_BYTES = RECORD_MARK_BYTES + 24
"""Identifier, accepted, an empty verifier, success."""

HANDLE_BYTES = 4 + 32
ATTRIBUTES_BYTES = 4 + 84
STATUS_BYTES = 4
WEAK_CACHE_BYTES = 4 + 24 + ATTRIBUTES_BYTES
"""Attributes before and after a change."""


class Procedure(Enum):
    """The procedures that are used, by the name they have in records."""

    GETATTR = "getattr"
    LOOKUP = "lookup"
    ACCESS = "access"
    READ = "read"
    WRITE = "write"
    CREATE = "create"
    COMMIT = "commit"


_ARGUMENTS = {
    Procedure.GETATTR: HANDLE_BYTES,
    Procedure.LOOKUP: HANDLE_BYTES + 4,  # and the name
    Procedure.ACCESS: HANDLE_BYTES + 4,
    Procedure.READ: HANDLE_BYTES + 8 + 4,
    Procedure.WRITE: HANDLE_BYTES + 8 + 4 + 4 + 4,  # and the data
    Procedure.CREATE: HANDLE_BYTES + 4 + 4 + 28,  # and the name; the mode is set, five other settings are not
    Procedure.COMMIT: HANDLE_BYTES + 8 + 4,
}
_RESULTS = {
    Procedure.GETATTR: ATTRIBUTES_BYTES - 4,
    Procedure.LOOKUP: HANDLE_BYTES + 2 * ATTRIBUTES_BYTES,
    Procedure.ACCESS: ATTRIBUTES_BYTES + 4,
    Procedure.READ: ATTRIBUTES_BYTES + 4 + 4 + 4,  # and the data
    Procedure.WRITE: WEAK_CACHE_BYTES + 4 + 4 + 8,
    Procedure.CREATE: 4 + HANDLE_BYTES + ATTRIBUTES_BYTES + WEAK_CACHE_BYTES,
    Procedure.COMMIT: WEAK_CACHE_BYTES + 8,
}


def padded(size: int) -> int:
    """Bytes that so many take in XDR, which goes by fours."""
    return -(-size // 4) * 4


@dataclass(frozen=True, slots=True)
class Attributes:
    """What an answer says of a file.

    Attributes
    ----------
    size
        Bytes.
    change
        Grows whenever the file is written.
    """

    size: int
    change: int


@dataclass(eq=False, slots=True)
class Rpc:
    """One call and its answer.

    Attributes
    ----------
    node
        The client.
    procedure
        Which procedure.
    path
        The file or directory it is about; names stand for handles.
    directory
        Whether it is a directory.
    offset, length
        Of READ, WRITE and COMMIT.
    stable
        Of WRITE: whether the server must have it on disk.
    found
        Attributes in the answer; None where there is no such file, and of a directory.
    exists
        Whether there is such a file or directory.
    done
        Whether the client has the answer.
    spans
        Until when the time belonged to which layer, in order.
    """

    node: int
    procedure: Procedure
    path: str
    directory: bool = False
    offset: int = 0
    length: int = 0
    stable: bool = False
    found: Attributes | None = None
    exists: bool = False
    done: bool = False
    since: int = 0
    spans: list[tuple[Layer, int]] = field(default_factory=list)

    def charge(self, layer: Layer, until: int) -> None:
        """Give the time up to a moment to a layer."""
        self.spans.append((layer, until))

    def layers_between(self, begin: int, end: int) -> list[int]:
        """Cycles by layer of a stretch of its time; what no place has charged is the compute core's."""
        cycles = [0] * len(Layer)
        since = begin
        for layer, until in self.spans:
            stop = min(until, end)
            if stop > since:
                cycles[layer] += stop - since
                since = stop
        cycles[Layer.COMPUTE] += end - since
        return cycles


@dataclass(eq=False, slots=True)
class CallMessage:
    """The message that calls."""

    rpc: Rpc

    @property
    def bytes(self) -> int:
        """Length with its record mark."""
        rpc = self.rpc
        name = rpc.path.rpartition("/")[2].encode()
        named = padded(len(name)) if rpc.procedure in (Procedure.LOOKUP, Procedure.CREATE) else 0
        data = padded(rpc.length) if rpc.procedure == Procedure.WRITE else 0
        return CALL_HEADER_BYTES + _ARGUMENTS[rpc.procedure] + named + data


@dataclass(eq=False, slots=True)
class AnswerMessage:
    """The message that answers."""

    rpc: Rpc

    @property
    def bytes(self) -> int:
        """Length with its record mark."""
        rpc = self.rpc
        if not rpc.exists:  # a failed LOOKUP tells the directory's attributes
            return ANSWER_HEADER_BYTES + STATUS_BYTES + ATTRIBUTES_BYTES
        data = padded(rpc.length) if rpc.procedure == Procedure.READ else 0
        return ANSWER_HEADER_BYTES + STATUS_BYTES + _RESULTS[rpc.procedure] + data
