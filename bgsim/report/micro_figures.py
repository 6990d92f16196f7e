"""Figure of the micro workload: what one kernel operation costs, native and virtualised."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bgsim.experiment.metrics import BASELINE
from bgsim.report import intervals, style
from bgsim.report.numbers import significant
from bgsim.report.operations import OperationCost, by_operation, costs_of
from bgsim.report.parts import split_by
from bgsim.report.results import PLATFORMS, Point, point_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OWN_AXES = ("workload.operation",)


def figures(points: Sequence[Point], axes: Sequence[str]) -> Iterator[tuple[str, Figure]]:
    """Name and figure; one for each value of the axes other than the operation."""
    for values, part in split_by(points, axes, OWN_AXES):
        table = by_operation(costs_of(group for point in part for group in point.groups))
        if table:
            suffix = style.slug(point_label(values, list(values)))
            yield f"micro-operations{'-' + suffix if suffix else ''}", operations(table)


def operations(table: Mapping[str, Mapping[str, OperationCost]]) -> Figure:
    """Dots on a logarithmic axis: cycles at the left, kernel instructions and hand counts at the right."""
    names = list(table)
    costs = [cost for row in table.values() for cost in row.values()]
    counted = any(cost.kernel_instructions is not None for cost in costs)
    figure, [panels] = style.new_figure(
        1,
        2 if counted else 1,
        width_in=style.DOUBLE_COLUMN_IN if counted else style.SINGLE_COLUMN_IN,
        height_in=1.15 + 0.24 * len(names),
        sharey=True,
    )
    handles: dict[str, Any] = {}
    _dots(panels[0], table, "cycles", handles)
    panels[0].set_xlabel("core cycles per operation")
    _microsecond_axis(panels[0], costs)
    _slowdowns(panels[0], table)
    if counted:
        _dots(panels[1], table, "kernel_instructions", handles)
        panels[1].set_xlabel("kernel and VMM instructions per operation")
    panels[0].set_yticks(range(len(names)), names)
    for axes in panels:
        axes.tick_params(axis="y", length=0)
    panels[0].set_ylim(len(names) - 0.5, -0.5)
    style.legend_outside(figure, handles, columns=4)
    return figure


def _slowdowns(axes: Axes, table: Mapping[str, Mapping[str, OperationCost]]) -> None:
    """A column of slowdowns at the right of the panel."""
    beside = axes.get_yaxis_transform()
    for place, row in enumerate(table.values()):
        native, virtual = row.get(BASELINE), row.get("virtual-machine")
        if native is not None and virtual is not None and native.cycles > 0:
            ratio = f"{significant(virtual.cycles / native.cycles, 2)}x"
            axes.text(1.02, place, ratio, transform=beside, va="center", fontsize=6.5)
    if all(any(p in row for row in table.values()) for p in (BASELINE, "virtual-machine")):
        axes.text(1.02, -0.55, "slowdown", transform=beside, va="bottom", fontsize=6.5)


def _dots(
    axes: Axes,
    table: Mapping[str, Mapping[str, OperationCost]],
    quantity: str,
    handles: dict[str, Any],
) -> None:
    for place, row in enumerate(table.values()):
        values = {
            platform: float(getattr(row[platform], quantity))
            for platform in PLATFORMS
            if platform in row and getattr(row[platform], quantity)
        }
        if len(values) > 1:
            ends = (min(values.values()), max(values.values()))
            axes.plot(ends, (place, place), color=style.GREY, linewidth=0.8, zorder=1)
        for platform, value in values.items():
            look = style.platform_style(platform)
            dots = axes.plot(value, place, look.marker, color=look.colour, markersize=4.5)
            handles.setdefault(look.label, dots[0])
            known = row[platform].intervals
            if quantity in known:
                intervals.bars(axes, [place], [known[quantity]], look.colour, across=True)
        for cost in row.values():
            if quantity == "kernel_instructions" and cost.hand_count_instructions:
                ring = axes.plot(
                    cost.hand_count_instructions,
                    place,
                    color=style.BLACK,
                    marker="D",
                    markersize=7.0,
                    markeredgewidth=0.8,
                    fillstyle="none",
                    linestyle="none",
                )
                handles.setdefault("counted by hand from the sources", ring[0])
    style.plain_log_ticks(axes, "x")
    axes.grid(visible=False, axis="y")


def _microsecond_axis(axes: Axes, costs: Sequence[OperationCost]) -> None:
    """A second scale above the panel when all runs share one core clock."""
    from matplotlib.ticker import NullFormatter

    scales = {round(cost.microseconds / cost.cycles, 15) for cost in costs if cost.cycles}
    if len(scales) != 1:
        return
    us_per_cycle = scales.pop()

    def microseconds(cycles: Any) -> Any:
        return cycles * us_per_cycle

    def cycles(us: Any) -> Any:
        return us / us_per_cycle

    top = axes.secondary_xaxis("top", functions=(microseconds, cycles))
    top.set_xlabel("µs")
    top.xaxis.set_major_formatter(style.number_formatter())
    top.xaxis.set_minor_formatter(NullFormatter())
