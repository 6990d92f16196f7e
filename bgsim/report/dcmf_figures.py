"""Figures of the dcmf workload: two-node put and get, simulated lines and measured points.

Marks of lines are filled, those of measurements hollow. Measured was the bare machine, and only its lines are
held against it. Where platforms are compared, their marks get smaller from one to the next, so that those in
one place stay visible.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bgsim.experiment.metrics import BASELINE
from bgsim.report import intervals, style
from bgsim.report.parts import split_by
from bgsim.report.results import Group, Point, amount, point_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OWN_AXES = ("workload.operation", "workload.completion", "workload.measure", "workload.size")

METRICS = {"latency": "latency_us", "bandwidth": "bandwidth_MiBps"}
_LABELS = {"latency": "latency (µs)", "bandwidth": "bandwidth (MiB/s)"}
_MARK = 2.4
_SMALLER = 1.6
"""Printed size of the smallest mark, and by how much those of one platform exceed those of the next."""
_LEGEND_IN = 0.45  # the height of the figure allows for three lines of it
_TOLERANCE_PERCENT = {"latency": 10.0, "bandwidth": 1.0}


def figures(points: Sequence[Point], axes: Sequence[str]) -> Iterator[tuple[str, Figure]]:
    """Name and figure: latency and bandwidth, for each value of the other swept axes."""
    for values, part in split_by(points, axes, OWN_AXES):
        suffix = style.slug(point_label(values, list(values)))
        for measure, metric in METRICS.items():
            groups = [
                group
                for point in part
                for group in point.groups
                if group.workload["measure"] == measure and group.mean(metric) is not None
            ]
            if groups:
                yield f"dcmf-{measure}{'-' + suffix if suffix else ''}", against_size(groups, measure)


def series_of(group: Group) -> str:
    """Which series a run belongs to: the operation and, for a put, when it counts as done."""
    operation, completion = str(group.workload["operation"]), str(group.workload["completion"])
    return operation if operation == "get" else f"{operation}, {completion} completion"


def measured_of(group: Group) -> float | None:
    """The value measured on the real machine at this size, for a run on bare metal where there is one."""
    # Records of earlier versions hold it on every platform.
    value = group.details.get("measured") if group.platform == BASELINE else None
    return None if value is None else float(value)


def _size(group: Group) -> float:
    size = amount(group.workload["size"], "bytes")
    assert size is not None, "workload.size is validated as a size before anything runs"
    return size


def against_size(groups: Sequence[Group], measure: str) -> Figure:
    """Latency or bandwidth against size; below it, how far the simulation is from the measurement."""
    from matplotlib.lines import Line2D

    metric = METRICS[measure]
    ranked = sorted(groups, key=_size)
    names = sorted({series_of(group) for group in ranked})
    platforms = list(dict.fromkeys(group.platform for group in ranked))
    compared = any(measured_of(group) for group in ranked)
    figure, grid = style.new_figure(
        2 if compared else 1,
        1,
        height_in=3.3 if compared else 2.4,
        sharex=True,
        height_ratios=[3, 1.3] if compared else [1],
    )
    panels = [row[0] for row in grid]
    handles: dict[str, Any] = {}
    for number, name in enumerate(names):
        for place, platform in enumerate(platforms):
            line = [g for g in ranked if series_of(g) == name and g.platform == platform]
            if not line:
                continue
            look = _look(number, len(names), place, platforms)
            label = name if len(platforms) == 1 else f"{name}, {style.platform_style(platform).label}"
            cells = [g.cells[metric] for g in line]
            (handles[label],) = panels[0].plot([_size(g) for g in line], [c.mean for c in cells], **look)
            intervals.bars(panels[0], [_size(g) for g in line], cells, look["color"])
            pairs = [(g, value) for g in line if (value := measured_of(g))]
            if pairs:
                x = [_size(g) for g, _ in pairs]
                panels[0].plot(x, [value for _, value in pairs], **_hollow(look))
                errors = [100 * (g.cells[metric].mean / value - 1) for g, value in pairs]
                panels[1].plot(x, errors, **{**look, "linewidth": 0.6, "markersize": _MARK})
    panels[0].margins(y=0.1)
    if measure == "latency":
        style.plain_log_ticks(panels[0], "y")
    else:
        panels[0].set_ylim(bottom=0)
    panels[0].set_ylabel(_LABELS[measure])
    style.size_ticks(panels[-1], [_size(g) for g in ranked])
    panels[-1].set_xlabel("size (B)")
    if compared:
        _error_panel(panels[1], _TOLERANCE_PERCENT[measure])
        black: dict[str, Any] = {"color": style.BLACK, "marker": "o", "markersize": _MARK}
        handles["filled: simulated"] = Line2D([], [], **black)
        handles["hollow: measured"] = Line2D([], [], **_hollow(black))
    style.legend_outside(figure, handles, columns=2)
    style.taller_for_legend(figure, _LEGEND_IN)
    return figure


def _look(number: int, series: int, place: int, platforms: Sequence[str]) -> dict[str, Any]:
    """Colour, mark and dashes of a line: by series, and by platform where several are compared."""
    colour, marker = style.look_of(number)
    if len(platforms) > 1:
        platform = style.platform_style(platforms[place])
        colour, marker = platform.colour if series == 1 else colour, platform.marker
    return {
        "color": colour,
        "marker": marker,
        "linestyle": style.LINE_STYLES[place % len(style.LINE_STYLES)],
        "markersize": _MARK + _SMALLER * (len(platforms) - 1 - place),
        "markeredgecolor": "white" if len(platforms) > 1 else colour,
        "markeredgewidth": 0.3,
    }


def _hollow(look: Mapping[str, Any]) -> dict[str, Any]:
    """The mark of a measurement: around that of the simulation where they agree."""
    return {
        "color": look["color"],
        "marker": look["marker"],
        "linestyle": "none",
        "fillstyle": "none",
        "markersize": look["markersize"] + 2.6,
        "markeredgewidth": 0.6,
    }


def _error_panel(axes: Axes, tolerance_percent: float) -> None:
    axes.axhspan(-tolerance_percent, tolerance_percent, color=style.LIGHT_GREY, alpha=0.6, linewidth=0)
    axes.axhline(0.0, color=style.BLACK, linewidth=0.6)
    axes.set_ylabel(f"deviation (%)\nband: ±{tolerance_percent:g} %")
    low, high = axes.get_ylim()
    reach = 1.15 * max(abs(low), abs(high), tolerance_percent)
    axes.set_ylim(-reach, reach)
