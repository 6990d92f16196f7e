"""One run: from its configuration to its record, in this process.

Everything a run needs is in its configuration, so this is all that a worker process, a cluster
node or a later repetition has to call. What the workload hands back is checked before it is
believed: registered metrics, finite numbers, causes that add up to the run's cycles.
"""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from bgsim.experiment import provenance, stops
from bgsim.experiment.errors import OutcomeError
from bgsim.experiment.identity import MODEL_VERSION
from bgsim.experiment.metrics import METRICS
from bgsim.experiment.record import RECORD_SCHEMA, Record
from bgsim.spelling import did_you_mean

if TYPE_CHECKING:
    from bgsim.experiment.plan import Run
    from bgsim.workloads.outcome import Outcome

Progress = Callable[[float, str], None]
"""Called now and then with the simulated seconds so far and a short note."""


def execute_run(run: Run, progress: Progress | None = None) -> Record:
    """Simulate one run.

    Parameters
    ----------
    run
        The run.
    progress
        Called while it runs.

    Returns
    -------
    Mapping
        Its record, with status ``failed`` and the reason when the simulation raised an error.
        KeyboardInterrupt passes through: an interrupted run has no record.
    """
    config = run.config
    if config["model_version"] != MODEL_VERSION:
        raise OutcomeError(
            f"planned for model version {config['model_version']}, and this program has {MODEL_VERSION}"
        )
    provenance.check_plugins(config.get("plugins", {}))
    started = time.time()
    wall, processor = time.perf_counter(), time.process_time()
    record = _blank(run)
    try:
        record |= _simulate(config, progress)
    except Exception as error:  # noqa: BLE001 -- whatever goes wrong inside becomes a failed record
        kind = type(error)
        name = (
            kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        )
        record["status"] = "failed"
        record["error"] = {"type": name, "message": str(error), "traceback": traceback.format_exc()}
    record["stopped"] = stops.of_record(record)
    wall_s = time.perf_counter() - wall
    exits = record["metrics"].get("exits_total")
    if exits:
        record["metrics"].setdefault("exits_per_s_host", exits / wall_s)
    record["provenance"] = {
        **provenance.program(),
        "host": dict(provenance.host()),
        "started_utc": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
        "wall_s": round(wall_s, 6),
        "processor_s": round(time.process_time() - processor, 6),
        "peak_memory_bytes": provenance.peak_memory_bytes(),
    }
    return record


def lost_run(run: Run, message: str) -> Record:
    """The record of a run whose process died: status ``failed``, no metrics."""
    record = _blank(run)
    record["status"] = "failed"
    record["error"] = {"type": "WorkerDied", "message": message, "traceback": ""}
    record["stopped"] = stops.of_record(record)
    record["provenance"] = {**provenance.program(), "host": dict(provenance.host())}
    return record


def _blank(run: Run) -> dict[str, Any]:
    config = run.config
    return {
        "schema": RECORD_SCHEMA,
        "run_id": run.run_id,
        "experiment": run.experiment,
        "point": dict(run.point),
        "platform": config["platform"],
        "guest": config["guest"],
        "replication": config["replication"],
        "seed": config["seed"],
        "config": dict(config),
        "metrics": {},
        "exits": [],
        "attribution": {},
        "details": {},
        "warnings": [],
        "status": "ok",
    }


def _simulate(config: Mapping[str, Any], progress: Progress | None) -> dict[str, Any]:
    from bgsim.experiment.resolve import resolved_run, settings_without_effect
    from bgsim.workloads import execute

    resolved = resolved_run(config)
    outcome = execute(resolved, progress)
    check_outcome(outcome)
    return {
        "metrics": {name: outcome.metrics[name] for name in METRICS if name in outcome.metrics},
        "exits": [dict(row) for row in outcome.exits],
        "attribution": dict(outcome.attribution),
        "details": dict(outcome.details),
        "warnings": [
            *outcome.warnings,
            *(
                f"{name}: changed nothing: the run never read it"
                for name in settings_without_effect(resolved)
            ),
        ],
    }


def check_outcome(outcome: Outcome) -> None:
    """Refuse a result that breaks a promise of the record format.

    Raises
    ------
    OutcomeError
        With the first broken promise.
    """
    for name, value in outcome.metrics.items():
        if name not in METRICS:
            raise OutcomeError(f"the metric '{name}' is not registered{did_you_mean(name, METRICS)}")
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise OutcomeError(f"the metric '{name}' is {value!r}, not a finite number")
    cycles = outcome.metrics.get("cycles_total")
    if outcome.attribution and cycles is not None:
        total = sum(outcome.attribution.values())
        if total != cycles:
            raise OutcomeError(f"the causes add up to {total} cycles, and the run took {cycles}")
    for cause, spent in outcome.attribution.items():
        if spent < 0:
            raise OutcomeError(f"the cause '{cause}' has {spent} cycles")
