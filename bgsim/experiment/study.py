"""A study: all records of an experiment, and what can be asked of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from bgsim.experiment import store, summary
from bgsim.experiment.errors import StoreError
from bgsim.experiment.identity import canonical
from bgsim.experiment.metrics import HOST_METRICS
from bgsim.experiment.points import labelled
from bgsim.experiment.record import Record, head_of
from bgsim.experiment.watch import Watch

if TYPE_CHECKING:
    import pandas


class Study:
    """All records of an experiment.

    Attributes
    ----------
    directory
        Where they are stored.
    records
        The finished runs, one record per run id, each a mapping with the fields that
        ``bgsim schema record`` lists. Their ``point`` holds a value for every column of the
        summary, also for runs made before the study was extended, and the same for all runs of a point,
        however the sweep wrote it that asked for them.
    paths
        The swept paths, and the settings in which points differ otherwise.
    read_only
        Whether a run found all its runs stored in a directory that it may not write to, and left it as it is.
    failed
        Records of runs that failed and have not succeeded since.
    """

    def __init__(self, directory: Path, records: Sequence[Record]) -> None:
        self.directory = directory
        self.read_only = False
        done = summary.finished(records)
        self.paths, self.records = labelled(done)
        failed = {head["run_id"]: head for head in map(head_of, records) if head["status"] != "ok"}
        known = {head_of(record)["run_id"] for record in done} if failed else set()
        self.failed: list[Record] = [record for run_id, record in failed.items() if run_id not in known]

    @property
    def name(self) -> str:
        """Name of the experiment."""
        return str((self.records or self.failed or [{"experiment": self.directory.name}])[0]["experiment"])

    def __repr__(self) -> str:
        failed = f", {len(self.failed)} failed" if self.failed else ""
        return f"<Study {self.name!r}: {len(self.records)} records{failed} in {self.directory}>"

    @cached_property
    def tidy(self) -> summary.Summary:
        """The summary as plain rows, without pandas."""
        with store.collector_paused():
            return summary.summary_of(self.records, self.paths)

    def summary(self) -> pandas.DataFrame:
        """The tidy summary, as in ``summary.csv``.

        Returns
        -------
        pandas.DataFrame
            One row per point, platform and metric; columns are the swept paths, ``platform``,
            ``metric``, ``unit``, ``mean``, ``ci_low``, ``ci_high``, ``n``.
        """
        import pandas

        frame = pandas.DataFrame(self.tidy.rows, columns=list(self.tidy.columns))
        return frame.astype({"mean": float, "ci_low": float, "ci_high": float, "n": int})

    def record(self, run_id: str) -> Record:
        """The record whose run id begins so.

        Raises
        ------
        StoreError
            No record, or more than one.
        """
        found = [record for record in [*self.records, *self.failed] if record["run_id"].startswith(run_id)]
        if len(found) != 1:
            what = "no run" if not found else f"{len(found)} runs"
            raise StoreError(f"{self.directory}: {what} with an id that begins with '{run_id}'")
        return found[0]

    def explain(self, run_id: str) -> pandas.DataFrame:
        """Where the time of one run goes.

        Parameters
        ----------
        run_id
            A run id, or its beginning.

        Returns
        -------
        pandas.DataFrame
            One row per cause, largest first: ``cause``, ``cycles``, ``share``. The cycles add up
            to the run's, the shares to 1.
        """
        import pandas

        causes = sorted(self.record(run_id)["attribution"].items(), key=lambda item: -item[1])
        total = sum(cycles for _, cycles in causes)
        rows = [(cause, cycles, cycles / total if total else 0.0) for cause, cycles in causes]
        return pandas.DataFrame(rows, columns=["cause", "cycles", "share"])

    def write_summary(self) -> Path:
        """Write ``summary.csv`` and return its path.

        Raises
        ------
        StoreError
            It cannot be written.
        """
        path = self.directory / store.SUMMARY
        store.write_whole(path, self.tidy.to_csv())
        return path

    def remarks(self) -> list[str]:
        """What a look at all records shows: swept settings and replications that changed nothing."""
        found = [f"{name} (in {count} runs)" for name, count in _counted(self.records).items()]
        found += [
            f"{path}: every metric is the same for all its values, so it changed nothing"
            for path in self.paths
            if _changes_nothing(self.records, path)
        ]
        if any(record["replication"] for record in self.records) and _replications_equal(self.records):
            found.append("replications: all are equal; this workload draws nothing at random")
        return found


def _counted(records: Sequence[Record]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for record in records:
        for warning in record.get("warnings", ()):
            counts[warning] = counts.get(warning, 0) + 1
    return counts


def _simulated(record: Record) -> tuple[tuple[str, float], ...]:
    return tuple((name, value) for name, value in record["metrics"].items() if name not in HOST_METRICS)


def _changes_nothing(records: Sequence[Record], path: str) -> bool:
    """Whether all records that differ in this path alone have equal metrics (and some do)."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        others = {name: value for name, value in record["point"].items() if name != path}
        key = canonical([others, record["platform"], record["seed"], record["replication"]])
        groups.setdefault(key, []).append(record)
    several = [group for group in groups.values() if len(group) > 1]
    return bool(several) and all(len({_simulated(record) for record in group}) == 1 for group in several)


def _replications_equal(records: Sequence[Record]) -> bool:
    groups: dict[str, set[tuple[tuple[str, float], ...]]] = {}
    for record in records:
        groups.setdefault(canonical([record["point"], record["platform"]]), set()).add(_simulated(record))
    return all(len(group) == 1 for group in groups.values())


def load_study(directory: str | Path, watch: Watch | None = None) -> Study:
    """Load a study from its directory; nothing is changed there.

    Raises
    ------
    StoreError
        There is no study.
    """
    note = (watch or Watch()).note
    with store.collector_paused():
        return Study(Path(directory), list(store.read_records(Path(directory), note)))
