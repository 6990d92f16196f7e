"""The compiled walk's misses: refills by the guest's handler, walks by the hardware, entries put into TLBs.

Parts of :mod:`bgsim.platforms.walk`, inlined into it.
"""

# The compiled functions take arrays by position and are typed by their callers' named tuples.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from bgsim.compiled import compiled_inner
from bgsim.platforms.layout import (
    CAUSE_DCACHE_KERNEL,
    CAUSE_DTLB,
    CAUSE_ITLB,
    CAUSE_REFILL,
    CAUSE_TABLE_WALK,
    CAUSE_TLBWE,
    COUNT_FLUSH_RANGE,
    COUNT_GUEST_MISS_D,
    COUNT_HANDLER_KERNEL,
    COUNT_HANDLER_USER,
    COUNT_HARDWARE_MISS_D,
    COUNT_INSERT,
    COUNT_INSERT_EXECUTABLE,
    COUNT_INSERT_KERNEL,
    COUNT_SHADOW_FILL,
    COUNT_TABLE_WALK,
    COUNT_TLBWE_XLAT_UNTOUCHED,
    COUNT_WRITE_INSERT,
    COUNTS_AT,
    FLUSH_RANGE_MATCH,
    FLUSH_RANGE_MISS,
    FLUSHES_AT,
    GUEST_ENTRIES,
    GUEST_INDEX,
    GUEST_IS_VALID,
    GUEST_KEY,
    GUEST_SLOT,
    GUEST_TOP,
    GUEST_TOUCHED,
    GUEST_VALID,
    HANDLER_AT,
    HARDWARE_ENTRIES,
    HARDWARE_INDEX,
    HARDWARE_KEY,
    HARDWARE_SLOT,
    HARDWARE_VALID,
    ICACHE_AT_INSERT,
    KEYS,
    LINE_MASKS_AT,
    LINES_INSERT,
    LINES_REFLECT,
    LINES_SHADOW_FILL,
    LINES_TLBWE,
    LINES_TLBWE_FLUSH,
    LINES_WRITE_INSERT,
    MODE_FRAGMENT_SHIFT,
    MODE_ICACHE,
    MODE_PARAVIRTUAL,
    MODE_TABLE_WALK,
    MODE_WRITE_INSERT,
    NO_KEY,
    PAGE_DIRECTORY,
    PAGE_EXECUTABLE,
    PAGE_KERNEL,
    PAGE_TABLE,
    PAGE_THREAD,
    PRICE_DCACHE_REFILL,
    PRICE_FREE_SLOT,
    PRICE_GUEST_LINES_MILLI,
    PRICE_HANDLER_KERNEL,
    PRICE_HANDLER_USER,
    PRICE_INVALID_ENTRY,
    PRICE_SHADOW_FILL,
    PRICE_TABLE_WALK,
    PRICE_TLBWE_XLAT_UNTOUCHED,
    PRICE_WRITE_INSERT,
    SCAN_INSERT_LOWMEM_D,
    SCAN_REFLECT_D,
    SEQ_REFILL_RESTORE,
    SEQ_REFILL_RETURN,
    SEQ_REFILL_SAVE_KERNEL,
    SEQ_REFILL_SAVE_KERNEL_INSTRUCTION,
    SEQ_REFILL_SAVE_USER,
    SEQ_REFILL_SAVE_USER_INSTRUCTION,
    SEQ_REFILL_WALK_KERNEL,
    SEQ_REFILL_WALK_USER,
    SEQ_REFILL_WRITE,
    VIRTUAL_AT,
    WALK_OF_SHADOW,
)
from bgsim.platforms.walk_exits import (
    charge,
    empty_instruction_cache,
    fetch_lines,
    kernel_text,
    program_exit,
    run_sequence,
    visited,
)


@compiled_inner
def _place(tables, state, hardware_key):
    """Put a page into the hardware TLB: a free entry first, round robin otherwise. Returns the saving."""
    register = state.number
    entries = register[HARDWARE_ENTRIES]
    saving = 0
    if register[HARDWARE_VALID] < entries:
        slot = 0
        while state.entry[HARDWARE_KEY, slot] != NO_KEY:
            slot += 1
        register[HARDWARE_VALID] += 1
        saving = tables.price[PRICE_FREE_SLOT]
    else:
        slot = (register[HARDWARE_INDEX] + 1) % entries
        register[HARDWARE_INDEX] = slot
        old = state.entry[HARDWARE_KEY, slot]
        if old >= 0:
            state.slot[HARDWARE_SLOT, old] = -1
    state.entry[HARDWARE_KEY, slot] = hardware_key
    state.slot[HARDWARE_SLOT, hardware_key] = slot
    return saving


@compiled_inner
def _executable_insert(tables, state):
    """The kernel has loaded an executable entry, after which it may empty the L1I."""
    if tables.cured is None or tables.price[MODE_ICACHE] == ICACHE_AT_INSERT:
        state.number[COUNTS_AT + COUNT_INSERT_EXECUTABLE] += 1
        empty_instruction_cache(tables, state, tables.price[PRICE_GUEST_LINES_MILLI])


