"""The compiled walk's invalidations: of entries, of pages, and of all at a switch of address spaces.

Parts of :mod:`bgsim.platforms.walk`, inlined into it.
"""

# The compiled functions take arrays by position and are typed by their callers' named tuples.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from bgsim.compiled import compiled_inner
from bgsim.platforms.layout import (
    CAUSE_HYPERCALL,
    CAUSE_PID,
    CAUSE_TLBSX,
    CAUSE_TLBWE,
    COUNT_FLUSH_ALL,
    COUNT_HYPERCALL,
    COUNT_ICACHE_SWITCH,
    COUNT_PID_WRITES,
    COUNT_TLBSX,
    COUNT_TLBWE_INVALIDATE,
    COUNT_WALKED_TLBIA,
    COUNT_WALKED_TLBIE,
    COUNTS_AT,
    FLUSH_ALL,
    FLUSH_HYPERCALL,
    FLUSHES_AT,
    GUEST_ENTRIES,
    GUEST_IS_VALID,
    GUEST_KEY,
    GUEST_SLOT,
    GUEST_TOP,
    GUEST_TOUCHED,
    GUEST_VALID,
    HARDWARE_ENTRIES,
    HARDWARE_KEY,
    HARDWARE_SLOT,
    HARDWARE_VALID,
    ICACHE_AT_SWITCH,
    KEYS,
    LINE_MASKS_AT,
    LINES_HYPERCALL,
    LINES_PID,
    LINES_PID_TAGGED,
    LINES_TLBSX,
    LINES_TLBWE,
    LINES_WALKED,
    MODE_ICACHE,
    MODE_PARAVIRTUAL,
    MODE_PID_TAGS,
    NO_KEY,
    PRICE_INDEX_UPDATE,
    PRICE_INVALID_ENTRY,
    PRICE_JOINED,
    PRICE_NATIVE_PID,
    PRICE_NATIVE_TLBSX,
    PRICE_PID_TAGGED,
    PRICE_SWITCH_LINES_MILLI,
    PRICE_TLBWE_INVALIDATE,
    PRICE_WALKED_TLBIA,
    PRICE_WALKED_TLBIE,
    SCAN_TLBSX,
    SCAN_TLBSX_MISS,
    SEQ_SWITCH,
    SEQ_TLBIE,
    VIRTUAL_AT,
)
from bgsim.platforms.walk_exits import (
    charge,
    empty_instruction_cache,
    program_exit,
    run_sequence,
    trap_if,
    visited,
)
from bgsim.platforms.walk_inserts import drop_hardware, flush_range


@compiled_inner
def invalidate(tables, state, slot, saving):
    """One tlbwe that makes the guest TLB entry ``slot`` invalid; a trap of its own costs ``saving`` more."""
    key = state.entry[GUEST_KEY, slot]
    state.number[COUNTS_AT + COUNT_TLBWE_INVALIDATE] += 1
    if tables.cured is not None:
        charge(state, CAUSE_TLBWE, tables.price[PRICE_INDEX_UPDATE] - saving)
    if state.entry[GUEST_TOUCHED, slot]:
        state.entry[GUEST_TOUCHED, slot] = 0
        flush_range(tables, state, key)
    else:
        charge(state, CAUSE_TLBWE, tables.price[PRICE_TLBWE_INVALIDATE])
        program_exit(tables, state, tables.price[LINE_MASKS_AT + LINES_TLBWE])
    if key >= 0:
        state.slot[GUEST_SLOT, key] = -1
        state.entry[GUEST_KEY, slot] = NO_KEY
    if state.entry[GUEST_IS_VALID, slot]:
        state.entry[GUEST_IS_VALID, slot] = 0
        state.number[GUEST_VALID] -= 1


@compiled_inner
def invalidate_page(tables, state, key):
    """The guest's _tlbie: search, and invalidate what was found."""
    paravirtual = tables.cured is not None and tables.price[MODE_PARAVIRTUAL] != 0
    if not paravirtual:
        run_sequence(tables, state, SEQ_TLBIE)
    slot = state.slot[GUEST_SLOT, key]
    state.number[COUNTS_AT + COUNT_TLBSX] += 1
    if tables.price[VIRTUAL_AT]:
        if slot >= 0:
            valid, invalid = visited(state, slot)
            cycles = tables.scan[SCAN_TLBSX, valid]
        else:
            valid = state.number[GUEST_VALID]
            invalid = state.number[GUEST_ENTRIES] - valid
            cycles = tables.scan[SCAN_TLBSX_MISS, valid]
        charge(state, CAUSE_TLBSX, cycles + invalid * tables.price[PRICE_INVALID_ENTRY])
        program_exit(tables, state, tables.price[LINE_MASKS_AT + LINES_TLBSX])
    else:
        charge(state, CAUSE_TLBSX, tables.price[PRICE_NATIVE_TLBSX])
    if slot >= 0:
        invalidate(tables, state, slot, tables.price[PRICE_JOINED] if paravirtual else 0)


