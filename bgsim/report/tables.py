"""Native beside virtualised: the comparison table of a study.

The slowdown says how many times worse the virtual machine is: for times virtualised over native,
for rates native over virtualised, nothing for counts, of which more is not worse.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from bgsim.experiment.metrics import BASELINE, METRICS, SLOWDOWN_BASIS
from bgsim.report import published
from bgsim.report.dcmf_figures import measured_of
from bgsim.report.numbers import common_scale, quantity, significant
from bgsim.report.operations import OperationCost, by_operation, costs_of
from bgsim.report.results import (
    HEADLINE_METRICS,
    PLATFORMS,
    Cell,
    Group,
    Point,
    Results,
    Study,
    platform_label,
    short_names,
    value_text,
)

if TYPE_CHECKING:
    from rich.table import Table

_COUNTED_UNITS = ("count", "cycles", "instructions")
_EXTRA_COLUMNS = ("bounds", "measured", "deviation", "hand count")
_COMPARED_UNITS = ("s", "us", "cycles", "bps", "MiBps")


def comparison(study: Study) -> Table:
    """Comparison of the platforms, one row for each point and metric.

    Parameters
    ----------
    study
        The study, with ``records`` and ``summary()``.

    Returns
    -------
    rich.table.Table
        Swept values, metric, unit, a column for each platform, slowdown. Brackets hold the
        interval over replications where there are several; for a prediction that states its
        bounds, an extra column gives them.

    Raises
    ------
    ReportError
        If the study holds no finished run.
    """
    return _comparison(Results(study))


def comparison_text(study: Study) -> str:
    """The comparison as plain aligned text, good without a terminal."""
    return plain(comparison(study))


def plain(table: Table) -> str:
    """A rich table as text of its natural width: no colours, no wrapping, no trailing blanks."""
    from rich.console import Console

    buffer = io.StringIO()
    console = Console(file=buffer, width=1000, no_color=True, force_terminal=False, legacy_windows=False)
    console.print(table)
    return "\n".join(line.rstrip() for line in buffer.getvalue().rstrip().splitlines()) + "\n"


def new_table(columns: Sequence[tuple[str, str]], title: str = "", caption: str = "") -> Table:
    """An empty table of the house style.

    Parameters
    ----------
    columns
        Heading and justification (``left`` or ``right``) of each.
    title, caption
        Lines above and below.
    """
    from rich.box import Box
    from rich.table import Table
    from rich.text import Text

    # Only a rule below the headings and one above the totals: survives a pager, a diff and an e-mail.
    rules = Box("    \n    \n -- \n    \n -- \n -- \n    \n    \n", ascii=True)
    table = Table(
        box=rules,
        title=Text(title) if title else None,
        caption=Text(caption, no_wrap=True, overflow="ignore") if caption else None,
        title_justify="left",
        caption_justify="left",
        pad_edge=False,
        show_edge=False,
        header_style="bold",
        title_style="bold",
        caption_style="",
    )
    for heading, justify in columns:
        # Folded, never cut: on a narrow terminal a number over two lines is ugly, half a number is wrong.
        table.add_column(Text(heading), justify="right" if justify == "right" else "left", overflow="fold")
    return table


def add_row(table: Table, cells: Sequence[str], *, section: bool = False) -> None:
    """Add a row of literal text: a bracket is a bracket, not markup."""
    from rich.text import Text

    table.add_row(*(Text(cell) for cell in cells), end_section=section)


class Comparison(NamedTuple):
    """The comparison as text, for any way of showing it.

    Attributes
    ----------
    columns
        Heading and justification (``left`` or ``right``) of each.
    rows
        One text for each column.
    axes
        Number of columns at the left that name the point.
    caption
        Lines that belong below.
    """

    columns: list[tuple[str, str]]
    rows: list[list[str]]
    axes: int
    caption: str


def compared(results: Results) -> Comparison:
    """Every point and metric with its platforms side by side."""
    platforms = [p for p in PLATFORMS if any(p in point.platforms for point in results.points)]
    platforms += sorted({p for point in results.points for p in point.platforms} - set(platforms))
    rows: list[dict[str, str]] = []
    for kind in results.kinds:
        rows += _rows(kind, results.of_kind(kind), results.axes, platforms)
    slow = [platform for platform in platforms if platform != BASELINE]
    extra = [name for name in _EXTRA_COLUMNS if any(name in row for row in rows)]
    names = short_names(results.axes)
    columns = [(names[axis], "left") for axis in results.axes]
    columns += [("metric", "left"), ("unit", "left")]
    columns += [(platform_label(platform), "right") for platform in platforms]
    with_slowdown = BASELINE in platforms and bool(slow)
    if with_slowdown:
        words = ["slowdown"] if len(slow) == 1 else [f"slowdown, {platform_label(p)}" for p in slow]
        columns += [(word, "right") for word in words]
    columns += [(name, "right") for name in extra]
    keys = [f"axis {axis}" for axis in results.axes]
    keys += ["metric", "unit", *platforms]
    keys += [f"slowdown {platform}" for platform in slow] if with_slowdown else []
    texts = [[row.get(key, "-") for key in (*keys, *extra)] for row in rows]
    return Comparison(columns, texts, len(results.axes), _caption(results))


def _comparison(results: Results) -> Table:
    found = compared(results)
    table = new_table(found.columns, caption=found.caption)
    previous: list[str] = []
    for row in found.rows:
        place, rest = row[: found.axes], row[found.axes :]
        # Repeating a point on every line would hide where the next one begins.
        shown = ["" if place == previous else text for text in place]
        previous = place
        add_row(table, [*shown, *rest])
    return table


def _rows(
    kind: str, points: Sequence[Point], axes: Sequence[str], platforms: Sequence[str]
) -> Iterator[dict[str, str]]:
    for point in points:
        place = {f"axis {axis}": value_text(point.shown.get(axis)) for axis in axes}
        operations = list(_operation_rows(point)) if kind == "micro" else []
        if operations:
            yield from (place | row for row in operations)
            continue
        wanted = HEADLINE_METRICS.get(kind)
        metrics = dict.fromkeys(name for group in point.groups for name in group.cells if name != "slowdown")
        for metric in metrics if wanted is None else [name for name in wanted if name in metrics]:
            yield place | _metric_row(point, metric, platforms)


def _metric_row(point: Point, metric: str, platforms: Sequence[str]) -> dict[str, str]:
    present = {p: point.platforms[p].cells for p in platforms if p in point.platforms}
    cells = {platform: group[metric] for platform, group in present.items() if metric in group}
    unit = next(iter(cells.values())).unit
    divisor, symbol = common_scale([cell.mean for cell in cells.values()], unit)
    row = {"metric": _words(metric, unit), "unit": symbol}
    for platform, cell in cells.items():
        row[platform] = _interval(cell, divisor)
    native = cells.get(BASELINE)
    for platform in cells:
        if native is not None and platform != BASELINE:
            basis = _basis(present[BASELINE], present[platform])
            row[f"slowdown {platform}"] = _slowdown(metric, native, present[platform], basis)
    virtual = point.platforms.get("virtual-machine")
    span = virtual.details.get("sensitivity_range_s") if virtual is not None else None
    if span is not None and metric == "elapsed_s":
        row["bounds"] = f"{significant(span[0] / divisor)} to {significant(span[1] / divisor)}"
    return row | _measured(point, metric, divisor)


def _basis(native: Mapping[str, Cell], other: Mapping[str, Cell]) -> str | None:
    """The metric that the study's own slowdown is made of."""
    return next((name for name in SLOWDOWN_BASIS if name in native and name in other), None)


