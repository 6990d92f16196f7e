"""Collective operations over the torus, as steps and messages of a :class:`bgsim.machine.program.Program`.

* *binomial*: a tree of ranks, halving the distance in each round.
* *ring*: rank to rank in order of number. An allreduce is a reduce-scatter and an allgather of pieces; a
  broadcast or reduce a chain, in segments.
* *rectangle*: along the dimensions of the partition, one after the other, from the root's node. A broadcast
  leaves copies at the nodes of a line with the deposit bit; a reduce goes from node to node, since the torus
  combines nothing.
* *dissemination*, of a barrier: in each round everyone sends a byte twice as far.
* *torus*: everyone sends to everyone directly, in an order that each rank draws for itself.

What the real library has beyond these: several rectangles at once in different colours, so that long messages
use more than one link, and a handshake before a synchronous rectangle. Their rates are bounds from below.
Sources: MPICH2 dcmfd for which algorithms there are; the algorithms as described in the literature.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from bgsim.machine.cost_model import needed
from bgsim.machine.program import Placement, Program
from bgsim.network.topology import node_count
from bgsim.network.traffic import PAYLOAD_BYTES, Ints

Algorithm = Callable[[Program, int], None]
ROOT = 0


def binomial_broadcast(program: Program, size_bytes: int) -> None:
    """From rank 0; the first message goes half way round."""
    ranks = np.arange(program.placement.ranks)
    for distance in reversed(_distances(ranks.size)):
        source = ranks[(ranks % (2 * distance) == 0) & (ranks + distance < ranks.size)]
        program.transfer(source, source + distance, size_bytes)


def binomial_reduce(program: Program, size_bytes: int) -> None:
    """To rank 0; the last message comes from half way round."""
    ranks = np.arange(program.placement.ranks)
    combine = size_bytes * program.settings.combine_cycles
    for distance in _distances(ranks.size):
        destination = ranks[(ranks % (2 * distance) == 0) & (ranks + distance < ranks.size)]
        program.transfer(destination + distance, destination, size_bytes, combine)


def binomial_allreduce(program: Program, size_bytes: int) -> None:
    """Reduce, then broadcast."""
    binomial_reduce(program, size_bytes)
    binomial_broadcast(program, size_bytes)


def dissemination_barrier(program: Program, size_bytes: int) -> None:
    """After as many rounds as the number of ranks has binary digits, everyone has heard of everyone."""
    ranks = np.arange(program.placement.ranks)
    for distance in _distances(ranks.size):
        program.transfer(ranks, (ranks + distance) % ranks.size, 1)


def ring_allgather(program: Program, size_bytes: int) -> None:
    """Each block goes once round."""
    ranks = np.arange(program.placement.ranks)
    for _ in range(ranks.size - 1):
        program.transfer(ranks, (ranks + 1) % ranks.size, size_bytes)


def ring_allreduce(program: Program, size_bytes: int) -> None:
    """Pieces of the vector go round and are combined; then the sums go round."""
    ranks = np.arange(program.placement.ranks)
    piece = -(-size_bytes // ranks.size)
    for combine in (piece * program.settings.combine_cycles, 0.0):
        for _ in range(ranks.size - 1):
            program.transfer(ranks, (ranks + 1) % ranks.size, piece, combine)


def ring_broadcast(program: Program, size_bytes: int) -> None:
    """Segments go from rank to rank."""
    for segment in _segments(program, size_bytes):
        for rank in range(program.placement.ranks - 1):
            program.transfer(np.array([rank]), np.array([rank + 1]), segment)


def ring_reduce(program: Program, size_bytes: int) -> None:
    """Segments go from the last rank to the first and are combined on the way."""
    for segment in _segments(program, size_bytes):
        for rank in range(program.placement.ranks - 1, 0, -1):
            combine = segment * program.settings.combine_cycles
            program.transfer(np.array([rank]), np.array([rank - 1]), segment, combine)


def rectangle_broadcast(program: Program, size_bytes: int) -> None:
    """Along x from rank 0's node, then along y from that line, along z from that plane, and inside nodes."""
    placement = program.placement
    masters = _masters(placement)
    for segment in _segments(program, size_bytes):
        for dimension in range(3):
            heads = _plane(placement, dimension)
            if placement.shape[dimension] > 1:
                _lines(program, masters, heads, dimension, segment)
        _inside(program, masters, segment, out=True)


