"""Figures of the netperf workload: throughput, latency and processor cost against message size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from bgsim.report import intervals, style
from bgsim.report.parts import split_by
from bgsim.report.results import PLATFORMS, Cell, Group, Point, amount, point_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OWN_AXES = ("workload.test", "workload.network", "workload.message_size", "workload.mtu")

_TEST_LABELS = {
    "tcp_stream": "TCP_STREAM",
    "udp_stream": "UDP_STREAM",
    "tcp_rr": "TCP_RR",
    "udp_rr": "UDP_RR",
}
_STREAMS = ("tcp_stream", "udp_stream")
_ROUND_TRIPS = ("tcp_rr", "udp_rr")
_NETWORKS = ("torus", "collective")


def figures(points: Sequence[Point], axes: Sequence[str]) -> Iterator[tuple[str, Figure]]:
    """Name and figure, one after another; a set for each value of the axes that no panel shows."""
    for values, part in split_by(points, axes, OWN_AXES):
        suffix = style.slug(point_label(values, list(values)))
        end = f"-{suffix}" if suffix else ""
        groups = [group for point in part for group in point.groups]
        for name, tests, metric, scale, label in (
            ("throughput", _STREAMS, "throughput_bps", 1e6, "throughput (Mbit/s)"),
            ("latency", _ROUND_TRIPS, "latency_p50_us", 1.0, "round trip (µs)"),
            ("cpu", (*_STREAMS, *_ROUND_TRIPS), "cpu_us_per_message", 1.0, "CPU time per message (µs)"),
        ):
            chosen = [g for g in groups if g.workload["test"] in tests and _cell(g, metric) is not None]
            if chosen:
                yield f"netperf-{name}{end}", against_size(chosen, metric, scale, label)


def _cell(group: Group, metric: str) -> Cell | None:
    """A metric's mean and interval; the mean latency stands in where a run gives no median."""
    found = group.cells.get(metric)
    return group.cells.get("latency_us") if found is None and metric == "latency_p50_us" else found


def _bytes(group: Group, name: str) -> float:
    size = amount(group.workload[name], "bytes")
    assert size is not None, f"workload.{name} is validated as a size before anything runs"
    return size


def against_size(groups: Sequence[Group], metric: str, scale: float, label: str) -> Figure:
    """One row of panels for each test, one column for each network.

    Parameters
    ----------
    groups
        Runs to draw.
    metric
        Metric of the y axis; for the median latency the band up to the 99th percentile is added.
    scale
        Divisor from the metric's unit to the unit in ``label``.
    label
        Text of the y axis.
    """
    tests = [test for test in _TEST_LABELS if any(g.workload["test"] == test for g in groups)]
    networks = [n for n in _NETWORKS if any(g.workload["network"] == n for g in groups)]
    mtus = sorted({_bytes(g, "mtu") for g in groups})
    platforms = [p for p in PLATFORMS if any(g.platform == p for g in groups)]
    sizes = sorted({_bytes(g, "message_size") for g in groups})
    wide = len(networks) > 1
    figure, panels = style.new_figure(
        len(tests),
        len(networks),
        width_in=style.DOUBLE_COLUMN_IN if wide else style.SINGLE_COLUMN_IN,
        height_in=0.75 + 1.55 * len(tests),
        sharex=True,
        sharey="row",
    )
    banded = False
    for row, test in enumerate(tests):
        for column, network in enumerate(networks):
            axes = panels[row][column]
            for platform in platforms:
                for mtu in mtus:
                    line = [
                        g
                        for g in groups
                        if (g.workload["test"], g.workload["network"]) == (test, network)
                        and (g.platform, _bytes(g, "mtu")) == (platform, mtu)
                    ]
                    banded |= _draw_line(axes, line, metric, scale, _line_style(mtu, mtus))
            style.plain_log_ticks(axes, "y")
            style.size_ticks(axes, sizes)
            axes.set_title(f"{_TEST_LABELS[test]}, {network} network")
            if row == len(tests) - 1:
                axes.set_xlabel("message size (B)")
            if column == 0:
                axes.set_ylabel(label)
    handles = _legend(platforms, mtus, banded, latency=metric == "latency_p50_us")
    style.legend_outside(figure, handles, columns=5 if wide else 3)
    return figure


def _line_style(mtu: float, mtus: Sequence[float]) -> Any:
    # The largest frame is the solid line: it is the site's configuration, the others are variants.
    return style.LINE_STYLES[(len(mtus) - 1 - list(mtus).index(mtu)) % len(style.LINE_STYLES)]


def _draw_line(axes: Axes, groups: Sequence[Group], metric: str, scale: float, dashes: Any) -> bool:
    """Draw one series; tell whether a percentile band came with it."""
    ranked = sorted(groups, key=lambda g: _bytes(g, "message_size"))
    if not ranked:
        return False
    look = style.platform_style(ranked[0].platform)
    x = [_bytes(g, "message_size") for g in ranked]
    cells = [cell for g in ranked if (cell := _cell(g, metric)) is not None]
    y = [cell.mean / scale for cell in cells]
    axes.plot(x, y, color=look.colour, marker=look.marker, linestyle=dashes)
    intervals.bars(axes, x, cells, look.colour, scale)
    if metric == "latency_p50_us":
        tails = [g.mean("latency_p99_us") for g in ranked]
        if all(tail is not None for tail in tails):
            upper = [max(tail or 0.0, low) for tail, low in zip(tails, y, strict=True)]
            axes.fill_between(x, y, upper, color=look.colour, alpha=0.18, linewidth=0)
            return True
        return False
    return False


def _legend(
    platforms: Sequence[str], mtus: Sequence[float], banded: bool, *, latency: bool
) -> dict[str, Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: dict[str, Any] = {}
    for platform in platforms:
        look = style.platform_style(platform)
        label = f"{look.label}, median" if latency else look.label
        handles[label] = Line2D([], [], color=look.colour, marker=look.marker)
    for mtu in mtus:
        handles[f"MTU {mtu:g} B"] = Line2D([], [], color=style.BLACK, linestyle=_line_style(mtu, mtus))
    if banded:
        handles["up to the 99th percentile"] = Patch(facecolor=style.GREY, alpha=0.35)
    return handles
