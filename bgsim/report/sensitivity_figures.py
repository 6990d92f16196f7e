"""Figures of a sensitivity study: factors by what they do to the result, coloured by how they are known."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bgsim.report import style
from bgsim.report.sensitivity_tables import confidence_text, range_text, scale_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FACTORS_MAX = 15

_KNOWN = (
    ("measured or read", style.BLUE, {"R", "S", "E", "M"}),
    ("derived or calibrated", style.SKY_BLUE, {"D", "C"}),
    ("recalled", style.YELLOW, {"Mh", "Mm", "Ml"}),
    ("guessed", style.VERMILLION, {"G", "U"}),
)


def draw(
    result: Mapping[str, Any],
    directory: str | os.PathLike[str],
    formats: Sequence[str] = style.FORMATS,
) -> list[Path]:
    """Draw one figure per point and return the files written.

    Parameters
    ----------
    result
        The content of ``sensitivity.json``.
    directory
        Where the files go.
    formats
        Any of ``pdf``, ``svg`` and ``png``.
    """
    paths: list[Path] = []
    several = len(result["points"]) > 1
    with style.paper_style():
        for point in result["points"]:
            words = " ".join(str(value) for value in point["point"].values()) if several else ""
            name = style.slug(f"sensitivity {result['method']} {words}")
            paths += style.save(figure(result, point), directory, name, formats)
    return paths


def figure(result: Mapping[str, Any], point: Mapping[str, Any]) -> Figure:
    """Bars of the most important factors, with their intervals.

    Parameters
    ----------
    result
        The content of ``sensitivity.json``.
    point
        One of its points.
    """
    rows = point["factors"][:FACTORS_MAX]
    drawn, [[axes]] = style.new_figure(width_in=style.DOUBLE_COLUMN_IN, height_in=0.95 + 0.21 * len(rows))
    handles: dict[str, Any] = {}
    morris = result["method"] == "morris"
    scale, unit = scale_of(result, point)
    for place, row in enumerate(rows):
        label, colour = _look(row)
        if morris:
            length, error = row["mu_star"] / scale, row["mu_star_conf"] / scale
        else:
            length, error = row["ST"], row["ST_conf"]
        handles[label] = axes.barh(place, length, height=0.7, color=colour, edgecolor=style.BLACK)
        axes.errorbar(length, place, xerr=error, color=style.BLACK, linewidth=0.7, capsize=1.5)
        if morris:
            axes.plot(row["sigma"] / scale, place, "|", color=style.BLACK, markersize=6)
        else:
            axes.plot(row["S1"], place, "o", color=style.BLACK, markersize=2.6, markerfacecolor="white")
    axes.set_yticks(range(len(rows)), [f"{row['factor']}  ({range_text(row)})" for row in rows])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlim(left=0)
    if morris:
        axes.set_xlabel(f"change of {result['metric']} from low to high ({unit}); tick: its spread")
        nominal = point["nominal"] / scale
        if nominal:
            share = axes.secondary_xaxis("top", functions=_percent_of(nominal))
            share.set_xlabel("% of the value predicted")
    else:
        axes.set_xlabel(f"share of the variance of {result['metric']}: bar with interactions, circle alone")
    order = [label for label, _, _ in _KNOWN if label in handles]
    style.legend_outside(drawn, {label: handles[label] for label in order}, columns=4, below=True)
    return drawn


def _look(row: Mapping[str, Any]) -> tuple[str, str]:
    """Label and colour by the weakest mark of a factor's parameters."""
    marks = set(confidence_text(row).split())
    found = [(label, colour) for label, colour, known in _KNOWN if marks & known]
    return found[-1]


def _percent_of(nominal: float) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """To percent of a value, and back."""
    return lambda amount: 100 * amount / nominal, lambda percent: percent * nominal / 100
