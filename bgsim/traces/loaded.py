"""Traces that this process has read and matched: each is read once, however many points use it."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from bgsim.traces.files import ImportOptions, TraceFormat, load
from bgsim.traces.matching import check_collectives, match
from bgsim.traces.program import Program


@lru_cache(maxsize=4)
def checked(path: Path, trace_format: TraceFormat, options: ImportOptions, digest: str) -> Program:
    """A trace in which every message has its receive, and all ranks call the same collectives.

    Parameters
    ----------
    path, trace_format, options
        As :func:`bgsim.traces.files.load` takes them.
    digest
        Of the file, so that a changed one is read again.

    Raises
    ------
    TraceError
        With every problem found.
    """
    program = load(path, trace_format, options)
    match(program)
    check_collectives(program)
    return program
