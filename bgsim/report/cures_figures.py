"""Figures of a study of cures: what each brings alone, and the waterfall of the best order to build them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bgsim import cures
from bgsim.experiment.identity import canonical
from bgsim.experiment.labels import brief
from bgsim.experiment.metrics import METRICS
from bgsim.experiment.statistics import Interval, mean_interval
from bgsim.report import intervals, style
from bgsim.report.numbers import common_scale, significant
from bgsim.report.results import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PLACE_LOOK = {
    "kernel": (style.SKY_BLUE, "microkernel"),
    "vmm": (style.GREEN, "VMM"),
    "guest": (style.ORANGE, "guest"),
    "hardware": (style.PURPLE, "hardware"),
}


def figures(search: Mapping[str, Any], records: Sequence[Record]) -> Iterator[tuple[str, Figure]]:
    """Name and figure, one after another.

    Parameters
    ----------
    search
        The content of ``greedy.json``.
    records
        All records of the study.
    """
    for point in search["points"]:
        name = style.slug(search_title(point))
        if point["steps"]:
            yield f"cures-waterfall-{name}", waterfall(search, point)
        bars = alone(search, point, records)
        if bars:
            yield f"cures-alone-{name}", bars_alone(search, point, bars)


def step_span(step: Mapping[str, Any]) -> tuple[float, float]:
    """Lowest and highest value of a step, the deviations of its guessed parameters on top of each other."""
    low = high = float(step["value"])
    for guess in step["guesses"]:
        ends = [
            value - step["value"] for value in (guess["value_low"], guess["value_high"]) if value is not None
        ]
        low += min([0.0, *ends])
        high += max([0.0, *ends])
    return low, high


def waterfall(search: Mapping[str, Any], point: Mapping[str, Any]) -> Figure:
    """One floating bar per step, from the value before to the value after, down to bare metal.

    Whiskers are the interval of a step's guessed parameters: bounds that add up, not confidence limits.
    """
    steps = point["steps"]
    native = point["native"]
    values = [float(step["value"]) for step in steps] + ([float(native)] if native else [])
    scale, unit = common_scale(values, METRICS[search["metric"]].unit)
    rows = len(steps) + bool(native)
    figure, [[axes]] = style.new_figure(width_in=style.DOUBLE_COLUMN_IN, height_in=1.1 + 0.24 * rows)
    handles: dict[str, Any] = {}
    labels = []
    before = float(steps[0]["value"]) / scale
    for row, step in enumerate(steps):
        value = float(step["value"]) / scale
        if row == 0:
            look = style.platform_style(search["platform"])
            handles[look.label] = axes.barh(row, value, height=0.7, color=look.colour)
            labels.append("no cure")
        else:
            colour, place = _PLACE_LOOK[cures.CURES[step["added"][-1]].place]
            handles[place] = axes.barh(row, before - value, left=value, height=0.7, color=colour)
            labels.append(" + ".join(step["added"]))
            low, high = (end / scale for end in step_span(step))
            if high > low:
                handles["guessed parameters, as bounds"] = axes.errorbar(
                    value,
                    row,
                    xerr=[[max(0.0, value - low)], [max(0.0, high - value)]],
                    fmt="none",
                    ecolor=style.BLACK,
                    elinewidth=0.8,
                    capsize=2.0,
                )
        _value_text(axes, row, value, unit, float(native) / scale if native else None)
        before = value
    if native:
        look = style.platform_style("bare-metal")
        handles[look.label] = axes.barh(rows - 1, native / scale, height=0.7, color=look.colour)
        axes.axvline(native / scale, color=style.BLACK, linestyle=(0, (3, 1.5)), linewidth=0.9)
        labels.append("bare metal")
        _value_text(axes, rows - 1, native / scale, unit, None)
    _finish(axes, labels, f"{_metric_words(search['metric'])} ({unit})")
    axes.set_title(search_title(point), loc="left")
    style.legend_outside(figure, handles, columns=5, below=True)
    return figure


def alone(
    search: Mapping[str, Any], point: Mapping[str, Any], records: Sequence[Record]
) -> list[tuple[str, Interval]]:
    """Each cure that ran alone, with whatever it needs, and the metric with it; most gain first."""
    found: dict[str, list[float]] = {}
    for record in records:
        config = record["config"]
        if record["platform"] != search["platform"] or search["metric"] not in record["metrics"]:
            continue
        if canonical(config["workload"]) != canonical(point["workload"]) or config["machine"]["set"]:
            continue
        for name in config["cures"]:
            if set(config["cures"]) == {name, *cures.CURES[name].needs}:
                found.setdefault(name, []).append(float(record["metrics"][search["metric"]]))
    means = [(name, mean_interval(values)) for name, values in found.items()]
    sign = -1 if METRICS[search["metric"]].better == "higher" else 1
    return sorted(means, key=lambda pair: (sign * pair[1].mean, pair[0]))


def bars_alone(
    search: Mapping[str, Any], point: Mapping[str, Any], bars: Sequence[tuple[str, Interval]]
) -> Figure:
    """Horizontal bars of the metric with one cure at a time, beside none and beside bare metal."""
    none, native = float(point["steps"][0]["value"]), point["native"]
    values = [none, *(found.mean for _, found in bars), *([float(native)] if native else [])]
    scale, unit = common_scale(values, METRICS[search["metric"]].unit)
    figure, [[axes]] = style.new_figure(width_in=style.DOUBLE_COLUMN_IN, height_in=1.1 + 0.2 * len(bars))
    handles: dict[str, Any] = {}
    for row, (name, found) in enumerate(bars):
        value = found.mean
        colour, place = _PLACE_LOOK[cures.CURES[name].place]
        handles[place] = axes.barh(row, value / scale, height=0.7, color=colour)
        intervals.bars(axes, [row], [found], style.BLACK, scale, across=True)
        change = 100 * (value / none - 1)
        text = f"{significant(value / scale)} {unit}  ({change:+.1f} %)"
        axes.text(1.01, row, text, transform=axes.get_yaxis_transform(), va="center", fontsize=6.5)
    line = axes.axvline(none / scale, color=style.BLACK, linewidth=0.9)
    handles["no cure"] = line
    if native:
        handles["bare metal"] = axes.axvline(
            native / scale, color=style.BLACK, linestyle=(0, (3, 1.5)), linewidth=0.9
        )
    _finish(axes, [name for name, _ in bars], f"{_metric_words(search['metric'])} ({unit})")
    axes.set_title(f"{search_title(point)}: one cure at a time", loc="left")
    style.legend_outside(figure, handles, columns=6, below=True)
    return figure


def search_title(point: Mapping[str, Any]) -> str:
    """What a point of a search is: its workload in a few words, and its partition if that is swept."""
    workload, swept = point["workload"], point["point"]
    more = (workload.get(key, "auto") for key in ("network", "message_size", "size", "native_time"))
    words = [brief(workload), *(str(value) for value in more if value != "auto")]
    if "partition" in swept and len(set(swept["partition"])) == 1:
        words.append(brief(swept["partition"]))
    return ", ".join(words)


def _metric_words(metric: str) -> str:
    return metric.rsplit("_", 1)[0].replace("_", " ") + " time" if metric == "elapsed_s" else metric


def _value_text(axes: Axes, row: int, value: float, unit: str, native: float | None) -> None:
    text = f"{significant(value)} {unit}"
    if native:
        text += f"  ({significant(value / native)} x native)"
    axes.text(1.01, row, text, transform=axes.get_yaxis_transform(), va="center", fontsize=6.5)


def _finish(axes: Axes, labels: Sequence[str], words: str) -> None:
    axes.set_yticks(range(len(labels)), labels)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_formatter(style.number_formatter())
    axes.set_xlabel(words)
