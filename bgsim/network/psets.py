"""Psets: the compute nodes behind each I/O node, and the I/O nodes' Ethernet.

Compute nodes have no Ethernet; their system calls and frames go along the collective network to the I/O node
of their pset, which has 10 GbE. Which node's port the I/O node hangs at is part of the guess about the
collective network's wiring (:mod:`bgsim.network.tree_embedding`). The switch outside is one vertex.
Source for the Ethernet and the ratios of 8 to 128 compute nodes: IBM JRD 52(1/2), 2008.
"""

from __future__ import annotations

from typing import NamedTuple

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from bgsim.datasheet import Datasheet
from bgsim.network.tree import CollectiveTree

ETHERNET = "ethernet"


class Pset(NamedTuple):
    """One pset.

    Attributes
    ----------
    number
        From 0, in the order of the tree.
    root
        Compute node at whose collective port the I/O node is.
    nodes
        Compute nodes, ascending, int64, shape (n,).
    """

    number: int
    root: int
    nodes: NDArray[np.int64]


def psets(tree: CollectiveTree) -> list[Pset]:
    """The psets of a partition."""
    order = np.argsort(tree.pset_of, kind="stable")
    ends = np.cumsum(np.bincount(tree.pset_of))
    groups = np.split(order, ends[:-1])
    roots = tree.pset_roots.tolist()
    return [Pset(number, root, nodes) for number, (root, nodes) in enumerate(zip(roots, groups, strict=True))]


def io_node_address(tree: CollectiveTree, pset: int) -> int:
    """Address of a pset's I/O node on the collective network: behind those of the compute nodes."""
    return tree.nodes + pset


def io_hops(tree: CollectiveTree) -> NDArray[np.int64]:
    """Hops from each node to its I/O node along the collective network, shape (nodes,)."""
    hops = np.full(tree.nodes, -1, np.int64)
    for route in tree.pset_classes:
        hops = np.where(route.contributes, route.level + 1, hops)
    return hops


def pset_graph(tree: CollectiveTree, datasheet: Datasheet) -> nx.Graph[object]:
    """The psets of a partition as a graph.

    Returns
    -------
    networkx.Graph
        Compute nodes are numbers with ``pset``; I/O nodes are ``("io", pset)`` with ``pset`` and
        ``compute_nodes``; the outside is ``"ethernet"``. An edge from an I/O node has ``kind``: ``pset`` to a
        compute node, with ``hops`` along the tree of the pset's class, or ``ethernet``, with
        ``bytes_per_second``.
    """
    rate = datasheet.quantity("ethernet.rate").value
    hops = io_hops(tree)
    graph: nx.Graph[object] = nx.Graph()
    graph.add_node(ETHERNET)
    for pset in psets(tree):
        io = ("io", pset.number)
        graph.add_node(io, pset=pset.number, compute_nodes=len(pset.nodes))
        graph.add_edge(io, ETHERNET, kind="ethernet", bytes_per_second=rate)
        for node in pset.nodes.tolist():
            graph.add_node(node, pset=pset.number)
            graph.add_edge(io, node, kind="pset", hops=int(hops[node]))
    return graph
