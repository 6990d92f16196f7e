"""Figure of the memory workload: time of an access and TLB misses against the size of the table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from bgsim.report import intervals, style
from bgsim.report.parts import split_by
from bgsim.report.results import Group, Point, amount, platform_label, point_label

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OWN_AXES = ("guest", "workload.size")
ROWS = (("latency_us", 1e-3), ("tlb_misses_per_operation", 1.0))
"""From above: metric, and divisor from its unit to the axis's."""


def figures(points: Sequence[Point], axes: Sequence[str]) -> Iterator[tuple[str, Figure]]:
    """Name and figure, for each value of the axes other than guest and size."""
    for values, part in split_by(points, axes, OWN_AXES):
        suffix = style.slug(point_label(values, list(values)))
        groups = [group for point in part for group in point.groups]
        yield f"memory{'-' + suffix if suffix else ''}", against_size(groups)


def _size(group: Group) -> float:
    size = amount(group.workload["size"], "bytes")
    assert size is not None, "workload.size is validated as a size before anything runs"
    return size


def against_size(groups: Sequence[Group]) -> Figure:
    """Nanoseconds per access above, TLB misses per access below; a column for each platform."""
    platforms = list(dict.fromkeys(group.platform for group in groups))
    guests = list(dict.fromkeys(str(group.records[0]["config"]["guest"]) for group in groups))
    figure, grid = style.new_figure(
        2,
        len(platforms),
        width_in=style.DOUBLE_COLUMN_IN if len(platforms) > 1 else style.SINGLE_COLUMN_IN,
        height_in=3.3,
        sharex=True,
        sharey="row",
        height_ratios=[2, 1.3],
    )
    handles: dict[str, Any] = {}
    for column, platform in enumerate(platforms):
        grid[0][column].set_title(platform_label(platform), loc="left")
        for number, guest in enumerate(guests):
            line = sorted(
                (g for g in groups if g.platform == platform and g.records[0]["config"]["guest"] == guest),
                key=_size,
            )
            if not line:
                continue
            look: dict[str, Any] = {
                "color": style.SERIES_COLOURS[number],
                "marker": style.SERIES_MARKERS[number],
                "linestyle": style.LINE_STYLES[number % len(style.LINE_STYLES)],
                "fillstyle": "none",
                "markersize": 3.4 + 1.4 * number,
            }
            x = [_size(g) for g in line]
            for row, (metric, scale) in enumerate(ROWS):
                panel, cells = grid[row][column], [g.cells[metric] for g in line]
                # Zero misses are the end of the axis: a mark there is drawn whole.
                drawn = panel.plot(x, [cell.mean / scale for cell in cells], clip_on=False, **look)
                handles.setdefault(guest, drawn[0])
                intervals.bars(panel, x, cells, look["color"], scale)
        grid[1][column].set_xlabel("size of the table (B)")
    sizes = [_size(group) for group in groups]
    for axes in grid[0]:
        style.plain_log_ticks(axes, "y")
    for axes in grid[1]:
        axes.set_ylim(bottom=0)
        style.size_ticks(axes, sizes)
    grid[0][0].set_ylabel("time of an access (ns)")
    grid[1][0].set_ylabel("TLB misses\nper access")
    style.legend_outside(figure, handles, columns=4)
    return figure
