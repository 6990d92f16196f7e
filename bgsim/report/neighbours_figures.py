"""Figure of the workload neighbours: what a virtual machine loses to another one, against its share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, get_args

from bgsim.report import intervals, style
from bgsim.report.parts import split_by
from bgsim.report.results import Cell, Group, Point, point_label
from bgsim.workloads.neighbours_config import NeighboursConfig

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STRICT = "l4.strict_slices"
OWN_AXES = ("workload.program", "workload.neighbour", "workload.cores", f"machine.set.{STRICT}")


def figures(points: Sequence[Point], axes: Sequence[str]) -> Iterator[tuple[str, Figure]]:
    """Name and figure, for each value of the axes other than programs and placement."""
    for values, part in split_by(points, axes, OWN_AXES):
        suffix = style.slug(point_label(values, list(values)))
        groups = [group for point in part for group in point.groups]
        yield f"neighbours{'-' + suffix if suffix else ''}", against_share(groups)


def placement(group: Group) -> str:
    """Where the neighbours are, in words."""
    first, *others = group.workload["cores"]
    here = sum(core == first for core in others)
    strict = bool(group.records[0]["config"]["machine"]["set"].get(STRICT, False))
    if not here:
        return "on another core"
    words = "on its core" if here == 1 else f"{here} on its core"
    return f"{words}, strict slices" if strict else words


def _known(key: str, groups: Sequence[Group]) -> list[str]:
    """Values of a setting that occur, in the order in which the workload lists them."""
    shown = {str(group.workload[key]) for group in groups}
    return [value for value in get_args(NeighboursConfig.model_fields[key].annotation) if value in shown]


def against_share(groups: Sequence[Group]) -> Figure:
    """Stretch of the work above, its own time lost below; a column for each measured program."""
    from matplotlib.lines import Line2D

    programs = _known("program", groups)
    neighbours = _known("neighbour", groups)
    placements = list(dict.fromkeys(placement(group) for group in groups))
    figure, grid = style.new_figure(
        2,
        len(programs),
        width_in=style.DOUBLE_COLUMN_IN if len(programs) > 1 else style.SINGLE_COLUMN_IN,
        height_in=4.2,
        sharex=True,
        sharey="row",
        height_ratios=[1.6, 1],
    )
    handles: dict[str, Any] = {}
    for column, program in enumerate(programs):
        upper, lower = grid[0][column], grid[1][column]
        upper.set_title(f"measured: {program}", loc="left")
        for number, where in enumerate(placements):
            colour = style.SERIES_COLOURS[number % len(style.SERIES_COLOURS)]
            marker = style.SERIES_MARKERS[number % len(style.SERIES_MARKERS)]
            shown = [g for g in groups if g.workload["program"] == program and placement(g) == where]
            if not shown:
                continue
            offset = 0.2 * (number - (len(placements) - 1) / 2)
            x = [neighbours.index(str(g.workload["neighbour"])) + offset for g in shown]
            look: dict[str, Any] = {"color": colour, "marker": marker, "fillstyle": "none"}
            _marks(upper, x, [g.cells["stretch"] for g in shown], 1.0, look)
            _marks(lower, x, [g.cells["own_time_lost"] for g in shown], 100.0, look)
            handles[f"neighbour {where}"] = Line2D([], [], linestyle="none", **look)
            for fair in {g.cells["fair_stretch"].mean for g in shown}:
                upper.axhline(fair, color=style.BLACK, linewidth=0.7, linestyle=(0, (4, 1.5)))
        lower.axhline(0.0, color=style.BLACK, linewidth=0.6)
        lower.set_xticks(range(len(neighbours)), neighbours, rotation=90)
        lower.set_xlim(-0.6, len(neighbours) - 0.4)
    handles["fair share"] = Line2D([], [], color=style.BLACK, linewidth=0.7, linestyle=(0, (4, 1.5)))
    grid[0][0].set_ylim(bottom=0)
    grid[0][0].set_ylabel("time beside the neighbour\nover time alone")
    grid[1][0].set_ylabel("own time lost (%)")
    figure.supxlabel("what the neighbour runs", fontsize=7.0)
    style.legend_outside(figure, handles, columns=4)
    return figure


def _marks(axes: Axes, x: Sequence[float], cells: Sequence[Cell], factor: float, look: Any) -> None:
    """Means, with their intervals where these are known."""
    means, ends = [factor * cell.mean for cell in cells], intervals.reach(cells, 1 / factor)
    axes.errorbar(x, means, yerr=ends, linestyle="none", elinewidth=0.7, capsize=1.5, **look)
