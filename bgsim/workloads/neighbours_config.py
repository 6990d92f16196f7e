"""What the workload neighbours accepts in an experiment file.

Kept free of heavy imports, as :mod:`bgsim.workloads.configs`, of which this is a part.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from bgsim.units import Quantity, parse
from bgsim.workloads.quantities import Duration, Size

VCPU_PRIORITY = 10
"""What the VMM gives every vCPU (khvmm ``config.h``)."""


class NeighboursConfig(BaseModel):
    """A virtual machine beside others on its node: how long its work takes, against its share of the core."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, defer_build=True)

    kind: Literal["neighbours"]
    program: Literal["compute", "build", "random-walk", "device-reads"] = Field(
        "compute",
        description="what the measured virtual machine runs: computation without exits; a compiler (lcc) "
        "building a project; loads from random pages, whose TLB misses the microkernel handles; loads of a "
        "device register, which the VMM handles",
    )
    neighbour: Literal[
        "idle", "compute", "random-walk", "device-reads", "forbidden-sends", "wild-accesses", "receive"
    ] = Field(
        "compute",
        description="what every other one runs, for ever: nothing (its idle loop spins); the same three; "
        "descriptors to a node it may not send to; accesses to memory beyond its segment; reception of "
        "packets that another node sends over the collective network",
    )
    packet_interval: Duration = Field(
        default=parse("500 us", "time"), description="time between two packets; for the neighbour receive"
    )
    cores: list[int] = Field(
        default=[0, 0],
        min_length=2,
        max_length=8,
        description="the core of each virtual machine's vCPU, the measured one first; other cores than 0 "
        "need machine.set.l4.smp",
    )
    priorities: list[int] | None = Field(
        None, description="priority of each vCPU, the measured one first; by default all have 10, as in khvmm"
    )
    memory: list[Size] | None = Field(
        None, description="memory of each virtual machine, a multiple of 4 MiB; by default equal shares"
    )
    work: Duration = Field(
        default=parse("200 ms", "time"),
        description="as much work as the measured one does in this time when it is alone",
    )

    def memory_bytes(self) -> list[int | None]:
        """Memory of each virtual machine; None for an equal share of what the others leave."""
        if self.memory is None:
            return [None] * len(self.cores)
        return [int(each.value) for each in self.memory]

    @field_validator("packet_interval")
    @classmethod
    def _where_packets_come(cls, interval: Quantity, info: ValidationInfo) -> Quantity:
        if not parse("10 us", "time").value <= interval.value <= parse("1 s", "time").value:
            raise ValueError("packets come every 10 us to 1 s")
        default = cls.model_fields["packet_interval"].default
        if info.data.get("neighbour", "receive") != "receive" and interval != default:
            raise ValueError("changes nothing: only the neighbour receive is sent packets")
        return interval

    @field_validator("cores")
    @classmethod
    def _cores_exist(cls, cores: list[int]) -> list[int]:
        for core in cores:
            if not 0 <= core <= 3:
                raise ValueError(f"there is no core {core}; a node has cores 0 to 3")
        return cores

    @field_validator("priorities")
    @classmethod
    def _nobody_starves(cls, priorities: list[int] | None, info: ValidationInfo) -> list[int] | None:
        cores = info.data.get("cores")
        if priorities is None or cores is None:
            return priorities
        _one_each("priority", len(priorities), len(cores))
        for core, priority in zip(cores, priorities, strict=True):
            if not 1 <= priority <= 127:
                raise ValueError(f"priority {priority} is not below the VMM's, 128, and above 0")
            if core == cores[0] and priority > priorities[0]:
                raise ValueError(
                    f"a neighbour of priority {priority} on core {core} never waits, so that the measured "
                    f"virtual machine, of priority {priorities[0]}, would never run"
                )
        return priorities

    @field_validator("memory")
    @classmethod
    def _one_memory_each(cls, memory: list[Quantity] | None, info: ValidationInfo) -> list[Quantity] | None:
        cores = info.data.get("cores")
        if memory is not None and cores is not None:
            _one_each("memory", len(memory), len(cores))
        return memory

    @field_validator("work")
    @classmethod
    def _is_long_enough(cls, work: Quantity) -> Quantity:
        if not parse("1 ms", "time").value <= work.value <= parse("100 s", "time").value:
            raise ValueError("the work takes 1 ms to 100 s")
        return work


def _one_each(what: str, given: int, machines: int) -> None:
    if given != machines:
        raise ValueError(
            f"{machines} virtual machines (one for each of 'cores') need one {what} each, not {given}"
        )
