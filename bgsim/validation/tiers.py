"""The machine tier against the detailed tier where both run, and the networks alone against closed forms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from bgsim.datasheet import Datasheet
from bgsim.machine.tree_runs import tree_of
from bgsim.network.barrier import BarrierTree, barrier_vector
from bgsim.network.collective_packet import CollectiveParameters
from bgsim.network.collective_vector import combine_broadcast
from bgsim.network.topology import Shape, node_count
from bgsim.validation.case import Case, Row
from bgsim.workloads import execute
from bgsim.workloads.machine_configs import CollectivesConfig, HaloConfig
from bgsim.workloads.resolved import Partition, ResolvedRun

SHAPES: dict[Shape, bool] = {
    (2, 1, 1): True,
    (2, 2, 2): True,
    (4, 4, 2): False,
    (4, 4, 4): False,
}
"""Partitions of the comparison, and whether both platforms are done in seconds on them."""

LARGEST: Shape = (8, 8, 8)
"""The midplane: on bare metal only."""

WORKLOADS: dict[str, dict[str, Any]] = {
    "barrier": {"kind": "collectives", "operation": "barrier", "iterations": 4},
    "allreduce of 8 B": {"kind": "collectives", "operation": "allreduce", "iterations": 4},
    "halo of 8 KiB faces": {"kind": "halo", "grid": [32, 32, 32], "compute": "200 us", "iterations": 3},
}

PLATFORMS = {"bare-metal": "native", "virtual-machine": "virtualised"}
TOLERANCE_PERCENT = 10.0
NETWORK_SHAPES: tuple[Shape, ...] = ((4, 4, 2), (8, 8, 8), (16, 16, 16), (32, 32, 32), (72, 32, 32))
PSET_NODES = 64


def operation_us(platform: str, shape: Shape, section: dict[str, Any], tier: str) -> float:
    """Mean operation of a workload in one of the tiers, in microseconds."""
    machine = Datasheet.load()
    kind = HaloConfig if section["kind"] == "halo" else CollectivesConfig
    config = kind.model_validate({**section, "tier": tier})
    closed = (shape == LARGEST,) * 3
    partition = Partition("x".join(map(str, shape)), shape, closed, PSET_NODES)
    outcome = execute(ResolvedRun(machine, machine, partition, platform, "cnk", config, 1, 0))
    return float(outcome.metrics["operation_us_avg"])


def tier_rows(fast: bool) -> Iterator[Row]:
    """Every workload on both platforms; the midplane on bare metal."""
    for name, section in WORKLOADS.items():
        for platform, word in PLATFORMS.items():
            shapes = [shape for shape, quick in SHAPES.items() if quick or not fast]
            if platform == "bare-metal" and not fast:
                shapes.append(LARGEST)
            for shape in shapes:
                detailed = operation_us(platform, shape, section, "detailed")
                machine = operation_us(platform, shape, section, "machine")
                yield Row(
                    f"{name}, {word}", f"{node_count(shape)} nodes", detailed, machine, TOLERANCE_PERCENT
                )


def network_rows(fast: bool) -> Iterator[Row]:
    """Operations of an idle network whose software takes no time, in core cycles."""
    machine = Datasheet.load()
    parameters = CollectiveParameters.from_datasheet(machine)
    one_way = machine.cycles("barrier.latency_72_racks")
    levels = machine.integer("barrier.levels_72_racks")
    for shape in NETWORK_SHAPES:
        nodes = node_count(shape)
        ready = np.zeros(nodes, np.int64)
        gates = (nodes - 1).bit_length()
        barrier = int(barrier_vector(BarrierTree.from_datasheet(nodes, machine), ready).max())
        yield Row("barrier", f"{nodes:,} nodes", 2 * round(one_way * gates / levels), barrier, 0.0)
        tree = tree_of(shape, PSET_NODES)
        hops = 2 * int(tree.level.max()) * parameters.hop_cycles
        for name, packets in (("allreduce of a packet", 1), ("allreduce of 64 packets", 64)):
            allreduce = int(combine_broadcast(tree, ready, packets, parameters).max())
            expected = hops + packets * parameters.packet_cycles
            yield Row(name, f"{nodes:,} nodes", expected, allreduce, 0.0)


TIERS = Case(
    name="machine-tier-against-detailed-tier",
    compares="operations computed from a cost model with the same operations instruction path by path",
    kind="reference",
    unit="µs",
    source="the detailed tier, from which the cost model was made on two nodes",
    conditions="CNK, one rank per node. The halo's time includes 200 µs of computing. Shows what is lost "
    "by costs that are means of two nodes; both tiers share their guesses.",
    binding=False,
    rows=tier_rows,
)

NETWORKS = Case(
    name="collective-networks-against-closed-form",
    compares="a barrier and allreduces whose software takes no time with depth times latency, and a pipeline",
    kind="closed form",
    unit="cycles",
    source="barrier: 2 x levels x latency of a level; allreduce: 2 x depth x hop + packets x time on a link",
    conditions="Idle networks. Checks the compiled passes to 73,728 nodes, not the latencies, which are "
    "recalled figures of 72 racks.",
    binding=True,
    rows=network_rows,
)
