"""Import SimGrid's time-independent traces of MPI programs, as SMPI writes and replays them.

One action per line, ``RANK ACTION ARGUMENTS``; all ranks in one file, or a file of file names, one per rank.
Two dialects: since SimGrid 3.20 messages carry a tag (``send DST TAG SIZE [TYPE]``, ``wait SRC DST TAG``);
before, they did not (``send DST SIZE [TYPE]``, ``wait`` for the latest request). Sizes count elements, of
bytes unless a type says otherwise or ``init`` has an argument. Names of actions may be in capitals.

Gather, scatter and the collectives with a vector of sizes become direct messages. What is refused: receives
from any rank and ``test``, which depend on timing; ``comm_split``, since all collectives here are of all
ranks; ``reducescatter``, ``scan`` and ``exscan``. ``location`` says where in the source a call stood and has
no effect. Sources: ``smpi_replay.cpp`` and its examples in github.com/simgrid/simgrid, versions 3.9 to 3.25;
that a tagless ``wait`` means the latest request of either kind is how the later of those versions read it.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from bgsim.spelling import did_you_mean
from bgsim.traces.errors import TraceError, TraceProblem, refused
from bgsim.traces.program import ANY, COLLECTIVE_TAG, PICOSECONDS, Builder, Kind, Program
from bgsim.traces.text import opened
from bgsim.traces.vocabulary import INT32_MAX, INT64_MAX, RANKS_MAX, bounded, shortened

Dialect = Literal["auto", "old", "new"]

TYPE_BYTES = {
    0: 8, 1: 4, 2: 1, 3: 2, 4: 8, 5: 4, 6: 1, 7: 8, 8: 1, 9: 1, 10: 2, 11: 4, 12: 8, 13: 8, 14: 16, 15: 4,
    16: 1, 17: 1, 18: 2, 19: 4, 20: 8, 21: 1, 22: 2, 23: 4, 24: 8, 25: 8, 26: 16, 27: 32, 28: 8, 29: 8,
}  # fmt: skip
"""Bytes of SMPI's numbered types (0 double, 1 int, 2 char ...) on a 64-bit machine, where traces are made."""

_DOUBLE, _BYTE = 0, 6
_RANK = re.compile(r"(?:p|rank-)?(\d+)$")
_POINT_TO_POINT = ("send", "isend", "recv", "irecv")
_PROBLEMS_MAX = 1000
_SHOWN_MAX = 60

_WITHOUT_EFFECT = ("finalize", "comm_size", "comm_dup", "location")
_REFUSED = {
    "test": "what a test finds depends on timing; replace it by a wait where it succeeded",
    "comm_split": "collectives here are of all ranks; a trace with other communicators cannot be replayed",
    "reducescatter": "not supported; write it as a reduce and a scatter",
    "scan": "not supported",
    "exscan": "not supported",
}


def read(path: Path, flops_per_s: float | None, dialect: Dialect = "auto") -> Program:
    """Read a time-independent trace.

    Parameters
    ----------
    path
        The trace, or a file that lists the traces of the ranks.
    flops_per_s
        How fast a core computes; needed if the trace computes anything.
    dialect
        ``new`` has tags; ``auto`` finds out.

    Raises
    ------
    TraceError
        With every line that is not understood or not supported.
    """
    return _Importer(path, flops_per_s, dialect).program()


def files_of(path: Path) -> list[Path]:
    """The files of a trace: itself, or those it lists.

    Raises
    ------
    TraceError
        If a listed file does not exist.
    """
    with opened(path) as file:
        words = next((line.split() for line in file if line.split() and line.strip()[0] != "#"), None)
    if words is None:
        raise refused(str(path), "the file is empty")
    if len(words) > 1 and _RANK.match(words[0]):
        return [path]
    with opened(path) as file:
        names = [(number, line.strip()) for number, line in enumerate(file, 1)]
    found, problems = [], []
    for number, name in names:
        if not name or name.startswith("#"):
            continue
        each = path.parent / name
        if not _is_file(each):
            said = f"'{name[:_SHOWN_MAX]}' is no action (RANK ACTION ...) and no trace file beside this one"
            problems.append(TraceProblem(f"{path}:{number}", said))
        found.append(each)
    if problems:
        raise TraceError(problems)
    return found


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # names that the file system cannot even look up
        return False


