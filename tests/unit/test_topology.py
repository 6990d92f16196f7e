"""Torus and mesh topology: numbering, neighbours, distances, the networkx graph."""

import networkx as nx
import numpy as np
import pytest

from bgsim.network.topology import (
    Direction,
    displacement,
    distance,
    links,
    neighbour,
    node_coordinates,
    node_count,
    node_index,
    torus_graph,
)
from bgsim.network.traffic import hops_word

CLOSED = (True, True, True)
OPEN = (False, False, False)


def test_x_runs_fastest() -> None:
    assert node_index((3, 2, 1), (4, 5, 6)) == 3 + 4 * (2 + 5 * 1)
    assert [node_coordinates(n, (2, 2, 2)) for n in (0, 1, 2, 4)] == [
        (0, 0, 0),
        (1, 0, 0),
        (0, 1, 0),
        (0, 0, 1),
    ]


@pytest.mark.parametrize("coordinates", [(4, 0, 0), (-1, 0, 0), (0, 0, 6)])
def test_positions_outside_are_refused(coordinates: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="outside the shape"):
        node_index(coordinates, (4, 5, 6))


def test_a_midplane_torus_has_six_links_per_node_and_a_mesh_ends() -> None:
    torus = torus_graph((8, 8, 8), CLOSED)
    assert torus.number_of_nodes() == 512
    assert torus.number_of_edges() == 512 * 6
    assert set(dict(torus.out_degree()).values()) == {6}
    mesh = torus_graph((4, 4, 2), OPEN)
    assert mesh.number_of_edges() == 2 * (3 * 4 * 2 + 4 * 3 * 2 + 4 * 4 * 1)
    assert mesh.nodes[31]["coordinates"] == (3, 3, 1)


def test_two_nodes_in_a_ring_have_two_links_each_way() -> None:
    graph = torus_graph((2, 1, 1), CLOSED)
    assert graph.edges[0, 1]["directions"] == (Direction.X_PLUS, Direction.X_MINUS)
    assert torus_graph((2, 1, 1), OPEN).edges[0, 1]["directions"] == (Direction.X_PLUS,)
    assert list(links((1, 1, 1), CLOSED)) == []


@pytest.mark.parametrize("closed", [CLOSED, OPEN, (True, False, True)])
def test_distance_is_the_shortest_path_of_the_graph(closed: tuple[bool, bool, bool]) -> None:
    shape = (4, 3, 5)
    graph = torus_graph(shape, closed)
    lengths = dict(nx.all_pairs_shortest_path_length(graph))
    for source in range(node_count(shape)):
        for destination in range(node_count(shape)):
            assert distance(source, destination, shape, closed) == lengths[source][destination]


def test_halfway_round_the_parity_of_the_source_decides() -> None:
    assert displacement(0, 4, (8, 1, 1), CLOSED) == (4, 0, 0)
    assert displacement(4, 0, (8, 1, 1), CLOSED) == (4, 0, 0)
    assert displacement(1, 5, (8, 1, 1), CLOSED) == (-4, 0, 0)
    assert displacement(1, 4, (8, 1, 1), CLOSED) == (3, 0, 0)
    assert displacement(1, 0, (3, 1, 1), CLOSED) == (-1, 0, 0)
    assert displacement(1, 2, (3, 1, 1), CLOSED) == (1, 0, 0)
    assert displacement(0, 5, (8, 1, 1), CLOSED) == (-3, 0, 0)
    assert displacement(0, 5, (8, 1, 1), OPEN) == (5, 0, 0)


@pytest.mark.parametrize("closed", [CLOSED, OPEN, (True, False, True)])
def test_packed_hops_are_the_displacement(closed: tuple[bool, bool, bool]) -> None:
    shape = (4, 3, 2)
    nodes = np.arange(node_count(shape))
    source, destination = np.repeat(nodes, nodes.size), np.tile(nodes, nodes.size)
    word = hops_word(source, destination, shape, closed)
    hops = [tuple(int(packed) >> 8 * dimension & 255 for dimension in range(3)) for packed in word.tolist()]
    signs = [
        tuple(1 - 2 * (packed >> 24 + dimension & 1) for dimension in range(3)) for packed in word.tolist()
    ]
    signed = [tuple(h * s for h, s in zip(*pair, strict=True)) for pair in zip(hops, signs, strict=True)]
    assert signed == [
        displacement(a, b, shape, closed) for a, b in zip(source.tolist(), destination.tolist(), strict=True)
    ]


def test_opposite_directions_lead_back() -> None:
    shape = (3, 4, 2)
    for node, direction, target in links(shape, (True, False, True)):
        assert neighbour(target, direction.opposite, shape, (True, False, True)) == node
