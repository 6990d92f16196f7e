"""Detours of a core: a fixed quantum of user work, timed again and again (FWQ).

The program computes and reads the time, nothing else; neither traps. What a quantum takes beyond its work
is a detour. Which cause it had is read from the platform's own counts: the guest's timer interrupts, and
the microkernel's ticks. A platform that has neither shows no detours at all.

Detours of quanta with a tick of the microkernel and no timer interrupt of the guest make the source
``l4_tick``. A guest's timer interrupt is the source ``guest_timer``; where it comes on a tick, what that
tick takes by itself is taken off. Its period is the guest's; how far it falls behind its beat, at most to
the next tick, is the jitter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import simpy

from bgsim.datasheet import Datasheet
from bgsim.guests.cnk import Cnk
from bgsim.guests.kittyhawk import KittyhawkLinux
from bgsim.guests.user_code import UserCode
from bgsim.hardware.node import build_nodes
from bgsim.network.detours import DetourSource
from bgsim.platforms import PLATFORMS
from bgsim.platforms.seam import Code, Guest, Now
from bgsim.profiles.program import kernel_program
from bgsim.workloads.samples import Samples, rounded

QUANTUM_CYCLES = 200_000
TICKS = 120
"""Ticks, or periods of the guest's timer, that are observed at least."""

WARM_UP_TICKS = 4
"""The first ones touch memory and fetch instructions for the first time."""

TICK = "PPC_HVM_EXCEPT_DECREMENTER"
JITTER_MAX = 0.95
ROUNDING_CYCLES = 2
"""By so much the work itself may take longer than asked for."""


@dataclass
class Quanta:
    """What a fixed-work-quantum run saw.

    Attributes
    ----------
    begun, detour
        When each quantum began, and what it took beyond its work, in cycles.
    ticks, timer_interrupts
        How many of each fell into it.
    """

    begun: list[int] = field(default_factory=list)
    detour: list[int] = field(default_factory=list)
    ticks: list[int] = field(default_factory=list)
    timer_interrupts: list[int] = field(default_factory=list)


def fixed_work_quanta(machine: Datasheet, platform: str, guest: str, quanta: int, warm_up: int = 2) -> Quanta:
    """Run the probe on one core.

    Parameters
    ----------
    guest
        Name of the guest.
    quanta
        How many quanta are timed.
    warm_up
        How many go before them.
    """
    environment = simpy.Environment()
    node = build_nodes(environment, machine, (1, 1, 1), (False, False, False)).nodes[0]
    seen = Quanta()

    def main() -> Code:
        code = UserCode(machine, (1,), (2,))
        work = code.cycles(QUANTUM_CYCLES)
        for _ in range(warm_up):
            yield work
        begun = yield Now()
        before = _interruptions(core)
        for _ in range(quanta):
            yield work
            ended = yield Now()
            detour = ended - begun - QUANTUM_CYCLES
            after = _interruptions(core) if detour > ROUNDING_CYCLES else before
            seen.begun.append(begun)
            seen.detour.append(max(0, detour) if after != before else 0)
            if after == before and detour > ROUNDING_CYCLES:
                raise AssertionError(f"a detour of {detour} cycles of no known cause")
            seen.ticks.append(after[0] - before[0])
            seen.timer_interrupts.append(after[1] - before[1])
            begun, before = ended, after

    core = PLATFORMS[platform](environment, machine, GUESTS[guest](machine, main), node)
    environment.run(core.process)
    return seen


def _linux(machine: Datasheet, main: Callable[[], Code]) -> Guest:
    return KittyhawkLinux(machine, kernel_program("quanta", []), main)


GUESTS: dict[str, Callable[[Datasheet, Callable[[], Code]], Guest]] = {
    "cnk": Cnk,
    "kittyhawk-linux": _linux,
}


def _interruptions(core: Any) -> tuple[int, int]:
    ticks = sum(row.count for row in core.exits() if row.cause == TICK)
    return ticks, int(core.counters()["timer_interrupts"])


def detours(machine: Datasheet, platform: str, guest: str, samples: Samples) -> tuple[DetourSource, ...]:
    """The sources of detours of a platform and guest; samples of each are noted as ``detour NAME``."""
    timer_period = _timer_period(machine, guest)
    period = max(machine.cycles("l4.tick"), timer_period)
    warm_up = WARM_UP_TICKS * period // QUANTUM_CYCLES
    seen = fixed_work_quanta(machine, platform, guest, TICKS * period // QUANTUM_CYCLES, warm_up)
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


def _timer_period(machine: Datasheet, guest: str) -> int:
    def nothing() -> Code:
        yield from ()

    return GUESTS[guest](machine, nothing).timer_period_cycles


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
