"""Why a run, and a point, stopped: as every record and ``points.csv`` say it.

===============  ===========================================================================================
finished         the run reached its end; the point has its fixed number of replications
converged        a steady state was found and the rest of the job follows from it; a point's precision is met
cap              the most replications were made, and the precision is not met
saturated        more was offered than could be served: messages were lost, or ever more were waiting
deadlocked       the program cannot go on: who waits for whom, line by line
failed           the simulation raised an error
missing          runs of the point are still to do
===============  ===========================================================================================
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bgsim.experiment import store
from bgsim.experiment.identity import canonical
from bgsim.experiment.order import natural_key
from bgsim.experiment.record import Record
from bgsim.experiment.summary import column_names

if TYPE_CHECKING:
    from bgsim.experiment.plan import Experiment
    from bgsim.experiment.precision import Refinement
    from bgsim.experiment.study import Study

FILE: Final = "points.csv"
COLUMNS: Final = ("platform", "replications", "stopped", "why")
_WORST: Final = ("deadlocked", "failed", "missing", "saturated", "cap", "converged", "finished")


def of_record(record: Mapping[str, Any]) -> dict[str, str]:
    """Why a run stopped.

    Parameters
    ----------
    record
        Its status, error and details.

    Returns
    -------
    dict
        ``reason`` and ``why``, in words.
    """
    if record["status"] != "ok":
        message = str(record["error"].get("message") or record["error"].get("type"))
        if "deadlock: " in message:
            waits = [line.partition("deadlock: ")[2] for line in message.splitlines() if "deadlock: " in line]
            return {"reason": "deadlocked", "why": "; ".join(waits)}
        return {"reason": "failed", "why": message.splitlines()[0] if message else "no reason is known"}
    details = record["details"]
    lost = details.get("messages_lost_whole_run")
    if lost:
        sent = details.get("warmup_messages", 0) + details.get("measured_messages", 0)
        return {"reason": "saturated", "why": f"{lost} of {sent} messages were lost on the way"}
    if details.get("saturated"):
        return {"reason": "saturated", "why": str(details["saturated"])}
    steady = details.get("steady_state")
    if isinstance(steady, Mapping) and steady.get("extrapolated"):
        agree = 100 * float(steady["rates_agree_within"])
        share = 100 * float(steady["simulated_share"])
        why = f"{steady['method']}: successive parts agree within {agree:.2g} %, {share:.3g} % was simulated"
        return {"reason": "converged", "why": why}
    return {"reason": "finished", "why": "ran to its end"}


def points(study: Study, experiment: Experiment, refinement: Refinement | None) -> str:
    """The text of ``points.csv``: one row per point and platform of an experiment.

    Parameters
    ----------
    study
        What is stored.
    experiment
        What was asked for.
    refinement
        Of an experiment with a precision; it has been told of all finished records.
    """
    by_id = {record["run_id"]: record for record in [*study.failed, *study.records]}
    rows: dict[tuple[str, str], tuple[Mapping[str, Any], list[Record | None]]] = {}
    for run in experiment.runs:
        key = canonical(run.point), str(run.config["platform"])
        rows.setdefault(key, (run.point, []))[1].append(by_id.get(run.run_id))
    if refinement is not None:
        asked = {run.run_id for run in experiment.runs}
        for run in refinement.runs():
            if run.run_id not in asked:
                rows[canonical(run.point), str(run.config["platform"])][1].append(by_id.get(run.run_id))
    paths = list(dict.fromkeys(path for point, _ in rows.values() for path in point))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*column_names(paths), *COLUMNS))
    order = {key: tuple(natural_key(rows[key][0].get(path)) for path in paths) for key in rows}
    for key in sorted(rows, key=lambda key: order[key]):
        point, found = rows[key]
        reason, why = _of_point(found, point, refinement)
        values = [canonical(v) if isinstance(v, (list, Mapping)) else v for v in map(point.get, paths)]
        done = sum(record is not None and record["status"] == "ok" for record in found)
        writer.writerow((*values, key[1], done, reason, why))
    return text.getvalue()


def _of_point(
    records: Sequence[Record | None], point: Mapping[str, Any], refinement: Refinement | None
) -> tuple[str, str]:
    found = [record.get("stopped") or of_record(record) for record in records if record is not None]
    missing = len(records) - len(found)
    if missing:
        found.append({"reason": "missing", "why": f"{missing} of {len(records)} runs are still to do"})
    worst = min(found, key=lambda stop: _WORST.index(stop["reason"]))
    if worst["reason"] in ("converged", "finished"):
        stop = None if refinement is None else refinement.stop_of(point)
        if stop is not None:
            return stop.reason, stop.why
        if worst["reason"] == "finished":
            plural = "s" if len(records) != 1 else ""
            return "finished", f"{len(records)} replication{plural}, as asked for"
    return worst["reason"], worst["why"]


def write(directory: Path, study: Study, experiment: Experiment, refinement: Refinement | None) -> None:
    """Write ``points.csv``.

    Raises
    ------
    StoreError
        It cannot be written.
    """
    store.write_whole(directory / FILE, points(study, experiment, refinement))
