"""Single executed paths, put together, give what whole sequences of exits were measured to cost.

The sequences were executed as a whole on the same kernel: instruction lines touched, cycles with
everything in the L1I, and cycles when refills follow each other with an ``iccci`` in each.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest

from bgsim.datasheet import Datasheet
from bgsim.guests.linux import SEQUENCES
from bgsim.l4.paths import GROUPS, REFILL, Paths
from bgsim.platforms import layout
from bgsim.platforms.prices import LINE_GROUPS, virtual_tables
from bgsim.platforms.walk import walk
from bgsim.profiles import program as ops
from bgsim.profiles.program import Program, operation

BUILDS = ("os", "o2")

LINES = {"refill": (186, 172), "null_syscall": (116, 103), "tlbie": (133, 123)}
"""Distinct instruction lines of a sequence, in each build."""

COLD_REPEAT_CYCLES = {"os": 18_647, "o2": 15_478}
"""One of many executable refills back to back, the pipeline model's central setting."""

TLBIE = (
    *("mfspr_MMUCR", "mfmsr", "wrteei_0", "mtspr_MMUCR"),
    *("tlbsx_hit_31", "tlbwe_touched_60valid_1match", "mtmsr"),
)


@pytest.fixture(scope="module", params=BUILDS)
def machine(request: pytest.FixtureRequest) -> Datasheet:
    return Datasheet.load().with_values({"l4.build": request.param})


def sequence(name: str) -> tuple[str, ...]:
    return next(s.instructions for s in SEQUENCES if s.name == name)


def emulated(paths: Paths, instructions: Iterable[str]) -> int:
    mask = 0
    for instruction in instructions:
        mask |= paths.emulation_mask(instruction)
    return mask


def kinds(*numbers: int) -> int:
    mask = 0
    for number in numbers:
        mask |= Paths.mask(*LINE_GROUPS[number])
    return mask


def masks(paths: Paths) -> dict[str, int]:
    """Line groups of each sequence, from the same tables as the walk."""
    refill = ("tlb_save_user", "tlb_walk_user", "tlb_restore")
    return {
        "refill": kinds(layout.LINES_REFLECT, layout.LINES_TLBWE_FLUSH, layout.LINES_INSERT)
        | emulated(paths, [i for name in refill for i in sequence(name)]),
        "null_syscall": kinds(layout.LINES_ENTER) | emulated(paths, sequence("system_call")),
        "tlbie": kinds(layout.LINES_TLBSX, layout.LINES_TLBWE_FLUSH) | emulated(paths, sequence("tlbie")),
    }


@pytest.mark.parametrize("name", LINES)
def test_line_groups_add_up(machine: Datasheet, name: str) -> None:
    paths = Paths(machine)
    mask = masks(paths)[name]
    lines = sum(size for group, size in enumerate(paths.group_sizes()) if mask >> group & 1)
    assert lines == pytest.approx(LINES[name][BUILDS.index(paths.build)], rel=0.15)


def test_line_groups_are_real(machine: Datasheet) -> None:
    sizes = Paths(machine).group_sizes()
    assert len(sizes) == len(GROUPS)
    assert min(sizes) >= 0


@dataclass(frozen=True)
class Composite:
    """A sequence of exits executed as a whole, kernel as shipped, central setting."""

    exits: tuple[str, ...]
    instructions: int
    warm_cycles: int


COMPOSITES = {
    "refill": Composite((*REFILL[:-1], "dtlb_insert_idx31"), 10_424, 14_949),
    "null_syscall": Composite(("sc_reflect", *sequence("system_call")), 5_961, 9_719),
    "tlbie": Composite(TLBIE, 4_044, 5_994),
}


@pytest.mark.parametrize("composite", COMPOSITES.values(), ids=COMPOSITES)
def test_warm_sequences_are_the_sum_of_their_exits(composite: Composite) -> None:
    """Cycles by half a per cent: executed as a whole, an exit finds branches predicted by the last."""
    paths = Paths(Datasheet.load())
    assert sum(paths.instructions(path) for path in composite.exits) == composite.instructions
    cycles = sum(paths.cycles(path) for path in composite.exits)
    assert composite.warm_cycles <= cycles <= 1.005 * composite.warm_cycles


def steady_refill(machine: Datasheet) -> tuple[int, int]:
    """Cycles of one refill among many, walked, and how often the kernel's memory was loaded.

    The guest goes round over more executable pages than its TLB holds; its kernel touches one MiB,
    which the hardware TLB keeps. What the measured sequence has not is priced at nothing: the TLB
    handler's own instructions, lost data lines, lines the guest refetches. Only the few cycles that
    privileged instructions take by themselves stay in.
    """
    pages = 70
    operations = [operation(ops.DATA, key) for key in range(pages)]
    zeros = np.zeros(pages, dtype=np.uint8)
    program = Program(
        name="circle",
        operations=np.array(operations * 40, dtype=np.uint32),
        key_page=np.arange(pages, dtype=np.uint32),
        key_pid=zeros,
        key_executable=np.ones(pages, dtype=np.bool_),
        key_kernel=np.zeros(pages, dtype=np.bool_),
        key_directory=zeros,
        key_table=zeros,
        key_thread=zeros,
        instructions=0,
        instructions_removed=0,
    )
    tables = virtual_tables(machine, SEQUENCES, Fraction(0), Fraction(0), 64)
    tables.price[layout.PRICE_DCACHE_REFILL] = 0
    tables.price[layout.HANDLER_AT : layout.HANDLER_AT + 2] = 0
    tables.price[layout.PRICE_HANDLER_USER] = 0
    state = layout.new_state(pages, 64, 2, 64, len(SEQUENCES))
    state.entry[layout.MAPPED] = 1
    state.register[layout.DEADLINE] = 1 << 62
    facts = layout.page_facts(program)
    taken = []
    for passes in (20, 40):
        walk(program.operations, facts, tables, state, passes * pages)
        taken.append((int(state.register[layout.NOW]), int(state.count[layout.COUNT_GUEST_MISS_D])))
    assert taken[1][1] - taken[0][1] == 20 * pages, "every reference is a refill"
    return (taken[1][0] - taken[0][0]) // (20 * pages), int(state.count[layout.COUNT_INSERT_KERNEL])


def test_refills_back_to_back_with_an_emptied_instruction_cache(machine: Datasheet) -> None:
    cycles, fragments = steady_refill(machine)
    assert fragments == 1, "the kernel's fragment is loaded once"
    assert cycles == pytest.approx(COLD_REPEAT_CYCLES[machine.text("l4.build")], rel=0.05)
