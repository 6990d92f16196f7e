"""Detours of a core as a cost model has them, from a fixed quantum of work (FWQ) timed again and again.

Detours of quanta with a tick of the microkernel and no timer interrupt of the guest make the source
``l4_tick``. A guest's timer interrupt is the source ``guest_timer``; where it comes on a tick, what that
tick takes by itself is taken off. Its period is the guest's; how far it falls behind its beat, at most to
the next tick, is the jitter. The probe itself is in :mod:`bgsim.workloads.quanta`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from bgsim.datasheet import Datasheet
from bgsim.guests.catalogue import GUESTS
from bgsim.guests.zeptoos import ZeptoOs
from bgsim.network.detours import DetourSource
from bgsim.platforms.seam import Code
from bgsim.workloads.quanta import SAMPLE_BYTES, Probe, Quanta
from bgsim.workloads.samples import Samples, rounded

QUANTUM_CYCLES = 200_000
TICKS = 120
"""Ticks, or periods of the guest's timer, that are observed at least."""

REAPS = 2
"""Runs of a guest's reaper that are observed, if it has one."""

WARM_UP_TICKS = 4
"""The first ones touch memory and fetch instructions for the first time."""

JITTER_MAX = 0.95


def fixed_work_quanta(machine: Datasheet, platform: str, guest: str, quanta: int, warm_up: int = 2) -> Quanta:
    """Run the probe on one core; it keeps its samples in registers.

    Parameters
    ----------
    guest
        Name of the guest.
    quanta
        How many quanta are timed.
    warm_up
        How many go before them.
    """
    return Probe(machine, platform, guest, quanta, warm_up, QUANTUM_CYCLES, store=False).run()


def detours(machine: Datasheet, platform: str, guest: str, samples: Samples) -> tuple[DetourSource, ...]:
    """The sources of detours of a platform and guest; samples of each are noted as ``detour NAME``."""
    timer_period, between_reaps = _rhythm(machine, guest)
    period = max(machine.cycles("l4.tick"), timer_period)
    warm_up = WARM_UP_TICKS * period // QUANTUM_CYCLES
    observed = max(TICKS * period, REAPS * between_reaps * timer_period)
    seen = fixed_work_quanta(machine, platform, guest, observed // QUANTUM_CYCLES, warm_up)
    rows = list(zip(seen.begun, seen.detour, seen.ticks, seen.timer_interrupts, strict=True))
    plain = [detour for _, detour, ticks, timers in rows if ticks == 1 and not timers]
    tick = sum(plain) / len(plain) if plain else 0.0
    sources = []
    if plain:
        begun = [when for when, _, ticks, _ in rows if ticks]
        nominal = machine.cycles("l4.tick")
        each = (begun[-1] - begun[0]) / (len(begun) - 1)
        assert abs(each - nominal) * (len(begun) - 1) <= 2 * QUANTUM_CYCLES, "ticks were lost"
        sources.append(_source("l4_tick", nominal, 0.0, plain, samples))
    timers = [(when, detour - ticks * tick) for when, detour, ticks, count in rows if count]
    if timers:
        late = [when - number * timer_period for number, (when, _) in enumerate(timers)]
        spread = max(0, max(late) - min(late) - QUANTUM_CYCLES)
        assert spread < JITTER_MAX * timer_period, "timer interrupts were lost"
        durations = [round(max(0.0, detour)) for _, detour in timers]
        sources.append(_source("guest_timer", timer_period, spread / timer_period, durations, samples))
    return tuple(sources)


def _rhythm(machine: Datasheet, guest: str) -> tuple[int, int]:
    """Period of the guest's timer, 0 for none, and its interrupts from one run of the reaper to the next."""

    def nothing() -> Code:
        yield from ()

    kind = GUESTS[guest]
    made = kind.build(machine, kind.memory(machine, SAMPLE_BYTES), nothing)
    return made.timer_period_cycles, made.ticks_between_reaps if isinstance(made, ZeptoOs) else 0


def _source(
    name: str, period: float, jitter: float, durations: Sequence[float], samples: Samples
) -> DetourSource:
    for duration in durations:
        samples.add(f"detour {name}", duration)
    counts = sorted(Counter(_binned(durations)).items())
    return DetourSource(
        name=name,
        period_cycles=rounded(period),
        jitter=rounded(jitter),
        shared=True,
        durations_cycles=tuple(float(value) for value, _ in counts),
        weights=tuple(float(count) for _, count in counts),
    )


def _binned(durations: Sequence[float]) -> list[float]:
    """Durations with neighbours less than a hundredth apart brought together at their mean."""
    groups: list[list[float]] = []
    for duration in sorted(durations):
        if groups and duration <= 1.01 * groups[-1][0]:
            groups[-1].append(duration)
        else:
            groups.append([duration])
    return [round(sum(group) / len(group)) for group in groups for _ in group]
