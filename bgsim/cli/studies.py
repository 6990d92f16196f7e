"""``bgsim merge``, ``export``, ``show``, ``rerun`` and ``cite``: what is done with finished records."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from bgsim.cli.failures import guarded, leave, say
from bgsim.cli.outputs import output_path
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


@guarded
def export(
    directory: StudyArgument,
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="Ends in .sqlite or .db (all tables), .parquet or .csv (one)."),
    ],
    table: Annotated[
        str, typer.Option("--table", help="Of Parquet and CSV: runs, metrics, exits, attribution or summary.")
    ] = "runs",
) -> None:
    """Write a study as SQLite, Parquet or CSV for other programs."""
    from bgsim.experiment.export import export as write
    from bgsim.experiment.study import load_study

    print(write(load_study(directory), file, table))


@guarded
def show(
    run: RunArgument,
    identity: Annotated[
        bool, typer.Option("--identity", help="The exact text whose SHA-256 begins with the run's id.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="The record as it is stored.")] = False,
) -> None:
    """Print one run: its settings, metrics, exits and where it was computed."""
    from bgsim.experiment.find import find_run

    record, directory = find_run(run)
    if identity:
        from bgsim.experiment.identity import identity_text, run_id

        sys.stdout.write(identity_text(record["config"]))
        if run_id(record["config"]) != record["run_id"]:
            say(
                f"bgsim: hashed today, run {record['run_id']} would be {run_id(record['config'])}: what its "
                "settings stand for has changed since"
            )
    elif json:
        from bgsim.experiment.record import to_line

        sys.stdout.write(to_line(record).decode())
    else:
        from bgsim.cli.record_text import described

        print(described(record, directory))


@guarded
def rerun(run: RunArgument) -> None:
    """Compute a run again from its record, and check that the answer is the same; nothing is stored."""
    from bgsim.cli.progress import seconds
    from bgsim.experiment.find import find_run
    from bgsim.experiment.rerun import rerun as repeat

    record, directory = find_run(run)
    say(f"{directory}: run {record['run_id']}, {record['platform']} ...")
    again, difference = repeat(record)
    wall = seconds(again["provenance"]["wall_s"])
    if difference is not None:
        leave(EXIT_INTERNAL, f"bgsim: run {record['run_id']} is not reproduced: {difference}")
    what = f"{len(record['metrics'])} metrics" if record["status"] == "ok" else "the same failure"
    print(f"run {record['run_id']} is reproduced in {wall}: {what}, equal to the last digit")


@guarded
def cite(
    directory: StudyArgument,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            parser=output_path,
            metavar="DIR",
            help="Write references.bib and references.txt there instead.",
        ),
    ] = None,
    bibtex: Annotated[bool, typer.Option("--bibtex", help="Print BibTeX instead of text.")] = False,
) -> None:
    """Print the bibliography of the models and data a study used."""
    from bgsim.experiment import cite as citing
    from bgsim.experiment.store import told, write_whole
    from bgsim.experiment.study import load_study

    records = load_study(directory).records
    if output is None:
        print((citing.bibtex if bibtex else citing.text)(records), end="")
        return
    with told(output):
        output.mkdir(parents=True, exist_ok=True)
    for name, made in (("references.bib", citing.bibtex), ("references.txt", citing.text)):
        write_whole(output / name, made(records))
        print(output / name)


def add_to(app: typer.Typer, epilog: str) -> None:
    """Put the commands on the command line."""
    for command in (merge, export, show, rerun, cite):
        app.command(epilog=epilog)(command)
