"""Paged against static memory, where Yoshii et al. published the worst gap between Linux and CNK."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from bgsim.datasheet import Datasheet
from bgsim.units import format_bytes
from bgsim.validation.case import Case, Row
from bgsim.workloads import execute
from bgsim.workloads.any_config import WorkloadConfig
from bgsim.workloads.configs import MemoryConfig, NoiseConfig
from bgsim.workloads.outcome import Outcome
from bgsim.workloads.resolved import Partition, ResolvedRun

SIZES = tuple(1 << exponent for exponent in range(18, 28))
"""Sizes of the table among which the worst gap is looked for, in bytes."""

ACCESSES = 100_000
LONG_ACCESSES = 1_000_000
"""So many let tens of timer interrupts fall into a run."""

GAP_PERCENT = 68.0
FACTOR = 3.0
BIG_MEMORY_GAP_PERCENT = 0.04
BIG_MEMORY_SIZE = 8 << 20


def _run(guest: str, workload: WorkloadConfig) -> Outcome:
    machine = Datasheet.load()
    node = Partition("node", (1, 1, 1), (False, False, False))
    return execute(ResolvedRun(machine, machine, node, "bare-metal", guest, workload, 0, 0))


@lru_cache(maxsize=64)
def rate(guest: str, size: int, accesses: int = ACCESSES) -> float:
    """MiB/s of the random walk."""
    config = {"kind": "memory", "pattern": "random", "size": format_bytes(size), "accesses": accesses}
    return float(_run(guest, MemoryConfig.model_validate(config)).metrics["bandwidth_MiBps"])


def gap_percent(guest: str, size: int, accesses: int = ACCESSES) -> float:
    """By how much a guest's rate is below CNK's."""
    return 100 * (1 - rate(guest, size, accesses) / rate("cnk", size, accesses))


def rows_paged(fast: bool) -> Iterator[Row]:
    """The worst gap, in both ways it was published."""
    worst = max(SIZES, key=lambda size: gap_percent("zeptoos", size))
    at = f"worst of all sizes, {format_bytes(worst)}"
    gap = gap_percent("zeptoos", worst)
    yield Row("gap (%)", at, GAP_PERCENT, gap, 10.0)
    yield Row("factor", at, FACTOR, 1 / (1 - gap / 100), 20.0)


def rows_big_memory(fast: bool) -> Iterator[Row]:
    """The gap that is left with Big Memory."""
    gap = gap_percent("zeptoos-bigmemory", BIG_MEMORY_SIZE, LONG_ACCESSES)
    yield Row("gap (%)", format_bytes(BIG_MEMORY_SIZE), BIG_MEMORY_GAP_PERCENT, gap, 25.0)


def rows_quiet(fast: bool) -> Iterator[Row]:
    """Share of undisturbed quanta under CNK."""
    config = NoiseConfig.model_validate({"kind": "noise", "duration": "100 ms"})
    metrics = _run("cnk", config).metrics
    quiet = 100 * (1 - metrics["detours"] / metrics["messages"])
    yield Row("quanta (%)", "100 ms of 100 µs quanta", 100.0, quiet, 0.0)


_SOURCE = (
    "Yoshii, Iskra, Naik, Beckman, Broekema: P2S2 2008 (more than a factor of 3; 0.03 to 0.2 % with Big "
    "Memory) and ICPPW 2009 (about 68 % in the worst case; 0.04 %), abstracts"
)

PAGED = Case(
    name="paged-memory-against-publication",
    compares="how much slower a random walk over memory is with Linux's 4 KiB pages than under CNK, in the "
    "worst case, with the published gap",
    kind="measured",
    unit="see series",
    source=_SOURCE,
    conditions="Native, one core. The abstracts name neither the benchmark's access pattern nor its sizes: a "
    "dependent random walk over 256 KiB to 128 MiB stands for it. 68 % is read as a loss of rate, "
    "which is the earlier factor of 3.1. The factor is published as a lower bound. Nothing is fitted; "
    "latencies are recalled, and the loop and the TLB handler's cache misses are guesses.",
    binding=False,
    rows=rows_paged,
)

BIG_MEMORY = Case(
    name="big-memory-against-publication",
    compares="how much slower the random walk is with Big Memory than under CNK with the published gap",
    kind="measured",
    unit="%",
    source=_SOURCE,
    conditions="Native, one core. With no TLB miss left, all of the gap is Linux's timer interrupt, whose "
    "length was counted on a later Linux and whose rate is guessed. The earlier version gives 0.03 to 0.2 %.",
    binding=False,
    rows=rows_big_memory,
)

QUIET = Case(
    name="detours-under-cnk-against-measurement",
    compares="share of undisturbed work quanta under CNK with a probe that found no detours",
    kind="measured",
    unit="%",
    source="SPCL Netgauge, page on operating system noise: selfish-detour on a Blue Gene/P never ends, for "
    "it records no detours",
    conditions="Native, one core. It shows that nothing was put in that should not be there, not that a long "
    "run of the real machine has none.",
    binding=True,
    rows=rows_quiet,
)
