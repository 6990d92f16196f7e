"""A sweep: swept paths with their values, and the points of their grid.

An axis names a dotted path and lists the values it takes; the points are the product of the
axes, the last axis turning fastest. Platforms and replications are not swept: they are compared
and averaged at every point.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from bgsim.experiment.errors import Problem, quoted, shown
from bgsim.experiment.identity import canonical
from bgsim.experiment.locate import Document, Path, split_path
from bgsim.spelling import did_you_mean

POINTS_MAX = 1_000_000

SWEPT_SECTIONS = ("workload", "machine", "assume", "partition", "guest")
_NOT_SWEPT = {
    "platform": "platforms are compared at every point; list them under 'platforms'",
    "platforms": "platforms are compared at every point; list them under 'platforms'",
    "replications": "replications are averaged at every point; set 'replications'",
    "seed": "seeds are drawn per replication; set 'replications'",
    "replication": "replications are averaged at every point; set 'replications'",
}


class Axis(NamedTuple):
    """One swept path.

    Attributes
    ----------
    path
        As written, dotted.
    values
        The values it takes, in order; at least one.
    """

    path: str
    values: tuple[Any, ...]

    @property
    def steps(self) -> Path:
        """The path as keys."""
        return split_path(self.path)

    def document_path(self, index: int) -> Path:
        """Where the value with this index stands in the experiment."""
        return ("sweep", self.path, index)


def read_axes(document: Document) -> tuple[list[Axis], list[Problem]]:
    """The axes of a document's ``sweep`` section, and what is wrong with it."""
    section = document.value.get("sweep")
    problems: list[Problem] = []

    def problem(path: Path, message: str, key: bool = False) -> None:
        place = document.place_of_key(path) if key else document.place_of_value(path)
        name = f"sweep.{path[1]}" if len(path) > 1 else "sweep"
        problems.append(Problem(str(place), name, message))

    if section is None:
        return [], []
    if not isinstance(section, dict):
        problem(("sweep",), f"expected paths with lists of values, got {shown(section)}")
        return [], problems
    axes: list[Axis] = []
    for path, values in section.items():
        where = ("sweep", path)
        refused = _refused(path)
        if refused:
            problem(where, refused, key=True)
        elif not isinstance(values, list):
            problem(where, f"expected a list of values, got {shown(values)}")
        elif not values:
            problem(where, "an empty list leaves no point to run")
        else:
            texts = [canonical(value) for value in values]
            for index, text in enumerate(texts):
                if text in texts[:index]:
                    problem((*where, index), f"the value {shown(values[index])} is listed twice")
            axes.append(Axis(path, tuple(values)))
    for first, second in itertools.combinations(axes, 2):
        short, long = sorted((first, second), key=lambda axis: len(axis.steps))
        if long.steps[: len(short.steps)] == short.steps:
            problem(("sweep", long.path), f"is part of '{short.path}', which is swept too", key=True)
    count = math.prod(len(axis.values) for axis in axes)
    if count > POINTS_MAX:
        problem(("sweep",), f"{count} points are more than {POINTS_MAX}", key=True)
    return axes, problems


def _refused(path: str) -> str:
    section = path.partition(".")[0]
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
    return itertools.product(*(range(len(axis.values)) for axis in axes))
