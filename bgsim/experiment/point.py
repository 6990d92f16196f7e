"""One point of a sweep: the experiment there, and where each of its parts was written.

A point is the experiment with the swept values in their places, derived values calculated, and platforms that
the conditions exclude taken out. What is wrong there is reported where the researcher wrote it: at a value of
an axis, at an expression, or in the experiment itself.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

from bgsim.experiment.derived import PointValues, Rules
from bgsim.experiment.errors import ExperimentError, Problem
from bgsim.experiment.identity import canonical
from bgsim.experiment.labels import brief
from bgsim.experiment.locate import Document, Path, Place, dotted, split_path
from bgsim.experiment.overlay import Overlay, find
from bgsim.experiment.overlay import load as load_overlay
from bgsim.experiment.partition import Topology
from bgsim.experiment.resolve import (
    Finding,
    machine_findings,
    partition_findings,
)
from bgsim.experiment.sweep import PLATFORM, Axis
from bgsim.expressions import ExpressionError

if TYPE_CHECKING:
    from bgsim.experiment.schema import ExperimentModel


@dataclass
class PointMaker:
    """Makes the points of one document, and collects what is wrong with them.

    Attributes
    ----------
    document
        The experiment.
    beside
        The directory its relative paths start from.
    problems, remarks
        What was found so far.
    rules
        Derived values and conditions of the sweep.
    excluded
        How many points, or platforms at a point, the conditions have excluded.
    """

    document: Document
    beside: FilePath | None
    problems: list[Problem] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    rules: Rules = field(default_factory=Rules)
    excluded: int = 0
    sections: dict[str, Topology | None] = field(default_factory=dict)
    overlays: dict[str, Overlay | None] = field(default_factory=dict)
    refused: set[Path] = field(default_factory=set)

    def problem(self, path: Path, message: str, on_key: bool = False) -> None:
        """Note a problem at a path of the experiment."""
        place = self.document.place_of_key(path) if on_key else self.document.place_of_value(path)
        self.problems.append(Problem(str(place), dotted(path), message))

    def problem_at(
        self, axes: list[Axis], indexes: tuple[int, ...], path: Path, message: str, on_key: bool
    ) -> None:
        """Note a problem of one point where it was written: at a swept value, or in the experiment."""
        for axis, index in zip(axes, indexes, strict=True):
            for _, steps, _, where in axis.settings(index):
                if path[: len(steps)] == steps:
                    place_of = self.document.place_of_key if on_key else self.document.place_of_value
                    place = place_of(where[:-1] if on_key else where)
                    self.problems.append(Problem(str(place), dotted(path), message))
                    return
        for derived in self.rules.derived:
            if path[: len(split_path(derived.path))] == split_path(derived.path):
                said = f"derived by '{derived.expression.text}': {message}"
                self.rule_problem(derived.place, said, {})
                return
        self.problem(path, message, on_key)

    def report(self, axes: list[Axis], indexes: tuple[int, ...], findings: Iterable[Finding]) -> None:
        """Note findings: problems where they were written, remarks unless they are swept."""
        for finding in findings:
            if not finding.remark:
                self.problem_at(axes, indexes, finding.path, finding.message, finding.on_key)
            elif not any(_covers(axis, finding.path) for axis in axes):
                place = self.document.place_of_value(finding.path)
                self.remarks.append(f"{place}: {dotted(finding.path)}: {finding.message}")

    def at(self, axes: list[Axis], indexes: tuple[int, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The experiment at one point, and the point itself."""
        value = {key: item for key, item in self.document.value.items() if key != "sweep"}
        value = copy.deepcopy(value) if axes else value
        point = {}
        here = Document(value, self.document.source)
        for axis, index in zip(axes, indexes, strict=True):
            for path, steps, chosen, where in axis.settings(index):
                if path == PLATFORM:
                    value["platforms"] = [chosen]
                    continue
                point[path] = chosen
                refused = here.put(steps, copy.deepcopy(chosen), Place(""))
                if refused:
                    self.problem(where[:-1], refused, on_key=True)
                if isinstance(value.get("machine"), str):
                    value["machine"] = {"base": value["machine"]}
                if isinstance(value.get("cures"), str):
                    value["cures"] = [value["cures"]]
        for derived in self.rules.derived:
            try:
                chosen = derived.at(PointValues(self.rules, point, value, lambda: self.nodes_at(value)))
            except ExpressionError as error:
                self.rule_problem(derived.place, str(error), point)
                continue
            point[derived.path] = chosen
            refused = here.put(split_path(derived.path), chosen, Place(""))
            if refused:
                self.rule_problem(derived.place, refused, point)
        return value, point

    def kept(self, value: dict[str, Any], point: Mapping[str, Any]) -> bool:
        """Whether a point is run; platforms that are not run there are taken out of it."""
        platforms = value.get("platforms")
        if not self.rules.conditions or not isinstance(platforms, list):
            return True

        def keeps(platform: Any) -> bool:
            values = PointValues(self.rules, point, value, lambda: self.nodes_at(value), platform)
            return self.rules.keeps(values, lambda place, message: self.rule_problem(place, message, point))

        left = [platform for platform in platforms if keeps(platform)]
        self.excluded += not left if len(left) in (0, len(platforms)) else len(platforms) - len(left)
        value["platforms"] = left
        return bool(left)

    def rule_problem(self, place: Path, message: str, point: Mapping[str, Any]) -> None:
        """Note a problem of a derived value or a condition, at the first point at which it shows."""
        if place not in self.refused:
            self.refused.add(place)
            self.problem(place, f"at {point_text(point)}: {message}" if point else message)

    def nodes_at(self, value: Mapping[str, Any]) -> int:
        """The size of the partition at one point, or KeyError where the partition is wrong."""
        partition = value.get("partition")
        key = canonical(["nodes", partition])
        if key not in self.sections:
            try:
                found = partition_findings(partition, self.beside)[0] if isinstance(partition, dict) else None
            except ExperimentError:
                found = None  # reported with the partition
            self.sections[key] = found
        topology = self.sections[key]
        if topology is None:
            raise KeyError("nodes")
        return math.prod(topology.shape)

    def check_sections(
        self, axes: list[Axis], indexes: tuple[int, ...], value: Mapping[str, Any]
    ) -> Topology | None:
        """Look up the machine and the partition of one point; equal sections are looked up once."""
        machine, partition = value.get("machine", {}), value.get("partition")
        machine = machine if isinstance(machine, dict) else {}
        assume = value.get("assume", {})
        key = canonical([machine, assume, partition])
        if key not in self.sections:
            findings = machine_findings(machine, assume)
            topology = None
            if isinstance(partition, dict):
                try:
                    topology, more = partition_findings(partition, self.beside)
                    findings += more
                except ExperimentError as error:
                    self.problems += error.problems
            self.report(axes, indexes, findings)
            self.sections[key] = topology
        return self.sections[key]

    def overlay_at(
        self, axes: list[Axis], indexes: tuple[int, ...], model: ExperimentModel
    ) -> Overlay | None:
        """The overlay that a point's machine names, or None; each file is read once."""
        name = model.machine.overlay
        if name is None:
            return None
        if name not in self.overlays:
            self.overlays[name] = None
            path = find(name, self.beside)
            if not path.is_file():
                self.problem_at(axes, indexes, ("machine", "overlay"), f"no such file: {path}", False)
                return None
            try:
                self.overlays[name] = load_overlay(path)
            except ExperimentError as error:
                self.problems += error.problems
        overlay = self.overlays[name]
        if overlay is None:
            return None
        if overlay.base != model.machine.base:
            said = f"belongs to the machine '{overlay.base}', not to '{model.machine.base}'"
            self.problem_at(axes, indexes, ("machine", "overlay"), said, False)
        for twice in overlay.values.keys() & model.assume.keys():
            place = self.document.place_of_key(("assume", twice))
            self.remarks.append(
                f"{place}: assume.{twice}: the overlay says this too; what stands here counts"
            )
        return overlay

    def located(self, value: dict[str, Any]) -> dict[str, Any]:
        """The experiment with paths of its workload, relative to the experiment file, written out.

        Permutations and cost models may also be names of shipped ones, or relative to the working directory.
        """
        workload = value.get("workload")
        if not isinstance(workload, dict):
            return value
        beside = self.beside or FilePath()
        located = {
            key: str(beside / name)
            for key, name in workload.items()
            if isinstance(name, str)
            and (key == "trace" or (key in ("permutation", "cost_model") and (beside / name).is_file()))
        }
        return {**value, "workload": {**workload, **located}}


def _covers(axis: Axis, path: Path) -> bool:
    return any(path[: len(steps)] == steps for steps in map(split_path, axis.paths))


def point_text(point: Mapping[str, Any]) -> str:
    """A point for a message: ``(tlb.entries=64, program=lcc)``."""
    return "(" + ", ".join(f"{path}={brief(value)}" for path, value in point.items()) + ")"