def rectangle_reduce(program: Program, size_bytes: int) -> None:
    """The same ways backwards, combining from node to node."""
    placement = program.placement
    masters = _masters(placement)
    for segment in _segments(program, size_bytes):
        combine = segment * program.settings.combine_cycles
        _inside(program, masters, segment, out=False)
        for dimension in (2, 1, 0):
            heads = _plane(placement, dimension)
            for away in range(placement.shape[dimension] - 1, 0, -1):
                for forwards in (True, False):
                    pair = _towards(placement, heads, dimension, away, forwards)
                    if pair is not None:
                        program.transfer(masters[pair[0]], masters[pair[1]], segment, combine)


def rectangle_allreduce(program: Program, size_bytes: int) -> None:
    """Reduce, then broadcast."""
    rectangle_reduce(program, size_bytes)
    rectangle_broadcast(program, size_bytes)


def torus_alltoall(program: Program, size_bytes: int) -> None:
    """Each rank puts its block to every other, in an order of its own, and waits for all blocks."""
    placement, costs = program.placement, program.costs
    put = needed(costs.put, "puts")
    ranks = np.arange(placement.ranks)
    order = program.random.permuted(np.tile(np.arange(1, ranks.size), (ranks.size, 1)), axis=1)
    copy = costs.local.byte_cycles * size_bytes
    program.step(ranks, np.full(ranks.size, copy))  # the block for oneself
    sent = []
    for number in range(ranks.size - 1):
        posted = program.step(ranks, np.full(ranks.size, put.post_cycles))
        target = (ranks + order[:, number]) % ranks.size
        sent.append((program.post(ranks, target, size_bytes, posted, dynamic=True), target))
    done = program.noticed(program.step(ranks, np.full(ranks.size, put.complete_cycles)))
    for messages, target in sent:
        program.on_arrival(messages, done[target])


TORUS: Mapping[tuple[str, str], Algorithm] = {
    ("barrier", "dissemination"): dissemination_barrier,
    ("broadcast", "binomial"): binomial_broadcast,
    ("broadcast", "ring"): ring_broadcast,
    ("broadcast", "rectangle"): rectangle_broadcast,
    ("reduce", "binomial"): binomial_reduce,
    ("reduce", "ring"): ring_reduce,
    ("reduce", "rectangle"): rectangle_reduce,
    ("allreduce", "binomial"): binomial_allreduce,
    ("allreduce", "ring"): ring_allreduce,
    ("allreduce", "rectangle"): rectangle_allreduce,
    ("allgather", "ring"): ring_allgather,
    ("allgather", "torus"): torus_alltoall,
    ("alltoall", "torus"): torus_alltoall,
}
"""By operation and algorithm. In an allgather everyone sends the same block to all: the messages of an
alltoall."""


def _distances(ranks: int) -> list[int]:
    return [1 << bit for bit in range((ranks - 1).bit_length())]


def _segments(program: Program, size_bytes: int) -> list[int]:
    """Sizes of the pieces of a message."""
    whole, rest = divmod(size_bytes, program.settings.segment)
    return [program.settings.segment] * whole + ([rest] if rest or not whole else [])


def _masters(placement: Placement) -> Ints:
    """The rank that works for each node, shape (nodes,): rank 0, elsewhere the one on the first core."""
    masters = _workers(placement)
    idle = np.flatnonzero(masters < 0)
    if idle.size:
        raise ValueError(f"node {idle[0]} has no rank on its first core, a rectangle needs one")
    return masters


def without_master(placement: Placement) -> Ints:
    """Nodes without a rank that works for them, with which a rectangle can do nothing."""
    return np.flatnonzero(_workers(placement) < 0)


