"""What the traffic workload accepts in an experiment file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
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
from bgsim.workloads.active_nodes import ALL, ActiveNodes
from bgsim.workloads.quantities import MessageSize

TrafficPattern = Literal[
    "shift",
    "antipodal",
    "random-permutation",
    "uniform-random",
    "all-to-all",
    "nearest-neighbour",
    "hotspot",
]


class TrafficConfig(BaseModel):
    """Operations posted back to back by many nodes: who waits for whom on the torus."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, defer_build=True)

    kind: Literal["traffic"]
    pattern: TrafficPattern = Field("antipodal", description="who communicates with whom")
    displacement: list[int] | None = Field(
        None,
        validate_default=True,
        json_schema_extra={"minItems": 3, "maxItems": 3},
        description="of the pattern shift: how far the partner is in X, Y, Z",
    )
    target: int = Field(0, ge=0, description="of the pattern hotspot: number of the hot node")
    permutation: str | None = Field(
        None,
        description="of the pattern random-permutation: a CSV file with source and destination instead of a "
        "drawn one; a shape such as 8x8x8 names a shipped one",
    )
    permutation_digest: str = Field(
        "", validate_default=True, description="SHA-256 of that file, filled in when the run is planned"
    )
    operation: Literal["put", "get", "send"] = Field(
        "put", description="one-sided write, one-sided read, or two-sided message (eager or rendezvous)"
    )
    completion: Literal["local", "remote"] = Field(
        "local", description="when a put counts as done: source reusable, or data at the target"
    )
    size: MessageSize = Field(
        default=parse("1 MiB", "bytes"), description="bytes per operation, at most 4 GiB"
    )
    posted: int = Field(
        100, ge=1, le=100_000, description="operations each active node posts back to back, to each partner"
    )
    active: str = Field(
        ALL,
        description="which nodes post, as a condition over x, y, z, node, X, Y, Z, nodes, such as "
        "x % 2 == 0; the others serve and route; all leaves the target of a hotspot out",
    )
    engine: Literal["auto", "packet", "flow", "reference"] = Field(
        "auto",
        description="compiled packets (also auto), max-min fair flows, or the readable packet simulator",
    )
    extrapolate: bool = Field(
        True, description="simulate a part of the operations where a steady state is shown, not all of them"
    )
    tolerance: float = Field(
        0.01, gt=0, le=0.2, description="how well two successive rates agree in a steady state"
    )

    link_load: bool = Field(
        False, description="keep in the record for which share of the run each link was busy, for the report"
    )

    @model_serializer(mode="wrap")
    def _without_switches_that_are_off(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A run that keeps no link loads is the run it was before there were any to keep."""
        section: dict[str, Any] = handler(self)
        if not section["link_load"]:
            del section["link_load"]
        return section

    @field_validator("link_load")
    @classmethod
    def _is_counted(cls, wanted: bool, info: ValidationInfo) -> bool:
        if wanted and info.data.get("engine") == "reference":
            raise ValueError("the readable packet simulator does not count by link")
        return wanted

    @field_validator("active")
    @classmethod
    def _is_condition(cls, text: str) -> str:
        ActiveNodes(text)
        return text

    @field_validator("size")
    @classmethod
    def _moves_something(cls, size: Quantity) -> Quantity:
        if size.value < 1:
            raise ValueError("an operation moves at least one byte")
        return size

    @field_validator("displacement", "target", "permutation", "completion")
    @classmethod
    def _belongs(cls, value: object, info: ValidationInfo) -> object:
        """Refuse settings that the pattern or operation has no use for."""
        field = str(info.field_name)
        chooser, owner, absent = _ONLY_WITH[field]
        if chooser not in info.data:
            return value  # what it belongs to is wrong itself, which is said there
        chosen = info.data[chooser]
        if field == "displacement" and value is None and chosen == owner:
            raise ValueError("the pattern shift needs one, such as [3, 3, 1]")
        if isinstance(value, list) and len(value) != len("XYZ"):
            raise ValueError(f"expected three whole numbers, in X, Y and Z, got {value}")
        if value != absent and chosen != owner:
            raise ValueError(f"only the {chooser} {owner} has one, not {chosen}")
        return value

    @field_validator("permutation_digest")
    @classmethod
    def _of_file(cls, digest: str, info: ValidationInfo) -> str:
        name = info.data.get("permutation")
        if name is None or digest:
            return digest
        return hashlib.sha256(permutation_bytes(name)).hexdigest()


_ONLY_WITH: Mapping[str, tuple[str, str, object]] = {
    "displacement": ("pattern", "shift", None),
    "target": ("pattern", "hotspot", 0),
    "permutation": ("pattern", "random-permutation", None),
    "completion": ("operation", "put", "local"),
}
"""Fields of the traffic workload that belong to one value of another, and their value when absent."""


def permutation_bytes(name: str) -> bytes:
    """Content of a permutation file: a shipped one, named by its shape, or a path.

    Raises
    ------
    ValueError
        There is no such file.
    """
    measured = Path(__file__).parent.parent / "validation_data" / "measured"
    shipped = measured / f"permutation_{name}.csv"
    try:
        return shipped.read_bytes() if shipped.is_file() else Path(name).read_bytes()
    except OSError as error:
        raise ValueError(f"{name}: {(error.strerror or str(error)).lower()}") from None
