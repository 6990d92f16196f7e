"""The attribution of a run: every core cycle has one cause, and the causes add up to the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bgsim.report import causes
from bgsim.report.results import Record, ReportError


@dataclass(frozen=True)
class CauseRow:
    """One cause of a run's cycles.

    Attributes
    ----------
    cause
        Name as the simulator counts it.
    place
        Where the cycles are spent: guest, L4, VMM, device, idle.
    count
        Exits of this cause; None for a cause that is not an exit.
    cycles
        All cycles of this cause; ``cycles_l4`` and ``cycles_vmm`` are parts of it.
    """

    cause: str
    place: str
    count: int | None
    cycles: int
    cycles_l4: int
    cycles_vmm: int


def total_cycles(record: Record) -> int:
    """Sum of a record's attribution, in core cycles."""
    return sum(int(cycles) for cycles in _attribution(record).values())


def shares_of(records: Sequence[Record]) -> dict[str, float]:
    """Share of each cause in the cycles of all given replications together."""
    cycles: dict[str, int] = {}
    for record in records:
        for cause, part in _attribution(record).items():
            cycles[cause] = cycles.get(cause, 0) + int(part)
    total = sum(cycles.values())
    return {cause: part / total for cause, part in cycles.items()} if total else {}


def rows_of(record: Record) -> list[CauseRow]:
    """Every cause of a run, from the guest outwards, none left out.

    Raises
    ------
    ReportError
        If the run has no attribution, or its causes do not add up to the total that it states.
    """
    attribution = _attribution(record)
    if not attribution:
        raise ReportError(f"run {record['run_id']} has no attribution, so its time cannot be explained")
    exits = {str(row["cause"]): row for row in record.get("exits") or ()}
    rows = [_row(cause, int(attribution[cause]), exits.get(cause)) for cause in causes.ordered(attribution)]
    stated = record["metrics"].get("cycles_total")
    found = sum(row.cycles for row in rows)
    if stated is not None and found != int(stated):
        raise ReportError(
            f"run {record['run_id']}: its causes add up to {found} cycles, its total is {stated}; "
            "the record is damaged"
        )
    return rows


def _row(cause: str, cycles: int, exit_row: Mapping[str, Any] | None) -> CauseRow:
    place = causes.place(cause)
    l4 = cycles if place == "L4" else 0
    vmm = cycles if place == "VMM" else 0
    count = None
    if exit_row is not None:
        count = int(exit_row["count"])
        # An exit that the VMM served may carry its VMM cycles itself instead of leaving them to `vmm`.
        if int(exit_row["cycles_l4"]) + int(exit_row["cycles_vmm"]) == cycles:
            l4, vmm = int(exit_row["cycles_l4"]), int(exit_row["cycles_vmm"])
    return CauseRow(cause=cause, place=place, count=count, cycles=cycles, cycles_l4=l4, cycles_vmm=vmm)


def _attribution(record: Record) -> Mapping[str, Any]:
    found: Mapping[str, Any] = record.get("attribution") or {}
    return found
