"""The collective network's tree: who is above whom, the wires, and the sub-trees that classes carve.

Every node has three ports. The wires make one binary tree over the partition, and, where ports are left,
further wires between nodes that are neighbours in the torus: the network is over-connected, so that a class
can carve a sub-tree for a block of nodes. A class is a rooted tree along the wires, and says at each node
which wires it uses, whether the node contributes packets, and whether it receives results.

The wiring of the real machine is not public. That there are three ports, that some of them are redundant, and
that sixteen classes say source and target ports and the local client apart was read in IBM's headers
(``bpcore/collective.h``, ``bgp_personality``); the embedding here (:mod:`bgsim.network.tree_embedding`) is a
guess that respects them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from bgsim.network.implicit import coordinate_table
from bgsim.network.topology import Shape, node_count
from bgsim.network.tree_embedding import Embedding, embed, extra_wires

PORTS = 3
ROOT, OUTSIDE = -1, -2
PSET_NODES_DEFAULT = 64

CLASSES = 16
CLASS_PARTITION = 0
CLASS_PSETS = (1, 2)
CLASS_POINT_TO_POINT = 15


@dataclass(frozen=True, eq=False)
class Route:
    """One class: rooted trees along the wires, disjoint.

    Attributes
    ----------
    parent
        Node above, int32, shape (nodes,); ``ROOT`` for a root, ``OUTSIDE`` for a node without part in it.
    contributes
        Whether a node's own packets are combined with those from below, shape (nodes,).
    receives
        Whether a node is given what comes down, shape (nodes,).
    """

    parent: NDArray[np.int32]
    contributes: NDArray[np.bool_]
    receives: NDArray[np.bool_]

    @property
    def nodes(self) -> int:
        """Nodes of the partition, outside ones included."""
        return len(self.parent)

    @cached_property
    def level(self) -> NDArray[np.int32]:
        """Hops to the root, shape (nodes,); -1 outside."""
        level = np.where(self.parent == ROOT, 0, -1).astype(np.int32)
        waiting = np.flatnonzero(self.parent >= 0)
        while waiting.size:
            above = level[self.parent[waiting]]
            known = above >= 0
            assert known.any(), "a class is a tree"
            level[waiting[known]] = above[known] + 1
            waiting = waiting[~known]
        return level

    @cached_property
    def order(self) -> NDArray[np.int32]:
        """The nodes inside, level by level, siblings together in the order of their parents."""
        rank = np.zeros(self.nodes, np.int64)
        found = []
        for level in range(self.depth + 1):
            nodes = np.flatnonzero(self.level == level)
            nodes = nodes[np.argsort(rank[self.parent[nodes]], kind="stable")] if level else nodes
            rank[nodes] = np.arange(nodes.size)
            found.append(nodes)
        return np.concatenate(found).astype(np.int32)

    @cached_property
    def children(self) -> NDArray[np.int32]:
        """Nodes below, ascending, -1 where there are fewer, int32, shape (nodes, 3)."""
        below = np.flatnonzero(self.parent >= 0)
        below = below[np.lexsort((below, self.parent[below]))]
        above = self.parent[below]
        slot = np.arange(below.size) - np.searchsorted(above, above)
        table = np.full((self.nodes, PORTS), -1, np.int32)
        table[above, slot] = below
        return table

    @cached_property
    def sends_up(self) -> NDArray[np.bool_]:
        """Whether a node or one below it contributes: whether a packet comes up from it, shape (nodes,)."""
        return self._gathered(self.contributes)

    @cached_property
    def sends_down(self) -> NDArray[np.bool_]:
        """Whether a node or one below it receives: whether results go down to it, shape (nodes,)."""
        return self._gathered(self.receives)

    def _gathered(self, here: NDArray[np.bool_]) -> NDArray[np.bool_]:
        found = here.copy()
        levels = self.level[self.order]
        for level in range(self.depth, 0, -1):
            nodes = self.order[levels == level]
            np.logical_or.at(found, self.parent[nodes], found[nodes])
        return found

    @property
    def roots(self) -> NDArray[np.int32]:
        """The roots, ascending."""
        return np.flatnonzero(self.parent == ROOT).astype(np.int32)

    @property
    def depth(self) -> int:
        """Hops from the root to the deepest node."""
        return int(self.level.max())

    def with_roles(
        self, contributes: NDArray[np.bool_] | None = None, receives: NDArray[np.bool_] | None = None
    ) -> Route:
        """The same trees with other contributors or receivers: a reduce, a broadcast."""
        return Route(
            self.parent,
            self.contributes if contributes is None else contributes,
            self.receives if receives is None else receives,
        )

    def check(self) -> None:
        """Assert that it is a forest of trees, and that no node uses more ports than it has."""
        below = np.bincount(self.parent[self.parent >= 0], minlength=self.nodes)
        assert (below + (self.parent >= 0) <= PORTS).all(), "a node has three ports"
        assert (self.level[self.parent != OUTSIDE] >= 0).all()
        assert not (self.contributes | self.receives)[self.parent == OUTSIDE].any()


class CollectiveTree:
    """The collective network of a partition.

    Parameters
    ----------
    shape
        Nodes in x, y and z.
    pset
        Most compute nodes behind one I/O node: 3 or more, unless one pset is the whole partition.

    Attributes
    ----------
    shape, pset
        As given.
    classes
        The classes by number: 0 and 15 span the partition, 1 and 2 the psets (neighbours in the tree have
        different ones); others come with :meth:`define`.
    """

    def __init__(self, shape: Shape, pset: int = PSET_NODES_DEFAULT) -> None:
        self.shape = shape
        self.pset = pset
        self._embedding: Embedding = embed(shape, pset)
        everyone = np.ones(node_count(shape), np.bool_)
        self.partition = Route(self._embedding.parent, everyone, everyone)
        self.classes: dict[int, Route] = {CLASS_PARTITION: self.partition}
        self.classes[CLASS_POINT_TO_POINT] = self.partition
        for number, route in zip(CLASS_PSETS, self._pset_routes(), strict=True):
            if route.roots.size:
                self.classes[number] = route

    @property
    def nodes(self) -> int:
        """Compute nodes."""
        return self.partition.nodes

    @property
    def parent(self) -> NDArray[np.int32]:
        """Node above each node, shape (nodes,); -1 for the root."""
        return self.partition.parent

    @property
    def level(self) -> NDArray[np.int32]:
        """Hops from each node to the root, shape (nodes,)."""
        return self.partition.level

    @property
    def order(self) -> NDArray[np.int32]:
        """All nodes, children after their parents."""
        return self.partition.order

    @property
    def children(self) -> NDArray[np.int32]:
        """Nodes below each node, -1 where there are fewer, shape (nodes, 3); the third is always -1."""
        return self.partition.children

    @property
    def depth(self) -> int:
        """Hops from the root to the deepest node."""
        return self.partition.depth

    @property
    def pset_of(self) -> NDArray[np.int32]:
        """Pset of each node, shape (nodes,)."""
        return self._embedding.pset_of

    @property
    def pset_roots(self) -> NDArray[np.int32]:
        """The node of each pset at whose third port the I/O node is, shape (psets,)."""
        return self._embedding.pset_roots

    @property
    def pset_classes(self) -> list[Route]:
        """The classes over the psets; every node contributes to one of them."""
        return [self.classes[number] for number in CLASS_PSETS if number in self.classes]

    @cached_property
    def wires(self) -> NDArray[np.int32]:
        """All wires between compute nodes, tree first, shape (wires, 2): upper and lower, or both leaves."""
        below = np.flatnonzero(self.parent >= 0)
        tree = np.stack([self.parent[below], below], axis=1)
        return np.concatenate([tree, self.extra_wires]).astype(np.int32)

    @cached_property
    def extra_wires(self) -> NDArray[np.int32]:
        """Wires that class 0 does not use, shape (wires, 2), the lower node number first."""
        return extra_wires(self.shape, self._embedding)

    def ports(self, node: int) -> list[int]:
        """What is at a node's ports: tree wires, then extra ones, then ``nodes`` + pset for an I/O node."""
        wires = self.wires
        near = wires[(wires == node).any(axis=1)]
        ports = near.sum(axis=1) - node
        return [*ports.tolist(), *(self.nodes + np.flatnonzero(self.pset_roots == node)).tolist()]

    def graph(self) -> nx.Graph[object]:
        """The network as a graph, from the arrays.

        Returns
        -------
        networkx.Graph
            Compute nodes are numbers, with ``coordinates``, ``level`` and ``pset``; I/O nodes are
            ``("io", pset)``, with ``pset``. An edge has ``kind``: ``tree``, ``extra`` or ``io``.
        """
        graph: nx.Graph[object] = nx.Graph()
        coordinates = coordinate_table(self.shape).tolist()
        rows = zip(coordinates, self.level.tolist(), self.pset_of.tolist(), strict=True)
        for node, (position, level, pset) in enumerate(rows):
            graph.add_node(node, coordinates=tuple(position), level=level, pset=pset)
        below = np.flatnonzero(self.parent >= 0)
        graph.add_edges_from(zip(self.parent[below].tolist(), below.tolist(), strict=True), kind="tree")
        graph.add_edges_from(map(tuple, self.extra_wires.tolist()), kind="extra")
        for pset, root in enumerate(self.pset_roots.tolist()):
            graph.add_node(("io", pset), pset=pset)
            graph.add_edge(root, ("io", pset), kind="io")
        return graph

    def define(self, number: int, route: Route) -> None:
        """Give a class number a route, as the control system does before a job starts.

        Raises
        ------
        ValueError
            If there is no such class, or the route is of another partition.
        """
        if not 0 <= number < CLASSES:
            raise ValueError(f"classes are 0 to {CLASSES - 1}, not {number}")
        if route.nodes != self.nodes:
            raise ValueError(f"a route over {route.nodes} nodes does not fit {self.nodes}")
        route.check()
        self.classes[number] = route

    def box_route(self, origin: Sequence[int], extents: Sequence[int]) -> Route:
        """A class for a rectangular sub-box, along as few wires through other nodes as can be.

        The paths from the box's node of least level to the others use the tree's wires and the extra ones.
        A node outside the box that lies on a path only passes packets on.

        Parameters
        ----------
        origin, extents
            First node and size in x, y and z.

        Raises
        ------
        ValueError
            If the box is not inside the partition.
        """
        ends = [first + extent for first, extent in zip(origin, extents, strict=True)]
        if min(*origin) < 0 or min(extents) < 1 or any(map(int.__gt__, ends, self.shape)):
            raise ValueError(f"a box of {tuple(extents)} at {tuple(origin)} is not inside {self.shape}")
        position = coordinate_table(self.shape)
        inside = np.all((position >= origin) & (position < ends), axis=1)
        members = np.flatnonzero(inside)
        root = int(members[np.lexsort((members, self.level[members]))[0]])
        return self._paths(root, inside)

    def _paths(self, root: int, inside: NDArray[np.bool_]) -> Route:
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import dijkstra

        upper, lower = self.wires.T
        far = float(self.nodes)  # one hop through strangers outweighs any detour inside
        cost = 1.0 + far * (~inside[upper] | ~inside[lower])
        wires = coo_array((cost, (upper, lower)), shape=(self.nodes, self.nodes)).tocsr()
        reach, before = dijkstra(wires, directed=False, indices=root, return_predecessors=True)
        parent = np.full(self.nodes, OUTSIDE, np.int32)
        todo = np.flatnonzero(inside)
        while todo.size:
            parent[todo] = before[todo]
            todo = np.unique(before[todo[todo != root]])
            todo = todo[parent[todo] == OUTSIDE]
        assert np.isfinite(reach[inside]).all()
        parent[root] = ROOT
        return Route(parent, inside, inside)

    def _pset_routes(self) -> list[Route]:
        """Routes over the psets, in two classes.

        A pset's nodes are a sub-tree, and one node that serves as a junction above; the path between passes
        other psets' junctions, which therefore belong to the other class. No wire is in two of the trees.
        """
        passer, paths = _junction_paths(self._embedding)
        colour = np.zeros(self._embedding.pset_roots.size, np.int8)
        for pset in range(colour.size):  # a pset's passer comes before it
            if passer[pset] >= 0:
                colour[pset] = 1 - colour[passer[pset]]
        routes = []
        for wanted in range(len(CLASS_PSETS)):
            mine = (colour == wanted)[self.pset_of]
            parent = np.where(mine, self.parent, OUTSIDE).astype(np.int32)
            parent[self.pset_roots[colour == wanted]] = ROOT
            for pset in np.flatnonzero(colour == wanted).tolist():
                path = paths[pset]
                for above, below in pairwise(path):
                    parent[below] = above
            routes.append(Route(parent, mine, mine))
        return routes


def _junction_paths(embedding: Embedding) -> tuple[list[int], list[list[int]]]:
    """For each pset, the pset whose path passes its junction; and the path from its root to its junction."""
    junctions = embedding.junctions.tolist()
    parent = embedding.parent.tolist()
    pset_of = embedding.pset_of.tolist()
    passer = [-1] * len(junctions)
    paths = []
    for pset, root in enumerate(embedding.pset_roots.tolist()):
        path = [root]
        while junctions[pset] >= 0 and path[-1] != junctions[pset]:
            path.append(parent[path[-1]])
            if path[-1] != junctions[pset]:
                passer[pset_of[path[-1]]] = pset
        paths.append(path)
    return passer, paths
