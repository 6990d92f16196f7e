"""One run, fully resolved: everything a workload may depend on and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bgsim.datasheet import Datasheet
    from bgsim.workloads.configs import WorkloadConfig


@dataclass(frozen=True)
class Partition:
    """The nodes a job gets: a box of the torus, closed or open per dimension."""

    name: str
    shape: tuple[int, int, int]
    torus: tuple[bool, bool, bool]

    @property
    def nodes(self) -> int:
        """Number of compute nodes."""
        return self.shape[0] * self.shape[1] * self.shape[2]


@dataclass(frozen=True)
class ResolvedRun:
    """One point, platform and replication of an experiment.

    Attributes
    ----------
    machine
        Datasheet with the experiment's ``assume`` and ``machine.set`` applied.
    reference_machine
        Datasheet with ``assume`` only: what we believe of the real machine, on which a workload
        that is matched to a native time is matched.
    """

    machine: Datasheet
    reference_machine: Datasheet
    partition: Partition
    platform: str
    guest: str
    workload: WorkloadConfig
    seed: int
    replication: int
