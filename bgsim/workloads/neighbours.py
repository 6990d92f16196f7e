"""Virtual machines beside each other on one node: what a neighbour does to the one that is measured.

The measured virtual machine first runs alone, and counts the turns of its program's loop that it makes in a
given time. Then it makes as many beside its neighbours, whose programs never end. Virtual machines of equal
priority on a core should have equal shares of it, whatever they do: a guest that waits spins, so that an idle
neighbour takes as much as a busy one. How much longer the work takes than its share allows has two parts. One
is chance: the work begins and ends within a slice of its own, so that it meets some slices of the others more
or fewer; where it begins is drawn for each replication, and in the mean this part is none. The other is what
isolation does not hold: of the time in which the measured virtual machine has the core, that for switching,
flushed TLB and caches, and what the microkernel and the VMM do there for others.

Left out: what cores take from each other in L3, memory and the networks; guests' noise beyond the timer
interrupt.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import simpy

from bgsim.l4.residency import VM_SWITCH
from bgsim.observer import observing
from bgsim.platforms.seam import Code, Now
from bgsim.units import to_cycles
from bgsim.workloads.neighbours_config import NeighboursConfig
from bgsim.workloads.neighbours_programs import LOOPS, Loop
from bgsim.workloads.outcome import ExitRow, Json, Outcome
from bgsim.workloads.resolved import ResolvedRun
from bgsim.workloads.shared_node import NodeState, SharedNode, late_start
from bgsim.workloads.shared_node_config import VCPU_PRIORITY
from bgsim.workloads.traffic_patterns import random_stream
from bgsim.workloads.window import Window

WARM_UP_TURNS = 4


@dataclass(frozen=True)
class Measured:
    """What the measured virtual machine did.

    Attributes
    ----------
    turns, cycles
        Of its work.
    held_cycles
        Of these, those in which it had its core.
    switches, entries_flushed
        Of its core, meanwhile.
    interrupts
        Between the node's cores, meanwhile.
    neighbours
        What each of the others did.
    """

    turns: int
    cycles: int
    held_cycles: int
    switches: int
    entries_flushed: int
    interrupts: int
    attribution: dict[str, int]
    exits: list[ExitRow]
    counters: dict[str, int]
    neighbours: list[dict[str, Json]]


class Trial:
    """One simulation of the measured virtual machine, alone or beside others.

    Parameters
    ----------
    neighbours
        How many there are.
    limit_cycles
        The work ends with the turn that reaches this time; None where ``turns`` says when.
    """

    def __init__(
        self, resolved: ResolvedRun, neighbours: int, limit_cycles: int | None = None, turns: int = 0
    ) -> None:
        config = resolved.workload
        assert isinstance(config, NeighboursConfig)
        self.environment = simpy.Environment()
        self._resolved, self._limit, self._turns = resolved, limit_cycles, turns
        random = random_stream(resolved.seed, resolved.replication, "machine 0")
        self._loop: Loop = LOOPS[config.program](resolved.machine, resolved.guest, random)
        guest = self._loop.guest(self._main)
        self.shared = SharedNode(self.environment, resolved, guest, neighbours)

    def run(self) -> Measured:
        """Run until the measured work is done."""
        self.environment.run(self.shared.measured.process)
        return self._result

    def _main(self) -> Code:
        loop = self._loop
        yield from loop.begin()
        for _ in range(WARM_UP_TURNS):
            yield from loop.turn()
        yield from late_start(self._resolved)
        begin = yield Now()
        window, before = Window(self.shared.measured, begin), self.shared.state()
        turns, now = 0, begin
        while now - begin < self._limit if self._limit is not None else turns < self._turns:
            yield from loop.turn()
            turns += 1
            now = yield Now()
        self._result = self._read(window, before, turns, now)

    def _read(self, window: Window, before: NodeState, turns: int, now: int) -> Measured:
        cycles = now - window.opened
        attribution, counters = window.attribution(), window.counters()
        assert sum(attribution.values()) == cycles, "causes sum to total"
        return Measured(
            turns=turns,
            cycles=cycles,
            held_cycles=self.shared.measured.held_cycles() - before.held_cycles[0],
            switches=counters.get("vm_switches", 0),
            entries_flushed=counters.get("entries_flushed", 0),
            interrupts=counters.get("remote_interrupts", 0),
            attribution=attribution,
            exits=window.exits(),
            counters=counters,
            neighbours=self.shared.neighbours_since(before, cycles),
        )


def fair_share(config: NeighboursConfig) -> int:
    """How many times longer the work may take: virtual machines of its priority on its core."""
    priorities = config.priorities or [VCPU_PRIORITY] * len(config.cores)
    return sum(
        core == config.cores[0] and priority == priorities[0]
        for core, priority in zip(config.cores, priorities, strict=True)
    )


def run(resolved: ResolvedRun, progress: Callable[[float, str], None] | None = None) -> Outcome:
    """Run the work alone and beside the neighbours.

    Returns
    -------
    Outcome
        Metrics ``elapsed_s``, ``alone_s``, ``stretch`` (of the two), ``fair_stretch``, ``beyond_share``,
        ``own_time_lost``, ``core_share`` and switches; details ``neighbours``, what each did meanwhile.
    """
    config, machine = resolved.workload, resolved.machine
    assert isinstance(config, NeighboursConfig)
    frequency = machine.integer("core.frequency")
    limit = int(to_cycles(config.work, frequency, "nearest"))
    with observing(None):  # what a timeline shows is the trial beside the neighbours
        alone = Trial(resolved, 0, limit_cycles=limit).run()
    if progress is not None:
        progress(alone.cycles / frequency, "alone")
    beside = Trial(resolved, len(config.cores) - 1, turns=alone.turns).run()
    if progress is not None:
        progress((alone.cycles + beside.cycles) / frequency, f"beside {config.neighbour}")
    stretch, fair = beside.cycles / alone.cycles, fair_share(config)
    seconds = beside.cycles / frequency
    counters = beside.counters
    metrics: dict[str, int | float] = {
        "elapsed_s": seconds,
        "cycles_total": beside.cycles,
        "alone_s": alone.cycles / frequency,
        "stretch": stretch,
        "fair_stretch": fair,
        "beyond_share": stretch / fair - 1,
        "own_time_lost": beside.held_cycles / alone.cycles - 1,
        "core_share": beside.held_cycles / beside.cycles,
        "vm_switches": beside.switches,
        "vm_switches_per_s": beside.switches / seconds,
        "entries_flushed": beside.entries_flushed,
        "remote_interrupts": beside.interrupts,
        "messages": beside.turns,
    }
    metrics |= {name: counters[name] for name in ("tlb_misses", "vtlb_misses", "exits_total", "exits_ipc")}
    details: dict[str, Json] = {
        "neighbours": list(beside.neighbours),
        "alone_causes": dict(alone.attribution),
        "vm_switch_cycles": beside.attribution.get(VM_SWITCH, 0),
    }
    return Outcome(metrics=metrics, exits=beside.exits, attribution=beside.attribution, details=details)
