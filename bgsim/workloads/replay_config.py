"""What the replay workload accepts in an experiment file; the trace itself is read when it is planned."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, ValidationInfo, field_validator

from bgsim.traces.errors import TraceError
from bgsim.traces.files import Dialect, ImportOptions, TraceFormat, digest, format_of
from bgsim.units import Quantity, parse
from bgsim.workloads.machine_configs import MachineTierConfig
from bgsim.workloads.quantities import ProgramTime

NETWORK: Literal["packet"] = "packet"
"""What ``auto`` stands for."""


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{value!r} is not a number")
    if not abs(value) <= sys.float_info.max:
        raise ValueError("expected a finite number")
    return float(value)


Number = Annotated[float, BeforeValidator(_number), PlainSerializer(float)]


class ReplayConfig(MachineTierConfig):
    """A message trace, run on the partition."""

    kind: Literal["replay"]
    trace: str = Field(description="the trace file, relative to the experiment file")
    format: TraceFormat = Field(
        "auto",
        validate_default=True,
        description="bgsim's own, a GOAL schedule of LogGOPSim, or a time-independent SimGrid trace",
    )
    calc_unit: ProgramTime = Field(
        default=parse("1 ns", "time"),
        validate_default=True,
        description="of a GOAL schedule: what one unit of calc is, at most a day",
    )
    flops_per_s: Number | None = Field(
        None, gt=0, validate_default=True, description="of a SimGrid trace: how fast a core computes"
    )
    dialect: Dialect = Field(
        "auto",
        validate_default=True,
        description="of a SimGrid trace: new has tags (SimGrid 3.20 and later), old has none",
    )
    tier: Literal["machine"] = Field("machine", description="compiled, with a cost model")
    collectives: Literal["auto", "collective-network", "binomial", "ring"] = Field(
        "auto",
        description="how broadcast, reduce, allreduce and allgather go: over the collective network, or over "
        "the torus; auto is the network where every node has a rank, and binomial elsewhere",
    )
    compute_scale: Number = Field(1.0, ge=0, description="multiplies all computation of the trace")
    trace_digest: str = Field(
        "",
        validate_default=True,
        description="SHA-256 of the trace, filled in when the run is planned",
    )

    @property
    def path(self) -> Path:
        """The trace file."""
        return Path(self.trace)

    @property
    def options(self) -> ImportOptions:
        """What is said about a trace of another simulator."""
        return ImportOptions(self.calc_unit.value, self.flops_per_s, self.dialect)

    @field_validator("format")
    @classmethod
    def _found_out(cls, chosen: TraceFormat, info: ValidationInfo) -> TraceFormat:
        """Put the format that a trace has in place of ``auto``."""
        trace = info.data.get("trace")
        if trace is None or chosen != "auto" or not Path(trace).is_file():
            return chosen
        try:
            return format_of(Path(trace))
        except TraceError:
            return chosen  # what is wrong with the file is said of the trace

    @field_validator("calc_unit", "flops_per_s", "dialect")
    @classmethod
    def _belongs(cls, value: object, info: ValidationInfo) -> object:
        """Refuse settings that this format of trace has no use for."""
        name, chosen = str(info.field_name), info.data.get("format")
        owner = "goal" if name == "calc_unit" else "simgrid"
        default = cls.model_fields[name].default
        same = value == default or (isinstance(value, Quantity) and value.value == default.value)
        if chosen in ("bgsim", "goal", "simgrid") and chosen != owner and not same:
            raise ValueError(f"only a {owner} trace has a use for this, and the trace is {chosen}")
        return value

    @field_validator("trace_digest")
    @classmethod
    def _of_trace(cls, given: str, info: ValidationInfo) -> str:
        if given or any(
            name not in info.data
            for name in cls.model_fields
            if name not in ("trace_digest", "cost_model_digest")
        ):
            return given
        path = Path(info.data["trace"])
        if not path.is_file():
            raise ValueError(f"{'a directory, not a trace' if path.is_dir() else 'no such file'}: {path}")
        options = ImportOptions(info.data["calc_unit"].value, info.data["flops_per_s"], info.data["dialect"])
        found = digest(path, info.data["format"])
        from bgsim.traces.loaded import checked  # it brings numpy, and few experiments replay anything

        checked(path, info.data["format"], options, found)
        return found
