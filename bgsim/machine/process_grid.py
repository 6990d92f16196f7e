"""Ranks in a three-dimensional process grid, and their neighbours."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from bgsim.network.topology import Shape
from bgsim.network.traffic import Ints


def grid_of(order: str | None, shape: Shape, per_node: int) -> Shape:
    """The natural process grid of a mapping: the partition, with the ranks of a node along one dimension.

    Parameters
    ----------
    order
        A permutation of XYZT, or None for a mapping file, which is taken as XYZT.
    shape, per_node
        The partition, and the ranks on each node.

    Returns
    -------
    tuple
        Ranks in three dimensions, the first running fastest; as many as the partition has places.
    """
    extents = dict(zip("XYZT", (*shape, per_node), strict=True))
    letters = order or "XYZT"
    sizes = [extents[letter] for letter in letters if letter != "T"]
    sizes[max(0, letters.index("T") - 1)] *= per_node
    return sizes[0], sizes[1], sizes[2]


def neighbours(grid: Shape, periodic: bool) -> Iterator[tuple[int, Ints, Ints]]:
    """By direction: its dimension, the ranks that have a neighbour there, and those neighbours.

    A rank is no neighbour of its own.
    """
    ranks = np.arange(math.prod(grid))
    stride = 1
    for dimension, size in enumerate(grid):
        position = ranks // stride % size
        for step in (1, -1):
            moved = position + step
            has = (size > 1) & (periodic | ((moved >= 0) & (moved < size)))
            if has.any():
                yield dimension, ranks[has], (ranks + (moved % size - position) * stride)[has]
        stride *= size