@compiled_inner
def invalidate_all_in_one_call(tables, state):
    """The guest asks the kernel to invalidate every entry that it does not pin."""
    register = state.number
    register[COUNTS_AT + COUNT_HYPERCALL] += 1
    charge(state, CAUSE_HYPERCALL, tables.scan[FLUSHES_AT + FLUSH_HYPERCALL, register[HARDWARE_VALID]])
    for slot in range(register[HARDWARE_ENTRIES]):
        key = state.entry[HARDWARE_KEY, slot]
        if 0 <= key < register[KEYS]:
            drop_hardware(state, key)
    for slot in range(register[GUEST_TOP] + 1):
        key = state.entry[GUEST_KEY, slot]
        if key >= 0:
            state.slot[GUEST_SLOT, key] = -1
            state.entry[GUEST_KEY, slot] = NO_KEY
        if state.entry[GUEST_IS_VALID, slot]:
            state.entry[GUEST_IS_VALID, slot] = 0
            register[GUEST_VALID] -= 1
        state.entry[GUEST_TOUCHED, slot] = 0
    program_exit(tables, state, tables.price[LINE_MASKS_AT + LINES_HYPERCALL])


@compiled_inner
def walked_invalidate(tables, state, key):
    """The page-invalidating instruction of a machine that walks page tables."""
    state.number[COUNTS_AT + COUNT_WALKED_TLBIE] += 1
    charge(state, CAUSE_TLBWE, tables.price[PRICE_WALKED_TLBIE])
    if tables.price[VIRTUAL_AT]:
        state.slot[GUEST_SLOT, key] = -1
        if state.slot[HARDWARE_SLOT, key] >= 0:
            drop_hardware(state, key)
        trap_if(tables, state, LINES_WALKED)
    elif state.slot[GUEST_SLOT, key] >= 0:
        _drop_native(state, state.slot[GUEST_SLOT, key])


@compiled_inner
def walked_invalidate_all(tables, state):
    """The instruction that invalidates every page but the kernel's linear mapping, on such a machine."""
    register = state.number
    register[COUNTS_AT + COUNT_WALKED_TLBIA] += 1
    charge(state, CAUSE_TLBWE, tables.price[PRICE_WALKED_TLBIA])
    if tables.price[VIRTUAL_AT]:
        for slot in range(register[HARDWARE_ENTRIES]):
            key = state.entry[HARDWARE_KEY, slot]
            if 0 <= key < register[KEYS]:
                drop_hardware(state, key)
        for key in range(register[KEYS]):
            state.slot[GUEST_SLOT, key] = -1
        trap_if(tables, state, LINES_WALKED)
    else:
        for slot in range(register[GUEST_TOP] + 1):
            if state.entry[GUEST_KEY, slot] >= 0:
                _drop_native(state, slot)


@compiled_inner
def _drop_native(state, slot):
    """A TLB entry of the bare machine becomes invalid."""
    state.slot[GUEST_SLOT, state.entry[GUEST_KEY, slot]] = -1
    state.entry[GUEST_KEY, slot] = NO_KEY
    state.entry[GUEST_IS_VALID, slot] = 0
    state.number[GUEST_VALID] -= 1


@compiled_inner
def switch_address_space(tables, state):
    """``mtspr PID``: in a VM every hardware entry of the guest goes, unless it carries the PID."""
    register = state.number
    state.number[COUNTS_AT + COUNT_PID_WRITES] += 1
    run_sequence(tables, state, SEQ_SWITCH)
    if not tables.price[VIRTUAL_AT]:
        charge(state, CAUSE_PID, tables.price[PRICE_NATIVE_PID])
        return
    if tables.cured is not None and tables.price[MODE_PID_TAGS]:
        charge(state, CAUSE_PID, tables.price[PRICE_PID_TAGGED])
        trap_if(tables, state, LINES_PID_TAGGED)
    else:
        state.number[COUNTS_AT + COUNT_FLUSH_ALL] += 1
        charge(state, CAUSE_PID, tables.scan[FLUSHES_AT + FLUSH_ALL, register[HARDWARE_VALID]])
        for slot in range(register[HARDWARE_ENTRIES]):
            key = state.entry[HARDWARE_KEY, slot]
            if key >= 0:
                drop_hardware(state, key)
        for slot in range(register[GUEST_ENTRIES]):
            state.entry[GUEST_TOUCHED, slot] = 0
        program_exit(tables, state, tables.price[LINE_MASKS_AT + LINES_PID])
    if tables.cured is not None and tables.price[MODE_ICACHE] == ICACHE_AT_SWITCH:
        state.number[COUNTS_AT + COUNT_ICACHE_SWITCH] += 1
        empty_instruction_cache(tables, state, tables.price[PRICE_SWITCH_LINES_MILLI])
