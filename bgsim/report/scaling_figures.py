"""Figures of the machine tier: what a platform costs against the size of the partition."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from bgsim.report import style
from bgsim.report.parts import split_by
from bgsim.report.results import Group, Point, point_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SCALING_KINDS = ("collectives", "halo")
OWN_AXES = ("workload", "workload.operation", "workload.size", "partition.topology", "partition.shape")

TIME = "operation_us_avg"
_WIDTH_IN = 7.0
_LEGEND_IN = 0.8  # the height of the figure allows for five lines of it


def nodes(group: Group) -> int | None:
    """Compute nodes of a group's partition, if its record says so."""
    found = group.details.get("nodes")
    return int(found) if isinstance(found, int) else None


def several_sizes(points: Sequence[Point]) -> bool:
    """Whether partitions of more than one size are compared."""
    return len({nodes(group) for point in points for group in point.groups} - {None}) > 1


def series_of(group: Group) -> str:
    """What a line shows: the operation and its size, the ranks per node, the computing in between."""
    workload = group.workload
    per_node = int(workload.get("ranks_per_node", 1))
    if workload["kind"] == "halo":
        cells = "×".join(str(extent) for extent in workload["grid"])
        whose = "per rank" if workload["scaling"] == "weak" else "in all"
        words = [f"halo, {cells} cells {whose}"]
        if workload.get("compute"):
            words.append(f"with {_time(workload['compute'])} of computing")
    else:
        size = "" if workload["operation"] == "barrier" else f" {workload['size']}"
        words = [f"{workload['operation']}{size}"]
        if workload.get("compute", "0 s") != "0 s":
            words.append(f"every {_time(workload['compute'])}")
    words.append(f"{per_node} rank{'s' if per_node > 1 else ''} per node")
    return ", ".join(words)


def _time(text: str) -> str:
    return text.replace(" us", " µs")


def figures(points: Sequence[Point], axes: Sequence[str]) -> Iterator[tuple[str, Figure]]:
    """Name and figure, for each value of the swept axes that the figure does not show itself.

    More series than can be told apart are split: a figure for each operation, and numbered ones where an
    operation alone has too many.
    """
    for values, part in split_by(points, axes, OWN_AXES):
        suffix = style.slug(point_label(values, list(values)))
        groups = [group for point in part for group in point.groups if nodes(group) is not None]
        for name, shown in _told_apart(groups):
            yield "-".join(word for word in ("scaling", name, suffix) if word), against_nodes(shown)


def _told_apart(groups: Sequence[Group]) -> Iterator[tuple[str, list[Group]]]:
    """Groups of each figure, with what tells its name from the others."""
    if len({series_of(group) for group in groups}) <= style.SERIES_MAX:
        yield "", list(groups)
        return
    for what in dict.fromkeys(_operation(group) for group in groups):
        mine = [group for group in groups if _operation(group) == what]
        parts = style.pages(list(dict.fromkeys(series_of(group) for group in mine)), style.SERIES_MAX)
        for page, names in enumerate(parts, start=1):
            end = f"-{page}" if len(parts) > 1 else ""
            yield f"{what}{end}", [group for group in mine if series_of(group) in names]


def _operation(group: Group) -> str:
    return str(group.workload.get("operation", group.workload["kind"]))


def against_nodes(groups: Sequence[Group]) -> Figure:
    """Time of an operation, and slowdown of the job, against compute nodes, with their intervals."""
    from matplotlib.lines import Line2D

    figure, grid = style.new_figure(1, 2, width_in=_WIDTH_IN, height_in=2.9)
    left, right = grid[0]
    names = list(dict.fromkeys(series_of(group) for group in groups))
    platforms = list(dict.fromkeys(group.platform for group in groups))
    handles: dict[str, Any] = {}
    for number, name in enumerate(names):
        colour, marker = style.look_of(number)
        handles[name] = Line2D([], [], color=colour, marker=marker)
        for dashes, platform in zip(style.LINE_STYLES, platforms, strict=False):
            line = [g for g in groups if series_of(g) == name and g.platform == platform]
            look = {"color": colour, "marker": marker, "linestyle": dashes}
            if platform == platforms[0] and len(platforms) > 1:
                look["fillstyle"] = "none"
            line_of(left, line, TIME, look)
            line_of(right, line, "slowdown", look if len(platforms) > 2 else {**look, "linestyle": "-"})
    if len(platforms) > 1:
        for dashes, platform in zip(style.LINE_STYLES, platforms, strict=False):
            where = "left: " if len(platforms) == 2 else ""
            label = f"{where}{style.platform_style(platform).label}"
            handles[label] = Line2D([], [], color=style.BLACK, linestyle=dashes)
    sizes = sorted({float(found) for group in groups if (found := nodes(group)) is not None})
    for panel in (left, right):
        node_axis(panel, sizes)
    style.plain_log_ticks(left, "y")
    left.set_ylabel("time of one operation (µs)")
    right.set_ylabel("slowdown of the whole job")
    right.axhline(1.0, color=style.BLACK, linewidth=0.6)
    style.legend_outside(figure, handles, columns=2)
    style.taller_for_legend(figure, _LEGEND_IN)
    return figure


def line_of(panel: Axes, groups: Sequence[Group], metric: str, look: dict[str, Any]) -> None:
    """Draw a metric with its interval."""
    known = sorted(
        (
            (found, group.cells[metric])
            for group in groups
            if metric in group.cells and (found := nodes(group))
        ),
        key=lambda pair: pair[0],
    )
    if not known:
        return
    x, y = [float(place) for place, _ in known], [cell.mean for _, cell in known]
    panel.plot(x, y, **look)
    low = [cell.mean if cell.low is None else cell.low for _, cell in known]
    high = [cell.mean if cell.high is None else cell.high for _, cell in known]
    panel.fill_between(x, low, high, color=look["color"], alpha=0.2, linewidth=0)


def node_axis(panel: Axes, sizes: Sequence[float]) -> None:
    """A logarithmic axis with the partitions' own sizes as ticks."""
    from matplotlib.ticker import FixedLocator, NullLocator

    panel.set_xscale("log")
    panel.xaxis.set_major_locator(FixedLocator(list(sizes)))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.set_xticks(list(sizes), [f"{size:,.0f}" for size in sizes], rotation=40, ha="right")
    panel.set_xlabel("compute nodes")
