"""The parameter table of the documentation, written from the datasheet so that the two cannot disagree.

``python -m bgsim.datasheet.document`` writes ``docs/reference/parameters.md`` below the current directory;
with ``--check`` it only says whether the file is what it would write.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from bgsim.datasheet import CONFIDENCE, Datasheet, Parameter

__all__ = ["main", "parameter_table"]

_HEADING = """\
# Parameters

Every number the simulator uses about {base} stands here once, with its unit, its source and a mark that says
how far it can be trusted. Any of them may be changed in an experiment
(`machine: {{base: {base}, set: {{NAME: VALUE}}}}`) or on the command line (`--set machine.set.NAME=VALUE`).
The range is where the real value is believed to lie; it does not limit what may be set.

This page is generated: `python -m bgsim.datasheet.document`.
"""


def parameter_table(base: str = "bgp") -> str:
    """The whole datasheet of a machine as a Markdown page.

    Parameters
    ----------
    base
        Name of the machine.

    Returns
    -------
    str
        One table per first word of the parameter names, and the meaning of the confidence marks in use.
    """
    parameters = sorted(Datasheet.load(base).values(), key=lambda parameter: parameter.name.split("."))
    in_use = {parameter.confidence for parameter in parameters}
    parts = [
        _HEADING.format(base=base),
        _table(["Mark", "Meaning", "Parameters"], _marks(parameters, in_use)),
    ]
    for area, members in groupby(parameters, key=lambda parameter: parameter.name.split(".")[0]):
        rows = [_row(parameter) for parameter in members]
        parts.append(f"## {area}\n\n{_table(['Parameter', 'Value', 'Range', 'Mark', 'Source'], rows)}")
    return "\n".join(parts)


def _marks(parameters: list[Parameter], in_use: set[str]) -> Iterable[list[str]]:
    for mark, meaning in CONFIDENCE.items():
        if mark in in_use:
            count = sum(parameter.confidence == mark for parameter in parameters)
            yield [mark, meaning, str(count)]


def _row(parameter: Parameter) -> list[str]:
    bounds = ""
    if parameter.low is not None or parameter.high is not None:
        bounds = " to ".join(
            parameter.show(end) for end in (parameter.low, parameter.high) if end is not None
        )
    if parameter.choices:
        bounds = ", ".join(str(choice) for choice in parameter.choices)
    source = parameter.source
    if parameter.calibrated_on:
        source += f"; calibrated on: {parameter.calibrated_on}"
    if parameter.note:
        source += f". *{parameter.note}*"
    return [f"`{parameter.name}`", parameter.text, bounds, parameter.confidence, source]


def _table(titles: list[str], rows: Iterable[list[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def main(arguments: list[str] | None = None) -> int:
    """Write the page, or with ``--check`` compare it; the exit status is 1 when it has drifted."""
    parser = argparse.ArgumentParser(
        prog="python -m bgsim.datasheet.document", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument(
        "file", nargs="?", type=Path, default=Path("docs/reference/parameters.md"), help="the page"
    )
    parser.add_argument(
        "--check", action="store_true", help="change nothing; fail if the page is not up to date"
    )
    options = parser.parse_args(arguments)
    page = parameter_table()
    if options.check:
        if not options.file.is_file() or options.file.read_text(encoding="utf-8") != page:
            print(
                f"{options.file} is not what the datasheet says; run python -m bgsim.datasheet.document",
                file=sys.stderr,
            )
            return 1
        return 0
    options.file.parent.mkdir(parents=True, exist_ok=True)
    options.file.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
