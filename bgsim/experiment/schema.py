"""What an experiment file may say: its sections, keys and types.

The models here check the form (keys, types, ranges); what a value means (does this parameter
exist, is this a torus) is checked in :mod:`bgsim.experiment.plan`. The JSON schema that editors
use is generated from the same models.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast, get_args

from pydantic import (
    BaseModel,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    TypeAdapter,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
)
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import CoreSchema, ErrorDetails, core_schema

from bgsim.experiment.errors import quoted, shown
from bgsim.experiment.form import Guest, Platform, Section, SectionOnDemand, Sweep
from bgsim.experiment.locate import Path
from bgsim.plugins import GUEST_GROUP, entries
from bgsim.spelling import did_you_mean
from bgsim.units import Quantity
from bgsim.workloads.catalogue import WORKLOADS

if TYPE_CHECKING:
    from bgsim.experiment.sections import (
        CalibrateSection,
        GreedySection,
        PrecisionSection,
        SensitivitySection,
    )
    from bgsim.workloads.any_config import WorkloadConfig
else:  # the models of sections are loaded, and built, only where the section is written
    CalibrateSection = Annotated[object, SectionOnDemand("CalibrateSection")]
    GreedySection = Annotated[object, SectionOnDemand("GreedySection")]
    PrecisionSection = Annotated[object, SectionOnDemand("PrecisionSection")]
    SensitivitySection = Annotated[object, SectionOnDemand("SensitivitySection")]
    WorkloadConfig = object

PLATFORMS: tuple[str, ...] = get_args(Platform)
GUESTS: tuple[str, ...] = get_args(Guest)

SEED_MAX = 2**63 - 1


class _Workload:
    """A workload's section, checked by the model of its kind alone, so the models of others are not built."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(cls.checked)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, written: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return handler(_built_in().core_schema)

    @staticmethod
    def checked(value: object) -> object:
        """The section as the model of its kind; the union of all knows what to say of another kind."""
        kind = value.get("kind") if isinstance(value, dict) else None
        if isinstance(kind, str) and kind in WORKLOADS:
            return WORKLOADS[kind].config.model_validate(value, strict=True)
        return _built_in().validate_python(value, strict=True)


@cache
def _built_in() -> TypeAdapter[WorkloadConfig]:
    from bgsim.workloads import any_config

    return TypeAdapter(any_config.WorkloadConfig)


def _added_guest(value: object, built_in: ValidatorFunctionWrapHandler) -> object:
    """The name of a guest that a plug-in adds is as good as one of ours."""
    if isinstance(value, str) and value not in GUESTS and value in entries(GUEST_GROUP):
        return value
    return built_in(value)


WorkloadSection = Annotated[WorkloadConfig, _Workload]

ParameterValues = Annotated[
    dict[str, Any],
    WithJsonSchema(
        {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}},
        mode="validation",
    ),
]
"""Datasheet parameters by name; the datasheet itself checks names and values."""


class Machine(Section):
    """A kind of hardware, and what is changed about it."""

    base: str = Field("bgp", description="the datasheet to start from")
    overlay: str | None = Field(
        None, description="a file of records believed instead of the datasheet's, as 'bgsim calibrate' writes"
    )
    set: ParameterValues = Field(
        default_factory=dict, description="what-if changes of datasheet parameters, by name"
    )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """A plain name is short for ``{base: name}``."""
        return {"anyOf": [{"type": "string", "description": "a datasheet as it is"}, handler(core_schema)]}


class Partition(Section):
    """The nodes of the job: a named topology, or a shape."""

    topology: str | None = Field(None, description="a file in topologies/, by name, or the path of one")
    shape: list[Any] | None = Field(
        None,
        description="nodes in X, Y, Z",
        json_schema_extra={"items": {"type": "integer", "minimum": 1}, "minItems": 3, "maxItems": 3},
    )
    torus: list[Any] | None = Field(
        None,
        description="whether X, Y, Z close to a ring; by default when all are whole midplanes",
        json_schema_extra={"items": {"type": "boolean"}, "minItems": 3, "maxItems": 3},
    )
    pset: int | None = Field(
        None, description="most compute nodes behind one I/O node; by default what the topology says, or 64"
    )
    mapping: str | None = Field(
        None,
        description="where ranks are placed: a permutation of XYZT, the fastest first, or a file of lines "
        "'x y z t'; by default what the topology says, or XYZT",
    )


def _none() -> list[str]:
    """No cures; pydantic would read the signature of ``list`` as source text."""
    return []


