"""What an operation puts on the wires of the collective network, computed again from the record.

Nothing has to be kept for it: a combined operation sends the same packets up and down every wire of the
partition's tree, a broadcast sends them up from its root and down everywhere. Left out: file I/O, whose
packets go to the I/O node of each pset, and the wires that classes leave unused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bgsim.experiment.identity import machines
from bgsim.network.collective_packet import CollectiveParameters
from bgsim.network.tree import CollectiveTree
from bgsim.report.numbers import significant
from bgsim.report.results import Group, amount

NETWORK = "collective-network"
COMBINED = ("reduce", "allreduce", "allgather")


@dataclass(frozen=True)
class TreeLoad:
    """Load of one operation.

    Attributes
    ----------
    label
        The run.
    packets
        Of one operation, up or down a wire.
    up_percent, down_percent
        Share of an operation's time for which a wire is busy.
    wires_up
        Wires that packets go up.
    levels
        Number of wires by distance of their lower end from the root: from 1.
    """

    label: str
    packets: int
    up_percent: str
    down_percent: str
    wires_up: int
    levels: tuple[int, ...]

    @property
    def wires(self) -> int:
        """Wires of the partition's tree."""
        return sum(self.levels)


def tree_load(group: Group, label: str) -> TreeLoad | None:
    """The load of a run's operation, or None where it does not use the collective network."""
    workload, time_us = group.workload, group.mean("operation_us_avg")
    if workload["kind"] != "collectives" or group.details.get("algorithm") != NETWORK or not time_us:
        return None
    config = group.records[0]["config"]
    machine = machines(config)[0]
    size = amount(workload.get("size", 0), "bytes") or 0.0
    if workload["operation"] == "allgather":
        size *= int(group.details.get("ranks", 1))
    packets = max(1, -(-int(size) // machine.integer("collective.packet_payload")))
    section = config["partition"]
    x, y, z = section["shape"]
    tree = CollectiveTree((x, y, z), int(section["pset"]))
    level = np.asarray(tree.level)
    combined = workload["operation"] in COMBINED
    up = tree.nodes - 1 if combined else int(level[0])
    parameters = CollectiveParameters.from_datasheet(machine)
    busy = packets * parameters.packet_cycles / (time_us * 1e-6 * machine.integer("core.frequency"))
    return TreeLoad(
        label,
        packets,
        significant(100 * busy if up else 0.0),
        significant(100 * busy),
        up,
        tuple(np.bincount(level)[1:].tolist()),
    )


def distinct(loads: Sequence[TreeLoad]) -> list[tuple[int, ...]]:
    """The different trees among some loads."""
    return list(dict.fromkeys(load.levels for load in loads))
