"""How the collective network's tree may lie in the machine: a guess, with short wires and a flat tree.

The partition's box is halved again and again across its longest side, along midplanes while it has several;
of equal sides y, x, z, and from 4 nodes down z, y, x, so that the pieces of a midplane are those that the
machine's documentation gives: 8x4x8, 4x4x8, 4x4x4, 4x4x2. The order of the nodes in that recursion keeps
neighbours together. Boxes of at most a pset's size are the psets.

- Above the psets, each cut has a *junction*: the first node of its second half. Its children are the roots of
  both halves.
- The first node left in a pset is the pset's root. It has one compute node below it; the I/O node is at its
  third port.
- Below, each range of the order hangs from its middle node.

So the depth is close to the logarithm of the number of nodes (17 for 72 racks, whose logarithm is 16.2), most
wires join nodes few torus hops apart, and a pset is a sub-tree, but for the one node that is a junction. The
real wiring is not public; nothing here is taken from it but the three ports. The same in words a reader can
follow, as a graph, is :mod:`bgsim.network.tree_graph`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bgsim.network.implicit import neighbour_table
from bgsim.network.pset_boxes import MIDPLANE
from bgsim.network.topology import Shape, node_count

PORTS = 3
PSET_NODES_MIN = 3
"""Halving a larger box leaves a pset two nodes, a junction and a root. The machine has 8 or more."""


@dataclass(frozen=True, eq=False, slots=True)
class Embedding:
    """The tree and the psets of a partition.

    Attributes
    ----------
    parent
        Node above, int32, shape (nodes,); -1 for the root.
    pset_of
        Pset of each node, int32, shape (nodes,).
    pset_roots
        Node at whose third port each pset's I/O node is, int32, shape (psets,).
    junctions
        Node of each pset that joins two halves of the machine, -1 for none, int32, shape (psets,).
    """

    parent: NDArray[np.int32]
    pset_of: NDArray[np.int32]
    pset_roots: NDArray[np.int32]
    junctions: NDArray[np.int32]


class _Boxes:
    """Boxes in the order of the recursion, halved all at once."""

    def __init__(self, shape: Shape) -> None:
        self.origin = np.zeros((1, 3), np.int64)
        self.extents = np.array([shape], np.int64)
        self.junction = np.full(1, -1, np.int64)  # position of the junction above

    @property
    def volume(self) -> NDArray[np.int64]:
        return np.asarray(self.extents.prod(axis=1))

    @property
    def start(self) -> NDArray[np.int64]:
        """Position of each box's first node in the order."""
        ends = np.cumsum(self.volume)
        return np.asarray(ends - self.volume)

    def halve(self, which: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Cut some boxes; return their junctions, and the junctions above those, as positions."""
        longest = self.extents.max(axis=1, keepdims=True)
        equal = self.extents == longest
        rank = np.where(longest > MIDPLANE // 2, [1, 0, 2], [2, 1, 0])
        side = rank[np.arange(len(rank)), np.take_along_axis(equal, rank, axis=1).argmax(axis=1)]
        rows = np.flatnonzero(which)
        sides = side[rows]
        extent = self.extents[rows, sides]
        unit = np.where((extent % MIDPLANE == 0) & (extent > MIDPLANE), MIDPLANE, 1)
        first = (extent // unit + 1) // 2 * unit
        start, above = self.start[rows], self.junction[rows]
        copies = np.where(which, 2, 1)
        fronts = (np.cumsum(copies) - copies)[rows]
        self.origin = np.repeat(self.origin, copies, axis=0)
        self.extents = np.repeat(self.extents, copies, axis=0)
        self.junction = np.repeat(self.junction, copies)
        self.extents[fronts, sides] = first
        middle = start + self.volume[fronts]
        self.extents[fronts + 1, sides] = extent - first
        self.origin[fronts + 1, sides] += first
        self.junction[fronts] = self.junction[fronts + 1] = middle
        return middle, above


def embed(shape: Shape, pset: int) -> Embedding:
    """Lay the tree and the psets into a box.

    Parameters
    ----------
    shape
        Nodes in x, y and z.
    pset
        Most compute nodes of a pset.

    Raises
    ------
    ValueError
        If the psets would be too small to have a root beside a junction.
    """
    nodes = node_count(shape)
    if pset < min(nodes, PSET_NODES_MIN):
        raise ValueError(f"a pset of at most {pset} compute nodes is too small: at least {PSET_NODES_MIN}")
    above = np.full(nodes, -1, np.int64)  # by position in the order
    boxes = _Boxes(shape)
    while (boxes.volume > pset).any():
        junction, over = boxes.halve(boxes.volume > pset)
        above[junction] = over
    start, volume, junction = boxes.start, boxes.volume, boxes.junction
    while (boxes.volume > 1).any():
        boxes.halve(boxes.volume > 1)
    x, y, z = boxes.origin.T
    node_at = x + shape[0] * (y + shape[1] * z)

    taken = (np.arange(len(start)) > 0).astype(
        np.int64
    )  # a pset's first node is a junction, but for the first
    roots = start + taken
    above[roots] = junction
    low, high, over = roots + 1, start + volume, roots
    while low.size:
        some = low < high
        low, high, over = low[some], high[some], over[some]
        middle = (low + high) // 2
        above[middle] = over
        low, high, over = (
            np.concatenate([low, middle + 1]),
            np.concatenate([middle, high]),
            np.concatenate([middle, middle]),
        )

    parent = np.full(nodes, -1, np.int64)
    parent[node_at] = np.where(above >= 0, node_at[above], -1)
    pset_of = np.empty(nodes, np.int64)
    pset_of[node_at] = np.repeat(np.arange(len(start)), volume)
    first = node_at[start]
    return Embedding(
        parent=parent.astype(np.int32),
        pset_of=pset_of.astype(np.int32),
        pset_roots=node_at[roots].astype(np.int32),
        junctions=np.where(taken, first, -1).astype(np.int32),
    )


def extra_wires(shape: Shape, embedding: Embedding) -> NDArray[np.int32]:
    """Wires beside the tree: between torus neighbours that both have a port left.

    Ports are given away in x, then y, then z, from even positions first, as far as they go.

    Returns
    -------
    numpy.ndarray
        Shape (wires, 2), int32, the lower node number first.
    """
    parent = embedding.parent
    nodes = len(parent)
    free = PORTS - (parent >= 0) - np.bincount(parent[parent >= 0], minlength=nodes)
    np.subtract.at(free, embedding.pset_roots, 1)
    ahead = neighbour_table(shape, (False, False, False))[:, ::2]
    found = []
    stride = 1
    for dimension, size in enumerate(shape):
        position = np.arange(nodes) // stride % size
        for parity in (0, 1):
            here = np.flatnonzero((position % 2 == parity) & (ahead[:, dimension] >= 0))
            there = ahead[here, dimension]
            joined = (parent[here] == there) | (parent[there] == here)
            good = (free[here] > 0) & (free[there] > 0) & ~joined
            free[here[good]] -= 1
            free[there[good]] -= 1
            found.append(np.stack([here[good], there[good]], axis=1))
        stride *= size
    return np.concatenate(found).astype(np.int32)
