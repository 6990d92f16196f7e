"""The gates of a call over the collective or the barrier network.

What cores do before and behind the network is done in the order of :mod:`bgsim.machine.node_loops`: the first
rank of a node takes what the others give, one after the other, and hands the result on in the same order. The
root of a broadcast gives, and that of a reduce takes, wherever on its node it runs.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bgsim.machine.columns import Columns
from bgsim.network.traffic import Ints
from bgsim.traces.collectives import JOIN, PART
from bgsim.traces.program import Program
from bgsim.traces.trees import TreeCall, TreeTimes

SEND, RECEIVE = 1, 2
"""What core time goes to, as in :mod:`bgsim.traces.graph`."""


class Builder(Protocol):
    """A message graph in the making."""

    program: Program
    rank: Ints
    kind: Ints
    gates: Columns

    def gate(self, operations: Ints, work: NDArray[np.float64] | float, purpose: int) -> Ints:
        """Add gates that operations' cores do."""

    def cost(self, operations: Ints, work: NDArray[np.float64] | float, purpose: int) -> None:
        """Have operations take their core when they begin."""

    def edge(self, earlier: Ints, later: Ints) -> None:
        """Have gates count others as they open."""


def add_tree_call(builder: Builder, call: TreeCall, times: TreeTimes, members: Ints, done: Ints) -> None:
    """Add a call.

    Parameters
    ----------
    builder
        The graph.
    call, times
        The call, and what it takes.
    members
        Ranks of each node, as :class:`bgsim.traces.trees.Trees` has them.
    done
        Of each operation the gate at whose opening it is complete; brought up to date.
    """
    join, part = (_by_rank(builder, kind, call.number) for kind in (JOIN, PART))
    ready = _enter(builder, times, members, join)
    done[join[members[:, 0]]] = ready
    _network(builder, times, ready, part[members[:, 0]])
    done[part[members[:, 0]]] = _leave(builder, times, members, part)


def _by_rank(builder: Builder, kind: int, number: int) -> Ints:
    """The operation of each rank that belongs to a call."""
    mine = np.flatnonzero((builder.kind == kind) & (builder.program.tag == number))
    found = np.empty(builder.program.ranks, np.int64)
    found[builder.rank[mine]] = mine
    return found


def _enter(builder: Builder, times: TreeTimes, members: Ints, join: Ints) -> Ints:
    """Work before the network; returns the gates at which each node is ready."""
    masters, work = join[members[:, 0]], times.work
    ready = masters.copy()
    for others in members.T[1:]:
        builder.cost(join[others[others >= 0]], 0, SEND)
        here = np.flatnonzero((others >= 0) & (work.gathers | (others == times.root)))
        given = join[others[here]]
        builder.cost(given, work.member_enter, SEND)
        taken = builder.gate(masters[here], work.master_take, RECEIVE)
        builder.edge(ready[here], taken)
        builder.edge(given, taken)
        ready[here] = taken
    alone = ready == masters
    # Of a broadcast the source's node alone has packets.
    injects = work.gathers | (np.arange(len(masters)) == times.source)
    entering = work.master_enter + work.master_inject * injects.astype(np.float64)
    builder.cost(masters[alone], entering[alone], SEND)
    entered = builder.gate(masters[~alone], entering[~alone], SEND)
    builder.edge(ready[~alone], entered)
    ready[~alone] = entered
    return ready


def _network(builder: Builder, times: TreeTimes, ready: Ints, part: Ints) -> None:
    """From each node's being ready to its first rank's noticing the end."""
    gates, nodes = builder.gates, len(ready)
    contributes = np.arange(nodes) if times.source < 0 else np.array([times.source])
    up = gates.add(len(contributes), work=times.up[contributes])
    root, down = gates.add(1), gates.add(nodes, work=times.down)
    noticed = gates.add(nodes, work=times.notice)
    builder.edge(ready[contributes], up)
    builder.edge(up, np.repeat(root, len(up)))
    builder.edge(np.repeat(root, nodes), down)
    builder.edge(down, noticed)
    if times.source >= 0:
        own = gates.add(nodes, work=times.own)
        builder.edge(ready, own)
        builder.edge(own, noticed)
    builder.edge(noticed, part)


def _leave(builder: Builder, times: TreeTimes, members: Ints, part: Ints) -> Ints:
    """Work behind the network; returns the gates at which each node's first rank is through."""
    masters, work = part[members[:, 0]], times.work
    builder.cost(masters, work.master_leave, RECEIVE)
    left = masters.copy()
    for others in members.T[1:]:
        # Of a broadcast all members but the root get the packets, of a reduce the root alone the sum.
        here = np.flatnonzero((others >= 0) & (work.scatters != (others == times.root)))
        given = builder.gate(masters[here], work.master_give, SEND)
        builder.edge(left[here], given)
        left[here] = given
        builder.cost(part[others[here]], work.member_leave, RECEIVE)
        builder.edge(given, part[others[here]])
    return left