class ExperimentModel(Section):
    """An experiment: machine, partition, platforms, guest, workload, sweep, replications."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$", description="names the study and its directory"
    )
    description: str = Field("", description="one line for readers")
    machine: Machine = Field(default_factory=lambda: Machine.model_validate({}), description="the hardware")
    assume: ParameterValues = Field(
        default_factory=dict,
        description="what is believed of the real machine where the datasheet is a guess; also holds for the "
        "reference machine on which native times are matched",
    )
    cures: list[str] = Field(
        default_factory=_none,
        description="changes by name, or all, software, hardware; 'bgsim cures' lists them",
    )
    partition: Partition = Field(description="the nodes of the job")
    platforms: list[Platform] = Field(
        min_length=1, description="what the guest runs on, compared at every point"
    )
    guest: Annotated[Guest, WrapValidator(_added_guest)] | None = Field(
        None, description="the operating system; by default the workload's usual one"
    )
    workload: WorkloadSection = Field(description="the program, with the settings of its kind")
    sweep: Sweep = Field(
        default_factory=dict, description="dotted path to the values it takes; all combinations are run"
    )
    unsupported: Literal["refuse", "skip"] = Field(
        "refuse",
        description="combinations of guest, platform and workload that do not exist: refuse all, or "
        "skip them and say why",
    )
    greedy: GreedySection | None = Field(
        None, description="search from every point without cures for the best next cure, and the next"
    )
    calibrate: CalibrateSection | None = Field(
        None, description="free parameters fitted to data: read by 'bgsim calibrate'"
    )
    sensitivity: SensitivitySection | None = Field(
        None, description="which uncertain parameter matters: read by 'bgsim sensitivity'"
    )
    replications: int = Field(1, ge=1, le=1_000_000, description="runs of each point, with different seeds")
    precision: PrecisionSection | None = Field(
        None, description="how well results are to be known; replications are added until they are"
    )
    seed: int = Field(1, ge=0, le=SEED_MAX, description="the seeds of all replications derive from it")
    smoke: dict[str, Any] | None = Field(
        None, description="dotted path to value: what --smoke changes to finish in seconds"
    )


DIGEST = "_digest"
"""How keys of workloads end that are filled in when a run is planned: the hash of the file before it."""

KEYS = tuple(ExperimentModel.model_fields)
REQUIRED = tuple(name for name, field in ExperimentModel.model_fields.items() if field.is_required())


def form_problems(value: Mapping[str, Any]) -> tuple[ExperimentModel | None, list[tuple[Path, str, bool]]]:
    """Check the form of a whole experiment (its sweep already applied).

    Returns
    -------
    tuple
        The model, or None; and for each problem its path, its message, and whether the key (True)
        or the value (False) is what stands wrong.
    """
    try:
        return ExperimentModel.model_validate(value, strict=True), []
    except ValidationError as error:
        return None, [_explained(detail, value) for detail in error.errors(include_url=False)]


def _explained(detail: ErrorDetails, value: Mapping[str, Any]) -> tuple[Path, str, bool]:
    """One pydantic error in the words of this program."""
    kind, context = detail["type"], detail.get("ctx", {})
    path = _written_path(detail["loc"], value)
    if detail["type"] == "value_error":
        path = _owner(path, value)
    given = detail.get("input")
    if kind == "extra_forbidden":
        known = [key for key in _known_keys(path[:-1], value) if key != "kind"]
        near = did_you_mean(str(path[-1]), known)
        if path == ("workload", "neighbour"):
            kinds = [kind for kind in workload_kinds() if "neighbour" in WORKLOADS[kind].config.model_fields]
            return path, f"unknown key: beside other virtual machines there run {quoted(kinds)}", True
        return path, f"unknown key{near or f' (expected {quoted(known)})'}", True
    if kind == "missing":
        meaning = ExperimentModel.model_fields[str(path[0])].description if len(path) == 1 else None
        return path, f"missing: {meaning}" if meaning else "missing", True
    if kind == "union_tag_not_found":
        return (*path, "kind"), f"missing; expected {quoted(workload_kinds())}", True
    if kind == "union_tag_invalid":
        tag = str(context.get("tag"))
        kinds = workload_kinds()
        message = f"unknown workload '{tag}'{did_you_mean(tag, kinds)} (expected {quoted(kinds)})"
        return (*path, "kind"), message, False
    if kind == "literal_error":
        choices = [
            choice.strip("'") for choice in str(context.get("expected", "")).replace(" or ", ", ").split(", ")
        ]
        choices += entries(GUEST_GROUP) if path == ("guest",) else ()
        near = did_you_mean(given, choices) if isinstance(given, str) else ""
        return path, f"{shown(given)} is not known{near} (expected {quoted(choices)})", False
    if kind == "value_error":
        return path, str(context.get("error", detail["msg"])), False
    if kind == "string_pattern_mismatch" and path == ("name",):
        return path, f"{shown(given)} cannot name a directory: use letters, digits, '.', '-' and '_'", False
    said = _TYPE_WORDS.get(kind)
    if said:
        return path, f"expected {said}, got {shown(given)}", False
    message = detail["msg"].removeprefix("Input ")
    return path, f"{shown(given)} {message[0].lower()}{message[1:]}", False


_TYPE_WORDS = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
    "model_attributes_type": "a mapping of keys to values",
    "too_short": "at least one entry",
}


def _written_path(location: tuple[int | str, ...], value: Mapping[str, Any]) -> Path:
    """A pydantic location as the path the researcher wrote: without the tags of unions."""
    path: list[int | str] = []
    here: Any = value
    for index, step in enumerate(location):
        inside = isinstance(here, Mapping) and step in here
        inside = inside or (isinstance(here, list) and isinstance(step, int) and step < len(here))
        if not inside and index < len(location) - 1:
            continue  # the name of a union member
        if not inside and isinstance(here, (str, int, float, bool)) and index:
            continue
        path.append(step)
        here = here[step] if inside else None
    return tuple(path)


def _owner(path: Path, value: Mapping[str, Any]) -> Path:
    """The key that the researcher wrote, of one that is filled in from it: ``trace`` of ``trace_digest``."""
    name = str(path[-1])
    section = value.get(str(path[0])) if len(path) == 2 else None
    if not isinstance(section, Mapping) or name in section or not name.endswith(DIGEST):
        return path
    return (path[0], name.removesuffix(DIGEST))


def _known_keys(path: Path, value: Mapping[str, Any]) -> list[str]:
    if not path:
        return [*KEYS, "platform"]
    if path == ("workload",):
        return list(WORKLOADS[value["workload"]["kind"]].config.model_fields)
    from bgsim.experiment import sections as on_demand

    sections: dict[Path, type[BaseModel]] = {
        ("machine",): Machine,
        ("partition",): Partition,
        ("greedy",): on_demand.GreedySection,
        ("precision",): on_demand.PrecisionSection,
        ("sensitivity",): on_demand.SensitivitySection,
        ("calibrate",): on_demand.CalibrateSection,
    }
    if path[:2] == ("calibrate", "data"):
        return list(on_demand.Datum.model_fields)
    return list(sections[path].model_fields) if path in sections else []


def workload_kinds() -> list[str]:
    """The kinds of workload there are."""
    return list(WORKLOADS)


class _SchemaText(GenerateJsonSchema):
    """Writes the default of a quantity as the text a file would hold."""

    def encode_default(self, dft: Any) -> Any:
        return str(dft) if isinstance(dft, Quantity) else super().encode_default(dft)


def workload_config(section: Mapping[str, Any]) -> WorkloadConfig:
    """The configuration of a workload from a section that has been checked."""
    return cast(WorkloadConfig, WORKLOADS[section["kind"]].config.model_validate(section))


def json_schema(plugins: bool = True) -> dict[str, Any]:
    """The JSON schema of an experiment file, for editors.

    Parameters
    ----------
    plugins
        With what the installed plug-ins add; the shipped schema is without.
    """
    schema = ExperimentModel.model_json_schema(mode="validation", schema_generator=_SchemaText)
    properties = schema["properties"]
    one = properties["platforms"]["items"]
    listed = {**properties["platforms"]}
    properties["platforms"] = {
        "anyOf": [one, listed],
        "description": listed.pop("description"),
        "title": "Platforms",
    }
    properties["platform"] = {**properties["platforms"], "title": "Platform"}
    schema["required"] = [key for key in schema["required"] if key != "platforms"]
    swept = {"anyOf": [{"required": ["platform"]}, {"required": ["zip"]}]}
    unsaid = {"not": {"anyOf": [{"required": ["platforms"]}, {"required": ["platform"]}]}}
    schema["oneOf"] = [
        {"required": ["platforms"]},
        {"required": ["platform"]},
        {**unsaid, "required": ["sweep"], "properties": {"sweep": swept}},
    ]
    if plugins:
        _add_plugins(schema)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": "generated by: bgsim schema experiment",
        **schema,
        "title": "bgsim experiment",
    }


def _add_plugins(schema: dict[str, Any]) -> None:
    """Write the workloads and guests of the installed plug-ins into a schema."""
    properties, reference = schema["properties"], "#/$defs/{model}"
    for kind in WORKLOADS.added():
        model = WORKLOADS[kind].config
        added = model.model_json_schema(
            mode="validation", schema_generator=_SchemaText, ref_template=reference
        )
        schema["$defs"] |= added.pop("$defs", {}) | {model.__name__: added}
        target = reference.format(model=model.__name__)
        properties["workload"]["oneOf"].append({"$ref": target})
        properties["workload"]["discriminator"]["mapping"][kind] = target
    for names in properties["guest"]["anyOf"]:
        names.get("enum", []).extend(entries(GUEST_GROUP))
