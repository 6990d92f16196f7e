"""A message trace in memory: what each rank does, as columns.

An operation starts when those it follows are complete. Usually that is the line before it on its rank; an
operation that is not ``chained`` starts with its rank instead, held back by its *links* alone. A blocking
send, a receive, a computation and a wait hand on when they are complete; a non-blocking send or receive hands
on when it has been posted, and is complete later.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bgsim.traces.errors import TraceProblem

Ints: TypeAlias = NDArray[np.int64]

ANY = -1
"""As a tag: a receive takes any of a trace's own. As a size: a receive takes whatever comes."""

COLLECTIVE_TAG = -2
"""Messages with this tag or a lower one belong to collective calls; as in MPI, :data:`ANY` takes none."""

PICOSECONDS = 10**12
"""Per second: times of computation are kept in picoseconds, exact for what anybody writes."""


class Kind(IntEnum):
    """What an operation does."""

    COMPUTE = 0
    """For a time; the amount is in picoseconds."""
    COMPUTE_CYCLES = 1
    """For a number of core cycles."""
    SLEEP = 2
    """Nothing for a time, in picoseconds."""
    SEND = 3
    RECEIVE = 4
    SEND_START = 5
    RECEIVE_START = 6
    WAIT = 7
    """Until the operations it is linked to are complete."""
    BARRIER = 8
    BROADCAST = 9
    REDUCE = 10
    ALLREDUCE = 11
    ALLTOALL = 12
    ALLGATHER = 13


WORDS: dict[Kind, str] = {
    Kind.COMPUTE: "compute",
    Kind.COMPUTE_CYCLES: "compute",
    Kind.SLEEP: "sleep",
    Kind.SEND: "send",
    Kind.RECEIVE: "recv",
    Kind.SEND_START: "isend",
    Kind.RECEIVE_START: "irecv",
    Kind.WAIT: "wait",
    Kind.BARRIER: "barrier",
    Kind.BROADCAST: "bcast",
    Kind.REDUCE: "reduce",
    Kind.ALLREDUCE: "allreduce",
    Kind.ALLTOALL: "alltoall",
    Kind.ALLGATHER: "allgather",
}
"""As they stand in a trace."""

ROOTED = (Kind.BROADCAST, Kind.REDUCE)
FIRST_COLLECTIVE = Kind.BARRIER


def is_send(kind: NDArray[Any]) -> NDArray[np.bool_]:
    """Which operations send a message."""
    return np.isin(kind, (Kind.SEND, Kind.SEND_START))


def is_receive(kind: NDArray[Any]) -> NDArray[np.bool_]:
    """Which operations receive a message."""
    return np.isin(kind, (Kind.RECEIVE, Kind.RECEIVE_START))


def is_started(kind: NDArray[Any]) -> NDArray[np.bool_]:
    """Which operations hand on before they are complete."""
    return np.isin(kind, (Kind.SEND_START, Kind.RECEIVE_START))


@dataclass(slots=True)
class Links:
    """Dependencies besides the order of lines, within one rank.

    Attributes
    ----------
    later, earlier
        Operation numbers, shape (d,), sorted by ``later``.
    started
        Whether ``later`` waits only until ``earlier`` has started, not until it is complete.
    """

    later: Ints
    earlier: Ints
    started: NDArray[np.bool_]

    @classmethod
    def none(cls) -> Links:
        """No dependencies but the order of lines."""
        return cls(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.bool_))


