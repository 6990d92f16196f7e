"""Figures of the compile workload: elapsed time, where it goes, and what it is sensitive to."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bgsim.report import causes, published, style
from bgsim.report.attribution import shares_of, total_cycles
from bgsim.report.numbers import common_scale, significant
from bgsim.report.results import (
    Group,
    Point,
    Record,
    core_frequency_hz,
    details,
    point_label,
    value_text,
    workload,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PROGRAM = "workload.program"
_TORNADO_ROWS_MOST = 12
_LABEL_LETTERS = 36


def figures(points: Sequence[Point], axes: Sequence[str]) -> Iterator[tuple[str, Figure]]:
    """Name and figure, one after another.

    Parameters
    ----------
    points
        Points of compile runs.
    axes
        Swept paths of the study.
    """
    points = by_program(points)
    labels = labels_of(points, axes)
    yield "compile-elapsed", elapsed(points, labels)
    bars = [
        (f"{label}\n{style.platform_style(group.platform).label}", group)
        for point, label in zip(points, labels, strict=True)
        for group in point.groups
        if any(record.get("attribution") for record in group.records)
    ]
    if bars:
        yield "compile-attribution", attribution(bars)
    drawn: set[str] = set()
    for point, label in zip(points, labels, strict=True):
        for group in point.groups:
            # One chart for each program is enough for a page; `explain` has the table of every run.
            suffix = "" if group.platform == "virtual-machine" else f"-{group.platform}"
            name = f"compile-sensitivity-{style.slug(str(group.workload['program']))}{suffix}"
            if group.details.get("sensitivity") and name not in drawn:
                drawn.add(name)
                yield name, sensitivity(group.records[0], label)


def by_program(points: Sequence[Point]) -> list[Point]:
    """Points of one program together, the programs in order of their longest elapsed time."""
    longest_s: dict[str, float] = {}
    for point in points:
        for group in point.groups:
            program = str(group.workload["program"])
            longest_s[program] = max(longest_s.get(program, 0.0), group.mean("elapsed_s") or 0.0)

    def rank(point: Point) -> tuple[float, str]:
        program = str(point.groups[0].workload["program"])
        return longest_s[program], program

    return sorted(points, key=rank)


def labels_of(points: Sequence[Point], axes: Sequence[str]) -> list[str]:
    """What distinguishes each compile point: its program and the other swept values."""
    labels = []
    for point in points:
        program = str(point.groups[0].workload["program"])
        rest = point_label(point.shown, [axis for axis in axes if axis != PROGRAM])
        labels.append(f"{program}, {rest}" if rest else program)
    return labels


def prediction_range_s(group: Group) -> tuple[float, float] | None:
    """Lowest and highest elapsed time with all uncertain parameters moved together, if stated."""
    limits = group.details.get("sensitivity_range_s")
    return None if limits is None else (float(limits[0]), float(limits[1]))


def elapsed(points: Sequence[Point], labels: Sequence[str]) -> Figure:
    """Grouped bars of elapsed time with the measured times as reference lines.

    The value and, in parentheses, the range of the prediction stand beside each bar.
    """
    rows = sum(len(point.groups) for point in points)
    figure, [[axes]] = style.new_figure(height_in=0.95 + 0.19 * rows + 0.1 * len(points))
    place, ticks = 0.0, []
    extremes: list[float] = []
    handles: dict[str, Any] = {}
    for point in points:
        start = place
        for group in point.groups:
            if "elapsed_s" in group.cells:
                extremes += _elapsed_bar(axes, place, group, handles)
                place += 1.0
        ticks.append((start + place - 1.0) / 2)
        place += 0.55
    axes.set_yticks(ticks, [textwrap.fill(label, _LABEL_LETTERS) for label in labels])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(place - 0.85, -0.7)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("elapsed time (s)")
    if any(published.compile_is_comparable(point.groups[0].workload) for point in points):
        platforms = {group.platform for point in points for group in point.groups}
        extremes += _measured_lines(axes, platforms, handles)
    _elapsed_scale(axes, [value for value in extremes if value > 0])
    style.legend_outside(figure, handles, columns=2)
    return figure


def _elapsed_bar(axes: Axes, place: float, group: Group, handles: dict[str, Any]) -> list[float]:
    """Draw one bar with its whiskers and its number; return the values that must be in view."""
    cell = group.cells["elapsed_s"]
    look = style.platform_style(group.platform)
    bar = axes.barh(place, cell.mean, height=0.82, color=look.colour)
    handles.setdefault(look.label, bar)
    text = f"{significant(cell.mean)} s"
    seen = [cell.mean]
    whiskers = [("interval over replications", style.DARK_GREY, 2.2, 0.0, (cell.low, cell.high))]
    span = prediction_range_s(group)
    if span is not None:
        whiskers.append(("bounds of the prediction", style.BLACK, 0.8, 2.0, span))
        text += f"  ({significant(span[0])} to {significant(span[1])})"
    for label, colour, width, cap, (low, high) in whiskers:
        if low is None or high is None or low == high:
            continue
        spread = [[max(0.0, cell.mean - low)], [max(0.0, high - cell.mean)]]
        handles[label] = axes.errorbar(
            cell.mean, place, xerr=spread, fmt="none", ecolor=colour, elinewidth=width, capsize=cap
        )
        seen += [low, high]
    axes.text(1.02, place, text, transform=axes.get_yaxis_transform(), va="center", fontsize=6.5)
    return seen


def _measured_lines(axes: Axes, platforms: set[str], handles: dict[str, Any]) -> list[float]:
    shown = [(p, s) for p, s in published.COMPILE_ELAPSED_S.items() if p in platforms]
    for _, measured_s in shown:
        line = axes.axvline(measured_s, color=style.BLACK, linestyle=(0, (3, 1.5)), linewidth=0.9)
        handles.setdefault(published.SOURCE, line)
        text, above = f"{measured_s:g} s", axes.get_xaxis_transform()
        axes.text(measured_s, 1.01, text, transform=above, ha="center", va="bottom", fontsize=6.5)
    return [measured_s for _, measured_s in shown]


def _elapsed_scale(axes: Axes, values: Sequence[float]) -> None:
    """Logarithmic once the longest time is ten times the shortest: both ends must be readable."""
    if values and max(values) > 10 * min(values):
        axes.set_xlim(min(values) / 3, max(values) * 1.3)
        style.plain_log_ticks(axes, "x")


def attribution(bars: Sequence[tuple[str, Group]]) -> Figure:
    """Stacked horizontal bars of the share of each cause, the total beside each bar."""
    figure, [[axes]] = style.new_figure(width_in=style.DOUBLE_COLUMN_IN, height_in=1.15 + 0.34 * len(bars))
    draw_stacks(axes, [(label, group.records) for label, group in bars])
    handles, labels = axes.get_legend_handles_labels()
    style.legend_outside(figure, dict(zip(labels, handles, strict=True)), columns=5, below=True)
    return figure


def draw_stacks(axes: Axes, bars: Sequence[tuple[str, Sequence[Record]]]) -> None:
    """Draw one stacked bar of shares for each set of replications.

    Small causes are drawn together as ``other``; the explanation table keeps them apart.
    """
    shares = [shares_of(records) for _, records in bars]
    kept = causes.fold_small(shares)
    folded = [_folded(share, kept) for share in shares]
    shown = kept + (["other"] if any(share.get("other", 0.0) > 0 for share in folded) else [])
    left = [0.0] * len(bars)
    for cause in shown:
        colour, hatch = style.cause_look(cause)
        widths = [100 * share.get(cause, 0.0) for share in folded]
        axes.barh(
            range(len(bars)),
            widths,
            left=left,
            height=0.72,
            color=colour,
            hatch=hatch,
            edgecolor="white" if hatch and colour != style.YELLOW else style.DARK_GREY,
            linewidth=0.3,
            label=causes.label(cause),
        )
        for row, width in enumerate(widths):
            if width >= 3.5:
                axes.text(
                    left[row] + width / 2,
                    row,
                    f"{width:.0f}",
                    ha="center",
                    va="center",
                    fontsize=6,
                    bbox={"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.85},
                )
        left = [start + width for start, width in zip(left, widths, strict=True)]
    for row, (_, records) in enumerate(bars):
        mean_s = sum(total_cycles(r) / core_frequency_hz(r) for r in records) / len(records)
        divisor, unit = common_scale([mean_s], "s")
        text = f"{significant(mean_s / divisor)} {unit}"
        axes.text(1.01, row, text, transform=axes.get_yaxis_transform(), va="center", fontsize=6.5)
    axes.set_yticks(range(len(bars)), [label for label, _ in bars])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(bars) - 0.5, -0.5)
    axes.set_xlim(0, 100)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("share of core cycles (%); the total stands at the right")


def _folded(share: Mapping[str, float], kept: Sequence[str]) -> dict[str, float]:
    folded = {cause: share[cause] for cause in kept if cause in share}
    folded["other"] = sum(part for cause, part in share.items() if cause not in folded)
    return folded


def sensitivity(record: Record, label: str) -> Figure:
    """Tornado chart: elapsed time as one uncertain parameter after another goes to its ends."""
    rows = sorted(
        details(record)["sensitivity"],
        key=lambda row: (-abs(row["elapsed_high_s"] - row["elapsed_low_s"]), row["parameter"]),
    )
    hidden = max(0, len(rows) - _TORNADO_ROWS_MOST)
    rows = rows[:_TORNADO_ROWS_MOST]
    central = float(record["metrics"]["elapsed_s"])
    together = details(record).get("sensitivity_range_s")
    names = [f"{row['parameter']} [{row['confidence']}]\n{_span(row)}" for row in rows]
    figure, [[axes]] = style.new_figure(
        width_in=style.DOUBLE_COLUMN_IN, height_in=0.95 + 0.31 * (len(rows) + bool(together))
    )
    low_look: dict[str, Any] = {"color": style.SKY_BLUE, "hatch": "////", "edgecolor": "white"}
    high_look: dict[str, Any] = {"color": style.ORANGE}
    handles: dict[str, Any] = {}
    ends = [central]
    for place, row in enumerate(rows):
        low, high = float(row["elapsed_low_s"]), float(row["elapsed_high_s"])
        low_bar = axes.barh(place, low - central, left=central, height=0.7, **low_look)
        high_bar = axes.barh(place, high - central, left=central, height=0.7, **high_look)
        handles |= {"parameter at its low end": low_bar, "parameter at its high end": high_bar}
        _spread_text(axes, place, low, high)
        ends += [low, high]
    if together:
        low, high = float(together[0]), float(together[1])
        bar = axes.barh(len(rows), high - low, left=low, height=0.7, color=style.LIGHT_GREY)
        handles["all together, as bounds"] = bar
        _spread_text(axes, len(rows), low, high)
        names.append("all together, as bounds")
        ends += [low, high]
    line = axes.axvline(central, color=style.BLACK, linewidth=0.9)
    handles[f"prediction, {significant(central)} s"] = line
    measured_s = published.COMPILE_ELAPSED_S.get(str(record["platform"]))
    if measured_s is not None and published.compile_is_comparable(workload(record)):
        line = axes.axvline(measured_s, color=style.BLACK, linestyle=(0, (3, 1.5)), linewidth=0.9)
        handles[f"{published.SOURCE}, {measured_s:g} s"] = line
        ends.append(measured_s)
    margin = 0.04 * (max(ends) - min(ends)) or 0.04 * central
    axes.set_xlim(min(ends) - margin, max(ends) + margin)
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    platform = style.platform_style(str(record["platform"])).label
    axes.set_xlabel(f"elapsed time of {label}, {platform} (s)")
    title = "low to high end (central value) [confidence mark]"
    if hidden:
        title += f"; the {len(rows)} widest of {len(rows) + hidden} parameters"
    axes.set_title(title, loc="right", fontsize=6.5)
    style.legend_outside(figure, handles, columns=3)
    return figure


def _spread_text(axes: Axes, place: float, low: float, high: float) -> None:
    text = f"{significant(low, 4)} to {significant(high, 4)} s"
    axes.text(1.01, place, text, transform=axes.get_yaxis_transform(), va="center", fontsize=6.5)


def _span(row: Mapping[str, Any]) -> str:
    unit = "" if row["unit"] in ("count", "ratio", "enum", "") else f" {row['unit']}"
    low, central, high = (value_text(row[name]) for name in ("low", "central", "high"))
    return f"{low} to {high}{unit} ({central})"
