"""Where every second of a run goes, as text and as a stacked figure.

The columns of the text add up: cycles because the simulator counts them so, seconds and shares
because they are divided among the causes in whole printed units, largest remainder first.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from bgsim.report import cures_explained, published
from bgsim.report.attribution import CauseRow, exits_of, rows_of
from bgsim.report.numbers import apportion, fixed, quantity, significant
from bgsim.report.results import (
    Record,
    Study,
    core_frequency_hz,
    details,
    kind,
    platform_label,
    point_label,
    value_text,
    workload,
)
from bgsim.report.run_choice import find_run, others
from bgsim.report.tables import add_row, new_table, plain

if TYPE_CHECKING:
    from rich.table import Table

_SIGNIFICANT_DIGITS = 7
_SHARE_PLACES = 2


def explain(study: Study, run_id: str | None = None) -> str:
    """Explain one run: every cause, every exit, every uncertain parameter.

    Parameters
    ----------
    study
        The study that holds the run.
    run_id
        The run, or the beginning of its id as far as it is unique; None means the one of
        :func:`bgsim.report.run_choice.find_run`, and the text says which others there are.

    Returns
    -------
    str
        Plain text.

    Raises
    ------
    ReportError
        If no run or more than one run matches, or the run has no attribution.
    """
    record = find_run(study.records, run_id)
    rows = rows_of(record)
    frequency = core_frequency_hz(record)
    parts = [_heading(record, rows, frequency), plain(cause_table(rows, frequency))]
    if exits_of(record):
        parts.append(plain(exit_table(record)))
    parts += _notes(record, rows)
    parts += cures_explained.parts(record, study.records)
    if details(record).get("sensitivity"):
        parts.append(plain(sensitivity_table(record)))
        parts += _range(record)
    if run_id is None:
        parts += filter(None, [others(record, study.records)])
    return "\n".join(parts)


def cause_table(rows: Sequence[CauseRow], frequency_hz: int) -> Table:
    """Every cause of a run; each column of numbers adds up to its total exactly."""
    total = sum(row.cycles for row in rows)
    places = _second_places(total, frequency_hz)
    seconds = round(Fraction(total * 10**places, frequency_hz))
    second_parts = apportion([row.cycles for row in rows], seconds)
    share_parts = apportion([row.cycles for row in rows], 100 * 10**_SHARE_PLACES)
    table = new_table(
        [
            ("cause", "left"),
            ("where", "left"),
            ("exits", "right"),
            ("cycles L4", "right"),
            ("cycles VMM", "right"),
            ("cycles, all", "right"),
            ("seconds", "right"),
            ("share %", "right"),
        ],
        title="Where every second goes",
    )
    last = len(rows) - 1
    for index, (row, second, share) in enumerate(zip(rows, second_parts, share_parts, strict=True)):
        cells = [
            row.cause,
            row.place,
            "" if row.exits is None else f"{row.exits:,}",
            f"{row.cycles_l4:,}" if row.cycles_l4 else "",
            f"{row.cycles_vmm:,}" if row.cycles_vmm else "",
            f"{row.cycles:,}",
            fixed(second, places),
            fixed(share, _SHARE_PLACES),
        ]
        add_row(table, cells, section=index == last)
    add_row(
        table,
        [
            "total",
            "",
            f"{sum(row.exits or 0 for row in rows):,}",
            f"{sum(row.cycles_l4 for row in rows):,}",
            f"{sum(row.cycles_vmm for row in rows):,}",
            f"{total:,}",
            fixed(sum(second_parts), places),
            fixed(sum(share_parts), _SHARE_PLACES),
        ],
    )
    return table


def exit_table(record: Record) -> Table:
    """Exits from guest execution by the kernel's own counters, most cycles first."""
    rows = sorted(
        exits_of(record),
        key=lambda row: (-(int(row["cycles_l4"]) + int(row["cycles_vmm"])), str(row["cause"])),
    )
    cycles = [int(row["cycles_l4"]) + int(row["cycles_vmm"]) for row in rows]
    shares = apportion(cycles, 100 * 10**_SHARE_PLACES)
    table = new_table(
        [
            ("counter", "left"),
            ("exits", "right"),
            ("cycles L4", "right"),
            ("cycles VMM", "right"),
            ("cycles per exit", "right"),
            ("share of exit cycles %", "right"),
        ],
        title="Exits, by the kernel's own counters",
    )
    last = len(rows) - 1
    for index, (row, part, share) in enumerate(zip(rows, cycles, shares, strict=True)):
        cells = [
            str(row["cause"]),
            f"{int(row['count']):,}",
            f"{int(row['cycles_l4']):,}",
            f"{int(row['cycles_vmm']):,}",
            _per_exit(part, int(row["count"])),
            fixed(share, _SHARE_PLACES),
        ]
        add_row(table, cells, section=index == last)
    count = sum(int(row["count"]) for row in rows)
    add_row(
        table,
        [
            "total",
            f"{count:,}",
            f"{sum(int(row['cycles_l4']) for row in rows):,}",
            f"{sum(int(row['cycles_vmm']) for row in rows):,}",
            _per_exit(sum(cycles), count),
            fixed(sum(shares), _SHARE_PLACES),
        ],
    )
    return table


