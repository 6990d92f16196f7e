"""The compiled walk: a stretch of guest work costed through the exact TLBs in one call.

Exits that the microkernel handles itself do not interact with anything outside their core, so a
stretch of guest work needs no events: this kernel replays the program's page references through
the guest's TLB (the hardware's on bare metal, the virtual one in a VM), runs the guest's TLB
handler when it misses, and in a VM the microkernel's searches, flush scans, inserts and
instruction-cache invalidations. It stops at a deadline (the next timer or device event), at the
end of the operations, and where the VMM is needed.

The walk is compiled twice: for the real system, where ``tables.cured`` is None and everything that only a
cure needs is left out while compiling, and for a cured one, which looks at the modes in ``tables.price``.

``bgsim.platforms.reference`` is the same walk written to be read; the two agree in every counter.

Left out: hits of the core's shadow TLBs that a trap empties (the traces hold the references a
shadow TLB misses without those traps); timer interrupts arrive between operations, not inside a
TLB handler.
"""

# The compiled functions take arrays by position and are typed by their callers' named tuples.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from bgsim.compiled import compiled, compiled_inner
from bgsim.l4.paths import GROUPS
from bgsim.platforms.layout import (
    CARRY_EVICTED,
    CARRY_GUEST_LINES,
    CARRY_KERNEL,
    CARRY_LINES,
    CARRY_PAIRS,
    CARRY_USER,
    CAUSE_DCACHE_KERNEL,
    CAUSE_DSI,
    CAUSE_DTLB,
    CAUSE_FP,
    CAUSE_HYPERCALL,
    CAUSE_ICACHE_GUEST,
    CAUSE_ICACHE_KERNEL,
    CAUSE_ISI,
    CAUSE_ITLB,
    CAUSE_KERNEL,
    CAUSE_PID,
    CAUSE_PROGRAM,
    CAUSE_REFILL,
    CAUSE_SYSCALL,
    CAUSE_TABLE_WALK,
    CAUSE_TLBSX,
    CAUSE_TLBWE,
    CAUSE_USER,
    COUNT_ENTER,
    COUNT_FLUSH_ALL,
    COUNT_FLUSH_RANGE,
    COUNT_GUEST_MISS_D,
    COUNT_HANDLER_KERNEL,
    COUNT_HANDLER_USER,
    COUNT_HARDWARE_MISS_D,
    COUNT_HYPERCALL,
    COUNT_ICACHE_SWITCH,
    COUNT_INSERT,
    COUNT_INSERT_EXECUTABLE,
    COUNT_INSERT_KERNEL,
    COUNT_INSTRUCTIONS_KERNEL,
    COUNT_INSTRUCTIONS_USER,
    COUNT_LINES_KERNEL,
    COUNT_PID_WRITES,
    COUNT_REFERENCES,
    COUNT_SHADOW_FILL,
    COUNT_TABLE_WALK,
    COUNT_TLBSX,
    COUNT_TLBWE_INVALIDATE,
    COUNT_TLBWE_XLAT_UNTOUCHED,
    COUNT_WALKED_TLBIA,
    COUNT_WALKED_TLBIE,
    COUNT_WRITE_INSERT,
    COUNTS_AT,
    CYCLES_AT,
    DEADLINE,
    ENTER_AT,
    EXIT_LIMIT,
    EXITS,
    FAULT_MIB,
    FLUSH_ALL,
    FLUSH_HYPERCALL,
    FLUSH_RANGE_MATCH,
    FLUSH_RANGE_MISS,
    FLUSHES_AT,
    GROUPS_AT,
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
    ICACHE_AT_SWITCH,
    KEYS,
    LINE_MASKS_AT,
    LINES_AFTER_ICCCI,
    LINES_BROUGHT,
    LINES_BROUGHT_AT,
    LINES_ENTER,
    LINES_EXPIRY,
    LINES_HYPERCALL,
    LINES_INSERT,
    LINES_PID,
    LINES_PID_TAGGED,
    LINES_PRESENT,
    LINES_REFLECT,
    LINES_SHADOW_FILL,
    LINES_TLBSX,
    LINES_TLBWE,
    LINES_TLBWE_FLUSH,
    LINES_WALKED,
    LINES_WRITE_INSERT,
    MAPPED,
    MODE_FRAGMENT_SHIFT,
    MODE_ICACHE,
    MODE_PARAVIRTUAL,
    MODE_PID_TAGS,
    MODE_TABLE_WALK,
    MODE_WRITE_INSERT,
    NO_KEY,
    NOW,
    PAGE_DIRECTORY,
    PAGE_EXECUTABLE,
    PAGE_KERNEL,
    PAGE_TABLE,
    PAGE_THREAD,
    POSITION,
    PRICE_CAPACITY_MICRO,
    PRICE_DCACHE_REFILL,
    PRICE_EVICTED_MILLI,
    PRICE_FREE_SLOT,
    PRICE_GUEST_LINES_MILLI,
    PRICE_HANDLER_KERNEL,
    PRICE_HANDLER_USER,
    PRICE_ICACHE_TAIL,
    PRICE_INDEX_UPDATE,
    PRICE_INVALID_ENTRY,
    PRICE_IRQ_PAIRS_MILLI,
    PRICE_JOINED,
    PRICE_KERNEL_MILLI,
    PRICE_LINE_MILLI,
    PRICE_MISS_MICRO,
    PRICE_NATIVE_PID,
    PRICE_NATIVE_TLBSX,
    PRICE_PID_TAGGED,
    PRICE_SHADOW_FAULT,
    PRICE_SHADOW_FILL,
    PRICE_SWITCH_LINES_MILLI,
    PRICE_TABLE_WALK,
    PRICE_TLBWE_INVALIDATE,
    PRICE_TLBWE_XLAT_UNTOUCHED,
    PRICE_USER_MILLI,
    PRICE_WALKED_TLBIA,
    PRICE_WALKED_TLBIE,
    PRICE_WRITE_INSERT,
    PROGRAM_EXIT_LIMIT,
    PROGRAM_EXITS,
    SCAN_INSERT_D,
    SCAN_INSERT_LOWMEM_D,
    SCAN_REFLECT_D,
    SCAN_TLBSX,
    SCAN_TLBSX_MISS,
    SEQ_EXTERNAL,
    SEQ_FP_UNAVAILABLE,
    SEQ_IRQ_PAIR,
    SEQ_PAGE_FAULT,
    SEQ_PROGRAM,
    SEQ_REFILL_RESTORE,
    SEQ_REFILL_RETURN,
    SEQ_REFILL_SAVE_KERNEL,
    SEQ_REFILL_SAVE_KERNEL_INSTRUCTION,
    SEQ_REFILL_SAVE_USER,
    SEQ_REFILL_SAVE_USER_INSTRUCTION,
    SEQ_REFILL_WALK_KERNEL,
    SEQ_REFILL_WALK_USER,
    SEQ_REFILL_WRITE,
    SEQ_STORAGE_FAULT,
    SEQ_SWITCH,
    SEQ_SYSCALL,
    SEQ_TICK,
    SEQ_TLBIE,
    SEQ_WALKED_FAULT,
    SEQUENCE_CYCLES,
    SEQUENCE_LINES,
    SEQUENCES_AT,
    STOP_DEADLINE,
    STOP_END,
    STOP_EXIT,
    STOP_RAM_FAULT,
    VIRTUAL_AT,
    WALK_OF_SHADOW,
    WORK_CAUSE,
    WORK_LEFT,
)


