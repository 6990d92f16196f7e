"""The walk of a program directly on the microkernel, written to be read.

It must agree with the compiled walk of :mod:`bgsim.platforms.native_walk` in every register, count, cycle and
TLB entry. Where that numbers pages and remembers where each was last put, this one has the space's page table
and a TLB whose entries have pages, sizes and translation spaces, and looks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bgsim.hardware.tlb import FreeThenRoundRobin, Tlb, TlbEntry
from bgsim.platforms import layout
from bgsim.platforms.layout import Tables
from bgsim.platforms.reference_core import LINEAR_PAGE, Ledger
from bgsim.profiles import program as ops
from bgsim.profiles.program import Program

NATIVE_SPACE = 0
"""Translation space of L4, its servers and its programs; guests have the other one."""

MIB_PAGES = 256


class ReferenceNativeWalk:
    """A processor with one program that has an address space of the microkernel.

    Parameters
    ----------
    program
        Knows the pages that operations name by key.
    tables
        Prices.
    hardware_entries
        Entries of the hardware TLB that L4 fills.

    Attributes
    ----------
    page_table
        What the pager has mapped, first page to number of pages of each hardware entry it makes.
    """

    def __init__(self, program: Program, tables: Tables, hardware_entries: int) -> None:
        self.program = program
        self.ledger = Ledger(tables, 0)
        self.register = self.ledger.register
        self.hardware = Tlb(hardware_entries)
        self.replacement = FreeThenRoundRobin()
        self.page_table: dict[int, int] = {}
        self.hardware_entries = hardware_entries

    def map(self, number: int) -> None:
        """The pager maps a page, by its number: of a key, or of a MiB."""
        first, pages = self.page_of(number)
        self.page_table[first] = pages

    def page_of(self, number: int) -> tuple[int, int]:
        """First virtual page, and pages, of a page's number."""
        if number < self.program.keys:
            return int(self.program.key_page[number]), 1
        return LINEAR_PAGE + (number - self.program.keys) * MIB_PAGES, MIB_PAGES

    def walk(self, operations: Sequence[int] | NDArray[np.uint32], end: int, deadline: int) -> int:
        """Run operations from the register ``POSITION`` up to ``end``; returns why it stopped."""
        register = self.register
        register[layout.DEADLINE] = deadline
        self._run_down_work()
        while register[layout.NOW] < deadline:
            if register[layout.POSITION] >= end:
                return layout.STOP_END
            word = int(operations[register[layout.POSITION]])
            kind, argument = word >> ops.KIND_SHIFT, word & ops.ARGUMENT_MASK
            if kind in (ops.DATA, ops.INSTRUCTION):
                if not self._touch(argument, kind):
                    return layout.STOP_RAM_FAULT
                self.ledger.count[layout.COUNT_REFERENCES] += 1
            elif kind in (ops.LOWMEM_DATA, ops.LOWMEM_INSTRUCTION):
                if not self._touch(self.program.keys + argument, kind - ops.LOWMEM_DATA):
                    return layout.STOP_RAM_FAULT
            elif kind == ops.WORK_USER:
                self.ledger.count[layout.COUNT_INSTRUCTIONS_USER] += argument
                milli = argument * self.ledger.price[layout.PRICE_USER_MILLI]
                register[layout.WORK_LEFT] = self.ledger.whole(layout.CARRY_USER, milli)
                self._run_down_work()
            else:
                return layout.STOP_PRIVILEGED
            register[layout.POSITION] += 1
        return layout.STOP_DEADLINE

    def _touch(self, number: int, instruction: int) -> bool:
        """Reach a page: by the TLB, or else by the page table, from which L4 loads an entry."""
        page, pages = self.page_of(number)
        if self.hardware.lookup(page, NATIVE_SPACE) is not None:
            return True
        if page not in self.page_table:
            self.register[layout.FAULT_MIB] = number
            return False
        ledger = self.ledger
        ledger.count[layout.COUNT_HARDWARE_MISS_D + instruction] += 1
        ledger.count[layout.COUNT_INSERT] += 1
        ledger.charge(layout.CAUSE_DTLB + instruction, ledger.price[layout.PRICE_HANDLER_USER])
        ledger.leave(ledger.lines_of(layout.LINES_INSERT), program=False)
        self.hardware.write(self.replacement.allocate(self.hardware), TlbEntry(page, pages, NATIVE_SPACE))
        return True

    def _run_down_work(self) -> None:
        """Pass the time of the work at hand as far as the deadline allows."""
        register = self.register
        time_left = max(register[layout.DEADLINE] - register[layout.NOW], 0)
        cycles = min(register[layout.WORK_LEFT], time_left)
        self.ledger.charge(layout.CAUSE_USER, cycles)
        register[layout.WORK_LEFT] -= cycles

    def numbers(self) -> NDArray[np.int64]:
        """Registers, counts and cycles in the order of ``State.number``."""
        register = list(self.register)
        register[layout.HARDWARE_ENTRIES] = self.hardware_entries
        register[layout.HARDWARE_VALID] = self.hardware.valid
        register[layout.HARDWARE_INDEX] = self.replacement.index
        register[layout.KEYS] = self.program.keys
        register[layout.LINES_PRESENT] = sum(1 << group for group in self.ledger.lines_present)
        return np.array(register + self.ledger.count + self.ledger.cycle, dtype=np.int64)
