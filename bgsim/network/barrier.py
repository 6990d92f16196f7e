"""The barrier network (global interrupts) of Blue Gene/P: a tree of gates, and channels of one bit.

Each node drives one bit per channel up; gates of two inputs OR them, level by level; what comes out at the
top goes down to every node. An AND of events is the OR of their negations: nodes hold the line up, each lets
it go when it enters the barrier, and all have entered when it falls (so IBM's ``spi/GlobInt.h`` uses it). All
nodes are equally far from the top; a smaller partition has fewer levels.

The gates and cables of the real machine are not public; known are four channels and 0.65 us one way to 72
racks. Left out: interrupts of the processor, the filters against glitches.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from simpy import Environment

from bgsim.datasheet import Datasheet
from bgsim.network.callout import call_after

CHANNELS = 4

Listener = Callable[[int, bool], None]
"""Called with a channel and its new state."""


@dataclass(frozen=True, eq=False)
class BarrierTree:
    """The gates of a partition.

    Attributes
    ----------
    nodes
        Compute nodes.
    latency_cycles
        One way, from a node to the top or back.
    """

    nodes: int
    latency_cycles: int

    @classmethod
    def from_datasheet(cls, nodes: int, datasheet: Datasheet) -> BarrierTree:
        """The gates over some nodes: as much of the machine's latency as they have of its levels."""
        levels = (nodes - 1).bit_length()
        latency = datasheet.cycles("barrier.latency_72_racks")
        return cls(nodes, round(latency * levels / datasheet.integer("barrier.levels_72_racks")))

    @property
    def levels(self) -> int:
        """Gates between a node and the way down."""
        return (self.nodes - 1).bit_length()

    @cached_property
    def level_cycles(self) -> tuple[int, ...]:
        """Latency of each level, from the nodes to the top; their sum is the latency."""
        levels = self.levels
        reached = [round(self.latency_cycles * level / max(1, levels)) for level in range(levels + 1)]
        return tuple(there - here for here, there in pairwise(reached))

    def graph(self) -> nx.DiGraph[object]:
        """The gates as a graph.

        Returns
        -------
        networkx.DiGraph
            Nodes are node numbers and gates ``("gate", level, number)``, level 1 next to the nodes; edges
            lead up, with ``latency_cycles``.
        """
        graph: nx.DiGraph[object] = nx.DiGraph()
        graph.add_nodes_from(range(self.nodes))
        below: list[object] = list(range(self.nodes))
        for level, cycles in enumerate(self.level_cycles, start=1):
            gates: list[object] = [("gate", level, number) for number in range((len(below) + 1) // 2)]
            for number, each in enumerate(below):
                graph.add_edge(each, gates[number // 2], latency_cycles=cycles)
            below = gates
        return graph


class BarrierNetwork:
    """The channels of a partition, change by change: the readable reference.

    Life cycle: construct, :meth:`attach` nodes, :meth:`drive` while the environment runs. A node that is not
    attached drives nothing, and so holds nobody up.

    Parameters
    ----------
    environment
        Simulation environment in core cycles.
    tree
        The gates.
    """

    def __init__(self, environment: Environment, tree: BarrierTree) -> None:
        self.environment = environment
        self.tree = tree
        self._driven: dict[tuple[int, int], bool] = {}
        self._high: dict[tuple[int, int, int], int] = {}  # inputs that are up, by channel, level, gate
        self._state = [False] * CHANNELS
        self._listeners: dict[int, Listener] = {}

    def attach(self, node: int, listener: Listener) -> None:
        """Connect a node before the environment runs; it holds all its lines up.

        Raises
        ------
        ValueError
            If there is no such node, or it is attached already.
        """
        if not 0 <= node < self.tree.nodes or node in self._listeners:
            raise ValueError(f"node {node} cannot be attached")
        self._listeners[node] = listener
        for channel in range(CHANNELS):
            self._driven[channel, node] = True
            self._state[channel] = True
            below = node
            for level in range(1, self.tree.levels + 1):
                gate = channel, level, below // 2
                self._high[gate] = self._high.get(gate, 0) + 1
                if self._high[gate] > 1:
                    break
                below //= 2

    def drive(self, channel: int, node: int, up: bool) -> None:
        """Set a node's output, now."""
        if self._driven[channel, node] != up:
            self._driven[channel, node] = up
            self._rise(channel, 1, node, up)

    def state(self, channel: int) -> bool:
        """What the nodes see."""
        return self._state[channel]

    def _rise(self, channel: int, level: int, below: int, up: bool) -> None:
        """A change reaches a gate after the latency of its level, or the way down."""
        if level > self.tree.levels:
            call_after(self.environment, self.tree.latency_cycles, self._fall, channel, up)
        else:
            cycles = self.tree.level_cycles[level - 1]
            call_after(self.environment, cycles, self._gate, channel, level, below // 2, up)

    def _gate(self, channel: int, level: int, gate: int, up: bool) -> None:
        key = channel, level, gate
        before = self._high[key]
        self._high[key] = before + (1 if up else -1)
        if (before > 0) != (self._high[key] > 0):
            self._rise(channel, level + 1, gate, up)

    def _fall(self, channel: int, up: bool) -> None:
        self._state[channel] = up
        for listener in list(self._listeners.values()):
            listener(channel, up)


def barrier_vector(tree: BarrierTree, enter_cycles: NDArray[np.int64]) -> NDArray[np.int64]:
    """When each node learns that all have entered.

    Parameters
    ----------
    tree
        The gates.
    enter_cycles
        When each node enters, shape (nodes,).

    Returns
    -------
    numpy.ndarray
        Shape (nodes,), int64; the same for all, since all are equally far from the top.
    """
    assert enter_cycles.shape == (tree.nodes,)
    return np.full(tree.nodes, enter_cycles.max() + 2 * tree.latency_cycles, np.int64)
