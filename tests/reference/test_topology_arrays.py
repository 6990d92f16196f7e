"""The arrays of a partition say the same as its networkx graphs."""

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bgsim.experiment import shipped
from bgsim.experiment.partition import load_topology
from bgsim.network import implicit
from bgsim.network.topology import (
    Direction,
    distance,
    links,
    neighbour,
    node_coordinates,
    node_count,
    torus_graph,
)
from bgsim.network.tree import CLASS_PSETS, OUTSIDE, CollectiveTree, Route
from bgsim.network.tree_graph import collective_graph

NODES_MAX = 4096
SHIPPED = {name: load_topology(shipped.find("topologies", name)) for name in shipped.names("topologies")}
SMALL = [name for name, topology in SHIPPED.items() if node_count(topology.shape) <= NODES_MAX]
LARGE = [name for name in SHIPPED if name not in SMALL]

shapes = st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9))
closed = st.tuples(st.booleans(), st.booleans(), st.booleans())


def same_torus(shape, torus):
    graph = torus_graph(shape, torus)
    rows = [
        (node, direction, target)
        for node, target, directions in graph.edges(data="directions")
        for direction in directions
    ]
    assert sorted(rows) == [tuple(row) for row in implicit.link_table(shape, torus).tolist()]
    assert implicit.link_count(shape, torus) == len(rows)
    positions = [graph.nodes[node]["coordinates"] for node in range(node_count(shape))]
    assert positions == [tuple(row) for row in implicit.coordinate_table(shape).tolist()]


def same_tree(shape, pset):
    tree, graph = CollectiveTree(shape, pset), collective_graph(shape, pset)
    arrays = tree.graph()
    assert dict(arrays.nodes(data=True)) == dict(graph.nodes(data=True))
    assert nx.utils.edges_equal(arrays.edges(data=True), graph.edges(data=True))
    wires = nx.Graph(edge for edge in graph.edges if graph.edges[edge]["kind"] == "tree")
    wires.add_nodes_from(range(node_count(shape)))
    assert nx.is_tree(wires)
    assert max(dict(graph.degree()).values()) <= 3
    for route in tree.classes.values():
        route.check()


@pytest.mark.parametrize("name", SMALL)
def test_torus_of_every_shipped_size(name):
    same_torus(SHIPPED[name].shape, SHIPPED[name].torus)


@pytest.mark.parametrize("name", SMALL)
def test_tree_of_every_shipped_size(name):
    same_tree(SHIPPED[name].shape, SHIPPED[name].pset)


@settings(deadline=None, max_examples=60)
@given(shapes, closed)
def test_torus_of_any_shape(shape, torus):
    same_torus(shape, torus)


@settings(deadline=None, max_examples=60)
@given(shapes, st.integers(3, 130))
def test_tree_of_any_shape(shape, pset):
    same_tree(shape, pset)


@pytest.mark.parametrize("name", LARGE)
def test_torus_above_by_sample(name):
    shape, torus = SHIPPED[name].shape, SHIPPED[name].torus
    table = implicit.neighbour_table(shape, torus)
    for node in np.random.default_rng(1).integers(node_count(shape), size=300).tolist():
        expected = [neighbour(node, direction, shape, torus) for direction in Direction]
        assert table[node].tolist() == [-1 if there is None else there for there in expected]
    assert implicit.link_count(shape, torus) == np.count_nonzero(table >= 0)


@settings(deadline=None, max_examples=40)
@given(st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 4)), closed)
def test_diameter_and_mean_distance_are_those_of_all_pairs(shape, torus):
    nodes = node_count(shape)
    hops = [distance(a, b, shape, torus) for a in range(nodes) for b in range(nodes) if a != b]
    assert implicit.diameter(shape, torus) == max(hops, default=0)
    assert implicit.mean_distance(shape, torus) * len(hops) == sum(hops)


@settings(deadline=None, max_examples=40)
@given(st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 6)), closed)
def test_bisection_counts_the_links_across_the_least_cut(shape, torus):
    cuts = []
    for dimension, size in enumerate(shape):
        near = {
            n for n in range(node_count(shape)) if node_coordinates(n, shape)[dimension] < (size + 1) // 2
        }
        if size > 1:
            cuts.append(sum(a in near and b not in near for a, _, b in links(shape, torus)))
    assert implicit.bisection_links(shape, torus) == min(cuts, default=0)


def members(route: Route, root: int) -> set[int]:
    found = {root}
    for node in route.order.tolist():
        if route.parent[node] in found:
            found.add(node)
    return found


@settings(deadline=None, max_examples=60)
@given(shapes, st.integers(3, 70))
def test_pset_classes_carve_one_disjoint_tree_per_pset(shape, pset):
    tree = CollectiveTree(shape, pset)
    wires, seen = set(), {}
    for number in CLASS_PSETS:
        route = tree.classes.get(number)
        if route is None:
            continue
        passing = (route.parent != OUTSIDE) & ~route.contributes
        assert not (passing & route.receives).any()
        for root in route.roots.tolist():
            nodes = members(route, root)
            inside = {node for node in nodes if route.contributes[node]}
            seen[int(tree.pset_of[root])] = inside
            assert tree.pset_roots[tree.pset_of[root]] == root
            used = {frozenset((node, int(route.parent[node]))) for node in nodes if node != root}
            assert not used & wires
            wires |= used
    assert wires <= {frozenset(wire) for wire in tree.wires.tolist()}
    expected = {p: set(np.flatnonzero(tree.pset_of == p).tolist()) for p in range(tree.pset_roots.size)}
    assert seen == expected


@settings(deadline=None, max_examples=60)
@given(shapes, st.data())
def test_a_box_class_spans_its_box_along_wires(shape, data):
    tree = CollectiveTree(shape, 16)
    origin = tuple(data.draw(st.integers(0, size - 1)) for size in shape)
    extents = tuple(data.draw(st.integers(1, size - at)) for size, at in zip(shape, origin, strict=True))
    route = tree.box_route(origin, extents)
    route.check()
    assert np.count_nonzero(route.contributes) == np.prod(extents)
    assert len(members(route, int(route.roots[0]))) == np.count_nonzero(route.parent != OUTSIDE)
    wires = {frozenset(wire) for wire in tree.wires.tolist()}
    below = np.flatnonzero(route.parent >= 0).tolist()
    assert all(frozenset((node, int(route.parent[node]))) in wires for node in below)


def test_the_whole_box_needs_no_strangers_and_a_part_says_which_box_it_is_not():
    tree = CollectiveTree((8, 8, 8), 64)
    assert (tree.box_route((0, 0, 0), (8, 8, 8)).parent != OUTSIDE).all()
    assert np.count_nonzero(tree.box_route((0, 0, 0), (4, 4, 4)).parent != OUTSIDE) == 64
    with pytest.raises(ValueError, match="not inside"):
        tree.box_route((0, 0, 4), (8, 8, 5))
    with pytest.raises(ValueError, match="classes are 0 to 15"):
        tree.define(16, tree.partition)
    with pytest.raises(ValueError, match="does not fit"):
        tree.define(3, CollectiveTree((4, 4, 2), 32).partition)


@pytest.mark.parametrize(
    ("name", "depth"), [("node-card", 5), ("midplane", 9), ("racks-40", 16), ("racks-72", 17)]
)
def test_depth_is_close_to_the_logarithm(name, depth):
    topology = SHIPPED[name]
    assert CollectiveTree(topology.shape, topology.pset).depth == depth


def test_psets_too_small_for_a_root_are_refused():
    with pytest.raises(ValueError, match="too small"):
        CollectiveTree((4, 4, 2), 2)
