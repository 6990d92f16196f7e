"""TLB loads of replayed builds against those the traced kernel did itself."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from bgsim.datasheet import Datasheet
from bgsim.guests.linux import SEQUENCES
from bgsim.platforms import layout
from bgsim.platforms.prices import native_tables
from bgsim.platforms.walk import walk
from bgsim.profiles.program import EXCEPTION_DTLB, EXCEPTION_ITLB, TRACES, counts, load, read_words
from bgsim.validation.case import Case, Row

ENTRIES, PINNED = 64, 1
"""The traced machine: 256 MiB, of which Linux pins one entry and replaces the other 63."""

EVENT_MISS = 4
TOLERANCE_PERCENT = 0.5


def replayed_loads(stem: str) -> tuple[int, int]:
    """Entries the TLB handler loads when a trace is replayed, and misses that become page faults."""
    program = load(stem)
    state = layout.new_state(program.keys, ENTRIES, PINNED, 1, len(SEQUENCES))
    state.register[layout.DEADLINE] = 1 << 62
    tables = native_tables(Datasheet.load(), SEQUENCES, Fraction(0))
    operations = program.operations
    reason = walk(operations, layout.page_facts(program), tables, state, len(operations))
    assert reason == layout.STOP_END, "the trace is replayed to its end"
    loads = state.count[layout.COUNT_GUEST_MISS_D] + state.count[layout.COUNT_GUEST_MISS_I]
    faults = (
        state.count[layout.COUNT_ENTER + EXCEPTION_DTLB] + state.count[layout.COUNT_ENTER + EXCEPTION_ITLB]
    )
    return int(loads), int(faults)


def rows(fast: bool) -> Iterator[Row]:
    """The whole lcc build; the shipped parts of the others."""
    loads, _ = replayed_loads(TRACES["lcc"])
    traced = counts()["W1a_make_lcc"]["tlbmiss_fast"]
    yield Row("lcc", "whole build", traced, loads, TOLERANCE_PERCENT)
    if fast:
        return
    for program in ("gcc346", "gcc12"):
        loads, faults = replayed_loads(TRACES[program])
        misses = int(np.count_nonzero(read_words(TRACES[program]) >> np.uint32(29) == EVENT_MISS))
        yield Row(program, "first 300 M instructions", misses - faults, loads, TOLERANCE_PERCENT)


CASE = Case(
    name="tlb-loads-against-traced-kernel",
    compares="entries loaded by the replayed TLB handler with those the traced Linux loaded",
    kind="reference",
    unit="loads",
    source="counts and miss events of the traced runs (Linux 6.1 on an emulated PowerPC 440, "
    "bgsim/profiles/data)",
    conditions="The traced machine's configuration: 63 usable entries, round robin. Shows that "
    "traces and TLB are right; "
    "Kittyhawk Linux pins one entry more. For the shipped parts: miss exceptions noted in the trace, "
    "less those that "
    "became page faults.",
    binding=True,
    rows=rows,
)
