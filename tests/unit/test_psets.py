"""Psets and their I/O nodes."""

import networkx as nx
import numpy as np
import pytest

from bgsim.datasheet import Datasheet
from bgsim.network.pset_boxes import pset_count
from bgsim.network.psets import ETHERNET, pset_graph, psets
from bgsim.network.tree import CollectiveTree

SHEET = Datasheet.load()


@pytest.mark.parametrize(
    ("shape", "pset"), [((4, 4, 2), 32), ((8, 8, 8), 64), ((8, 8, 16), 128), ((5, 3, 3), 16)]
)
def test_every_compute_node_has_one_io_node(shape, pset):
    tree = CollectiveTree(shape, pset)
    groups = psets(tree)
    assert sorted(node for group in groups for node in group.nodes.tolist()) == list(range(tree.nodes))
    assert all(group.root in group.nodes and len(group.nodes) <= pset for group in groups)
    graph = pset_graph(tree, SHEET)
    for group in groups:
        io = ("io", group.number)
        assert graph.nodes[io]["compute_nodes"] == len(group.nodes)
        assert sorted(n for n in graph[io] if n != ETHERNET) == group.nodes.tolist()
        assert graph.edges[io, ETHERNET]["bytes_per_second"] == 10**10 / 8
        assert graph.edges[io, group.root]["hops"] == 1


def test_psets_are_counted_as_they_are_laid_out():
    random = np.random.default_rng(1)
    for _ in range(60):
        shape, pset = (
            tuple(random.choice([1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 24], 3).tolist()),
            int(random.integers(8, 129)),
        )
        assert pset_count(shape, pset) == CollectiveTree(shape, pset).pset_roots.size
    assert pset_count((256, 256, 256), 8) == 2**21


def test_hops_to_the_io_node_are_those_along_the_class():
    tree = CollectiveTree((8, 8, 8), 64)
    graph = pset_graph(tree, SHEET)
    wires = nx.Graph()
    for route in tree.pset_classes:
        below = np.flatnonzero(route.parent >= 0)
        wires.add_edges_from(zip(route.parent[below].tolist(), below.tolist(), strict=True))
    wires.add_edges_from((("io", number), int(root)) for number, root in enumerate(tree.pset_roots))
    for node in range(tree.nodes):
        io = ("io", int(tree.pset_of[node]))
        assert graph.edges[io, node]["hops"] >= nx.shortest_path_length(wires, io, node)
