"""Where each rank of a job runs: the permutation mappings of Blue Gene/P and mapping files.

A mapping is a permutation of the letters X, Y, Z and T; the first runs fastest. T is the core of a node. So
XYZT, the default, fills the first core of all nodes before any second one, and TXYZ fills node after node. A
mapping file has one line per rank, ``x y z t``. Sources: BG/P application development Redbook SG24-7287
(recalled, high trust); that coordinates beyond the last rank stay empty follows from it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bgsim.network.topology import Shape, node_count
from bgsim.spelling import did_you_mean

DEFAULT_MAPPING = "XYZT"
MAPPINGS = tuple(sorted("".join(letters) for letters in permutations("XYZT")))
LINE_FIELDS = ("x", "y", "z", "t")
PROBLEMS_SHOWN = 5


class MappingError(ValueError):
    """A mapping that cannot be understood or does not fit the partition."""


@dataclass(frozen=True, eq=False, slots=True)
class RankMapping:
    """Node and core of each rank.

    Attributes
    ----------
    nodes
        Node number of each rank, int32, shape (ranks,).
    cores
        Which of the node's processes the rank is, int8, shape (ranks,).
    """

    nodes: NDArray[np.int32]
    cores: NDArray[np.int8]

    @property
    def ranks(self) -> int:
        """Number of ranks."""
        return len(self.nodes)


def named(order: str, shape: Shape, ranks_per_node: int, ranks: int | None = None) -> RankMapping:
    """The mapping of a permutation.

    Parameters
    ----------
    order
        A permutation of XYZT, the fastest first.
    shape
        Nodes in x, y and z.
    ranks_per_node
        Processes on a node: 1, 2 or 4 on the real machine.
    ranks
        Ranks of the job; every place is taken when None.

    Raises
    ------
    MappingError
        For anything else than a permutation, or more ranks than places.
    """
    if order not in MAPPINGS:
        near = did_you_mean(order, MAPPINGS)
        raise MappingError(f"unknown mapping '{order}'{near} (expected a permutation of XYZT, or a file)")
    places = node_count(shape) * ranks_per_node
    if ranks is None:
        ranks = places
    if not 1 <= ranks <= places:
        raise MappingError(f"{ranks} ranks do not fit {places} places")
    extents = dict(zip("XYZT", (*shape, ranks_per_node), strict=True))
    left = np.arange(ranks)
    at = {}
    for letter in order:
        at[letter] = left % extents[letter]
        left = left // extents[letter]
    nodes = at["X"] + shape[0] * (at["Y"] + shape[1] * at["Z"])
    return RankMapping(nodes.astype(np.int32), at["T"].astype(np.int8))


def from_file(path: Path, shape: Shape, ranks_per_node: int, *, sha256: str | None = None) -> RankMapping:
    """The mapping of a file: one line ``x y z t`` per rank, from rank 0.

    Empty lines, and what follows a ``#``, are passed over.

    Parameters
    ----------
    path
        The file.
    shape
        Nodes in x, y and z.
    ranks_per_node
        Processes on a node.
    sha256
        What its bytes must hash to; anything when None.

    Raises
    ------
    MappingError
        With file and line: what is not four whole numbers, lies outside the partition, or takes a place
        that an earlier rank has. Or the file cannot be read, or is another one.
    """
    try:
        content = path.read_bytes()
        text = content.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise MappingError(f"{path}: cannot be read: {error}") from None
    if sha256 not in (None, hashlib.sha256(content).hexdigest()):
        raise MappingError(f"{path}: has changed since the run was planned")
    return from_text(text, shape, ranks_per_node, str(path))


def from_text(text: str, shape: Shape, ranks_per_node: int, source: str = "mapping") -> RankMapping:
    """The mapping that the text of a file says; see :func:`from_file`."""
    extents = (*shape, ranks_per_node)
    problems: list[str] = []
    rows: list[list[int]] = []
    line_of: dict[tuple[int, ...], int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        fields = line.partition("#")[0].split()
        if not fields:
            continue
        problem = _problem(fields, extents)
        if not problem:
            row = [int(field) for field in fields]
            earlier = line_of.setdefault(tuple(row), number)
            if earlier != number:
                problem = f"place {' '.join(fields)} is taken already, on line {earlier}"
            rows.append(row)
        if problem:
            problems.append(f"{source}:{number}: {problem}")
    if not rows and not problems:
        problems.append(f"{source}: no ranks; expected one line per rank: x y z t")
    if problems:
        more = len(problems) - PROBLEMS_SHOWN
        tail = [f"{source}: and {more} more lines like these"] if more > 0 else []
        raise MappingError("\n".join(problems[:PROBLEMS_SHOWN] + tail))
    x, y, z, t = np.array(rows).T
    nodes = x + shape[0] * (y + shape[1] * z)
    return RankMapping(nodes.astype(np.int32), t.astype(np.int8))


def _problem(fields: list[str], extents: tuple[int, ...]) -> str:
    if len(fields) != len(LINE_FIELDS) or not all(field.isdecimal() for field in fields):
        return f"expected four whole numbers, x y z t, got '{' '.join(fields)}'"
    for name, field, extent in zip(LINE_FIELDS, fields, extents, strict=True):
        if int(field) >= extent:
            return f"{name} is {field}, but the partition has {extent} there: 0 to {extent - 1}"
    return ""
