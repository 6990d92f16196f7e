"""A sweep: swept paths with their values, and the points of their grid.

An axis names a dotted path and the values it takes, listed or as a range (:mod:`bgsim.experiment.ranges`);
paths under ``zip`` vary together. The points are the product of the axes, the last axis turning fastest.
Values under ``derive`` are calculated at every point, and ``where`` keeps the points that satisfy it
(:mod:`bgsim.experiment.derived`). Replications are not swept: they are averaged at every point. Platforms are
compared at every point; swept as ``platform`` they may vary together with other paths.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from bgsim.experiment.errors import Problem, quoted, shown
from bgsim.experiment.identity import canonical
from bgsim.experiment.locate import Document, Path, split_path
from bgsim.experiment.ranges import KEYS as RANGE_KEYS
from bgsim.experiment.ranges import RangeError, values_of
from bgsim.spelling import did_you_mean

POINTS_MAX = 1_000_000
ZIP, DERIVE, WHERE = "zip", "derive", "where"

PLATFORM = "platform"
SWEPT_SECTIONS = ("workload", "machine", "assume", "cures", "partition", "guest", PLATFORM)
_NOT_SWEPT = {
    "platforms": "platforms are compared at every point; list them under 'platforms', or sweep 'platform'",
    "replications": "replications are averaged at every point; set 'replications'",
    "seed": "seeds are drawn per replication; set 'replications'",
    "replication": "replications are averaged at every point; set 'replications'",
}


class Axis(NamedTuple):
    """One swept path, or several that vary together.

    Attributes
    ----------
    paths
        As written, dotted; more than one when zipped.
    rows
        What they are set to at each step of the axis: one value per path.
    places
        For each path, where its list of values stands in the experiment.
    """

    paths: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    places: tuple[Path, ...]

    def settings(self, index: int) -> Iterator[tuple[str, Path, Any, Path]]:
        """The settings of one step: path as written, path as keys, value, and where the value stands."""
        for path, value, place in zip(self.paths, self.rows[index], self.places, strict=True):
            yield path, split_path(path), value, (*place, index)


def read_axes(document: Document) -> tuple[list[Axis], list[Problem]]:
    """The axes of a document's ``sweep`` section, and what is wrong with it."""
    section = document.value.get("sweep")
    problems: list[Problem] = []

    def problem(path: Path, message: str, on_key: bool = False) -> None:
        place = document.place_of_key(path) if on_key else document.place_of_value(path)
        names = [step for step in path if isinstance(step, str)]
        problems.append(Problem(str(place), ".".join(names), message))

    if section is None:
        return [], []
    if not isinstance(section, dict):
        problem(("sweep",), f"expected paths with lists of values, got {shown(section)}")
        return [], problems
    axes: list[Axis] = []
    for group in _groups(section, problem):
        good = []
        for where, values in group.items():
            path = str(where[-1])
            refused = refused_path(path)
            if refused:
                problem(where, refused, on_key=True)
            elif isinstance(values, dict):
                try:
                    good.append((path, values_of(values), where))
                except RangeError as error:
                    place = (*where, error.key) if error.key else where
                    problem(place, str(error), on_key=bool(error.key) and error.key not in RANGE_KEYS)
            elif not isinstance(values, list):
                problem(where, f"expected a list of values or a range, got {shown(values)}")
            elif not values:
                problem(where, "an empty list leaves no point to run")
            else:
                good.append((path, values, where))
        if not good:
            continue
        paths, columns, places = zip(*good, strict=True)
        lengths = [len(values) for values in columns]
        if len(set(lengths)) > 1:
            counts = " and ".join(str(length) for length in lengths)
            each = ", ".join(f"'{path}' has {length}" for path, length in zip(paths, lengths, strict=True))
            said = f"the paths of a zip need equally many values, and these have {counts}: {each}"
            problem(places[0][:-1], said, on_key=True)
            continue
        rows = tuple(zip(*columns, strict=True))
        texts = [canonical(row) for row in rows]
        for index, text in enumerate(texts):
            if text in texts[:index]:
                problem(
                    (*places[0], index),
                    f"{shown(rows[index] if len(paths) > 1 else rows[index][0])} is listed twice",
                )
        axes.append(Axis(paths, rows, places))
    swept = [(path, place) for axis in axes for path, place in zip(axis.paths, axis.places, strict=True)]
    for (one, its_place), (other, other_place) in itertools.combinations(swept, 2):
        if one == other:
            problem(other_place, "is swept twice", on_key=True)
        elif other.startswith(f"{one}."):
            problem(other_place, f"is part of '{one}', which is swept too", on_key=True)
        elif one.startswith(f"{other}."):
            problem(its_place, f"is part of '{other}', which is swept too", on_key=True)
    count = math.prod(len(axis.rows) for axis in axes)
    if count > POINTS_MAX:
        problem(("sweep",), f"{count} points are more than {POINTS_MAX}", on_key=True)
    return axes, problems


def fixed(document: Document, path: str, value: Any) -> tuple[Path, list[Any]] | None:
    """What to write where to hold a swept path at one value; None when the path is not swept.

    A path on an axis of its own keeps that axis, with one value. A zipped one takes the value at
    every step, and the paths beside it go on varying.
    """
    section = document.value.get("sweep")
    groups = _groups(section, lambda path, message: None) if isinstance(section, dict) else ()
    for group in groups:
        for where, values in group.items():
            if where[-1] == path:
                zipped = len(group) > 1 and isinstance(values, list)
                return where, [value] * (len(values) if zipped else 1)
    return None


def covering(document: Document, path: str) -> str:
    """The swept path that this path is a part of, or nothing."""
    section = document.value.get("sweep")
    groups = _groups(section, lambda path, message: None) if isinstance(section, dict) else ()
    names = [str(where[-1]) for group in groups for where in group]
    return next((name for name in names if path.startswith(f"{name}.")), "")


def _groups(section: dict[str, Any], problem: Callable[[Path, str], None]) -> Iterator[dict[Path, Any]]:
    """The lists of values by where they stand; those in one group vary together."""
    for name, value in section.items():
        if name in (DERIVE, WHERE):
            continue
        if name != ZIP:
            yield {("sweep", name): value}
            continue
        listed = isinstance(value, list)
        for index, group in enumerate(value if listed else [value]):
            where: Path = ("sweep", ZIP, index) if listed else ("sweep", ZIP)
            if isinstance(group, dict):
                yield {(*where, path): values for path, values in group.items()}
            else:
                problem(where, f"expected paths with lists of values, got {shown(group)}")


def refused_path(path: str) -> str:
    """Why a path cannot be swept, or nothing."""
    section = path.partition(".")[0]
    if section == PLATFORM and path != PLATFORM:
        return "unknown path: a platform has no settings of its own"
    if path in _NOT_SWEPT:
        return f"cannot be swept: {_NOT_SWEPT[path]}"
    if section not in SWEPT_SECTIONS:
        return (
            f"unknown path{did_you_mean(section, SWEPT_SECTIONS)} (paths begin with {quoted(SWEPT_SECTIONS)})"
        )
    if "" in path.split("."):
        return "unknown path: an empty name between dots"
    return ""


def points(axes: list[Axis]) -> Iterator[tuple[int, ...]]:
    """The points of the grid, each as the index of its value on every axis."""
    return itertools.product(*(range(len(axis.rows)) for axis in axes))
