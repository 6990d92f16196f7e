"""Read and write bgsim's own message traces: one operation per line, described in ``docs/replay.md``.

Reading is streamed: the text of a line is looked up in a :class:`~bgsim.traces.vocabulary.Vocabulary`, and
what remains is a number per line and arrays.
"""

from __future__ import annotations

import gzip
import zlib
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO, cast

import numpy as np
from numpy.typing import NDArray

from bgsim.traces.errors import TraceError, TraceProblem, refused
from bgsim.traces.program import (
    ANY,
    FIRST_COLLECTIVE,
    PICOSECONDS,
    ROOTED,
    WORDS,
    Ints,
    Kind,
    Links,
    Program,
    arrange,
    is_started,
)
from bgsim.traces.vocabulary import (
    BLANK,
    COLUMNS,
    END,
    FORMAT,
    HEADER,
    RANK,
    RANKS,
    VERSION,
    WAIT_ALL,
    WRONG,
    Vocabulary,
    tag_text,
    wrong_ranks,
)

_CHUNK_BYTES = 1 << 22
_PROBLEMS_MAX = 1000
_NOTHING = np.zeros((0, COLUMNS), np.int64)


@contextmanager
def opened(path: Path, mode: str = "r") -> Iterator[TextIO]:
    """A trace file as text, packed with gzip or not.

    Raises
    ------
    TraceError
        If it cannot be read, or is not text.
    """
    try:
        if path.suffix == ".gz":
            with gzip.open(path, mode + "t", encoding="utf-8") as packed:
                yield cast(TextIO, packed)
        else:
            with path.open(mode, encoding="utf-8") as plain:
                yield cast(TextIO, plain)
    except UnicodeDecodeError as error:
        raise refused(str(path), f"not a text file: {error.reason}") from None
    except (EOFError, zlib.error):
        raise refused(str(path), "the packed file is cut off or damaged") from None
    except OSError as error:
        raise refused(str(path), f"cannot be used: {error.strerror or error}") from None


def read(path: Path) -> Program:
    """Read a message trace.

    Parameters
    ----------
    path
        The file; one that ends in ``.gz`` is unpacked.

    Raises
    ------
    TraceError
        With every problem found, each with its line: unknown words, sizes without units, ranks that do not
        exist, labels that stand nowhere, a file that is cut off.
    """
    vocabulary, rows = Vocabulary(), array("i")
    with opened(path) as file:
        while lines := file.readlines(_CHUNK_BYTES):
            rows.extend(map(vocabulary.__getitem__, lines))
    return _Reader(str(path), vocabulary, np.frombuffer(rows, np.int32)).program(path)


def read_text(text: str, source: str = "trace") -> Program:
    """Read a message trace from a string; errors name ``source`` as the file."""
    vocabulary = Vocabulary()
    rows = array("i", map(vocabulary.__getitem__, text.splitlines()))
    return _Reader(source, vocabulary, np.frombuffer(rows, np.int32)).program(None)