@compiled_inner
def _charge(state, cause, cycles):
    state.number[NOW] += cycles
    state.number[CYCLES_AT + cause] += cycles


@compiled_inner
def _forget_old_lines(tables, state):
    """The L1I is first in, first out: groups of kernel lines are gone when enough others followed them."""
    register = state.number
    oldest = 1 << 62
    for group in range(len(GROUPS)):
        if register[LINES_PRESENT] >> group & 1:
            expiry = register[LINES_BROUGHT_AT + group] + tables.price[PRICE_CAPACITY_MICRO]
            if register[LINES_BROUGHT] >= expiry:
                register[LINES_PRESENT] &= ~(1 << group)
            else:
                oldest = min(oldest, expiry)
    register[LINES_EXPIRY] = oldest


@compiled_inner
def _push_out(tables, state, groups, lines):
    """Kernel lines just fetched push out older lines, of which the guest needs some again."""
    register = state.number
    group = 0
    while groups:
        if groups & 1:
            register[LINES_BROUGHT_AT + group] = register[LINES_BROUGHT]
        groups >>= 1
        group += 1
    register[LINES_EXPIRY] = min(
        register[LINES_EXPIRY], register[LINES_BROUGHT] + tables.price[PRICE_CAPACITY_MICRO]
    )
    register[LINES_BROUGHT] += lines * 1_000_000
    milli = lines * tables.price[PRICE_EVICTED_MILLI] + register[CARRY_EVICTED]
    register[CARRY_EVICTED] = milli % 1000
    _charge(state, CAUSE_ICACHE_GUEST, milli // 1000)


@compiled
def fetch_lines(tables, state, groups):
    """Charge the kernel instruction lines of ``groups`` that are not in the L1I."""
    if tables.cured is not None and state.number[LINES_BROUGHT] >= state.number[LINES_EXPIRY]:
        _forget_old_lines(tables, state)
    missing = groups & ~state.number[LINES_PRESENT]
    fetched = missing
    lines = 0
    group = 0
    while missing:
        if missing & 1:
            lines += tables.price[GROUPS_AT + group]
        missing >>= 1
        group += 1
    state.number[LINES_PRESENT] |= groups
    state.number[COUNTS_AT + COUNT_LINES_KERNEL] += lines
    milli = lines * tables.price[PRICE_LINE_MILLI] + state.number[CARRY_LINES]
    state.number[CARRY_LINES] = milli % 1000
    _charge(state, CAUSE_ICACHE_KERNEL, milli // 1000)
    if tables.cured is not None and fetched and tables.price[PRICE_MISS_MICRO]:
        _push_out(tables, state, fetched, lines)


@compiled_inner
def _empty_instruction_cache(tables, state, guest_milli):
    """``iccci``: the handler's own tail is refetched at once, the guest's lines later."""
    register = state.number
    groups = tables.price[LINE_MASKS_AT + LINES_AFTER_ICCCI]
    register[LINES_PRESENT] = groups
    if tables.cured is not None and tables.price[PRICE_MISS_MICRO]:
        for group in range(len(GROUPS)):
            if groups >> group & 1:
                register[LINES_BROUGHT_AT + group] = register[LINES_BROUGHT]
    _charge(state, CAUSE_ICACHE_KERNEL, tables.price[PRICE_ICACHE_TAIL])
    milli = guest_milli + register[CARRY_GUEST_LINES]
    register[CARRY_GUEST_LINES] = milli % 1000
    _charge(state, CAUSE_ICACHE_GUEST, milli // 1000)


@compiled_inner
def _kernel_text(tables, state, groups):
    """The guest has left for the kernel, which runs the lines of ``groups``."""
    if tables.price[VIRTUAL_AT]:
        state.number[EXITS] += 1
        stale = False
        if tables.cured is not None:
            stale = state.number[LINES_BROUGHT] >= state.number[LINES_EXPIRY]
        if stale or groups & ~state.number[LINES_PRESENT]:
            fetch_lines(tables, state, groups)


@compiled_inner
def _program_exit(tables, state, groups):
    """A privileged instruction left for the kernel, which also looks at the guest's timers."""
    if tables.price[VIRTUAL_AT]:
        state.number[PROGRAM_EXITS] += 1
    _kernel_text(tables, state, groups)


@compiled_inner
def _trap_if(tables, state, kind):
    """A privileged instruction leaves for the kernel if that has anything to run for it."""
    lines = tables.price[LINE_MASKS_AT + kind]
    if lines:
        _program_exit(tables, state, lines)


@compiled_inner
def run_sequence(tables, state, sequence):
    """Execute one of the guest's privileged sequences."""
    state.number[NOW] += tables.sequence[SEQUENCE_CYCLES, sequence]
    state.number[SEQUENCES_AT + sequence] += 1
    lines = tables.sequence[SEQUENCE_LINES, sequence]
    if tables.cured is None or lines:
        _program_exit(tables, state, lines)


@compiled_inner
def _visited(state, index):
    """Valid and invalid virtual TLB entries a search for the entry ``index`` looks at."""
    if state.number[GUEST_VALID] == state.number[GUEST_ENTRIES]:
        return index + 1, 0
    valid = 0
    for entry in range(index + 1):
        if state.entry[GUEST_IS_VALID, entry]:
            valid += 1
    return valid, index + 1 - valid


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
        _empty_instruction_cache(tables, state, tables.price[PRICE_GUEST_LINES_MILLI])


@compiled_inner
def _insert(tables, state, hardware_key, index, scan, executable):
    """L4 answers a hardware miss from the virtual TLB entry ``index``."""
    cause = CAUSE_ITLB if scan & 1 else CAUSE_DTLB
    valid, invalid = _visited(state, index)
    cycles = tables.scan[scan, valid] + invalid * tables.price[PRICE_INVALID_ENTRY]
    cycles -= _place(tables, state, hardware_key)
    state.entry[GUEST_TOUCHED, index] = 1
    state.number[COUNTS_AT + COUNT_INSERT] += 1
    state.number[COUNTS_AT + COUNT_HARDWARE_MISS_D + (scan & 1)] += 1
    _charge(state, cause, cycles)
    _kernel_text(tables, state, tables.price[LINE_MASKS_AT + LINES_INSERT])
    if executable:
        _executable_insert(tables, state)


@compiled_inner
def _write_insert(tables, state, key, index, executable):
    """L4 loads the hardware entry in the trap of the ``tlbwe`` that completes the virtual one."""
    state.number[COUNTS_AT + COUNT_INSERT] += 1
    state.number[COUNTS_AT + COUNT_WRITE_INSERT] += 1
    state.entry[GUEST_TOUCHED, index] = 1
    _charge(state, CAUSE_TLBWE, tables.price[PRICE_WRITE_INSERT] - _place(tables, state, key))
    fetch_lines(tables, state, tables.price[LINE_MASKS_AT + LINES_WRITE_INSERT])
    if executable:
        _executable_insert(tables, state)


@compiled_inner
def _walked(tables, state, key, instruction):
    """The hardware walks a page table and loads the entry itself."""
    mode = tables.price[MODE_TABLE_WALK]
    if mode == WALK_OF_SHADOW and state.slot[GUEST_SLOT, key] < 0:
        # The shadow table has not got the page: the kernel reads the guest's own and fills it in.
        state.number[COUNTS_AT + COUNT_SHADOW_FILL] += 1
        state.number[COUNTS_AT + COUNT_HARDWARE_MISS_D + instruction] += 1
        state.slot[GUEST_SLOT, key] = 0
        _charge(state, CAUSE_DTLB + instruction, tables.price[PRICE_SHADOW_FILL])
        _kernel_text(tables, state, tables.price[LINE_MASKS_AT + LINES_SHADOW_FILL])
    state.number[COUNTS_AT + COUNT_TABLE_WALK] += 1
    _charge(state, CAUSE_TABLE_WALK, tables.price[PRICE_TABLE_WALK])
    _place(tables, state, key)


@compiled_inner
def _touch_fragment(tables, state, keys, mib, instruction):
    """The guest kernel touches its linear mapping, which a VM holds in fragments of what the VMM maps."""
    if tables.price[VIRTUAL_AT]:
        key = keys + mib
        if tables.cured is not None:
            key = keys + (mib >> tables.price[MODE_FRAGMENT_SHIFT])
        if state.slot[HARDWARE_SLOT, key] >= 0:
            return
        if tables.cured is not None and tables.price[MODE_TABLE_WALK]:
            _walked(tables, state, key, instruction)
            return
        # 256 MB per pinned entry, the first one at the top of the TLB.
        index = state.number[GUEST_ENTRIES] - 1 - mib // 256
        state.number[COUNTS_AT + COUNT_INSERT_KERNEL] += 1
        _insert(tables, state, key, index, SCAN_INSERT_LOWMEM_D + instruction, True)


@compiled_inner
def _drop_hardware(state, key):
    slot = state.slot[HARDWARE_SLOT, key]
    state.entry[HARDWARE_KEY, slot] = NO_KEY
    state.slot[HARDWARE_SLOT, key] = -1
    state.number[HARDWARE_VALID] -= 1


@compiled_inner
def _flush_range(tables, state, key):
    """The scan that follows the first tlbwe to a touched virtual TLB entry."""
    valid = state.number[HARDWARE_VALID]
    match = FLUSH_RANGE_MISS
    if key >= 0 and state.slot[HARDWARE_SLOT, key] >= 0:
        match = FLUSH_RANGE_MATCH
    _charge(state, CAUSE_TLBWE, tables.scan[FLUSHES_AT + match, valid])
    if match == FLUSH_RANGE_MATCH:
        _drop_hardware(state, key)
    state.number[COUNTS_AT + COUNT_FLUSH_RANGE] += 1
    _program_exit(tables, state, tables.price[LINE_MASKS_AT + LINES_TLBWE_FLUSH])


@compiled_inner
def _reflect_miss(tables, state, instruction):
    """L4 finds no virtual TLB entry and raises the miss in the guest."""
    register = state.number
    invalid = state.number[GUEST_ENTRIES] - register[GUEST_VALID]
    cycles = tables.scan[SCAN_REFLECT_D + instruction, register[GUEST_VALID]]
    cycles += invalid * tables.price[PRICE_INVALID_ENTRY]
    _charge(state, CAUSE_DTLB + instruction, cycles)
    state.number[COUNTS_AT + COUNT_HARDWARE_MISS_D + instruction] += 1
    _kernel_text(tables, state, tables.price[LINE_MASKS_AT + LINES_REFLECT])


@compiled_inner
def _refill(tables, pages, state, key, instruction):
    """The guest's TLB miss handler loads the entry of one page."""
    register = state.number
    keys = state.number[KEYS]
    kernel = pages[PAGE_KERNEL, key]
    if tables.price[VIRTUAL_AT]:
        _reflect_miss(tables, state, instruction)
        _charge(state, CAUSE_DCACHE_KERNEL, tables.price[PRICE_DCACHE_REFILL])
    state.number[COUNTS_AT + COUNT_GUEST_MISS_D + instruction] += 1
    _touch_fragment(tables, state, keys, tables.price[HANDLER_AT + 0], 1)
    if kernel:
        state.number[COUNTS_AT + COUNT_HANDLER_KERNEL] += 1
        _charge(state, CAUSE_REFILL, tables.price[PRICE_HANDLER_KERNEL])
        run_sequence(
            tables, state, SEQ_REFILL_SAVE_KERNEL_INSTRUCTION if instruction else SEQ_REFILL_SAVE_KERNEL
        )
        run_sequence(tables, state, SEQ_REFILL_WALK_KERNEL)
    else:
        state.number[COUNTS_AT + COUNT_HANDLER_USER] += 1
        _charge(state, CAUSE_REFILL, tables.price[PRICE_HANDLER_USER])
        run_sequence(tables, state, SEQ_REFILL_SAVE_USER_INSTRUCTION if instruction else SEQ_REFILL_SAVE_USER)
        _touch_fragment(tables, state, keys, pages[PAGE_THREAD, key], 0)
        run_sequence(tables, state, SEQ_REFILL_WALK_USER)
    _touch_fragment(tables, state, keys, pages[PAGE_DIRECTORY, key], 0)
    _touch_fragment(tables, state, keys, pages[PAGE_TABLE, key], 0)
    _touch_fragment(tables, state, keys, tables.price[HANDLER_AT + 1], 0)
    slot = register[GUEST_INDEX]
    register[GUEST_INDEX] = slot + 1 if slot < register[GUEST_TOP] else 0
    old = state.entry[GUEST_KEY, slot]
    # The translation word is written first: the scan, if any, comes here and only here.
    if state.entry[GUEST_TOUCHED, slot]:
        state.entry[GUEST_TOUCHED, slot] = 0
        _flush_range(tables, state, old)
    else:
        state.number[COUNTS_AT + COUNT_TLBWE_XLAT_UNTOUCHED] += 1
        _charge(state, CAUSE_TLBWE, tables.price[PRICE_TLBWE_XLAT_UNTOUCHED])
        _program_exit(tables, state, tables.price[LINE_MASKS_AT + LINES_TLBWE])
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
def _invalidate(tables, state, slot, saving):
    """One tlbwe that makes the guest TLB entry ``slot`` invalid; a trap of its own costs ``saving`` more."""
    key = state.entry[GUEST_KEY, slot]
    state.number[COUNTS_AT + COUNT_TLBWE_INVALIDATE] += 1
    if tables.cured is not None:
        _charge(state, CAUSE_TLBWE, tables.price[PRICE_INDEX_UPDATE] - saving)
    if state.entry[GUEST_TOUCHED, slot]:
        state.entry[GUEST_TOUCHED, slot] = 0
        _flush_range(tables, state, key)
    else:
        _charge(state, CAUSE_TLBWE, tables.price[PRICE_TLBWE_INVALIDATE])
        _program_exit(tables, state, tables.price[LINE_MASKS_AT + LINES_TLBWE])
    if key >= 0:
        state.slot[GUEST_SLOT, key] = -1
        state.entry[GUEST_KEY, slot] = NO_KEY
    if state.entry[GUEST_IS_VALID, slot]:
        state.entry[GUEST_IS_VALID, slot] = 0
        state.number[GUEST_VALID] -= 1


@compiled_inner
def _invalidate_page(tables, state, key):
    """The guest's _tlbie: search, and invalidate what was found."""
    paravirtual = tables.cured is not None and tables.price[MODE_PARAVIRTUAL] != 0
    if not paravirtual:
        run_sequence(tables, state, SEQ_TLBIE)
    slot = state.slot[GUEST_SLOT, key]
    state.number[COUNTS_AT + COUNT_TLBSX] += 1
    if tables.price[VIRTUAL_AT]:
        if slot >= 0:
            valid, invalid = _visited(state, slot)
            cycles = tables.scan[SCAN_TLBSX, valid]
        else:
            valid = state.number[GUEST_VALID]
            invalid = state.number[GUEST_ENTRIES] - valid
            cycles = tables.scan[SCAN_TLBSX_MISS, valid]
        _charge(state, CAUSE_TLBSX, cycles + invalid * tables.price[PRICE_INVALID_ENTRY])
        _program_exit(tables, state, tables.price[LINE_MASKS_AT + LINES_TLBSX])
    else:
        _charge(state, CAUSE_TLBSX, tables.price[PRICE_NATIVE_TLBSX])
    if slot >= 0:
        _invalidate(tables, state, slot, tables.price[PRICE_JOINED] if paravirtual else 0)


@compiled_inner
def _invalidate_all_in_one_call(tables, state):
    """The guest asks the kernel to invalidate every entry that it does not pin."""
    register = state.number
    register[COUNTS_AT + COUNT_HYPERCALL] += 1
    _charge(state, CAUSE_HYPERCALL, tables.scan[FLUSHES_AT + FLUSH_HYPERCALL, register[HARDWARE_VALID]])
    for slot in range(register[HARDWARE_ENTRIES]):
        key = state.entry[HARDWARE_KEY, slot]
        if 0 <= key < register[KEYS]:
            _drop_hardware(state, key)
    for slot in range(register[GUEST_TOP] + 1):
        key = state.entry[GUEST_KEY, slot]
        if key >= 0:
            state.slot[GUEST_SLOT, key] = -1
            state.entry[GUEST_KEY, slot] = NO_KEY
        if state.entry[GUEST_IS_VALID, slot]:
            state.entry[GUEST_IS_VALID, slot] = 0
            register[GUEST_VALID] -= 1
        state.entry[GUEST_TOUCHED, slot] = 0
    _program_exit(tables, state, tables.price[LINE_MASKS_AT + LINES_HYPERCALL])


@compiled_inner
def _walked_invalidate(tables, state, key):
    """The page-invalidating instruction of a machine that walks page tables."""
    state.number[COUNTS_AT + COUNT_WALKED_TLBIE] += 1
    _charge(state, CAUSE_TLBWE, tables.price[PRICE_WALKED_TLBIE])
    if tables.price[VIRTUAL_AT]:
        state.slot[GUEST_SLOT, key] = -1
        if state.slot[HARDWARE_SLOT, key] >= 0:
            _drop_hardware(state, key)
        _trap_if(tables, state, LINES_WALKED)
    elif state.slot[GUEST_SLOT, key] >= 0:
        _drop_native(state, state.slot[GUEST_SLOT, key])


@compiled_inner
def _walked_invalidate_all(tables, state):
    """The instruction that invalidates every page but the kernel's linear mapping, on such a machine."""
    register = state.number
    register[COUNTS_AT + COUNT_WALKED_TLBIA] += 1
    _charge(state, CAUSE_TLBWE, tables.price[PRICE_WALKED_TLBIA])
    if tables.price[VIRTUAL_AT]:
        for slot in range(register[HARDWARE_ENTRIES]):
            key = state.entry[HARDWARE_KEY, slot]
            if 0 <= key < register[KEYS]:
                _drop_hardware(state, key)
        for key in range(register[KEYS]):
            state.slot[GUEST_SLOT, key] = -1
        _trap_if(tables, state, LINES_WALKED)
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
def _walked_native(tables, state, key):
    """On bare metal: the hardware walks the guest's page table and replaces entries in turn."""
    register = state.number
    register[COUNTS_AT + COUNT_TABLE_WALK] += 1
    _charge(state, CAUSE_TABLE_WALK, tables.price[PRICE_TABLE_WALK])
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


@compiled_inner
def _switch_address_space(tables, state):
    """``mtspr PID``: in a VM every hardware entry of the guest goes, unless it carries the PID."""
    register = state.number
    state.number[COUNTS_AT + COUNT_PID_WRITES] += 1
    run_sequence(tables, state, SEQ_SWITCH)
    if not tables.price[VIRTUAL_AT]:
        _charge(state, CAUSE_PID, tables.price[PRICE_NATIVE_PID])
        return
    if tables.cured is not None and tables.price[MODE_PID_TAGS]:
        _charge(state, CAUSE_PID, tables.price[PRICE_PID_TAGGED])
        _trap_if(tables, state, LINES_PID_TAGGED)
    else:
        state.number[COUNTS_AT + COUNT_FLUSH_ALL] += 1
        _charge(state, CAUSE_PID, tables.scan[FLUSHES_AT + FLUSH_ALL, register[HARDWARE_VALID]])
        for slot in range(register[HARDWARE_ENTRIES]):
            key = state.entry[HARDWARE_KEY, slot]
            if key >= 0:
                _drop_hardware(state, key)
        for slot in range(register[GUEST_ENTRIES]):
            state.entry[GUEST_TOUCHED, slot] = 0
        _program_exit(tables, state, tables.price[LINE_MASKS_AT + LINES_PID])
    if tables.cured is not None and tables.price[MODE_ICACHE] == ICACHE_AT_SWITCH:
        state.number[COUNTS_AT + COUNT_ICACHE_SWITCH] += 1
        _empty_instruction_cache(tables, state, tables.price[PRICE_SWITCH_LINES_MILLI])


@compiled_inner
def _enter(tables, pages, state, exception):
    """An exception the guest's kernel handles."""
    keys = state.number[KEYS]
    walks = 0
    if tables.cured is not None:
        walks = tables.price[MODE_TABLE_WALK]
    if tables.cured is not None and walks and (exception == 13 or exception == 14):
        exception -= 11  # no TLB handler comes first: a storage exception
    state.number[COUNTS_AT + COUNT_ENTER + exception] += 1
    if exception == 13 or exception == 14:
        if tables.price[VIRTUAL_AT]:
            _reflect_miss(tables, state, exception - 13)
        _touch_fragment(tables, state, keys, tables.price[HANDLER_AT + 0], 1)
        run_sequence(tables, state, SEQ_PAGE_FAULT)
        return
    if exception == 10:
        # Reflecting the decrementer is part of the exit that found it due.
        run_sequence(tables, state, SEQ_TICK)
        return
    if exception == 4:
        # So is injecting the external interrupt.
        run_sequence(tables, state, SEQ_EXTERNAL)
        return
    cycles = tables.price[ENTER_AT + exception]
    lines = LINES_ENTER
    if exception == 8:
        _charge(state, CAUSE_SYSCALL, cycles)
        sequence = SEQ_SYSCALL
    elif exception == 2 or exception == 3:
        if tables.cured is not None and walks == WALK_OF_SHADOW and tables.price[VIRTUAL_AT]:
            # The kernel has to look into the guest's page table first, to find nothing.
            cycles = tables.price[PRICE_SHADOW_FAULT]
            lines = LINES_SHADOW_FILL
        _charge(state, CAUSE_DSI if exception == 2 else CAUSE_ISI, cycles)
        sequence = SEQ_WALKED_FAULT if walks else SEQ_STORAGE_FAULT
    elif exception == 7:
        _charge(state, CAUSE_FP, cycles)
        sequence = SEQ_FP_UNAVAILABLE
    else:
        _charge(state, CAUSE_PROGRAM, cycles)
        sequence = SEQ_PROGRAM
    if tables.cured is None or tables.price[LINE_MASKS_AT + lines]:
        _kernel_text(tables, state, tables.price[LINE_MASKS_AT + lines])
    run_sequence(tables, state, sequence)


@compiled_inner
def _work(tables, state, instructions, kernel):
    """Charge guest instructions; what lies beyond the deadline is left for later."""
    register = state.number
    if kernel:
        state.number[COUNTS_AT + COUNT_INSTRUCTIONS_KERNEL] += instructions
        pairs = instructions * tables.price[PRICE_IRQ_PAIRS_MILLI] + register[CARRY_PAIRS]
        register[CARRY_PAIRS] = pairs % 1_000_000
        for _ in range(pairs // 1_000_000):
            run_sequence(tables, state, SEQ_IRQ_PAIR)
        milli = instructions * tables.price[PRICE_KERNEL_MILLI] + register[CARRY_KERNEL]
        register[CARRY_KERNEL] = milli % 1000
        cause = CAUSE_KERNEL
    else:
        state.number[COUNTS_AT + COUNT_INSTRUCTIONS_USER] += instructions
        milli = instructions * tables.price[PRICE_USER_MILLI] + register[CARRY_USER]
        register[CARRY_USER] = milli % 1000
        cause = CAUSE_USER
    register[WORK_LEFT] = milli // 1000
    register[WORK_CAUSE] = cause
    if tables.cured is not None:
        register[LINES_BROUGHT] += instructions * tables.price[PRICE_MISS_MICRO]


@compiled_inner
def _finish_work(state):
    """Run down the stretch of work at hand as far as the deadline allows."""
    register = state.number
    cycles = min(register[WORK_LEFT], max(register[DEADLINE] - register[NOW], 0))
    _charge(state, register[WORK_CAUSE], cycles)
    register[WORK_LEFT] -= cycles


@compiled_inner
def _unmapped(state, fragment):
    if not state.entry[MAPPED, fragment]:
        state.number[FAULT_MIB] = fragment
        return True
    return False


@compiled_inner
def _refill_unmapped(tables, pages, state, key):
    """Whether the TLB handler for this page would touch memory L4 has no mapping for."""
    return (
        _unmapped(state, tables.price[HANDLER_AT + 0])
        or (not pages[PAGE_KERNEL, key] and _unmapped(state, pages[PAGE_THREAD, key]))
        or _unmapped(state, pages[PAGE_DIRECTORY, key])
        or _unmapped(state, pages[PAGE_TABLE, key])
        or _unmapped(state, tables.price[HANDLER_AT + 1])
    )


@compiled_inner
def _walk_unmapped(tables, pages, state, key):
    """Whether a walk for this page would need guest page tables in memory L4 has no mapping for."""
    if tables.price[MODE_TABLE_WALK] == WALK_OF_SHADOW and state.slot[GUEST_SLOT, key] >= 0:
        return False
    return _unmapped(state, pages[PAGE_DIRECTORY, key]) or _unmapped(state, pages[PAGE_TABLE, key])


@compiled
def walk(operations, pages, tables, state, end):
    """Run operations from ``state.number[POSITION]`` up to ``end``.

    Returns STOP_END, STOP_DEADLINE, STOP_EXIT, or STOP_RAM_FAULT with the MiB in ``FAULT_MIB``; the operation
    that needs the memory has then not been run.
    """
    register = state.number
    virtual = tables.price[VIRTUAL_AT]
    keys = state.number[KEYS]
    walks = 0
    shift = 0
    if tables.cured is not None:
        walks = tables.price[MODE_TABLE_WALK]
        shift = tables.price[MODE_FRAGMENT_SHIFT]
    position = register[POSITION]
    if register[WORK_LEFT] > 0:
        _finish_work(state)
    while True:
        if register[NOW] >= register[DEADLINE]:
            register[POSITION] = position
            return STOP_DEADLINE
        if register[EXITS] > register[EXIT_LIMIT] or register[PROGRAM_EXITS] > register[PROGRAM_EXIT_LIMIT]:
            register[POSITION] = position
            return STOP_EXIT
        if position >= end:
            register[POSITION] = position
            return STOP_END
        word = operations[position]
        kind = word >> 28
        argument = word & 0xFFFFFFF
        if kind <= 1:
            if virtual:
                if state.slot[HARDWARE_SLOT, argument] < 0:
                    if tables.cured is not None and walks:
                        if _walk_unmapped(tables, pages, state, argument):
                            register[POSITION] = position
                            return STOP_RAM_FAULT
                        _walked(tables, state, argument, kind)
                    else:
                        if state.slot[GUEST_SLOT, argument] < 0:
                            if _refill_unmapped(tables, pages, state, argument):
                                register[POSITION] = position
                                return STOP_RAM_FAULT
                            _refill(tables, pages, state, argument, kind)
                        if tables.cured is None or state.slot[HARDWARE_SLOT, argument] < 0:
                            _insert(
                                tables,
                                state,
                                argument,
                                state.slot[GUEST_SLOT, argument],
                                SCAN_INSERT_D + kind,
                                pages[PAGE_EXECUTABLE, argument],
                            )
            elif state.slot[GUEST_SLOT, argument] < 0:
                if tables.cured is not None and walks:
                    _walked_native(tables, state, argument)
                else:
                    _refill(tables, pages, state, argument, kind)
            state.number[COUNTS_AT + COUNT_REFERENCES] += 1
        elif kind <= 3:
            if virtual and state.slot[HARDWARE_SLOT, keys + (argument >> shift)] < 0:
                if _unmapped(state, argument):
                    register[POSITION] = position
                    return STOP_RAM_FAULT
                _touch_fragment(tables, state, keys, argument, kind - 2)
        elif kind <= 5:
            _work(tables, state, argument, kind == 5)
            _finish_work(state)
        elif kind == 6:
            if virtual and not walks and 13 <= argument <= 14 and _unmapped(state, tables.price[HANDLER_AT]):
                register[POSITION] = position
                return STOP_RAM_FAULT
            _enter(tables, pages, state, argument)
        elif kind == 7:
            _switch_address_space(tables, state)
        elif kind == 8:
            if tables.cured is not None and walks:
                _walked_invalidate(tables, state, argument)
            else:
                _invalidate_page(tables, state, argument)
        elif kind == 9:
            if tables.cured is not None and walks:
                _walked_invalidate_all(tables, state)
            elif tables.cured is not None and tables.price[MODE_PARAVIRTUAL]:
                _invalidate_all_in_one_call(tables, state)
            else:
                for slot in range(register[GUEST_TOP] + 1):
                    _invalidate(tables, state, slot, 0)
        else:
            run_sequence(tables, state, argument)
        position += 1
