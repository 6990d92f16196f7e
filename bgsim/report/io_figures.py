"""Figures of the workload io: start-up against processes, throughput against nodes per I/O node, layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from bgsim.report import intervals, style
from bgsim.report.results import Group, Point
from bgsim.validation_data import STARTUP_IMAGE_S, STARTUP_PYTHON_S

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STARTUPS = {
    "python-startup": ("Python", STARTUP_PYTHON_S),
    "image-startup": ("C++", STARTUP_IMAGE_S),
    "shared-file-startup": ("one image", {}),
}
"""Pattern: its name in the legend, and published seconds by cores."""

DIRECTIONS = {"write": "out of the compute nodes (write)", "read": "into them (read)"}
DRAINED_BPS = 4e9
"""Out of the compute fabric, one core draining: IBM's Linux driver; ``ciod.receive_cycles`` is from it."""

CEILING_BPS = 4.781e9
"""240 of 256 B of 5.1 Gb/s: the same driver, for both directions."""

LAYER_LOOK = {
    "compute_core": ("compute core", style.BLUE, ""),
    "collective_network": ("collective network", style.SKY_BLUE, "////"),
    "ciod": ("I/O node and its queues", style.ORANGE, ""),
    "ethernet": ("Ethernet and distance", style.GREEN, "...."),
    "file_server": ("file server", style.GREY, "\\\\\\\\"),
}


def figures(points: Sequence[Point]) -> Iterator[tuple[str, Figure]]:
    """Name and figure: those for which there is something to show."""
    groups = [group for point in points for group in point.groups]
    startups = [g for g in groups if g.workload["pattern"] in STARTUPS]
    if len({_processes(g) for g in startups}) > 1:
        yield "io-startup", against_processes(startups)
    moving = [g for g in groups if g.workload["pattern"] in DIRECTIONS and g.mean("throughput_bps")]
    if len({_share(g) for g in moving}) > 1:
        yield "io-throughput", against_share(moving)
    if groups:
        yield "io-layers", layers(groups)


def _processes(group: Group) -> int:
    return int(group.details["processes"])


def _share(group: Group) -> int:
    """Compute nodes behind an I/O node."""
    return min(int(group.details["nodes_per_io_node"]), int(group.details["nodes"]))