@dataclass(slots=True)
class Program:
    """What every rank does, rank after rank, each in the order of its lines.

    Attributes
    ----------
    source
        The file, for messages.
    ranks
        Number of ranks.
    kind
        :class:`Kind`, shape (n,).
    peer
        Destination, source or root; -1 where there is none.
    amount
        Bytes (of a message, or of each rank's or pair's share in a collective), picoseconds or cycles;
        :data:`ANY` for a receive of unknown size.
    tag
        Of a message; :data:`ANY` for a receive that takes any; from :data:`COLLECTIVE_TAG` downwards for
        messages of collective calls.
    core
        Core of the rank that does it, 0 unless the trace says otherwise.
    chained
        Whether it follows the line before it.
    line
        Line number in the file.
    first
        Operations of rank r are numbers ``first[r]`` to ``first[r + 1]``.
    links
        Further dependencies.
    """

    source: str
    ranks: int
    kind: NDArray[np.int8]
    peer: NDArray[np.int32]
    amount: Ints
    tag: NDArray[np.int32]
    core: NDArray[np.int8]
    chained: NDArray[np.bool_]
    line: NDArray[np.int32]
    first: Ints
    links: Links
    size: int = field(init=False)

    def __post_init__(self) -> None:
        self.size = len(self.kind)

    @property
    def rank(self) -> NDArray[np.int32]:
        """Rank of each operation."""
        return np.repeat(np.arange(self.ranks, dtype=np.int32), np.diff(self.first))

    @property
    def sends(self) -> int:
        """Number of messages written out in the trace; collectives not counted."""
        return int(is_send(self.kind).sum())

    def place(self, operation: int) -> str:
        """Where an operation stands: ``file:line``."""
        return f"{self.source}:{self.line[operation]}"

    def problem(self, operation: int, message: str) -> TraceProblem:
        """A problem with an operation."""
        return TraceProblem(self.place(operation), message)

    def words(self, operation: int) -> str:
        """An operation in words: ``recv from rank 3, tag 7, line 12``."""
        kind, peer, tag = Kind(self.kind[operation]), int(self.peer[operation]), int(self.tag[operation])
        text = WORDS[kind]
        if kind in (Kind.SEND, Kind.SEND_START, Kind.RECEIVE, Kind.RECEIVE_START):
            way = "to" if kind in (Kind.SEND, Kind.SEND_START) else "from"
            text += f" {way} rank {peer}, {_tag_words(tag)}"
        elif kind in ROOTED:
            text += f" with root {peer}"
        return f"{text}, line {self.line[operation]}"

    def same(self, other: Program) -> bool:
        """Whether two programs do the same, whatever file and lines they come from."""
        columns = ("kind", "peer", "amount", "tag", "core", "chained", "first")
        return (
            self.ranks == other.ranks
            and all(np.array_equal(getattr(self, name), getattr(other, name)) for name in columns)
            and all(
                np.array_equal(getattr(self.links, name), getattr(other.links, name))
                for name in ("later", "earlier", "started")
            )
        )


def _tag_words(tag: int) -> str:
    if tag <= COLLECTIVE_TAG:
        return "of a collective"
    return "any tag" if tag == ANY else f"tag {tag}"


class Builder:
    """A program put together operation by operation; what importers and generators use.

    Ranks may come in any order; operations of one rank are kept in the order in which they are added.
    """

    def __init__(self, ranks: int, source: str = "program") -> None:
        self.ranks = ranks
        self.source = source
        self._rows: list[tuple[int, int, int, int, int, int, bool, int]] = []
        self._links: list[tuple[int, int, bool]] = []

    def add(
        self,
        rank: int,
        kind: Kind,
        amount: int = 0,
        peer: int = -1,
        tag: int = 0,
        *,
        core: int = 0,
        chained: bool = True,
        line: int = 0,
    ) -> int:
        """Append an operation to a rank and return its handle."""
        self._rows.append((rank, kind, peer, amount, tag, core, chained, line))
        return len(self._rows) - 1

    def link(self, later: int, earlier: int, started: bool = False) -> None:
        """Make an operation wait for another one of its rank, by handles."""
        self._links.append((later, earlier, started))

    def build(self) -> Program:
        """The program."""
        rows = np.array(self._rows, np.int64).reshape(-1, 8)
        links = np.array(self._links, np.int64).reshape(-1, 3)
        columns = [rows[:, column] for column in range(8)]
        return arrange(self.source, self.ranks, columns, links[:, 0], links[:, 1], links[:, 2].astype(bool))

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self._rows)))


def arrange(
    source: str,
    ranks: int,
    columns: list[Ints],
    later: Ints,
    earlier: Ints,
    started: NDArray[np.bool_],
) -> Program:
    """Sort operations by rank, and links by the operation that waits.

    Parameters
    ----------
    columns
        rank, kind, peer, amount, tag, core, chained and line, each of shape (n,).
    later, earlier, started
        Links, by position in the columns.
    """
    rank, kind, peer, amount, tag, core, chained, line = columns
    if (np.diff(rank) < 0).any():
        order = np.argsort(rank, kind="stable")
        moved = np.empty_like(order)
        moved[order] = np.arange(len(order))
        later, earlier = moved[later], moved[earlier]
        kind, peer, amount, tag, core, chained, line = (
            column[order] for column in (kind, peer, amount, tag, core, chained, line)
        )
    first = np.zeros(ranks + 1, np.int64)
    np.cumsum(np.bincount(rank, minlength=ranks), out=first[1:])
    sorted_links = np.lexsort((started, earlier, later))
    return Program(
        source=source,
        ranks=ranks,
        kind=kind.astype(np.int8),
        peer=peer.astype(np.int32),
        amount=amount.astype(np.int64),
        tag=tag.astype(np.int32),
        core=core.astype(np.int8),
        chained=chained.astype(np.bool_),
        line=line.astype(np.int32),
        first=first,
        links=Links(later[sorted_links], earlier[sorted_links], started[sorted_links]),
    )
