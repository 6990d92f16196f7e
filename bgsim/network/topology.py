"""Three-dimensional torus and mesh: node numbers, neighbours, routes, and the networkx graph.

Node numbers follow the coordinates with x fastest: ``x + X * (y + Y * z)``. Each node has six links, one
per direction; in an open dimension the outermost ones lead nowhere. In a closed dimension of two nodes both
directions lead to the same neighbour, over different links.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import TypeAlias

import networkx as nx

Shape: TypeAlias = tuple[int, int, int]
Coordinates: TypeAlias = tuple[int, int, int]
Closed: TypeAlias = tuple[bool, bool, bool]


class Direction(IntEnum):
    """One of a node's six torus links, in the order of the hardware's hint bits."""

    X_PLUS = 0
    X_MINUS = 1
    Y_PLUS = 2
    Y_MINUS = 3
    Z_PLUS = 4
    Z_MINUS = 5

    @property
    def dimension(self) -> int:
        """0, 1 or 2 for x, y or z."""
        return self >> 1

    @property
    def step(self) -> int:
        """+1 or -1 along the dimension."""
        return -1 if self & 1 else 1

    @property
    def opposite(self) -> Direction:
        """The direction back."""
        return Direction(self ^ 1)


def node_count(shape: Shape) -> int:
    """Number of nodes of a box."""
    return shape[0] * shape[1] * shape[2]


def node_index(coordinates: Coordinates, shape: Shape) -> int:
    """Node number of a position.

    Raises
    ------
    ValueError
        If the position is outside the shape.
    """
    if not all(0 <= position < size for position, size in zip(coordinates, shape, strict=True)):
        raise ValueError(f"coordinates {coordinates} are outside the shape {shape}")
    x, y, z = coordinates
    return x + shape[0] * (y + shape[1] * z)


def node_coordinates(node: int, shape: Shape) -> Coordinates:
    """Position of a node number.

    Raises
    ------
    ValueError
        If there is no such node.
    """
    if not 0 <= node < node_count(shape):
        raise ValueError(f"node {node} is outside the shape {shape}")
    plane, x = divmod(node, shape[0])
    z, y = divmod(plane, shape[1])
    return x, y, z


def neighbour(node: int, direction: Direction, shape: Shape, torus: Closed) -> int | None:
    """The node at the other end of a link; None where an open dimension ends.

    A dimension of one node has no links.
    """
    dimension = direction.dimension
    size = shape[dimension]
    coordinates = list(node_coordinates(node, shape))
    position = coordinates[dimension] + direction.step
    if size == 1 or not (torus[dimension] or 0 <= position < size):
        return None
    coordinates[dimension] = position % size
    return node_index((coordinates[0], coordinates[1], coordinates[2]), shape)


def displacement(source: int, destination: int, shape: Shape, torus: Closed) -> Coordinates:
    """Signed hops per dimension of a minimal route.

    Halfway round a closed dimension both ways are minimal. The hardware's cut-offs for hint bits take the
    positive one from an even coordinate, and the negative one from an odd one.
    """
    here, there = node_coordinates(source, shape), node_coordinates(destination, shape)
    hops = []
    for dimension in range(3):
        delta, size = there[dimension] - here[dimension], shape[dimension]
        if torus[dimension]:
            forward = delta % size
            odd = here[dimension] & 1
            delta = forward if 2 * forward + odd <= size else forward - size
        hops.append(delta)
    return hops[0], hops[1], hops[2]


def distance(source: int, destination: int, shape: Shape, torus: Closed) -> int:
    """Hops of a minimal route."""
    return sum(abs(hops) for hops in displacement(source, destination, shape, torus))


def links(shape: Shape, torus: Closed) -> Iterator[tuple[int, Direction, int]]:
    """Every link as (node, direction, neighbour), by node and direction."""
    for node in range(node_count(shape)):
        for direction in Direction:
            target = neighbour(node, direction, shape, torus)
            if target is not None:
                yield node, direction, target


def torus_graph(shape: Shape, torus: Closed) -> nx.DiGraph[int]:
    """The network as a directed graph.

    Parameters
    ----------
    shape
        Nodes in x, y and z.
    torus
        Whether each dimension is closed to a ring.

    Returns
    -------
    networkx.DiGraph
        Nodes are node numbers with the attribute ``coordinates``; an edge has ``directions``, the tuple of
        links that lead from one node to the other (two of them in a closed dimension of two nodes).
    """
    graph: nx.DiGraph[int] = nx.DiGraph(shape=shape, torus=torus)
    for node in range(node_count(shape)):
        graph.add_node(node, coordinates=node_coordinates(node, shape))
    for node, direction, target in links(shape, torus):
        parallel = graph.get_edge_data(node, target, {"directions": ()})["directions"]
        graph.add_edge(node, target, directions=(*parallel, direction))
    return graph
