"""The driver: plans an experiment, computes what is missing of it, stores every record at once."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from bgsim.experiment import greedy, provenance, store
from bgsim.experiment.errors import StoreError, StudyInterrupted
from bgsim.experiment.identity import canonical
from bgsim.experiment.plan import Experiment, Run, load
from bgsim.experiment.pool import in_this_process, in_workers, processors
from bgsim.experiment.record import Record
from bgsim.experiment.settings import Overrides, Source
from bgsim.experiment.study import Study
from bgsim.experiment.watch import Watch


def run(
    source: Source,
    directory: str | Path | None = None,
    *,
    overrides: Overrides = (),
    seed: int | None = None,
    workers: int | None = None,
    smoke: bool = False,
    watch: Watch | None = None,
) -> Study:
    """Run an experiment, or what is missing of it, and return its study.

    Parameters
    ----------
    source
        Path of a YAML file, the name of a shipped experiment (``compile``), or a mapping.
    directory
        Where the study is kept; by default ``results/NAME``. Runs found there are not repeated.
    overrides
        As for ``--set``: ``["workload.program=gcc12"]`` or ``{"workload.program": "gcc12"}``.
    seed
        Replaces the experiment's seed.
    workers
        Processes; by default one per processor. With one, no other process is started.
    smoke
        Run the reduced form.
    watch
        Told of the progress; by default only notes are printed, on standard error.

    Returns
    -------
    Study
        All records in the directory. Runs that failed are in ``failed``.

    Raises
    ------
    ExperimentError
        The experiment is wrong; nothing was simulated.
    StoreError
        The directory cannot be used.
    StudyInterrupted
        Ctrl-C; everything computed is stored.
    """
    experiment = load(source, overrides, smoke=smoke, seed=seed)
    watch = watch or Watch()
    for remark in experiment.remarks:
        watch.note(remark)
    return run_experiment(experiment, Path(directory or experiment.directory), workers=workers, watch=watch)


def run_experiment(experiment: Experiment, directory: Path, *, workers: int | None, watch: Watch) -> Study:
    """Run what is missing of a checked experiment. Errors and result as for :func:`run`."""
    with store.Store(directory, watch.note) as opened:
        others = {record["experiment"] for record in opened.records} - {experiment.name}
        if others:
            raise StoreError(
                f"{directory}: holds the study '{min(others)}', not '{experiment.name}'; "
                "choose another directory (-o)"
            )
        stored = {record["run_id"] for record in opened.records if record["status"] == "ok"}
        todo = [wanted for wanted in experiment.runs if wanted.run_id not in stored]
        _note_other_source(opened, experiment, watch)
        count = min(workers or processors(), len(todo))
        watch.planned(len(experiment.runs), len(experiment.runs) - len(todo), count)
        with _interrupts(watch) as asked:
            finished = _compute(todo, count, opened, watch, asked)
        if finished == len(todo) and experiment.greedy is not None:
            _search(experiment, directory, opened, watch, workers)
        study = Study(directory, opened.records)
        if study.records:
            study.write_summary()
        if finished < len(todo):
            left = len(todo) - finished
            raise StudyInterrupted(
                f"stopped with {left} of {len(experiment.runs)} runs still to do; the others are stored in "
                f"{directory}, and the same command continues there"
            )
    return study


def _search(
    experiment: Experiment, directory: Path, opened: store.Store, watch: Watch, workers: int | None
) -> None:
    """Make an experiment's search for cures: rounds of runs, each chosen by the results of the last.

    The runs that move a guessed parameter to its ends are a study of their own, in ``bounds``.
    """
    assert experiment.greedy is not None
    section = experiment.greedy
    search = greedy.Search(
        section["minimise"], tuple(section["stages"]), section["platform"], section["least_gain"]
    )

    def results_in(into: store.Store) -> greedy.Results:
        def results(runs: Sequence[Run]) -> Mapping[str, Record]:
            stored = {record["run_id"]: record for record in into.records if record["status"] == "ok"}
            todo = list({run.run_id: run for run in runs if run.run_id not in stored}.values())
            if todo:
                count = min(workers or processors(), len(todo))
                watch.planned(len(runs), len(runs) - len(todo), count)
                with _interrupts(watch) as asked:
                    finished = _compute(todo, count, into, watch, asked)
                if finished < len(todo):
                    raise StudyInterrupted(
                        f"stopped within the search for cures; what was computed is stored in {directory}, "
                        "and the same command continues there"
                    )
                stored = {record["run_id"]: record for record in into.records if record["status"] == "ok"}
            return stored

        return results

    points = greedy.starts(search, experiment.runs)
    steps = greedy.side_by_side([greedy.search_point(search, runs) for runs in points], results_in(opened))
    with store.Store(directory / "bounds", watch.note) as beside:
        moved = [greedy.bounds(search, taken, runs) for taken, runs in zip(steps, points, strict=True)]
        rows = greedy.side_by_side(moved, results_in(beside))
    natives = {
        canonical(record["config"]["workload"]): record["metrics"].get(search.metric)
        for record in opened.records
        if record["status"] == "ok" and record["platform"] == "bare-metal" and not record["config"]["cures"]
    }
    native = [natives.get(canonical(runs[0].config["workload"])) for runs in points]
    greedy.write(directory, greedy.written(search, points, steps, rows, native))


def _compute(runs: Sequence[Run], workers: int, opened: store.Store, watch: Watch, asked: _Interrupts) -> int:
    """Compute and store runs until all are done or the researcher stops; return how many are done."""
    parts = in_workers(runs, workers, watch, asked) if workers > 1 else in_this_process(runs, watch, asked)
    finished = 0
    try:
        with contextlib.closing(parts), contextlib.suppress(KeyboardInterrupt):
            for record in parts:
                opened.append(record)
                finished += 1
                watch.finished(record)
    finally:
        watch.ended()
    return finished


def _note_other_source(opened: store.Store, experiment: Experiment, watch: Watch) -> None:
    """Say so when stored runs that will not be repeated come from another version of the program."""
    wanted = {run.run_id for run in experiment.runs}
    now = _source_of(provenance.program())
    then = {
        _source_of(record.get("provenance", {})) for record in opened.records if record["run_id"] in wanted
    }
    for source in sorted(then - {now}):
        watch.note(
            f"some stored runs were computed by {source}, and this is {now}; they are kept, as both have the "
            "same model version (to compute them anew, choose another directory with -o)"
        )


def _source_of(program: Mapping[str, Any]) -> str:
    return (
        f"bgsim {program.get('bgsim', 'of unknown version')} with source {program.get('source', 'unknown')}"
    )


class _Interrupts:
    """Whether the researcher has asked to stop."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self) -> bool:
        return self.asked


@contextlib.contextmanager
def _interrupts(watch: Watch) -> Iterator[_Interrupts]:
    """The first Ctrl-C lets runs in progress finish, the second stops at once."""
    state = _Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield state  # only the main thread may handle signals
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if state.asked:
            raise KeyboardInterrupt
        state.asked = True
        watch.note("finishing the runs in progress; Ctrl-C again stops at once")

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield state
    finally:
        signal.signal(signal.SIGINT, before)
