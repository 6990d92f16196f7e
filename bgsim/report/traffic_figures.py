"""Figures of the traffic workload: time of an operation against size, and rates of distance classes.

Measured values stand beside the simulated ones where there are any. Bars are from the fastest node to the
slowest, on both sides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bgsim.experiment.metrics import BASELINE
from bgsim.report import intervals, style, sweep_figures
from bgsim.report.parts import split_by
from bgsim.report.results import Group, Point, amount, point_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OWN_AXES = ("workload.pattern", "workload.operation", "workload.displacement", "workload.size")
TIME, RATE = "operation_us_avg", "bandwidth_MiBps"

TIME_TOLERANCE_PERCENT, TIME_TOLERANCE_FROM_BYTES = 5.0, 1024
RATE_TOLERANCE_PERCENT = 15.0
_PANELS_SIDE_BY_SIDE = 4
_PANELS_IN_A_ROW = 3
_ROWS_MOST, _ROWS_MOST_COMPARED = 5, 2
_ROW_IN = 1.6
_WIDE_PANELS = 2  # side by side; narrower ones have fewer ticks and titles of two lines

ROUNDING_US = 0.5
"""The tables of times are in whole microseconds."""


def figures(points: Sequence[Point], axes: Sequence[str]) -> Iterator[tuple[str, Figure]]:
    """Name and figure: rates of shifts by distance, times of the other patterns by size.

    A sweep of neither is drawn as any other.
    """
    drawn = False
    for values, part in split_by(points, axes, OWN_AXES):
        suffix = style.slug(point_label(values, list(values)))
        end = f"-{suffix}" if suffix else ""
        groups = [group for point in part for group in point.groups if group.mean(TIME) is not None]
        shifts = [group for group in groups if group.workload["pattern"] == "shift"]
        classes = {str(group.workload["displacement"]) for group in shifts}
        others = [group for group in groups if group not in shifts] if len(classes) > 1 else groups
        if len(classes) > 1:
            yield f"traffic-classes{end}", rates_of_classes(shifts)
            drawn = True
        if len({_size(group) for group in others}) > 1:
            parts = _pages(others)
            for page, shown in enumerate(parts, start=1):
                number = f"-{page}" if len(parts) > 1 else ""
                yield f"traffic-operations{end}{number}", times_against_size(shown)
            drawn = True
    if not drawn:
        yield from sweep_figures.figures(points, axes, (), (TIME, RATE))


def _size(group: Group) -> float:
    size = amount(group.workload["size"], "bytes")
    assert size is not None, "workload.size is validated as a size before anything runs"
    return size


def _measured(group: Group) -> Mapping[str, float]:
    # Records of earlier versions hold what was measured natively on every platform.
    found: Mapping[str, float] | None = group.details.get("measured") if group.platform == BASELINE else None
    return found or {}


def _series(group: Group) -> str:
    workload = group.workload
    place = workload["displacement"]
    where = f" by {tuple(place)}" if place else ""
    return f"{workload['pattern']} {workload['operation']}{where}"


def _names(groups: Sequence[Group]) -> list[str]:
    return list(dict.fromkeys(_series(group) for group in groups))


def _compared(groups: Sequence[Group]) -> bool:
    return any("operation_us_avg" in _measured(group) for group in groups)


def _columns(names: Sequence[str]) -> int:
    return len(names) if len(names) <= _PANELS_SIDE_BY_SIDE else _PANELS_IN_A_ROW


def _pages(groups: Sequence[Group]) -> list[list[Group]]:
    """Groups of each figure, so that its rows of panels fit a page."""
    names = _names(groups)
    columns = _columns(names)
    rows = [names[first : first + columns] for first in range(0, len(names), columns)]
    found = []
    for page in style.pages(rows, _ROWS_MOST_COMPARED if _compared(groups) else _ROWS_MOST):
        shown = {name for row in page for name in row}
        found.append([group for group in groups if _series(group) in shown])
    return found


def times_against_size(groups: Sequence[Group]) -> Figure:
    """A panel for each pattern and operation, and below it how far it is from the measurement.

    More than four panels stand in rows of three, all with the same axis of times.
    """
    from matplotlib.lines import Line2D

    names = _names(groups)
    compared = _compared(groups)
    columns = _columns(names)
    rows = -(-len(names) // columns)
    figure, grid = style.new_figure(
        rows * (2 if compared else 1),
        columns,
        width_in=style.DOUBLE_COLUMN_IN if columns > 1 else style.SINGLE_COLUMN_IN,
        height_in=3.6 * rows if compared else 2.4 + _ROW_IN * (rows - 1),
        sharex="col",
        sharey="row",
        height_ratios=[3, 1.4] * rows if compared else [1] * rows,
    )
    times, errors = (grid[::2], grid[1::2]) if compared else (grid, [])
    narrow = columns > _WIDE_PANELS
    for place, name in enumerate(names):
        row, column = divmod(place, columns)
        line = sorted((group for group in groups if _series(group) == name), key=_size)
        panel = times[row][column]
        _simulated_times(panel, line)
        known = [group for group in line if "operation_us_avg" in _measured(group)]
        if known:
            _measured_times(panel, known)
            _time_errors(errors[row][column], known)
        panel.set_title(name.replace(" by ", "\nby ") if narrow else name)
        panel.set_yscale("log")
        if place + columns >= len(names):  # the lowest of its column, whose sizes all of them share
            lowest = errors[row][column] if compared else panel
            sizes = [_size(group) for group in groups if _series(group) in names[column::columns]]
            style.size_ticks(lowest, sizes, most=4 if narrow else 7)
            lowest.set_xlabel("size (B)")
            lowest.tick_params(labelbottom=True)
    for panel in [panel for panels in grid for panel in panels if rows > 1 and not panel.has_data()]:
        panel.set_visible(False)
    low, high = zip(*(first.get_ylim() for first, *_ in times), strict=True)
    for first, *_ in times:
        if rows > 1:
            first.set_ylim(min(low), max(high))
        style.plain_log_ticks(first, "y")
        first.set_ylabel("time per operation (µs)")
    handles: dict[str, Any] = {"simulated": Line2D([], [], color=style.BLUE)}
    handles["its fastest to slowest node"] = Line2D([], [], color=style.SKY_BLUE, linewidth=5, alpha=0.6)
    if compared:
        for first, *_ in errors:
            first.set_ylabel(f"deviation (%)\nband: ±{TIME_TOLERANCE_PERCENT:g} %")
        handles["measured: mean, fastest, slowest"] = Line2D(
            [], [], color=style.VERMILLION, marker="o", linestyle="none", fillstyle="none"
        )
        handles["half a µs of rounding"] = Line2D([], [], color=style.GREY, linewidth=0.8)
    style.legend_outside(figure, handles, columns=4)
    return figure


def _simulated_times(panel: Axes, line: Sequence[Group]) -> None:
    x = [_size(group) for group in line]
    fastest, mean, slowest = (
        [group.cells[f"operation_us_{which}"].mean for group in line] for which in ("min", "avg", "max")
    )
    panel.fill_between(x, fastest, slowest, color=style.SKY_BLUE, alpha=0.6, linewidth=0)
    panel.plot(x, mean, color=style.BLUE)
    intervals.bars(panel, x, [group.cells[TIME] for group in line], style.BLUE)


def _measured_times(panel: Axes, known: Sequence[Group]) -> None:
    values = [_measured(group) for group in known]
    mean = [value["operation_us_avg"] for value in values]
    below = [m - value["operation_us_min"] for m, value in zip(mean, values, strict=True)]
    above = [value["operation_us_max"] - m for m, value in zip(mean, values, strict=True)]
    panel.errorbar(
        [_size(group) for group in known],
        mean,
        yerr=[below, above],
        color=style.VERMILLION,
        marker="o",
        fillstyle="none",
        linestyle="none",
        elinewidth=0.8,
        capsize=1.6,
    )


def _time_errors(panel: Axes, known: Sequence[Group]) -> None:
    measured = [_measured(group)["operation_us_avg"] for group in known]
    errors = [
        100 * (group.cells[TIME].mean / value - 1) for group, value in zip(known, measured, strict=True)
    ]
    panel.axhline(0.0, color=style.BLACK, linewidth=0.6)
    sizes = [_size(group) for group in known]
    panel.fill_between(
        [max(TIME_TOLERANCE_FROM_BYTES, min(sizes)) / 2**0.5, max(sizes) * 2**0.5],
        -TIME_TOLERANCE_PERCENT,
        TIME_TOLERANCE_PERCENT,
        color=style.LIGHT_GREY,
        alpha=0.6,
        linewidth=0,
    )
    panel.errorbar(
        sizes,
        errors,
        yerr=[100 * ROUNDING_US / value for value in measured],
        color=style.BLUE,
        ecolor=style.GREY,
        marker="o",
        fillstyle="none",
        linestyle="none",
        elinewidth=0.8,
    )


def rates_of_classes(groups: Sequence[Group]) -> Figure:
    """A row for each displacement, fastest first: rates at each size, and how far they are off."""
    from matplotlib.lines import Line2D

    sizes = sorted({_size(group) for group in groups})
    by_class: dict[str, list[Group]] = {}
    for group in groups:
        by_class.setdefault(str(tuple(group.workload["displacement"])), []).append(group)
    ranked = sorted(by_class, key=lambda name: -_middle(by_class[name]))
    compared = any(_range(group) for group in groups)
    figure, [panels] = style.new_figure(
        1,
        2 if compared else 1,
        width_in=style.DOUBLE_COLUMN_IN if compared else style.SINGLE_COLUMN_IN,
        height_in=0.9 + (0.28 if len(sizes) > 1 else 0.2) * len(ranked),
        sharey=True,
        width_ratios=[1.6, 1] if compared else [1],
    )
    handles: dict[str, Any] = {}
    for row, name in enumerate(ranked):
        for group in by_class[name]:
            number = sizes.index(_size(group))
            offset = (number - (len(sizes) - 1) / 2) * 0.6 / max(1, len(sizes) - 1)
            look: dict[str, Any] = {
                "color": style.SERIES_COLOURS[number % len(style.SERIES_COLOURS)],
                "marker": style.SERIES_MARKERS[number % len(style.SERIES_MARKERS)],
                "fillstyle": "none",
                "linestyle": "none",
            }
            rate = group.cells[RATE].mean
            panels[0].plot([rate], [row + offset], **look)
            intervals.bars(panels[0], [row + offset], [group.cells[RATE]], look["color"], across=True)
            handles[f"simulated, {group.workload['size']}"] = Line2D([], [], **look)
            span = _range(group)
            if span:
                panels[0].plot(
                    span, [row + offset] * 2, color=style.BLACK, marker="|", linewidth=1.6, markersize=5
                )
                panels[1].plot([100 * (rate / ((span[0] + span[1]) / 2) - 1)], [row + offset], **look)
    panels[0].set_xscale("log")
    style.plain_log_ticks(panels[0], "x")
    panels[0].set_xlabel("rate of a node, mean over nodes (MiB/s)")
    panels[0].set_yticks(range(len(ranked)), ranked)
    panels[0].set_ylim(len(ranked) - 0.5, -0.5)
    panels[0].set_ylabel("displacement")
    for panel in panels:
        panel.tick_params(axis="y", length=0)
        panel.grid(visible=False, axis="y")
        for row in range(1, len(ranked)):
            panel.axhline(row - 0.5, color=style.LIGHT_GREY, linewidth=0.4)
    if compared:
        tolerance = RATE_TOLERANCE_PERCENT
        panels[1].axvspan(-tolerance, tolerance, color=style.LIGHT_GREY, alpha=0.6, linewidth=0)
        panels[1].axvline(0.0, color=style.BLACK, linewidth=0.6)
        reach = 1.15 * max(tolerance, *map(abs, panels[1].get_xlim()))
        panels[1].set_xlim(-reach, reach)
        panels[1].set_xlabel(f"deviation (%), band: ±{tolerance:g} %")
        handles["measured, over signs"] = Line2D([], [], color=style.BLACK, marker="|", linewidth=1.6)
    style.legend_outside(figure, handles, columns=5)
    return figure


def _range(group: Group) -> tuple[float, float] | None:
    found = _measured(group)
    if "bandwidth_MiBps_min" not in found:
        return None
    return found["bandwidth_MiBps_min"], found["bandwidth_MiBps_max"]


def _middle(groups: Sequence[Group]) -> float:
    """What classes are ranked by: the measured rates if there are any, else the simulated ones."""
    spans = [span for span in map(_range, groups) if span]
    if spans:
        return sum(low + high for low, high in spans) / (2 * len(spans))
    return sum(group.cells[RATE].mean for group in groups) / len(groups)
