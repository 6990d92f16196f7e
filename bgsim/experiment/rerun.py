"""Repeating a run from its record: the same configuration must give the same answer."""

from __future__ import annotations

from typing import NamedTuple

from bgsim.experiment.errors import StoreError
from bgsim.experiment.execute import Progress, execute_run
from bgsim.experiment.identity import MODEL_VERSION
from bgsim.experiment.merge import unlike
from bgsim.experiment.plan import Run
from bgsim.experiment.record import Record


class Repetition(NamedTuple):
    """A run repeated.

    Attributes
    ----------
    record
        The new record.
    difference
        The first difference of the answers, in words; None where there is none.
    """

    record: Record
    difference: str | None


def rerun(record: Record, progress: Progress | None = None) -> Repetition:
    """Compute the run of a record again; nothing is stored.

    Raises
    ------
    StoreError
        This program cannot repeat it: its model version, or what stands behind its settings, is another.
    """
    run = repeatable(record)
    again = execute_run(run, progress)
    return Repetition(again, unlike(record, again))


def repeatable(record: Record) -> Run:
    """The run of a record.

    Raises
    ------
    StoreError
        This program cannot repeat it: its model version, or what stands behind its settings, is another.
    """
    config = record["config"]
    made = record.get("provenance", {})
    program = f"bgsim {made.get('bgsim', '?')} with source {made.get('source', '?')}"
    if config["model_version"] != MODEL_VERSION:
        raise StoreError(
            f"run {record['run_id']} has model version {config['model_version']}, and this program "
            f"{MODEL_VERSION}; it was computed by {program}, which can repeat it"
        )
    run = Run(record["experiment"], config, record["point"])
    if run.run_id != record["run_id"]:
        raise StoreError(
            f"run {record['run_id']} would be {run.run_id} now: what its settings stand for has changed, "
            f"such as a value of the datasheet; it was computed by {program}, which can repeat it"
        )
    return run
