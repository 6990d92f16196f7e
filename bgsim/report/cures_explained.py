"""What the cures of a run removed: its causes beside those of the same run without cures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from bgsim import cures
from bgsim.experiment.identity import canonical
from bgsim.report.attribution import CauseRow, rows_of
from bgsim.report.numbers import significant
from bgsim.report.results import Record, core_frequency_hz
from bgsim.report.tables import add_row, new_table, plain

if TYPE_CHECKING:
    from rich.table import Table


def cures_of(record: Record) -> tuple[str, ...]:
    """Names of the cures a run had."""
    return tuple(record["config"].get("cures", ()))


def without_cures(record: Record, records: Sequence[Record]) -> Record | None:
    """The run of a study that differs from this one in having no cures, if there is one."""
    if not cures_of(record):
        return None
    wanted = canonical(_apart(record))
    for other in records:
        if not cures_of(other) and other.get("attribution") and canonical(_apart(other)) == wanted:
            return other
    return None


def _apart(record: Record) -> dict[str, Any]:
    return {key: value for key, value in record["config"].items() if key != "cures"}


def parts(record: Record, records: Sequence[Record]) -> Iterator[str]:
    """The paragraphs of an explanation that cures add; none for a run without."""
    names = cures_of(record)
    if not names:
        return
    lines = [f"Cures: {', '.join(names)}"]
    for name in names:
        guesses = cures.CURES[name].guesses if name in cures.CURES else ()
        if guesses:
            lines.append(f"  {name} rests on guesses: {', '.join(guesses)}")
    yield "\n".join(lines) + "\n"
    other = without_cures(record, records)
    if other is None:
        yield "This study has no run without cures to compare with.\n"
    else:
        yield plain(removed_table(record, other))


def removed_table(record: Record, other: Record) -> Table:
    """Every cause with its exits and seconds without cures, with them, and what went; the most first."""
    frequency = core_frequency_hz(record)
    before = {row.cause: row for row in rows_of(other)}
    after = {row.cause: row for row in rows_of(record)}
    table = new_table(
        [
            ("cause", "left"),
            ("exits without", "right"),
            ("exits with", "right"),
            ("s without", "right"),
            ("s with", "right"),
            ("removed s", "right"),
            ("of all removed %", "right"),
        ],
        title=f"What the cures removed, against run {other['run_id']}",
    )
    gone = {cause: _cycles(before, cause) - _cycles(after, cause) for cause in {**before, **after}}
    total = sum(gone.values())
    order = sorted(gone, key=lambda cause: (-gone[cause], cause))
    for index, cause in enumerate(order):
        if not _cycles(before, cause) and not _cycles(after, cause):
            continue
        cells = [cause, _exits(before, cause), _exits(after, cause)]
        cells += [_seconds(_cycles(rows, cause), frequency) for rows in (before, after)]
        cells += [_seconds(gone[cause], frequency), f"{100 * gone[cause] / total:.1f}" if total else "-"]
        add_row(table, cells, section=index == len(order) - 1)
    sums = [sum(row.cycles for row in rows.values()) for rows in (before, after)]
    exits = [f"{sum(row.exits or 0 for row in rows.values()):,}" for rows in (before, after)]
    cells = ["total", *exits, *(_seconds(cycles, frequency) for cycles in sums), _seconds(total, frequency)]
    add_row(table, [*cells, "100.0" if total else "-"])
    return table


def _cycles(rows: dict[str, CauseRow], cause: str) -> int:
    return rows[cause].cycles if cause in rows else 0


def _exits(rows: dict[str, CauseRow], cause: str) -> str:
    exits = rows[cause].exits if cause in rows else None
    return "" if exits is None else f"{exits:,}"


def _seconds(cycles: int, frequency_hz: int) -> str:
    return significant(cycles / frequency_hz, 4) if cycles else "0"
