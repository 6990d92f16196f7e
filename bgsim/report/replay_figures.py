"""Figures of the replay workload: where the time of each rank goes, and the sizes of the messages."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bgsim.experiment.diff import ROUNDING
from bgsim.experiment.statistics import Interval, mean_interval
from bgsim.report import intervals, style
from bgsim.report.parts import split_by
from bgsim.report.results import Group, Point, details, point_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CAUSES: dict[str, tuple[str, str, str]] = {
    "compute": ("compute", style.BLUE, ""),
    "send": ("send", style.ORANGE, ""),
    "receive": ("receive", style.YELLOW, "////"),
    "interrupted": ("interrupted", style.VERMILLION, ""),
    "wait": ("wait", style.LIGHT_GREY, ""),
}
"""Of a rank's account: label, colour and hatch, from the bottom upwards."""

_INTERVAL = "interval over replications"
_BARS_MOST = 128
"""Ranks with a bar each; more are drawn as areas, and their intervals as a band."""

_MANY_TIMES = 50
"""Heights further apart than this get a logarithmic axis."""


def figures(points: Sequence[Point], axes: Sequence[str]) -> Iterator[tuple[str, Figure]]:
    """Name and figure: the ranks' accounts at each point, and the sizes of the messages of each trace."""
    drawn: set[str] = set()
    for values, part in split_by(points, axes, ()):
        suffix = style.slug(point_label(values, list(values)))
        end = f"-{suffix}" if suffix else ""
        groups = [group for point in part for group in point.groups if group.details.get("rank_account")]
        if not groups:
            continue
        yield f"replay-ranks{end}", rank_accounts(groups)
        sizes = repr(groups[0].details["message_sizes"])
        if groups[0].details["message_sizes"] and sizes not in drawn:  # collective calls need none
            drawn.add(sizes)
            yield f"replay-messages{end if len(drawn) > 1 else ''}", message_sizes(groups[0])


def rank_accounts(groups: Sequence[Group]) -> Figure:
    """Stacked time of each rank, one panel for each platform, on one scale.

    The mean over replications, with the interval of a rank's time in all.
    """
    from matplotlib.patches import Patch

    figure, grid = style.new_figure(
        1, len(groups), width_in=style.DOUBLE_COLUMN_IN, height_in=2.4, sharey=True
    )
    used = dict.fromkeys(CAUSES, False)
    accounts = [_account_us(group) for group in groups]
    ended: dict[str, Any] = {}
    most = max(total.mean for _, totals in accounts for total in totals)
    unit, scale = ("ms", 1e3) if most >= 1e4 else ("µs", 1.0)
    for panel, group, (causes, totals) in zip(grid[0], groups, accounts, strict=True):
        rows = group.details["rank_account"]
        ranks = [row["rank"] for row in rows]
        bottom = [0.0] * len(rows)
        for cause, (_, colour, hatch) in CAUSES.items():
            heights = [mean / scale for mean in causes[cause]]
            if not any(heights):
                continue
            used[cause] = True
            top = [low + height for low, height in zip(bottom, heights, strict=True)]
            if len(rows) <= _BARS_MOST:
                panel.bar(ranks, heights, bottom=bottom, width=1.0, color=colour, hatch=hatch, linewidth=0.0)
            else:
                panel.fill_between(ranks, bottom, top, step="mid", color=colour, hatch=hatch, linewidth=0.0)
            bottom = top
        ended |= _intervals(panel, ranks, totals, scale)
        panel.set_title(style.platform_style(group.platform).label)
        panel.set_xlabel("rank")
        panel.set_xlim(min(ranks) - 0.5, max(ranks) + 0.5)
    grid[0][0].set_ylim(bottom=0)
    grid[0][0].set_ylabel(f"time ({unit})")
    handles: dict[str, Any] = {
        label: Patch(facecolor=colour, hatch=hatch, linewidth=0.0)
        for cause, (label, colour, hatch) in CAUSES.items()
        if used[cause]
    }
    style.legend_outside(figure, handles | ended, columns=len(handles | ended))
    return figure


def _intervals(panel: Axes, ranks: Sequence[int], totals: Sequence[Interval], scale: float) -> dict[str, Any]:
    """Draw the intervals of the ranks' times in all, if there are any; return their entry in the legend."""
    below, above = intervals.reach(totals, scale)
    means = [total.mean / scale for total in totals]
    if not any(low > ROUNDING * mean for low, mean in zip(below, means, strict=True)):
        return {}
    if len(ranks) <= _BARS_MOST:
        look: dict[str, Any] = {"fmt": "none", "ecolor": style.BLACK, "elinewidth": 0.5}
        return {_INTERVAL: panel.errorbar(ranks, means, yerr=[below, above], **look)}
    low, high = np.subtract(means, below), np.add(means, above)
    return {_INTERVAL: panel.fill_between(ranks, low, high, color=style.BLACK, alpha=0.4, linewidth=0.0)}


def _account_us(group: Group) -> tuple[dict[str, list[float]], list[Interval]]:
    """Microseconds of each cause and in all, a number for each rank: means over replications."""
    runs = [details(record)["rank_account"] for record in group.records]
    by_rank = list(zip(*runs, strict=True))
    causes = {
        cause: [1e6 * math.fsum(row[f"{cause}_s"] for row in rows) / len(rows) for rows in by_rank]
        for cause in CAUSES
    }
    totals = [
        mean_interval([1e6 * math.fsum(row[f"{cause}_s"] for cause in CAUSES) for row in rows])
        for rows in by_rank
    ]
    return causes, totals


def message_sizes(group: Group) -> Figure:
    """How many messages there are of each size, and how many bytes they carry."""
    rows = group.details["message_sizes"]
    figure, grid = style.new_figure(1, 2, width_in=style.DOUBLE_COLUMN_IN, height_in=2.0)
    labels = [_size_label(row["bytes_max"]) for row in rows]
    places = range(len(rows))
    for panel, column, label, colour in (
        (grid[0][0], "messages", "messages", style.BLUE),
        (grid[0][1], "bytes", "bytes together", style.GREEN),
    ):
        heights = [row[column] for row in rows]
        panel.bar(places, heights, color=colour, width=0.8)
        if max(heights) > _MANY_TIMES * min(heights):
            panel.set_yscale("log")
            panel.set_ylim(bottom=0.5 * min(height for height in heights if height))
        panel.set_xticks(list(places), labels, rotation=45 if len(rows) > 8 else 0)
        panel.set_xlabel("message size, up to (B)")
        panel.set_ylabel(label)
    return figure


def _size_label(size: int) -> str:
    for unit, scale in (("Gi", 2**30), ("Mi", 2**20), ("Ki", 2**10)):
        if size >= scale:
            return f"{size // scale} {unit}"
    return str(size)
