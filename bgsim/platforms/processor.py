"""One guest processor: the guest's frames, its walk state, and what both platforms do alike.

A stretch of guest work runs ahead to its end or the next timer deadline, and its time is then passed in
one event. If an interrupt comes meanwhile, the stretch is taken back and run again up to that moment.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import simpy

from bgsim.hardware.memory import Memory
from bgsim.platforms import layout
from bgsim.platforms.seam import (
    Code,
    Guest,
    MachineCheckError,
    MemoryAccess,
    ReadMemory,
    Request,
    Run,
    Wait,
)
from bgsim.platforms.walk import walk
from bgsim.platforms.walk_exits import fetch_lines

FOREVER = 1 << 62

_CORE_REGISTERS = (
    layout.HARDWARE_INDEX,
    layout.LINES_PRESENT,
    layout.LINES_BROUGHT,
    layout.LINES_EXPIRY,
    *range(layout.LINES_BROUGHT_AT, layout.REGISTERS),
)
"""What belongs to the core, not to its guest: the kernel's place in the TLB, and its lines in the L1I."""


def access_memory(memory: Memory, access: MemoryAccess) -> Any:
    """Perform an access to an object in memory and return what it reads."""
    if isinstance(access, ReadMemory):
        return memory.read(access.address)
    return memory.write(access.address, access.value)


class PinnedEntriesError(ValueError):
    """A guest's static mapping has more entries than the TLB that it sees."""


def pinned_entries(guest: Guest, memory_bytes: int, entries: int) -> int:
    """TLB entries that a guest pins, which must fit.

    Parameters
    ----------
    guest
        The guest. One that maps pages on demand needs an entry that is not pinned, to replace it.
    memory_bytes
        Memory the guest was given.
    entries
        Entries of the TLB the guest sees.

    Raises
    ------
    PinnedEntriesError
        If they do not fit, with the parameters to change.
    """
    pins = guest.pinned_entries(memory_bytes)
    replaced = int(any(sequence.refill for sequence in guest.sequences))
    if pins + replaced > entries:
        more = ", needs one more for all other pages," if replaced else ""
        raise PinnedEntriesError(
            f"the guest maps {memory_bytes >> 20:,} MiB of memory with {pins:,} pinned TLB entries{more} and "
            f"sees {entries:,} (tlb.entries; in a virtual machine l4.vtlb.entries): take more entries or "
            "larger pinned pages (guest.pinned_page for Linux, cnk.page, zeptoos.bigmemory_page)"
        )
    return pins


