"""How busy each link of the torus was: its planes side by side, one row for each direction.

The loads are in records of the traffic workload that asked for them (``workload.link_load: true``). A plane
holds the nodes of one z; a cell is the link that leaves a node in that direction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bgsim.network.implicit import coordinate_table
from bgsim.report.numbers import significant
from bgsim.report.results import Group

LEVELS = 10
"""Steps of the colour scale; the style sheet has a colour for each, light and dark."""

GAP = 1
"""Space between two planes, in cells."""


@dataclass(frozen=True)
class Row:
    """One direction of a heatmap.

    Attributes
    ----------
    name
        Such as ``x plus``.
    mean, most
        Share of the run, in percent.
    paths
        Step of the scale to the outline of all its cells, as SVG path data.
    values
        Tenths of a percent by cell: plane by plane, row by row.
    """

    name: str
    mean: str
    most: str
    paths: tuple[tuple[int, str], ...]
    values: tuple[int, ...]


@dataclass(frozen=True)
class Heatmap:
    """All directions of one run, and what a script needs to find a cell.

    Attributes
    ----------
    label
        The run.
    columns, lines, planes
        Cells of a plane in x and y, and number of planes.
    width
        Cells of the whole picture.
    most
        Share in percent that the scale ends with.
    """

    label: str
    columns: int
    lines: int
    planes: int
    width: int
    most: str
    rows: tuple[Row, ...]


def heatmap(group: Group, label: str) -> Heatmap | None:
    """The heatmap of a run, or None where its record has no loads."""
    loads = group.details.get("link_load")
    if not loads:
        return None
    x, y, z = group.records[0]["config"]["partition"]["shape"]
    place = coordinate_table((x, y, z)).astype(np.int64)
    # By plane, by line from the top, by column.
    order = np.lexsort((place[:, 0], place[:, 1], place[:, 2]))
    most = max(max(load) for load in loads.values()) or 1.0
    rows = tuple(_row(name, np.asarray(load)[order], most, (x, y, z)) for name, load in loads.items())
    return Heatmap(label, x, y, z, z * (x + GAP) - GAP, significant(100 * most), rows)


def _row(
    name: str, load: np.ndarray[tuple[int], np.dtype[np.float64]], most: float, shape: Sequence[int]
) -> Row:
    x, y, _ = shape
    level = np.minimum((load / most * LEVELS).astype(np.int64), LEVELS - 1)
    paths = []
    for step in range(LEVELS):
        cells = np.flatnonzero(level == step).tolist()
        marks = (_cell(index, x, y) for index in cells)
        if cells:
            paths.append((step, "".join(marks)))
    return Row(
        name.replace("_", " "),
        significant(100 * float(load.mean())),
        significant(100 * float(load.max())),
        tuple(paths),
        tuple(round(1000 * float(share)) for share in load),
    )


def _cell(index: int, columns: int, lines: int) -> str:
    plane, rest = divmod(index, columns * lines)
    line, column = divmod(rest, columns)
    return f"M{plane * (columns + GAP) + column} {line}h.92v.92h-.92z"
