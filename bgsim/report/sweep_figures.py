"""Figures of any other sweep: each metric against the first numeric swept axis, with intervals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from bgsim.report import style
from bgsim.report.numbers import symbol
from bgsim.report.results import Cell, Group, Point, number, point_label, short_names, value_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PANELS_MOST = 8
_COLUMNS = 2
_LOG_SPAN = 30.0


def numeric_axis(points: Sequence[Point], axes: Sequence[str], taken: Sequence[str] = ()) -> str | None:
    """The first swept path whose values are all numbers of one unit and that really varies."""
    for axis in axes:
        if axis in taken:
            continue
        found = [number(point.values.get(axis)) for point in points]
        if None not in found and len({unit for _, unit in filter(None, found)}) == 1 and len(set(found)) > 1:
            return axis
    return None


def figures(
    points: Sequence[Point],
    axes: Sequence[str],
    taken: Sequence[str] = (),
    metrics: Sequence[str] | None = None,
) -> Iterator[tuple[str, Figure]]:
    """Name and figure, at most eight metrics in each.

    Parameters
    ----------
    points
        Points to draw.
    axes
        Swept paths of the study.
    taken
        Paths that other figures already show as their x axis.
    metrics
        Metrics to draw; all that any point has by default.
    """
    groups = [group for point in points for group in point.groups]
    names = list(dict.fromkeys(name for group in groups for name in group.cells))
    chosen = [name for name in names if metrics is None or name in metrics]
    axis = numeric_axis(points, axes, taken)
    title = short_names(axes)[axis] if axis is not None else "points"
    pages = [chosen[i : i + _PANELS_MOST] for i in range(0, len(chosen), _PANELS_MOST)]
    for page, shown in enumerate(pages, start=1):
        end = f"-{page}" if len(pages) > 1 else ""
        yield f"sweep-{style.slug(title)}{end}", page_of(groups, axes, axis, shown)


def page_of(groups: Sequence[Group], axes: Sequence[str], axis: str | None, metrics: Sequence[str]) -> Figure:
    """Panels of one page, a series for each platform and each value of the other axes."""
    columns = min(_COLUMNS, len(metrics))
    rows = -(-len(metrics) // columns)
    labels = _category_labels(groups, axes) if axis is None else []
    figure, panels = style.new_figure(
        rows,
        columns,
        width_in=style.DOUBLE_COLUMN_IN if columns > 1 else style.SINGLE_COLUMN_IN,
        height_in=0.7 + rows * (1.55 if axis is not None else 0.7 + 0.14 * len(labels)),
        sharey=axis is None,
    )
    flat = [panel for row in panels for panel in row]
    handles: dict[str, Any] = {}
    for panel, metric in zip(flat, metrics, strict=False):
        if axis is None:
            _categories(panel, groups, axes, labels, metric, handles)
        else:
            _lines(panel, groups, axes, axis, metric, handles)
    for panel in flat[len(metrics) :]:
        panel.set_visible(False)
    style.legend_outside(figure, handles, columns=4 if columns > 1 else 2)
    return figure


def metric_label(metric: str, cell: Cell) -> str:
    """A metric as words for an axis, with its unit behind them."""
    unit = symbol(cell.unit)
    words = " ".join(word for word in metric.split("_") if word != cell.unit)
    return f"{words} ({unit})" if unit else words


def _lines(
    panel: Axes,
    groups: Sequence[Group],
    axes: Sequence[str],
    axis: str,
    metric: str,
    handles: dict[str, Any],
) -> None:
    others = [name for name in axes if name != axis]
    variants = list(dict.fromkeys(point_label(group.point, others) for group in groups))
    platforms = list(dict.fromkeys(group.platform for group in groups))
    unit = ""
    every_x: list[float] = []
    every_y: list[float] = []
    cell: Cell | None = None
    for group_variant, variant in enumerate(variants):
        for platform in platforms:
            line = []
            for group in groups:
                place = number(group.point.get(axis))
                belongs = group.platform == platform and point_label(group.point, others) == variant
                if belongs and place is not None and metric in group.cells:
                    line.append((place[0], group.cells[metric]))
                    unit = place[1]
            if not line:
                continue
            line.sort(key=lambda pair: pair[0])
            cell = line[0][1]
            x, y = [place for place, _ in line], [c.mean for _, c in line]
            every_x += x
            every_y += y
            look = style.platform_style(platform)
            colour = look.colour
            marker = look.marker
            if len(platforms) == 1 and len(variants) > 1:
                colour = style.SERIES_COLOURS[group_variant % len(style.SERIES_COLOURS)]
                marker = style.SERIES_MARKERS[group_variant % len(style.SERIES_MARKERS)]
            dashes = style.LINE_STYLES[group_variant % len(style.LINE_STYLES)]
            drawn = panel.plot(x, y, color=colour, marker=marker, linestyle=dashes)
            low = [c.low if c.low is not None else c.mean for _, c in line]
            high = [c.high if c.high is not None else c.mean for _, c in line]
            if low != high:
                panel.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
            handles.setdefault(f"{look.label}, {variant}" if variant else look.label, drawn[0])
    if cell is not None:
        panel.set_ylabel(metric_label(metric, cell))
    panel.set_xlabel(short_names(axes)[axis] + (f" ({unit})" if unit else ""))
    if unit == "B" and every_x and min(every_x) > 0:
        style.size_ticks(panel, every_x)
    else:
        _scale(panel, "x", every_x)
    _scale(panel, "y", every_y)


def _scale(panel: Axes, which: Literal["x", "y"], values: Sequence[float]) -> None:
    """Logarithmic when the values span much more than a decade, else linear."""
    if values and min(values) > 0 and max(values) >= _LOG_SPAN * min(values):
        style.plain_log_ticks(panel, which)
    else:
        style.plain_linear_ticks(panel, which)


def _category_labels(groups: Sequence[Group], axes: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(_category(group, axes) for group in groups))


def _category(group: Group, axes: Sequence[str]) -> str:
    if len(axes) == 1:
        return value_text(group.point.get(axes[0]))
    return point_label(group.point, axes) or "all runs"


def _categories(
    panel: Axes,
    groups: Sequence[Group],
    axes: Sequence[str],
    labels: Sequence[str],
    metric: str,
    handles: dict[str, Any],
) -> None:
    values = []
    for group in groups:
        cell = group.cells.get(metric)
        if cell is None:
            continue
        look = style.platform_style(group.platform)
        place = labels.index(_category(group, axes))
        spread = None
        if cell.low is not None and cell.high is not None:
            spread = [[max(0.0, cell.mean - cell.low)], [max(0.0, cell.high - cell.mean)]]
        drawn = panel.errorbar(cell.mean, place, xerr=spread, fmt=look.marker, color=look.colour, capsize=1.5)
        handles.setdefault(look.label, drawn)
        values.append(cell.mean)
        panel.set_xlabel(metric_label(metric, cell))
    panel.set_yticks(range(len(labels)), labels)
    panel.set_ylim(len(labels) - 0.5, -0.5)
    _scale(panel, "x", values)
