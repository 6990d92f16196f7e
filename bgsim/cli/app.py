"""The commands."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bgsim.cli import (
    completing,
    executing,
    exploring,
    looking_up,
    messages,
    seeing,
    studies,
    timeline,
    topology,
    versions,
)
from bgsim.cli.failures import guarded, leave, say
from bgsim.cli.outputs import output_path
from bgsim.experiment.errors import EXIT_BAD_INPUT, EXIT_INTERNAL, EXIT_RUN_FAILED

if TYPE_CHECKING:
    from bgsim.experiment.plan import Experiment
    from bgsim.experiment.study import Study

EXIT_CODES = (
    "Exit codes: 0 all is well; 1 a fault of bgsim, or a generated file drifted; 2 bad input, nothing was "
    "simulated; 3 a run failed; 4 the study's directory cannot be used (in use, not writable, full disk); "
    "5 the cluster cannot be used or was lost; 6 something changed (diff --exit-code); 130 stopped with "
    "Ctrl-C."
)

app = typer.Typer(
    help="What an operating-system design costs on a Blue Gene/P: bare metal, L4, virtual machine.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    rich_markup_mode=None,  # rich would double the time --help takes
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ExperimentArgument = Annotated[
    str,
    typer.Argument(
        metavar="EXPERIMENT",
        autocompletion=completing.experiments,
        help="A YAML file, or a shipped experiment: bgsim experiments lists them.",
    ),
]
StudyArgument = Annotated[Path, typer.Argument(metavar="DIR", help="The directory of a study.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        autocompletion=completing.changes,
        help="Change one setting, such as workload.program=gcc12.",
    ),
]
SmokeOption = Annotated[bool, typer.Option("--smoke", help="The experiment's reduced form, done in seconds.")]
SeedOption = Annotated[int | None, typer.Option("--seed", min=0, help="Replaces the experiment's seed.")]


@app.command(epilog=EXIT_CODES)
@guarded
def run(
    experiment: ExperimentArgument,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            parser=output_path,
            metavar="DIR",
            help="Where the study is kept [default: results/NAME].",
        ),
    ] = None,
    set_: SetOption = None,
    seed: SeedOption = None,
    workers: executing.WorkersOption = None,
    executor: executing.ExecutorOption = "local",
    scheduler: executing.SchedulerOption = None,
    profile: executing.ProfileOption = None,
    shard: executing.ShardOption = None,
    smoke: SmokeOption = False,
    figures: Annotated[bool, typer.Option(help="Draw the figures too.")] = True,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on standard error.")] = False,
) -> None:
    """Run an experiment, or what is missing of it; print the comparison, write summary and figures."""
    from bgsim.cli.progress import watch_for
    from bgsim.experiment.driver import run_experiment
    from bgsim.experiment.executors.shard import read_shard
    from bgsim.experiment.plan import load

    part = read_shard(shard) if shard is not None else None
    plan = load(experiment, set_ or (), smoke=smoke, seed=seed)
    directory = output or plan.directory
    watch = watch_for(plan.name, str(directory), quiet)
    for remark in plan.remarks:
        watch.note(remark)
    with executing.opened(executor, scheduler, profile, workers) as crew:
        study = run_experiment(plan, directory, watch=watch, executor=crew, shard=part)
    for remark in study.remarks() if part is None else ():
        watch.note(remark)
    for section in ("sensitivity", "calibrate"):
        if getattr(plan, section) is not None:
            watch.note(f"its section '{section}' is for: bgsim {section} {experiment}")
    if part is not None:
        say(f"shard {part}: {study.directory}; when all shards are there: bgsim merge {directory}")
    elif study.records:
        _print_comparison(study)
        if not quiet and not study.read_only:
            say(f"summary: {directory / 'summary.csv'}")
        if figures and not study.read_only:
            drawn = _draw(study, directory, ("pdf", "svg", "png"))
            if drawn and not quiet:
                say(f"figures: {', '.join(dict.fromkeys(str(path.with_suffix('')) for path in drawn))}")
    _report_failures(study, plan)


@app.command(epilog=EXIT_CODES)
@guarded
def check(
    experiment: ExperimentArgument,
    set_: SetOption = None,
    seed: SeedOption = None,
    smoke: SmokeOption = False,
) -> None:
    """Check an experiment and its smoke form; nothing is simulated."""
    from bgsim.cli import checking

    checking.check(checking.Wanted(experiment, set_, seed, smoke))


@app.command(epilog=EXIT_CODES)
@guarded
def plan(
    experiment: ExperimentArgument,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            parser=output_path,
            metavar="DIR",
            help="Where the study is [default: results/NAME].",
        ),
    ] = None,
    set_: SetOption = None,
    seed: SeedOption = None,
    smoke: SmokeOption = False,
    workers: executing.WorkersOption = None,
    shard: executing.ShardOption = None,
    like: Annotated[
        list[Path] | None,
        typer.Option(
            "--like", metavar="DIR", help="Another study whose timings count, such as a smaller one."
        ),
    ] = None,
    points: Annotated[bool, typer.Option(help="List every point.")] = True,
) -> None:
    """Show the points of an experiment, how much is done, and what time and memory the rest will take."""
    from bgsim.cli.planning import planned
    from bgsim.experiment.executors.shard import read_shard
    from bgsim.experiment.plan import load

    part = read_shard(shard) if shard is not None else None
    wanted = load(experiment, set_ or (), smoke=smoke, seed=seed)
    print(planned(wanted, output or wanted.directory, like or (), workers, part, points))


@app.command(epilog=EXIT_CODES)
@guarded
def compare(
    directory: StudyArgument,
    form: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="text|latex|markdown|csv",
            autocompletion=completing.forms,
            help="What the table is written as.",
        ),
    ] = "text",
) -> None:
    """Print native beside virtualised, point by point."""
    from bgsim.experiment.study import load_study

    if form == "text":
        _print_comparison(load_study(directory))
        return
    from bgsim.report.results import Results
    from bgsim.report.table_formats import FORMATS
    from bgsim.report.tables import compared
    from bgsim.spelling import did_you_mean

    if form not in FORMATS:
        near = did_you_mean(form, FORMATS) or " (expected text, latex, markdown or csv)"
        leave(EXIT_BAD_INPUT, f"bgsim: --format {form}: there is no such form{near}")
    print(FORMATS[form](compared(Results(load_study(directory)))), end="")


@app.command(epilog=EXIT_CODES)
@guarded
def explain(
    directory: StudyArgument,
    run_id: Annotated[
        str | None,
        typer.Argument(metavar="[RUN]", help="A run id or its beginning [default: the greatest slowdown]."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            parser=output_path,
            metavar="FILE",
            help="Where the figure goes [default: DIR/explain-RUN.svg].",
        ),
    ] = None,
    figure: Annotated[bool, typer.Option(help="Draw the stacked figure too.")] = True,
) -> None:
    """Show where every second of a run goes, as a table and as a stacked figure."""
    from bgsim.experiment.store import told
    from bgsim.experiment.study import load_study
    from bgsim.report import explain as report
    from bgsim.report.run_choice import find_run

    study = load_study(directory)
    print(report.explain(study, run_id))
    if figure:
        chosen = find_run(study.records, run_id)["run_id"]
        target = output or directory / f"explain-{chosen}.svg"
        with told(target):
            say(f"figure: {report.explain_figure(study, chosen, target)}")


@app.command(epilog=EXIT_CODES)
@guarded
def validate(
    cases: Annotated[
        list[str] | None,
        typer.Argument(metavar="[CASE]...", help="Names or their beginnings [default: all cases]."),
    ] = None,
    fast: Annotated[bool, typer.Option("--fast", help="Leave out what takes longer than seconds.")] = False,
    markdown: Annotated[
        list[Path] | None,
        typer.Option(
            "--markdown", metavar="FILE", help="Write the page, or the summary between its markers."
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Compare with docs/validation.md and README.md here.")
    ] = False,
    release: Annotated[
        bool,
        typer.Option("--release", help="Keep the numbers of docs/validation.md as those of this version."),
    ] = False,
) -> None:
    """Compare the simulator with measurements, hand counts and formulas; say what is not validated."""
    from bgsim import validation
    from bgsim.experiment.store import told
    from bgsim.validation import document

    chosen = [validation.find(name) for name in cases or ()] or list(validation.CASES)
    complete = not fast and len(chosen) == len(validation.CASES)
    if markdown and fast:
        leave(EXIT_BAD_INPUT, "bgsim: --markdown needs cases in full, without --fast")
    if release:
        from bgsim.validation import releases

        print(releases.write_release(Path()))
        return
    results = []
    for case in chosen:
        say(f"{case.name} ...")
        results.append(validation.run(case, fast))
    print(document.text(results, every_row=bool(cases)))
    for path in markdown or ():
        with told(path):
            document.write(path, results, complete)
    complaints = [f"{row.point}: misses" for result in results for row in result.faults]
    if check:
        complaints += document.drift_of_tree(results, complete)
    for complaint in complaints:
        say(f"bgsim: {complaint}")
    if complaints:
        raise SystemExit(EXIT_INTERNAL)


@app.command(epilog=EXIT_CODES)
@guarded
def characterize(
    platform: Annotated[str | None, typer.Option("--platform", help="bare-metal or virtual-machine.")] = None,
    guest: Annotated[str | None, typer.Option("--guest", help="The guest, such as cnk.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A parameter of the machine to change."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            parser=output_path,
            metavar="FILE",
            help="Where the cost model goes [default: standard output].",
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Compare the shipped cost models with what would be made.")
    ] = False,
    update: Annotated[bool, typer.Option("--update", help="Write the shipped cost models anew.")] = False,
) -> None:
    """Measure what a node's software costs in the detailed tier: a cost model for the machine tier."""
    from bgsim.cli import characterizing

    characterizing.command(platform, guest, set_ or [], output, check, update)


