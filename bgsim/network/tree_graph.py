"""The collective network and the psets as a networkx graph, built by recursion and written to be read.

This is the definition; :mod:`bgsim.network.tree_embedding` makes the same from arrays, all at once, for the
machine tier. A test compares them.
"""

from __future__ import annotations

from typing import TypeAlias

import networkx as nx

from bgsim.network.topology import Coordinates, Direction, Shape, neighbour, node_index

MIDPLANE = 8
PORTS = 3

Box: TypeAlias = tuple[Coordinates, Coordinates]
"""Origin and extents."""


def first_half(extent: int) -> int:
    """Where a side is cut: in the middle, along midplanes when it is made of several."""
    unit = MIDPLANE if extent % MIDPLANE == 0 and extent > MIDPLANE else 1
    return (extent // unit + 1) // 2 * unit


def halves(box: Box) -> tuple[Box, Box]:
    """A box cut across its longest side; of equal ones y, x, z, and from 4 nodes down z, y, x."""
    origin, extents = box
    longest = max(extents)
    ranking = (1, 0, 2) if longest > MIDPLANE // 2 else (2, 1, 0)
    side = next(each for each in ranking if extents[each] == longest)
    near, far, start = list(extents), list(extents), list(origin)
    near[side] = first_half(longest)
    far[side] = longest - near[side]
    start[side] += near[side]
    return (origin, _three(near)), (_three(start), _three(far))


def nodes_in_order(box: Box, shape: Shape) -> list[int]:
    """Nodes of a box as the recursion meets them."""
    if volume(box) == 1:
        return [node_index(box[0], shape)]
    near, far = halves(box)
    return nodes_in_order(near, shape) + nodes_in_order(far, shape)


def volume(box: Box) -> int:
    """Nodes of a box."""
    x, y, z = box[1]
    return x * y * z


def collective_graph(shape: Shape, pset: int) -> nx.Graph[object]:
    """The collective network of a partition.

    Parameters
    ----------
    shape
        Nodes in x, y and z.
    pset
        Most compute nodes behind one I/O node.

    Returns
    -------
    networkx.Graph
        As :meth:`bgsim.network.tree.CollectiveTree.graph` describes.
    """
    graph: nx.Graph[object] = nx.Graph()
    psets = 0

    def add(node: int, above: int | None) -> None:
        level = 0 if above is None else graph.nodes[above]["level"] + 1
        graph.add_node(node, level=level)
        if above is not None:
            graph.add_edge(above, node, kind="tree")

    def hang(nodes: list[int], above: int) -> None:
        """Hang nodes from their middle one, in balance."""
        if nodes:
            middle = len(nodes) // 2
            add(nodes[middle], above)
            hang(nodes[:middle], nodes[middle])
            hang(nodes[middle + 1 :], nodes[middle])

    def build(box: Box, above: int | None, junction: int | None) -> None:
        """A box below a node; its first node may be taken as a junction already."""
        nonlocal psets
        nodes = nodes_in_order(box, shape)
        if volume(box) > pset:
            near, far = halves(box)
            between = nodes_in_order(far, shape)[0]
            add(between, above)
            build(near, between, junction)
            build(far, between, between)
            return
        for node in nodes:
            if node == junction:
                graph.nodes[node]["pset"] = psets
        left = [node for node in nodes if node != junction]
        add(left[0], above)
        hang(left[1:], left[0])
        for node in left:
            graph.nodes[node]["pset"] = psets
        graph.add_node(("io", psets), pset=psets)
        graph.add_edge(left[0], ("io", psets), kind="io")
        psets += 1

    build(((0, 0, 0), shape), None, None)
    _add_extra_wires(graph, shape)
    return graph


def _add_extra_wires(graph: nx.Graph[object], shape: Shape) -> None:
    """Join torus neighbours that both have a port left: in x, then y, then z, even positions first."""
    x, y, z = shape
    for node in range(x * y * z):
        position = (node % x, node // x % y, node // (x * y))
        graph.nodes[node]["coordinates"] = position
    for direction in (Direction.X_PLUS, Direction.Y_PLUS, Direction.Z_PLUS):
        for parity in (0, 1):
            for node in range(x * y * z):
                there = neighbour(node, direction, shape, (False, False, False))
                even = graph.nodes[node]["coordinates"][direction.dimension] % 2 == 0
                if there is None or even == bool(parity) or graph.has_edge(node, there):
                    continue
                if graph.degree(node) < PORTS and graph.degree(there) < PORTS:
                    graph.add_edge(node, there, kind="extra")


def _three(values: list[int]) -> Coordinates:
    x, y, z = values
    return x, y, z