def _workers(placement: Placement) -> Ints:
    ranks = np.full(node_count(placement.shape), -1, np.int64)
    first = np.flatnonzero(placement.core % placement.per_node == 0)
    ranks[placement.node[first]] = first
    ranks[placement.node[ROOT]] = ROOT
    return ranks


def _position(nodes: Ints, placement: Placement, dimension: int) -> Ints:
    return nodes // _stride(placement, dimension) % placement.shape[dimension]


def _plane(placement: Placement, dimension: int) -> Ints:
    """Nodes that have the data before a dimension's turn: those with the root in it and in all later ones."""
    nodes, root = np.arange(node_count(placement.shape)), placement.node[[ROOT]]
    with_root = [
        _position(nodes, placement, later) == _position(root, placement, later)
        for later in range(dimension, 3)
    ]
    return nodes[np.all(with_root, axis=0)]


def _reach(placement: Placement, dimension: int) -> tuple[int, int]:
    """How far a line goes forwards and backwards from the root's position."""
    size = placement.shape[dimension]
    if placement.torus[dimension]:
        return size // 2, (size - 1) // 2
    before = int(_position(placement.node[[ROOT]], placement, dimension)[0])
    return size - 1 - before, before


def _stride(placement: Placement, dimension: int) -> int:
    return int(np.prod(placement.shape[:dimension]))


def _along(placement: Placement, heads: Ints, dimension: int, steps: int) -> Ints:
    """Nodes that are so many steps from others in one dimension, backwards if negative."""
    position = _position(heads, placement, dimension)
    there = (position + steps) % placement.shape[dimension]
    return heads + (there - position) * _stride(placement, dimension)


def _towards(
    placement: Placement, heads: Ints, dimension: int, away: int, forwards: bool
) -> tuple[Ints, Ints] | None:
    """Nodes at a distance from the root's position on one side, and their neighbours nearer to it."""
    reach = _reach(placement, dimension)[0 if forwards else 1]
    if away > reach:
        return None
    sign = 1 if forwards else -1
    here, nearer = (_along(placement, heads, dimension, sign * steps) for steps in (away, away - 1))
    return here, nearer


def _lines(program: Program, masters: Ints, heads: Ints, dimension: int, size_bytes: int) -> None:
    """One packet train per line and direction, which leaves copies on its way."""
    placement, eager = program.placement, program.costs.eager
    put = needed(program.costs.put, "puts")
    packets = max(1, -(-size_bytes // PAYLOAD_BYTES))
    by_put = size_bytes > program.settings.eager_limit
    send = put.post_cycles if by_put else eager.send_cycles + packets * eager.send_packet_cycles
    receive, batch = put.complete_cycles, 0.0
    if not by_put:
        batch = eager.batch_cycles
        receive = eager.receive_cycles + packets * eager.receive_packet_cycles
    for reach, sign in zip(_reach(placement, dimension), (1, -1), strict=True):
        if reach == 0:
            continue
        posted = program.step(masters[heads], np.full(heads.size, send))
        leader: Ints | int = -1
        for away in range(reach, 0, -1):
            target = masters[_along(placement, heads, dimension, sign * away)]
            taken = program.noticed(program.step(target, np.full(target.size, receive)), batch)
            sent = program.post(masters[heads], target, size_bytes, posted, taken, rides=leader)
            leader = sent if away == reach else leader


def _inside(program: Program, masters: Ints, size_bytes: int, out: bool) -> None:
    """Between the rank that works for each node and its others, one after the other."""
    placement = program.placement
    combine = 0.0 if out else size_bytes * program.settings.combine_cycles
    for slot in range(1, placement.per_node):
        others = np.flatnonzero(placement.core % placement.per_node == slot)
        if ROOT in others:  # it works for its node, and the rank of the first core takes its turn
            beside = placement.core == placement.core[ROOT] - slot
            others = np.sort(np.append(others[others != ROOT], np.flatnonzero(beside)))
        first = masters[placement.node[others]]
        source, destination = (first, others) if out else (others, first)
        program.transfer(source, destination, size_bytes, combine)