class _Reader:
    """Turns rows of a vocabulary, one per line, into a program."""

    def __init__(self, source: str, vocabulary: Vocabulary, rows: NDArray[np.int32]) -> None:
        self.source, self.vocabulary, self.rows = source, vocabulary, rows
        self.problems: list[tuple[int, str, str]] = []
        table = np.frombuffer(vocabulary.table, np.int64).reshape(-1, COLUMNS) if rows.size else _NOTHING
        names = ("kind", "peer", "amount", "tag", "core", "label", "chained", "begun")
        self.table: dict[str, Ints] = {name: table[:, place].copy() for place, name in enumerate(names)}
        self.kind = self.table["kind"][rows]

    def problem(self, line: int, message: str, word: str = "") -> None:
        """Note a problem; lines count from 0 here."""
        if len(self.problems) < _PROBLEMS_MAX:
            self.problems.append((line, message, word))

    def program(self, path: Path | None) -> Program:
        for line in np.flatnonzero(self.kind == WRONG)[:_PROBLEMS_MAX].tolist():
            self.problem(line, *self.vocabulary.wrong[int(self.rows[line])])
        ranks = self.head()
        at = np.flatnonzero(self.kind < WRONG)
        operations = at[(self.kind[at] <= Kind.ALLGATHER) | (self.kind[at] == WAIT_ALL)]
        self.end(len(operations))
        rank = self.ranks_of(operations, ranks)
        self.give_up(path)
        columns = [self.table[name][self.rows[operations]] for name in ("kind", "peer", "amount", "tag")]
        columns += [self.table[name][self.rows[operations]] for name in ("core", "chained")]
        self.check_peers(operations, columns[0], columns[1], ranks)
        later, earlier, since = self.references(operations, rank)
        self.give_up(path)
        columns = [column.astype(np.int64) for column in columns]
        program = arrange(self.source, ranks, [rank, *columns, operations + 1], later, earlier, since)
        self.wait_for_all(program)
        self.give_up(path)
        return program

    def amounts(self, statement: int) -> tuple[list[int], list[int]]:
        """Lines on which a statement stands, and its numbers."""
        lines = np.flatnonzero(self.kind == statement)
        return lines.tolist(), self.table["amount"][self.rows[lines]].tolist() if lines.size else []

    def head(self) -> int:
        """Check the version line and return the number of ranks."""
        written = np.flatnonzero(self.kind != BLANK)
        if not written.size:
            self.problem(0, f"the file is empty; a trace begins with '{FORMAT} {VERSION}'")
            return 0
        lines, versions = self.amounts(HEADER)
        if not lines or lines[0] != written[0]:
            self.problem(int(written[0]), f"a trace begins with the line '{FORMAT} {VERSION}'")
        elif versions[0] != VERSION:
            said = f"version {versions[0]} of the format; this program reads version {VERSION}"
            self.problem(lines[0], said, str(versions[0]))
        for line in lines[1:]:
            self.problem(line, f"'{FORMAT}' stands once, in the first line", FORMAT)
        lines, counts = self.amounts(RANKS)
        for line in lines[1:]:
            self.problem(line, f"the number of ranks stands in line {lines[0] + 1} already", "ranks")
        if not lines:
            self.problem(int(written[0]), "no line says how many ranks there are; write 'ranks N'")
            return 0
        if wrong := wrong_ranks(counts[0]):
            self.problem(lines[0], wrong, str(counts[0]))
        return counts[0]

    def end(self, operations: int) -> None:
        """Check that the file is whole."""
        lines, counts = self.amounts(END)
        written = np.flatnonzero(self.kind != BLANK)
        if not lines:
            last = int(written[-1]) if written.size else 0
            said = f"the file is cut off: it ends without 'end COUNT' after {operations} operations"
            self.problem(last, said)
            return
        if counts[0] != operations and WRONG not in self.kind:
            said = (
                f"{counts[0]} operations are announced and {operations} are here: lines are missing or added"
            )
            self.problem(lines[0], said, str(counts[0]))
        if lines[0] != written[-1]:
            self.problem(lines[0] + 1, f"there is more behind the end in line {lines[0] + 1}")

    def ranks_of(self, operations: Ints, ranks: int) -> Ints:
        """Rank of each operation: that of the last 'rank' line above it."""
        lines = np.flatnonzero(self.kind == RANK)
        numbers = self.table["amount"][self.rows[lines]] if lines.size else np.zeros(0, np.int64)
        for line, number in zip(lines.tolist(), numbers.tolist(), strict=True):
            if number >= ranks > 0:
                self.problem(line, f"rank {number}: ranks are 0 to {ranks - 1}", str(number))
        place = np.searchsorted(lines, operations) - 1
        if (place < 0).any():
            self.problem(int(operations[0]), "whose operation? a 'rank' line comes first")
            return np.zeros(len(operations), np.int64)
        return np.asarray(numbers[place], np.int64) if lines.size else np.zeros(len(operations), np.int64)

    def check_peers(self, operations: Ints, kind: NDArray[Any], peer: NDArray[Any], ranks: int) -> None:
        for position in np.flatnonzero((peer >= ranks) & (kind != WAIT_ALL))[:_PROBLEMS_MAX].tolist():
            number = int(peer[position])
            self.problem(int(operations[position]), f"rank {number}: ranks are 0 to {ranks - 1}", str(number))

    def references(self, operations: Ints, rank: Ints) -> tuple[Ints, Ints, NDArray[np.bool_]]:
        """Links by label: to the nearest operation above, on the same rank, that bears it."""
        rows, count, labels = self.rows[operations], len(operations), max(1, len(self.vocabulary.labels))
        first = np.append(self.table["begun"], len(self.vocabulary.reference))
        references = np.array(self.vocabulary.reference, np.int64)
        many = first[rows + 1] - first[rows]
        later = np.repeat(np.arange(count), many)
        inside = np.arange(len(later)) - np.repeat(np.cumsum(many) - many, many)
        where = first[rows][later] + inside
        if not later.size:
            return later, later, np.zeros(0, np.bool_)
        named = references[where]
        labelled = np.flatnonzero(self.table["label"][rows] >= 0)
        names = rank[labelled] * labels + self.table["label"][rows[labelled]]
        known, dense = np.unique(names, return_inverse=True)
        order = np.argsort(dense * count + labelled)
        keys = (dense * count + labelled)[order]
        wanted = rank[later] * labels + named
        spot = np.minimum(np.searchsorted(known, wanted), max(0, len(known) - 1))
        found = known[spot] == wanted if len(known) else np.zeros(len(wanted), np.bool_)
        place = np.searchsorted(keys, spot * count + later) - 1
        inside_group = found & (place >= 0)
        inside_group[inside_group] &= dense[order][place[inside_group]] == spot[inside_group]
        texts = list(self.vocabulary.labels) if not inside_group.all() else []
        for miss in np.flatnonzero(~inside_group)[:_PROBLEMS_MAX].tolist():
            said = f"rank {rank[later[miss]]} has no operation '{texts[named[miss]]}' above this line"
            self.problem(int(operations[later[miss]]), said, texts[named[miss]])
        earlier = labelled[order][np.where(inside_group, place, 0)] if len(labelled) else np.zeros_like(later)
        since = np.array(self.vocabulary.since, np.bool_)[where]
        kind = self.table["kind"][rows]
        strange = inside_group & (kind[later] == Kind.WAIT) & ~is_started(kind[earlier])
        for miss in np.flatnonzero(strange)[:_PROBLEMS_MAX].tolist():
            line = int(operations[earlier[miss]]) + 1
            said = f"line {line} is no isend and no irecv; to depend on other operations write 'after'"
            self.problem(int(operations[later[miss]]), said)
        return later, earlier, since

    def wait_for_all(self, program: Program) -> None:
        """Turn each waitall into a wait for what its rank has started and not waited for."""
        kind, links = program.kind, program.links
        alls = np.flatnonzero(kind == WAIT_ALL)
        begun = np.flatnonzero(is_started(kind))
        waited = kind[links.later] == Kind.WAIT
        targets, waits = links.earlier[waited], links.later[waited]
        closing = np.append(alls, program.size)[np.searchsorted(alls, begun)]
        closing = np.where(closing < program.first[program.rank[begun] + 1], closing, program.size)
        closed_by = np.full(program.size, program.size)
        closed_by[begun] = closing
        order = np.argsort(targets, kind="stable")
        twice = np.zeros(len(targets), np.bool_)
        twice[order[1:]] = targets[order[1:]] == targets[order[:-1]]
        late = (closed_by[targets] < waits) | twice
        for miss in np.flatnonzero(late)[:_PROBLEMS_MAX].tolist():
            begun_at = program.line[targets[miss]]
            said = f"the operation of line {begun_at} has been waited for already"
            self.problem(int(program.line[waits[miss]]) - 1, said)
        closed_by[targets] = np.where(waits < closed_by[targets], program.size, closed_by[targets])
        all_of = closed_by[begun] < program.size
        later = np.concatenate([links.later, closed_by[begun][all_of]])
        earlier = np.concatenate([links.earlier, begun[all_of]])
        started = np.concatenate([links.started, np.zeros(int(all_of.sum()), np.bool_)])
        sorted_links = np.lexsort((started, earlier, later))
        program.links = Links(later[sorted_links], earlier[sorted_links], started[sorted_links])
        kind[alls] = Kind.WAIT

    def give_up(self, path: Path | None) -> None:
        """Raise if there are problems; only now is the text of their lines looked at again."""
        if not self.problems:
            return
        self.problems.sort(key=lambda problem: problem[0])
        texts = _lines_of(path, {line for line, _, word in self.problems if word}) if path else {}
        found = []
        for line, message, word in self.problems:
            text = texts.get(line, "")
            column = text.find(word) + 1 if word and word in text else 0
            place = f"{self.source}:{line + 1}" + (f":{column}" if column else "")
            found.append(TraceProblem(place, message))
        raise TraceError(found)


