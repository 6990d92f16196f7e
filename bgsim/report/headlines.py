"""The few numbers a report begins with: how much slower, how far from what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from bgsim.experiment.metrics import BASELINE, METRICS, SLOWDOWN_BASIS
from bgsim.report import published
from bgsim.report.numbers import common_scale, quantity, significant
from bgsim.report.results import (
    HEADLINE_METRICS,
    Cell,
    Group,
    Point,
    Results,
    kind,
    platform_label,
    point_label,
)

_WORDS = {
    "elapsed_s": "elapsed time",
    "operation_us_avg": "mean time of an operation",
    "latency_us": "mean latency",
    "throughput_bps": "throughput",
    "bandwidth_MiBps": "bandwidth",
    "noise_ratio": "share of time lost to detours",
}

POINTS_SHOWN = 3
"""Of a study with more points, the extremes and the median are shown."""


@dataclass(frozen=True)
class Headline:
    """One number with what it is of.

    Attributes
    ----------
    label
        What the number is.
    value
        The number with its unit.
    interval
        Its interval over replications, or empty.
    notes
        Lines below: the point, the times behind a ratio, what was measured.
    """

    label: str
    value: str
    interval: str
    notes: tuple[str, ...]


def headlines(results: Results) -> list[Headline]:
    """Headlines of a study, those of its first kind of workload first."""
    found: list[Headline] = []
    for name in results.kinds:
        points = results.of_kind(name)
        own = list(_slowdowns(points, results.axes)) or list(_levels(name, points, results.axes))
        own += _deviation(points)
        several = len(results.kinds) > 1
        found += [replace(each, label=f"{name}: {each.label}") if several else each for each in own]
    return found


def _slowdowns(points: Sequence[Point], axes: Sequence[str]) -> Iterator[Headline]:
    others = dict.fromkeys(p for point in points for p in point.platforms if p != BASELINE)
    for platform in others:
        rows = [
            (point, point.platforms[platform])
            for point in points
            if platform in point.platforms and "slowdown" in point.platforms[platform].cells
        ]
        rows.sort(key=lambda row: row[1].cells["slowdown"].mean)
        if len(rows) <= POINTS_SHOWN:
            chosen = [("slowdown", row) for row in rows]
        else:
            words = ("least slowdown", "greatest slowdown")
            chosen = [(words[0], rows[0]), (words[1], rows[-1])]
            middle = median(group.cells["slowdown"].mean for _, group in rows)
            note = f"over {len(rows)} points"
            yield Headline(
                f"median slowdown, {platform_label(platform)}", f"{significant(middle)}×", "", (note,)
            )
        for label, (point, group) in chosen:
            cell = group.cells["slowdown"]
            yield Headline(
                f"{label}, {platform_label(platform)}",
                f"{significant(cell.mean)}×",
                _interval(cell, 1.0, "×"),
                tuple(_behind(point, group, axes)),
            )


def _behind(point: Point, group: Group, axes: Sequence[str]) -> Iterator[str]:
    """The point, the values a slowdown is the ratio of, bounds and measurements."""
    where = point_label(point.shown, axes)
    if where:
        yield where
    native = point.platforms[BASELINE]
    basis = next((name for name in SLOWDOWN_BASIS if name in native.cells and name in group.cells), None)
    divisor, unit = 1.0, "s"
    if basis is not None:
        pair = (native.cells[basis], group.cells[basis])
        divisor, unit = common_scale([cell.mean for cell in pair], pair[0].unit)
        texts = [f"{significant(cell.mean / divisor)} {unit}" for cell in pair]
        yield f"{texts[0]} {platform_label(BASELINE)}, {texts[1]} {platform_label(group.platform)}"
    bounds = group.details.get("sensitivity_range_s")
    if bounds:
        low, high = (significant(float(bound) / divisor) for bound in bounds)
        yield f"bounds of the prediction: {low} to {high} {unit}"
    if kind(group.records[0]) == "compile" and published.compile_is_comparable(group.workload):
        measured = published.COMPILE_ELAPSED_S
        if group.platform in measured:
            yield f"{published.SOURCE}: {measured[BASELINE]:g} s and {measured[group.platform]:g} s"


def _levels(name: str, points: Sequence[Point], axes: Sequence[str]) -> Iterator[Headline]:
    """Of a study without a partner to compare with: the extremes of its first metric."""
    wanted = HEADLINE_METRICS.get(name, tuple(METRICS))
    present: Mapping[str, Cell] = points[0].groups[0].cells
    metric = next((metric for metric in wanted if metric in present), None)
    if metric is None:
        return
    rows = [
        (point, group, group.cells[metric])
        for point in points
        for group in point.groups
        if metric in group.cells
    ]
    rows.sort(key=lambda row: row[2].mean)
    chosen = rows if len(rows) <= POINTS_SHOWN else [rows[0], rows[-1]]
    words = [""] * len(chosen) if len(rows) <= POINTS_SHOWN else ["least ", "greatest "]
    for word, (point, group, cell) in zip(words, chosen, strict=True):
        divisor, unit = common_scale([cell.mean], cell.unit)
        value = quantity(cell.mean) if cell.unit == "count" else significant(cell.mean / divisor)
        where = point_label(point.shown, axes)
        yield Headline(
            f"{word}{_WORDS.get(metric, metric.replace('_', ' '))}",
            f"{value} {unit}".strip(),
            _interval(cell, divisor, ""),
            tuple(text for text in (where, platform_label(group.platform)) if text),
        )


def _deviation(points: Sequence[Point]) -> Iterator[Headline]:
    values = [group.mean("deviation") for point in points for group in point.groups]
    found = sorted(abs(value) for value in values if value is not None)
    if found:
        yield Headline(
            "deviation from the measurement",
            f"{100 * median(found):.1f} %",
            "",
            (f"median over {len(found)} measured points", f"greatest: {100 * found[-1]:.1f} %"),
        )


def _interval(cell: Cell, divisor: float, unit: str) -> str:
    if cell.low is None or cell.high is None:
        return ""
    low, high = significant(cell.low / divisor), significant(cell.high / divisor)
    return f"[{low}, {high}]{unit}, 95 %, n = {cell.n}" if low != high else f"n = {cell.n}, all equal"
