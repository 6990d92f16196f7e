"""A short timeline as a figure for a paper: a lane for each track, a bar for each slice."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from bgsim.report import style
from bgsim.report.results import ReportError
from bgsim.report.timeline import Slice, Timeline
from bgsim.report.timeline_files import ordered_tracks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SLICES_MAX = 300
"""More bars than this cannot be told apart on a page."""

_LANE_IN = 0.9
_LETTER_IN = 0.085
"""Height of a line of the smallest letters."""

_COLOURS = (
    ("TLB miss", style.VERMILLION),
    ("tlb", style.YELLOW),
    ("guest", style.BLUE),
    ("refill", style.GREEN),
    ("IPC", style.GREEN),
    ("mtspr", style.ORANGE),
    ("mfspr", style.SKY_BLUE),
    ("wait", style.LIGHT_GREY),
    ("idle", style.LIGHT_GREY),
)
"""Beginning or part of a slice's name to its colour; the first that fits."""


def timeline_figure(timeline: Timeline) -> Figure:
    """Draw a timeline; to be called inside :func:`bgsim.report.style.paper_style`.

    Raises
    ------
    ReportError
        It has more slices than a page can show.
    """
    slices = timeline.finished()
    if len(slices) > SLICES_MAX:
        raise ReportError(
            f"{len(slices):,} slices are more than a figure can show ({SLICES_MAX}); bring --from and --to "
            "closer, or write .json or .pftrace"
        )
    used = {part.track for part in slices}
    lanes = [(n, track) for n, track in ordered_tracks(timeline) if n in used and track.group != "run"]
    place = {number: lane for lane, (number, _) in enumerate(lanes)}
    figure, [[axes]] = style.new_figure(
        width_in=style.DOUBLE_COLUMN_IN, height_in=0.55 + _LANE_IN * len(lanes)
    )
    shown = [part for part in slices if part.track in place]
    begin = min(part.begin for part in shown)
    scale = 1e6 / timeline.frequency_hz
    span = scale * (max(part.end for part in shown) - begin)
    for part in shown:
        _bar(
            axes, part, place[part.track], scale * (part.begin - begin), scale * (part.end - part.begin), span
        )
    several = len({track.group for _, track in lanes}) > 1
    names = [f"{track.group}\n{track.name}" if several else track.name for _, track in lanes]
    axes.set_yticks(range(len(lanes)), names)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(lanes) - 0.5, -0.5)
    axes.set_xlim(0, span)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(f"µs since {1e3 * begin / timeline.frequency_hz:.6g} ms")
    return figure


def _bar(axes: Axes, part: Slice, lane: int, left: float, width: float, span: float) -> None:
    """One slice with its name, along the bar or upright, as far as there is room."""
    inches = width / span * (style.DOUBLE_COLUMN_IN - 1.0)
    around = part.depth == 0
    axes.barh(
        lane,
        width,
        left=left,
        height=0.92 if around else 0.68,
        color=style.LIGHT_GREY if around else _colour(part.name),
        edgecolor="white",
        linewidth=0.3 if inches > _LETTER_IN / 2 else 0.0,  # an edge would be all that is seen of it
        zorder=2 + part.depth,
    )
    along = inches > len(part.name) * _LETTER_IN / 2
    lines = int(inches / _LETTER_IN)
    if not along and (around or not lines):
        return
    text = part.name if along else "\n".join(textwrap.wrap(part.name, 15, max_lines=lines, placeholder="…"))
    axes.text(
        left + width / 2,
        lane - 0.4 if around else lane,
        text,
        ha="center",
        va="center",
        fontsize=5.5,
        rotation=0 if along else 90,
        zorder=5,
    )


def _colour(name: str) -> str:
    return next((colour for word, colour in _COLOURS if word in name), style.GREY)
