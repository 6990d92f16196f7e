"""The driver: plans an experiment, computes what is missing of it, stores every record at once."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from bgsim.experiment import greedy, provenance, stops, store
from bgsim.experiment.errors import StoreError, StudyInterrupted, UnwritableError
from bgsim.experiment.executors import Executor
from bgsim.experiment.executors.local import Local
from bgsim.experiment.executors.shard import Shard
from bgsim.experiment.plan import Experiment, Run, load
from bgsim.experiment.precision import Refinement
from bgsim.experiment.record import Record
from bgsim.experiment.rescue import rescued
from bgsim.experiment.settings import Overrides, Source
from bgsim.experiment.study import Study, load_study
from bgsim.experiment.watch import Watch

Follow = Callable[[Record], Sequence[Run]]
"""Told of each finished record of an experiment, stored ones first; returns the runs it makes necessary."""


def run(
    source: Source,
    directory: str | Path | None = None,
    *,
    overrides: Overrides = (),
    seed: int | None = None,
    workers: int | None = None,
    smoke: bool = False,
    watch: Watch | None = None,
    executor: Executor | None = None,
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
    executor
        Where runs are computed, such as an opened :class:`bgsim.experiment.executors.cluster.Cluster`;
        by default ``workers`` processes of this computer.

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
    ExecutorError
        The cluster cannot be used, or was lost.
    StudyInterrupted
        Ctrl-C; everything computed is stored.
    """
    experiment = load(source, overrides, smoke=smoke, seed=seed)
    watch = watch or Watch()
    for remark in experiment.remarks:
        watch.note(remark)
    where = Path(directory or experiment.directory)
    return run_experiment(experiment, where, watch=watch, executor=executor or Local(workers))


def run_experiment(
    experiment: Experiment,
    directory: Path,
    *,
    watch: Watch,
    executor: Executor,
    shard: Shard | None = None,
    follow: Follow | None = None,
) -> Study:
    """Run what is missing of a checked experiment.

    Parameters
    ----------
    experiment
        The experiment.
    directory
        Where the study is kept. A shard is kept in a study of its own below it.
    watch
        Told of the progress.
    executor
        Where runs are computed.
    shard
        Run this part only; what the whole study has stored is not repeated. A search for cures is left
        to a run of the whole.
    follow
        Asks for more runs as records come in, such as more replications of a point. It is told of every
        finished record of the experiment, stored ones first and in the order of the experiment's runs.

    Returns
    -------
    Study
        All records in the directory. Errors are those of :func:`run`. Where all runs are stored and nothing
        may be written, nothing is, and the study says so.
    """
    stored_elsewhere: set[str] = set()
    runs: Sequence[Run] = experiment.runs
    if shard is not None:
        stored_elsewhere = store.finished_ids(directory)
        runs = shard.of(runs, whole_points=follow is not None or experiment.precision is not None)
        directory = shard.directory(directory)
    in_part = shard is not None or follow is not None
    refinement: Refinement | None = None
    with contextlib.ExitStack() as stack:
        try:
            opened = stack.enter_context(store.Store(directory, watch.note))
        except UnwritableError:
            study = None if in_part else _finished(experiment, directory, watch)
            if study is None:
                raise
            return study
        _refuse_other_study(opened, experiment)
        _note_other_source(opened, experiment, watch)
        session = _Session(opened, executor, watch, follow or _no_more)
        if experiment.precision is not None and follow is None:
            refinement = Refinement(experiment, session.stored())
            session.follow = refinement.follow
        left = session.compute([run for run in runs if run.run_id not in stored_elsewhere])
        if not left and experiment.greedy is not None:
            if shard is None:
                _search(experiment, session)
            else:
                watch.note("the search for cures needs all runs: merge the shards, then run without --shard")
        study = Study(directory, opened.records)
        try:
            if study.records:
                study.write_summary()
            if study.records or study.failed:
                stops.write(directory, study, experiment, refinement)
        except UnwritableError:
            if left or session.computed:
                raise
            _leave(study, watch)
        if left:
            raise StudyInterrupted(
                f"stopped with {left} of {len(session.wanted)} runs still to do; the others are stored in "
                f"{directory}, and the same command continues there"
            )
    return study


def _leave(study: Study, watch: Watch) -> None:
    """Leave a finished study that may not be written to as it is, and say so."""
    study.read_only = True
    watch.note(f"{study.directory}: not writable; all runs are stored there, and nothing was written")


def _finished(experiment: Experiment, directory: Path, watch: Watch) -> Study | None:
    """A study that cannot be opened for writing, if it holds all that is wanted of it."""
    try:
        study = load_study(directory)
    except StoreError:
        return None
    if experiment.greedy is not None and greedy.read(directory) is None:
        return None
    stored = {record["run_id"]: record for record in study.records if record["experiment"] == experiment.name}
    follow = Refinement(experiment, stored).follow if experiment.precision is not None else _no_more
    wanted = list(experiment.runs)
    for run in wanted:  # which grows by what follows from the records
        if run.run_id not in stored:
            return None
        wanted += follow(stored[run.run_id])
    watch.planned(len(wanted), len(wanted), 0)
    _leave(study, watch)
    return study