def _measured(point: Point, metric: str, divisor: float) -> dict[str, str]:
    """What was measured on the real machine, and how far the first platform that has it is off."""
    for group in point.groups:
        value = _measured_value(group, metric)
        mean = group.mean(metric)
        if value is not None and mean is not None:
            deviation = f"{100 * (mean / value - 1):+z.2f} %"
            return {"measured": significant(value / divisor, 4), "deviation": deviation}
    return {}


def _measured_value(group: Group, metric: str) -> float | None:
    if group.workload["kind"] != "dcmf":
        return None
    return measured_of(group)


def _operation_rows(point: Point) -> Iterator[dict[str, str]]:
    own = str(point.groups[0].workload.get("operation"))
    for name, costs in by_operation(costs_of(point.groups)).items():
        prefix = "" if name == own else f"{name}, "
        row = _cost_row(costs, "cycles", f"{prefix}cost", "cycles")
        native = costs.get(BASELINE)
        for platform, cost in costs.items():
            if native is not None and platform != BASELINE and native.cycles:
                row[f"slowdown {platform}"] = f"{significant(cost.cycles / native.cycles)}x"
        yield row
        for quantity_name in ("instructions", "kernel_instructions", "exits"):
            words = quantity_name.replace("_", " ")
            row = _cost_row(costs, quantity_name, f"{prefix}{words}", "")
            hand = [
                quantity(cost.hand_count_instructions)
                for cost in costs.values()
                if cost.hand_count_instructions is not None and quantity_name == "kernel_instructions"
            ]
            if hand:
                row["hand count"] = ", ".join(hand)
            if len(row) > 2:
                yield row


