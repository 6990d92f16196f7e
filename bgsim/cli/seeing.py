"""``bgsim report`` and ``bgsim plot``: a study as a page, and as figures for a paper."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bgsim.cli import completing
from bgsim.cli.failures import guarded, leave, say
from bgsim.cli.outputs import output_path
from bgsim.experiment.errors import EXIT_BAD_INPUT

if TYPE_CHECKING:
    from bgsim.experiment.study import Study
    from bgsim.report.chosen_figure import Choice

FORMATS = ("pdf", "svg", "png")
PAGE = "report.html"

StudyArgument = Annotated[Path, typer.Argument(metavar="DIR", help="The directory of a study.")]


def add_to(app: typer.Typer, epilog: str) -> None:
    """Add the commands to the command line."""
    app.command(epilog=epilog)(plot)
    app.command(epilog=epilog)(report)


@guarded
def report(
    directory: StudyArgument,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", parser=output_path, metavar="FILE", help=f"The page [default: DIR/{PAGE}]."
        ),
    ] = None,
) -> None:
    """Write a study as one HTML page that opens offline: numbers, figures, tables, provenance."""
    from bgsim.experiment.study import load_study
    from bgsim.report.page import write_report

    study = load_study(directory)
    target = output or directory / PAGE
    write_report(study, target)
    say(f"report: {target}")


@guarded
def plot(
    directory: Annotated[
        Path | None,
        typer.Argument(metavar="DIR", help="The directory of a study; --list alone needs none."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            parser=output_path,
            metavar="PATH",
            help="A directory for all figures, or the file of a chosen one.",
        ),
    ] = None,
    formats: Annotated[
        list[str] | None, typer.Option("--format", help="pdf, svg or png [default: all three].")
    ] = None,
    listing: Annotated[
        bool,
        typer.Option(
            "--list",
            help="List the figures of the study and the columns that --x, --y, --group and --where can name; "
            "without a study, all figures there are.",
        ),
    ] = False,
    figure: Annotated[
        list[str] | None,
        typer.Option(
            "--figure",
            metavar="NAME",
            autocompletion=completing.figures,
            help="Only this one of the study's figures.",
        ),
    ] = None,
    x: Annotated[
        str | None, typer.Option("--x", metavar="COLUMN", help="To the right: swept, platform or metric.")
    ] = None,
    y: Annotated[
        list[str] | None, typer.Option("--y", metavar="METRIC", help="Upwards; several make several panels.")
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option("--group", metavar="COLUMN", help="A series for each value [default: platform]."),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option("--where", metavar="COLUMN=VALUE", help="Only points with this value."),
    ] = None,
    log: Annotated[str, typer.Option("--log", metavar="x|y|xy", help="Logarithmic axes.")] = "",
    column: Annotated[
        str, typer.Option("--column", metavar="single|double", help="Width in columns of a paper.")
    ] = "single",
) -> None:
    """Draw the figures of a study, or any column of its summary against any other; print their paths."""
    from bgsim.experiment.study import load_study

    if directory is None:
        if not listing:
            leave(
                EXIT_BAD_INPUT, "bgsim: plot needs the directory of a study; --list shows what can be drawn"
            )
        print(_all_figures())
        return
    study = load_study(directory)
    if listing:
        print(f"{_figures(study)}\n\n{_columns(study)}")
        return
    if x is None and y is None:
        if group or where or log or column != "single":
            leave(EXIT_BAD_INPUT, "bgsim: --group, --where, --log and --column belong to --x and --y")
        from bgsim.experiment.store import told
        from bgsim.report.figures import draw_study

        target = output or directory
        with told(target):
            paths = draw_study(study, target, tuple(formats or FORMATS), figure or ())
    else:
        from bgsim.report.chosen_figure import Choice

        if figure:
            leave(
                EXIT_BAD_INPUT, "bgsim: --figure names one of the study's figures; --x and --y make another"
            )
        if x is None or not y:
            leave(EXIT_BAD_INPUT, "bgsim: a chosen figure needs both --x and --y; --list shows the columns")
        choice = Choice(x, tuple(y), tuple(group or ()), _conditions(where or []), log, column)
        paths = _chosen(study, choice, directory, output, formats)
    for path in paths:
        print(path)


def _all_figures() -> str:
    from bgsim.cli.listing import aligned
    from bgsim.report.captions import kinds

    return aligned([("figure", "what is seen"), *kinds()])


def _figures(study: Study) -> str:
    from bgsim.cli.listing import aligned
    from bgsim.report.captions import caption
    from bgsim.report.figures import names_of

    return aligned([("figure", "what is seen"), *((name, caption(name)) for name in names_of(study))])


def _columns(study: Study) -> str:
    from bgsim.cli.listing import aligned
    from bgsim.report.chosen_figure import columns_of
    from bgsim.report.results import Results

    rows = [("column", "kind", "unit", "values")]
    rows += [(each.name, each.kind, each.unit, each.values) for each in columns_of(Results(study))]
    return aligned(rows)


def _conditions(texts: list[str]) -> dict[str, str]:
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            leave(EXIT_BAD_INPUT, f"bgsim: --where {text}: expected COLUMN=VALUE")
        found[name] = value
    return found


def _chosen(
    study: Study, choice: Choice, directory: Path, output: Path | None, formats: list[str] | None
) -> list[Path]:
    from bgsim.experiment.store import told
    from bgsim.report import style
    from bgsim.report.chosen_figure import chosen_figure
    from bgsim.report.results import Results

    name = style.slug(f"{'-'.join(choice.y)} against {choice.x}")
    with style.paper_style():
        figure = chosen_figure(Results(study), choice)
        with told(output or directory):
            if output is not None and output.suffix:
                return [style.save_as(figure, output)]
            return style.save(figure, output or directory, name, tuple(formats or FORMATS))
