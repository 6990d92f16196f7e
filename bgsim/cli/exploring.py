"""``bgsim sensitivity``, ``calibrate``, ``diff`` and ``statistics``: questions over whole studies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bgsim.cli import completing, executing
from bgsim.cli.failures import guarded, leave, say
from bgsim.cli.outputs import output_path
from bgsim.experiment.errors import EXIT_BAD_INPUT, EXIT_CHANGED, EXIT_RUN_FAILED

if TYPE_CHECKING:
    from bgsim.experiment.plan import Experiment

ExperimentArgument = Annotated[
    str,
    typer.Argument(
        metavar="EXPERIMENT",
        autocompletion=completing.experiments,
        help="A YAML file, or a shipped experiment: bgsim experiments lists them.",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        autocompletion=completing.changes,
        help="Change one setting, such as sensitivity.levels=6.",
    ),
]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--output",
        parser=output_path,
        metavar="DIR",
        help="Where the study is kept [default: below results].",
    ),
]
SmokeOption = Annotated[bool, typer.Option("--smoke", help="The experiment's reduced form.")]
SeedOption = Annotated[int | None, typer.Option("--seed", min=0, help="Replaces the experiment's seed.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on standard error.")]


@guarded
def sensitivity(
    experiment: ExperimentArgument,
    method: Annotated[
        str | None, typer.Option("--method", help="morris or sobol; else as the experiment says.")
    ] = None,
    output: OutputOption = None,
    set_: SetOption = None,
    seed: SeedOption = None,
    workers: executing.WorkersOption = None,
    executor: executing.ExecutorOption = "local",
    scheduler: executing.SchedulerOption = None,
    profile: executing.ProfileOption = None,
    smoke: SmokeOption = False,
    rows: Annotated[int, typer.Option("--rows", min=1, help="Factors that are printed.")] = 20,
    quiet: QuietOption = False,
) -> None:
    """Find which uncertain parameter a result rests on: a table and a figure."""
    from bgsim.cli.progress import watch_for
    from bgsim.experiment import sensitivity as study
    from bgsim.experiment.driver import run_experiment
    from bgsim.experiment.factors import factors_of
    from bgsim.experiment.identity import canonical
    from bgsim.experiment.plan import load
    from bgsim.experiment.sections import SensitivitySection
    from bgsim.experiment.store import told
    from bgsim.report import sensitivity_figures, sensitivity_tables

    chosen = [*(set_ or ()), *([f"sensitivity.method={method}"] if method else ())]
    plan = load(experiment, chosen, smoke=smoke, seed=seed)
    section = study.checked(plan.sensitivity or SensitivitySection.model_validate({}), plan)
    name = f"{plan.name}-{section.method}"
    directory = output or plan.directory.with_name(f"{plan.directory.name}-{section.method}")
    watch = watch_for(name, str(directory), quiet)
    for remark in plan.remarks:
        watch.note(remark)
    points = study.starts(section, plan)
    key = canonical([section.model_dump(), plan.seed, [[run.run_id for run in runs] for runs in points]])
    factors = study.kept_design(directory, key)
    if factors is None:
        factors = [list(factors_of(section, plan, runs)) for runs in points]
        study.keep_design(directory, key, factors)
    designs = [
        (study.drawn(section, each, plan.seed), runs) for each, runs in zip(factors, points, strict=True)
    ]
    wanted = study.to_run(plan, name, designs)
    with executing.opened(executor, scheduler, profile, workers) as crew:
        done = run_experiment(wanted, directory, watch=watch, executor=crew)
    _report_failures(done.failed, wanted)
    records = {record["run_id"]: record for record in done.records}
    found = [study.analysed(name, design, runs, records, plan.seed) for design, runs in designs]
    path = study.write(directory, section, found)
    result = study.read(directory)
    assert result is not None
    print(sensitivity_tables.text(result, rows), end="")
    if not quiet:
        say(f"all factors: {path}")
    with told(directory):
        drawn = sensitivity_figures.draw(result, directory)
    if not quiet:
        say(f"figures: {', '.join(dict.fromkeys(str(figure.with_suffix('')) for figure in drawn))}")


def _report_failures(failed: Sequence[Mapping[str, Any]], plan: Experiment) -> None:
    wanted = {run.run_id: run for run in plan.runs}
    lost = [record for record in failed if record["run_id"] in wanted]
    for record in lost[:5]:
        error = record["error"]
        say(f"bgsim: {wanted[record['run_id']].label}: failed: {error['message'] or error['type']}")
    if lost:
        leave(
            EXIT_RUN_FAILED, f"bgsim: {len(lost)} of {len(plan.runs)} runs failed; nothing can be concluded"
        )


@guarded
def calibrate(
    experiment: ExperimentArgument,
    output: OutputOption = None,
    set_: SetOption = None,
    seed: SeedOption = None,
    workers: executing.WorkersOption = None,
    executor: executing.ExecutorOption = "local",
    scheduler: executing.SchedulerOption = None,
    profile: executing.ProfileOption = None,
    smoke: SmokeOption = False,
    quiet: QuietOption = False,
) -> None:
    """Fit named parameters to named data, and say how well the data know them."""
    from bgsim.experiment import calibrate as fitting
    from bgsim.experiment.driver import run_experiment
    from bgsim.experiment.plan import load
    from bgsim.experiment.watch import Watch
    from bgsim.report import calibration_tables

    plan = load(experiment, set_ or (), smoke=smoke, seed=seed)
    calibration = fitting.Calibration(plan)
    directory = output or plan.directory.with_name(f"{plan.directory.name}-calibration")
    watch = Watch()
    for remark in plan.remarks:
        watch.note(remark)
    steps = 0

    def tell(text: str) -> None:
        nonlocal steps
        steps += 1
        if not quiet:
            say(f"[{steps}] {text}")

    with executing.opened(executor, scheduler, profile, workers) as crew:

        def compute(wanted: Experiment) -> Mapping[str, Mapping[str, Any]]:
            done = run_experiment(wanted, directory, watch=watch, executor=crew)
            _report_failures(done.failed, wanted)
            return {record["run_id"]: record for record in done.records}

        fit = calibration.fit(compute, tell)
    result = fitting.written(calibration, fit)
    path = fitting.write(directory, result)
    print(calibration_tables.text(result), end="")
    if not quiet:
        say(f"overlay: {path}")


@guarded
def diff(
    before: Annotated[Path, typer.Argument(metavar="STUDY_A", help="The directory of a study.")],
    after: Annotated[Path, typer.Argument(metavar="STUDY_B", help="Of another one.")],
    metrics: Annotated[
        list[str] | None, typer.Option("--metric", help="Compare this one [default: all].")
    ] = None,
    confidence: Annotated[
        float, typer.Option("--confidence", min=50, max=99.99, help="In percent: of intervals and tests.")
    ] = 95.0,
    correction: Annotated[
        str, typer.Option("--correction", help="For the number of comparisons: holm, bh or none.")
    ] = "holm",
    least: Annotated[
        float, typer.Option("--least", min=0, help="Smaller changes, in percent of the mean, are not told.")
    ] = 0.0,
    rows: Annotated[int, typer.Option("--rows", min=1, help="Comparisons that are printed.")] = 30,
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write every comparison there.")
    ] = None,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help=f"Exit with {EXIT_CHANGED} when something changed.")
    ] = False,
) -> None:
    """Show what changed between two studies, and whether it can be chance."""
    from typing import cast

    from bgsim.experiment import diff as comparing
    from bgsim.experiment.store import write_whole
    from bgsim.experiment.study import load_study
    from bgsim.report import diff_tables

    if correction not in comparing.CORRECTIONS:
        leave(EXIT_BAD_INPUT, f"bgsim: --correction {correction}: expected holm, bh or none")
    found = comparing.compare(
        load_study(before),
        load_study(after),
        metrics=metrics or (),
        level=1 - confidence / 100,
        correction=cast(comparing.Correction, correction),
        least=least / 100,
    )
    print(diff_tables.text(found, rows), end="")
    if csv is not None:
        write_whole(csv, found.to_csv())
    if exit_code and found.changed:
        raise SystemExit(EXIT_CHANGED)


@guarded
def statistics(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The directory of a study.")],
    metrics: Annotated[
        list[str] | None, typer.Option("--metric", help="Only this one [default: all].")
    ] = None,
    confidence: Annotated[
        float, typer.Option("--confidence", min=50, max=99.99, help="In percent, of all intervals.")
    ] = 95.0,
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write the overheads there.")
    ] = None,
) -> None:
    """Print overheads as paired differences, merged distributions and steady states of a study."""
    from bgsim.experiment import overheads as paired
    from bgsim.experiment.metrics import METRICS
    from bgsim.experiment.store import write_whole
    from bgsim.experiment.study import load_study
    from bgsim.report import statistics_tables
    from bgsim.spelling import did_you_mean

    for name in metrics or ():
        if name not in METRICS:
            leave(EXIT_BAD_INPUT, f"bgsim: --metric {name}: unknown metric{did_you_mean(name, METRICS)}")
    study = load_study(directory)
    rows = paired.overheads(study, metrics or (), confidence / 100)
    spread, steady = paired.distributions(study), paired.series(study)
    tables = [
        statistics_tables.overheads(rows) if rows else "",
        statistics_tables.distributions(spread) if spread else "",
        statistics_tables.series(steady) if steady else "",
    ]
    said = "\n".join(table for table in tables if table)
    print(
        said or "no platform can be compared with bare metal, and no run keeps a distribution or a series\n",
        end="",
    )
    if csv is not None:
        write_whole(csv, paired.to_csv(rows))


def add_to(app: typer.Typer, epilog: str) -> None:
    """Put the commands on the command line."""
    for command in (sensitivity, calibrate, diff, statistics):
        app.command(epilog=epilog)(command)