def _cost_row(costs: Mapping[str, OperationCost], name: str, words: str, unit: str) -> dict[str, str]:
    found = {platform: getattr(cost, name) for platform, cost in costs.items()}
    return {"metric": words, "unit": unit} | {p: quantity(v) for p, v in found.items() if v is not None}


def _words(metric: str, unit: str) -> str:
    return metric.removesuffix(f"_{unit}") if unit else metric


def _interval(cell: Cell, divisor: float) -> str:
    whole = cell.unit in _COUNTED_UNITS
    text = quantity(cell.mean) if whole else significant(cell.mean / divisor, 4)
    return text + _bracket(cell, divisor, 4)


def _bracket(cell: Cell, divisor: float, digits: int) -> str:
    """The interval behind a mean; nothing when there is none or it is too narrow to print."""
    if cell.low is None or cell.high is None:
        return ""
    low, high = significant(cell.low / divisor, digits), significant(cell.high / divisor, digits)
    return f" [{low}, {high}]" if low != high else ""


def _slowdown(metric: str, native: Cell, cells: Mapping[str, Cell], basis: str | None) -> str:
    """How many times worse than native, with the study's own paired interval where it has one."""
    paired = cells.get("slowdown")
    if metric == basis and paired is not None:
        return f"{significant(paired.mean)}x{_bracket(paired, 1.0, 3)}"
    better = METRICS[metric].better if metric in METRICS else ""
    good, bad = (native, cells[metric]) if better == "lower" else (cells[metric], native)
    if not better or native.unit not in _COMPARED_UNITS or not good.mean:
        return "-"
    return f"{significant(bad.mean / good.mean)}x"


def _caption(results: Results) -> str:
    lines = []
    groups = [group for point in results.points for group in point.groups]
    if any(len(group.records) > 1 for group in groups):
        lines.append("In brackets: interval over replications.")
    if any(group.details.get("sensitivity_range_s") for group in groups):
        lines.append("Bounds: all uncertain parameters at the ends that favour the VM, then at the others.")
    compiles = [group for group in groups if group.workload["kind"] == "compile"]
    if any(published.compile_is_comparable(group.workload) for group in compiles):
        native, virtual = (f"{published.COMPILE_ELAPSED_S[p]:g} s" for p in (BASELINE, "virtual-machine"))
        ratio = published.COMPILE_ELAPSED_S["virtual-machine"] / published.COMPILE_ELAPSED_S[BASELINE]
        lines.append(f"Compile, {published.SOURCE}: native {native}, virtualised {virtual} ({ratio:g}x).")
    return "\n".join(lines)
