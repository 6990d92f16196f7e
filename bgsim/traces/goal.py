"""Import LogGOPSim's schedules in the textual Group Operation Assembly Language (GOAL).

A rank is a graph, not a list: an operation starts when those it *requires* are complete and those it
*irequires* have started, and operations without requirements start at once. ``cpu`` is a core of the rank.
Matching follows the order of lines, but an operation comes behind what it requires, which may stand below it.
LogGOPSim matches in the order of time, whatever the sizes; matching here does not depend on timing, and the
two differ where messages of one tag overtake the order of lines. Give such messages tags of their own.

Source: the grammar of LogGOPSim's ``txt2bin`` (github.com/spcl/LogGOPSim), the schedules beside it. What the
grammar has and this importer refuses: receives from any rank, which depend on timing; a second ``nic``, since
a node has one DMA engine; more cores than a node has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bgsim.traces.errors import TraceError, TraceProblem
from bgsim.traces.program import ANY, Builder, Kind, Program
from bgsim.traces.text import opened
from bgsim.traces.vocabulary import (
    CORES_MAX,
    INT32_MAX,
    INT64_MAX,
    bounded,
    shortened,
    wrong_ranks,
)

_LABEL = r"[A-Za-z][A-Za-z0-9_]*"
_MESSAGE = re.compile(
    rf"(?:(?P<label>{_LABEL})\s*:\s*)?(?P<what>send|recv)\s+(?P<size>\d+)\s*b\s+(?P<way>to|from)\s+"
    r"(?P<peer>-?\d+)(?:\s+tag\s+(?P<tag>-?\d+))?(?:\s+cpu\s+(?P<cpu>\d+))?(?:\s+nic\s+(?P<nic>\d+))?$"
)
_CALC = re.compile(rf"(?:(?P<label>{_LABEL})\s*:\s*)?calc\s+(?P<size>\d+)(?:\s+cpu\s+(?P<cpu>\d+))?$")
_NEEDS = re.compile(rf"(?P<later>{_LABEL})\s+(?P<word>i?requires)\s+(?P<earlier>{_LABEL})$")
_RANK = re.compile(r"rank\s+(\d+)\s*\{")
_RANKS = re.compile(r"num_ranks\s+(\d+)")
_PROBLEMS_MAX = 1000
_EXPECTED = (
    "expected 'send SIZEb to RANK', 'recv SIZEb from RANK' or 'calc TIME', with a label and "
    "'tag', 'cpu', or 'LABEL requires LABEL', 'LABEL irequires LABEL'"
)


def looks_like(head: str) -> bool:
    """Whether the beginning of a file is a GOAL schedule."""
    return _RANKS.search(head) is not None


@dataclass(slots=True)
class _Operation:
    kind: Kind
    amount: int
    peer: int
    tag: int
    cpu: int
    line: int


@dataclass(slots=True)
class _Section:
    """Operations of one rank, and requirements between them by position."""

    operations: list[_Operation] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)
    needs: list[tuple[int, int, bool]] = field(default_factory=list)


def read(path: Path, calc_unit_ps: int) -> Program:
    """Read a GOAL schedule.

    Parameters
    ----------
    path
        The file.
    calc_unit_ps
        What one unit of a ``calc`` is, in picoseconds.

    Raises
    ------
    TraceError
        With every line that is not understood or not supported; for a file that is cut off, labels that do
        not exist, and requirements in a circle.
    """
    return _Importer(path, calc_unit_ps).program()


def _signed(text: str) -> int:
    """A number with a sign or without, whose size stops at one more than a field of 32 bits holds."""
    return -bounded(text[1:], INT32_MAX) if text[0] == "-" else bounded(text, INT32_MAX)


class _Importer:
    def __init__(self, path: Path, calc_unit_ps: int) -> None:
        self.path, self.unit = path, calc_unit_ps
        self.problems: list[TraceProblem] = []
        self.sections: dict[int, _Section] = {}
        self.ranks = 0
        self.here: _Section | None = None
        self.line = 0

    def problem(self, message: str, line: int = 0) -> None:
        if len(self.problems) < _PROBLEMS_MAX:
            self.problems.append(TraceProblem(f"{self.path}:{line or self.line}", message))

    def program(self) -> Program:
        for statement in self.statements():
            self.statement(statement)
        if self.here is not None:
            self.problem("the file is cut off: the last rank's section is not closed with '}'")
        elif not self.ranks:
            self.problem("a schedule begins with 'num_ranks N'", 1)
        missing = [rank for rank in range(self.ranks) if rank not in self.sections]
        if missing and not self.problems:
            said = f"{len(missing)} of {self.ranks} ranks have no section, the first is rank {missing[0]}"
            self.problem(f"the file is cut off: {said}")
        builder = Builder(self.ranks, str(self.path))
        for rank, section in self.sections.items():
            self.build(builder, rank, section)
        if self.problems:
            raise TraceError(self.problems)
        return builder.build()

    def statements(self) -> Iterator[str]:
        """Statements without comments; a bracket may share a line with others."""
        inside = False
        with opened(self.path) as file:
            for text in file:
                self.line += 1
                line = text
                if inside:
                    if "*/" not in line:
                        continue
                    line, inside = line.split("*/", 1)[1], False
                if "/" in line:
                    line = re.sub(r"/\*.*?\*/", " ", line).split("//", 1)[0]
                    if "/*" in line:
                        line, inside = line.split("/*", 1)[0], True
                for part in (
                    re.split(r"(?<=\{)|(?=\})|(?<=\})|;", line) if "{" in line or "}" in line else (line,)
                ):
                    statement = part.strip().rstrip(";")
                    if statement:
                        yield statement
        if inside:
            self.problem("the file is cut off inside a comment")

    def statement(self, text: str) -> None:
        if found := _MESSAGE.match(text):
            self.message(found)
        elif found := _CALC.match(text):
            time_ps = self.unit * bounded(found["size"], INT64_MAX)
            if time_ps > INT64_MAX:
                self.problem(f"calc {shortened(found['size'])} is longer than 106 days")
                time_ps = 0
            self.add(found["label"], _Operation(Kind.COMPUTE, time_ps, -1, 0, 0, 0), found["cpu"])
        elif found := _NEEDS.match(text):
            self.requirement(found["later"], found["earlier"], found["word"] == "irequires")
        elif text == "}":
            if self.here is None:
                self.problem("'}' closes nothing")
            self.here = None
        elif found := _RANK.fullmatch(text):
            self.section(bounded(found[1], INT32_MAX))
        elif found := _RANKS.fullmatch(text):
            if self.ranks:
                self.problem("num_ranks stands once")
            self.ranks = bounded(found[1], INT64_MAX)
            if wrong := wrong_ranks(self.ranks):
                self.problem(wrong)
                raise TraceError(self.problems)
        else:
            self.problem(f"not understood: '{text}'; {_EXPECTED}")

    def section(self, rank: int) -> None:
        if self.here is not None:
            self.problem("the section before is not closed with '}'")
        if rank >= self.ranks:
            self.problem(f"rank {rank}: ranks are 0 to {self.ranks - 1}")
        if rank in self.sections:
            self.problem(f"rank {rank} has a section already")
        self.here = self.sections[rank] = _Section()

    def message(self, found: re.Match[str]) -> None:
        send, size = found["what"] == "send", bounded(found["size"], INT64_MAX)
        peer, tag = (_signed(found[name] or "0") for name in ("peer", "tag"))
        if (found["way"] == "to") != send:
            self.problem("a send goes 'to' a rank, a recv comes 'from' one")
        if peer < 0:
            self.problem(
                "a receive from any rank depends on timing; name the rank that it took in the traced run"
            )
        elif peer >= self.ranks:
            self.problem(f"rank {peer}: ranks are 0 to {self.ranks - 1}")
        if tag < 0 and (send or tag != ANY):
            self.problem(f"tag {tag}: a send has a tag, and a receive one or -1 for any")
        if tag > INT32_MAX:
            self.problem(f"tag {tag} is more than {INT32_MAX}")
        if size > INT64_MAX:
            self.problem(f"{shortened(found['size'])} b is more than 8 EiB")
        if bounded(found["nic"] or "0", INT32_MAX):
            self.problem(f"nic {shortened(found['nic'])}: a node has one DMA engine, nic 0")
        kind = Kind.SEND_START if send else Kind.RECEIVE_START
        self.add(found["label"], _Operation(kind, min(size, INT64_MAX), peer, tag, 0, 0), found["cpu"])

    def add(self, label: str | None, operation: _Operation, cpu: str | None) -> None:
        operation.cpu, operation.line = bounded(cpu or "0", CORES_MAX), self.line
        if cpu is not None and operation.cpu >= CORES_MAX:
            self.problem(f"cpu {shortened(cpu)}: a node has {CORES_MAX} cores, 0 to {CORES_MAX - 1}")
        if self.here is None:
            self.problem("outside of a rank's section: 'rank N {' comes first")
            return
        if label is not None:
            if label in self.here.labels:
                before = self.here.operations[self.here.labels[label]].line
                self.problem(f"label '{label}' stands in line {before} already")
            self.here.labels[label] = len(self.here.operations)
        self.here.operations.append(operation)

    def requirement(self, later: str, earlier: str, started: bool) -> None:
        if self.here is None:
            self.problem("outside of a rank's section: 'rank N {' comes first")
            return
        unknown = [label for label in (later, earlier) if label not in self.here.labels]
        for label in unknown:
            self.problem(f"no operation above bears the label '{label}'")
        if not unknown:
            self.here.needs.append((self.here.labels[later], self.here.labels[earlier], started))

    def build(self, builder: Builder, rank: int, section: _Section) -> None:
        """Add a rank's operations in the order of lines, each behind those it requires."""
        count = len(section.operations)
        required: list[list[int]] = [[] for _ in range(count)]
        for later, earlier, _ in section.needs:
            required[later].append(earlier)
        for needs in required:
            needs.sort(reverse=True)
        handles: dict[int, int] = {}
        opened: set[int] = set()
        waiting = list(reversed(range(count)))
        while waiting:
            place = waiting[-1]
            if place in handles:
                waiting.pop()
                continue
            missing = [each for each in required[place] if each not in handles]
            if not missing:
                one = section.operations[waiting.pop()]
                handles[place] = builder.add(
                    rank, one.kind, one.amount, one.peer, one.tag, core=one.cpu, chained=False, line=one.line
                )
            elif place in opened:  # what it requires has been looked at, and requires it in turn
                self.problem("requires, over others, itself", section.operations[place].line)
                return
            else:
                opened.add(place)
                waiting.extend(missing)
        for later, earlier, started in dict.fromkeys(section.needs):
            builder.link(handles[later], handles[earlier], started)
