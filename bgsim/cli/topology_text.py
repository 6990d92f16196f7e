"""What ``bgsim topology list`` and ``bgsim topology show`` print."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bgsim.cli.listing import aligned
from bgsim.experiment import partition, shipped
from bgsim.experiment.errors import ExperimentError, Problem
from bgsim.spelling import did_you_mean

if TYPE_CHECKING:
    from bgsim.datasheet import Datasheet
    from bgsim.experiment.partition import Topology
    from bgsim.network.tree import CollectiveTree


def found(name: str) -> Topology:
    """A topology by the name of a shipped one, or by the path of a file.

    Raises
    ------
    ExperimentError
        There is none, or it is wrong.
    """
    path = partition.find_topology(name, None)
    if path is None:
        known = shipped.names("topologies")
        near = did_you_mean(name, known) or f" (shipped: {', '.join(known)})"
        raise ExperimentError([Problem("topology", name, f"no such topology{near}")])
    return partition.load_topology(path)


def kind_of(topology: Topology) -> str:
    """Torus, mesh, or what is closed."""
    if not any(topology.torus):
        return "mesh"
    closed = "".join(axis for axis, flag in zip("XYZ", topology.torus, strict=True) if flag)
    return "torus" if closed == "XYZ" else f"closed in {closed}"


def shape_text(topology: Topology) -> str:
    """Nodes in X, Y, Z."""
    return "x".join(map(str, topology.shape))


def listing() -> str:
    """The shipped topologies, the smallest first."""
    topologies = [found(name) for name in shipped.names("topologies")]
    topologies.sort(key=lambda topology: (math.prod(topology.shape), topology.name))
    rows = [("name", "nodes", "shape", "network", "pset", "mark", "description")]
    for topology in topologies:
        nodes = f"{math.prod(topology.shape):,}"
        columns = (topology.name, nodes, shape_text(topology), kind_of(topology), str(topology.pset))
        rows.append((*columns, topology.confidence, topology.description))
    return aligned(rows)


def described(topology: Topology, tree: CollectiveTree, datasheet: Datasheet) -> str:
    """A partition's measures."""
    from bgsim.network import implicit
    from bgsim.network.barrier import BarrierTree
    from bgsim.network.collective_packet import CollectiveParameters
    from bgsim.units import format_rate, format_time, from_cycles

    shape, torus = topology.shape, topology.torus
    rate = datasheet.quantity("torus.link_rate").value
    cut = implicit.bisection_links(shape, torus)
    collective = CollectiveParameters.from_datasheet(datasheet)
    barrier = BarrierTree.from_datasheet(tree.nodes, datasheet)
    psets = tree.pset_roots.size
    cores = tree.nodes * datasheet.integer("node.cores")
    mapping = topology.mapping

    frequency = datasheet.quantity("core.frequency").value

    def time(cycles: int) -> str:
        return format_time(from_cycles(cycles, frequency).value)

    rows = [
        ("name", topology.name),
        ("description", topology.description),
        ("nodes", f"{tree.nodes:,} ({cores:,} cores), {shape_text(topology)} in X, Y, Z"),
        ("network", kind_of(topology)),
        ("links", f"{implicit.link_count(shape, torus):,}, each {format_rate(rate)} one way"),
        ("bisection", f"{cut:,} links, {format_rate(cut * rate)} one way"),
        ("diameter", f"{implicit.diameter(shape, torus)} hops"),
        ("mean distance", f"{float(implicit.mean_distance(shape, torus)):.2f} hops"),
        ("collective tree", f"depth {tree.depth} hops, {time(tree.depth * collective.hop_cycles)} one way"),
        ("", f"{len(tree.extra_wires):,} extra wires for classes (the wiring is a guess)"),
        ("barrier network", f"{barrier.levels} levels, {time(barrier.latency_cycles)} one way"),
        ("psets", f"{psets:,} of up to {topology.pset} compute nodes"),
        ("I/O nodes", f"{psets:,}, one per pset, {datasheet['ethernet.rate'].text} Ethernet each"),
        ("mapping", mapping if isinstance(mapping, str) else f"file {mapping['file']}"),
        ("source", f"{topology.source} ({topology.confidence})" if topology.confidence else topology.source),
    ]
    return aligned([row for row in rows if row[1]])