class _Importer:
    def __init__(self, path: Path, flops_per_s: float | None, dialect: Dialect) -> None:
        self.path, self.rate = path, flops_per_s
        self.problems: list[TraceProblem] = []
        self.actions = list(self._actions())
        self.ranks = 1 + max((rank for _, rank, _ in self.actions), default=-1)
        self.new = self._is_new(dialect)
        self.builder = Builder(self.ranks, str(path))
        self.default = dict.fromkeys(range(self.ranks), _BYTE)
        self.pending: dict[int, deque[tuple[int, tuple[int, int, int]]]] = defaultdict(deque)
        self.collectives: dict[int, int] = defaultdict(int)
        self.ended: set[int] = set()
        self.place = ""
        self.line = 0

    def problem(self, message: str) -> None:
        if len(self.problems) < _PROBLEMS_MAX:
            self.problems.append(TraceProblem(self.place, message))

    def _actions(self) -> Iterator[tuple[tuple[str, int], int, list[str]]]:
        """Place, rank and words of every action."""
        files = files_of(self.path)
        for path in files:
            with opened(path) as file:
                for number, text in enumerate(file, 1):
                    words = text.split("#", 1)[0].split()
                    if not words:
                        continue
                    self.place = f"{path}:{number}"
                    rank = _RANK.match(words[0])
                    if rank is None or len(words) < 2:
                        self.problem(f"not understood: '{text.strip()}'; expected 'RANK ACTION ...'")
                    elif bounded(rank[1], RANKS_MAX) >= RANKS_MAX:
                        said = f"72 racks with four ranks on each node have {RANKS_MAX:,}"
                        self.problem(f"rank {shortened(rank[1])}: {said}, 0 to {RANKS_MAX - 1}")
                    else:
                        yield (str(path), number), int(rank[1]), words[1:]
        if self.problems:
            raise TraceError(self.problems)

    def _is_new(self, dialect: Dialect) -> bool:
        """Whether messages carry tags; a line that only one dialect can have decides."""
        if dialect != "auto":
            return dialect == "new"
        unsure = None
        for (path, number), _, (action, *words) in self.actions:
            name = action.lower()
            if name == "wait":
                return len(words) == 3
            if name in _POINT_TO_POINT and len(words) != 3:
                return len(words) == 4
            if name in _POINT_TO_POINT:
                if not words[1].lstrip("-").isdigit():
                    return False  # a tag is a whole number, so this is a size and then a type
                if not words[2].isdigit() or int(words[2]) > max(TYPE_BYTES):
                    return True
                unsure = unsure or f"{path}:{number}"
        if unsure:
            said = "with a tag (SimGrid 3.20 and later) or with a type? nothing in the trace tells"
            raise refused(unsure, f"{said}; say which dialect it is, old or new")
        return True

    def program(self) -> Program:
        for (path, number), rank, (name, *words) in self.actions:
            self.place, self.line = f"{path}:{number}", number
            try:
                self._action(rank, name.lower(), words)
            except (ValueError, OverflowError) as error:
                self.problem(f"'{name} {' '.join(words)}' is not understood: {error}")
            except IndexError:
                self.problem(f"'{name} {' '.join(words)}' is not understood: there is too little behind it")
        for rank in range(self.ranks):
            if rank not in self.ended and not self.problems:
                self.place = str(self.path)
                self.problem(f"the trace is cut off: rank {rank} has no 'finalize'")
        if self.problems:
            raise TraceError(self.problems)
        return self.builder.build()

    def _action(self, rank: int, name: str, words: list[str]) -> None:
        if rank in self.ended and name != "finalize":
            self.problem(f"rank {rank} has finalized already")
        if name == "init":
            self.default[rank] = _DOUBLE if words else _BYTE
        elif name == "finalize":
            self.ended.add(rank)
        elif name in _WITHOUT_EFFECT:
            if name == "comm_size" and int(float(words[0])) != self.ranks:
                self.problem(f"a communicator of {words[0]} ranks, and the trace has {self.ranks}")
        elif name in ("compute", "sleep"):
            self._compute(rank, float(words[0]), name == "sleep")
        elif name in _POINT_TO_POINT:
            self._message(rank, name, words)
        elif name == "wait":
            self._wait(rank, words)
        elif name == "waitall":
            waiting = self.builder.add(rank, Kind.WAIT, line=self.line)
            while self.pending[rank]:
                self.builder.link(waiting, self.pending[rank].popleft()[0])
        elif name in _COLLECTIVES:
            _COLLECTIVES[name](self, rank, words)
            self.collectives[rank] += 1
        else:
            known = (*_COLLECTIVES, *_POINT_TO_POINT, "wait", "waitall", "compute", "sleep", "init")
            said = _REFUSED.get(name, f"unknown{did_you_mean(name, known)}")
            self.problem(f"action '{name}': {said}")

    # ---- computation and messages

    def _compute(self, rank: int, amount: float, seconds: bool = False) -> None:
        if not (math.isfinite(amount) and amount >= 0):
            self.problem(f"{amount} is no amount of work")
            return
        if not seconds and self.rate is None and amount:
            self.rate = math.inf  # say it once
            self.problem("the trace computes; say how fast a core does, with flops_per_s (--flops-per-s)")
        kind, rate = (Kind.SLEEP, 1.0) if seconds else (Kind.COMPUTE, self.rate or math.inf)
        time_ps = round(amount / rate * PICOSECONDS)
        if time_ps > INT64_MAX:
            self.problem("longer than 106 days; is the rate right?")
            return
        self.builder.add(rank, kind, time_ps, line=self.line)

    def _message(self, rank: int, name: str, words: list[str]) -> None:
        fewest = 3 if self.new else 2
        if not fewest <= len(words) <= fewest + 1:
            form = "PARTNER TAG SIZE [TYPE]" if self.new else "PARTNER SIZE [TYPE]"
            self.problem(f"'{name}' has the form '{name} {form}' in this dialect")
            return
        receive = name.endswith("recv")
        peer, tag = int(words[0]), int(words[1]) if self.new else 0
        if peer < 0:
            self.problem("a receive from any rank depends on timing; name the rank that it took")
            return
        if tag < 0:
            if not receive:
                self.problem(f"tag {tag}: a send has a tag")
            tag = ANY
        if tag > INT32_MAX:
            self.problem(f"tag {tag} is more than {INT32_MAX}")
            return
        size = float(words[fewest - 1])
        amount = ANY if receive and size <= 0 else self._bytes(rank, size, words[fewest:])
        kind = {
            "send": Kind.SEND, "isend": Kind.SEND_START, "recv": Kind.RECEIVE, "irecv": Kind.RECEIVE_START
        }[name]  # fmt: skip
        handle = self._add(rank, kind, amount, peer, tag)
        if kind in (Kind.SEND_START, Kind.RECEIVE_START):
            key = (peer, rank, tag) if receive else (rank, peer, tag)
            self.pending[rank].append((handle, key))

    def _wait(self, rank: int, words: list[str]) -> None:
        if not self.pending[rank]:
            self.problem("a wait for nothing: no isend or irecv is pending")
            return
        if self.new:
            source, destination, tag = (int(word) for word in words)
            key = (source, destination, max(tag, ANY))
            found = next((entry for entry in self.pending[rank] if entry[1] == key), None)
            if found is None:
                self.problem(f"no isend or irecv from {source} to {destination} with tag {tag} is pending")
                return
        else:
            found = self.pending[rank][-1]
        self.pending[rank].remove(found)
        self.builder.link(self.builder.add(rank, Kind.WAIT, line=self.line), found[0])

    def _bytes(self, rank: int, elements: float, kind: list[str]) -> int:
        number = int(kind[0]) if kind else self.default[rank]
        if number not in TYPE_BYTES:
            self.problem(f"type {number} is not one of MPI's basic types")
            return 0
        size = elements * TYPE_BYTES[number]
        if not 0 <= size <= INT64_MAX:
            self.problem(f"{elements} elements is no size")
            return 0
        return round(size)

    def _add(self, rank: int, kind: Kind, amount: int = 0, peer: int = -1, tag: int = 0) -> int:
        if peer >= self.ranks:
            self.problem(f"rank {peer}: ranks are 0 to {self.ranks - 1}")
            peer = 0
        return self.builder.add(rank, kind, amount, peer, tag, line=self.line)

    # ---- collectives

    def _barrier(self, rank: int, words: list[str]) -> None:
        self._add(rank, Kind.BARRIER)

    def _broadcast(self, rank: int, words: list[str]) -> None:
        root = int(words[1]) if len(words) > 1 else 0
        self._add(rank, Kind.BROADCAST, self._bytes(rank, float(words[0]), words[2:3]), root)

    def _reduce(self, rank: int, words: list[str]) -> None:
        root = int(words[2]) if len(words) > 2 else 0
        self._add(rank, Kind.REDUCE, self._bytes(rank, float(words[0]), words[3:4]), root)
        self._compute(rank, float(words[1]))

    def _allreduce(self, rank: int, words: list[str]) -> None:
        self._add(rank, Kind.ALLREDUCE, self._bytes(rank, float(words[0]), words[2:3]))
        self._compute(rank, float(words[1]))

    def _alltoall(self, rank: int, words: list[str]) -> None:
        self._add(rank, Kind.ALLTOALL, self._bytes(rank, float(words[0]), words[2:3]))

    def _allgather(self, rank: int, words: list[str]) -> None:
        self._add(rank, Kind.ALLGATHER, self._bytes(rank, float(words[0]), words[2:3]))

    def _gather(self, rank: int, words: list[str]) -> None:
        root = int(words[2]) if len(words) > 2 else 0
        size = self._bytes(rank, float(words[0]), words[3:4])
        self._exchange(rank, {root: size}, dict.fromkeys(range(self.ranks), size) if rank == root else {})

    def _scatter(self, rank: int, words: list[str]) -> None:
        root = int(words[2]) if len(words) > 2 else 0
        size = self._bytes(rank, float(words[1]), words[4:5])
        self._exchange(rank, dict.fromkeys(range(self.ranks), size) if rank == root else {}, {root: size})

    def _allgatherv(self, rank: int, words: list[str]) -> None:
        behind = len(words) - self.ranks - 1
        # Nothing, a type, displacements, or a type and displacements; told apart as SMPI's replay does.
        typed = behind <= 2 or behind > self.ranks
        kind = words[self.ranks + 1 : self.ranks + 2] if typed else []
        size = self._bytes(rank, float(words[0]), kind)
        counts = [self._bytes(rank, float(word), kind) for word in words[1 : self.ranks + 1]]
        self._exchange(rank, dict.fromkeys(range(self.ranks), size), dict(enumerate(counts)))

    def _alltoallv(self, rank: int, words: list[str]) -> None:
        if len(words) < 2 * self.ranks + 2:
            raise ValueError(f"two sizes and {self.ranks} counts behind each are expected")
        kinds = words[2 * self.ranks + 2 :]
        sends = [self._bytes(rank, float(word), kinds[:1]) for word in words[1 : self.ranks + 1]]
        begin = self.ranks + 2
        receives = [self._bytes(rank, float(word), kinds[1:2]) for word in words[begin : begin + self.ranks]]
        self._exchange(rank, dict(enumerate(sends)), dict(enumerate(receives)))

    def _exchange(self, rank: int, sends: dict[int, int], receives: dict[int, int]) -> None:
        """Direct messages of a collective, all at once; nothing is sent for a share of no bytes."""
        tag = COLLECTIVE_TAG - self.collectives[rank]
        begun = []
        for step in range(1, self.ranks):
            peer = (rank - step) % self.ranks
            if receives.get(peer, 0):
                begun.append(self._add(rank, Kind.RECEIVE_START, receives[peer], peer, tag))
        for step in range(1, self.ranks):
            peer = (rank + step) % self.ranks
            if sends.get(peer, 0):
                begun.append(self._add(rank, Kind.SEND_START, sends[peer], peer, tag))
        waiting = self.builder.add(rank, Kind.WAIT, line=self.line)
        for handle in begun:
            self.builder.link(waiting, handle)


_COLLECTIVES: dict[str, Callable[[_Importer, int, list[str]], None]] = {
    "barrier": _Importer._barrier,
    "bcast": _Importer._broadcast,
    "reduce": _Importer._reduce,
    "allreduce": _Importer._allreduce,
    "alltoall": _Importer._alltoall,
    "allgather": _Importer._allgather,
    "gather": _Importer._gather,
    "scatter": _Importer._scatter,
    "allgatherv": _Importer._allgatherv,
    "alltoallv": _Importer._alltoallv,
}
