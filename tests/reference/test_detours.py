"""Interruptions of cores: the compiled function against its readable twin, and the laws it obeys."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bgsim.compiled import compiled
from bgsim.network.detours import Detours, DetourSource, finish_each, finish_watched, nothing_watched

CORES = 8


@compiled
def watched_each(table, quiet, core, start, work, end):  # type: ignore[no-untyped-def]
    for piece in range(len(core)):
        end[piece] = finish_watched(table, quiet, core[piece], start[piece], work[piece])


@st.composite
def sources(draw: st.DrawFn) -> list[DetourSource]:
    count = draw(st.integers(0, 3))
    found = []
    for number in range(count):
        durations = draw(st.lists(st.integers(0, 40), min_size=1, max_size=4))
        weights = draw(st.lists(st.integers(1, 9), min_size=len(durations), max_size=len(durations)))
        period = draw(st.integers(250, 2_000))
        jitter = draw(st.sampled_from([0.0, 0.1, 0.5]))
        shared = draw(st.booleans())
        found.append(
            DetourSource(f"source {number}", period, jitter, shared, tuple(durations), tuple(weights))
        )
    return found


pieces = st.lists(
    st.tuples(st.integers(0, CORES - 1), st.integers(0, 20_000), st.integers(0, 5_000)),
    min_size=1,
    max_size=30,
)


def ends(detours: Detours, work: list[tuple[int, int, int]]) -> list[int]:
    core, start, length = (np.array(column, np.int64) for column in zip(*work, strict=True))
    end = np.zeros(len(work), np.int64)
    finish_each(detours.table, core, start, length, end)
    return end.tolist()


@settings(max_examples=200, deadline=None)
@given(sources(), st.integers(0, 2**63), pieces)
def test_compiled_equals_readable(
    what: list[DetourSource], seed: int, work: list[tuple[int, int, int]]
) -> None:
    detours = Detours.make(what, CORES, seed, cores_per_node=4)
    assert ends(detours, work) == [detours.finish(*piece) for piece in work]


@settings(max_examples=100, deadline=None)
@given(sources(), st.integers(0, 2**63), pieces)
def test_remembering_quiet_times_changes_nothing(
    what: list[DetourSource], seed: int, work: list[tuple[int, int, int]]
) -> None:
    detours = Detours.make(what, CORES, seed, cores_per_node=4)
    core, start, length = (np.array(column, np.int64) for column in zip(*work, strict=True))
    end = np.zeros(len(work), np.int64)
    watched_each(detours.table, nothing_watched(CORES), core, start, length, end)
    assert end.tolist() == ends(detours, work)


@settings(max_examples=100, deadline=None)
@given(sources(), st.integers(0, 2**63), st.integers(0, 9_000), st.integers(0, 900), st.integers(0, 900))
def test_two_pieces_take_as_long_as_one(
    what: list[DetourSource], seed: int, start: int, first: int, second: int
) -> None:
    detours = Detours.make(what, 1, seed)
    between = detours.finish(0, start, first)
    assert detours.finish(0, between, second) == detours.finish(0, start, first + second)


@settings(max_examples=100, deadline=None)
@given(sources(), st.integers(0, 2**63), st.integers(0, 9_000), st.integers(0, 900), st.integers(0, 50))
def test_later_or_longer_work_never_ends_earlier(
    what: list[DetourSource], seed: int, start: int, work: int, more: int
) -> None:
    detours = Detours.make(what, 1, seed)
    end = detours.finish(0, start, work)
    assert end >= start + work
    assert detours.finish(0, start + more, work) >= end
    assert detours.finish(0, start, work + more) >= end + more


def test_interruptions_take_their_share() -> None:
    tick = DetourSource("tick", 1_000, 0.2, False, (10.0, 90.0), (3.0, 1.0))
    detours = Detours.make([tick], 50, 7)
    core = np.arange(50, dtype=np.int64)
    end = np.zeros(50, np.int64)
    finish_each(detours.table, core, np.zeros(50, np.int64), np.full(50, 1_000_000, np.int64), end)
    # 1,031 interruptions of 30 cycles in the mean per core; the deviation of the mean of 50 is 0.016 %
    assert end.mean() == pytest.approx(1_000_000 / (1 - tick.share), rel=1e-3)


def test_cores_of_a_node_are_interrupted_together_if_shared() -> None:
    def begins(shared: bool, core: int) -> list[tuple[int, int]]:
        tick = DetourSource("tick", 1_000, 0.5, shared, (10.0, 90.0), (1.0, 1.0))
        detours = Detours.make([tick], 8, 7, cores_per_node=4)
        return [detours.interruption(core, 0, number) for number in range(20)]

    assert begins(True, 0) == begins(True, 3)
    assert begins(True, 3) != begins(True, 4)
    assert begins(False, 0) != begins(False, 3)


def test_nothing_interrupts_none() -> None:
    assert Detours.none().finish(12, 100, 50) == 150
    assert ends(Detours.none(), [(12, 100, 50)]) == [150]


def test_interruptions_that_outrun_each_other_are_refused() -> None:
    often = DetourSource("often", 100, 0.5, False, (40.0,), (1.0,))
    Detours.make([often], 1, 1)
    long = DetourSource("long", 10_000, 0.0, False, (20.0,), (1.0,))
    with pytest.raises(ValueError, match="often: may come again after 50 cycles"):
        Detours.make([often, long], 1, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"durations_cycles": ()}, "as many durations as weights"),
        ({"weights": (0.0,)}, "not all zero"),
        ({"jitter": 1.0}, "below 1"),
        ({"period_cycles": 0.2}, "at least a cycle"),
    ],
)
def test_nonsense_is_refused(change: dict[str, object], message: str) -> None:
    tick = {"name": "tick", "period_cycles": 100.0, "jitter": 0.0, "shared": False}
    with pytest.raises(ValueError, match=message):
        DetourSource(**{**tick, "durations_cycles": (1.0,), "weights": (1.0,), **change})
