"""How a study can be made again: commands whose runs have been checked to be those of the study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bgsim.experiment.errors import ExperimentError
from bgsim.report.results import Record

RUNS_MAX = 2000
"""A larger study is not planned again to see whether it is a shipped one; that would take seconds."""

RUNS_NAMED = 3


@dataclass(frozen=True)
class Reproduction:
    """What to type.

    Attributes
    ----------
    commands
        One line each.
    remark
        What they make, and how that is known.
    """

    commands: tuple[str, ...]
    remark: str


def reproduction(name: str, directory: str, records: Sequence[Record]) -> Reproduction:
    """How to make a study again.

    Parameters
    ----------
    name
        Of the experiment.
    directory
        Where the study is, as it was named.
    records
        Finished runs.
    """
    if len(records) <= RUNS_MAX:
        wanted = {str(record["run_id"]) for record in records}
        for option in ("", " --smoke"):
            if _planned(name, smoke=bool(option)) == wanted:
                remark = (
                    "The shipped experiment, unchanged: planned again, its runs have the ids of this study."
                )
                return Reproduction((f"bgsim run {name}{option} -o {directory}",), remark)
    runs = [str(record["run_id"]) for record in records]
    commands = tuple(f"bgsim rerun {directory}/{run}" for run in runs[:RUNS_NAMED])
    rest = len(runs) - len(commands)
    remark = (
        "The study is not a shipped experiment as it stands. Every record holds the whole configuration of "
        "its run, so each can be repeated and compared with what was recorded"
    )
    return Reproduction(commands, f"{remark}; {rest} more in the same way." if rest else f"{remark}.")


def _planned(name: str, smoke: bool) -> set[str] | None:
    """Ids of the runs of a shipped experiment; None where there is none of that name."""
    from bgsim.experiment.plan import load
    from bgsim.experiment.shipped import directory

    if not (directory("experiments") / f"{name}.yaml").is_file():
        return None
    try:
        return {run.run_id for run in load(name, smoke=smoke).runs}
    except ExperimentError:
        return None