# What comes after the commands above, in the order of the help.
for group in (seeing, studies, exploring, looking_up, timeline):
    group.add_to(app, EXIT_CODES)
app.add_typer(messages.app, name="messages", epilog=EXIT_CODES)
app.add_typer(topology.app, name="topology")
versions.add_to(app)


def _print_comparison(study: Study) -> None:
    from bgsim.experiment import greedy

    search = greedy.read(study.directory)
    if search is not None:
        from bgsim.cli import cures_text

        print(cures_text.steps(search))
        return
    from bgsim.report import tables

    if sys.stdout.isatty():
        from rich.console import Console

        Console().print(tables.comparison(study))
    else:
        print(tables.comparison_text(study))


def _draw(study: Study, directory: Path, formats: tuple[str, ...]) -> list[Path]:
    from bgsim.experiment.store import told
    from bgsim.report.figures import draw_study

    with told(directory):
        return draw_study(study, directory, formats)


def _report_failures(study: Study, plan: Experiment) -> None:
    wanted = {run.run_id: run for run in plan.runs}
    failed = [record for record in study.failed if record["run_id"] in wanted]
    if not failed:
        return
    for record in failed:
        error = record["error"]
        say(f"bgsim: {wanted[record['run_id']].label}: failed: {error['message'] or error['type']}")
    say(f"bgsim: the traces are in {study.directory / 'records.jsonl'}")
    leave(
        EXIT_RUN_FAILED,
        f"bgsim: {len(failed)} of {len(plan.runs)} runs failed; running again tries them again",
    )
