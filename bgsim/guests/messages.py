"""What libraries for messages share: a message, a send under way, and the library's own costs.

Source: software costs ``bgsim datasheet 'dcmf.*'``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any

from bgsim.datasheet import Datasheet


@dataclass(frozen=True)
class Message:
    """What a sender hands over.

    Attributes
    ----------
    source
        Node number.
    size
        Bytes.
    content
        Anything, for the receiver.
    counter
        Injection counter of a rendezvous; None for an eager message.
    """

    source: int
    size: int
    content: Any = None
    counter: int | None = None


@dataclass(eq=False)
class Send:
    """A send under way; an eager one is done at once."""

    message: Message
    done: bool = False


@dataclass
class Accesses:
    """Device accesses of the library since it was ready, by what they were for; polls are not counted."""

    posting: int = 0
    handling: int = 0


@dataclass
class Costs:
    """The library's own instructions and cycles, from the datasheet."""

    datasheet: Datasheet
    post: int = field(init=False)
    get_extra: int = field(init=False)
    complete: int = field(init=False)
    poll: int = field(init=False)
    receive: int = field(init=False)
    packet: int = field(init=False)
    per_byte: Fraction = field(init=False)
    packet_read: int = field(init=False)
    local_send: int = field(init=False)

    def __post_init__(self) -> None:
        sheet = self.datasheet
        self.complete = sheet.cycles("dcmf.complete_cycles")
        self.post = max(0, sheet.cycles("dcmf.operation") - self.complete)
        self.get_extra = sheet.cycles("dcmf.get_extra")
        self.poll = sheet.integer("dcmf.poll_instructions")
        self.receive = sheet.integer("dcmf.receive_instructions")
        self.packet = sheet.integer("dcmf.packet_instructions")
        self.per_byte = Fraction(sheet.quantity("dcmf.copy_instructions_per_byte").value)
        self.packet_read = sheet.cycles("dcmf.packet_read_cycles")
        self.local_send = sheet.integer("dcmf.local_send_instructions")

    @cached_property
    def eager_limit(self) -> int:
        """Bytes of the longest message that is eager where nobody says; read when the first is sent so."""
        return int(self.datasheet.quantity("mpi.eager_limit").value)
