"""The attribution of a run: every core cycle has one cause, and the causes add up to the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
    exits
        Exits of this cause; None for a cause that is not an exit. Exits that the VMM serves have no
        cycles of their own: they are counted with ``ipc``, which has their cycles in L4.
    cycles
        All cycles of this cause; ``cycles_l4`` and ``cycles_vmm`` are parts of it.
    """

    cause: str
    place: str
    exits: int | None
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
    exits = {row["cause"]: row for row in exits_of(record)}
    rows = [_row(cause, int(attribution[cause]), exits.get(cause)) for cause in causes.ordered(attribution)]
    served = [int(row["count"]) for cause, row in exits.items() if cause not in attribution]
    if served:
        rows = [replace(row, exits=sum(served)) if row.cause == "ipc" else row for row in rows]
    stated = record["metrics"].get("cycles_total")
    found = sum(row.cycles for row in rows)
    if stated is not None and found != int(stated):
        raise ReportError(
            f"run {record['run_id']}: its causes add up to {found} cycles, its total is {stated}; "
            "the record is damaged"
        )
    return rows


def exits_of(record: Record) -> list[Mapping[str, Any]]:
    """Rows of a record's exit table that are departures of the guest: the kernel's own counters."""
    rows = record.get("exits") or ()
    return [row for row in rows if causes.is_exit(str(row["cause"]))]


def _row(cause: str, cycles: int, exit_row: Mapping[str, Any] | None) -> CauseRow:
    place = causes.place(cause)
    l4 = cycles if place == "L4" else 0
    vmm = cycles if place == "VMM" else 0
    exits = None
    if exit_row is not None:
        exits = int(exit_row["count"])
        # An exit that the VMM served may carry its VMM cycles itself instead of leaving them to `vmm`.
        if int(exit_row["cycles_l4"]) + int(exit_row["cycles_vmm"]) == cycles:
            l4, vmm = int(exit_row["cycles_l4"]), int(exit_row["cycles_vmm"])
    return CauseRow(cause=cause, place=place, exits=exits, cycles=cycles, cycles_l4=l4, cycles_vmm=vmm)


def _attribution(record: Record) -> Mapping[str, Any]:
    found: Mapping[str, Any] = record.get("attribution") or {}
    return found
