"""Collective calls of a trace, written out as what each rank does.

Broadcast, reduce, allreduce and allgather become the messages of the algorithms in
:mod:`bgsim.machine.algorithms`; in each of their rounds a rank starts its send, receives, and waits for its
send. An alltoall becomes one-sided puts to everyone and one wait for what everyone puts. A barrier uses the
barrier network. Calls that go over the collective network, as the real library's do on all ranks of a
partition, become what a rank does before and behind it; :mod:`bgsim.traces.trees` knows the rest.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bgsim.machine.algorithms import TORUS
from bgsim.machine.message_counts import RENDEZVOUS_MESSAGES, messages_of, refuse_many
from bgsim.machine.program import Program as Steps
from bgsim.machine.program import TooManyMessagesError
from bgsim.machine.tree_runs import TreeOperation
from bgsim.network.traffic import Ints
from bgsim.traces.errors import refused
from bgsim.traces.matching import check_collectives
from bgsim.traces.program import COLLECTIVE_TAG, Kind, Program, arrange, is_send
from bgsim.traces.trees import TreeCall

PUT, COLLECT, ENTER, LEAVE, MARK, JOIN, PART = range(20, 27)
"""Operations that only written-out collectives have: a put and the wait for all puts of an alltoall, arrival
at and release from a barrier, the beginning and end of a call, which take no time, and what comes before and
behind an operation of the collective or barrier network on all nodes."""

TREES: Mapping[Kind, TreeOperation] = {
    Kind.BARRIER: "barrier",
    Kind.BROADCAST: "broadcast",
    Kind.REDUCE: "reduce",
    Kind.ALLREDUCE: "allreduce",
    Kind.ALLGATHER: "allgather",
}
"""Calls that may go over the barrier or the collective network."""

_NAMES = {
    Kind.BROADCAST: "broadcast",
    Kind.REDUCE: "reduce",
    Kind.ALLREDUCE: "allreduce",
    Kind.ALLGATHER: "allgather",
    Kind.ALLTOALL: "alltoall",
}
_ONLY = {Kind.ALLGATHER: "ring", Kind.ALLTOALL: "torus"}
"""Algorithms of calls that have one here."""


@dataclass(frozen=True, slots=True)
class WrittenOut:
    """A program without collective calls.

    Attributes
    ----------
    program
        It; kinds may be :data:`PUT` and its like, and ``tag`` then is the number of the call.
    extra_cycles
        Further core time of receives, for combining, and of the copy at the beginning of an alltoall, shape
        (n,).
    origin
        Operation of the trace that each stands for.
    trees
        Calls that go over the collective or barrier network, in order.
    """

    program: Program
    extra_cycles: NDArray[np.float64]
    origin: Ints
    trees: tuple[TreeCall, ...] = ()


class _Rounds(Steps):
    """Takes the messages of an algorithm down, instead of making a graph of them."""

    rounds: list[tuple[Ints, Ints, int, float]]

    def transfer(self, source: Ints, destination: Ints, size_bytes: int, receive_cycles: float = 0.0) -> None:
        self.rounds.append((source, destination, size_bytes, receive_cycles))


def rounds_of(
    steps: Steps, kind: Kind, algorithm: str, size_bytes: int
) -> list[tuple[Ints, Ints, int, float]]:
    """Messages of a collective with root 0: source, destination, size and further cycles of the receiver."""
    zeros = np.zeros(steps.placement.ranks, np.int64)
    recorder = _Rounds(steps.placement, steps.costs, steps.settings, zeros, 0)
    recorder.rounds = []
    TORUS[_NAMES[kind], _algorithm_of(kind, algorithm)](recorder, size_bytes)
    return recorder.rounds


def write_out(
    program: Program, steps: Steps, algorithm: str, over_trees: Collection[Kind] = ()
) -> WrittenOut:
    """Replace every collective call.

    Parameters
    ----------
    program
        A trace.
    steps
        Knows the placement of the ranks, the costs and the settings; the orders of alltoalls are drawn from
        its random numbers.
    algorithm
        ``binomial`` or ``ring``, for broadcast, reduce and allreduce.
    over_trees
        Calls that go over the collective or barrier network instead.

    Raises
    ------
    TraceError
        If the ranks do not make the same calls, or all messages together are too many.
    """
    calls = check_collectives(program)
    _check_count(program, calls, steps, algorithm, over_trees)
    rank = program.rank.astype(np.int64)
    rows = _Rows(program)
    end = np.arange(program.size)
    trees: list[TreeCall] = []
    first_tag = min(COLLECTIVE_TAG, int(program.tag.min(initial=0)) - 1)  # below those of an imported gather
    for number, call in enumerate(calls):
        kind, size, root = (
            Kind(program.kind[call[0]]),
            int(program.amount[call[0]]),
            int(program.peer[call[0]]),
        )
        everyone = np.arange(program.ranks)
        if kind in over_trees:
            rows.add(call, JOIN, tag=number)
            rows.add(call, PART, tag=number)
            trees.append(TreeCall(number, TREES[kind], size, root))
        elif kind == Kind.BARRIER:
            rows.add(call, ENTER, tag=number)
            rows.add(call, LEAVE, tag=number)
        elif kind == Kind.ALLTOALL:
            _alltoall(rows, call, size, number, steps)
        else:
            tag = first_tag - number
            for rounds in rounds_of(steps, kind, algorithm, size):
                source, destination = ((ranks + max(root, 0)) % program.ranks for ranks in rounds[:2])
                begun = rows.add(call[source], Kind.SEND_START, destination, rounds[2], tag)
                rows.add(call[destination], Kind.RECEIVE, source, rounds[2], tag, rounds[3])
                rows.link(rows.add(call[source], Kind.WAIT), begun)
        end[call] = rows.add(call[everyone], MARK, tag=number)
    return replace(rows.arranged(program, rank, end), trees=tuple(trees))


def _check_count(
    program: Program, calls: Ints, steps: Steps, algorithm: str, over_trees: Collection[Kind]
) -> None:
    """Count the messages of a trace and of its calls over the torus, roots all 0, and refuse too many."""
    placement, settings = steps.placement, steps.settings
    sends = np.flatnonzero(is_send(program.kind))
    far = placement.node[program.rank[sends]] != placement.node[program.peer[sends]]
    handshakes = far & (program.amount[sends] > settings.eager_limit)
    total = sends.size + (RENDEZVOUS_MESSAGES - 1) * int(handshakes.sum())
    first = calls[:, :1].ravel()
    different, counts = np.unique(
        np.stack([program.kind[first], program.amount[first]]), axis=1, return_counts=True
    )
    for (number, size), times in zip(different.T.tolist(), counts.tolist(), strict=True):
        kind = Kind(number)
        if kind in _NAMES and kind not in over_trees:
            name = _algorithm_of(kind, algorithm)
            total += times * messages_of(_NAMES[kind], name, size, placement, settings, rendezvous=True)
    try:
        refuse_many(total, "its ranks exchange ")
    except TooManyMessagesError as error:
        raise refused(program.source, str(error)) from None


def _algorithm_of(kind: Kind, algorithm: str) -> str:
    return _ONLY.get(kind, algorithm)


def _alltoall(rows: _Rows, call: Ints, size: int, number: int, steps: Steps) -> None:
    ranks = len(call)
    everyone = np.arange(ranks)
    rows.add(call, MARK, tag=number, extra_cycles=steps.costs.local.byte_cycles * size)
    # Drawn as the algorithm for the torus draws it, so that the same run takes the same time there.
    order = steps.random.permuted(np.tile(np.arange(1, ranks), (ranks, 1)), axis=1)
    for turn in range(ranks - 1):
        rows.add(call, PUT, (everyone + order[:, turn]) % ranks, size, number)
    rows.add(call, COLLECT, tag=number)


class _Rows:
    """Operations by the call they stand for; sorted in when all are known."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._blocks: list[tuple[Ints, NDArray[np.int64], NDArray[np.float64]]] = []
        self._links: list[tuple[Ints, Ints]] = []
        self._count = program.size

    def add(
        self,
        call: Ints,
        kind: int,
        peer: Ints | int = -1,
        amount: int = 0,
        tag: int = 0,
        extra_cycles: float = 0.0,
    ) -> Ints:
        """Append an operation to each of some ranks' calls; return their handles."""
        numbers = np.stack(
            [np.broadcast_to(np.asarray(value, np.int64), call.shape) for value in (kind, peer, amount, tag)]
        )
        self._blocks.append((call, numbers, np.full(len(call), extra_cycles)))
        handles = np.arange(self._count, self._count + len(call))
        self._count += len(call)
        return handles

    def link(self, later: Ints, earlier: Ints) -> None:
        """Have operations wait for others, by handles."""
        self._links.append((later, earlier))

    def arranged(self, program: Program, rank: Ints, end: Ints) -> WrittenOut:
        """All operations in order; what followed a call follows its end."""
        calls = [block[0] for block in self._blocks]
        old = np.stack([program.kind, program.peer, program.amount, program.tag]).astype(np.int64)
        old[0] = np.where(
            np.isin(np.arange(program.size), np.concatenate([*calls, np.zeros(0, np.int64)])), MARK, old[0]
        )
        origin = np.concatenate([np.arange(program.size), *calls]).astype(np.int64)
        numbers = np.concatenate([old, *(block[1] for block in self._blocks)], axis=1)
        extra = np.concatenate([np.zeros(program.size), *(block[2] for block in self._blocks)])
        order = np.argsort(origin, kind="stable")  # the call itself first, then what it became, in order
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        added = len(order) - program.size
        core = np.concatenate([program.core.astype(np.int64), np.zeros(added, np.int64)])
        chained = np.concatenate([program.chained.astype(np.int64), np.ones(added, np.int64)])
        columns = [rank[origin], *numbers, core, chained, program.line[origin].astype(np.int64)]
        columns = [column[order] for column in columns]
        links = program.links
        earlier = np.where(links.started, links.earlier, end[links.earlier])
        later = np.concatenate([links.later, *(pair[0] for pair in self._links)]).astype(np.int64)
        earlier = np.concatenate([earlier, *(pair[1] for pair in self._links)]).astype(np.int64)
        started = np.concatenate([links.started, np.zeros(len(later) - len(links.later), np.bool_)])
        arranged = arrange(program.source, program.ranks, columns, place[later], place[earlier], started)
        return WrittenOut(arranged, extra[order], origin[order])