def _lines_of(path: Path, wanted: set[int]) -> dict[int, str]:
    if not wanted:
        return {}
    last, texts = max(wanted), {}
    with opened(path) as file:
        for line, text in enumerate(file):
            if line in wanted:
                texts[line] = text
            if line >= last:
                break
    return texts


def write(program: Program, path: Path) -> None:
    """Write a program as a message trace; a path that ends in ``.gz`` is packed.

    Raises
    ------
    TraceError
        If the file cannot be written.
    """
    with opened(path, "w") as file:
        file.writelines(f"{line}\n" for line in lines(program))


def lines(program: Program) -> Iterator[str]:
    """The lines of a message trace, without their ends."""
    yield f"{FORMAT} {VERSION}"
    yield f"ranks {program.ranks}"
    named = _labels(program)
    links = program.links
    first_link = np.searchsorted(links.later, np.arange(program.size + 1)).tolist()
    earlier, since = links.earlier.tolist(), links.started.tolist()
    columns = (program.kind, program.peer, program.amount, program.tag, program.core, program.chained)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    start = set(program.first.tolist())
    ranks = iter(np.flatnonzero(np.diff(program.first)).tolist())
    pending: set[int] = set()
    for operation, (kind, peer, amount, tag, core, chained) in enumerate(rows):
        if operation in start:
            pending.clear()
            yield ""
            yield f"rank {next(ranks)}"
        label = f"{named[operation]}: " if operation in named else ""
        some = slice(first_link[operation], first_link[operation + 1])
        if kind == Kind.WAIT:
            targets = earlier[some]
            whole = len(targets) == len(pending) and pending.issuperset(targets)
            pending.difference_update(targets)
            yield label + ("waitall" if whole else "wait " + " ".join(named[target] for target in targets))
            continue
        if kind in (Kind.SEND_START, Kind.RECEIVE_START):
            pending.add(operation)
        text = label + _line(kind, peer, amount, tag) + (f" core {core}" if core else "")
        if not chained:
            begun = [named[e] for e, s in zip(earlier[some], since[some], strict=True) if s]
            after = [named[e] for e, s in zip(earlier[some], since[some], strict=True) if not s]
            text += f" after {' '.join(after)}" if after or not begun else ""
            text += "start" if not after and not begun else ""
            text += f" since {' '.join(begun)}" if begun else ""
        yield text
    yield ""
    yield f"end {program.size}"


