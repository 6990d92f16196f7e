"""Whether traffic fits its partition: which nodes post, and what is wrong with a pattern there.

Apart from :mod:`bgsim.workloads.traffic` so that an experiment is checked without the engines.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bgsim.workloads.active_nodes import ALL, ActiveError, ActiveNodes
from bgsim.workloads.resolved import Partition
from bgsim.workloads.support import Refusal
from bgsim.workloads.traffic_config import TrafficConfig

if TYPE_CHECKING:
    from bgsim.network.topology import Shape
    from bgsim.network.traffic import Ints

OPERATIONS_MAX = 2**26
"""Operations of all nodes together that fit into memory."""

LINK_LOAD_NODES_MAX = 4096
"""Nodes of which a record can hold the loads of all links: some 200 KB."""


def posting(config: TrafficConfig, shape: Shape) -> Ints:
    """The nodes that post operations.

    ``all`` leaves out the target of a hot spot, which cannot send to itself; a condition counts as written.

    Returns
    -------
    numpy.ndarray
        Node numbers, ascending, int64.

    Raises
    ------
    ActiveError
        No node does, or the condition divides by zero on this partition.
    """
    chosen: Ints = ActiveNodes(config.active).select(shape)
    if config.pattern == "hotspot" and config.active.strip() == ALL:
        others: Ints = chosen[chosen != config.target]
        return others
    return chosen


def misfits(config: TrafficConfig, partition: Partition) -> Iterator[Refusal]:
    """What of a traffic workload makes no sense on a partition, each with the key that says it."""
    x, y, z = shape = partition.shape
    nodes, size = partition.nodes, "x".join(map(str, shape))
    hot = config.pattern == "hotspot"
    if hot and config.target >= nodes:
        yield Refusal(
            "workload.target", f"{config.target} is not one of the {nodes} nodes, which are 0 to {nodes - 1}"
        )
        return
    if config.pattern == "shift":
        steps = config.displacement or [0, 0, 0]
        if all(step % extent == 0 for step, extent in zip(steps, (x, y, z), strict=True)):
            said = f"by {steps} a node of {size} reaches itself"
            yield Refusal("workload.displacement", said)
    if config.permutation is not None:
        from bgsim.workloads.traffic_patterns import PatternError, permutation_of

        try:
            permutation_of(config, nodes)
        except PatternError as error:
            yield Refusal("workload.permutation", str(error))
    posting_count = nodes - 1 if hot else nodes
    if config.active.strip() != ALL:
        try:
            chosen = posting(config, shape)
        except ActiveError as error:
            yield Refusal("workload.active", str(error))
            return
        posting_count = len(chosen)
        if hot and (chosen == config.target).any():
            said = f"node {config.target} is the hot spot and cannot send to itself"
            yield Refusal(
                "workload.active", f"{said}; leave it out, such as with 'node != {config.target}', or say all"
            )
    each = config.posted * (nodes - 1 if config.pattern == "all-to-all" else 1)
    if each * posting_count > OPERATIONS_MAX:
        said = f"{each:,} operations of {posting_count:,} nodes are more than fit into memory"
        yield Refusal("workload.posted", f"{said}; at most {OPERATIONS_MAX:,} in all")
    if config.link_load and nodes > LINK_LOAD_NODES_MAX:
        said = f"{nodes:,} nodes have more links than belong into a record"
        yield Refusal("workload.link_load", f"{said}; at most {LINK_LOAD_NODES_MAX:,} nodes")
