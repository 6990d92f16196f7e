"""Message traces on disk: which format a file has, reading any of them, and what identifies them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bgsim.traces.errors import refused

if TYPE_CHECKING:
    from bgsim.traces.program import Program

TraceFormat = Literal["auto", "bgsim", "goal", "simgrid"]
Dialect = Literal["auto", "old", "new"]

_HEAD_CHARACTERS = 1 << 14


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What other simulators' traces leave open.

    Attributes
    ----------
    calc_unit_s
        Of a GOAL schedule: what one unit of ``calc`` is, in seconds.
    flops_per_s
        Of a SimGrid trace: how fast a core computes.
    dialect
        Of a SimGrid trace: with tags (``new``) or without.
    """

    calc_unit_s: Fraction = Fraction(1, 10**9)
    flops_per_s: float | None = None
    dialect: Dialect = "auto"


def format_of(path: Path) -> Literal["bgsim", "goal", "simgrid"]:
    """Which format a trace has, from its beginning.

    Raises
    ------
    TraceError
        If it cannot be read.
    """
    from bgsim.traces import goal
    from bgsim.traces.text import opened
    from bgsim.traces.vocabulary import FORMAT

    with opened(path) as file:
        head = file.read(_HEAD_CHARACTERS)
    written = [line.split("#", 1)[0].split() for line in head.splitlines()]
    first = next((words for words in written if words), [])
    if first and first[0] == FORMAT:
        return "bgsim"
    return "goal" if goal.looks_like(head) else "simgrid"


def load(path: Path, trace_format: TraceFormat = "auto", options: ImportOptions | None = None) -> Program:
    """Read a message trace of any format.

    Raises
    ------
    TraceError
        With every problem found, each with file and line.
    """
    from bgsim.traces import goal, simgrid, text
    from bgsim.traces.program import PICOSECONDS

    options = options or ImportOptions()
    chosen = format_of(path) if trace_format == "auto" else trace_format
    if chosen == "bgsim":
        return text.read(path)
    if chosen == "goal":
        unit_ps = options.calc_unit_s * PICOSECONDS
        if unit_ps.denominator != 1 or unit_ps < 1:
            raise refused(str(path), "the unit of calc is not a whole number of picoseconds")
        return goal.read(path, int(unit_ps))
    return simgrid.read(path, options.flops_per_s, options.dialect)


def digest(path: Path, trace_format: TraceFormat = "auto") -> str:
    """SHA-256 of a trace, hexadecimal; of a list of SimGrid traces, of the listed ones.

    Raises
    ------
    TraceError
        If a file cannot be read.
    """
    from bgsim.traces import simgrid

    chosen = format_of(path) if trace_format == "auto" else trace_format
    hashed = hashlib.sha256()
    for each in simgrid.files_of(path) if chosen == "simgrid" else [path]:
        try:
            with each.open("rb") as file:
                while block := file.read(1 << 20):
                    hashed.update(block)
        except OSError as error:
            raise refused(str(each), f"cannot be used: {error.strerror or error}") from None
    return hashed.hexdigest()
