"""Figures of the replay workload: where the time of each rank goes, and the sizes of the messages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from bgsim.report import style
from bgsim.report.results import Group, Point, point_label, split_by

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CAUSES: dict[str, tuple[str, str, str]] = {
    "compute": ("compute", style.BLUE, ""),
    "send": ("send", style.ORANGE, ""),
    "receive": ("receive", style.YELLOW, "////"),
    "interrupted": ("interrupted", style.VERMILLION, ""),
    "wait": ("wait", style.LIGHT_GREY, ""),
}
"""Of a rank's account: label, colour and hatch, from the bottom upwards."""

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
    """Stacked time of each rank, one panel for each platform, on one scale."""
    from matplotlib.patches import Patch

    figure, grid = style.new_figure(
        1, len(groups), width_in=style.DOUBLE_COLUMN_IN, height_in=2.4, sharey=True
    )
    used = dict.fromkeys(CAUSES, False)
    most = max(_total_us(row) for group in groups for row in group.details["rank_account"])
    unit, scale = ("ms", 1e3) if most >= 1e4 else ("µs", 1.0)
    for panel, group in zip(grid[0], groups, strict=True):
        rows = group.details["rank_account"]
        ranks = [row["rank"] for row in rows]
        bottom = [0.0] * len(rows)
        for cause, (_, colour, hatch) in CAUSES.items():
            heights = [row[f"{cause}_s"] * 1e6 / scale for row in rows]
            if not any(heights):
                continue
            used[cause] = True
            top = [low + height for low, height in zip(bottom, heights, strict=True)]
            if len(rows) <= 128:
                panel.bar(ranks, heights, bottom=bottom, width=1.0, color=colour, hatch=hatch, linewidth=0.0)
            else:
                panel.fill_between(ranks, bottom, top, step="mid", color=colour, hatch=hatch, linewidth=0.0)
            bottom = top
        panel.set_title(style.platform_style(group.platform).label)
        panel.set_xlabel("rank")
        panel.set_xlim(min(ranks) - 0.5, max(ranks) + 0.5)
    grid[0][0].set_ylabel(f"time ({unit})")
    handles: dict[str, Any] = {
        label: Patch(facecolor=colour, hatch=hatch, linewidth=0.0)
        for cause, (label, colour, hatch) in CAUSES.items()
        if used[cause]
    }
    style.legend_outside(figure, handles, columns=len(handles))
    return figure


def _total_us(row: dict[str, Any]) -> float:
    return float(sum(row[f"{cause}_s"] for cause in CAUSES) * 1e6)


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
