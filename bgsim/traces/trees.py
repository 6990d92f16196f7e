"""Collective calls of a trace over the collective and the barrier network, as gates of a message graph.

The software is that of the ``collectives`` workload (:mod:`bgsim.machine.tree_runs`): the ranks of a node
give and take their vectors in shared memory, the first of them works the network. What the network itself
does with the packets of an operation follows from when each node is ready, and needs no messages: an
operation that combines is over, at every node, a fixed time after the last node's packets have come up to the
root; a broadcast a fixed time after its source is ready, and not before a node has taken the packets itself.
Those times are taken from the compiled networks, alone and idle; a test compares the whole with the workload.

Left out: in a broadcast of more packets than a reception FIFO holds, a node that comes late holds up nobody
else; operations that follow each other closely do not meet in the network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from bgsim.datasheet import Datasheet
from bgsim.machine.cost_model import CostModel
from bgsim.machine.delivery import fill_waits, waits
from bgsim.machine.node_loops import NodeWork
from bgsim.machine.program import Placement
from bgsim.machine.tree_runs import (
    ROOTED,
    TreeOperation,
    barrier_work,
    combined_bytes,
    tree_of,
    tree_software,
    without_rank,
)
from bgsim.network.barrier import BarrierTree
from bgsim.network.collective_vector import broadcast, combine_broadcast
from bgsim.network.traffic import Ints

LONG_BEFORE = -(10**15)
"""Nodes that are ready then wait for nothing but the packets."""


class TreeCall(NamedTuple):
    """A collective call of all ranks.

    Attributes
    ----------
    number
        Which it is among the program's calls; the tag of its operations.
    kind, size_bytes, root
        As in the trace; ``root`` is a rank, or -1 where the kind has none.
    """

    number: int
    kind: TreeOperation
    size_bytes: int
    root: int


@dataclass(frozen=True)
class TreeTimes:
    """What an operation takes.

    Attributes
    ----------
    work
        Of the cores.
    up, down
        From a node's being ready to the root, and from there to its first rank's taking the last packet,
        shape (nodes,); of a broadcast, ``up`` is of the source alone.
    root
        Rank that has the packets of a broadcast, or gets the sum of a reduce; else -1.
    source
        Node that has the packets of a broadcast, or -1: all contribute.
    own
        From a node's being ready until it could have taken all packets of a broadcast, were they there.
    notice
        Wait until each node's first rank notices, shape (nodes,).
    """

    work: NodeWork
    up: Ints
    down: Ints
    root: int
    source: int
    own: int
    notice: Ints


class Trees:
    """The networks of a partition whose nodes all have ranks.

    Parameters
    ----------
    placement, costs, datasheet, pset, seed
        As of :class:`bgsim.machine.tree_runs.TreeRun`.

    Attributes
    ----------
    members
        Ranks of each node, the first first, -1 where there are no more, shape (nodes, most).
    """

    def __init__(
        self, placement: Placement, costs: CostModel, datasheet: Datasheet, pset: int, seed: int
    ) -> None:
        order = np.argsort(placement.core, kind="stable")
        here = np.bincount(placement.node, minlength=int(np.prod(placement.shape)))
        begins = np.concatenate([[0], np.cumsum(here)])
        self.nodes = here.size
        self.members = np.full((here.size, int(here.max())), -1, np.int64)
        node = placement.node[order]
        self.members[node, np.arange(len(order)) - begins[node]] = order
        self._placement, self._costs, self._datasheet, self._pset = placement, costs, datasheet, pset
        self._barrier_waits = waits(costs.notices("barrier"), seed)
        self._collective_waits = waits(costs.notices("collective"), seed)

    @staticmethod
    def cover(placement: Placement) -> bool:
        """Whether every node of the partition has a rank; the networks span all of them."""
        return not without_rank(placement).size

    def times(self, call: TreeCall, turn: int) -> TreeTimes:
        """What a call takes that is number `turn`, from 1, of those over the networks."""
        notice = np.empty(self.nodes, np.int64)
        table = self._barrier_waits if call.kind == "barrier" else self._collective_waits
        fill_waits(table, self._placement.core[self.members[:, 0]], turn, notice)
        none = np.zeros(self.nodes, np.int64)
        if call.kind == "barrier":
            there_and_back = 2 * BarrierTree.from_datasheet(self.nodes, self._datasheet).latency_cycles
            work = barrier_work(self._costs, self._datasheet, self.members.shape[1])
            return TreeTimes(work, none, none + there_and_back, -1, -1, 0, notice)
        size = combined_bytes(call.kind, call.size_bytes, self._placement.ranks)
        work, packets, parameters = tree_software(call.kind, size, self._costs, self._datasheet)
        tree = tree_of(self._placement.shape, self._pset)
        last = parameters.reception_interval_cycles  # the core's own step, with detours
        root = max(call.root, 0) if call.kind in ROOTED else -1
        if call.kind == "broadcast":
            source = int(self._placement.node[root])
            ready = np.full(self.nodes, LONG_BEFORE, np.int64)
            ready[source] = 0
            done = broadcast(tree, ready, packets, parameters, source)
            return TreeTimes(work, none, done - last, root, source, (packets - 1) * last, notice)
        up = tree.level.astype(np.int64) * parameters.hop_cycles
        done = combine_broadcast(tree, none, packets, parameters)
        return TreeTimes(work, up, done - int(up.max()) - last, root, -1, 0, notice)
