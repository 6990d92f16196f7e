"""Tables of a report page: texts with the numbers they are sorted by."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from bgsim.report.attribution import CauseRow, exits_of, rows_of
from bgsim.report.causes import label
from bgsim.report.numbers import apportion, fixed
from bgsim.report.results import Record, core_frequency_hz
from bgsim.report.tables import Comparison
from bgsim.units import UnitError, parse

_NUMBER = re.compile(r"[-+]?[\d,]+(\.\d+)?")
_DIMENSIONS = ("bytes", "time", "rate", "frequency")


@dataclass(frozen=True)
class Cell:
    """One text of a table.

    Attributes
    ----------
    text
        As shown.
    key
        What it is sorted by: a number where it begins with one, its text otherwise.
    bar
        Share of the cell's width that is filled, 0 to 1; None for no bar.
    hint
        Shown on hovering; empty for nothing.
    """

    text: str
    key: float | str
    bar: float | None = None
    hint: str = ""


@dataclass(frozen=True)
class PageTable:
    """A table with its caption.

    Attributes
    ----------
    columns
        Heading and whether its texts are numbers.
    total
        A last row that stays where it is; empty for none.
    """

    caption: str
    columns: tuple[tuple[str, bool], ...]
    rows: tuple[tuple[Cell, ...], ...]
    total: tuple[Cell, ...] = ()


def sort_key(text: str) -> float | str:
    """A text's number, in base units where it has a unit; its letters in lower case otherwise.

    Examples
    --------
    >>> sort_key("1,024"), sort_key("3 KiB"), sort_key("117.6 [110, 120]"), sort_key("gcc346")
    (1024.0, 3072.0, 117.6, 'gcc346')
    """
    for dimension in _DIMENSIONS:
        try:
            return float(parse(text, dimension).value)
        except UnitError:
            continue
    match = _NUMBER.match(text)
    rest = text[match.end() :] if match else ""
    if match and (not rest or not rest[0].isalnum() or rest == "x"):
        return float(match[0].replace(",", ""))
    return text.lower()


def cells(texts: Iterable[str]) -> tuple[Cell, ...]:
    """Texts with their keys."""
    return tuple(Cell(text, sort_key(text)) for text in texts)


def comparison_table(found: Comparison) -> PageTable:
    """Native beside virtualised, every row complete so that it can be sorted."""
    columns = tuple((heading, justify == "right") for heading, justify in found.columns)
    return PageTable("", columns, tuple(cells(row) for row in found.rows))


def cause_page_table(record: Record) -> PageTable:
    """Every cause of a run with its share as a bar; cycles, seconds and shares add up."""
    rows = rows_of(record)
    total = sum(row.cycles for row in rows)
    frequency = core_frequency_hz(record)
    shares = apportion([row.cycles for row in rows], 10_000)
    most = max((row.cycles for row in rows), default=1) or 1
    body = tuple(_cause_row(row, share, most, frequency) for row, share in zip(rows, shares, strict=True))
    columns = (
        ("cause", False), ("where", False), ("exits", True), ("cycles", True), ("ms", True),
        ("share %", True),
    )  # fmt: skip
    ending = cells(
        [
            "total",
            "",
            f"{sum(row.exits or 0 for row in rows):,}",
            f"{total:,}",
            _ms(total, frequency),
            "100.00",
        ]
    )
    return PageTable("Where the time goes", columns, body, ending)


def _cause_row(row: CauseRow, share: int, most: int, frequency: int) -> tuple[Cell, ...]:
    return (
        Cell(label(row.cause), label(row.cause).lower(), hint=row.cause),
        Cell(row.place, row.place),
        Cell("" if row.exits is None else f"{row.exits:,}", -1.0 if row.exits is None else float(row.exits)),
        Cell(f"{row.cycles:,}", float(row.cycles)),
        Cell(_ms(row.cycles, frequency), float(row.cycles)),
        Cell(fixed(share, 2), float(row.cycles), bar=row.cycles / most),
    )


def _ms(cycles: int, frequency: int) -> str:
    return f"{1e3 * cycles / frequency:,.3f}"


def exit_page_table(record: Record) -> PageTable:
    """Exits by the kernel's own counters."""
    listed = [
        (str(row["cause"]), int(row["count"]), int(row["cycles_l4"]), int(row["cycles_vmm"]))
        for row in exits_of(record)
    ]
    listed.sort(key=lambda row: (-row[2] - row[3], row[0]))
    most = max((row[2] + row[3] for row in listed), default=1) or 1
    rows = tuple(_exit_row(*row, most) for row in listed)
    count, l4, vmm = (sum(row) for row in list(zip(*listed, strict=True))[1:]) if listed else (0, 0, 0)
    columns = (
        ("counter", False), ("exits", True), ("cycles L4", True), ("cycles VMM", True),
        ("cycles per exit", True), ("cycles", True),
    )  # fmt: skip
    total = l4 + vmm
    ending = cells(["total", *(f"{n:,}" for n in (count, l4, vmm)), _each(total, count), f"{total:,}"])
    return PageTable("Exits, by the kernel's own counters", columns, rows, ending)


def _exit_row(cause: str, count: int, l4: int, vmm: int, most: int) -> tuple[Cell, ...]:
    cycles = l4 + vmm
    return (
        Cell(cause, cause.lower(), hint=label(cause)),
        Cell(f"{count:,}", float(count)),
        Cell(f"{l4:,}", float(l4)),
        Cell(f"{vmm:,}", float(vmm)),
        Cell(_each(cycles, count), cycles / count if count else 0.0),
        Cell(f"{cycles:,}", float(cycles), bar=cycles / most),
    )


def _each(cycles: int, count: int) -> str:
    return f"{cycles / count:,.0f}" if count else "-"
