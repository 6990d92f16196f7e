"""``bgsim merge``, ``export``, ``show``, ``rerun`` and ``cite``: what is done with finished records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bgsim.cli.failures import guarded, leave, say
from bgsim.experiment.errors import EXIT_BAD_INPUT, EXIT_INTERNAL

StudyArgument = Annotated[Path, typer.Argument(metavar="DIR", help="The directory of a study.")]
RunArgument = Annotated[
    str,
    typer.Argument(
        metavar="RUN", help="A run id or its beginning, looked for in results/*; or DIR/ID for another study."
    ),
]


@guarded
def merge(
    directory: StudyArgument,
    sources: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[SOURCE]...", help="Studies, or files of records [default: the shards in DIR/shards]."
        ),
    ] = None,
) -> None:
    """Add the records of shards or other studies to a study; runs that both hold are compared."""
    from bgsim.experiment import merge as merging
    from bgsim.experiment.study import load_study

    chosen = sources or merging.shards_of(directory)
    if not chosen:
        leave(EXIT_BAD_INPUT, f"bgsim: {directory}: no shards below it; name the studies to merge")
    merged = merging.merge(directory, chosen, lambda text: say(f"bgsim: {text}"))
    study = load_study(directory)
    if study.records:
        study.write_summary()
    failed = f", {merged.failed} failed" if merged.failed else ""
    print(f"{directory}: {merged.added} runs added, {merged.known} held already{failed}")
    for conflict in merged.conflicts:
        say(f"bgsim: {conflict}")
    if merged.conflicts:
        leave(
            EXIT_INTERNAL,
            f"bgsim: {len(merged.conflicts)} runs have two answers; the first was kept. Repeat one with "
            "bgsim rerun to see which is right",
        )


def add_to(app: typer.Typer, epilog: str) -> None:
    """Put the commands on the command line."""
    for command in (merge,):
        app.command(epilog=epilog)(command)
