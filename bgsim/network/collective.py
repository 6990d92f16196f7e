"""The collective network of Blue Gene/P as a point-to-point network.

A tree over the nodes of a partition, three ports per node. A point-to-point packet climbs to the nearest
common ancestor and descends from there. Enough for Ethernet over the collective network; combining and
broadcasting, the routes of classes, and the embedding of the tree into the machine's wiring are not
modelled: here node ``n`` hangs below node ``(n - 1) // 2``. Both virtual channels of a link share one
queue. Sources: khvmm tree.h, Kittyhawk Linux tree.c, IBM JRD 52(1/2) 2008.
"""

from __future__ import annotations

from math import ceil, log2

import networkx as nx
from simpy import Environment

from bgsim.datasheet import Datasheet
from bgsim.network.links import Link, LinkNetwork, Packet

NODES_72_RACKS = 72 * 1024
"""The machine for which a traversal latency is published."""

LINK_BUFFERS = 2
"""Packets a link may have on the way into a node that has not taken them: the least that keeps it busy.

The reception FIFOs proper belong to the collective device.
"""


def collective_tree(nodes: int) -> nx.DiGraph[int]:
    """The tree over a number of nodes.

    Returns
    -------
    networkx.DiGraph
        Edges lead from each node to its at most two children; node 0 is the root.
    """
    tree: nx.DiGraph[int] = nx.DiGraph()
    tree.add_nodes_from(range(nodes))
    tree.add_edges_from((parent(node), node) for node in range(1, nodes))
    return tree


def parent(node: int) -> int:
    """The node above; the root has none.

    Raises
    ------
    ValueError
        For the root.
    """
    if node < 1:
        raise ValueError(f"node {node} has no parent")
    return (node - 1) // 2


def next_node(node: int, destination: int) -> int:
    """The neighbour of a node on the way to another node."""
    below = destination
    while below > node:
        above = parent(below)
        if above == node:
            return below
        below = above
    return parent(node)


class CollectiveNetwork(LinkNetwork):
    """Point-to-point packets over the tree.

    Parameters
    ----------
    environment
        Simulation environment in core cycles.
    nodes
        Nodes of the partition.
    datasheet
        The machine.
    """

    def __init__(self, environment: Environment, nodes: int, datasheet: Datasheet) -> None:
        levels = ceil(log2(NODES_72_RACKS))
        super().__init__(
            environment,
            cycles_per_byte=(8, datasheet.integer("collective.bits_per_cycle")),
            hop_latency_cycles=round(datasheet.cycles("collective.latency_72_racks") / levels),
            endpoint_latency_cycles=0,
            reception_packets=LINK_BUFFERS,
        )
        self.nodes = nodes
        self.packet_link_bytes = (
            datasheet.integer("collective.packet_payload")
            + datasheet.integer("collective.packet_header")
            + datasheet.integer("collective.packet_link_overhead")
        )
        self._links: dict[tuple[int, int], Link] = {}

    def link_towards(self, packet: Packet, node: int) -> Link:
        """The link up or down the tree."""
        target = next_node(node, packet.destination)
        if (node, target) not in self._links:
            self._links[node, target] = self._new_link(node, target)
        return self._links[node, target]

    def packet_latency_cycles(self, hops: int) -> int:
        """Time from injection to delivery of one packet in an idle network, in core cycles."""
        return self.serialization_cycles(self.packet_link_bytes) + hops * self.hop_latency_cycles
