"""The compile traces, digested and replayed on the machine they were taken on, give its counts again."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from bgsim.datasheet import Datasheet
from bgsim.guests.linux import SEQUENCES
from bgsim.platforms import layout
from bgsim.platforms.prices import native_tables
from bgsim.platforms.walk import walk
from bgsim.profiles import program as ops
from bgsim.profiles.program import BUILD_MIB, TRACES, Program, counts, load, read_words

EVENT_MISS = 4
EVENT_INSTRUCTIONS = 6


class Replay:
    """One trace, as it was recorded, as it was digested, and replayed.

    The recording machine had 256 MiB: Linux pinned one entry and replaced the other 63.
    """

    def __init__(self, name: str) -> None:
        self.words: NDArray[np.uint32] = read_words(TRACES[name])
        self.program: Program = load(TRACES[name])
        state = layout.new_state(self.program.keys, 64, 1, 1, len(SEQUENCES))
        state.register[layout.DEADLINE] = 1 << 62
        tables = native_tables(Datasheet.load(), SEQUENCES, Fraction(0))
        operations = self.program.operations
        reason = walk(operations, layout.page_facts(self.program), tables, state, len(operations))
        assert reason == layout.STOP_END
        self.count = state.count

    def refills(self, instruction: int) -> int:
        """Entries the TLB handler loaded."""
        return int(self.count[layout.COUNT_GUEST_MISS_D + instruction])

    def entered(self, exception: int) -> int:
        """Exceptions of one kind that the trace itself holds."""
        return int(self.count[layout.COUNT_ENTER + exception])


@pytest.fixture(scope="module", params=TRACES)
def replay(request: pytest.FixtureRequest) -> Replay:
    return Replay(request.param)


@pytest.fixture(scope="module")
def lcc() -> Replay:
    return Replay("lcc")


def test_a_build_touches_all_of_the_recording_machine(replay: Replay) -> None:
    assert replay.program.linear_mib == BUILD_MIB


def test_misses_as_recorded(replay: Replay) -> None:
    """The recorder noted each miss exception: those the handler served and those that became faults."""
    noted = replay.words[replay.words >> 29 == EVENT_MISS] >> 22 & 1
    for instruction, exception in enumerate((ops.EXCEPTION_DTLB, ops.EXCEPTION_ITLB)):
        taken = replay.refills(instruction) + replay.entered(exception)
        assert taken == pytest.approx(int((noted == instruction).sum()), rel=0.005)


def test_instructions_are_kept_or_removed(replay: Replay) -> None:
    recorded = replay.words[replay.words >> 29 == EVENT_INSTRUCTIONS] & 0xFFFFFF
    program = replay.program
    assert program.instructions + program.instructions_removed == int(recorded.sum())
    done = replay.count[layout.COUNT_INSTRUCTIONS_USER] + replay.count[layout.COUNT_INSTRUCTIONS_KERNEL]
    assert done == program.instructions


def test_the_machine_s_own_share_is_small(replay: Replay) -> None:
    """What is taken out is the TLB handler, the timer and the console, a few per cent to a quarter."""
    program = replay.program
    assert 0.02 < program.instructions_removed / (program.instructions + program.instructions_removed) < 0.3


def test_loads_of_the_whole_lcc_build(lcc: Replay) -> None:
    """The lcc trace is a whole build, so the counts of the build are its counts."""
    loaded = counts()["W1a_make_lcc"]["tlbmiss_fast"]
    assert loaded == 532_325
    assert lcc.refills(0) + lcc.refills(1) == pytest.approx(loaded, rel=0.005)


@pytest.mark.parametrize(
    ("name", "exception"),
    [
        ("syscall", ops.EXCEPTION_SYSCALL),
        ("dsi", ops.EXCEPTION_DSI),
        ("isi", ops.EXCEPTION_ISI),
        ("fp_unavailable", ops.EXCEPTION_FP_UNAVAILABLE),
        ("program", ops.EXCEPTION_PROGRAM),
    ],
)
def test_exceptions_of_the_whole_lcc_build(lcc: Replay, name: str, exception: int) -> None:
    assert lcc.entered(exception) == sum(counts()["W1a_make_lcc"]["exceptions"][name].values())


def test_no_timer_or_device_interrupt_is_left(replay: Replay) -> None:
    assert replay.entered(ops.EXCEPTION_DECREMENTER) == replay.entered(ops.EXCEPTION_EXTERNAL) == 0
