"""The torus or mesh as arrays: what :func:`bgsim.network.topology.torus_graph` says, without a graph.

A graph of every link of 72 racks is a gigabyte of Python objects; these tables are megabytes, made at once.
They are equal to the graph (a test compares them on all shipped sizes up to 4,096 nodes, and by sample
above). The measures of a partition (bisection, diameter, mean distance) are here too, since they follow from
the shape alone.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from bgsim.network.topology import Closed, Shape, node_count

DIRECTIONS = 6


def neighbour_table(shape: Shape, torus: Closed) -> NDArray[np.int32]:
    """Node at the end of each link.

    Parameters
    ----------
    shape
        Nodes in x, y and z.
    torus
        Whether each dimension is closed.

    Returns
    -------
    numpy.ndarray
        Shape (nodes, 6), directions as in :class:`bgsim.network.topology.Direction`; -1 where an open
        dimension ends.
    """
    nodes = np.arange(node_count(shape))
    table = np.full((nodes.size, DIRECTIONS), -1, np.int32)
    stride = 1
    for dimension, (size, closed) in enumerate(zip(shape, torus, strict=True)):
        position = nodes // stride % size
        for direction, step in ((2 * dimension, 1), (2 * dimension + 1, -1)):
            moved = position + step
            there = nodes + (moved % size - position) * stride
            exists = (size > 1) & (closed | ((moved >= 0) & (moved < size)))
            table[:, direction] = np.where(exists, there, -1)
        stride *= size
    return table


def coordinate_table(shape: Shape) -> NDArray[np.int32]:
    """Position of each node, shape (nodes, 3)."""
    nodes = np.arange(node_count(shape), dtype=np.int32)
    X, Y, _ = shape
    return np.stack([nodes % X, nodes // X % Y, nodes // (X * Y)], axis=1)


def link_table(shape: Shape, torus: Closed) -> NDArray[np.int32]:
    """Every link as a row (node, direction, neighbour), by node and direction, shape (links, 3)."""
    table = neighbour_table(shape, torus)
    node, direction = np.nonzero(table >= 0)
    return np.stack([node, direction, table[node, direction]], axis=1).astype(np.int32)


def link_count(shape: Shape, torus: Closed) -> int:
    """Number of links; both directions of a wire count."""
    nodes = node_count(shape)
    total = 0
    for size, closed in zip(shape, torus, strict=True):
        rings = nodes // size
        total += 2 * rings * (0 if size == 1 else size if closed else size - 1)
    return total


def bisection_links(shape: Shape, torus: Closed) -> int:
    """Links that lead from one half of the partition to the other, in one direction.

    The cut is across the dimension in which it is smallest; a dimension of odd extent is cut as evenly as it
    goes, and one of a single node cannot be cut.
    """
    nodes = node_count(shape)
    cuts = [
        nodes // size * (2 if closed else 1) for size, closed in zip(shape, torus, strict=True) if size > 1
    ]
    return min(cuts, default=0)


def diameter(shape: Shape, torus: Closed) -> int:
    """Most hops between two nodes."""
    return sum(size // 2 if closed else size - 1 for size, closed in zip(shape, torus, strict=True))


def mean_distance(shape: Shape, torus: Closed) -> Fraction:
    """Mean hops between two different nodes; 0 for a single node."""
    nodes = node_count(shape)
    if nodes == 1:
        return Fraction(0)
    total = Fraction(0)
    for size, closed in zip(shape, torus, strict=True):
        apart = np.abs(np.subtract.outer(np.arange(size), np.arange(size)))
        hops = np.minimum(apart, size - apart) if closed else apart
        total += Fraction(int(hops.sum()), size * size)
    return total * Fraction(nodes, nodes - 1)