def against_processes(groups: Sequence[Group]) -> Figure:
    """Time until all processes have started; the band is the file server's and the program's range."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    figure, grid = style.new_figure(1, 1, height_in=2.9)
    panel = grid[0][0]
    handles: dict[str, Any] = {}
    for number, (pattern, (name, published)) in enumerate(STARTUPS.items()):
        colour = style.SERIES_COLOURS[number]
        marker = style.SERIES_MARKERS[number]
        platforms = list(dict.fromkeys(g.platform for g in groups))
        for dashes, platform in zip(style.LINE_STYLES, platforms, strict=False):
            line = [g for g in groups if (g.workload["pattern"], g.platform) == (pattern, platform)]
            line.sort(key=_processes)
            if not line:
                continue
            x = [_processes(g) for g in line]
            cells = [g.cells["elapsed_s"] for g in line]
            panel.plot(x, [cell.mean for cell in cells], color=colour, linestyle=dashes)
            intervals.bars(panel, x, cells, colour)
            label = f"{name}, {style.platform_style(platform).label}"
            handles[label] = Line2D([], [], color=colour, linestyle=dashes)
            if platform == platforms[0] and all(g.details.get("elapsed_s_range") for g in line):
                low, high = zip(*(g.details["elapsed_s_range"] for g in line), strict=True)
                panel.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
                handles[f"{name}, range of the guesses"] = Patch(facecolor=colour, alpha=0.3)
        if published and any(g.workload["pattern"] == pattern for g in groups):
            look: dict[str, Any] = {
                "color": colour,
                "marker": marker,
                "linestyle": "none",
                "fillstyle": "none",
            }
            panel.plot(list(published), list(published.values()), **look)
            handles[f"{name}, published (JUGENE)"] = Line2D([], [], **look)
    panel.set_xscale("log", base=2)
    panel.set_yscale("log")
    _plain_counts(panel, sorted({_processes(g) for g in groups}))
    panel.set_xlabel("processes that start")
    panel.set_ylabel("until all have started (s)")
    style.legend_outside(figure, handles, columns=2)
    return figure


def against_share(groups: Sequence[Group]) -> Figure:
    """Throughput of one I/O node against its compute nodes."""
    from matplotlib.lines import Line2D

    figure, grid = style.new_figure(1, 1, height_in=2.7)
    panel = grid[0][0]
    handles: dict[str, Any] = {}
    platforms = list(dict.fromkeys(g.platform for g in groups))
    for number, (pattern, name) in enumerate(DIRECTIONS.items()):
        look: dict[str, Any] = {
            "color": style.SERIES_COLOURS[number],
            "marker": style.SERIES_MARKERS[number],
        }
        for dashes, platform in zip(style.LINE_STYLES, platforms, strict=False):
            line = [g for g in groups if (g.workload["pattern"], g.platform) == (pattern, platform)]
            line.sort(key=_share)
            if line:
                x = [_share(g) for g in line]
                psets = [int(g.details["psets"]) for g in line]
                cells = [g.cells["throughput_bps"] for g in line]
                y = [cell.mean / count / 1e6 for cell, count in zip(cells, psets, strict=True)]
                panel.plot(x, y, linestyle=dashes, **look)
                for place, cell, count in zip(x, cells, psets, strict=True):
                    intervals.bars(panel, [place], [cell], look["color"], 1e6 * count)
                label = f"{name}, {style.platform_style(platform).label}"
                handles[label] = Line2D([], [], linestyle=dashes, **look)
    for rate, dashes, label in (
        (DRAINED_BPS, style.LINE_STYLES[2], "measured out of the fabric, one core draining: 4 Gb/s"),
        (CEILING_BPS, style.LINE_STYLES[3], "ceiling of the link, nearly reached inwards: 4,781 Mb/s"),
    ):
        panel.axhline(rate / 1e6, color=style.BLACK, linestyle=dashes, linewidth=0.7)
        handles[label] = Line2D([], [], color=style.BLACK, linestyle=dashes, linewidth=0.7)
    panel.set_xscale("log", base=2)
    panel.set_yscale("log")
    _plain_counts(panel, sorted({_share(g) for g in groups}))
    style.plain_log_ticks(panel, "y")
    panel.set_xlabel("compute nodes per I/O node")
    panel.set_ylabel("file data per I/O node (Mbit/s)")
    style.legend_outside(figure, handles, columns=1)
    return figure


def layers(groups: Sequence[Group]) -> Figure:
    """Where a call's time goes on average, as shares, one bar for each run."""
    from matplotlib.patches import Patch

    figure, grid = style.new_figure(
        1, 1, width_in=style.DOUBLE_COLUMN_IN, height_in=0.9 + 0.155 * len(groups)
    )
    panel = grid[0][0]
    labels = []
    for row, group in enumerate(groups):
        mean = group.details["layers_us_per_call"]
        total = sum(mean.values())
        left = 0.0
        for name, (_, colour, hatch) in LAYER_LOOK.items():
            share = 100 * mean[name] / total
            panel.barh(row, share, left=left, color=colour, hatch=hatch, edgecolor="white", height=0.75)
            left += share
        labels.append(
            f"{group.workload['pattern']}, {_processes(group):,} processes, {_share(group)} nodes per I/O "
            f"node, {style.platform_style(group.platform).label}: {_time(total)}"
        )
    panel.set_yticks(range(len(groups)), labels)
    panel.invert_yaxis()
    panel.set_xlim(0, 100)
    panel.grid(visible=False, axis="y")
    panel.set_xlabel("share of a call's mean time (%)")
    handles = {
        label: Patch(facecolor=colour, hatch=hatch, edgecolor="white")
        for label, colour, hatch in LAYER_LOOK.values()
    }
    style.legend_outside(figure, handles, columns=5)
    return figure


def _time(microseconds: float) -> str:
    return f"{microseconds:,.0f} µs" if microseconds < 1e4 else f"{microseconds / 1e3:,.0f} ms"


def _plain_counts(panel: Axes, counts: Sequence[int]) -> None:
    from matplotlib.ticker import FixedLocator, NullLocator

    panel.xaxis.set_major_locator(FixedLocator(list(counts)))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.set_xticks(list(counts), [f"{count:,}" for count in counts], rotation=40, ha="right")
