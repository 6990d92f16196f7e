"""Which receive takes which message, and whether all ranks call the same collectives.

Messages between two ranks do not overtake each other: a receive takes the first message from its source, in
the order of the sender's lines, that has its tag and that no earlier receive takes. Messages of collective
calls have a context of their own, as in MPI: a receive that takes any tag takes none of them. Since a receive
names its source, this does not depend on timing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bgsim.traces.errors import TraceError, TraceProblem
from bgsim.traces.program import (
    ANY,
    COLLECTIVE_TAG,
    FIRST_COLLECTIVE,
    WORDS,
    Ints,
    Kind,
    Program,
    is_receive,
    is_send,
)

_PROBLEMS_MAX = 100


@dataclass(frozen=True, slots=True)
class Matches:
    """Messages with both their ends.

    Attributes
    ----------
    send, receive
        Operation numbers, shape (m,), in order of ``send``.
    size
        Bytes of each message.
    """

    send: Ints
    receive: Ints
    size: Ints


def match(program: Program) -> Matches:
    """Find the receive of each message.

    Raises
    ------
    TraceError
        With every message that nobody receives, every receive that nothing is sent to, and every message
        that is longer than its receive allows.
    """
    rank = program.rank.astype(np.int64)
    sends = np.flatnonzero(is_send(program.kind))
    receives = np.flatnonzero(is_receive(program.kind))
    key_sends = rank[sends] * program.ranks + program.peer[sends]
    key_receives = program.peer[receives] * program.ranks + rank[receives]
    wild = np.unique(key_receives[program.tag[receives] == ANY])
    wild_sends = np.isin(key_sends, wild) & (program.tag[sends] > COLLECTIVE_TAG)
    wild_receives = np.isin(key_receives, wild) & (program.tag[receives] > COLLECTIVE_TAG)
    pairs = [_in_order(program, sends, key_sends, ~wild_sends, receives, key_receives, ~wild_receives)]
    pairs += [
        _any_tag(
            program, sends[wild_sends & (key_sends == key)], receives[wild_receives & (key_receives == key)]
        )
        for key in wild.tolist()
    ]
    send = np.concatenate([pair[0] for pair in pairs])
    receive = np.concatenate([pair[1] for pair in pairs])
    problems = _unmatched(program, sends, receives, send, receive)
    order = np.argsort(send, kind="stable")
    send, receive = send[order], receive[order]
    size, room = program.amount[send], program.amount[receive]
    for spot in np.flatnonzero((size > room) & (room != ANY))[:_PROBLEMS_MAX].tolist():
        said = f"has room for {room[spot]} B, and {size[spot]} B arrive from {program.place(send[spot])}"
        problems.append(program.problem(receive[spot], said))
    if problems:
        raise TraceError(problems)
    return Matches(send, receive, size)


def _in_order(
    program: Program,
    sends: Ints,
    key_sends: Ints,
    of_sends: NDArray[np.bool_],
    receives: Ints,
    key_receives: Ints,
    of_receives: NDArray[np.bool_],
) -> tuple[Ints, Ints]:
    """Pair the n-th send with the n-th receive of each source, destination and tag."""
    sends, key_sends = sends[of_sends], key_sends[of_sends]
    receives, key_receives = receives[of_receives], key_receives[of_receives]
    order_sends = np.lexsort((program.tag[sends], key_sends))
    order_receives = np.lexsort((program.tag[receives], key_receives))
    sends, receives = sends[order_sends], receives[order_receives]
    ends = [
        (key_sends[order_sends], program.tag[sends].astype(np.int64)),
        (key_receives[order_receives], program.tag[receives].astype(np.int64)),
    ]
    if all(np.array_equal(ends[0][column], ends[1][column]) for column in (0, 1)):
        return sends, receives
    numbered = []
    for key, tag in ends:
        new = np.ones(len(key), np.bool_)
        new[1:] = (key[1:] != key[:-1]) | (tag[1:] != tag[:-1])
        begin = np.flatnonzero(new)
        turn = np.arange(len(key)) - np.repeat(begin, np.diff(np.append(begin, len(key))))
        numbered.append(np.stack([key, tag, turn], axis=1))
    both, inverse = np.unique(np.concatenate(numbered), axis=0, return_inverse=True)
    place = np.full((2, len(both)), -1)
    place[0, inverse[: len(sends)]] = np.arange(len(sends))
    place[1, inverse[len(sends) :]] = np.arange(len(receives))
    found = (place >= 0).all(axis=0)
    return sends[place[0, found]], receives[place[1, found]]


def _any_tag(program: Program, sends: Ints, receives: Ints) -> tuple[Ints, Ints]:
    """Pair messages of one source and destination where some receive takes any tag."""
    left = sends.tolist()
    pairs: list[tuple[int, int]] = []
    for receive in receives.tolist():
        wanted = int(program.tag[receive])
        taken = next((send for send in left if wanted in (ANY, int(program.tag[send]))), None)
        if taken is not None:
            left.remove(taken)
            pairs.append((taken, receive))
    columns = np.array(pairs, np.int64).reshape(-1, 2)
    return columns[:, 0], columns[:, 1]


def _unmatched(
    program: Program, sends: Ints, receives: Ints, send: Ints, receive: Ints
) -> list[TraceProblem]:
    problems = []
    rank = program.rank
    lost = np.setdiff1d(sends, send)
    idle = np.setdiff1d(receives, receive)
    for operation in lost[:_PROBLEMS_MAX].tolist():
        to = int(program.peer[operation])
        near = [
            each
            for each in idle.tolist()[:10_000]
            if rank[each] == to and program.peer[each] == rank[operation]
        ]
        hint = f"; rank {to} waits there in '{program.words(near[0])}'" if near else ""
        said = f"rank {rank[operation]} sends what nobody receives: {program.words(operation)}{hint}"
        problems.append(program.problem(operation, said))
    for operation in idle[:_PROBLEMS_MAX].tolist():
        said = f"rank {rank[operation]} waits for what nobody sends: {program.words(operation)}"
        problems.append(program.problem(operation, said))
    return problems


def check_collectives(program: Program) -> Ints:
    """Check that all ranks call the same collectives in the same order, with one root and size.

    Returns
    -------
    numpy.ndarray
        Operation numbers, shape (collectives, ranks).

    Raises
    ------
    TraceError
        With the first call of each rank that differs from rank 0's.
    """
    calls = np.flatnonzero(program.kind >= FIRST_COLLECTIVE)
    counts = np.bincount(program.rank[calls], minlength=program.ranks)
    first = np.concatenate([[0], np.cumsum(counts)])
    problems = []
    least = int(counts.min())
    table = calls[first[:-1][:, None] + np.arange(least)] if least else np.zeros((program.ranks, 0), np.int64)
    same = np.ones(table.shape, np.bool_)
    for column in (program.kind, program.peer, program.amount):
        same &= column[table] == column[table[:1]] if least else True
    differs = np.flatnonzero(~same.all(axis=1))
    for rank in differs[:_PROBLEMS_MAX].tolist():
        turn = int(np.argmin(same[rank]))
        here, there = int(table[rank, turn]), int(table[0, turn])
        said = (
            f"collective {turn + 1} of rank {rank} is '{_call(program, here)}', and that of rank 0 is "
            f"'{_call(program, there)}' (line {program.line[there]}); all ranks make the same calls"
        )
        problems.append(program.problem(here, said))
    if not problems and (counts != least).any():
        most = int(np.argmax(counts))
        short = int(np.argmin(counts))
        odd = int(calls[first[most] + least])
        said = (
            f"rank {most} calls '{_call(program, odd)}', its collective {least + 1}, and rank {short} has "
            f"only {least}: rank {most} waits for rank {short}"
        )
        problems.append(program.problem(odd, said))
    if problems:
        raise TraceError(problems)
    return table.T


def _call(program: Program, operation: int) -> str:
    kind = Kind(program.kind[operation])
    size = f" {program.amount[operation]}B" if kind != Kind.BARRIER else ""
    root = f" root {program.peer[operation]}" if program.peer[operation] >= 0 else ""
    return f"{WORDS[kind]}{size}{root}"