def sensitivity_table(record: Record) -> Table:
    """Elapsed time with one uncertain parameter after another at its ends, widest span first."""
    rows = sorted(
        details(record)["sensitivity"],
        key=lambda row: (-abs(row["elapsed_high_s"] - row["elapsed_low_s"]), row["parameter"]),
    )
    table = new_table(
        [
            ("parameter", "left"),
            ("unit", "left"),
            ("confidence", "left"),
            ("low", "right"),
            ("central", "right"),
            ("high", "right"),
            ("s at low", "right"),
            ("s at high", "right"),
        ],
        title="Sensitivity: elapsed time with one parameter at a time at its low and its high end",
    )
    for row in rows:
        cells = [str(row["parameter"]), str(row["unit"]), str(row["confidence"])]
        cells += [value_text(row[name]) for name in ("low", "central", "high")]
        cells += [significant(float(row[name]), 5) for name in ("elapsed_low_s", "elapsed_high_s")]
        add_row(table, cells)
    return table


def explain_figure(study: Study, run_id: str | None, path: str | os.PathLike[str]) -> Path:
    """Draw where the time of a run goes, with the other platforms of its point for comparison.

    Parameters
    ----------
    study
        The study that holds the run.
    run_id
        As for :func:`explain`.
    path
        File to write; its suffix (``.pdf``, ``.svg``, ``.png``) chooses the format.

    Returns
    -------
    pathlib.Path
        The file written.

    Raises
    ------
    ReportError
        If no single run matches, the run has no attribution, or the suffix is unknown.
    """
    from bgsim.report import style
    from bgsim.report.compile_figures import draw_stacks

    record = find_run(study.records, run_id)
    rows_of(record)
    alike = [
        other
        for other in study.records
        if other.get("point") == record.get("point")
        and other.get("replication") == record.get("replication")
        and other["platform"] != record["platform"]
        and other.get("attribution")
    ]
    bars = sorted([record, *alike], key=lambda r: (r["platform"] != "bare-metal", str(r["platform"])))
    with style.paper_style():
        figure, [[axes]] = style.new_figure(
            width_in=style.DOUBLE_COLUMN_IN, height_in=1.15 + 0.36 * len(bars)
        )
        draw_stacks(axes, [(platform_label(str(bar["platform"])), [bar]) for bar in bars])
        values = record.get("point") or {}
        words = [kind(record), point_label(values, list(values)), f"run {record['run_id']}"]
        axes.set_title(", ".join(word for word in words if word), loc="left")
        handles, labels = axes.get_legend_handles_labels()
        style.legend_outside(figure, dict(zip(labels, handles, strict=True)), columns=5, below=True)
        return style.save_as(figure, path)


def _heading(record: Record, rows: Sequence[CauseRow], frequency_hz: int) -> str:
    total = sum(row.cycles for row in rows)
    places = _second_places(total, frequency_hz)
    seconds = fixed(round(Fraction(total * 10**places, frequency_hz)), places)
    platform = str(record["platform"])
    lines = [f"run {record['run_id']}", f"{kind(record)} on {platform} ({platform_label(platform)})"]
    if record.get("guest"):
        lines[1] += f", guest {record['guest']}"
    point = record.get("point") or {}
    lines += [f"{path} = {value_text(value)}" for path, value in point.items()]
    lines.append(f"replication {record.get('replication', 0)}, seed {record.get('seed', '-')}")
    lines.append(f"{seconds} s = {total:,} core cycles at {quantity(frequency_hz / 10**6)} MHz")
    return "\n".join(lines) + "\n"


def _notes(record: Record, rows: Sequence[CauseRow]) -> Iterator[str]:
    attributed = {row.cause: row.cycles for row in rows}
    charged = {str(r["cause"]): int(r["cycles_l4"]) + int(r["cycles_vmm"]) for r in exits_of(record)}
    if charged.keys() - attributed.keys():
        yield (
            "Exits that the VMM serves stand among the causes as ipc (their cycles in L4) and vmm,\n"
            "not by name.\n"
        )
    if any(cycles != attributed[cause] for cause, cycles in charged.items() if cause in attributed):
        yield (
            "Some exits are charged here with cycles that have a cause of their own above, such as\n"
            "cache refill.\n"
        )


def _range(record: Record) -> Iterator[str]:
    limits = details(record).get("sensitivity_range_s")
    if limits is not None:
        low, high = (significant(float(limit), 4) for limit in limits)
        yield f"All together, as bounds and not as confidence limits: {low} to {high} s.\n"
    measured_s = published.COMPILE_ELAPSED_S.get(str(record["platform"]))
    comparable = kind(record) == "compile" and published.compile_is_comparable(workload(record))
    if comparable and measured_s is not None:
        yield f"{published.SOURCE[0].upper()}{published.SOURCE[1:]}: {measured_s:g} s.\n"


def _per_exit(cycles: int, count: int) -> str:
    return f"{cycles / count:,.1f}" if count else "-"


def _second_places(total: int, frequency_hz: int) -> int:
    """Decimal places that give the total its significant digits."""
    seconds = total / frequency_hz
    if seconds <= 0:
        return 0
    return max(0, _SIGNIFICANT_DIGITS - 1 - math.floor(math.log10(seconds)))
