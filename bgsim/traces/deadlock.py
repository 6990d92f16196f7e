"""Whether a message graph can run to its end; and if not, which rank waits for which.

Nothing in a graph depends on timing, so this is known before it runs: gates are opened in any order that
their countings allow, and what is closed at the end waits for ever.
"""

# The compiled function takes arrays by position.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bgsim.compiled import compiled
from bgsim.machine import cost_model
from bgsim.machine.cost_model import CostModel
from bgsim.machine.program import Placement, Settings
from bgsim.machine.program import Program as Steps
from bgsim.network.traffic import NEVER, Gates, Messages
from bgsim.traces.collectives import COLLECT, ENTER, JOIN, LEAVE, PART, WrittenOut, write_out
from bgsim.traces.errors import TraceError, TraceProblem
from bgsim.traces.graph import Graph, build
from bgsim.traces.matching import Matches, match
from bgsim.traces.program import Kind, Program, is_started

_RANKS_SHOWN = 8


def check(written: WrittenOut, matches: Matches, graph: Graph) -> None:
    """Refuse a program in which ranks wait for each other for ever.

    Raises
    ------
    TraceError
        With a circle of ranks, each with the line in which it waits, and for whom.
    """
    opened = opens(graph.gates, graph.messages)
    if opened.all():
        return
    waits = _Waits(written, matches, graph, opened)
    raise TraceError(waits.problems())


def opens(gates: Gates, messages: Messages) -> NDArray[np.bool_]:
    """Which gates can ever open, shape (g,)."""
    released = messages.gate >= 0
    pairs = [(messages.gate, messages.then, released), (messages.gate, messages.sent_then, released)]
    pairs.append((np.arange(gates.size), gates.then, np.ones(gates.size, np.bool_)))
    earlier = [source[(target >= 0) & valid] for source, target, valid in pairs] + [gates.also[:, 0]]
    later = [target[(target >= 0) & valid] for _, target, valid in pairs] + [gates.also[:, 1]]
    source, target = np.concatenate(earlier), np.concatenate(later)
    first = np.zeros(gates.size + 1, np.int64)
    np.cumsum(np.bincount(source, minlength=gates.size), out=first[1:])
    needs = gates.needs.copy()
    queue = np.zeros(gates.size, np.int64)
    open_in_order(first, target[np.argsort(source, kind="stable")], needs, queue)
    return np.asarray(needs == 0)


@compiled
def open_in_order(first, target, needs, queue):
    """Count down what each gate that can open counts, until no more can."""
    size = 0
    for gate in range(len(needs)):
        if needs[gate] == 0:
            queue[size] = gate
            size += 1
    place = 0
    while place < size:
        gate = queue[place]
        place += 1
        for edge in range(first[gate], first[gate + 1]):
            needs[target[edge]] -= 1
            if needs[target[edge]] == 0:
                queue[size] = target[edge]
                size += 1


