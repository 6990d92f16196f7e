"""Iterations of operations over the barrier and the collective network, for all ranks at once.

The networks are the compiled passes over all nodes of :mod:`bgsim.network.barrier` and
:mod:`bgsim.network.collective_vector`; the software around them is that of :mod:`bgsim.machine.node_loops`.
The ranks of a node meet at the lockbox before and after a barrier, and give and take their vectors as local
messages around the collective network; the node's master does the rest. The root of a broadcast or reduce is
rank 0, which a mapping may have put on another core than its node's first. An allgather is an allreduce of a
vector with a slot for every rank.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Literal

import numpy as np

from bgsim.datasheet import Datasheet
from bgsim.machine.cost_model import CostModel, needed
from bgsim.machine.delivery import Waits, waits
from bgsim.machine.limits import NODE_PACKETS_MAX
from bgsim.machine.node_loops import NodeWork, compute, enter, leave
from bgsim.machine.program import Placement
from bgsim.machine.timeline import Timeline
from bgsim.network.barrier import BarrierTree, barrier_vector
from bgsim.network.collective_packet import CollectiveParameters
from bgsim.network.collective_vector import broadcast, combine_broadcast
from bgsim.network.detours import Detours, nothing_watched
from bgsim.network.topology import Shape
from bgsim.network.traffic import Ints
from bgsim.network.tree import CollectiveTree

TreeOperation = Literal["barrier", "broadcast", "reduce", "allreduce", "allgather"]
ROOTED: tuple[TreeOperation, ...] = ("broadcast", "reduce")
"""Operations of which one rank has the packets, or gets the sum."""

THREADS = 2
RANKS_PER_THREAD = 20_000
"""With fewer ranks, starting threads takes longer than they save."""


class TooManyPacketsError(ValueError):
    """An operation has more packets than can be simulated in reasonable time."""


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix="nodes")


@lru_cache(maxsize=8)
def tree_of(shape: Shape, pset: int) -> CollectiveTree:
    """The collective network of a partition; many runs of a study have the same."""
    return CollectiveTree(shape, pset)


def combined_bytes(kind: TreeOperation, size_bytes: int, ranks: int) -> int:
    """Bytes that every node sends through the tree; an allgather has a slot for every rank."""
    return size_bytes * ranks if kind == "allgather" else size_bytes


def tree_software(
    kind: TreeOperation, size_bytes: int, costs: CostModel, datasheet: Datasheet
) -> tuple[NodeWork, int, CollectiveParameters]:
    """The cores' work around an operation of the collective network, its packets, and the network's times."""
    packets = max(1, -(-size_bytes // datasheet.integer("collective.packet_payload")))
    own, local = needed(costs.collective, "collective network"), costs.local
    copy = size_bytes * local.byte_cycles
    add = size_bytes * float(datasheet.number("mpi.combine_cycles_per_byte"))
    inject, receive = own.inject_packet_cycles, own.receive_packet_cycles
    # One core injects and receives, a packet of each in turn; of a reduce, too, all take what comes down.
    receive_cycles = round(receive)
    network = CollectiveParameters.from_datasheet(datasheet, round(inject) + receive_cycles, receive_cycles)
    # The library has no more packets under way than a FIFO holds (bgsim.guests.collective_messaging).
    parameters = replace(network, window_packets=network.fifo_packets, injection_cycles=round(inject))
    call = round(own.call_cycles)
    work = NodeWork(
        gathers=kind != "broadcast",
        scatters=kind != "reduce",
        member_enter=round(local.send_cycles + copy),
        master_take=round(local.receive_cycles + copy + (add if kind != "broadcast" else 0)),
        master_enter=call,
        master_inject=round(own.call_cycles + inject) - call,
        master_leave=receive_cycles,
        master_give=round(local.send_cycles + copy),
        member_leave=round(local.receive_cycles + copy),
    )
    return work, packets, parameters


def barrier_work(costs: CostModel, datasheet: Datasheet, most: int) -> NodeWork:
    """The cores' work around a barrier of nodes with up to so many ranks, who meet at the node's lockbox."""
    own = needed(costs.barrier, "barrier network")
    lockbox = datasheet.cycles("lockbox.access") if most > 1 else 0
    return NodeWork(
        gathers=True,
        scatters=True,
        member_enter=lockbox,
        master_take=0,
        master_enter=round(own.enter_cycles) + lockbox,
        master_inject=0,
        master_leave=round(own.leave_cycles) + lockbox,
        master_give=0,
        member_leave=lockbox,
    )


def without_rank(placement: Placement) -> Ints:
    """Nodes without a rank, of which the barrier and the collective network know nothing to do."""
    here = np.bincount(placement.node, minlength=int(np.prod(placement.shape)))
    return np.flatnonzero(here == 0)


def check_packets(kind: TreeOperation, size_bytes: int, placement: Placement, datasheet: Datasheet) -> None:
    """Refuse an operation whose packets would be passed through the tree for hours.

    Raises
    ------
    TooManyPacketsError
        If all nodes together have more than :data:`NODE_PACKETS_MAX`.
    """
    if kind == "barrier":
        return
    size_bytes = combined_bytes(kind, size_bytes, placement.ranks)
    packets = max(1, -(-size_bytes // datasheet.integer("collective.packet_payload")))
    nodes = int(np.prod(placement.shape))
    if nodes * packets > NODE_PACKETS_MAX:
        raise TooManyPacketsError(
            f"{kind} by collective-network: {packets:,} packets through {nodes:,} nodes, and at most "
            f"{NODE_PACKETS_MAX:,} times in one operation may a packet pass a node; use fewer nodes or a "
            f"smaller size"
        )


@dataclass(frozen=True)
class NetworkOperation:
    """One operation: its software, and the network's part.

    Attributes
    ----------
    work
        Of the cores.
    network
        From when each node is ready to when each is served, shape (nodes,) both.
    waits
        Until a master notices that.
    root
        Place of the root in the order of cores, or -1 where there is none.
    """

    work: NodeWork
    network: Callable[[Ints], Ints]
    waits: Waits
    root: int = -1


class TreeRun:
    """All ranks of a partition, and operations over its barrier and collective networks.

    ``clock`` holds the ranks' times in the order of their cores, ``cores``.

    Parameters
    ----------
    placement
        Where the ranks run; every node has one at least.
    costs
        What a node's software costs.
    datasheet
        The machine.
    pset
        Nodes behind one I/O node; the tree of a partition depends on it.
    detours
        Interruptions by core.
    seed
        Waits until arrivals are noticed follow from it.

    Raises
    ------
    ValueError
        If a node has no rank.
    """

    def __init__(
        self,
        placement: Placement,
        costs: CostModel,
        datasheet: Datasheet,
        pset: int,
        detours: Detours,
        seed: int,
    ) -> None:
        order = np.argsort(placement.core, kind="stable")
        self._order = order
        self.cores = placement.core[order]
        here = np.bincount(placement.node, minlength=int(np.prod(placement.shape)))
        idle = without_rank(placement)
        if idle.size:
            raise ValueError(f"node {idle[0]} has no rank; the networks span the partition")
        self.begins = np.concatenate([[0], np.cumsum(here)])
        self.nodes, self.most = here.size, int(here.max())
        self.clock = np.zeros(placement.ranks, np.int64)
        self._placement, self._ranks = placement, placement.ranks
        self._costs, self._datasheet = costs, datasheet
        self._shape, self._pset = placement.shape, pset
        self._detours, self._quiet = detours, nothing_watched(int(self.cores.max()) + 1)
        self._seed = seed
        self._number = 0
        self._root, self._root_node = int(np.argmin(order)), int(placement.node[0])

    def operation(self, kind: TreeOperation, size_bytes: int) -> NetworkOperation:
        """Set up an operation.

        Raises
        ------
        TooManyPacketsError
            If it would take too long.
        """
        if kind == "barrier":
            return self._barrier()
        check_packets(kind, size_bytes, self._placement, self._datasheet)
        tree = tree_of(self._shape, self._pset)
        size_bytes = combined_bytes(kind, size_bytes, self._ranks)
        work, packets, parameters = tree_software(kind, size_bytes, self._costs, self._datasheet)
        receive_cycles = parameters.reception_interval_cycles

        def network(ready: Ints) -> Ints:
            if kind == "broadcast":
                done = broadcast(tree, ready, packets, parameters, self._root_node)
            else:
                done = combine_broadcast(tree, ready, packets, parameters)
            return done - receive_cycles  # the core takes the last packet: a step of its own, with detours

        notices = waits(self._costs.notices("collective"), self._seed)
        return NetworkOperation(work, network, notices, self._root if kind in ROOTED else -1)

    def _barrier(self) -> NetworkOperation:
        tree = BarrierTree.from_datasheet(self.nodes, self._datasheet)
        work = barrier_work(self._costs, self._datasheet, self.most)
        notices = waits(self._costs.notices("barrier"), self._seed)
        return NetworkOperation(work, lambda ready: barrier_vector(tree, ready), notices)

    def set_clock(self, by_rank: Ints) -> None:
        """Set the time of each rank, in order of rank."""
        self.clock = by_rank[self._order]

    def clock_by_rank(self) -> Ints:
        """The time of each rank, in order of rank."""
        times = np.empty(self._ranks, np.int64)
        times[self._order] = self.clock
        return times

    def compute(self, cycles: int) -> None:
        """Every rank computes."""

        def part(first: int, last: int) -> None:
            low, high = self.begins[first], self.begins[last]
            compute(self.cores[low:high], self.clock[low:high], cycles, self._detours.table, self._quiet)

        self._in_parts(part)

    def perform(self, operation: NetworkOperation) -> None:
        """Every rank performs an operation."""
        ready = np.empty(self.nodes, np.int64)
        common = (self.cores, self.clock, operation.work, operation.root, self._detours.table, self._quiet)
        self._in_parts(lambda first, last: enter(self.begins[first : last + 1], *common, ready[first:last]))
        done = operation.network(ready)
        self._number += 1
        wait = (operation.waits, self._number)
        self._in_parts(
            lambda first, last: leave(self.begins[first : last + 1], *common, *wait, done[first:last])
        )

    def _in_parts(self, part: Callable[[int, int], None]) -> None:
        """Do something for all nodes, in as many threads as it is worth; nodes do not touch each other."""
        if self._ranks < RANKS_PER_THREAD * THREADS:
            part(0, self.nodes)
            return
        bounds = [self.nodes * number // THREADS for number in range(THREADS + 1)]
        list(_threads().map(part, bounds, bounds[1:]))

    def repeat(
        self,
        operation: NetworkOperation,
        iterations: int,
        compute_cycles: int = 0,
        before: NetworkOperation | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Timeline:
        """Compute, perform `before`, perform `operation`, again and again.

        Parameters
        ----------
        operation
            What is measured.
        iterations
            How often.
        compute_cycles
            Core time of each rank before each iteration.
        before
            An operation that is not measured.
        progress
            Told the iterations done and the time.
        """
        timeline = Timeline.empty(iterations)
        for iteration in range(iterations):
            if compute_cycles:
                self.compute(compute_cycles)
            if before is not None:
                self.perform(before)
            begins = self.clock.copy()
            self.perform(operation)
            timeline.note(iteration, begins, self.clock)
            if progress is not None:
                progress(iteration + 1, int(timeline.end[iteration]))
        return timeline