@compiled_inner
def insert(tables, state, hardware_key, index, scan, executable):
    """L4 answers a hardware miss from the virtual TLB entry ``index``."""
    cause = CAUSE_ITLB if scan & 1 else CAUSE_DTLB
    valid, invalid = visited(state, index)
    cycles = tables.scan[scan, valid] + invalid * tables.price[PRICE_INVALID_ENTRY]
    cycles -= _place(tables, state, hardware_key)
    state.entry[GUEST_TOUCHED, index] = 1
    state.number[COUNTS_AT + COUNT_INSERT] += 1
    state.number[COUNTS_AT + COUNT_HARDWARE_MISS_D + (scan & 1)] += 1
    charge(state, cause, cycles)
    kernel_text(tables, state, tables.price[LINE_MASKS_AT + LINES_INSERT])
    if executable:
        _executable_insert(tables, state)


@compiled_inner
def _write_insert(tables, state, key, index, executable):
    """L4 loads the hardware entry in the trap of the ``tlbwe`` that completes the virtual one."""
    state.number[COUNTS_AT + COUNT_INSERT] += 1
    state.number[COUNTS_AT + COUNT_WRITE_INSERT] += 1
    state.entry[GUEST_TOUCHED, index] = 1
    charge(state, CAUSE_TLBWE, tables.price[PRICE_WRITE_INSERT] - _place(tables, state, key))
    fetch_lines(tables, state, tables.price[LINE_MASKS_AT + LINES_WRITE_INSERT])
    if executable:
        _executable_insert(tables, state)


@compiled_inner
def walked(tables, state, key, instruction):
    """The hardware walks a page table and loads the entry itself."""
    mode = tables.price[MODE_TABLE_WALK]
    if mode == WALK_OF_SHADOW and state.slot[GUEST_SLOT, key] < 0:
        # The shadow table has not got the page: the kernel reads the guest's own and fills it in.
        state.number[COUNTS_AT + COUNT_SHADOW_FILL] += 1
        state.number[COUNTS_AT + COUNT_HARDWARE_MISS_D + instruction] += 1
        state.slot[GUEST_SLOT, key] = 0
        charge(state, CAUSE_DTLB + instruction, tables.price[PRICE_SHADOW_FILL])
        kernel_text(tables, state, tables.price[LINE_MASKS_AT + LINES_SHADOW_FILL])
    state.number[COUNTS_AT + COUNT_TABLE_WALK] += 1
    charge(state, CAUSE_TABLE_WALK, tables.price[PRICE_TABLE_WALK])
    _place(tables, state, key)


@compiled_inner
def touch_fragment(tables, state, keys, mib, instruction):
    """The guest kernel touches its linear mapping, which a VM holds in fragments of what the VMM maps."""
    if tables.price[VIRTUAL_AT]:
        key = keys + mib
        if tables.cured is not None:
            key = keys + (mib >> tables.price[MODE_FRAGMENT_SHIFT])
        if state.slot[HARDWARE_SLOT, key] >= 0:
            return
        if tables.cured is not None and tables.price[MODE_TABLE_WALK]:
            walked(tables, state, key, instruction)
            return
        # 256 MB per pinned entry, the first one at the top of the TLB.
        index = state.number[GUEST_ENTRIES] - 1 - mib // 256
        state.number[COUNTS_AT + COUNT_INSERT_KERNEL] += 1
        insert(tables, state, key, index, SCAN_INSERT_LOWMEM_D + instruction, True)


@compiled_inner
def drop_hardware(state, key):
    """A page's entry leaves the hardware TLB."""
    slot = state.slot[HARDWARE_SLOT, key]
    state.entry[HARDWARE_KEY, slot] = NO_KEY
    state.slot[HARDWARE_SLOT, key] = -1
    state.number[HARDWARE_VALID] -= 1


@compiled_inner
def flush_range(tables, state, key):
    """The scan that follows the first tlbwe to a touched virtual TLB entry."""
    valid = state.number[HARDWARE_VALID]
    match = FLUSH_RANGE_MISS
    if key >= 0 and state.slot[HARDWARE_SLOT, key] >= 0:
        match = FLUSH_RANGE_MATCH
    charge(state, CAUSE_TLBWE, tables.scan[FLUSHES_AT + match, valid])
    if match == FLUSH_RANGE_MATCH:
        drop_hardware(state, key)
    state.number[COUNTS_AT + COUNT_FLUSH_RANGE] += 1
    program_exit(tables, state, tables.price[LINE_MASKS_AT + LINES_TLBWE_FLUSH])


