"""Sections of an experiment that say how a question is explored: precision, sensitivity, calibration."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

TextByName = Annotated[
    dict[str, Any],
    WithJsonSchema({"type": "object", "additionalProperties": {"type": "string"}}, mode="validation"),
]
"""Text by name; read by the module that knows what it means."""


class Section(BaseModel):
    """A part of an experiment: no unknown keys, no silent conversions."""

    model_config = ConfigDict(extra="forbid", strict=True)


class PrecisionSection(Section):
    """How well results are to be known; replications are added until they are."""

    targets: TextByName = Field(
        min_length=1, description="metric to target, such as 'relative half-width <= 2 % at 95 %'"
    )
    at_most: int = Field(
        100, ge=3, le=1_000_000, description="most replications of a point, whatever has been reached"
    )
