"""``bgsim experiments``, ``datasheet``, ``cures`` and ``schema``: what is known before a run."""

from __future__ import annotations

from typing import Annotated

import typer

from bgsim.cli import completing
from bgsim.cli.failures import guarded, leave
from bgsim.experiment.errors import EXIT_INTERNAL


@guarded
def datasheet(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...",
            autocompletion=completing.parameters,
            help="Parameters, beginnings of names, or patterns in quotes.",
        ),
    ] = None,
    base: Annotated[
        str | None, typer.Option("--base", help="Which machine [default: bgp, or the study's].")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            autocompletion=completing.changed_parameters,
            help="Show it with this change.",
        ),
    ] = None,
    confidence: Annotated[
        list[str] | None,
        typer.Option(
            "--confidence",
            metavar="MARK",
            autocompletion=completing.marks,
            help="Only with this mark, such as G, guesses; or G,C.",
        ),
    ] = None,
    read_by: Annotated[
        str | None,
        typer.Option(
            "--read-by",
            metavar="DIR|RUN",
            help="Only what the runs of this study read, or one run (DIR/ID); they are made again to see it.",
        ),
    ] = None,
) -> None:
    """Print the machine's parameters: value, unit, source, confidence."""
    from bgsim.cli import listing

    print(listing.datasheet(names or (), base, set_ or (), confidence or (), read_by))


@guarded
def cures(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", autocompletion=completing.cures, help="One cure, in full."),
    ] = None,
) -> None:
    """List the cures: changes of kernel, VMM, guest and hardware that experiments can name."""
    from bgsim.cli import cures_text

    print(cures_text.catalogue() if name is None else cures_text.explained(name))


@guarded
def experiments() -> None:
    """List the shipped experiments: what each shows, and about how long it takes."""
    from bgsim.cli import listing

    print(listing.experiments())


@guarded
def schema(
    what: Annotated[
        str,
        typer.Argument(
            metavar="[experiment|topology|metrics|record]",
            autocompletion=completing.schemas,
            help="Which one.",
        ),
    ] = "experiment",
    check: Annotated[
        bool, typer.Option("--check", help="Compare the shipped schema file with what would be generated.")
    ] = False,
) -> None:
    """Print the JSON schema of experiments, topologies or records, or the table of metrics."""
    from bgsim.cli import listing

    if check:
        drift = listing.schema_drift(what)
        if drift:
            leave(EXIT_INTERNAL, f"bgsim: {drift}")
    else:
        print(listing.schema(what))


def add_to(app: typer.Typer, epilog: str) -> None:
    """Put the commands on the command line."""
    for command in (experiments, datasheet, cures, schema):
        app.command(epilog=epilog)(command)
