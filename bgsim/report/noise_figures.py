"""Figures of the noise workload: fixed-work samples, histogram of detours, spectrum of fixed-time samples.

A row, or a series, is a guest; where there are other virtual machines, it is what these do and where.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from bgsim.experiment.statistics import Interval, mean_interval
from bgsim.report import intervals, style
from bgsim.report.neighbours_figures import STRICT, placement
from bgsim.report.parts import split_by
from bgsim.report.results import Group, Point, details, platform_label, point_label
from bgsim.workloads.shared_node_config import SharedNodeConfig
from bgsim.workloads.spectrum import spectrum

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OWN_AXES = ("guest", "workload.probe", "workload.neighbour", "workload.cores", f"machine.set.{STRICT}")

EVENT_LABELS = {
    "vm_switch": "other virtual machine",
    "device_interrupt": "interrupt for a neighbour",
    "l4_tick": "L4 tick",
    "guest_timer": "timer interrupt",
}
"""Periodic events whose frequency is marked in a spectrum: all, or the first where the core is shared."""

SOURCE_LOOKS = {
    "vm_switch": ("other virtual machine", style.VERMILLION, "s"),
    "device_interrupt": ("interrupt for a neighbour", style.GREEN, "^"),
    "guest_timer": ("timer interrupt", style.BLUE, "o"),
    "page_fault": ("page fault", style.PURPLE, "D"),
    "tlb_refill": ("TLB refill", style.ORANGE, "P"),
    "tlb_insert": ("TLB entries loaded", style.SKY_BLUE, "v"),
    "vmm": ("VMM", style.DARK_GREY, "X"),
    "l4_tick": ("L4 tick", style.BLACK, "o"),
}
"""Label, colour and marker of what is behind a detour; of several events the first one here counts."""

_TRACE_MS = 100.0
_TRACE_TOP_US = 200.0
_FLOOR_US = 1e-3
_LABEL_HEIGHTS = {"vm_switch": 0.95, "device_interrupt": 0.95, "l4_tick": 0.78, "guest_timer": 0.95}
_HERTZ_MAX = 2600


def figures(points: Sequence[Point], axes: Sequence[str]) -> Iterator[tuple[str, Figure]]:
    """Name and figure, for each value of the axes other than guest, probe and neighbours."""
    for values, part in split_by(points, axes, OWN_AXES):
        suffix = style.slug(point_label(values, list(values)))
        tail = f"-{suffix}" if suffix else ""
        groups = [group for point in part for group in point.groups]
        work = [group for group in groups if group.workload["probe"] == "fwq"]
        time = [group for group in groups if group.workload["probe"] == "ftq"]
        if work:
            yield f"noise-fwq{tail}", traces(work)
        if any(_rates(group) for group in work or time):
            yield f"noise-detours{tail}", histograms(work or time)
        if time:
            yield f"noise-spectrum{tail}", spectra(time)


def _rows(groups: Sequence[Group]) -> dict[str, list[Group]]:
    """Groups by what a row stands for: a guest, and what is beside it where anything is."""
    guests = list(dict.fromkeys(_guest(group) for group in groups))
    if all(_neighbour(group) == "none" for group in groups):
        named = [(guest, [group for group in groups if _guest(group) == guest]) for guest in guests]
        return dict(named)
    rows: dict[str, list[Group]] = {}
    for group in sorted(groups, key=lambda group: (guests.index(_guest(group)), _loneliness(group))):
        case = "alone"
        if _neighbour(group) != "none":
            case = f"beside {_neighbour(group)} {placement(group)}"
        rows.setdefault(case if len(guests) == 1 else f"{_guest(group)}, {case}", []).append(group)
    return rows


def _guest(group: Group) -> str:
    return str(group.records[0]["config"]["guest"])


def _neighbour(group: Group) -> str:
    return str(group.workload.get("neighbour", "none"))


def _loneliness(group: Group) -> tuple[int, int, str]:
    """Sort key: alone, then beside neighbours on other cores, then on the same one."""
    where = "" if _neighbour(group) == "none" else placement(group)
    distance = {"": 0, "on another core": 1}.get(where, 2)
    known = get_args(SharedNodeConfig.model_fields["neighbour"].annotation)
    return distance, known.index(_neighbour(group)), where


def _grid(groups: Sequence[Group]) -> tuple[list[str], list[str], Mapping[tuple[str, str], Group]]:
    """Rows, platforms, and the group of each pair."""
    rows = _rows(groups)
    platforms = list(dict.fromkeys(group.platform for group in groups))
    table = {(label, group.platform): group for label, row in rows.items() for group in row}
    return list(rows), platforms, table


def _panels(groups: Sequence[Group], height_in: float) -> Iterator[tuple[Axes, Group, Figure]]:
    rows, platforms, table = _grid(groups)
    named = len(platforms) == 1 and any(_neighbour(group) != "none" for group in groups)
    figure, grid = style.new_figure(
        len(rows),
        len(platforms),
        width_in=style.DOUBLE_COLUMN_IN if len(platforms) > 1 else style.SINGLE_COLUMN_IN,
        height_in=0.5 + height_in * len(rows),
        sharex=True,
        sharey=True,
    )
    for row, label in zip(grid, rows, strict=True):
        for axes, platform in zip(row, platforms, strict=True):
            axes.set_title(label if named else f"{label}, {platform_label(platform)}", loc="left")
            if (label, platform) in table:
                yield axes, table[label, platform], figure
            else:
                axes.set_visible(False)


def _class(happened: str) -> str:
    """What a detour is shown as: of the events behind it, the one that looms largest."""
    names = happened.split("+")
    return next((name for name in SOURCE_LOOKS if name in names), names[0])


def traces(groups: Sequence[Group]) -> Figure:
    """Time lost in each quantum of work against when it began, of the first tenth of a second."""
    top = _TRACE_TOP_US
    handles: dict[str, Any] = {}
    for axes, group, drawn in _panels(groups, 0.95):
        figure = drawn
        trace = group.details["trace"]
        happened = [_class(each) for each in group.details.get("trace_sources", [])] or [""] * len(trace)
        shown = [(x / 1e3, y, what) for (x, y), what in zip(trace, happened, strict=True)]
        shown = [each for each in shown if each[0] <= _TRACE_MS]
        for what in dict.fromkeys(what for _, _, what in shown):
            x, y = zip(*[(x, y) for x, y, each in shown if each == what], strict=True)
            plain = ("", style.platform_style(group.platform).colour, "o")
            label, colour, marker = SOURCE_LOOKS.get(what, plain)
            axes.vlines(x, _FLOOR_US, y, color=colour, linewidth=0.7)
            drawn_as: dict[str, Any] = {"linestyle": "none", "marker": marker, "markersize": 2.0}
            line = axes.plot(x, y, color=colour, **drawn_as)[0]
            if label:
                handles[label] = line
            top = max(top, 3 * max(y))
        if not shown:
            axes.text(0.5, 0.5, "no detours", transform=axes.transAxes, ha="center", va="center")
    for axes in figure.axes:
        axes.set_yscale("log")
        axes.set_ylim(0.1, top)
        axes.set_yticks([each for each in (0.1, 1, 10, 100, 1e3, 1e4, 1e5) if each < top][:: 1 + (top > 1e3)])
        axes.yaxis.set_major_formatter(style.number_formatter())
        axes.set_xlim(0, _TRACE_MS)
    figure.supxlabel("time (ms)", fontsize=7.0)
    figure.supylabel("time lost in a quantum of work (µs)", fontsize=7.0)
    if handles:
        ordered = [label for label, _, _ in SOURCE_LOOKS.values() if label in handles]
        style.legend_outside(figure, {label: handles[label] for label in ordered}, columns=2)
    return figure


def _rates(group: Group) -> dict[tuple[float, float], Interval]:
    """Detours per second in each bin that holds any, the mean over replications."""
    found = []
    for record in group.records:
        seconds = record["metrics"]["elapsed_s"]
        found.append({(low, high): count / seconds for low, high, count in details(record)["histogram"]})
    bins = sorted({ends for each in found for ends in each})
    return {ends: mean_interval([each.get(ends, 0.0) for each in found]) for ends in bins}


def histograms(groups: Sequence[Group]) -> Figure:
    """Detours per second by their length, both axes logarithmic; a panel for each platform."""
    rows, platforms, table = _grid(groups)
    short = max(map(len, rows)) < 20
    figure, [panels] = style.new_figure(
        1,
        len(platforms),
        width_in=style.DOUBLE_COLUMN_IN if len(platforms) > 1 else style.SINGLE_COLUMN_IN,
        height_in=2.4 if short else 2.4 + 0.14 * len(rows),
        sharex=True,
        sharey=True,
    )
    handles: dict[str, Any] = {}
    rates = [1.0]
    for axes, platform in zip(panels, platforms, strict=True):
        axes.set_title(platform_label(platform), loc="left")
        for number, row in enumerate(rows):
            group = table.get((row, platform))
            bins = _rates(group) if group is not None else {}
            if not bins:
                continue
            x = [(low * high) ** 0.5 for low, high in bins]
            y = [rate.mean for rate in bins.values()]
            rates += y
            colour = style.SERIES_COLOURS[number % len(style.SERIES_COLOURS)]
            handles[row] = axes.plot(
                x,
                y,
                linestyle="none",
                marker=style.SERIES_MARKERS[number % len(style.SERIES_MARKERS)],
                color=colour,
                fillstyle="none",
                markersize=4.5 + (1.2 if len(rows) < 5 else 0.6) * number,
            )[0]
            intervals.bars(axes, x, list(bins.values()), colour)
        silent = [row for row in rows if (row, platform) in table and not _rates(table[row, platform])]
        if silent:
            said = f"no detours: {', '.join(silent)}"
            axes.text(0.98, 0.97, said, transform=axes.transAxes, ha="right", va="top", fontsize=6.5)
        axes.set_xlabel("detour (µs)")
    for axes in panels:
        axes.set_ylim(0.5 * min(rates), 3 * max(rates))
        style.plain_log_ticks(axes, "x")
        style.plain_log_ticks(axes, "y")
    panels[0].set_ylabel("detours per second")
    style.legend_outside(figure, handles, columns=4 if short else 2)
    return figure


def spectra(groups: Sequence[Group]) -> Figure:
    """Amplitude of the work done per quantum of time against frequency, ticks marked."""
    tallest = _FLOOR_US
    for axes, group, drawn in _panels(groups, 1.15):
        figure = drawn
        work = group.details["work_us"]
        hertz, amplitude = spectrum(work, float(group.details["quantum_us"]) * 1e-6)
        # Work is counted in whole units: what is below a part of one is that grain.
        axes.plot(
            hertz,
            amplitude,
            color=style.platform_style(group.platform).colour,
            linewidth=0.6,
            rasterized=True,
        )
        tallest = max(tallest, float(amplitude.max()))
        rates = group.details["rates_hz"]
        # What is counted in slices of a core says little of how often it happens meanwhile.
        marked = ["vm_switch"] if "vm_switch" in rates else [name for name in EVENT_LABELS if name in rates]
        for name in marked:
            near = np.abs(hertz - rates[name]) <= 3 * hertz[0]
            late = rates[name] > _HERTZ_MAX / 2
            axes.annotate(
                f"{EVENT_LABELS[name]}, {rates[name]:,.0f} Hz",
                (rates[name], float(amplitude[near].max())),
                xytext=(rates[name] + (-60 if late else 60), _LABEL_HEIGHTS[name]),
                textcoords=("data", "axes fraction"),
                ha="right" if late else "left",
                va="center",
                fontsize=6.0,
                arrowprops={"arrowstyle": "-", "linewidth": 0.5},
            )
        if not group.details["trace"]:
            axes.text(0.5, 0.5, "no detours", transform=axes.transAxes, ha="center", va="center")
    for axes in figure.axes:
        axes.set_xlim(0, _HERTZ_MAX)
        axes.set_yscale("log")
        axes.set_ylim(_FLOOR_US, 20 * tallest)
        axes.yaxis.set_major_formatter(style.number_formatter())
    figure.supxlabel("frequency (Hz)", fontsize=7.0)
    figure.supylabel("amplitude of work per quantum (µs)", fontsize=7.0)
    return figure
