"""What the workload neighbours accepts in an experiment file.

Kept free of heavy imports, as :mod:`bgsim.workloads.configs`, of which this is a part.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from bgsim.units import Quantity, parse
from bgsim.workloads.quantities import Duration
from bgsim.workloads.shared_node_config import SharedNodeConfig


class NeighboursConfig(SharedNodeConfig):
    """A virtual machine beside others on its node: how long its work takes, against its share of the core."""

    kind: Literal["neighbours"]
    neighbour: Literal[
        "idle", "compute", "random-walk", "device-reads", "forbidden-sends", "wild-accesses", "receive"
    ] = Field(
        "compute",
        description="what every other virtual machine runs, for ever: nothing (its idle loop spins); the "
        "same three; descriptors to a node it may not send to; accesses to memory beyond its segment; "
        "reception of packets that another node sends over the collective network",
    )
    program: Literal["compute", "build", "random-walk", "device-reads"] = Field(
        "compute",
        description="what the measured virtual machine runs: computation without exits; a compiler (lcc) "
        "building a project; loads from random pages, whose TLB misses the microkernel handles; loads of a "
        "device register, which the VMM handles",
    )
    work: Duration = Field(
        default=parse("200 ms", "time"),
        description="as much work as the measured one does in this time when it is alone",
    )

    def _unsaid(self) -> tuple[str, ...]:
        return ()

    @field_validator("work")
    @classmethod
    def _is_long_enough(cls, work: Quantity) -> Quantity:
        if not parse("1 ms", "time").value <= work.value <= parse("100 s", "time").value:
            raise ValueError("the work takes 1 ms to 100 s")
        return work
