"""The compiled walk of a program that runs directly on the microkernel.

Such a program has an address space of the microkernel and no kernel of its own: a page that is not in the
hardware TLB is loaded by L4 from the space's page table, in one exception and without a search, and an
executable page does not empty the L1I. A page that the page table has not got either is its pager's affair:
the walk stops there, and the reference is run again once the pager has mapped it. A privileged instruction
stops the walk too: a program in user mode may not execute one.

Pages are numbered: page keys of the program first, then MiB of its static memory, then pages of device
registers. An entry of the hardware TLB that belongs to the program's space holds ``NATIVE_KEY`` less the
page's number, so that it is never taken for one of a guest, which may share the TLB with it.

``bgsim.platforms.reference_native`` is the same walk written to be read.

Source: L4Ka::Pistachio ``glue/v4-powerpc/space-swtlb.cc`` (``handle_tlb_miss``) and ``swtlb.h``.
"""

# The compiled functions take arrays by position and are typed by their callers' named tuples.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from bgsim.compiled import compiled, compiled_inner
from bgsim.platforms.layout import (
    CARRY_USER,
    CAUSE_DTLB,
    CAUSE_USER,
    COUNT_HARDWARE_MISS_D,
    COUNT_INSERT,
    COUNT_INSTRUCTIONS_USER,
    COUNT_REFERENCES,
    COUNTS_AT,
    DEADLINE,
    EXITS,
    FAULT_MIB,
    HARDWARE_ENTRIES,
    HARDWARE_INDEX,
    HARDWARE_KEY,
    HARDWARE_SLOT,
    HARDWARE_VALID,
    KEYS,
    LINE_MASKS_AT,
    LINES_INSERT,
    LINES_PRESENT,
    NATIVE_KEY,
    NATIVE_SLOT,
    NATIVE_UNMAPPED,
    NO_KEY,
    NOW,
    POSITION,
    PRICE_HANDLER_USER,
    PRICE_USER_MILLI,
    STOP_DEADLINE,
    STOP_END,
    STOP_PRIVILEGED,
    STOP_RAM_FAULT,
    WORK_LEFT,
)
from bgsim.platforms.walk_exits import charge, fetch_lines


@compiled_inner
def _place(state, page):
    """Put a page into the hardware TLB: a free entry first, round robin otherwise."""
    register = state.number
    entries = register[HARDWARE_ENTRIES]
    if register[HARDWARE_VALID] < entries:
        slot = 0
        while state.entry[HARDWARE_KEY, slot] != NO_KEY:
            slot += 1
        register[HARDWARE_VALID] += 1
    else:
        slot = (register[HARDWARE_INDEX] + 1) % entries
        register[HARDWARE_INDEX] = slot
        old = state.entry[HARDWARE_KEY, slot]
        if old >= 0:
            state.slot[HARDWARE_SLOT, old] = -1
    state.entry[HARDWARE_KEY, slot] = NATIVE_KEY - page
    state.slot[NATIVE_SLOT, page] = slot


@compiled
def native_touch(tables, state, page, instruction):
    """Reach a page of the program's space; False, with its number in ``FAULT_MIB``, if it is not mapped."""
    slot = state.slot[NATIVE_SLOT, page]
    if slot >= 0 and state.entry[HARDWARE_KEY, slot] == NATIVE_KEY - page:
        return True
    register = state.number
    if slot == NATIVE_UNMAPPED:
        register[FAULT_MIB] = page
        return False
    register[EXITS] += 1
    register[COUNTS_AT + COUNT_HARDWARE_MISS_D + instruction] += 1
    register[COUNTS_AT + COUNT_INSERT] += 1
    charge(state, CAUSE_DTLB + instruction, tables.price[PRICE_HANDLER_USER])
    groups = tables.price[LINE_MASKS_AT + LINES_INSERT]
    if groups & ~register[LINES_PRESENT]:
        fetch_lines(tables, state, groups)
    _place(state, page)
    return True


@compiled_inner
def _finish_work(state):
    """Run down the stretch of work at hand as far as the deadline allows."""
    register = state.number
    cycles = min(register[WORK_LEFT], max(register[DEADLINE] - register[NOW], 0))
    charge(state, CAUSE_USER, cycles)
    register[WORK_LEFT] -= cycles


@compiled
def native_walk(operations, pages, tables, state, end):
    """Run operations from ``state.number[POSITION]`` up to ``end``.

    Returns STOP_END, STOP_DEADLINE, STOP_RAM_FAULT with the page's number in ``FAULT_MIB``, or
    STOP_PRIVILEGED; the operation that cannot be run has then not been run.
    """
    register = state.number
    position = register[POSITION]
    if register[WORK_LEFT] > 0:
        _finish_work(state)
    while True:
        if register[NOW] >= register[DEADLINE]:
            register[POSITION] = position
            return STOP_DEADLINE
        if position >= end:
            register[POSITION] = position
            return STOP_END
        word = operations[position]
        kind = word >> 28
        argument = word & 0xFFFFFFF
        if kind <= 3:
            page = argument if kind <= 1 else register[KEYS] + argument
            if not native_touch(tables, state, page, kind & 1):
                register[POSITION] = position
                return STOP_RAM_FAULT
            if kind <= 1:
                register[COUNTS_AT + COUNT_REFERENCES] += 1
        elif kind == 4:
            register[COUNTS_AT + COUNT_INSTRUCTIONS_USER] += argument
            milli = argument * tables.price[PRICE_USER_MILLI] + register[CARRY_USER]
            register[CARRY_USER] = milli % 1000
            register[WORK_LEFT] = milli // 1000
            _finish_work(state)
        else:
            register[POSITION] = position
            return STOP_PRIVILEGED
        position += 1
