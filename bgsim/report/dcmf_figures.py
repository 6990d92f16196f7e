"""Figures of the dcmf workload: two-node put and get, simulated lines and measured points."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from bgsim.report import intervals, style
from bgsim.report.parts import split_by
from bgsim.report.results import Group, Point, amount, point_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OWN_AXES = ("workload.operation", "workload.completion", "workload.measure", "workload.size")

METRICS = {"latency": "latency_us", "bandwidth": "bandwidth_MiBps"}
_LABELS = {"latency": "latency (µs)", "bandwidth": "bandwidth (MiB/s)"}
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
    """The value measured on the real machine at this size, if there is one."""
    value = group.details.get("measured")
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
        colour = style.SERIES_COLOURS[number % len(style.SERIES_COLOURS)]
        marker = style.SERIES_MARKERS[number % len(style.SERIES_MARKERS)]
        for dashes, platform in zip(style.LINE_STYLES, platforms, strict=False):
            line = [g for g in ranked if series_of(g) == name and g.platform == platform]
            if not line:
                continue
            x = [_size(g) for g in line]
            label = name if len(platforms) == 1 else f"{name}, {style.platform_style(platform).label}"
            cells = [g.cells[metric] for g in line]
            panels[0].plot(x, [cell.mean for cell in cells], color=colour, linestyle=dashes)
            intervals.bars(panels[0], x, cells, colour)
            handles[label] = Line2D([], [], color=colour, linestyle=dashes, marker=marker, fillstyle="none")
            known = [g for g in line if measured_of(g)]
            look: dict[str, Any] = {"color": colour, "marker": marker, "fillstyle": "none"}
            measured = [measured_of(g) or 0.0 for g in known]
            panels[0].plot([_size(g) for g in known], measured, linestyle="none", **look)
            if compared:
                errors = [100 * (g.cells[metric].mean / (measured_of(g) or 1.0) - 1) for g in known]
                panels[1].plot([_size(g) for g in known], errors, linewidth=0.6, **look)
    if measure == "latency":
        style.plain_log_ticks(panels[0], "y")
    else:
        panels[0].set_ylim(bottom=0)
    panels[0].set_ylabel(_LABELS[measure])
    style.size_ticks(panels[-1], [_size(g) for g in ranked])
    panels[-1].set_xlabel("size (B)")
    if compared:
        _error_panel(panels[1], _TOLERANCE_PERCENT[measure])
        handles["line: simulated"] = Line2D([], [], color=style.BLACK)
        mark: dict[str, Any] = {"marker": "o", "linestyle": "none", "fillstyle": "none"}
        handles["mark: measured"] = Line2D([], [], color=style.BLACK, **mark)
    style.legend_outside(figure, handles, columns=2)
    return figure


def _error_panel(axes: Axes, tolerance_percent: float) -> None:
    axes.axhspan(-tolerance_percent, tolerance_percent, color=style.LIGHT_GREY, alpha=0.6, linewidth=0)
    axes.axhline(0.0, color=style.BLACK, linewidth=0.6)
    axes.set_ylabel(f"deviation (%)\nband: ±{tolerance_percent:g} %")
    low, high = axes.get_ylim()
    reach = 1.15 * max(abs(low), abs(high), tolerance_percent)
    axes.set_ylim(-reach, reach)
