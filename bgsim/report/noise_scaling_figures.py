"""Figure of the machine tier: what the guests' own noise costs operations of all ranks, by machine size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from bgsim.report import style
from bgsim.report.parts import split_by
from bgsim.report.results import Group, Point, point_label
from bgsim.report.scaling_figures import TIME, line_of, node_axis, nodes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NOISE = "workload.noise"
GUEST = "guest"
OWN_AXES = (GUEST, NOISE, "workload.operation", "partition.topology", "partition.shape")


def compares_guests(points: Sequence[Point], axes: Sequence[str]) -> bool:
    """Whether guests are compared, or noise with none, by collective operations over several sizes."""
    kinds = {group.workload["kind"] for point in points for group in point.groups}
    return kinds == {"collectives"} and not {GUEST, NOISE}.isdisjoint(axes)


def figures(points: Sequence[Point], axes: Sequence[str]) -> Iterator[tuple[str, Figure]]:
    """Name and figure, for each value of the swept axes that the figure does not show itself."""
    for values, part in split_by(points, axes, OWN_AXES):
        suffix = style.slug(point_label(values, list(values)))
        groups = [group for point in part for group in point.groups if nodes(group) is not None]
        yield f"noise-scaling{'-' + suffix if suffix else ''}", against_nodes(groups)


def against_nodes(groups: Sequence[Group]) -> Figure:
    """Time of each operation against compute nodes, with each guest's measured noise and without any."""
    from matplotlib.lines import Line2D

    operations = list(dict.fromkeys(str(group.workload["operation"]) for group in groups))
    guests = list(dict.fromkeys(_guest(group) for group in groups))
    platforms = list(dict.fromkeys(group.platform for group in groups))
    figure, grid = style.new_figure(1, len(operations), width_in=style.DOUBLE_COLUMN_IN, height_in=3.0)
    handles: dict[str, Any] = {}
    sizes = sorted({float(found) for group in groups if (found := nodes(group)) is not None})
    for panel, operation in zip(grid[0], operations, strict=True):
        for number, guest in enumerate(guests):
            colour, marker = style.SERIES_COLOURS[number], style.SERIES_MARKERS[number]
            handles[guest] = Line2D([], [], color=colour, marker=marker)
            for dashes, platform in zip(style.LINE_STYLES, platforms, strict=False):
                mine = [
                    group
                    for group in groups
                    if (_guest(group), group.platform, group.workload["operation"])
                    == (guest, platform, operation)
                ]
                quiet = [g for g in mine if g.workload["noise"] == "none"]
                noisy = [g for g in mine if g.workload["noise"] != "none"]
                line_of(panel, noisy, TIME, {"color": colour, "marker": marker, "linestyle": dashes})
                if quiet and guest == guests[-1]:
                    line_of(panel, quiet, TIME, {"color": style.GREY, "linestyle": dashes, "linewidth": 1.0})
        panel.set_title(operation)
        panel.set_yscale("log")
        style.plain_log_ticks(panel, "y")
        node_axis(panel, sizes)
    for dashes, platform in zip(style.LINE_STYLES, platforms, strict=False):
        handles[style.platform_style(platform).label] = Line2D([], [], color=style.BLACK, linestyle=dashes)
    if any(group.workload["noise"] == "none" for group in groups):
        handles[f"{guests[-1]}, without its noise"] = Line2D([], [], color=style.GREY, linewidth=1.0)
    grid[0][0].set_ylabel("time of one operation (µs)")
    style.legend_outside(figure, handles, columns=3)
    return figure


def _guest(group: Group) -> str:
    return str(group.records[0]["config"]["guest"])
