"""The walk, written to be read: every TLB is a list of entries that is searched.

It takes the same operations and prices as the compiled walk and must agree with it in every
register, count and cycle. Where the compiled walk remembers in which entry a page is, this one
looks: entries have pages, sizes, PIDs and translation spaces, and what is flushed follows from the
ranges that overlap. Much slower, it is for tests and for readers.

The guest's kernel is here, what happens underneath it in ``bgsim.platforms.reference_core``. Left
out: as in ``bgsim.platforms.walk``.

Source: the TLB handler of Linux ``head_44x.S``, ``entry_32.S`` and ``misc_32.S``, step by step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from bgsim.hardware.tlb import EVERY_PID, RoundRobin
from bgsim.platforms import layout
from bgsim.platforms.layout import Tables
from bgsim.platforms.reference_core import LINEAR_PAGE, PINNED_PAGES, BareCore, Ledger, VirtualCore
from bgsim.platforms.reference_walked import WalkedBareCore, WalkedVirtualCore
from bgsim.profiles import program as ops
from bgsim.profiles.program import Program

FRAGMENT_PAGES = 256
"""Pages in a MiB."""

_ENTER_CAUSES = {
    ops.EXCEPTION_SYSCALL: (layout.CAUSE_SYSCALL, layout.SEQ_SYSCALL),
    ops.EXCEPTION_DSI: (layout.CAUSE_DSI, layout.SEQ_STORAGE_FAULT),
    ops.EXCEPTION_ISI: (layout.CAUSE_ISI, layout.SEQ_STORAGE_FAULT),
    ops.EXCEPTION_FP_UNAVAILABLE: (layout.CAUSE_FP, layout.SEQ_FP_UNAVAILABLE),
}

_FAULTS = {
    ops.EXCEPTION_DTLB: ops.EXCEPTION_DSI,
    ops.EXCEPTION_ITLB: ops.EXCEPTION_ISI,
}
"""What a page without a translation raises where the hardware walks page tables."""

_INTERRUPTS = {
    ops.EXCEPTION_DECREMENTER: layout.SEQ_TICK,
    ops.EXCEPTION_EXTERNAL: layout.SEQ_EXTERNAL,
}


class ReferenceWalk:
    """A guest processor that runs operations one by one.

    Parameters
    ----------
    program
        Facts of the pages that operations name by key.
    tables
        Prices; they also say whether a microkernel is underneath.
    guest_entries, guest_pins
        Entries of the TLB the guest fills, and how many of them, from the top, map its kernel.
    hardware_entries
        Entries of the hardware TLB that L4 fills; not looked at on bare metal.
    sequences
        Number of privileged sequences of the guest.

    Attributes
    ----------
    register
        Registers as in :mod:`bgsim.platforms.layout`; those that describe the TLBs are in
        :meth:`numbers` only.
    mapped
        MiB of guest memory L4 has a mapping for.
    """

    def __init__(
        self,
        program: Program,
        tables: Tables,
        guest_entries: int,
        guest_pins: int,
        hardware_entries: int,
        sequences: int,
    ) -> None:
        self.program = program
        self.ledger = self.new_ledger(tables, sequences)
        self.register = self.ledger.register
        self.price = self.ledger.price
        self.handler_text, self.handler_index = self.price[layout.HANDLER_AT : layout.HANDLER_AT + 2]
        self.core: BareCore | VirtualCore | WalkedBareCore | WalkedVirtualCore
        self.walks = self.ledger.mode(layout.MODE_TABLE_WALK)
        if tables.virtual:
            virtual = WalkedVirtualCore if self.walks else VirtualCore
            self.core = virtual(self.ledger, guest_entries, guest_pins, hardware_entries)
        else:
            bare = WalkedBareCore if self.walks else BareCore
            self.core = bare(self.ledger, guest_entries, guest_pins)
        self.replacement = RoundRobin(guest_entries - guest_pins - 1)
        self.mapped: set[int] = set()
        # What the program calls kernel pages lies behind the linear mapping, however long that is.
        self.shift = (guest_pins - 1) * PINNED_PAGES
        self.hardware_entries = hardware_entries
        self.register[layout.EXIT_LIMIT] = self.register[layout.PROGRAM_EXIT_LIMIT] = 1 << 62

    @staticmethod
    def new_ledger(tables: Tables, sequences: int) -> Ledger:
        """What time and counts are written into; a walk that is watched has one of its own."""
        return Ledger(tables, sequences)

    def numbers(self) -> NDArray[np.int64]:
        """Registers, counts, cycles and sequence counts in the order of ``State.number``."""
        ledger = self.ledger
        register = list(self.register)
        register[layout.GUEST_INDEX] = self.replacement.index
        register[layout.GUEST_TOP] = self.replacement.top
        register[layout.GUEST_ENTRIES] = self.core.entries
        register[layout.HARDWARE_ENTRIES] = self.hardware_entries
        register[layout.KEYS] = self.program.keys
        register[layout.LINES_PRESENT] = sum(1 << group for group in ledger.lines_present)
        for number, value in self.core.registers().items():
            register[number] = value
        return np.array(register + ledger.count + ledger.cycle + ledger.sequence_count, dtype=np.int64)

    def walk(self, operations: Sequence[int] | NDArray[np.uint32], end: int, deadline: int) -> int:
        """Run operations from the register ``POSITION`` up to ``end``; returns why it stopped."""
        register = self.register
        register[layout.DEADLINE] = deadline
        if register[layout.WORK_LEFT] > 0:
            self._run_down_work()
        while register[layout.NOW] < deadline:
            if (
                register[layout.EXITS] > register[layout.EXIT_LIMIT]
                or register[layout.PROGRAM_EXITS] > register[layout.PROGRAM_EXIT_LIMIT]
            ):
                return layout.STOP_EXIT
            if register[layout.POSITION] >= end:
                return layout.STOP_END
            word = int(operations[register[layout.POSITION]])
            kind, argument = word >> ops.KIND_SHIFT, word & ops.ARGUMENT_MASK
            for mib in self._memory_needed(kind, argument):
                if mib not in self.mapped:
                    register[layout.FAULT_MIB] = mib
                    return layout.STOP_RAM_FAULT
            self._execute(kind, argument)
            register[layout.POSITION] += 1
        return layout.STOP_DEADLINE

    def _execute(self, kind: int, argument: int) -> None:
        if kind in (ops.DATA, ops.INSTRUCTION):
            self._reference(argument, kind)
        elif kind in (ops.LOWMEM_DATA, ops.LOWMEM_INSTRUCTION):
            self._touch_linear(argument, kind - ops.LOWMEM_DATA)
        elif kind in (ops.WORK_USER, ops.WORK_KERNEL):
            self._work(argument, kind == ops.WORK_KERNEL)
        elif kind == ops.ENTER:
            self._enter(argument)
        elif kind == ops.PID:
            self.ledger.count[layout.COUNT_PID_WRITES] += 1
            self.ledger.privileged(layout.SEQ_SWITCH)
            self.core.write_pid(argument)
        elif kind == ops.TLBIE:
            self.core.invalidate_page(self.page_of(argument))
        elif kind == ops.TLBIA:
            self.core.invalidate_all(self.replacement.top)
        else:
            self.ledger.privileged(argument)

    # -- pages ---------------------------------------------------------------------------------------

    def page_of(self, key: int) -> int:
        """Virtual page of a page key."""
        page = int(self.program.key_page[key])
        return page + self.shift if self.program.key_kernel[key] else page

    def _reference(self, key: int, instruction: int) -> None:
        self.ledger.count[layout.COUNT_REFERENCES] += 1
        page, kernel = self.page_of(key), bool(self.program.key_kernel[key])
        if not self.core.access(page, kernel, instruction):
            self._refill(key, instruction)
            retried = self.core.access(page, kernel, instruction)
            assert retried, "the TLB handler has loaded the page"

    def _touch_linear(self, mib: int, instruction: int) -> None:
        """The kernel touches its linear mapping, which its pinned entries hold on every platform."""
        found = self.core.access(LINEAR_PAGE + mib * FRAGMENT_PAGES, True, instruction)
        assert found, "the linear mapping is pinned"

    def _memory_needed(self, kind: int, argument: int) -> Iterator[int]:
        """MiB of kernel memory an operation touches through mappings that L4 may lack, in order."""
        if not self.ledger.virtual or len(self.mapped) == layout.FRAGMENTS:
            return
        if kind in (ops.DATA, ops.INSTRUCTION):
            page, kernel = self.page_of(argument), bool(self.program.key_kernel[argument])
            if self.core.reaches(page, kernel):
                return
            if isinstance(self.core, WalkedVirtualCore):
                if not self.core.shadows(page, kernel):
                    yield from (
                        int(self.program.key_directory[argument]),
                        int(self.program.key_table[argument]),
                    )
            elif not self.core.knows(page):
                yield from self._handler_memory(argument)
        elif kind in (ops.LOWMEM_DATA, ops.LOWMEM_INSTRUCTION):
            if not self.core.reaches(LINEAR_PAGE + argument * FRAGMENT_PAGES, True):
                yield argument
        elif kind == ops.ENTER and argument in _FAULTS and not self.walks:
            yield self.handler_text

    def _handler_memory(self, key: int) -> Iterator[int]:
        yield self.handler_text
        if not self.program.key_kernel[key]:
            yield int(self.program.key_thread[key])
        yield int(self.program.key_directory[key])
        yield int(self.program.key_table[key])
        yield self.handler_index

    # -- the guest's kernel ----------------------------------------------------------------------------

    def _refill(self, key: int, instruction: int) -> None:
        """The TLB miss handler: save, walk the page table, choose an entry, write it, restore."""
        ledger, program = self.ledger, self.program
        kernel = bool(program.key_kernel[key])
        assert isinstance(self.core, BareCore | VirtualCore), "with page table walks no handler runs"
        self.core.reflect_miss(instruction)
        if ledger.virtual:
            ledger.charge(layout.CAUSE_DCACHE_KERNEL, self.price[layout.PRICE_DCACHE_REFILL])
        ledger.count[layout.COUNT_GUEST_MISS_D + instruction] += 1
        ledger.count[layout.COUNT_HANDLER_KERNEL if kernel else layout.COUNT_HANDLER_USER] += 1
        own = layout.PRICE_HANDLER_KERNEL if kernel else layout.PRICE_HANDLER_USER
        ledger.charge(layout.CAUSE_REFILL, self.price[own])
        self._touch_linear(self.handler_text, 1)
        if kernel:
            save = (layout.SEQ_REFILL_SAVE_KERNEL, layout.SEQ_REFILL_SAVE_KERNEL_INSTRUCTION)
        else:
            save = (layout.SEQ_REFILL_SAVE_USER, layout.SEQ_REFILL_SAVE_USER_INSTRUCTION)
        ledger.privileged(save[instruction])
        if not kernel:
            self._touch_linear(int(program.key_thread[key]), 0)
        ledger.privileged(layout.SEQ_REFILL_WALK_KERNEL if kernel else layout.SEQ_REFILL_WALK_USER)
        self._touch_linear(int(program.key_directory[key]), 0)
        self._touch_linear(int(program.key_table[key]), 0)
        self._touch_linear(self.handler_index, 0)
        pid = EVERY_PID if kernel else self.core.pid
        index = self.replacement.allocate()
        self.core.write(index, self.page_of(key), pid, bool(program.key_executable[key]), kernel)

    def _enter(self, exception: int) -> None:
        ledger = self.ledger
        if self.walks and exception in _FAULTS:
            exception = _FAULTS[exception]  # no TLB handler comes first: a storage exception
        ledger.count[layout.COUNT_ENTER + exception] += 1
        if exception in (ops.EXCEPTION_DTLB, ops.EXCEPTION_ITLB):
            assert isinstance(self.core, BareCore | VirtualCore)
            # The TLB handler finds no translation and bails out into the page fault handler.
            self.core.reflect_miss(exception - ops.EXCEPTION_DTLB)
            self._touch_linear(self.handler_text, 1)
            ledger.privileged(layout.SEQ_PAGE_FAULT)
        elif exception in _INTERRUPTS:
            # Raised at the end of an exit that has its own price.
            ledger.privileged(_INTERRUPTS[exception])
        else:
            cause, sequence = _ENTER_CAUSES.get(exception, (layout.CAUSE_PROGRAM, layout.SEQ_PROGRAM))
            cycles, lines = self.price[layout.ENTER_AT + exception], layout.LINES_ENTER
            if self.walks and exception in _FAULTS.values():
                sequence = layout.SEQ_WALKED_FAULT
                if ledger.virtual and self.walks == layout.WALK_OF_SHADOW:
                    # The kernel has to look into the guest's page table first, to find nothing.
                    cycles, lines = self.price[layout.PRICE_SHADOW_FAULT], layout.LINES_SHADOW_FILL
            ledger.charge(cause, cycles)
            if ledger.virtual and ledger.lines_of(lines):
                ledger.leave(ledger.lines_of(lines), program=False)
            ledger.privileged(sequence)

    # -- work ------------------------------------------------------------------------------------------

    def _work(self, instructions: int, kernel: bool) -> None:
        ledger, register = self.ledger, self.register
        if kernel:
            ledger.count[layout.COUNT_INSTRUCTIONS_KERNEL] += instructions
            pairs = instructions * self.price[layout.PRICE_IRQ_PAIRS_MILLI]
            for _ in range(ledger.whole(layout.CARRY_PAIRS, pairs, 1_000_000)):
                ledger.privileged(layout.SEQ_IRQ_PAIR)
            milli = instructions * self.price[layout.PRICE_KERNEL_MILLI]
            register[layout.WORK_LEFT] = ledger.whole(layout.CARRY_KERNEL, milli)
            register[layout.WORK_CAUSE] = layout.CAUSE_KERNEL
        else:
            ledger.count[layout.COUNT_INSTRUCTIONS_USER] += instructions
            milli = instructions * self.price[layout.PRICE_USER_MILLI]
            register[layout.WORK_LEFT] = ledger.whole(layout.CARRY_USER, milli)
            register[layout.WORK_CAUSE] = layout.CAUSE_USER
        register[layout.LINES_BROUGHT] += instructions * self.price[layout.PRICE_MISS_MICRO]
        self._run_down_work()

    def _run_down_work(self) -> None:
        """Pass the time of the work at hand as far as the deadline allows."""
        register = self.register
        time_left = max(register[layout.DEADLINE] - register[layout.NOW], 0)
        cycles = min(register[layout.WORK_LEFT], time_left)
        self.ledger.charge(register[layout.WORK_CAUSE], cycles)
        register[layout.WORK_LEFT] -= cycles
