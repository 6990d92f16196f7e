"""What bgsim finds by entry point: the workload and the cure.

Checking an experiment imports this module and nothing that simulates; the workload itself is imported where
it runs.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from bgsim.cures import Cure
from bgsim.workloads.catalogue import Workload
from bgsim.workloads.support import Support


class SystemCallsConfig(BaseModel):
    """A program that computes and calls its kernel in turns."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["system-calls"]
    calls: int = Field(1000, ge=1, le=1_000_000, description="how many system calls")
    work: int = Field(2000, ge=0, le=10_000_000, description="user instructions before each of them")


WORKLOAD = Workload(
    config=SystemCallsConfig,
    support=Support(
        platforms=("bare-metal", "virtual-machine"),
        guests=("kittyhawk-linux", "cnk", "zeptoos"),
        nodes_min=1,
    ),
    module="bgsim_system_calls.system_calls",
)

CURE = Cure(
    name="slow-tick",
    title="microkernel tick every 10 ms",
    place="kernel",
    mechanism="The microkernel's own timer, which drives its scheduler, interrupts five times less often; "
    "the guest's timer interrupts are delivered at the tick that follows them, so they come later.",
    sets={"l4.tick": "10 ms"},
)
