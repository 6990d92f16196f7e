"""Figures of any other sweep: each metric against the first numeric swept axis, with intervals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from bgsim.experiment.labels import spelled
from bgsim.report import intervals, style
from bgsim.report.linear_axes import never_negative, plain_linear_ticks
from bgsim.report.numbers import symbol
from bgsim.report.results import Cell, Group, Point, number, point_label, short_names, value_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PANELS_MOST = 8
_PANELS_MOST_CROWDED, _POINTS_MOST_CROWDED = 4, 25
"""What fits a page where all metrics of all points do not."""
_LABEL_LETTERS_MOST, _LONG_LABELS_MOST = 60, 10
_LEGEND_IN = 0.6  # the height of the figure allows for four lines of it
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
    most = _PANELS_MOST
    if axis is not None:
        parts = _told_apart(groups, axes, axis)
    elif (
        _height_in(-(-min(len(chosen), most) // _COLUMNS), _category_labels(groups, axes))
        > style.PAGE_HEIGHT_IN
    ):
        most = _PANELS_MOST_CROWDED
        parts = _places(groups, axes)
    else:
        parts = [groups]
    drawn = [(part, chosen[i : i + most]) for i in range(0, len(chosen), most) for part in parts]
    for page, (part, shown) in enumerate(drawn, start=1):
        end = f"-{page}" if len(drawn) > 1 else ""
        yield f"sweep-{style.slug(title)}{end}", page_of(part, axes, axis, shown)


def _height_in(rows: int, labels: Sequence[str]) -> float:
    """Height of a figure with rows of panels: of lines, or of points with a label each."""
    return 0.7 + rows * (0.7 + 0.14 * len(labels) if labels else 1.55)


def _places(groups: Sequence[Group], axes: Sequence[str]) -> list[list[Group]]:
    """Groups of each figure without an x axis, no more points than its rows have room for on a page."""
    parts = style.pages(_category_labels(groups, axes), _POINTS_MOST_CROWDED)
    return [[group for group in groups if _category(group, axes) in part] for part in parts]


def _told_apart(groups: Sequence[Group], axes: Sequence[str], axis: str) -> list[list[Group]]:
    """Groups of each figure with an x axis, no more variants than have a look of their own."""
    variants = list(dict.fromkeys(_variant(group, axes, axis) for group in groups))
    several = len({group.platform for group in groups}) > 1
    most = len(style.LINE_STYLES if several else style.SERIES_COLOURS)
    parts = style.pages(variants, most)
    return [[group for group in groups if _variant(group, axes, axis) in part] for part in parts]


def page_of(groups: Sequence[Group], axes: Sequence[str], axis: str | None, metrics: Sequence[str]) -> Figure:
    """Panels of one page, a series for each platform and each value of the other axes."""
    columns = min(_COLUMNS, len(metrics))
    rows = -(-len(metrics) // columns)
    labels = _category_labels(groups, axes) if axis is None else []
    figure, panels = style.new_figure(
        rows,
        columns,
        width_in=style.DOUBLE_COLUMN_IN if columns > 1 else style.SINGLE_COLUMN_IN,
        height_in=_height_in(rows, labels),
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
    if axis is not None:
        style.taller_for_legend(figure, _LEGEND_IN)
    return figure


def _variant(group: Group, axes: Sequence[str], axis: str) -> str:
    """What a line shows beside its platform: the values of the other swept axes."""
    return point_label(group.shown, [name for name in axes if name != axis])


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
    variants = list(dict.fromkeys(_variant(group, axes, axis) for group in groups))
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
                belongs = group.platform == platform and _variant(group, axes, axis) == variant
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
            drawn = panel.plot(x, y, color=colour, marker=marker, linestyle=dashes, clip_on=False)
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
        from_zero = bool(every_x) and min(every_x) >= 0
        _scale(panel, "x", every_x, from_zero=from_zero, binary=unit == "B")
    _scale(panel, "y", every_y, from_zero=never_negative(metric))


def _scale(
    panel: Axes,
    which: Literal["x", "y"],
    values: Sequence[float],
    *,
    few: bool = False,
    from_zero: bool = False,
    binary: bool = False,
) -> None:
    """Logarithmic when the values span much more than a decade, else linear."""
    if values and min(values) > 0 and max(values) >= _LOG_SPAN * min(values):
        style.plain_log_ticks(panel, which, subs=(1.0, 3.0) if few else (1.0, 2.0, 5.0))
    else:
        plain_linear_ticks(panel, which, most=4 if few else 5, binary=binary, from_zero=from_zero)


def _category_labels(groups: Sequence[Group], axes: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(_category(group, axes) for group in groups))


def _category(group: Group, axes: Sequence[str]) -> str:
    if len(axes) == 1:
        return value_text(group.shown.get(axes[0]))
    return point_label(group.shown, axes) or "all runs"


def _values_only(groups: Sequence[Group], axes: Sequence[str], labels: Sequence[str]) -> list[str]:
    """Labels without the names of the columns where many would be long, or some hold JSON; else none."""
    json = any(mark in label for label in labels for mark in "{[")
    long = len(labels) > _LONG_LABELS_MOST and max(map(len, labels)) > _LABEL_LETTERS_MOST
    if not json and not long:
        return []
    places = {_category(group, axes): group.shown for group in groups}
    return [
        ", ".join(spelled(places[label][axis]) for axis in axes if places[label].get(axis) is not None)
        for label in labels
    ]


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
        spread = None if cell.low is None or cell.high is None else intervals.reach([cell])
        drawn = panel.errorbar(cell.mean, place, xerr=spread, fmt=look.marker, color=look.colour, capsize=1.5)
        drawn.lines[0].set_clip_on(False)
        handles.setdefault(look.label, drawn)
        values.append(cell.mean)
        panel.set_xlabel(metric_label(metric, cell))
    short = _values_only(groups, axes, labels)
    panel.set_yticks(range(len(labels)), short or labels)
    at = panel.get_subplotspec()
    if short and at is not None and at.is_first_col():  # the names stand there once, for all rows
        panel.set_ylabel(", ".join(short_names(axes).values()))
    panel.set_ylim(len(labels) - 0.5, -0.5)
    _scale(panel, "x", values, few=bool(short), from_zero=never_negative(metric))
