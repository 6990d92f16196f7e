"""The compiled walk and the readable one agree in every register, count, cycle and entry, cured or not."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from bgsim.datasheet import Datasheet
from bgsim.guests.linux import SEQUENCES
from bgsim.l4.paths import GROUPS
from bgsim.l4.vtlb import FIRST_PID_TAG, GUEST_SPACE
from bgsim.platforms import layout
from bgsim.platforms.prices import native_tables, virtual_tables
from bgsim.platforms.processor import Processor
from bgsim.platforms.reference import ReferenceWalk
from bgsim.platforms.reference_core import LINEAR_PAGE, BareCore, VirtualCore
from bgsim.platforms.reference_walked import WalkedBareCore, WalkedVirtualCore
from bgsim.platforms.seam import Code
from bgsim.platforms.walk import walk
from bgsim.profiles import program as ops
from bgsim.profiles.program import TRACES, Program, load, operation

FOREVER = 1 << 62
WIDTH = 64
"""Entries the price tables reach to; every TLB here has at most as many."""

MIB = 8
"""MiB of the linear mapping that generated programs touch."""


# -- prices ----------------------------------------------------------------------------------------


@cache
def real_tables(virtual: bool) -> layout.Tables:
    machine = Datasheet.load()
    pairs = Fraction(machine.quantity("guest.irq_pairs_per_kiloinstruction").value)
    if virtual:
        return virtual_tables(machine, SEQUENCES, pairs, Fraction(308, 10), 60)
    return native_tables(machine, SEQUENCES, pairs)


class Cures(NamedTuple):
    """Modes of a walk, in the order of ``layout``."""

    write_insert: int = 0
    icache: int = layout.ICACHE_AT_INSERT
    fragment_shift: int = 0
    pid_tags: int = 0
    paravirtual: int = 0
    table_walk: int = layout.WALK_BY_SOFTWARE
    traps: bool = True
    """Whether the instructions of a machine that walks page tables, and PID writes, trap."""


NO_CURE = Cures()
CURES = st.builds(
    Cures,
    st.integers(0, 1),
    st.integers(0, 2),
    st.sampled_from((0, 4, 8)),
    st.integers(0, 1),
    st.integers(0, 1),
    st.sampled_from((0, 0, 1, 2)),
    st.booleans(),
)


@cache
def distinct_tables(virtual: bool, cures: Cures = NO_CURE) -> layout.Tables:
    """Prices no two of which are equal, so that none can stand in for another unnoticed."""
    random = np.random.default_rng(20110531)
    price = random.permutation(np.arange(1, layout.GROUPS_AT + len(GROUPS) + 1, dtype=np.int64)) * 37
    price[layout.PRICE_IRQ_PAIRS_MILLI] = 12_345
    price[layout.MODE_WRITE_INSERT : layout.PRICES] = cures[:-1]
    # Old lines are pushed out within a few hundred operations.
    price[layout.PRICE_MISS_MICRO] = 6_560 if cures.icache else 0
    price[layout.PRICE_CAPACITY_MICRO] = 3_000_000
    price[layout.PRICE_INDEX_UPDATE] *= any(cures[:-1])
    if not virtual:
        price[layout.MODE_WRITE_INSERT : layout.MODE_TABLE_WALK] = 0
        price[layout.PRICE_MISS_MICRO] = 0
        price[layout.PRICE_INDEX_UPDATE] = 0
    masks = slice(layout.LINE_MASKS_AT, layout.HANDLER_AT)
    price[masks] = random.integers(1, 1 << len(GROUPS), layout.LINE_MASKS)
    for kind in (layout.LINES_WALKED, layout.LINES_PID_TAGGED, layout.LINES_ENTER):
        price[layout.LINE_MASKS_AT + kind] *= cures.traps
    price[layout.HANDLER_AT : layout.VIRTUAL_AT] = (0, 5)
    price[layout.VIRTUAL_AT] = virtual
    # Scans cost more than an insert into a free entry saves.
    rows = layout.FLUSHES_AT + layout.FLUSHES
    scan = (random.permutation(rows * (WIDTH + 1)).reshape(rows, WIDTH + 1) + 3000).astype(np.int64)
    cycles = random.permutation(len(SEQUENCES)) * 101 + 7
    lines = random.integers(1, 1 << len(GROUPS), len(SEQUENCES))
    if not cures.traps:
        lines[::2] = 0
    return layout.made_tables(price, scan, np.array([cycles, lines * virtual], dtype=np.int64))


# -- generated programs ------------------------------------------------------------------------------

KINDS = (
    *(ops.DATA,) * 8,
    *(ops.INSTRUCTION,) * 4,
    *(ops.LOWMEM_DATA,) * 2,
    ops.LOWMEM_INSTRUCTION,
    ops.WORK_USER,
    ops.WORK_KERNEL,
    ops.ENTER,
    ops.PID,
    ops.TLBIE,
    ops.TLBIE,
    ops.TLBIA,
    ops.SEQUENCE,
)


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """A short program over a few pages of three address spaces and the kernel's.

    User pages have the same virtual addresses in every address space, and are only named while
    their PID is loaded: as in a trace.
    """
    user = [(0x10000 + number, pid) for pid in (1, 2, 3) for number in range(draw(st.integers(1, 6)))]
    kernel = [(0xD1000 + number, 0) for number in range(draw(st.integers(0, 2)))]
    pages = user + kernel
    flags = st.lists(st.booleans(), min_size=len(pages), max_size=len(pages))
    mib = st.lists(st.integers(0, MIB - 1), min_size=len(pages), max_size=len(pages))
    pid = draw(st.sampled_from((1, 2, 3)))
    words = [operation(ops.PID, pid)]
    for kind in draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=120)):
        argument = 0
        if kind in (ops.DATA, ops.INSTRUCTION, ops.TLBIE):
            argument = draw(st.sampled_from([k for k, (_, owner) in enumerate(pages) if owner in (0, pid)]))
        elif kind in (ops.LOWMEM_DATA, ops.LOWMEM_INSTRUCTION):
            argument = draw(st.integers(0, MIB - 1))
        elif kind in (ops.WORK_USER, ops.WORK_KERNEL):
            argument = draw(st.integers(0, 300_000))
        elif kind == ops.ENTER:
            argument = draw(st.sampled_from((2, 3, 4, 5, 6, 7, 8, 10, 13, 14)))
        elif kind == ops.PID:
            argument = pid = draw(st.sampled_from((1, 2, 3)))
        elif kind == ops.SEQUENCE:
            argument = draw(st.integers(0, len(SEQUENCES) - 1))
        words.append(operation(kind, argument))
    return Program(
        name="generated",
        operations=np.array(words, dtype=np.uint32),
        key_page=np.array([page for page, _ in pages], dtype=np.uint32),
        key_pid=np.array([owner for _, owner in pages], dtype=np.uint8),
        key_executable=np.array(draw(flags)),
        key_kernel=np.array([owner == 0 for _, owner in pages]),
        key_directory=np.array(draw(mib), dtype=np.uint8),
        key_table=np.array(draw(mib), dtype=np.uint8),
        key_thread=np.array(draw(mib), dtype=np.uint8),
        instructions=0,
        instructions_removed=0,
    )


@dataclass(frozen=True)
class Sizes:
    """Entries of the TLBs of one processor."""

    guest: int
    pins: int
    hardware: int


SMALL = st.builds(Sizes, st.integers(4, 12), st.integers(1, 2), st.integers(1, 12))
REAL = st.sampled_from([Sizes(64, 1, 60), Sizes(64, 2, 60), Sizes(64, 3, 63)])


# -- both walks, side by side --------------------------------------------------------------------------


def _nothing() -> Code:
    yield from ()


class Pair:
    """The same processor twice."""

    def __init__(self, program: Program, tables: layout.Tables, sizes: Sizes) -> None:
        self.program = program
        self.tables = tables
        self.pages = layout.page_facts(program)
        guest: Any = SimpleNamespace(
            program=program,
            sequences=SEQUENCES,
            main=_nothing,
            pinned_entries=lambda _: sizes.pins,
        )
        self.processor = Processor(simpy.Environment(), guest, tables, 0, sizes.guest, sizes.hardware)
        self.compiled = self.processor.state
        self.reference = ReferenceWalk(
            program, tables, sizes.guest, sizes.pins, sizes.hardware, len(SEQUENCES)
        )

    def walk(self, end: int, deadline: int) -> int:
        """Run both; the reason they stop for and all they have counted is the same."""
        self.compiled.register[layout.DEADLINE] = deadline
        reason = walk(self.program.operations, self.pages, self.tables, self.compiled, end)
        assert self.reference.walk(self.program.operations, end, deadline) == reason
        np.testing.assert_array_equal(self.compiled.number, self.reference.numbers())
        return int(reason)

    def set(self, register: int, value: int) -> None:
        self.compiled.register[register] = value
        self.reference.register[register] = value

    def map(self, mib: int, count: int = 1) -> None:
        """The VMM maps some of the guest's memory."""
        self.compiled.entry[layout.MAPPED, mib : mib + count] = 1
        self.reference.mapped.update(range(mib, mib + count))

    def touch_foreign(self, pages: int) -> None:
        """The VMM touches pages of its own."""
        core = self.reference.core
        assert isinstance(core, VirtualCore | WalkedVirtualCore)
        assert self.processor.touch_foreign(pages) == core.touch_foreign(pages)

    def assert_same_entries(self) -> None:
        """What the compiled walk remembers by key is what the lists of entries hold."""
        core = self.reference.core
        if isinstance(core, WalkedVirtualCore):
            self._assert_same_hardware(core)
            return
        guest = self.compiled.entry[layout.GUEST_KEY]
        valid = self.compiled.entry[layout.GUEST_IS_VALID]
        touched = self.compiled.entry[layout.GUEST_TOUCHED]
        for index in range(core.entries):
            if isinstance(core, BareCore | WalkedBareCore):
                bare = core.tlb.entries[index]
                assert bool(valid[index]) == (bare is not None)
                page = None if bare is None else (bare.page, bare.tag)
            else:
                virtual = core.virtual.entries[index]
                assert (bool(valid[index]), bool(touched[index])) == (virtual.valid, virtual.touched)
                page = (virtual.page, virtual.pid) if virtual.valid else None
            if page is not None and page[0] < LINEAR_PAGE:
                key = guest[index]
                assert page == (self.reference.page_of(key), self.program.key_pid[key])
        if isinstance(core, VirtualCore):
            self._assert_same_hardware(core)

    def _assert_same_hardware(self, core: VirtualCore | WalkedVirtualCore) -> None:
        pages = 256 << int(self.tables.price[layout.MODE_FRAGMENT_SHIFT])
        for index, entry in enumerate(core.hardware.entries):
            key = int(self.compiled.entry[layout.HARDWARE_KEY, index])
            if entry is None:
                assert key == layout.NO_KEY
            elif entry.space != GUEST_SPACE:
                assert key == layout.FOREIGN_KEY - entry.page
            elif key < self.program.keys:
                assert (entry.page, entry.pages) == (self.reference.page_of(key), 1)
                if core.tags and not self.program.key_kernel[key]:
                    assert entry.tag == FIRST_PID_TAG + self.program.key_pid[key]
            else:
                fragment = key - self.program.keys
                assert (entry.page, entry.pages) == (LINEAR_PAGE + fragment * pages, pages)


