"""The node that a workload's guest runs on: to itself, or as one of several virtual machines.

A workload builds its guest and asks for a platform to run it on. Where its section names neighbours, that is
one virtual machine of the node, and the others run programs that never end. The guest's program is the same
in both cases.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import simpy

from bgsim.guests.user_code import UserCode
from bgsim.hardware.node import build_nodes
from bgsim.platforms import PLATFORMS
from bgsim.platforms.seam import Code, Guest
from bgsim.platforms.virtual_node import VirtualNode, VmSettings, split_memory
from bgsim.platforms.virtualmachine import HostedMachine
from bgsim.units import to_cycles
from bgsim.workloads.neighbours_programs import FORBIDDEN_NODE, LOOPS, Loop, packets
from bgsim.workloads.outcome import Json
from bgsim.workloads.resolved import ResolvedRun
from bgsim.workloads.shared_node_config import VCPU_PRIORITY, SharedNodeConfig
from bgsim.workloads.traffic_patterns import random_stream
from bgsim.workloads.window import Window

SHAPE = (2, 1, 1)
"""The node, and another one, which a forbidden descriptor names and which sends packets."""


class SharedNode:
    """A node with the measured virtual machine, the first one, and perhaps others.

    Parameters
    ----------
    guest
        Of the measured one.
    neighbours
        How many others there are; memory is split as between all that the workload names.
    """

    def __init__(
        self, environment: simpy.Environment, resolved: ResolvedRun, guest: Guest, neighbours: int
    ) -> None:
        config, machine = resolved.workload, resolved.machine
        assert isinstance(config, SharedNodeConfig)
        node, sender = build_nodes(environment, machine, SHAPE, (False, False, False)).nodes.values()
        self.program = config.neighbour
        self.turns = [0] * (1 + neighbours)
        guests = [guest]
        for number in range(1, 1 + neighbours):
            random = random_stream(resolved.seed, resolved.replication, f"machine {number}")
            loop = LOOPS[config.neighbour](machine, resolved.guest, random)
            guests.append(loop.guest(self._for_ever(number, loop)))
        sizes = [size for _, size in split_memory(machine, config.memory_bytes())]
        priorities = config.priorities or [VCPU_PRIORITY] * len(config.cores)
        settings = [
            VmSettings(each, core, size, priority, frozenset(range(FORBIDDEN_NODE)))
            for each, core, size, priority in zip(guests, config.cores, sizes, priorities, strict=False)
        ]
        self.node = VirtualNode(environment, machine, node, settings)
        if neighbours and config.neighbour == "receive":
            interval = to_cycles(config.packet_interval, machine.integer("core.frequency"), "nearest")
            environment.process(packets(sender, node.number, int(interval)))

    def _for_ever(self, number: int, loop: Loop) -> Callable[[], Code]:
        def main() -> Code:
            yield from loop.begin()
            while True:
                yield from loop.turn()
                self.turns[number] += 1

        return main

    @property
    def measured(self) -> HostedMachine:
        """The measured virtual machine."""
        return self.node.machines[0]

    def state(self) -> NodeState:
        """What the virtual machines have done so far."""
        return NodeState(list(self.turns), [each.held_cycles() for each in self.node.machines])

    def neighbours_since(self, before: NodeState, cycles: int) -> list[dict[str, Json]]:
        """What each neighbour has done in so many cycles, since its state was ``before``."""
        after = self.state()
        return [
            {
                "program": self.program,
                "core": machine.kernel.core,
                "turns": after.turns[number] - before.turns[number],
                "core_share": (after.held_cycles[number] - before.held_cycles[number]) / cycles,
                "memory_mib": _memory_mib(machine),
                "descriptors_denied": self.node.devices_of(machine).torus.descriptors_denied,
                "machine_checks": machine.processor.machine_checks,
            }
            for number, machine in enumerate(self.node.machines)
            if number
        ]


@dataclass(frozen=True)
class NodeState:
    """Turns and cycles on a core of each virtual machine, the measured one first."""

    turns: list[int]
    held_cycles: list[int]


def _memory_mib(machine: HostedMachine) -> int:
    memory = machine.vcpu.memory
    assert memory is not None
    return memory.size >> 20


class Host:
    """Where the guest of a workload runs, and what else there is to say about it.

    Parameters
    ----------
    resolved
        Its workload says who else is on the node.

    Attributes
    ----------
    environment
        Of the simulation.
    platform
        What the guest was put on.
    """

    def __init__(self, resolved: ResolvedRun) -> None:
        self.environment = simpy.Environment()
        self.platform: Any = None
        self._resolved = resolved
        self._shared: SharedNode | None = None
        self._before = NodeState([], [])

    def put(self, guest: Guest) -> Any:
        """Put the guest on its platform, alone or beside its neighbours; its ``process`` is the program's."""
        resolved = self._resolved
        config, machine = resolved.workload, resolved.machine
        if isinstance(config, SharedNodeConfig) and config.has_neighbours:
            if resolved.platform != "virtual-machine":
                raise ValueError(f"on {resolved.platform} there are no virtual machines beside each other")
            self._shared = SharedNode(self.environment, resolved, guest, len(config.cores) - 1)
            self.platform = self._shared.measured
        else:
            node = build_nodes(self.environment, machine, (1, 1, 1), (False, False, False)).nodes[0]
            self.platform = PLATFORMS[resolved.platform](self.environment, machine, guest, node)
        return self.platform

    def late_start(self) -> Code:
        """What a program does before its work begins, for which a place in a time slice is drawn."""
        if self._shared is not None:
            yield from late_start(self._resolved)

    def window(self, now: int) -> Window:
        """A window on the platform, and on the neighbours."""
        if self._shared is not None:
            self._before = self._shared.state()
        return Window(self.platform, now)

    def metrics(self, attribution: Mapping[str, int], counters: Mapping[str, int]) -> dict[str, int | float]:
        """How the core was shared, by attribution and counters of the window; nothing where it was not."""
        if self._shared is None:
            return {}
        cycles = sum(attribution.values())
        seconds = cycles / self._resolved.machine.integer("core.frequency")
        switches = counters.get("vm_switches", 0)
        return {
            "core_share": 1 - attribution.get("other_vms", 0) / cycles,
            "vm_switches": switches,
            "vm_switches_per_s": switches / seconds,
            "entries_flushed": counters.get("entries_flushed", 0),
            "remote_interrupts": counters.get("remote_interrupts", 0),
        }

    def details(self, attribution: Mapping[str, int]) -> dict[str, Json]:
        """What each neighbour did since the window was opened; nothing where there is none."""
        if self._shared is None:
            return {}
        rows = self._shared.neighbours_since(self._before, sum(attribution.values()))
        return {"neighbours": list(rows)}


def late_start(resolved: ResolvedRun) -> Code:
    """Computation until work shall begin, somewhere in a time slice; drawn for each replication.

    A slice ends with the tick that finds it used up.
    """
    machine = resolved.machine
    tick = machine.cycles("l4.tick")
    ticks = -(-machine.cycles("l4.timeslice") // tick)
    random = random_stream(resolved.seed, resolved.replication, "begin")
    yield UserCode(machine, (), ()).cycles(int(random.integers(0, ticks * tick)))
