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
from bgsim.platforms.layout import (
    CARRY_KERNEL,
    CARRY_PAIRS,
    CARRY_USER,
    CAUSE_DSI,
    CAUSE_FP,
    CAUSE_ISI,
    CAUSE_KERNEL,
    CAUSE_PROGRAM,
    CAUSE_SYSCALL,
    CAUSE_USER,
    COUNT_ENTER,
    COUNT_INSTRUCTIONS_KERNEL,
    COUNT_INSTRUCTIONS_USER,
    COUNT_REFERENCES,
    COUNTS_AT,
    DEADLINE,
    ENTER_AT,
    EXIT_LIMIT,
    EXITS,
    FAULT_MIB,
    GUEST_SLOT,
    GUEST_TOP,
    HANDLER_AT,
    HARDWARE_SLOT,
    KEYS,
    LINE_MASKS_AT,
    LINES_BROUGHT,
    LINES_ENTER,
    LINES_SHADOW_FILL,
    MAPPED,
    MODE_FRAGMENT_SHIFT,
    MODE_PARAVIRTUAL,
    MODE_TABLE_WALK,
    NOW,
    PAGE_DIRECTORY,
    PAGE_EXECUTABLE,
    PAGE_KERNEL,
    PAGE_TABLE,
    PAGE_THREAD,
    POSITION,
    PRICE_IRQ_PAIRS_MILLI,
    PRICE_KERNEL_MILLI,
    PRICE_MISS_MICRO,
    PRICE_SHADOW_FAULT,
    PRICE_USER_MILLI,
    PROGRAM_EXIT_LIMIT,
    PROGRAM_EXITS,
    SCAN_INSERT_D,
    SEQ_EXTERNAL,
    SEQ_FP_UNAVAILABLE,
    SEQ_IRQ_PAIR,
    SEQ_PAGE_FAULT,
    SEQ_PROGRAM,
    SEQ_STORAGE_FAULT,
    SEQ_SYSCALL,
    SEQ_TICK,
    SEQ_WALKED_FAULT,
    STOP_DEADLINE,
    STOP_END,
    STOP_EXIT,
    STOP_RAM_FAULT,
    VIRTUAL_AT,
    WALK_OF_SHADOW,
    WORK_CAUSE,
    WORK_LEFT,
)
from bgsim.platforms.walk_exits import charge, kernel_text, run_sequence
from bgsim.platforms.walk_inserts import insert, refill, reflect_miss, touch_fragment, walked, walked_native
from bgsim.platforms.walk_invalidation import (
    invalidate,
    invalidate_all_in_one_call,
    invalidate_page,
    switch_address_space,
    walked_invalidate,
    walked_invalidate_all,
)


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
            reflect_miss(tables, state, exception - 13)
        touch_fragment(tables, state, keys, tables.price[HANDLER_AT + 0], 1)
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
        charge(state, CAUSE_SYSCALL, cycles)
        sequence = SEQ_SYSCALL
    elif exception == 2 or exception == 3:
        if tables.cured is not None and walks == WALK_OF_SHADOW and tables.price[VIRTUAL_AT]:
            # The kernel has to look into the guest's page table first, to find nothing.
            cycles = tables.price[PRICE_SHADOW_FAULT]
            lines = LINES_SHADOW_FILL
        charge(state, CAUSE_DSI if exception == 2 else CAUSE_ISI, cycles)
        sequence = SEQ_WALKED_FAULT if walks else SEQ_STORAGE_FAULT
    elif exception == 7:
        charge(state, CAUSE_FP, cycles)
        sequence = SEQ_FP_UNAVAILABLE
    else:
        charge(state, CAUSE_PROGRAM, cycles)
        sequence = SEQ_PROGRAM
    if tables.cured is None or tables.price[LINE_MASKS_AT + lines]:
        kernel_text(tables, state, tables.price[LINE_MASKS_AT + lines])
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
    charge(state, register[WORK_CAUSE], cycles)
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
                        walked(tables, state, argument, kind)
                    else:
                        if state.slot[GUEST_SLOT, argument] < 0:
                            if _refill_unmapped(tables, pages, state, argument):
                                register[POSITION] = position
                                return STOP_RAM_FAULT
                            refill(tables, pages, state, argument, kind)
                        if tables.cured is None or state.slot[HARDWARE_SLOT, argument] < 0:
                            insert(
                                tables,
                                state,
                                argument,
                                state.slot[GUEST_SLOT, argument],
                                SCAN_INSERT_D + kind,
                                pages[PAGE_EXECUTABLE, argument],
                            )
            elif state.slot[GUEST_SLOT, argument] < 0:
                if tables.cured is not None and walks:
                    walked_native(tables, state, argument)
                else:
                    refill(tables, pages, state, argument, kind)
            state.number[COUNTS_AT + COUNT_REFERENCES] += 1
        elif kind <= 3:
            if virtual and state.slot[HARDWARE_SLOT, keys + (argument >> shift)] < 0:
                if _unmapped(state, argument):
                    register[POSITION] = position
                    return STOP_RAM_FAULT
                touch_fragment(tables, state, keys, argument, kind - 2)
        elif kind <= 5:
            _work(tables, state, argument, kind == 5)
            _finish_work(state)
        elif kind == 6:
            if virtual and not walks and 13 <= argument <= 14 and _unmapped(state, tables.price[HANDLER_AT]):
                register[POSITION] = position
                return STOP_RAM_FAULT
            _enter(tables, pages, state, argument)
        elif kind == 7:
            switch_address_space(tables, state)
        elif kind == 8:
            if tables.cured is not None and walks:
                walked_invalidate(tables, state, argument)
            else:
                invalidate_page(tables, state, argument)
        elif kind == 9:
            if tables.cured is not None and walks:
                walked_invalidate_all(tables, state)
            elif tables.cured is not None and tables.price[MODE_PARAVIRTUAL]:
                invalidate_all_in_one_call(tables, state)
            else:
                for slot in range(register[GUEST_TOP] + 1):
                    invalidate(tables, state, slot, 0)
        else:
            run_sequence(tables, state, argument)
        position += 1
