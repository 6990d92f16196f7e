"""Who else is on the node of a workload: what experiment files say of its other virtual machines.

Kept free of heavy imports, as :mod:`bgsim.workloads.configs`, whose sections contain this.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
)

from bgsim.units import Quantity, parse
from bgsim.workloads.quantities import Duration, Size

VCPU_PRIORITY = 10
"""What the VMM gives every vCPU (khvmm ``config.h``)."""


class SharedNodeConfig(BaseModel):
    """Who else is on the node, of every workload that can run in one of several virtual machines."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, defer_build=True)

    kind: str
    neighbour: Literal[
        "none",
        "idle",
        "compute",
        "random-walk",
        "device-reads",
        "forbidden-sends",
        "wild-accesses",
        "receive",
    ] = Field(
        "none",
        description="what every other virtual machine of the node runs, for ever: there is none; nothing "
        "(its idle loop spins); computation without exits; loads from random pages; loads of a device "
        "register; descriptors to a node it may not send to; accesses to memory beyond its segment; "
        "reception of packets that another node sends over the collective network",
    )
    packet_interval: Duration = Field(
        default=parse("500 us", "time"), description="time between two packets; for the neighbour receive"
    )
    cores: list[int] = Field(
        default=[0, 0],
        min_length=1,
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

    @property
    def has_neighbours(self) -> bool:
        """Whether there are other virtual machines on the node."""
        return self.neighbour != "none"

    def memory_bytes(self) -> list[int | None]:
        """Memory of each virtual machine; None for an equal share of what the others leave."""
        if self.memory is None:
            return [None] * len(self.cores)
        return [int(each.value) for each in self.memory]

    @model_serializer(mode="wrap")
    def _as_said(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = write(self)
        for name in self._unsaid():
            written.pop(name, None)
        return written

    def _unsaid(self) -> tuple[str, ...]:
        """Keys that a record does without: all of them for a run that is alone, as if there were none."""
        if not self.has_neighbours:
            return _KEYS
        return tuple(name for name in _KEYS[2:] if getattr(self, name) == _default(name))

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
    def _cores_exist(cls, cores: list[int], info: ValidationInfo) -> list[int]:
        for core in cores:
            if not 0 <= core <= 3:
                raise ValueError(f"there is no core {core}; a node has cores 0 to 3")
        neighbour = info.data.get("neighbour")
        if neighbour == "none" and cores != [0]:
            raise ValueError(f"changes nothing: {_NOBODY}; alone it has core 0")
        if neighbour not in (None, "none") and len(cores) < 2:
            raise ValueError("a neighbour needs a core too: at least 2 of them, the measured one's first")
        return cores

    @field_validator("priorities")
    @classmethod
    def _nobody_starves(cls, priorities: list[int] | None, info: ValidationInfo) -> list[int] | None:
        cores = info.data.get("cores")
        if priorities is None or cores is None:
            return priorities
        _not_alone(info)
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
            _not_alone(info)
            _one_each("memory", len(memory), len(cores))
        return memory


_NOBODY = "there is no 'neighbour'"


def _not_alone(info: ValidationInfo) -> None:
    if info.data.get("neighbour") == "none":
        raise ValueError(f"changes nothing: {_NOBODY}")


def _one_each(what: str, given: int, machines: int) -> None:
    if given != machines:
        raise ValueError(
            f"{machines} virtual machines (one for each of 'cores') need one {what} each, not {given}"
        )


_KEYS = ("neighbour", "cores", "packet_interval", "priorities", "memory")


def _default(name: str) -> Any:
    return SharedNodeConfig.model_fields[name].default
