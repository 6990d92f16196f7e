"""Where the time of each rank went, from a finished message graph.

A core serves one gate at a time, so the times at which its gates opened cut its time into pieces. Each piece
is the wait until the gate was ready, the gate's work, and what interrupted the core meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bgsim.machine.uncontended import Executed
from bgsim.network.traffic import Ints
from bgsim.traces.graph import COMPUTE, RECEIVE, SEND, SLEEP, Graph
from bgsim.traces.program import Program

CAUSES = ("compute", "send", "receive", "interrupted", "wait")


@dataclass(frozen=True, slots=True)
class Accounts:
    """Time of every rank, by cause.

    Attributes
    ----------
    end_cycles
        When each rank was done, shape (ranks,).
    cycles
        By cause (:data:`CAUSES`) and rank, shape (5, ranks); each rank's add up to ``elapsed_cycles`` of each
        core that it uses. Sleep and time after a rank's end count as ``wait``.
    elapsed_cycles
        When the last rank was done.
    """

    end_cycles: Ints
    cycles: Ints
    elapsed_cycles: int


def cores_used(program: Program) -> Ints:
    """How many cores each rank of a trace uses, shape (ranks,); one without operations counts one."""
    cores = 1 + int(program.core.max(initial=0))
    pairs = np.unique(program.rank.astype(np.int64) * cores + program.core)
    return np.maximum(1, np.bincount(pairs // cores, minlength=program.ranks))


def accounts(graph: Graph, ran: Executed, ranks: int, cores: Ints | int = 1) -> Accounts:
    """Work out where the time of each rank went.

    A rank that uses several cores has the time of all of them: its causes add up to that many times the end.

    Parameters
    ----------
    graph, ran
        A message graph and what became of it.
    ranks
        Number of ranks.
    cores
        Cores that each rank uses, shape (ranks,), or all; see :func:`cores_used`.
    """
    gates, messages, opened = graph.gates, graph.messages, ran.opened_cycles
    ready = gates.start_cycles.copy()
    for counted, at in (
        (gates.then, opened),
        (messages.then, ran.done_cycles),
        (messages.sent_then, ran.sent_cycles),
    ):
        real = counted >= 0
        np.maximum.at(ready, counted[real], at[real])
    np.maximum.at(ready, gates.also[:, 1], opened[gates.also[:, 0]])
    served = np.flatnonzero(gates.core >= 0)
    # Of gates that open at one time on a core, those without work do so when another one's work is over.
    order = served[np.lexsort((gates.work_cycles[served] == 0, opened[served], gates.core[served]))]
    core, end = gates.core[order], opened[order]
    before = np.zeros(len(order), np.int64)
    before[1:] = np.where(core[1:] == core[:-1], end[:-1], 0)
    begun = np.minimum(np.maximum(ready[order], before), end - gates.work_cycles[order])
    begun = np.maximum(begun, before)
    work, taken = gates.work_cycles[order], end - begun
    cycles = np.zeros((len(CAUSES), ranks), np.int64)
    rank, purpose = graph.rank[order], graph.purpose[order]
    worked = np.minimum(work, taken)
    for row, which in enumerate((COMPUTE, SEND, RECEIVE)):
        mine = purpose == which
        cycles[row] = np.bincount(rank[mine], weights=worked[mine], minlength=ranks)
    spent = taken - np.where(np.isin(purpose, (COMPUTE, SEND, RECEIVE, SLEEP)), worked, 0)
    cycles[3] = np.bincount(rank, weights=spent, minlength=ranks)
    finished = np.zeros(ranks, np.int64)
    owned = graph.rank >= 0
    np.maximum.at(finished, graph.rank[owned], opened[owned])
    elapsed = int(opened.max(initial=0))
    cycles[4] = elapsed * cores - cycles[:4].sum(axis=0)
    return Accounts(finished, cycles, elapsed)


def total_bytes(size: Ints) -> int:
    """The sum of sizes, however large."""
    return int(size.sum(dtype=object))


def histogram(size: Ints) -> list[dict[str, int]]:
    """Messages by size: counts and bytes between powers of two, ``bytes_max`` included."""
    if not len(size):
        return []
    top = np.ceil(np.log2(np.maximum(size, 1))).astype(np.int64)
    top = np.where(size == 0, -1, top)
    rows = []
    for power in np.unique(top).tolist():
        mine = top == power
        rows.append(
            {
                "bytes_max": 0 if power < 0 else 2**power,
                "messages": int(mine.sum()),
                "bytes": total_bytes(size[mine]),
            }
        )
    return rows
