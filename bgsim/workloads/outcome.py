"""What a workload hands back to the experiment floor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]


class ExitRow(TypedDict):
    """One cause of exits from guest execution, named by the kernel's own counter."""

    cause: str
    count: int
    cycles_l4: int
    cycles_vmm: int


@dataclass(frozen=True)
class Outcome:
    """The result of one run, before the harness adds identity and provenance.

    Attributes
    ----------
    metrics
        Name to number; every name is registered in ``bgsim.experiment.metrics``.
    exits
        One row per exit cause, in decreasing order of cycles.
    attribution
        Cause to core cycles. The values add up to the run's cycles exactly.
    details
        Documented extras of the workload: how work was scaled, sensitivity rows, histograms.
    warnings
        What the researcher should know, such as settings that were not followed to the letter.
    """

    metrics: dict[str, int | float]
    exits: list[ExitRow] = field(default_factory=list)
    attribution: dict[str, int] = field(default_factory=dict)
    details: dict[str, Json] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