@pytest.mark.parametrize("virtual", [False, True])
@pytest.mark.parametrize("prices", [real_tables, distinct_tables])
@given(program=programs(), sizes=SMALL | REAL)
def test_whole_programs(prices, virtual: bool, program: Program, sizes: Sizes) -> None:  # type: ignore[no-untyped-def]
    pair = Pair(program, prices(virtual), sizes)
    pair.map(0, MIB)
    assert pair.walk(len(program.operations), FOREVER) == layout.STOP_END
    pair.assert_same_entries()


@pytest.mark.parametrize("virtual", [False, True])
@given(program=programs(), sizes=SMALL | REAL, cures=CURES)
def test_whole_programs_under_any_cures(virtual: bool, program: Program, sizes: Sizes, cures: Cures) -> None:
    pair = Pair(program, distinct_tables(virtual, cures), sizes)
    pair.map(0, MIB)
    assert pair.walk(len(program.operations), FOREVER) == layout.STOP_END
    pair.assert_same_entries()


@pytest.mark.parametrize("virtual", [False, True])
@given(program=programs(), sizes=SMALL, cures=st.just(NO_CURE) | CURES, data=st.data())
def test_cut_by_deadlines(
    virtual: bool, program: Program, sizes: Sizes, cures: Cures, data: st.DataObject
) -> None:
    pair = Pair(program, distinct_tables(virtual, cures), sizes)
    whole = Pair(program, distinct_tables(virtual, cures), sizes)
    for both in (pair, whole):
        both.map(0, MIB)
    whole.walk(len(program.operations), FOREVER)
    reason = layout.STOP_DEADLINE
    while reason == layout.STOP_DEADLINE:
        # Up to two hundred slices, then to the end.
        ahead = data.draw(st.integers(1, 300_000)) if pair.compiled.number[layout.NOW] < 10**7 else FOREVER
        reason = pair.walk(len(program.operations), int(pair.compiled.number[layout.NOW]) + ahead)
    assert reason == layout.STOP_END
    left_over = [layout.DEADLINE]
    np.testing.assert_array_equal(
        np.delete(pair.compiled.number, left_over), np.delete(whole.compiled.number, left_over)
    )


