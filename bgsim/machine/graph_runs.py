"""Iterations of a program over the torus: message graphs, as many iterations in each as fit.

Iterations of one graph overlap as the ranks' programs let them. Where one graph ends and the next begins,
every rank goes on at its own time, but the network starts empty: messages of the last iteration of one graph
do not meet those of the first of the next.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from bgsim.machine.cost_model import CostModel
from bgsim.machine.networks import Network, run_graph
from bgsim.machine.program import Placement, Program, Settings
from bgsim.machine.timeline import Timeline
from bgsim.network.detours import Detours
from bgsim.network.router import RouterParameters
from bgsim.network.traffic import Ints

GATES_PER_GRAPH = 3_000_000
"""Iterations are added to a graph while it has fewer gates than this."""

Iteration = Callable[[Program], tuple[Ints, Ints]]
"""Appends one iteration to a program; returns the steps after which each rank is in and out of it."""


@dataclass
class GraphRun:
    """A program repeated on one of the torus networks.

    Attributes
    ----------
    network
        Which one.
    placement, costs, settings, router, detours, seed
        What the programs are made of.
    graphs, messages, packet_hops
        Counted while running.
    """

    network: Network
    placement: Placement
    costs: CostModel
    settings: Settings
    router: RouterParameters
    detours: Detours
    seed: int
    graphs: int = 0
    messages: int = 0
    packet_hops: int = 0
    clock: Ints = field(init=False)

    def __post_init__(self) -> None:
        self.clock = np.zeros(self.placement.ranks, np.int64)

    def repeat(
        self,
        iteration: Iteration,
        timeline: Timeline,
        first: int,
        most: int,
        progress: Callable[[int], None] | None = None,
    ) -> int:
        """Run iterations in one graph, beginning with number `first`; return the number of the next.

        `clock` holds the times at which ranks begin, and afterwards those at which they are done.
        """
        program = Program(
            self.placement, self.costs, self.settings, self.clock, self.seed ^ (first * 0x9E3779B1)
        )
        marks: list[tuple[Ints, Ints]] = []
        while len(marks) < most and (not marks or program.gates * (1 + 1 / len(marks)) < GATES_PER_GRAPH):
            marks.append(iteration(program))
        last = program.last
        messages, gates, rides = program.graph()
        ran = run_graph(
            self.network,
            self.placement.shape,
            self.placement.torus,
            self.router,
            messages,
            gates,
            self.detours,
            rides,
        )
        for number, (entered, left) in enumerate(marks):
            timeline.note(first + number, ran.opened_cycles[entered], ran.opened_cycles[left])
        self.clock = ran.opened_cycles[last]
        self.graphs += 1
        self.messages += messages.size
        self.packet_hops += ran.packet_hops
        if progress is not None:
            progress(first + len(marks))
        return first + len(marks)
