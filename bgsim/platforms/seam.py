"""The seam between a guest and what it runs on.

A guest is written once, as generators that yield the requests below. What a request costs is
decided by the platform underneath; nothing above this seam may ask which one it is.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from bgsim.datasheet import Datasheet
from bgsim.guests.linux import Sequence
from bgsim.profiles.program import Program


@dataclass(frozen=True)
class Run:
    """Execute operations ``begin`` to ``end`` (exclusive) of a program."""

    program: Program
    begin: int = 0
    end: int | None = None


@dataclass(frozen=True)
class Load:
    """Load a word from a device register; the request's answer is its value."""

    address: int


@dataclass(frozen=True)
class Store:
    """Store a word to a device register."""

    address: int
    value: Any


@dataclass(frozen=True)
class LoadQuad:
    """Load 16 bytes from a device through the floating-point unit; the answer is what was read."""

    address: int


@dataclass(frozen=True)
class StoreQuad:
    """Store 16 bytes to a device through the floating-point unit."""

    address: int
    quad: Any


@dataclass(frozen=True)
class ReadDcr:
    """Read a device control register; the request's answer is its value."""

    number: int


@dataclass(frozen=True)
class WriteDcr:
    """Write a device control register."""

    number: int
    value: int


@dataclass(frozen=True)
class ReadMemory:
    """The object at a guest-physical address, such as a packet a device wrote there.

    Takes no time: the instructions that do it are in a :class:`Run`.
    """

    address: int


@dataclass(frozen=True)
class WriteMemory:
    """Put an object at a guest-physical address, such as a descriptor for a device. Takes no time."""

    address: int
    value: Any


@dataclass(frozen=True)
class SetInterrupts:
    """Take interrupts from now on, or not, in the present handler or program.

    Takes no time: the privileged instructions that do it are in a :class:`Run`. A handler starts
    with interrupts off; what it set ends with it.
    """

    enabled: bool


@dataclass(frozen=True)
class Wait:
    """Do nothing until an interrupt has been handled."""


@dataclass(frozen=True)
class Now:
    """Read the timebase; the request's answer is the time in core cycles. Never traps."""


@dataclass(frozen=True)
class Poll:
    """Read device registers in turn, pausing after each round, until one reads as wanted.

    A platform may do all of it in one go and answer with the position and the value of the read that
    ended it; or it answers None at once, and the guest does it read by read. See :func:`poll`.

    Attributes
    ----------
    reads
        How each register is read, and what tells whether its value is wanted.
    pause
        User instructions between two rounds.
    """

    reads: tuple[tuple[Load | ReadDcr, Callable[[int], bool]], ...]
    pause: Run


@dataclass(frozen=True)
class Move:
    """Take the program's communication to a native library beside its guest, where there is one.

    The answer says which devices the program's own drivers work from here on: names of `MOVABLE`; none where
    there is nothing to move to.
    """


@dataclass(frozen=True)
class SystemCall:
    """A system call of the microkernel, by a program that runs on it without an operating system.

    Attributes
    ----------
    name
        ``thread-switch``: let another thread run, of which none is ready. ``call-same-space``,
        ``call-other-space``: send a thread of the program's own address space, or of another one, a short
        message, and wait for the answer, which it gives at once.
    """

    name: str


MOVABLE = ("torus", "collective", "barrier")
"""Devices whose communication may be moved."""

DeviceAccess = Load | Store | LoadQuad | StoreQuad
DcrAccess = ReadDcr | WriteDcr
MemoryAccess = ReadMemory | WriteMemory
Request = (
    Run | DeviceAccess | DcrAccess | MemoryAccess | SetInterrupts | Wait | Now | Poll | Move | SystemCall
)
Code = Generator[Request, Any, None]


def poll(request: Poll) -> Generator[Request, Any, tuple[int, int]]:
    """Poll registers; returns the position among its reads and the value of the one that ended it."""
    found: tuple[int, int] | None = yield request
    while found is None:
        for position, (read, wanted) in enumerate(request.reads):
            value = yield read
            if wanted(value):
                return position, value
        yield request.pause
    return found


class MachineCheckError(Exception):
    """What a guest's code gets at a request for memory that is not there; a guest that ignores it dies.

    Attributes
    ----------
    address
        Guest-physical address; of a stretch of work, that of the first MiB of memory it did not find.
    """

    def __init__(self, address: int) -> None:
        super().__init__(f"no memory at guest address {address:#x}")
        self.address = address


class GuestDiedError(RuntimeError):
    """A guest touched memory that its virtual machine does not have, and nothing in it handled that.

    The machine's ``process`` fails with it, and so does the simulation, unless somebody has said that the
    death is expected (``process.defused = True``): a measurement has no answer any more.
    """


class Guest(Protocol):
    """An operating system and its programs, as a platform sees them."""

    @property
    def sequences(self) -> tuple[Sequence, ...]:
        """Privileged sequences, by number."""

    @property
    def program(self) -> Program:
        """The program whose pages the guest maps."""

    def pinned_entries(self, memory_bytes: int) -> int:
        """TLB entries the guest pins for its linear mapping of that much memory."""

    @property
    def timer_period_cycles(self) -> int:
        """Period of the guest's timer interrupt; 0 for a guest without one."""

    @property
    def irq_pairs_milli(self) -> int:
        """Interrupt-flag pairs per million kernel instructions."""

    @property
    def lines_per_iccci_milli(self) -> int:
        """Thousandths of instruction lines the guest refetches when the L1I is emptied."""

    def main(self) -> Code:
        """The guest's program."""

    def timer_interrupt(self) -> Code:
        """Handler of the decrementer interrupt."""

    def external_interrupt(self) -> Code:
        """Handler of the external interrupt."""


@dataclass(frozen=True)
class ExitCause:
    """How often one cause made the guest leave, and what that cost."""

    cause: str
    count: int
    cycles_l4: int
    cycles_vmm: int


TICKS = frozenset({"PPC_HVM_EXCEPT_DECREMENTER", "PPC_EXCEPT_DECR"})
"""Causes that are the microkernel's own timer ticks, by whether they find a guest or a program."""


class Platform(Protocol):
    """What a guest runs on."""

    name: str
    datasheet: Datasheet

    def finished(self) -> bool:
        """Whether the guest's program has ended."""

    def exits(self) -> list[ExitCause]:
        """Exit causes in decreasing order of cycles; empty where the guest never leaves."""

    def attribution(self) -> dict[str, int]:
        """Cause to cycles once the run is over; the values add up to the elapsed cycles of the core."""

    def running_attribution(self) -> dict[str, int]:
        """Cause to cycles so far."""

    def counters(self) -> dict[str, int]:
        """Event counts by name."""


def total_attribution(platforms: Iterable[Platform]) -> dict[str, int]:
    """Attributions of several cores added up."""
    total: dict[str, int] = {}
    for platform in platforms:
        for cause, cycles in platform.attribution().items():
            total[cause] = total.get(cause, 0) + cycles
    return total