class Processor:
    """Frames and walk state of one guest processor.

    Parameters
    ----------
    guest
        The guest; its program's pages are the only user pages that exist.
    tables
        Prices of the platform.
    memory_bytes
        Memory the guest was given.
    guest_entries
        Entries of the TLB the guest sees.
    hardware_entries
        Entries the microkernel may use; 1 on bare metal.

    Raises
    ------
    PinnedEntriesError
        If the guest pins more entries than there are.

    Attributes
    ----------
    walker
        The compiled walk that runs a stretch: a guest's, unless the program runs on the microkernel itself.
    died_of
        The machine check that nothing in the guest handled; None as long as it lives.
    """

    def __init__(
        self,
        environment: simpy.Environment,
        guest: Guest,
        tables: layout.Tables,
        memory_bytes: int,
        guest_entries: int,
        hardware_entries: int,
    ) -> None:
        self.environment = environment
        self.guest = guest
        self.tables = tables
        self.walker: Callable[..., Any] = walk
        self.pages = layout.page_facts(guest.program)
        self.state = layout.new_state(
            guest.program.keys,
            guest_entries,
            pinned_entries(guest, memory_bytes, guest_entries),
            hardware_entries,
            len(guest.sequences),
        )
        self._kept = self.state.duplicate()
        self._frames: list[tuple[Code, bool]] = []  # and whether it keeps interrupts out
        self.request: Request | None = None
        self._saved: list[tuple[Request | None, int, int, int]] = []
        self.walks = 0
        self.machine_checks = 0
        self.died_of: MachineCheckError | None = None
        self._foreign_slots: dict[int, int] = {}  # where each page of the VMM was last put
        self.push(guest.main(), interrupt=False)

    # -- frames ----------------------------------------------------------------------------------

    @property
    def in_interrupt(self) -> bool:
        """Whether no interrupt is taken: a handler is running, or the guest has switched them off."""
        return bool(self._frames) and self._frames[-1][1]

    @property
    def finished(self) -> bool:
        """Whether the guest's program has ended, or died."""
        return not self._frames

    @property
    def main_position(self) -> int:
        """Where the guest's own program stands, below any interrupt handler that runs."""
        if len(self._frames) > 1:
            return self._saved[1][1]
        return int(self.state.register[layout.POSITION])

    @property
    def main_work_left(self) -> int:
        """Cycles of the operation before that position that the guest's own program has still to do."""
        if len(self._frames) > 1:
            return self._saved[1][2]
        return int(self.state.register[layout.WORK_LEFT])

    def push(self, code: Code, interrupt: bool = True) -> None:
        """Start an interrupt handler on top of what runs."""
        register = self.state.register
        self._saved.append(
            (
                self.request,
                int(register[layout.POSITION]),
                int(register[layout.WORK_LEFT]),
                int(register[layout.WORK_CAUSE]),
            )
        )
        self._frames.append((code, interrupt))
        self.request = None
        register[layout.WORK_LEFT] = 0
        self.advance()

    def set_interrupts(self, enabled: bool) -> None:
        """The code that runs takes interrupts, or not; whatever it interrupted is not affected."""
        self._frames[-1] = (self._frames[-1][0], not enabled)

    def advance(self, answer: Any = None) -> None:
        """Answer the current request and fetch the next one; handlers that are done end."""
        register = self.state.register
        while self._frames:
            try:
                self.request = self._frames[-1][0].send(answer)
            except StopIteration:
                self._frames.pop()
                answer = None
                if self._restore():
                    return
                continue
            if isinstance(self.request, Run):
                register[layout.POSITION] = self.request.begin
            return

    def machine_check(self, error: MachineCheckError) -> None:
        """The code that runs gets a machine check at its request; the guest dies if nothing handles it."""
        register = self.state.register
        register[layout.WORK_LEFT] = 0
        self.machine_checks += 1
        try:
            self.request = self._frames[-1][0].throw(error)
        except StopIteration:
            self._frames.pop()
            if not self._restore():
                self.advance()
        except MachineCheckError as unhandled:
            self._frames.clear()
            self.request = None
            self.died_of = unhandled
        else:
            if isinstance(self.request, Run):
                register[layout.POSITION] = self.request.begin

    def _restore(self) -> bool:
        """Go back to what an interrupt interrupted; False where that was waiting for one."""
        register = self.state.register
        self.request, position, left, cause = self._saved.pop()
        register[layout.POSITION] = position
        register[layout.WORK_LEFT] = left
        register[layout.WORK_CAUSE] = cause
        return not isinstance(self.request, Wait) and self.request is not None

    # -- the walk -------------------------------------------------------------------------------

    def walk(self, deadline: int, begin: int | None = None) -> int:
        """Run the current stretch from ``begin`` (now) to ``deadline``; returns why it stopped."""
        request = self.request
        assert isinstance(request, Run)
        register = self.state.register
        register[layout.NOW] = self.environment.now if begin is None else begin
        register[layout.DEADLINE] = deadline
        end = len(request.program.operations) if request.end is None else request.end
        self.walks += 1
        return int(self.walker(request.program.operations, self.pages, self.tables, self.state, end))

    def pause_ends(self, run: Run, rounds: int) -> int:
        """Cycles that so many executions of a stretch of user work will have taken."""
        milli = rounds * run.program.instructions * int(self.tables.price[layout.PRICE_USER_MILLI])
        return (milli + int(self.state.register[layout.CARRY_USER])) // 1000

    def pause(self, run: Run, rounds: int) -> None:
        """Account for so many executions of a stretch of user work, whose time has passed."""
        if not rounds:
            return
        instructions = rounds * run.program.instructions
        milli = instructions * int(self.tables.price[layout.PRICE_USER_MILLI])
        milli += int(self.state.register[layout.CARRY_USER])
        self.state.register[layout.CARRY_USER] = milli % 1000
        self.state.cycle[layout.CAUSE_USER] += milli // 1000
        self.state.count[layout.COUNT_INSTRUCTIONS_USER] += instructions

    def may_be_interrupted(self, deadline: int) -> bool:
        """Whether anything happens before ``deadline`` that could raise an interrupt."""
        return self.environment.peek() < deadline

    def save(self) -> None:
        """Remember the state, so that a stretch can be taken back."""
        self._kept.assign(self.state)

    def take_back(self) -> None:
        """Go back to the state last saved."""
        self.state.assign(self._kept)

    def kernel_lines(self, groups: int) -> int:
        """Cycles the kernel spends fetching instruction lines of ``groups`` that are not in the L1I."""
        number = self.state.number
        aged = number[layout.LINES_BROUGHT] >= number[layout.LINES_EXPIRY]
        if not aged and not groups & ~int(number[layout.LINES_PRESENT]):
            return 0
        number[layout.NOW] = self.environment.now
        fetch_lines(self.tables, self.state, groups)
        return self.walked_to - int(self.environment.now)

    def touch_foreign(self, pages: int) -> int:
        """Hardware TLB misses when the VMM touches its own pages, which compete with the guest's."""
        register = self.state.register
        keys = self.state.entry[layout.HARDWARE_KEY]
        entries = int(register[layout.HARDWARE_ENTRIES])
        misses = 0
        for page in range(pages):
            key = layout.FOREIGN_KEY - page
            if self._foreign_slots.get(page, -1) >= 0 and keys[self._foreign_slots[page]] == key:
                continue
            misses += 1
            if register[layout.HARDWARE_VALID] < entries:
                slot = int((keys[:entries] == layout.NO_KEY).argmax())
                register[layout.HARDWARE_VALID] += 1
            else:
                slot = (int(register[layout.HARDWARE_INDEX]) + 1) % entries
                register[layout.HARDWARE_INDEX] = slot
                if keys[slot] >= 0:
                    self.state.slot[layout.HARDWARE_SLOT, keys[slot]] = -1
            keys[slot] = key
            self._foreign_slots[page] = slot
        return misses

    @property
    def hardware_entries(self) -> int:
        """Hardware TLB entries that the microkernel uses for this processor."""
        return int(self.state.register[layout.HARDWARE_ENTRIES])

    def hand_core_over(self, to: Processor) -> tuple[int, int]:
        """Another guest's processor gets the core: this one's hardware TLB entries are dropped.

        Entries of the VMM stay where they are. What is touched in this one's virtual TLB stays so, although
        nothing is in hardware any more.

        Returns
        -------
        tuple of int
            Valid hardware entries before, and how many of them were dropped.
        """
        entries = self.hardware_entries
        assert entries == to.hardware_entries
        keys = self.state.entry[layout.HARDWARE_KEY, :entries]
        valid = int(self.state.register[layout.HARDWARE_VALID])
        own = keys >= 0
        self.state.slot[layout.HARDWARE_SLOT, keys[own]] = -1
        keys[own] = layout.NO_KEY
        dropped = int(own.sum())
        left = valid - dropped
        self.state.register[layout.HARDWARE_VALID] = left
        to.state.entry[layout.HARDWARE_KEY, :entries] = keys
        to.state.register[layout.HARDWARE_VALID] = left
        for register in _CORE_REGISTERS:
            to.state.register[register] = self.state.register[register]
        to._foreign_slots = self._foreign_slots
        return valid, dropped

    @property
    def walked_to(self) -> int:
        """Time up to which the walk has run, in core cycles."""
        return int(self.state.register[layout.NOW])
