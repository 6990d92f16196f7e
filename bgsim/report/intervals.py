"""Intervals over replications in a figure: bars through the marks of their means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bgsim.experiment.diff import ROUNDING
from bgsim.experiment.statistics import Interval
from bgsim.report.results import Cell

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def reach(cells: Sequence[Cell | Interval | None], scale: float = 1.0) -> list[list[float]]:
    """How far intervals reach below and above their means; nothing where there is none.

    Parameters
    ----------
    cells
        Cells of the summary, or estimates over replications that are no cells; None has no interval.
    scale
        Divisor from their unit to the axis's.

    Returns
    -------
    list of list of float
        Two rows, not below zero, of as many numbers as there are cells: what ``errorbar`` takes.
    """
    below, above = [], []
    for cell in cells:
        low = None if cell is None else cell.low
        high = None if cell is None else cell.high
        mean = 0.0 if cell is None else cell.mean
        below.append(0.0 if low is None else max(0.0, mean - low) / scale)
        above.append(0.0 if high is None else max(0.0, high - mean) / scale)
    return [below, above]


def bars(
    axes: Axes,
    places: Sequence[float],
    cells: Sequence[Cell | Interval],
    colour: str,
    scale: float = 1.0,
    *,
    across: bool = False,
) -> None:
    """Draw the intervals of means that are drawn already; nothing where no cell has one.

    Parameters
    ----------
    axes
        Where to draw.
    places
        Of the marks on the other axis.
    cells
        As many cells of the summary, or other estimates.
    colour
        The marks' own.
    scale
        Divisor from the cells' unit to the axis's.
    across
        Whether the means go to the right, and not upwards.
    """
    known = [
        (place, cell.mean / scale, below, above)
        for place, cell, below, above in zip(places, cells, *reach(cells, scale), strict=True)
        if max(below, above) > ROUNDING * abs(cell.mean / scale)  # equal values may not equal their mean
    ]
    if not known:
        return
    places, means, *ends = map(list, zip(*known, strict=True))
    look: dict[str, Any] = {"fmt": "none", "ecolor": colour, "elinewidth": 0.7, "capsize": 1.5}
    if across:
        axes.errorbar(means, places, xerr=ends, **look)
    else:
        axes.errorbar(places, means, yerr=ends, **look)
