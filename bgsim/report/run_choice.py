"""Which run of a study is shown where one is asked for: the named one, or the one that tells most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bgsim.experiment.identity import canonical
from bgsim.experiment.metrics import BASELINE, slowdown
from bgsim.experiment.order import natural_key
from bgsim.report.numbers import significant
from bgsim.report.results import Record, ReportError, kind, platform_label, point_label, workload

VIRTUALISED = "virtual-machine"
OTHERS_MAX = 12


def find_run(records: Sequence[Record], run_id: str | None) -> Record:
    """The run whose id begins with ``run_id``, or the default one.

    The default is the virtualised run with the greatest slowdown; where runs have no partner on bare
    metal, or no metrics yet, the first virtualised one. It is a first replication, and among compile runs
    one of the workload's default program.

    Raises
    ------
    ReportError
        If no run or more than one run matches.
    """
    if not records:
        raise ReportError("the study holds no run, so there is nothing to explain")
    if run_id is None:
        return _default(records)
    found = [record for record in records if str(record["run_id"]).startswith(run_id)]
    if not found:
        raise ReportError(f"no run of this study has an id that begins with {run_id!r}")
    if len(found) > 1 and str(found[0]["run_id"]) != run_id:
        some = ", ".join(sorted(str(record["run_id"]) for record in found)[:4])
        raise ReportError(
            f"{len(found)} runs have an id that begins with {run_id!r}: {some}; give more of it"
        )
    return found[0]


def others(record: Record, records: Sequence[Record]) -> str:
    """Why a run is the default of its study, and the ids of the others; empty where there are none.

    Parameters
    ----------
    record
        What :func:`find_run` gave without an id.
    records
        Of the whole study.
    """
    first = [each for each in records if int(each.get("replication", 0)) == int(record.get("replication", 0))]
    rest = [each for each in first if each["run_id"] != record["run_id"]]
    if not rest:
        return ""
    ratio = _slowdowns(first).get(str(record["run_id"]))
    what = platform_label(str(record["platform"]))
    program = f" of {workload(record)['program']}" if _is_default_program(record) else ""
    if ratio is None:
        chosen = f"the first {what} one{program}"
    else:
        chosen = f"the {what} one{program} with the greatest slowdown, {significant(ratio, 3)}x"
    lines = [f"Of {len(first)} runs this is {chosen}. Another is shown by its id, bgsim explain DIR RUN:"]
    rest.sort(key=lambda each: (_place(each), str(each["platform"])))
    for each in rest[:OTHERS_MAX]:
        values = each.get("point") or {}
        words = [platform_label(str(each["platform"])), point_label(values, list(values))]
        lines.append(f"  {each['run_id']}  {', '.join(word for word in words if word)}")
    if len(rest) > OTHERS_MAX:
        lines.append(f"  and {len(rest) - OTHERS_MAX} more, see records.jsonl")
    return "\n".join(lines) + "\n"


def _default(records: Sequence[Record]) -> Record:
    ratios = _slowdowns(records)

    def rank(record: Record) -> tuple[Any, ...]:
        return (
            record["platform"] != VIRTUALISED,
            kind(record) == "compile" and not _is_default_program(record),
            int(record.get("replication", 0)),
            -ratios.get(str(record["run_id"]), 0.0),
            _place(record),
            str(record["run_id"]),
        )

    ranked = sorted(records, key=rank)
    # A run of the machine tier has no causes, and there may be others that do.
    return next((record for record in ranked if record.get("attribution")), ranked[0])


def _slowdowns(records: Sequence[Record]) -> dict[str, float]:
    """Run id to slowdown, of virtualised runs whose partner on bare metal is there."""
    natives: dict[tuple[Any, ...], Mapping[str, float]] = {}
    virtual = []
    for record in records:
        if record.get("metrics") and record["platform"] in (BASELINE, VIRTUALISED):
            key = canonical(record.get("point") or {}), record.get("seed"), record.get("replication", 0)
            if record["platform"] == BASELINE:
                natives[key] = record["metrics"]
            else:
                virtual.append((key, record))
    found = {
        str(record["run_id"]): slowdown(natives[key], record["metrics"])
        for key, record in virtual
        if key in natives
    }
    return {run_id: ratio for run_id, ratio in found.items() if ratio is not None}


def _is_default_program(record: Record) -> bool:
    from bgsim.workloads.configs import CompileConfig

    default = CompileConfig.model_fields["program"].default
    return kind(record) == "compile" and workload(record)["program"] == default


def _place(record: Record) -> tuple[Any, ...]:
    return tuple(natural_key(value) for value in (record.get("point") or {}).values())
