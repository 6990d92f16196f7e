"""``bgsim trace``: what every part of the machine does within a window of simulated time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from bgsim.cli import completing
from bgsim.cli.failures import guarded, leave, say
from bgsim.cli.outputs import output_path
from bgsim.experiment.errors import EXIT_BAD_INPUT

WINDOW_DEFAULT = "1 ms"


def add_to(app: typer.Typer, epilog: str) -> None:
    """Add the command to the command line."""
    app.command(epilog=epilog)(trace)


@guarded
def trace(
    what: Annotated[
        str,
        typer.Argument(
            metavar="EXPERIMENT|DIR",
            autocompletion=completing.experiments,
            help="A YAML file, a shipped experiment, or a study.",
        ),
    ],
    run: Annotated[
        str | None,
        typer.Argument(metavar="[RUN]", help="A run id or its beginning [default: a virtualised run]."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            parser=output_path,
            metavar="FILE",
            help=".json, .pftrace, .pdf, ... [default: timeline-RUN.json here].",
        ),
    ] = None,
    begin: Annotated[
        str, typer.Option("--from", metavar="TIME", help="Where the window begins in simulated time.")
    ] = "0 s",
    end: Annotated[
        str | None,
        typer.Option("--to", metavar="TIME", help=f"Where it ends [default: {WINDOW_DEFAULT} after --from]."),
    ] = None,
    events_max: Annotated[
        int | None, typer.Option("--max-events", min=1, help="Slices at which the window is closed early.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="PATH=VALUE",
            autocompletion=completing.changes,
            help="Of an experiment: change one setting.",
        ),
    ] = None,
    smoke: Annotated[bool, typer.Option("--smoke", help="Of an experiment: its reduced form.")] = False,
) -> None:
    """Write a timeline of one run: cores, microkernel, VMM, links; arrows follow messages and packets."""
    from bgsim.report.timeline import EVENTS_MAX
    from bgsim.report.timeline_files import check_suffix, write
    from bgsim.report.timeline_run import record_timeline

    run_id, label, config = _chosen(what, run, set_ or [], smoke)
    target = output or Path(f"timeline-{run_id}.json")
    check_suffix(target)
    first, last = _window(config, begin, end)
    timeline = record_timeline(config, label, first, last, events_max or EVENTS_MAX)
    from bgsim.experiment.store import told

    with told(target):
        count = write(timeline, target)
    frequency = timeline.frequency_hz
    span = f"{1e3 * timeline.begin / frequency:.6g} ms to {1e3 * timeline.end / frequency:.6g} ms"
    say(f"{target}: {label}: {count:,} slices on {len(timeline.tracks)} tracks, {span}")
    if timeline.full:
        say(f"bgsim: closed early, at {timeline.events_max - 1:,} slices; move --from, or raise --max-events")


def _chosen(
    what: str, run: str | None, settings: list[str], smoke: bool
) -> tuple[str, str, Mapping[str, Any]]:
    """Id, words and configuration of the run that is meant."""
    from bgsim.report.results import point_label
    from bgsim.report.run_choice import find_run

    directory = Path(what)
    if directory.is_dir():
        from bgsim.experiment.study import load_study

        if settings or smoke:
            leave(
                EXIT_BAD_INPUT,
                "bgsim: --set and --smoke are of experiments; the runs of a study are as they were",
            )
        records = load_study(directory).records
    else:
        from bgsim.experiment.plan import load

        plan = load(what, settings, smoke=smoke)
        records = [
            {
                "run_id": planned.run_id,
                "experiment": planned.experiment,
                "platform": planned.config["platform"],
                "point": dict(planned.point),
                "replication": planned.config["replication"],
                "config": planned.config,
            }
            for planned in plan.runs
        ]
    record = find_run(records, run)
    words = [record["experiment"], point_label(record["point"], list(record["point"])), record["platform"]]
    label = ", ".join(str(word) for word in words if word)
    return record["run_id"], label, record["config"]


def _window(config: Mapping[str, Any], begin: str, end: str | None) -> tuple[int, int]:
    from bgsim.experiment.identity import machines
    from bgsim.units import parse, to_cycles

    frequency = machines(config)[0].integer("core.frequency")
    first = to_cycles(parse(begin, "time"), frequency, "nearest")
    length = to_cycles(parse(WINDOW_DEFAULT, "time"), frequency, "nearest")
    last = first + length if end is None else to_cycles(parse(end, "time"), frequency, "nearest")
    if not 0 <= first < last:
        leave(EXIT_BAD_INPUT, f"bgsim: the window has no length: --from {begin} --to {end}")
    return first, last