def _no_more(record: Record) -> Sequence[Run]:
    return ()


@dataclass
class _Session:
    """One opened study being computed: knows what is wanted, stored and still to do."""

    opened: store.Store
    executor: Executor
    watch: Watch
    follow: Follow = _no_more
    wanted: dict[str, Run] = field(default_factory=dict)
    computed: bool = False

    def stored(self) -> dict[str, Record]:
        """The finished records, by run id."""
        return {record["run_id"]: record for record in self.opened.records if record["status"] == "ok"}

    def compute(self, runs: Sequence[Run]) -> int:
        """Compute and store what is missing of some runs; return how many the researcher left undone.

        Raises
        ------
        StoreError
            A record could not be stored; where it was put instead is said.
        ExecutorError
            The cluster was lost.
        """
        stored = self.stored()
        self.wanted = {}
        waiting: deque[Run] = deque()
        for wanted in runs:
            self._want(wanted, stored, waiting)
        if not waiting:
            self.watch.planned(len(self.wanted), len(self.wanted), 0)
            return 0
        self.computed = True
        total, todo = len(self.wanted), len(waiting)
        self.watch.planned(total, total - todo, self.executor.workers_for(todo))
        undone = {wanted.run_id for wanted in waiting}
        unsaved: list[Record] = []
        failure: StoreError | None = None
        with _interrupts(self.watch) as asked:
            parts = self.executor.compute(waiting, self.watch, asked)
            try:
                with contextlib.closing(parts), contextlib.suppress(KeyboardInterrupt):
                    for record in parts:
                        try:
                            self.opened.append(record)
                        except StoreError as error:
                            failure = failure or error
                            unsaved.append(record)
                            asked.asked = True  # what is in work is still finished
                            continue
                        undone.discard(record["run_id"])
                        self.watch.finished(record)
                        if record["status"] == "ok":
                            undone |= self._more(record, stored, waiting)
            finally:
                self.watch.ended()
                if failure is not None:
                    failure = rescued(self.opened, unsaved, failure)
        if failure is not None:
            raise failure
        return len(undone)

    def _want(self, run: Run, stored: Mapping[str, Record], waiting: deque[Run]) -> None:
        """Put a run on the list; if its record is there already, what follows from that too."""
        if run.run_id in self.wanted:
            return
        self.wanted[run.run_id] = run
        record = stored.get(run.run_id)
        if record is None:
            waiting.append(run)
            return
        for more in self.follow(record):
            self._want(more, stored, waiting)

    def _more(self, record: Record, stored: Mapping[str, Record], waiting: deque[Run]) -> set[str]:
        """Put on the list what a new record makes necessary; return the ids of what is not stored."""
        before = len(self.wanted)
        known = {run.run_id for run in waiting}
        for more in self.follow(record):
            self._want(more, stored, waiting)
        if len(self.wanted) > before:
            self.watch.extended(len(self.wanted) - before)
        return {run.run_id for run in waiting} - known


def _search(experiment: Experiment, session: _Session) -> None:
    """Make an experiment's search for cures: rounds of runs, each chosen by the results of the last.

    The runs that move a guessed parameter to its ends are a study of their own, in ``bounds``.
    """
    assert experiment.greedy is not None
    section = experiment.greedy
    search = greedy.Search(
        section["minimise"], tuple(section["stages"]), section["platform"], section["least_gain"]
    )
    directory = session.opened.directory

    def results_in(into: store.Store) -> greedy.Results:
        within = _Session(into, session.executor, session.watch)

        def results(runs: Sequence[Run]) -> Mapping[str, Record]:
            if any(run.run_id not in within.stored() for run in runs) and within.compute(runs):
                raise StudyInterrupted(
                    f"stopped within the search for cures; what was computed is stored in {directory}, "
                    "and the same command continues there"
                )
            return within.stored()

        return results

    points = greedy.starts(search, experiment.runs)
    here = results_in(session.opened)
    steps = greedy.side_by_side([greedy.search_point(search, runs) for runs in points], here)
    with store.Store(directory / store.BOUNDS, session.watch.note) as beside:
        moved = [greedy.bounds(search, taken, runs) for taken, runs in zip(steps, points, strict=True)]
        rows = greedy.side_by_side(moved, results_in(beside))
    stored = session.stored()
    natives = [greedy.native(search, runs, stored) for runs in points]
    greedy.write(directory, greedy.written(search, points, steps, rows, natives))


def _refuse_other_study(opened: store.Store, experiment: Experiment) -> None:
    """Refuse to mix two experiments.

    Raises
    ------
    StoreError
        The directory holds another one's study.
    """
    others = {record["experiment"] for record in opened.records} - {experiment.name}
    if others:
        raise StoreError(
            f"{opened.directory}: holds the study '{min(others)}', not '{experiment.name}'; "
            "choose another directory (-o)"
        )


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