def _labels(program: Program) -> dict[int, str]:
    """Labels for the operations that some line must name; each rank counts from 1."""
    links = program.links
    plain = links.earlier[program.kind[links.later] != Kind.WAIT]
    needed = np.unique(np.concatenate([plain, _picked(program)]))
    rank = program.rank[needed]
    numbers = needed - program.first[rank] + 1
    return {o: f"o{n}" for o, n in zip(needed.tolist(), numbers.tolist(), strict=True)}


def _picked(program: Program) -> Ints:
    """Operations that a wait names one by one, as it leaves others of its rank pending."""
    links, kind = program.links, program.kind
    waited = kind[links.later] == Kind.WAIT
    waits, targets = links.later[waited], links.earlier[waited]
    begun = np.flatnonzero(is_started(kind))
    closed = np.full(program.size, program.size)
    closed[targets] = waits
    rank = program.rank
    every = np.flatnonzero(kind == Kind.WAIT)
    opened = np.searchsorted(begun, every) - np.searchsorted(begun, program.first[rank[every]])
    ends = np.sort(rank[begun] * (program.size + 1) + closed[begun])
    first = np.searchsorted(ends, rank[every] * (program.size + 1))
    shut = np.searchsorted(ends, rank[every] * (program.size + 1) + every, side="right") - first
    partial = every[opened != shut]
    return np.asarray(targets[np.isin(waits, partial)], np.int64)


def _line(kind: int, peer: int, amount: int, tag: int) -> str:
    text = WORDS[Kind(kind)]
    if kind in (Kind.COMPUTE, Kind.SLEEP):
        return f"{text} {_time_text(amount)}"
    if kind == Kind.COMPUTE_CYCLES:
        return f"{text} {amount}cycles"
    if kind < FIRST_COLLECTIVE:
        text += f" {peer} " + ("any" if amount == ANY else f"{amount}B")
        return text + (f" tag {tag_text(tag)}" if tag else "")
    if kind == Kind.BARRIER:
        return text
    return f"{text} {amount}B" + (f" root {peer}" if kind in ROOTED and peer else "")


def _time_text(picoseconds: int) -> str:
    for unit, scale in (("s", PICOSECONDS), ("ms", 10**9), ("us", 10**6), ("ns", 10**3)):
        if picoseconds % scale == 0:
            return f"{picoseconds // scale}{unit}"
    return f"{picoseconds}ps"
