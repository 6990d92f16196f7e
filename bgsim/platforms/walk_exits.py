"""The compiled walk's exits: what leaving for the kernel costs, down to its instruction lines.

Parts of :mod:`bgsim.platforms.walk`, inlined into it.
"""

# The compiled functions take arrays by position and are typed by their callers' named tuples.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from bgsim.compiled import compiled, compiled_inner
from bgsim.l4.paths import GROUPS
from bgsim.platforms.layout import (
    CARRY_EVICTED,
    CARRY_GUEST_LINES,
    CARRY_LINES,
    CAUSE_ICACHE_GUEST,
    CAUSE_ICACHE_KERNEL,
    COUNT_LINES_KERNEL,
    COUNTS_AT,
    CYCLES_AT,
    EXITS,
    GROUPS_AT,
    GUEST_ENTRIES,
    GUEST_IS_VALID,
    GUEST_VALID,
    LINE_MASKS_AT,
    LINES_AFTER_ICCCI,
    LINES_BROUGHT,
    LINES_BROUGHT_AT,
    LINES_EXPIRY,
    LINES_PRESENT,
    NOW,
    PRICE_CAPACITY_MICRO,
    PRICE_EVICTED_MILLI,
    PRICE_ICACHE_TAIL,
    PRICE_LINE_MILLI,
    PRICE_MISS_MICRO,
    PROGRAM_EXITS,
    SEQUENCE_CYCLES,
    SEQUENCE_LINES,
    SEQUENCES_AT,
    VIRTUAL_AT,
)


@compiled_inner
def charge(state, cause, cycles):
    """Pass time, for a cause."""
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
    charge(state, CAUSE_ICACHE_GUEST, milli // 1000)


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
    charge(state, CAUSE_ICACHE_KERNEL, milli // 1000)
    if tables.cured is not None and fetched and tables.price[PRICE_MISS_MICRO]:
        _push_out(tables, state, fetched, lines)


@compiled_inner
def empty_instruction_cache(tables, state, guest_milli):
    """``iccci``: the handler's own tail is refetched at once, the guest's lines later."""
    register = state.number
    groups = tables.price[LINE_MASKS_AT + LINES_AFTER_ICCCI]
    register[LINES_PRESENT] = groups
    if tables.cured is not None and tables.price[PRICE_MISS_MICRO]:
        for group in range(len(GROUPS)):
            if groups >> group & 1:
                register[LINES_BROUGHT_AT + group] = register[LINES_BROUGHT]
    charge(state, CAUSE_ICACHE_KERNEL, tables.price[PRICE_ICACHE_TAIL])
    milli = guest_milli + register[CARRY_GUEST_LINES]
    register[CARRY_GUEST_LINES] = milli % 1000
    charge(state, CAUSE_ICACHE_GUEST, milli // 1000)


@compiled_inner
def kernel_text(tables, state, groups):
    """The guest has left for the kernel, which runs the lines of ``groups``."""
    if tables.price[VIRTUAL_AT]:
        state.number[EXITS] += 1
        stale = False
        if tables.cured is not None:
            stale = state.number[LINES_BROUGHT] >= state.number[LINES_EXPIRY]
        if stale or groups & ~state.number[LINES_PRESENT]:
            fetch_lines(tables, state, groups)


@compiled_inner
def program_exit(tables, state, groups):
    """A privileged instruction left for the kernel, which also looks at the guest's timers."""
    if tables.price[VIRTUAL_AT]:
        state.number[PROGRAM_EXITS] += 1
    kernel_text(tables, state, groups)


@compiled_inner
def trap_if(tables, state, kind):
    """A privileged instruction leaves for the kernel if that has anything to run for it."""
    lines = tables.price[LINE_MASKS_AT + kind]
    if lines:
        program_exit(tables, state, lines)


@compiled_inner
def run_sequence(tables, state, sequence):
    """Execute one of the guest's privileged sequences."""
    state.number[NOW] += tables.sequence[SEQUENCE_CYCLES, sequence]
    state.number[SEQUENCES_AT + sequence] += 1
    lines = tables.sequence[SEQUENCE_LINES, sequence]
    if tables.cured is None or lines:
        program_exit(tables, state, lines)


@compiled_inner
def visited(state, index):
    """Valid and invalid virtual TLB entries a search for the entry ``index`` looks at."""
    if state.number[GUEST_VALID] == state.number[GUEST_ENTRIES]:
        return index + 1, 0
    valid = 0
    for entry in range(index + 1):
        if state.entry[GUEST_IS_VALID, entry]:
            valid += 1
    return valid, index + 1 - valid
