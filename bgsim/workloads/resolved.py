"""One run, fully resolved: everything a workload may depend on and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bgsim.datasheet import Datasheet
    from bgsim.network.mapping import RankMapping
    from bgsim.workloads.any_config import WorkloadConfig

MEASURED_PLATFORM, MEASURED_GUEST = "bare-metal", "cnk"
"""What messages were measured on, on the real machine."""


@dataclass(frozen=True)
class Partition:
    """The nodes a job gets: a box of the torus, closed or open per dimension.

    Attributes
    ----------
    name
        Name of the topology, or made from the shape.
    shape, torus
        Nodes in X, Y, Z, and whether each is closed to a ring.
    pset
        Most compute nodes behind one I/O node.
    mapping
        Where ranks are placed: a permutation of XYZT, or path (``file``) and hash (``sha256``) of a file.
    """

    name: str
    shape: tuple[int, int, int]
    torus: tuple[bool, bool, bool]
    pset: int = 64
    mapping: str | Mapping[str, str] = "XYZT"

    @property
    def nodes(self) -> int:
        """Number of compute nodes."""
        return self.shape[0] * self.shape[1] * self.shape[2]

    def rank_mapping(self, ranks_per_node: int) -> RankMapping:
        """Node and core of each rank.

        Raises
        ------
        bgsim.network.mapping.MappingError
            If a mapping file does not fit, or is not what it was when the run was planned.
        """
        from bgsim.network import mapping

        if isinstance(self.mapping, str):
            return mapping.named(self.mapping, self.shape, ranks_per_node)
        return mapping.from_file(
            Path(self.mapping["file"]), self.shape, ranks_per_node, sha256=self.mapping["sha256"]
        )


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
    cures
        Names of the cures that ``machine`` has; nothing but messages may depend on them.
    """

    machine: Datasheet
    reference_machine: Datasheet
    partition: Partition
    platform: str
    guest: str
    workload: WorkloadConfig
    seed: int
    replication: int
    cures: tuple[str, ...] = ()

    @property
    def like_measured(self) -> bool:
        """Whether this runs on what messages were measured on, so that their times may stand beside it."""
        return self == replace(self, platform=MEASURED_PLATFORM, guest=MEASURED_GUEST)
