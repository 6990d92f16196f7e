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

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import simpy

from bgsim.datasheet import Datasheet
from bgsim.guests.user_code import UserCode
from bgsim.hardware.node import build_nodes
from bgsim.l4.residency import VM_SWITCH
from bgsim.observer import observing
from bgsim.platforms.seam import Code, Now
from bgsim.platforms.virtual_node import VirtualNode, VmSettings, split_memory
from bgsim.platforms.virtualmachine import HostedMachine
from bgsim.units import to_cycles
from bgsim.workloads.neighbours_config import VCPU_PRIORITY, NeighboursConfig
from bgsim.workloads.neighbours_programs import FORBIDDEN_NODE, LOOPS, Loop, packets
from bgsim.workloads.outcome import ExitRow, Json, Outcome
from bgsim.workloads.resolved import ResolvedRun
from bgsim.workloads.traffic_patterns import random_stream
from bgsim.workloads.window import Window

SHAPE = (2, 1, 1)
"""The node, and another one, which a forbidden descriptor names and which sends packets."""

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
    cores, programs
        Of every virtual machine, the measured one first.
    delay_cycles
        Computation before the measured work begins.
    limit_cycles
        The work ends with the turn that reaches this time; None where ``turns`` says when.
    """

    def __init__(
        self,
        resolved: ResolvedRun,
        cores: Sequence[int],
        programs: Sequence[str],
        delay_cycles: int,
        limit_cycles: int | None = None,
        turns: int = 0,
    ) -> None:
        config = resolved.workload
        assert isinstance(config, NeighboursConfig)
        machine = resolved.machine
        self.environment = simpy.Environment()
        self._delay, self._limit, self._turns = delay_cycles, limit_cycles, turns
        self._machine = machine
        self._programs = programs
        self._done = self.environment.event()
        node, sender = build_nodes(self.environment, machine, SHAPE, (False, False, False)).nodes.values()
        self.turns = [0] * len(cores)
        settings = []
        # Alone it has the memory that it has beside the others.
        sizes = [size for _, size in split_memory(machine, config.memory_bytes())]
        for number, (core, name) in enumerate(zip(cores, programs, strict=True)):
            random = random_stream(resolved.seed, resolved.replication, f"machine {number}")
            loop = LOOPS[name](machine, resolved.guest, random)
            main = self._measured(loop) if number == 0 else self._neighbour(number, loop)
            settings.append(
                VmSettings(
                    loop.guest(main),
                    core,
                    sizes[number],
                    VCPU_PRIORITY if config.priorities is None else config.priorities[number],
                    frozenset(range(FORBIDDEN_NODE)),
                )
            )
        self.node = VirtualNode(self.environment, machine, node, settings)
        if "receive" in programs:
            interval = to_cycles(config.packet_interval, machine.integer("core.frequency"), "nearest")
            self.environment.process(packets(sender, node.number, int(interval)))

    def run(self) -> Measured:
        """Run until the measured work is done."""
        self.environment.run(self._done)
        return self._result

    # -- the guests' programs

    def _measured(self, loop: Loop) -> Callable[[], Code]:
        def main() -> Code:
            yield from loop.begin()
            for _ in range(WARM_UP_TURNS):
                yield from loop.turn()
            yield UserCode(self._machine, (), ()).cycles(self._delay)
            begin = yield Now()
            window, before = Window(self.measured, begin), self._state()
            turns, now = 0, begin
            while now - begin < self._limit if self._limit is not None else turns < self._turns:
                yield from loop.turn()
                turns += 1
                now = yield Now()
            self._result = self._read(window, before, turns, now)
            self._done.succeed()

        return main

    def _neighbour(self, number: int, loop: Loop) -> Callable[[], Code]:
        def main() -> Code:
            yield from loop.begin()
            while True:
                yield from loop.turn()
                self.turns[number] += 1

        return main

    # -- the instrument

    @property
    def measured(self) -> HostedMachine:
        """The measured virtual machine."""
        return self.node.machines[0]

    def _state(self) -> tuple[int, int, int, int, list[int], list[int]]:
        residency = self.measured.kernel.residency
        remote = self.node.remote
        return (
            self.measured.held_cycles(),
            residency.switches,
            residency.entries_flushed,
            sum(remote.interrupts.values()) if remote is not None else 0,
            list(self.turns),
            [each.held_cycles() for each in self.node.machines],
        )

    def _read(
        self, window: Window, before: tuple[int, int, int, int, list[int], list[int]], turns: int, now: int
    ) -> Measured:
        cycles = now - window.opened
        after = self._state()
        attribution = window.attribution()
        assert sum(attribution.values()) == cycles, "causes sum to total"
        neighbours: list[dict[str, Json]] = [
            {
                "program": self._programs[number],
                "core": machine.kernel.core,
                "turns": after[4][number] - before[4][number],
                "core_share": (after[5][number] - before[5][number]) / cycles,
                "memory_mib": self._memory_mib(machine),
                "descriptors_denied": self.node.devices_of(machine).torus.descriptors_denied,
                "machine_checks": machine.processor.machine_checks,
            }
            for number, machine in enumerate(self.node.machines)
            if number
        ]
        return Measured(
            turns,
            cycles,
            after[0] - before[0],
            after[1] - before[1],
            after[2] - before[2],
            after[3] - before[3],
            attribution,
            window.exits(),
            window.counters(),
            neighbours,
        )

    @staticmethod
    def _memory_mib(machine: HostedMachine) -> int:
        memory = machine.vcpu.memory
        assert memory is not None
        return memory.size >> 20


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
    delay = _delay(resolved, machine)
    core = config.cores[0]
    with observing(None):  # what a timeline shows is the trial beside the neighbours
        alone = Trial(resolved, [core], [config.program], delay, limit_cycles=limit).run()
    if progress is not None:
        progress(alone.cycles / frequency, "alone")
    programs = [config.program, *[config.neighbour] * (len(config.cores) - 1)]
    beside = Trial(resolved, config.cores, programs, delay, turns=alone.turns).run()
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


def _delay(resolved: ResolvedRun, machine: Datasheet) -> int:
    """Where in its time slice the work begins; a slice ends with the tick that finds it used up."""
    tick = machine.cycles("l4.tick")
    ticks = -(-machine.cycles("l4.timeslice") // tick)
    return int(random_stream(resolved.seed, resolved.replication, "begin").integers(0, ticks * tick))
