"""What the sections of an experiment file have in common, and the form of a sweep."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, Literal, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    TypeAdapter,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

Platform = Literal["bare-metal", "hybrid", "l4-native", "virtual-machine"]
Guest = Literal["kittyhawk-linux", "cnk", "zeptoos", "zeptoos-bigmemory", "l4-app"]

_RANGE = {
    "type": "object",
    "description": "a range: from and to, with one of step, factor and points",
    "properties": {
        **{key: {"type": ["number", "string"]} for key in ("from", "to", "step")},
        "factor": {"type": "number", "exclusiveMinimum": 1},
        "points": {"type": "integer", "minimum": 2},
        "scale": {"enum": ["linear", "log"]},
    },
    "required": ["from", "to"],
    "additionalProperties": False,
}
_VALUES = {"anyOf": [{"type": "array", "minItems": 1}, _RANGE]}
_AXES = {"type": "object", "additionalProperties": _VALUES}
_TEXTS = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
_DERIVED = {
    "type": "object",
    "properties": {"value": {"type": "string"}, "unit": {"type": "string"}},
    "required": ["value", "unit"],
    "additionalProperties": False,
}
Sweep = Annotated[
    dict[str, Any],
    WithJsonSchema(
        {
            "type": "object",
            "properties": {
                "zip": {
                    "description": "paths that vary together, with equally many values",
                    "anyOf": [_AXES, {"type": "array", "items": _AXES}],
                },
                "derive": {
                    "description": "path to an expression that is evaluated at every point",
                    "type": "object",
                    "additionalProperties": {"anyOf": [{"type": "string"}, _DERIVED]},
                },
                "where": {"description": "conditions that a point has to satisfy", **_TEXTS},
            },
            "additionalProperties": _VALUES,
        },
        mode="validation",
    ),
]
"""Swept paths with their values; read by :mod:`bgsim.experiment.sweep`."""


class Section(BaseModel):
    """A part of an experiment: no unknown keys, no silent conversions."""

    model_config = ConfigDict(extra="forbid", strict=True, defer_build=True)


class SectionOnDemand:
    """A section whose model is loaded, and its validator built, only where the section is written.

    Parameters
    ----------
    name
        Of the model in :mod:`bgsim.experiment.sections`.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    @cached_property
    def model(self) -> type[BaseModel]:
        """The model itself."""
        from bgsim.experiment import sections

        found: type[BaseModel] = getattr(sections, self.name)
        return found

    def checked(self, value: object) -> object:
        """The section as its model; pydantic puts where it stands before what is wrong inside."""
        return self.model.model_validate(value, strict=True)

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.checked)

    def __get_pydantic_json_schema__(
        self, written: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        reference = f"{self.model.__module__}.{self.name}:0"
        model = cast(CoreSchema, {**TypeAdapter(self.model).core_schema, "ref": reference})
        named = core_schema.definition_reference_schema(reference)
        return handler(core_schema.definitions_schema(named, [model]))