@compiled_inner
def reflect_miss(tables, state, instruction):
    """L4 finds no virtual TLB entry and raises the miss in the guest."""
    register = state.number
    invalid = state.number[GUEST_ENTRIES] - register[GUEST_VALID]
    cycles = tables.scan[SCAN_REFLECT_D + instruction, register[GUEST_VALID]]
    cycles += invalid * tables.price[PRICE_INVALID_ENTRY]
    charge(state, CAUSE_DTLB + instruction, cycles)
    state.number[COUNTS_AT + COUNT_HARDWARE_MISS_D + instruction] += 1
    kernel_text(tables, state, tables.price[LINE_MASKS_AT + LINES_REFLECT])


@compiled_inner
def refill(tables, pages, state, key, instruction):
    """The guest's TLB miss handler loads the entry of one page."""
    register = state.number
    keys = state.number[KEYS]
    kernel = pages[PAGE_KERNEL, key]
    if tables.price[VIRTUAL_AT]:
        reflect_miss(tables, state, instruction)
        charge(state, CAUSE_DCACHE_KERNEL, tables.price[PRICE_DCACHE_REFILL])
    state.number[COUNTS_AT + COUNT_GUEST_MISS_D + instruction] += 1
    touch_fragment(tables, state, keys, tables.price[HANDLER_AT + 0], 1)
    if kernel:
        state.number[COUNTS_AT + COUNT_HANDLER_KERNEL] += 1
        charge(state, CAUSE_REFILL, tables.price[PRICE_HANDLER_KERNEL])
        run_sequence(
            tables, state, SEQ_REFILL_SAVE_KERNEL_INSTRUCTION if instruction else SEQ_REFILL_SAVE_KERNEL
        )
        run_sequence(tables, state, SEQ_REFILL_WALK_KERNEL)
    else:
        state.number[COUNTS_AT + COUNT_HANDLER_USER] += 1
        charge(state, CAUSE_REFILL, tables.price[PRICE_HANDLER_USER])
        run_sequence(tables, state, SEQ_REFILL_SAVE_USER_INSTRUCTION if instruction else SEQ_REFILL_SAVE_USER)
        touch_fragment(tables, state, keys, pages[PAGE_THREAD, key], 0)
        run_sequence(tables, state, SEQ_REFILL_WALK_USER)
    touch_fragment(tables, state, keys, pages[PAGE_DIRECTORY, key], 0)
    touch_fragment(tables, state, keys, pages[PAGE_TABLE, key], 0)
    touch_fragment(tables, state, keys, tables.price[HANDLER_AT + 1], 0)
    slot = register[GUEST_INDEX]
    register[GUEST_INDEX] = slot + 1 if slot < register[GUEST_TOP] else 0
    old = state.entry[GUEST_KEY, slot]
    # The translation word is written first: the scan, if any, comes here and only here.
    if state.entry[GUEST_TOUCHED, slot]:
        state.entry[GUEST_TOUCHED, slot] = 0
        flush_range(tables, state, old)
    else:
        state.number[COUNTS_AT + COUNT_TLBWE_XLAT_UNTOUCHED] += 1
        charge(state, CAUSE_TLBWE, tables.price[PRICE_TLBWE_XLAT_UNTOUCHED])
        program_exit(tables, state, tables.price[LINE_MASKS_AT + LINES_TLBWE])
    if old >= 0:
        state.slot[GUEST_SLOT, old] = -1
    if not state.entry[GUEST_IS_VALID, slot]:
        state.entry[GUEST_IS_VALID, slot] = 1
        register[GUEST_VALID] += 1
    state.entry[GUEST_KEY, slot] = key
    state.slot[GUEST_SLOT, key] = slot
    if tables.cured is not None and (tables.price[MODE_WRITE_INSERT] or tables.price[MODE_PARAVIRTUAL]):
        run_sequence(tables, state, SEQ_REFILL_WRITE)
        if tables.price[MODE_WRITE_INSERT]:
            _write_insert(tables, state, key, slot, pages[PAGE_EXECUTABLE, key])
        run_sequence(tables, state, SEQ_REFILL_RETURN)
    else:
        run_sequence(tables, state, SEQ_REFILL_RESTORE)


@compiled_inner
def walked_native(tables, state, key):
    """On bare metal: the hardware walks the guest's page table and replaces entries in turn."""
    register = state.number
    register[COUNTS_AT + COUNT_TABLE_WALK] += 1
    charge(state, CAUSE_TABLE_WALK, tables.price[PRICE_TABLE_WALK])
    slot = register[GUEST_INDEX]
    register[GUEST_INDEX] = slot + 1 if slot < register[GUEST_TOP] else 0
    old = state.entry[GUEST_KEY, slot]
    if old >= 0:
        state.slot[GUEST_SLOT, old] = -1
    if not state.entry[GUEST_IS_VALID, slot]:
        state.entry[GUEST_IS_VALID, slot] = 1
        register[GUEST_VALID] += 1
    state.entry[GUEST_KEY, slot] = key
    state.slot[GUEST_SLOT, key] = slot
