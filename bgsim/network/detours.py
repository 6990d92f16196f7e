"""Interruptions of cores: timer ticks, exits to a hypervisor, daemons.

A *detour* takes a core away from its program for a while. Here detours are a function, not a process: source
``s`` interrupts core ``c`` for the k-th time at ``phase[c, s] + (k + jitter_s * u(c, s, k)) * period_s``, for
a duration drawn from the source's table; both drawings are integer mixings of the seed and ``(c, s, k)``.
Every engine gets the same answer in whatever order it asks, and nothing is stored but the phases.

A core serves its interruptions one after the other, in the order in which they come (equal times: lower
source first), and works in the gaps. `finish` says when a piece of work ends; it is monotonic in its start
and in its length, and two pieces in a row take exactly as long as one. So that a stateless function can know
what is still being served when the work starts, interruptions of one source must be farther apart than all
sources' longest ones together last.

Left out: what a detour does to caches and TLBs (that belongs into its duration), and interruptions that are
put off while the program runs with interrupts disabled.
"""

# The compiled functions take arrays by position.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bgsim.compiled import compiled, compiled_inner

FOREVER = np.iinfo(np.int64).max // 2
"""A time that no simulation reaches."""

_WORD = (1 << 64) - 1
_KEY, _NUMBER, _SOURCE = 0x9E3779B97F4A7C15, 0xD1B54A32D192ED03, 0x8CB92BA72F3D8DD7
_FIRST, _SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_KEY_U, _NUMBER_U, _SOURCE_U = np.uint64(_KEY), np.uint64(_NUMBER), np.uint64(_SOURCE)
_FIRST_U, _SECOND_U = np.uint64(_FIRST), np.uint64(_SECOND)
_PHASES = 1 << 20
"""Sources from this number on draw the phases of the sources."""

_FINE = 24
_REST = 64 - _FINE
_PERIOD_BITS = 64 - _FINE - 1
"""The upper 24 bits of a drawing place an interruption; their product with a period fits a signed word."""

_HALF = 32
_LOW = 0xFFFFFFFF
"""The lower 32 bits choose the duration."""


