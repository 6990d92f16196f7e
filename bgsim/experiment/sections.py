"""Sections of an experiment that say how a question is explored, such as precision and sensitivity."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema

from bgsim.experiment.form import Platform, Section

TextByName = Annotated[
    dict[str, Any],
    WithJsonSchema({"type": "object", "additionalProperties": {"type": "string"}}, mode="validation"),
]
"""Text by name; read by the module that knows what it means."""


class PrecisionSection(Section):
    """How well results are to be known; replications are added until they are."""

    targets: TextByName = Field(
        min_length=1, description="metric to target, such as 'relative half-width <= 2 % at 95 %'"
    )
    at_most: int = Field(
        100, ge=3, le=1_000_000, description="most replications of a point, whatever has been reached"
    )


def _software_then_hardware() -> list[str | list[str]]:
    return ["software", "hardware"]


class GreedySection(Section):
    """A search for the order in which cures should be built."""

    minimise: str = Field("elapsed_s", description="the metric that is improved")
    stages: list[str | list[str]] = Field(
        default_factory=_software_then_hardware,
        min_length=1,
        description="cures, lists of cures, or software, hardware, all: one stage after another",
    )
    platform: Platform = Field("virtual-machine", description="where the metric is taken")
    least_gain: float = Field(0.01, gt=0, lt=1, description="share of the metric that a step has to bring")


def _one_pipeline() -> list[str | list[str]]:
    """The prices of kernel paths come from one pipeline model, for either build of the kernel."""
    return ["l4.os.*", "l4.o2.*"]


class SensitivitySection(Section):
    """Which uncertain parameter a result rests on: read by ``bgsim sensitivity``."""

    method: Literal["morris", "sobol"] = Field(
        "morris", description="screening by elementary effects, or shares of the variance"
    )
    metric: str = Field("elapsed_s", description="the result that is explored")
    platform: str | None = Field(None, description="where it is taken; by default the last of the platforms")
    parameters: list[str] = Field(
        default_factory=lambda: ["*"],
        min_length=1,
        description="names or patterns of datasheet parameters; of those with a range that the runs read",
    )
    together: list[str | list[str]] = Field(
        default_factory=_one_pipeline,
        description="patterns, or lists of them, whose parameters move together, as one factor",
    )
    ranges: dict[str, list[Any]] = Field(
        default_factory=dict, description="name to low and high, instead of the datasheet's"
    )
    trajectories: int = Field(10, ge=2, le=10_000, description="of Morris: runs are this times factors + 1")
    levels: int = Field(4, ge=2, le=64, description="of Morris: values each factor takes")
    samples: int = Field(
        64, ge=2, le=2**20, description="of Sobol, a power of two: runs are this times factors + 2"
    )
    target: Literal["assume", "machine.set"] = Field(
        "assume",
        description="whether parameters are believed otherwise (native times are matched anew), or changed",
    )


class Datum(Section):
    """One measured number, and which run of the experiment should come out as it did."""

    name: str = Field(min_length=1, description="whose measurement, of what")
    metric: str = Field(description="what was measured")
    value: float = Field(description="the measured number, in the metric's unit")
    error: float | None = Field(
        None, gt=0, description="its standard error in the same unit; by default 5 % of the value"
    )
    platform: str | None = Field(None, description="where; by default the last of the platforms")
    at: dict[str, Any] = Field(default_factory=dict, description="swept path to value: at which point")


class CalibrateSection(Section):
    """Free parameters fitted to data by least squares: read by ``bgsim calibrate``."""

    data: list[Datum] = Field(
        min_length=1, description="what is fitted to; it can validate nothing afterwards"
    )
    parameters: dict[str, Any] = Field(
        min_length=1,
        description="parameter to [low, high] within which it is free, or null for the datasheet's range",
    )
    prior: bool = Field(
        False,
        description="count the datasheet's values as data too, with a quarter of their ranges as errors",
    )
    evaluations: int = Field(40, ge=2, le=10_000, description="most steps of the search")
