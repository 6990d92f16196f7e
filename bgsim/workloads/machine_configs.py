"""What the workloads of the machine tier accept in an experiment file: collectives and halo.

Kept free of heavy imports, as :mod:`bgsim.workloads.configs`, of which this is a part.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationInfo, field_validator

from bgsim.units import Quantity, parse
from bgsim.workloads.quantities import Duration, MessageSize, ProgramTime

AUTO = "auto"

CollectiveOperation = Literal["barrier", "broadcast", "reduce", "allreduce", "alltoall", "allgather"]
CollectiveAlgorithm = Literal[
    "auto", "barrier-network", "collective-network", "rectangle", "ring", "binomial", "torus", "dissemination"
]
TorusNetwork = Literal["auto", "uncontended", "flow", "packet"]
Tier = Literal["machine", "detailed"]

ALGORITHMS: Mapping[str, tuple[str, ...]] = {
    "barrier": ("barrier-network", "dissemination"),
    "broadcast": ("collective-network", "rectangle", "ring", "binomial"),
    "reduce": ("collective-network", "rectangle", "ring", "binomial"),
    "allreduce": ("collective-network", "rectangle", "ring", "binomial"),
    "alltoall": ("torus",),
    "allgather": ("collective-network", "ring", "torus"),
}
"""Algorithms of each operation; the first is what ``auto`` stands for on all ranks of a partition, as the
library's defaults have it (MPICH2 dcmfd: tree and global interrupts first, alltoall by the torus protocol).
That an allgather is an allreduce over the collective network is recalled, not read."""

WITHOUT_TORUS = ("barrier-network", "collective-network")

SOCKET_ALGORITHMS: Mapping[str, tuple[str, ...]] = {
    "barrier": ("dissemination",),
    "broadcast": ("binomial", "ring"),
    "reduce": ("binomial", "ring"),
    "allreduce": ("binomial", "ring"),
    "alltoall": (),
    "allgather": ("ring",),
}
"""The same for guests whose programs have sockets: their library has point-to-point messages only."""

DETAILED_SOCKET_ALGORITHMS = ("dissemination", "binomial")
"""What of these the detailed tier has."""


class _Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, defer_build=True)


class NoiseConfig(_Config):
    """Interruptions of every core that replace those of the cost model."""

    period: Duration = Field(description="mean time between two interruptions of a core")
    durations: list[Duration] = Field(min_length=1, description="how long an interruption takes")
    weights: list[float] | None = Field(
        None, description="how often each duration occurs, by default equally"
    )
    jitter: float = Field(
        0.0, ge=0, lt=1, description="how far an interruption may fall behind its beat, in periods"
    )
    shared: bool = Field(False, description="whether all cores of a node are interrupted together")

    @field_validator("weights")
    @classmethod
    def _as_many(cls, weights: list[float] | None, info: ValidationInfo) -> list[float] | None:
        durations = info.data.get("durations")
        if weights is not None and durations is not None and len(weights) != len(durations):
            raise ValueError(f"expected {len(durations)} weights, one per duration, got {len(weights)}")
        if weights is not None and (min(weights) < 0 or not 0 < sum(weights) < math.inf):
            raise ValueError("weights are numbers of at least 0, and not all 0")
        return weights

    @field_validator("period")
    @classmethod
    def _comes_again(cls, period: Quantity) -> Quantity:
        if not period.value:
            raise ValueError("a period is above zero; interruptions that always come leave a core nothing")
        return period


def _word_or_section(noise: object) -> str:
    """Which of both a value of ``noise`` is meant to be, so that it is refused for one reason only."""
    return "section" if isinstance(noise, (Mapping, NoiseConfig)) else "word"


Noise = Annotated[
    Annotated[Literal["cost-model", "none"], Tag("word")] | Annotated[NoiseConfig, Tag("section")],
    Discriminator(_word_or_section),
]
"""Interruptions of the cores."""


class MachineTierConfig(_Config):
    """What all workloads of the machine tier have."""

    ranks_per_node: Literal[1, 2, 4] = Field(
        1, description="processes on a node: 1 (SMP mode), 2 (dual) or 4 (virtual-node mode)"
    )
    tier: Tier = Field(
        "machine",
        description="machine: compiled, with a cost model; detailed: every instruction path, to 512 nodes",
    )
    network: TorusNetwork = Field(
        "auto", description="how messages on the torus are simulated; auto: packets where they are affordable"
    )
    noise: Noise = Field(
        "cost-model", description="interruptions of the cores: measured ones, none, or given ones"
    )
    cost_model: str = Field(
        AUTO,
        description="path of a cost model; auto: that of the platform and guest, shipped or made",
    )
    cost_model_digest: str = Field(
        "", validate_default=True, description="SHA-256 of that file, filled in when the run is planned"
    )

    @field_validator("tier")
    @classmethod
    def _one_process(cls, tier: str, info: ValidationInfo) -> str:
        if tier == "detailed" and info.data.get("ranks_per_node", 1) > 1:
            raise ValueError("the detailed tier has one process on each node")
        return tier

    @field_validator("cost_model_digest")
    @classmethod
    def _of_file(cls, digest: str, info: ValidationInfo) -> str:
        name = info.data.get("cost_model", AUTO)
        if name == AUTO or digest:
            return digest
        try:
            return hashlib.sha256(Path(name).read_bytes()).hexdigest()
        except OSError as error:
            raise ValueError(f"{name}: {(error.strerror or str(error)).lower()}") from None

    @field_validator("network", "noise", "cost_model")
    @classmethod
    def _of_the_machine_tier(cls, value: object, info: ValidationInfo) -> object:
        default = cls.model_fields[str(info.field_name)].default
        if info.data.get("tier") == "detailed" and value != default:
            raise ValueError("only the tier machine has one; in the detailed tier it follows by itself")
        return value


class CollectivesConfig(MachineTierConfig):
    """One collective operation of all ranks, repeated."""

    kind: Literal["collectives"]
    operation: CollectiveOperation = Field("allreduce", description="which operation")
    algorithm: CollectiveAlgorithm = Field(
        "auto",
        validate_default=True,
        description="how; auto: the library's default for all ranks of a partition",
    )
    size: MessageSize = Field(
        default=parse("8 B", "bytes"),
        description="bytes: of the vector (broadcast, reduce, allreduce), of each rank's block (allgather), "
        "or from each rank to each (alltoall); at most 4 GiB",
    )
    iterations: int = Field(100, ge=1, le=1_000_000, description="how often")
    compute: ProgramTime = Field(
        default=parse("0 s", "time"),
        description="core time between two iterations, before each; at most a day",
    )
    synchronised: bool = Field(
        False, description="whether each iteration begins with a barrier, which is not part of the operation"
    )

    @field_validator("algorithm")
    @classmethod
    def _exists(cls, algorithm: str, info: ValidationInfo) -> str:
        known = ALGORITHMS.get(str(info.data.get("operation")), ())
        if algorithm != AUTO and known and algorithm not in known:
            raise ValueError(f"{info.data['operation']} has {', '.join(known)}, not {algorithm}")
        chosen = known[0] if known and algorithm == AUTO else algorithm
        known_in_detail = (*WITHOUT_TORUS, *DETAILED_SOCKET_ALGORITHMS)
        if info.data.get("tier") == "detailed" and chosen not in known_in_detail:
            raise ValueError(f"the detailed tier has no {chosen} algorithm")
        if info.data.get("tier") == "detailed" and info.data["operation"] == "allgather":
            raise ValueError("the detailed tier has no allgather")
        if chosen in WITHOUT_TORUS and info.data.get("network", AUTO) != AUTO:
            raise ValueError(f"network changes nothing: the algorithm {chosen} does not use the torus")
        return algorithm

    @field_validator("size")
    @classmethod
    def _moves_something(cls, size: Quantity, info: ValidationInfo) -> Quantity:
        if info.data.get("operation") == "barrier" and size != cls.model_fields["size"].default:
            raise ValueError("a barrier moves no data")
        if size.value < 1:
            raise ValueError("an operation moves at least one byte")
        return size

    @field_validator("synchronised")
    @classmethod
    def _not_twice(cls, synchronised: bool, info: ValidationInfo) -> bool:
        if synchronised and info.data.get("operation") == "barrier":
            raise ValueError("a barrier synchronises by itself")
        return synchronised

    def chosen(self, sockets: bool) -> str:
        """The algorithm, with ``auto`` resolved for a guest whose programs have sockets, or not."""
        table = SOCKET_ALGORITHMS if sockets else ALGORITHMS
        return table[self.operation][0] if self.algorithm == AUTO else self.algorithm


class HaloConfig(MachineTierConfig):
    """A three-dimensional grid on all ranks: compute, exchange the faces with six neighbours, repeat."""

    kind: Literal["halo"]
    scaling: Literal["weak", "strong"] = Field(
        "weak", description="whether the grid is that of a rank or of all"
    )
    grid: list[int] = Field(
        default=[32, 32, 32],
        min_length=3,
        max_length=3,
        description="cells in three dimensions: of each rank (weak) or of all ranks together (strong)",
    )
    cell: MessageSize = Field(
        default=parse("8 B", "bytes"), description="bytes of a cell that neighbours need, at most 4 GiB"
    )
    compute_per_cell: ProgramTime = Field(
        default=parse("20 ns", "time"), description="core time per cell and iteration, at most a day"
    )
    compute: ProgramTime | None = Field(
        None, description="core time of a rank per iteration, instead of compute_per_cell; at most a day"
    )
    overlap: bool = Field(False, description="whether the faces travel while the rank computes")
    protocol: Literal["auto", "put", "eager", "rendezvous"] = Field(
        "auto", description="auto: eager to mpi.eager_limit, rendezvous above"
    )
    periodic: bool = Field(True, description="whether the grid closes to a ring in each dimension")
    process_grid: list[int] | None = Field(
        None,
        min_length=3,
        max_length=3,
        description="ranks in three dimensions; by default the partition's, with the ranks of a node in the "
        "dimension that the mapping runs through before or after them",
    )
    iterations: int = Field(20, ge=1, le=1_000_000, description="how often")

    @field_validator("protocol")
    @classmethod
    def _is_sent_in_detail(cls, protocol: str, info: ValidationInfo) -> str:
        if protocol == "put" and info.data.get("tier") == "detailed":
            raise ValueError("the detailed tier sends faces, it does not put them")
        return protocol

    @field_validator("grid", "process_grid")
    @classmethod
    def _positive(cls, value: list[int] | None) -> list[int] | None:
        if value is not None and min(value) < 1:
            raise ValueError("expected three numbers of at least 1")
        return value

    @property
    def cells_all(self) -> int:
        """Cells of the grid as written."""
        return math.prod(self.grid)