@given(program=programs(), sizes=SMALL, cures=st.just(NO_CURE) | CURES, data=st.data())
def test_memory_is_mapped_when_it_is_first_needed(
    program: Program, sizes: Sizes, cures: Cures, data: st.DataObject
) -> None:
    pair = Pair(program, distinct_tables(True, cures), sizes)
    faults = set()
    while (reason := pair.walk(len(program.operations), FOREVER)) == layout.STOP_RAM_FAULT:
        mib = int(pair.compiled.register[layout.FAULT_MIB])
        assert mib not in faults
        faults.add(mib)
        pair.touch_foreign(data.draw(st.integers(0, 4)))
        pair.map(mib)
    assert reason == layout.STOP_END
    pair.assert_same_entries()


@settings(max_examples=25)
@given(program=programs(), sizes=SMALL, data=st.data())
def test_stops_at_exits(program: Program, sizes: Sizes, data: st.DataObject) -> None:
    pair = Pair(program, distinct_tables(True), sizes)
    pair.map(0, MIB)
    reason = layout.STOP_EXIT
    while reason == layout.STOP_EXIT:
        for count, limit in (
            (layout.EXITS, layout.EXIT_LIMIT),
            (layout.PROGRAM_EXITS, layout.PROGRAM_EXIT_LIMIT),
        ):
            more = data.draw(st.sampled_from((0, 5, FOREVER)))
            pair.set(limit, min(int(pair.compiled.register[count]) + more, FOREVER))
        position = int(pair.compiled.register[layout.POSITION])
        reason = pair.walk(len(program.operations), FOREVER)
        assert reason == layout.STOP_END or pair.compiled.register[layout.POSITION] > position