@dataclass(frozen=True, slots=True)
class DetourSource:
    """One periodic cause of interruptions.

    Attributes
    ----------
    name
        What interrupts.
    period_cycles
        Mean time between two interruptions of a core.
    jitter
        How far an interruption may fall behind its beat, as a fraction of the period, below 1.
    shared
        Whether all cores of a node are interrupted together.
    durations_cycles, weights
        Histogram of how long one takes; weights need not add up to one.

    Raises
    ------
    ValueError
        If the numbers make no sense.
    """

    name: str
    period_cycles: float
    jitter: float
    shared: bool
    durations_cycles: tuple[float, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.durations_cycles or len(self.durations_cycles) != len(self.weights):
            raise ValueError(f"detour {self.name}: as many durations as weights are needed, at least one")
        if round(self.period_cycles) < 1 or min(self.durations_cycles) < 0:
            raise ValueError(f"detour {self.name}: a period of at least a cycle and no negative duration")
        if self.period_cycles >= 2**_PERIOD_BITS:
            raise ValueError(f"detour {self.name}: a period below 2^{_PERIOD_BITS} cycles")
        if min(self.weights) < 0 or sum(self.weights) <= 0:
            raise ValueError(f"detour {self.name}: weights are not negative, and not all zero")
        if not 0 <= self.jitter < 1:
            raise ValueError(f"detour {self.name}: jitter is a fraction of the period, 0 to below 1")

    @property
    def gap_cycles_min(self) -> int:
        """Least time between the beginnings of two interruptions of a core."""
        return round(self.period_cycles) - round(self.jitter * self.period_cycles)

    @property
    def share(self) -> float:
        """Share of a core's time that it takes in the long run."""
        mean = sum(d * w for d, w in zip(self.durations_cycles, self.weights, strict=True))
        return mean / sum(self.weights) / self.period_cycles


class DetourTable(NamedTuple):
    """Detours as the compiled functions take them.

    Attributes
    ----------
    seed
        Key of all drawings.
    cores_per_node
        Cores ``n * cores_per_node`` and following belong to one node.
    longest
        Sum of the sources' longest durations.
    period, span
        Period and reach of the jitter of each source, int64, shape (sources,).
    shared
        Whether all cores of a node draw alike, int64, shape (sources,).
    first
        Where each source's durations begin, int64, shape (sources + 1,).
    duration, threshold
        The tables of durations, and the drawings of 32 bits below which each holds, int64.
    phase
        int64, shape (cores, sources).
    """

    seed: np.uint64
    cores_per_node: int
    longest: int
    period: NDArray[np.int64]
    span: NDArray[np.int64]
    shared: NDArray[np.int64]
    first: NDArray[np.int64]
    duration: NDArray[np.int64]
    threshold: NDArray[np.int64]
    phase: NDArray[np.int64]


@dataclass(frozen=True)
class Detours:
    """All interruptions of a number of cores.

    Attributes
    ----------
    sources
        What interrupts.
    table
        What the compiled `finish` takes.
    """

    sources: tuple[DetourSource, ...]
    table: DetourTable

    @classmethod
    def none(cls) -> Detours:
        """Cores that nothing interrupts, any number of them."""
        return cls.make((), 0, 0)

    @classmethod
    def make(cls, sources: Sequence[DetourSource], cores: int, seed: int, cores_per_node: int = 1) -> Detours:
        """Draw the phases.

        Parameters
        ----------
        sources
            What interrupts each core.
        cores
            Number of cores; those of a node have consecutive numbers.
        seed
            Everything drawn follows from it.
        cores_per_node
            For sources that interrupt a node's cores together.

        Raises
        ------
        ValueError
            If interruptions of one source may follow each other faster than they can all be served.
        """
        longest = sum(round(max(source.durations_cycles)) for source in sources)
        for source in sources:
            if source.gap_cycles_min <= longest:
                raise ValueError(
                    f"detour {source.name}: may come again after {source.gap_cycles_min} cycles, and the "
                    f"longest detours of all sources together last {longest}"
                )
        key = hashlib.sha256(f"bgsim/detours/seed={seed}".encode()).digest()[:8]
        first = np.cumsum([0, *(len(source.durations_cycles) for source in sources)])
        durations = [round(duration) for source in sources for duration in source.durations_cycles]
        thresholds = [bound for source in sources for bound in _thresholds(source)]
        table = DetourTable(
            seed=np.uint64(int.from_bytes(key, "big")),
            cores_per_node=cores_per_node,
            longest=longest,
            period=np.array([round(source.period_cycles) for source in sources], np.int64),
            span=np.array([round(source.jitter * source.period_cycles) for source in sources], np.int64),
            shared=np.array([source.shared for source in sources], np.int64),
            first=np.asarray(first, np.int64),
            duration=np.array(durations, np.int64),
            threshold=np.array(thresholds, np.int64),
            phase=np.zeros((cores, len(sources)), np.int64),
        )
        draw_phases(table)
        return cls(tuple(sources), table)

    def interruption(self, core: int, source: int, number: int) -> tuple[int, int]:
        """Beginning and duration of a core's interruption; numbers may be negative."""
        table = self.table
        owner = core // table.cores_per_node if table.shared[source] else core
        word = int(table.seed) + owner * _KEY + number * _NUMBER + source * _SOURCE & _WORD
        word = (word ^ word >> 30) * _FIRST & _WORD
        word = (word ^ word >> 27) * _SECOND & _WORD
        word ^= word >> 31
        late = (word >> _REST) * int(table.span[source]) >> _FINE
        begins = int(table.phase[core, source]) + number * int(table.period[source]) + late
        place = int(table.first[source])
        while (word & _LOW) >= table.threshold[place]:
            place += 1
        return begins, int(table.duration[place])

    def interruptions(self, core: int, start: int) -> Iterator[tuple[int, int]]:
        """A core's interruptions in order, from one safely before a time, as (beginning, duration)."""
        from heapq import merge

        def of(source: int) -> Iterator[tuple[int, int, int]]:
            number = (start - int(self.table.longest)) // int(self.table.period[source]) - 2
            while True:
                begins, lasts = self.interruption(core, source, number)
                yield begins, source, lasts
                number += 1

        for begins, _, lasts in merge(*map(of, range(len(self.sources)))):
            yield begins, lasts

    def finish(self, core: int, start: int, work: int) -> int:
        """When work that may start at a time is done; the readable twin of the compiled `finish`.

        Parameters
        ----------
        core
            Which core.
        start, work
            In cycles.
        """
        served = -FOREVER  # until when the core is busy with what came so far
        for begins, lasts in self.interruptions(core, start):
            if begins >= max(served, start) + work:
                break
            served = max(served, begins if begins < start else start) + lasts
        return max(served, start) + work


def _thresholds(source: DetourSource) -> Iterator[int]:
    """Drawings of 32 bits below which each duration of a source holds."""
    total, below = sum(source.weights), 0.0
    for weight in source.weights[:-1]:
        below += weight
        yield min(round(below / total * 2**_HALF), 2**_HALF)
    yield 2**_HALF


@compiled_inner
def draw(table, owner, source, number):
    """Pseudo-random 64-bit word of an interruption."""
    word = (
        table.seed + np.uint64(owner) * _KEY_U + np.uint64(number) * _NUMBER_U + np.uint64(source) * _SOURCE_U
    )
    word = (word ^ (word >> np.uint64(30))) * _FIRST_U
    word = (word ^ (word >> np.uint64(27))) * _SECOND_U
    return word ^ (word >> np.uint64(31))


@compiled
def draw_phases(table):
    """Fill in the phases: the first interruption of each source falls into its first period."""
    for core in range(table.phase.shape[0]):
        for source in range(table.phase.shape[1]):
            owner = core // table.cores_per_node if table.shared[source] else core
            word = draw(table, owner, source + _PHASES, 0)
            part = np.int64(word >> np.uint64(_REST))
            table.phase[core, source] = (part * table.period[source]) >> _FINE


@compiled_inner
def interruption_after(table, core, source, time):
    """The first interruption of a source that begins later than a time: its beginning and duration."""
    owner = core // table.cores_per_node if table.shared[source] else core
    period, span, phase = table.period[source], table.span[source], table.phase[core, source]
    number = (time - phase - span) // period  # begins before, however late it is
    while True:
        number += 1
        word = draw(table, owner, source, number)
        begins = phase + number * period + ((np.int64(word >> np.uint64(_REST)) * span) >> _FINE)
        if begins > time:
            break
    place = table.first[source]
    while np.int64(word & np.uint64(_LOW)) >= table.threshold[place]:
        place += 1
    return begins, table.duration[place]


@compiled_inner
def serve(table, core, start, work):
    """When work that may start at a time ends, and when the core is interrupted next."""
    sources = table.period.shape[0]
    served = start - table.longest
    time, last = served, sources
    while sources:
        begins, lasts, which = FOREVER, 0, 0
        for source in range(sources):
            found, duration = interruption_after(table, core, source, time if source <= last else time - 1)
            if found < begins:
                begins, lasts, which = found, duration, source
        if begins >= max(served, start) + work:
            return max(served, start) + work, begins
        served = max(served, min(begins, start)) + lasts
        time, last = begins, which
    return start + work, FOREVER


@compiled_inner
def finish(table, core, start, work):
    """When work that may start at a time is done on a core with detours; all in cycles."""
    end, _ = serve(table, core, start, work)
    return end


@compiled_inner
def finish_watched(table, quiet, core, start, work):
    """The same, faster: ``quiet[core]`` remembers a time span in which nothing interrupts the core."""
    end = start + work
    if quiet[core, 0] <= start and end <= quiet[core, 1]:
        return end
    end, interrupted = serve(table, core, start, work)
    quiet[core, 0], quiet[core, 1] = end, interrupted
    return end


@compiled
def finish_each(table, core, start, work, end):
    """Work out the ends of independent pieces of work; all arguments but the first have shape (n,)."""
    for piece in range(len(core)):
        end[piece] = finish(table, core[piece], start[piece], work[piece])


def nothing_watched(cores: int) -> NDArray[np.int64]:
    """The memory that `finish_watched` takes, for a number of cores and no knowledge yet."""
    return np.tile(np.array([1, 0], np.int64), (cores, 1))
