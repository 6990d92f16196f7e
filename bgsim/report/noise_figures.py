"""Figures of the noise workload: fixed-work samples, histogram of detours, spectrum of fixed-time samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bgsim.report import style
from bgsim.report.results import Group, Point, platform_label, point_label, split_by
from bgsim.workloads.spectrum import spectrum

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OWN_AXES = ("guest", "workload.probe")

EVENT_LABELS = {"l4_tick": "L4 tick", "guest_timer": "timer interrupt"}
"""Periodic events whose frequency is marked in a spectrum."""

SOURCE_LABELS = {
    **EVENT_LABELS,
    "page_fault": "page fault",
    "tlb_refill": "TLB refill",
    "tlb_insert": "TLB insert",
    "vmm": "VMM",
}
_TRACE_MS = 100.0
_FLOOR_US = 1e-3
_LABEL_HEIGHTS = {"l4_tick": 0.78, "guest_timer": 0.95}


def figures(points: Sequence[Point], axes: Sequence[str]) -> Iterator[tuple[str, Figure]]:
    """Name and figure, for each value of the axes other than guest and probe."""
    for values, part in split_by(points, axes, OWN_AXES):
        suffix = style.slug(point_label(values, list(values)))
        tail = f"-{suffix}" if suffix else ""
        groups = [group for point in part for group in point.groups]
        work = [group for group in groups if group.workload["probe"] == "fwq"]
        time = [group for group in groups if group.workload["probe"] == "ftq"]
        if work:
            yield f"noise-fwq{tail}", traces(work)
        if any(group.details["histogram"] for group in work or time):
            yield f"noise-detours{tail}", histograms(work or time)
        if time:
            yield f"noise-spectrum{tail}", spectra(time)


def _guest(group: Group) -> str:
    return str(group.records[0]["config"]["guest"])


def _grid(groups: Sequence[Group]) -> tuple[list[str], list[str], Mapping[tuple[str, str], Group]]:
    """Guests, platforms, and the group of each pair."""
    guests = list(dict.fromkeys(_guest(group) for group in groups))
    platforms = list(dict.fromkeys(group.platform for group in groups))
    return guests, platforms, {(_guest(group), group.platform): group for group in groups}


def _panels(groups: Sequence[Group], height_in: float) -> Iterator[tuple[Axes, Group, Figure]]:
    guests, platforms, table = _grid(groups)
    figure, grid = style.new_figure(
        len(guests),
        len(platforms),
        width_in=style.DOUBLE_COLUMN_IN if len(platforms) > 1 else style.SINGLE_COLUMN_IN,
        height_in=0.5 + height_in * len(guests),
        sharex=True,
        sharey=True,
    )
    for row, guest in zip(grid, guests, strict=True):
        for axes, platform in zip(row, platforms, strict=True):
            axes.set_title(f"{guest}, {platform_label(platform)}", loc="left")
            if (guest, platform) in table:
                yield axes, table[guest, platform], figure
            else:
                axes.set_visible(False)


def _source(happened: str) -> str:
    """What a detour is shown as: the events behind it, a tick that only let a timer in left out."""
    names = happened.split("+")
    if len(names) > 1 and "l4_tick" in names:
        names.remove("l4_tick")
    return " + ".join(SOURCE_LABELS.get(name, name) for name in names)


def traces(groups: Sequence[Group]) -> Figure:
    """Time lost in each quantum of work against when it began, of the first tenth of a second."""
    for axes, group, drawn in _panels(groups, 0.95):
        figure = drawn
        rows = [(begun / 1e3, lost) for begun, lost in group.details["trace"] if begun / 1e3 <= _TRACE_MS]
        colour = style.platform_style(group.platform).colour
        if rows:
            x, y = zip(*rows, strict=True)
            axes.vlines(x, _FLOOR_US, y, color=colour, linewidth=0.7)
            axes.plot(x, y, linestyle="none", marker="o", markersize=2.0, color=colour)
        else:
            axes.text(0.5, 0.5, "no detours", transform=axes.transAxes, ha="center", va="center")
        axes.set_yscale("log")
        axes.set_ylim(0.1, 200.0)
        axes.set_yticks((0.1, 1, 10, 100))
        axes.yaxis.set_major_formatter(style.number_formatter())
        axes.set_xlim(0, _TRACE_MS)
    figure.supxlabel("time (ms)", fontsize=7.0)
    figure.supylabel("time lost in a quantum of work (µs)", fontsize=7.0)
    return figure


def histograms(groups: Sequence[Group]) -> Figure:
    """Detours per second by their length, both axes logarithmic; a panel for each platform."""
    guests, platforms, table = _grid(groups)
    figure, [panels] = style.new_figure(
        1,
        len(platforms),
        width_in=style.DOUBLE_COLUMN_IN if len(platforms) > 1 else style.SINGLE_COLUMN_IN,
        height_in=2.4,
        sharex=True,
        sharey=True,
    )
    handles: dict[str, Any] = {}
    rates = [1.0]
    for axes, platform in zip(panels, platforms, strict=True):
        axes.set_title(platform_label(platform), loc="left")
        for number, guest in enumerate(guests):
            group = table.get((guest, platform))
            bins = group.details["histogram"] if group is not None else []
            if group is None or not bins:
                continue
            seconds = group.cells["elapsed_s"].mean
            x = [(low * high) ** 0.5 for low, high, _ in bins]
            y = [count / seconds for _, _, count in bins]
            rates += y
            handles[guest] = axes.plot(
                x,
                y,
                linestyle="none",
                marker=style.SERIES_MARKERS[number],
                color=style.SERIES_COLOURS[number],
                fillstyle="none",
                markersize=4.5 + 1.2 * number,
            )[0]
        silent = [guest for guest in guests if (guest, platform) in table]
        silent = [guest for guest in silent if not table[guest, platform].details["histogram"]]
        if silent:
            said = f"no detours: {', '.join(silent)}"
            axes.text(0.98, 0.97, said, transform=axes.transAxes, ha="right", va="top", fontsize=6.5)
        axes.set_xlabel("detour (µs)")
    for axes in panels:
        axes.set_ylim(0.5 * min(rates), 3 * max(rates))
        style.plain_log_ticks(axes, "x")
        style.plain_log_ticks(axes, "y")
    panels[0].set_ylabel("detours per second")
    style.legend_outside(figure, handles, columns=4)
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
        for name, label in EVENT_LABELS.items():
            if name in rates:
                near = np.abs(hertz - rates[name]) <= 3 * hertz[0]
                height = float(amplitude[near].max())
                axes.annotate(
                    f"{label}, {rates[name]:.0f} Hz",
                    (rates[name], height),
                    xytext=(rates[name] + 60, _LABEL_HEIGHTS[name]),
                    textcoords=("data", "axes fraction"),
                    va="center",
                    fontsize=6.0,
                    arrowprops={"arrowstyle": "-", "linewidth": 0.5},
                )
        if not group.details["trace"]:
            axes.text(0.5, 0.5, "no detours", transform=axes.transAxes, ha="center", va="center")
    for axes in figure.axes:
        axes.set_xlim(0, 2600)
        axes.set_yscale("log")
        axes.set_ylim(_FLOOR_US, 20 * tallest)
        axes.yaxis.set_major_formatter(style.number_formatter())
    figure.supxlabel("frequency (Hz)", fontsize=7.0)
    figure.supylabel("amplitude of work per quantum (µs)", fontsize=7.0)
    return figure