def test_a_tlb_miss_does_not_bring_the_virtual_timer_up_to_date() -> None:
    """Only exits of privileged instructions do: an insert must not deliver a timer that is due."""
    words = [operation(ops.LOWMEM_DATA, 1), operation(ops.ENTER, ops.EXCEPTION_SYSCALL)]
    pair = Pair(ops.kernel_program("two exits", words), real_tables(True), Sizes(64, 2, 60))
    pair.map(0, MIB)
    pair.set(layout.PROGRAM_EXIT_LIMIT, 0)
    assert pair.walk(2, FOREVER) == layout.STOP_EXIT
    assert pair.compiled.register[layout.POSITION] == 2
    assert pair.compiled.register[layout.EXITS] > pair.compiled.register[layout.PROGRAM_EXITS]


@pytest.mark.parametrize("virtual", [False, True])
def test_beginning_of_a_build(virtual: bool) -> None:
    program = load(TRACES["lcc"])

    pair = Pair(program, real_tables(virtual), Sizes(64, 2, 60) if virtual else Sizes(64, 3, 1))
    pair.map(0, layout.FRAGMENTS)
    for end in (20_000, 60_000, 200_000):
        assert pair.walk(end, FOREVER) == layout.STOP_END
        pair.assert_same_entries()
    assert pair.compiled.count[layout.COUNT_GUEST_MISS_D] > 400