class _Waits:
    """Finds out for whom each rank that is stuck waits."""

    def __init__(
        self, written: WrittenOut, matches: Matches, graph: Graph, opened: NDArray[np.bool_]
    ) -> None:
        self.written, self.program, self.opened, self.graph = written, written.program, opened, graph
        self.partner = np.full(self.program.size, NEVER)
        self.partner[matches.send], self.partner[matches.receive] = matches.receive, matches.send
        self.rank = self.program.rank

    def stuck_at(self, rank: int) -> int:
        """First operation of a rank that never hands on; else, that is never complete; or -1."""
        first, end = self.program.first[rank : rank + 2]
        started = is_started(self.program.kind[first:end])
        done, entry = self.graph.done[first:end], self.graph.entry[first:end]
        for closed in (~self.opened[np.where(started, entry, done)], ~self.opened[done]):
            if closed.any():
                return int(first + np.argmax(closed))
        return NEVER

    def waits_for(self, operation: int) -> tuple[int, int]:
        """The operation in which a rank waits, and the rank it waits for, which may be itself."""
        kind = int(self.program.kind[operation])
        links = self.program.links
        mine = links.earlier[(links.later == operation) & ~links.started].tolist()
        held = next((each for each in mine if not self.opened[self.graph.done[each]]), None)
        if held is not None and held != operation:
            partner = int(self.partner[held])
            return operation, int(self.rank[partner]) if partner >= 0 else int(self.rank[operation])
        if self.partner[operation] >= 0:
            return operation, int(self.rank[self.partner[operation]])
        if kind in (ENTER, LEAVE, COLLECT, JOIN, PART):
            same = np.flatnonzero(
                (self.program.kind == self.program.kind[operation])
                & (self.program.tag == self.program.tag[operation])
                & ~self.opened[self.graph.entry]
            )
            others = same[self.rank[same] != self.rank[operation]]
            return operation, int(self.rank[others[0]]) if others.size else int(self.rank[operation])
        return operation, int(self.rank[operation])

    def problems(self) -> list[TraceProblem]:
        """The ranks of a circle, or those that are stuck."""
        waiting: dict[int, tuple[int, int]] = {}
        rank = next(r for r in range(self.program.ranks) if self.stuck_at(r) >= 0)
        order: list[int] = []
        while rank not in waiting and self.stuck_at(rank) >= 0:
            order.append(rank)
            waiting[rank] = self.waits_for(self.stuck_at(rank))
            rank = waiting[rank][1]
        circle = order[order.index(rank) :] if rank in waiting else order
        problems = []
        for each in circle[:_RANKS_SHOWN]:
            operation, other = waiting[each]
            whom = f"for rank {other}" if other != each else "for what it does later itself"
            said = f"deadlock: rank {each} waits for ever {whom}, in '{self._words(operation)}'"
            problems.append(self.program.problem(operation, said))
        if len(circle) > _RANKS_SHOWN:
            last = circle[_RANKS_SHOWN]
            said = f"and so on, a circle of {len(circle)} ranks in all"
            problems.append(self.program.problem(waiting[last][0], said))
        return problems

    def _words(self, operation: int) -> str:
        kind = self.program.kind[operation]
        if kind in (ENTER, LEAVE):
            return f"barrier, line {self.program.line[operation]}"
        if kind > max(Kind):
            return f"collective, line {self.program.line[operation]}"
        return self.program.words(operation)


def free_costs() -> CostModel:
    """A cost model of a guest that has everything for nothing: who waits for whom needs no more."""
    return CostModel(
        name="none",
        platform="none",
        guest="none",
        machine=cost_model.Machine("none", {}, {}),
        datasheet_digest="",
        characterisation_version=0,
        created_by="",
        put=cost_model.OneSided(0, 0),
        get=cost_model.OneSided(0, 0),
        eager=cost_model.Eager(0, 0, 0, 0),
        rendezvous=cost_model.Rendezvous(0, 0, 0),
        local=cost_model.Local(0, 0, 0),
        collective=cost_model.Collective(0, 0, 0),
        barrier=cost_model.Barrier(0, 0),
        delivery=cost_model.Delivery((0.0,), (1.0,)),
        detours=(),
        measured=(),
    )


def check_program(program: Program, eager_limit: int) -> None:
    """Refuse a program in which ranks wait for each other for ever, wherever it runs.

    Parameters
    ----------
    program
        A trace.
    eager_limit
        Longest message in bytes that a sender need not wait with for its receiver.

    Raises
    ------
    TraceError
        See :func:`check`; and for what does not match.
    """
    everyone = np.arange(program.ranks)
    placement = Placement((program.ranks, 1, 1), (False, False, False), everyone, everyone, 1)
    settings = Settings(eager_limit, 1 << 30, 0.0, 0, int(program.core.max(initial=0)) + 1)
    steps = Steps(placement, free_costs(), settings, np.zeros(program.ranks, np.int64), 0)
    written = write_out(program, steps, "binomial")
    matches = match(written.program)
    check(written, matches, build(written, matches, steps, 1))
