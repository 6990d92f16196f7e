"""``bgsim report``: a study as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bgsim.cli.failures import guarded, say

PAGE = "report.html"

StudyArgument = Annotated[Path, typer.Argument(metavar="DIR", help="The directory of a study.")]


def add_to(app: typer.Typer, epilog: str) -> None:
    """Add the command to the command line."""
    app.command(epilog=epilog)(report)


@guarded
def report(
    directory: StudyArgument,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help=f"The page [default: DIR/{PAGE}]."),
    ] = None,
) -> None:
    """Write a study as one HTML page that opens offline: numbers, figures, tables, provenance."""
    from bgsim.experiment.study import load_study
    from bgsim.report.page import write_report

    study = load_study(directory)
    target = output or directory / PAGE
    write_report(study, target)
    say(f"report: {target}")
