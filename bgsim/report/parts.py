"""Which points of a study share a figure.

A figure has a place for some settings: its x axis, its panels, its lines. Points that differ in another one
belong into another figure. A sweep may name a setting by itself or write whole sections; what counts is in
which settings the sections differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bgsim.experiment.labels import told_apart
from bgsim.report.results import Point, canonical_value

REPEATS = frozenset(("duration", "iterations", "messages", "transactions", "warmup"))
"""Settings that say how long or how often a workload repeats what it measures: sections of one figure may
differ in them, as long as no two points share a place."""


def split_by(
    points: Iterable[Point], axes: Sequence[str], own: Iterable[str]
) -> list[tuple[dict[str, Any], list[Point]]]:
    """Split points by the swept settings a figure does not show itself.

    Parameters
    ----------
    points
        Points to split.
    axes
        All swept paths.
    own
        Paths the figure has a place for (its x axis, panels and line styles). Sections that are swept as a
        whole are split by their other settings only: five sizes of one operation are one part.

    Returns
    -------
    list
        Pairs of the other axes' values and the points that share them. Of sections the value is a text that
        tells them apart; there is none where they differ only in what the figure shows.
    """
    every, known = list(points), set(own)
    others = [axis for axis in axes if axis not in known]
    rests = {axis: _rests(every, axis, axes, known) for axis in others if _is_open(every, axis, known)}
    parts: dict[tuple[str, ...], list[int]] = {}
    for number, point in enumerate(every):
        found = [rests[axis][number] if axis in rests else point.values.get(axis) for axis in others]
        parts.setdefault(tuple(map(canonical_value, found)), []).append(number)
    firsts = [numbers[0] for numbers in parts.values()]
    values = [{axis: every[n].shown[axis] for axis in others if axis in every[n].values} for n in firsts]
    for axis, sections in rests.items():
        texts = told_apart([sections[n] for n in firsts])
        for each, text in zip(values, texts, strict=True):
            if len(set(texts)) > 1:
                each[axis] = text
            else:
                del each[axis]
    return [(each, [every[n] for n in part]) for each, part in zip(values, parts.values(), strict=True)]


def _is_open(points: Sequence[Point], axis: str, own: Iterable[str]) -> bool:
    """Whether an axis holds whole sections of which a figure shows some settings itself."""
    sections = all(isinstance(point.values.get(axis), Mapping) for point in points)
    return sections and any(path.startswith(f"{axis}.") for path in own)


def _rests(points: Sequence[Point], axis: str, axes: Sequence[str], own: set[str]) -> list[dict[str, Any]]:
    """Of the section of each point, the settings that a figure does not show."""
    shown = {path.removeprefix(f"{axis}.") for path in own if path.startswith(f"{axis}.")}
    written = dict.fromkeys(key for point in points for key in point.values[axis])
    # As resolved: a section that leaves out what another one says may mean the same.
    sections = [point.groups[0].records[0]["config"][axis] for point in points]
    placing = sorted((written.keys() | shown) - REPEATS)
    places = {
        canonical_value(
            [[section.get(key) for key in placing], *(point.values.get(a) for a in axes if a != axis)]
        )
        for point, section in zip(points, sections, strict=True)
    }
    hidden = shown | REPEATS if len(places) == len(points) else shown
    return [{key: section.get(key) for key in written if key not in hidden} for section in sections]
