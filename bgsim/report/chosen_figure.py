"""Any column of a summary against any other: the figure a paper needs that nobody has thought of.

Upwards stand metrics, to the right a swept column, the platform or another metric. What the other columns
say apart is named (``--group``) or fixed (``--where``); points that would fall on each other are refused, and
never averaged silently. Bands and bars are the intervals of the summary.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bgsim.experiment.errors import quoted
from bgsim.report import intervals, style
from bgsim.report.linear_axes import never_negative, plain_linear_ticks
from bgsim.report.results import (
    Cell,
    Group,
    ReportError,
    Results,
    number,
    platform_label,
    short_names,
    value_text,
)
from bgsim.report.sweep_figures import metric_label
from bgsim.spelling import did_you_mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PLATFORM = "platform"
COLUMNS = ("single", "double")
_PANEL_IN = 1.75


@dataclass(frozen=True)
class Choice:
    """What to draw.

    Attributes
    ----------
    x
        Column to the right.
    y
        Metrics upwards, a panel for each.
    group
        Columns whose values make a series each; the platform where there are several, unless set.
    where
        Column to the value its rows must have, as text.
    log
        Which axes are logarithmic: any of ``x`` and ``y``.
    column
        ``single`` or ``double``: as wide as one column of a paper, or as two.
    """

    x: str
    y: tuple[str, ...]
    group: tuple[str, ...] = ()
    where: Mapping[str, str] = field(default_factory=dict)
    log: str = ""
    column: str = "single"


@dataclass(frozen=True)
class Column:
    """A column that can be drawn.

    Attributes
    ----------
    kind
        ``swept``, ``platform`` or ``metric``.
    values
        Its values, or the range of a metric, as text.
    """

    name: str
    kind: Literal["swept", "platform", "metric"]
    unit: str
    values: str


@dataclass(frozen=True)
class Mark:
    """One row of the summary at its place."""

    x: float
    across: Cell | None
    cell: Cell


def swept_columns(results: Results) -> dict[str, str]:
    """Column to swept path: named as in the summary, by the whole path where a metric has the short name."""
    metrics = {name for point in results.points for group in point.groups for name in group.cells}
    return {path if name in metrics else name: path for path, name in short_names(results.axes).items()}


def columns_of(results: Results) -> list[Column]:
    """Every column of a study that can be drawn, with its values."""
    groups = [group for point in results.points for group in point.groups]
    found: list[Column] = []
    for name, axis in swept_columns(results).items():
        values = list(dict.fromkeys(value_text(group.shown.get(axis)) for group in groups))
        found.append(Column(name, "swept", "", _shortened(values)))
    platforms = list(dict.fromkeys(group.platform for group in groups))
    found.append(Column(PLATFORM, "platform", "", _shortened(platforms)))
    for metric in dict.fromkeys(name for group in groups for name in group.cells):
        cells = [group.cells[metric] for group in groups if metric in group.cells]
        means = [cell.mean for cell in cells]
        found.append(Column(metric, "metric", cells[0].unit, f"{min(means):.6g} to {max(means):.6g}"))
    return found


def _shortened(values: Sequence[str], most: int = 6) -> str:
    shown = ", ".join(values[:most])
    return shown if len(values) <= most else f"{shown}, ... ({len(values)})"


def chosen_figure(results: Results, choice: Choice) -> Figure:
    """Draw a choice of columns; to be called inside :func:`bgsim.report.style.paper_style`.

    Raises
    ------
    ReportError
        A column is unknown or of the wrong kind, no row is left, or several points share a place.
    """
    kinds = {column.name: column for column in columns_of(results)}
    axes = swept_columns(results)
    _check(choice, kinds)
    rows = _rows(results, choice, axes)
    several = len({row.platform for row in rows}) > 1 and choice.x != PLATFORM
    group = choice.group or ((PLATFORM,) if several else ())
    series: dict[tuple[str, ...], list[Group]] = {}
    for row in rows:
        series.setdefault(tuple(_value(row, name, axes) for name in group), []).append(row)
    if len(series) > style.SERIES_MAX:
        raise ReportError(
            f"--group {' '.join(group)} makes {len(series)} series, and no more than {style.SERIES_MAX} can "
            "be told apart; fix some with --where"
        )
    if kinds[choice.x].kind != "metric":
        _refuse_shared_places(series, choice, group, axes)
    return _drawn(series, group, choice, axes, kinds)


def _check(choice: Choice, kinds: Mapping[str, Column]) -> None:
    metrics = [name for name, column in kinds.items() if column.kind == "metric"]
    named = {"--x": (choice.x,), "--y": choice.y, "--group": choice.group, "--where": tuple(choice.where)}
    for option, names in named.items():
        for name in names:
            if name not in kinds:
                near = did_you_mean(name, kinds) or "; bgsim plot --list DIR shows all"
                raise ReportError(f"{option} {name}: the study has no such column{near}")
            is_metric = kinds[name].kind == "metric"
            if option == "--y" and not is_metric:
                raise ReportError(f"--y {name}: not a metric; those are {quoted(metrics[:12])}")
            if option in ("--group", "--where") and is_metric:
                raise ReportError(f"{option} {name}: a metric, and those do not tell points apart")
    if set(choice.log) - set("xy"):
        raise ReportError(f"--log {choice.log}: expected x, y or xy")
    if choice.column not in COLUMNS:
        raise ReportError(f"--column {choice.column}: expected {quoted(COLUMNS)}")


def _value(row: Group, name: str, axes: Mapping[str, str]) -> str:
    return row.platform if name == PLATFORM else value_text(row.shown.get(axes[name]))


def _rows(results: Results, choice: Choice, axes: Mapping[str, str]) -> list[Group]:
    rows = [group for point in results.points for group in point.groups]
    for name, wanted in choice.where.items():
        values = dict.fromkeys(_value(row, name, axes) for row in rows)
        rows = [row for row in rows if _value(row, name, axes) == wanted]
        if not rows:
            near = did_you_mean(wanted, values) or f"; there are {quoted(values)}"
            raise ReportError(f"--where {name}={wanted}: no such value{near}")
    needed = (*choice.y, *(() if choice.x in axes or choice.x == PLATFORM else (choice.x,)))
    for name in needed:
        if not any(name in row.cells for row in rows):
            raise ReportError(f"no point that is left has {name}; see --where")
    return [row for row in rows if row.cells.keys() & set(needed)]


def _refuse_shared_places(
    series: Mapping[tuple[str, ...], Sequence[Group]],
    choice: Choice,
    group: Sequence[str],
    axes: Mapping[str, str],
) -> None:
    columns = (*axes, PLATFORM)
    for key, rows in series.items():
        places: dict[str, list[Group]] = {}
        for row in rows:
            places.setdefault(_value(row, choice.x, axes), []).append(row)
        for place, alike in places.items():
            if len(alike) == 1:
                continue
            values = {name: list(dict.fromkeys(_value(row, name, axes) for row in alike)) for name in columns}
            apart = [name for name in columns if len(values[name]) > 1]
            known = zip((choice.x, *group), (place, *key), strict=True)
            where = ", ".join(f"{name}={value}" for name, value in known)
            raise ReportError(
                f"{len(alike)} points have {where}; they differ in {', '.join(apart)}: name these with "
                f"--group, or fix them, such as with --where '{apart[0]}={values[apart[0]][0]}'"
            )


def _drawn(
    series: Mapping[tuple[str, ...], Sequence[Group]],
    group: Sequence[str],
    choice: Choice,
    axes: Mapping[str, str],
    kinds: Mapping[str, Column],
) -> Figure:
    categories = _categories(series.values(), choice, axes, kinds)
    wide = choice.column == "double"
    figure, panels = style.new_figure(
        len(choice.y),
        1,
        width_in=style.DOUBLE_COLUMN_IN if wide else style.SINGLE_COLUMN_IN,
        height_in=0.75 + len(choice.y) * _PANEL_IN * (1.15 if wide else 1.0),
        sharex=True,
    )
    _refuse_logarithms(series.values(), choice)
    handles: dict[str, Any] = {}
    looks = _looks(list(series), group)
    for [panel], metric in zip(panels, choice.y, strict=True):
        for place, (key, rows) in enumerate(series.items()):
            marks = [_mark(row, metric, choice.x, axes, categories) for row in rows if metric in row.cells]
            found = sorted((mark for mark in marks if mark is not None), key=lambda mark: mark.x)
            if not found:
                continue
            panel.set_ylabel(metric_label(metric, found[0].cell))
            shift = (place - (len(series) - 1) / 2) * 0.5 / len(series) if categories else 0.0
            drawn = _line(panel, found, looks[key], joined=not categories and choice.x in axes, shift=shift)
            if key:
                handles.setdefault(_label(key, group), drawn)
        _scale(panel, "y", "y" in choice.log, from_zero=never_negative(metric))
    _x_axis(panels[-1][0], choice, categories, series, axes, kinds)
    if handles:
        style.legend_outside(figure, handles, columns=4 if wide else 2)
    return figure


def _refuse_logarithms(series: Iterable[Sequence[Group]], choice: Choice) -> None:
    rows = [row for part in series for row in part]
    for which, names in (("x", (choice.x,)), ("y", choice.y)):
        for name in names if which in choice.log else ():
            low = [row for row in rows if name in row.cells and row.cells[name].mean <= 0]
            if low:
                raise ReportError(
                    f"--log {which}: {name} is not above 0 at {len(low)} points, such as {low[0].platform}; "
                    "leave them out with --where, or take a linear axis"
                )


def _categories(
    series: Iterable[Sequence[Group]], choice: Choice, axes: Mapping[str, str], kinds: Mapping[str, Column]
) -> list[str]:
    """Texts of the x axis where it has no numbers; empty where it has."""
    if kinds[choice.x].kind == "metric":
        return []
    rows = [row for part in series for row in part]
    if choice.x in axes and all(number(row.point.get(axes[choice.x])) is not None for row in rows):
        return []
    return list(dict.fromkeys(_value(row, choice.x, axes) for row in rows))


def _mark(row: Group, metric: str, x: str, axes: Mapping[str, str], categories: Sequence[str]) -> Mark | None:
    cell = row.cells[metric]
    if categories:
        return Mark(float(categories.index(_value(row, x, axes))), None, cell)
    if x in axes:
        place = number(row.point.get(axes[x]))
        return None if place is None else Mark(place[0], None, cell)
    other = row.cells.get(x)
    return None if other is None else Mark(other.mean, other, cell)


def _looks(keys: Sequence[tuple[str, ...]], group: Sequence[str]) -> dict[tuple[str, ...], dict[str, Any]]:
    """Colour by platform where series are told apart by it, by place otherwise; never by colour alone."""
    colours, markers, dashes = style.SERIES_COLOURS, style.SERIES_MARKERS, style.LINE_STYLES
    column = list(group).index(PLATFORM) if PLATFORM in group else None
    platforms = {key[column] for key in keys} if column is not None else set()
    variants: dict[tuple[str, ...], int] = {}
    found = {}
    for place, key in enumerate(keys):
        rest = tuple(value for name, value in zip(group, key, strict=True) if name != PLATFORM)
        variant = variants.setdefault(rest, len(variants))
        colour, marker, dash = (
            colours[place % len(colours)],
            markers[place % len(markers)],
            place // len(colours),
        )
        if column is not None and len(platforms) > 1:
            platform = style.platform_style(key[column])
            colour, dash = platform.colour, variant
            marker = platform.marker if len(keys) == len(platforms) else marker
        found[key] = {"color": colour, "marker": marker, "linestyle": dashes[dash % len(dashes)]}
    return found


def _label(key: Sequence[str], group: Sequence[str]) -> str:
    pairs = zip(group, key, strict=True)
    return ", ".join(
        platform_label(value) if name == PLATFORM else f"{name}={value}" for name, value in pairs
    )


def _line(panel: Axes, marks: Sequence[Mark], look: Mapping[str, Any], joined: bool, shift: float) -> Any:
    x, y = [mark.x + shift for mark in marks], [mark.cell.mean for mark in marks]
    upwards = intervals.reach([mark.cell for mark in marks])
    if joined:
        if any(upwards[0]) or any(upwards[1]):
            low, high = np.subtract(y, upwards[0]), np.add(y, upwards[1])
            panel.fill_between(x, low, high, color=look["color"], alpha=0.2, linewidth=0)
        # A mark on an axis that begins at zero is drawn whole.
        return panel.plot(x, y, **look, clip_on=False)[0]
    across = intervals.reach([mark.across for mark in marks])
    ends = {"yerr": upwards, "xerr": across}
    bars: dict[str, Any] = {name: both for name, both in ends.items() if any(map(any, both))}
    drawn = panel.errorbar(x, y, **bars, **{**look, "linestyle": "none"}, elinewidth=0.8, capsize=1.5)
    drawn.lines[0].set_clip_on(False)
    return drawn if bars else drawn.lines[0]


def _scale(
    panel: Axes, which: Literal["x", "y"], logarithmic: bool, *, binary: bool = False, from_zero: bool = False
) -> None:
    if logarithmic:
        style.plain_log_ticks(panel, which)
    else:
        plain_linear_ticks(panel, which, binary=binary, from_zero=from_zero)


def _x_axis(
    panel: Axes,
    choice: Choice,
    categories: Sequence[str],
    series: Mapping[tuple[str, ...], Sequence[Group]],
    axes: Mapping[str, str],
    kinds: Mapping[str, Column],
) -> None:
    rows = [row for part in series.values() for row in part]
    if categories:
        panel.set_xticks(range(len(categories)), [platform_label(text) for text in categories])
        panel.set_xlabel(choice.x)
        if sum(map(len, categories)) > 40:
            panel.tick_params(axis="x", rotation=30)
            for label in panel.get_xticklabels():
                label.set_horizontalalignment("right")
        return
    if kinds[choice.x].kind == "metric":
        cell = next(row.cells[choice.x] for row in rows if choice.x in row.cells)
        panel.set_xlabel(metric_label(choice.x, cell))
        _scale(panel, "x", "x" in choice.log, from_zero=never_negative(choice.x))
        return
    places = [found for row in rows if (found := number(row.point.get(axes[choice.x]))) is not None]
    unit = next((unit for _, unit in places if unit), "")
    panel.set_xlabel(f"{choice.x} ({unit})" if unit else choice.x)
    if unit == "B" and "x" in choice.log:
        style.size_ticks(panel, [value for value, _ in places])
    else:
        none_below = all(value >= 0 for value, _ in places)
        _scale(panel, "x", "x" in choice.log, binary=unit == "B", from_zero=none_below)
