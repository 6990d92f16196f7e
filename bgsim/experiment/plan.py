"""From an experiment to its runs: everything is checked before anything is simulated.

An experiment is read, shorthand is written out, ``--smoke`` and ``--set`` are applied, and every
point of the sweep is checked on its own, since a swept value may be wrong only there. All
problems are reported together. What comes out is a list of :class:`Run`, each a complete
configuration in plain JSON that any process on any machine can execute.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

from bgsim.cures import expanded
from bgsim.experiment.derived import PointValues, Rules, read_rules
from bgsim.experiment.errors import ExperimentError, Problem, shown
from bgsim.experiment.identity import MODEL_VERSION, canonical, run_id, seed_of_replication
from bgsim.experiment.labels import brief
from bgsim.experiment.locate import Document, Path, Place, dotted, split_path
from bgsim.experiment.overlay import Overlay, find
from bgsim.experiment.overlay import load as load_overlay
from bgsim.experiment.partition import Topology
from bgsim.experiment.precision import Precision, read_precision
from bgsim.experiment.resolve import (
    Finding,
    cure_findings,
    greedy_findings,
    machine_findings,
    partition_findings,
    placement_findings,
    plugins_used,
    refusals,
    support_findings,
)
from bgsim.experiment.sections import CalibrateSection, SensitivitySection
from bgsim.experiment.settings import Overrides, Setting, Source, read, settings
from bgsim.experiment.sweep import PLATFORM, Axis, covering, fixed, points, read_axes
from bgsim.expressions import ExpressionError

if TYPE_CHECKING:
    from bgsim.experiment.schema import ExperimentModel, Platform


@dataclass(frozen=True)
class Run:
    """One point, platform and replication.

    Attributes
    ----------
    experiment
        Name of the experiment; not part of the identity.
    config
        Everything that affects the answer, resolved, in plain JSON.
    point
        Swept path to value, as written in the experiment.
    """

    experiment: str
    config: Mapping[str, Any]
    point: Mapping[str, Any]

    @cached_property
    def run_id(self) -> str:
        """The hash of everything that affects the answer."""
        return run_id(self.config)

    @property
    def label(self) -> str:
        """A few words for progress lines: the point, the platform, the replication."""
        words = [f"{path.split('.')[-1]}={brief(value)}" for path, value in self.point.items()]
        words.append(str(self.config["platform"]))
        if self.config["replication"]:
            words.append(f"replication {self.config['replication']}")
        return " ".join(words)


@dataclass(frozen=True, slots=True)
class Experiment:
    """A checked experiment.

    Attributes
    ----------
    name
        Names the study.
    runs
        Every run: points in grid order, then platforms, then replications.
    axes
        The swept paths.
    remarks
        What is odd but allowed, one line each, with its place.
    smoke
        Whether the reduced form was asked for; ``has_smoke`` says whether there is one.
    greedy
        What is searched for once all runs are done: the checked section.
    excluded
        How many points, or platforms at a point, the sweep's conditions exclude.
    precision
        How well results are to be known; runs are added until they are.
    sensitivity
        What ``bgsim sensitivity`` is to explore.
    calibrate
        What ``bgsim calibrate`` is to fit.
    skipped
        How many combinations of guest, platform and workload were left out because nothing runs there.
    """

    name: str
    description: str
    runs: tuple[Run, ...]
    axes: tuple[Axis, ...]
    platforms: tuple[str, ...]
    replications: int
    seed: int
    remarks: tuple[str, ...]
    smoke: bool
    has_smoke: bool
    greedy: Mapping[str, Any] | None = None
    excluded: int = 0
    skipped: int = 0
    precision: Precision | None = None
    sensitivity: SensitivitySection | None = None
    calibrate: CalibrateSection | None = None

    @property
    def points(self) -> int:
        """How many points there are, platforms and replications apart."""
        return len({canonical(run.point) for run in self.runs})

    @property
    def directory(self) -> FilePath:
        """Where the study goes unless said otherwise: ``results/NAME``."""
        return FilePath("results") / (f"{self.name}-smoke" if self.smoke else self.name)


def load(
    source: Source, overrides: Overrides = (), *, smoke: bool = False, seed: int | None = None
) -> Experiment:
    """Read and check an experiment; nothing is simulated.

    Parameters
    ----------
    source
        Path of a YAML file, the name of a shipped experiment, or the experiment as a mapping.
    overrides
        ``path=value`` texts as for ``--set``, or a mapping of dotted paths to values.
    smoke
        Apply the experiment's ``smoke`` section first.
    seed
        Replaces the experiment's seed.

    Raises
    ------
    ExperimentError
        With every problem found, each with its place.
    """
    document, beside = read(source)
    if not isinstance(document.value, dict):
        wanted = "an experiment is a mapping with name, partition, platforms and workload"
        raise ExperimentError([Problem(document.source, "", f"{wanted}, not {shown(document.value)}")])
    return _Planner(document, beside, smoke).plan(settings(overrides), seed)


@dataclass
class _Planner:
    """Applies settings to one document and checks every point of it."""

    document: Document
    beside: FilePath | None
    smoke: bool
    problems: list[Problem] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    sections: dict[str, Topology | None] = field(default_factory=dict)
    greedy: Mapping[str, Any] | None = None
    rules: Rules = field(default_factory=Rules)
    excluded: int = 0
    skipped: int = 0
    precision: Precision | None = None
    sensitivity: SensitivitySection | None = None
    calibrate: CalibrateSection | None = None
    overlays: dict[str, Overlay | None] = field(default_factory=dict)
    refused: set[Path] = field(default_factory=set)

    def plan(self, overrides: list[Setting], seed: int | None) -> Experiment:
        document = self.document
        self.write_out_shorthand()
        has_smoke = bool(document.value.get("smoke"))
        self.apply_smoke()
        for setting in overrides:
            self.apply(setting, told=True)
        if seed is not None:
            document.put(("seed",), seed, Place(f"--seed {seed}"))
        axes, wrong = read_axes(document)
        self.problems += wrong
        if "platforms" in document.value and self.sweeps_platform():
            said = "'platform' is swept, which says this already; keep one"
            self.problem(("platforms",), said, on_key=True)
        self.rules = read_rules(document, axes, self.problem)
        runs = self.runs([] if wrong or self.problems else axes)
        if self.excluded and not runs and not self.problems:
            self.problem(("sweep", "where"), "no point satisfies the conditions", on_key=True)
        if self.skipped and not runs and not self.problems:
            self.problem(("unsupported",), "nothing is left to run: every combination is skipped")
        if self.problems:
            raise ExperimentError(sorted(dict.fromkeys(self.problems), key=_position))
        value = document.value
        return Experiment(
            name=value["name"],
            description=value.get("description", ""),
            runs=tuple(runs),
            axes=tuple(axes),
            platforms=tuple(dict.fromkeys(run.config["platform"] for run in runs)),
            replications=value.get("replications", 1),
            seed=value.get("seed", 1),
            remarks=tuple(dict.fromkeys(self.remarks)),
            smoke=self.smoke,
            has_smoke=has_smoke,
            greedy=self.greedy,
            excluded=self.excluded,
            skipped=self.skipped,
            precision=self.precision,
            sensitivity=self.sensitivity,
            calibrate=self.calibrate,
        )

    def problem(self, path: Path, message: str, on_key: bool = False) -> None:
        place = self.document.place_of_key(path) if on_key else self.document.place_of_value(path)
        self.problems.append(Problem(str(place), dotted(path), message))

    def sweeps_platform(self) -> bool:
        return fixed(self.document, PLATFORM, None) is not None

    def write_out_shorthand(self) -> None:
        """``machine: bgp`` becomes ``{base: bgp}``, ``platform: x`` becomes ``platforms: [x]``."""
        document, value = self.document, self.document.value
        if isinstance(value.get("machine"), str):
            value["machine"] = {"base": value["machine"]}
        if isinstance(value.get("cures"), str):
            value["cures"] = [value["cures"]]
        if "platform" in value:
            if "platforms" in value:
                self.problem(("platform",), "'platforms' is given too; keep one", on_key=True)
                del value["platform"]
            else:
                value["platforms"] = value.pop("platform")
                for places in (document.keys, document.values):
                    for known in [known for known in places if known[:1] == ("platform",)]:
                        places[("platforms", *known[1:])] = places.pop(known)
        if isinstance(value.get("platforms"), str):
            value["platforms"] = [value["platforms"]]

    def apply_smoke(self) -> None:
        section = self.document.value.pop("smoke", None)
        if section is not None and not isinstance(section, dict):
            self.problem(("smoke",), f"expected dotted paths with values, got {shown(section)}")
        elif self.smoke and not section:
            self.problem(("smoke",), "there is no smoke section, so --smoke would change nothing")
        elif self.smoke and section:
            for path, value in section.items():
                self.apply(Setting(path, value, self.document.place_of_value(("smoke", path))))

    def apply(self, setting: Setting, told: bool = False) -> None:
        """Write one setting into the document; on a swept path it fixes that axis."""
        document = self.document
        path = split_path("platforms" if setting.path == "platform" else setting.path)
        whole = covering(document, setting.path)
        axis = fixed(document, setting.path, setting.value)
        if "" in path:
            refused = "an empty name between dots"
        elif path[0] == "smoke":
            refused = "only --smoke reads the smoke section, so setting it would change nothing"
        elif whole:
            refused = f"changes nothing, since '{whole}' is swept as a whole"
        elif axis is not None:
            refused = document.put(*axis, setting.place)
            if told:
                remark = f"{setting.path} is swept; it is fixed at {shown(setting.value)}"
                self.remarks.append(f"{setting.place}: {remark}")
        else:
            refused = document.put(path, copy.deepcopy(setting.value), setting.place)
            self.write_out_shorthand()
        if refused:
            self.problems.append(Problem(str(setting.place), setting.path, refused))

    def runs(self, axes: list[Axis]) -> list[Run]:
        """Every run of the grid; complete only when no problem was found."""
        from bgsim.experiment.schema import form_problems
        from bgsim.workloads.catalogue import WORKLOADS
        from bgsim.workloads.support import usual_guest

        found: list[Run] = []
        seen: dict[str, Mapping[str, Any]] = {}
        for indexes in points(axes):
            value, point = self.at(axes, indexes)
            if axes and not self.kept(value, point):
                continue
            model, form = form_problems(self._located(value))
            for path, message, on_key in form:
                if path == ("platforms",) and self.problems and self.sweeps_platform():
                    continue  # said where the sweep is wrong
                self.problem_at(axes, indexes, path, message, on_key)
            if model is not None and len(set(model.platforms)) < len(model.platforms):
                self.problem(("platforms",), "a platform is listed twice")
            topology = self.check_sections(axes, indexes, value)
            if model is None:
                continue
            kind = model.workload.kind
            partition = model.partition.model_dump()
            platforms = self.supported(model) if model.unsupported == "skip" else model.platforms
            if not platforms:
                continue
            self.report(
                axes,
                indexes,
                support_findings(kind, platforms, model.guest, topology, partition, model.workload),
            )
            self.report(axes, indexes, cure_findings(model.cures, model.machine.set, platforms))
            self.sensitivity, self.calibrate = model.sensitivity, model.calibrate
            if model.precision is not None and self.precision is None:
                section = model.precision
                self.precision, wrong = read_precision(section.targets, section.at_most, model.replications)
                for where, message in wrong:
                    self.problem(where, message)
            if model.greedy is not None:
                self.report(axes, indexes, greedy_findings(model.greedy.model_dump(), model.platforms))
                self.greedy = model.greedy.model_dump()
            if topology is None or self.problems:
                continue
            guest, chosen = model.guest or WORKLOADS[kind].support.guests[0], expanded(model.cures)
            overlay = self.overlay_at(axes, indexes, model)
            believed = overlay.values if overlay is not None else {}
            machine: dict[str, Any] = {
                "base": model.machine.base,
                "set": dict(sorted(model.machine.set.items())),
            }
            if overlay is not None:
                machine["overlay"] = overlay.provenance()
            config = {
                "model_version": MODEL_VERSION,
                "machine": machine,
                "cures": list(chosen),
                "assume": dict(sorted({**believed, **model.assume}.items())),
                "partition": topology.resolved(),
                "guest": guest,
                "workload": model.workload.model_dump(mode="json"),
            }
            used = plugins_used(kind, guest, chosen)
            config |= {"plugins": used} if used else {}
            self.report(axes, indexes, placement_findings(model.workload, config))
            same = canonical([config, model.platforms])
            if same in seen:
                both = f"{_point_text(seen[same])} and {_point_text(point)}"
                self.problem(("sweep",), f"two points are the same run: {both}", on_key=True)
            seen[same] = point
            for platform in platforms:
                if model.guest is None:
                    config = {**config, "guest": usual_guest(WORKLOADS[kind].support, platform)}
                for replication in range(model.replications):
                    drawn = {"replication": replication, "seed": seed_of_replication(model.seed, replication)}
                    found.append(Run(model.name, {**config, "platform": platform, **drawn}, point))
        return found

    def supported(self, model: ExperimentModel) -> list[Platform]:
        """The platforms on which a point runs; those on which it cannot are noted with the reason."""
        kept: list[Platform] = []
        kind = model.workload.kind
        for platform in model.platforms:
            refused = refusals(kind, model.guest, platform, model.workload)
            if refused:
                self.skipped += 1
                place = self.document.place_of_value(("unsupported",))
                self.remarks.append(f"{place}: skipped on {platform}: {refused[0].message}")
            else:
                kept.append(platform)
        return kept

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

    def _located(self, value: dict[str, Any]) -> dict[str, Any]:
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
            self.problem(place, f"at {_point_text(point)}: {message}" if point else message)

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

    def report(self, axes: list[Axis], indexes: tuple[int, ...], findings: Iterable[Finding]) -> None:
        for finding in findings:
            if not finding.remark:
                self.problem_at(axes, indexes, finding.path, finding.message, finding.on_key)
            elif not any(_covers(axis, finding.path) for axis in axes):
                place = self.document.place_of_value(finding.path)
                self.remarks.append(f"{place}: {dotted(finding.path)}: {finding.message}")


def _covers(axis: Axis, path: Path) -> bool:
    return any(path[: len(steps)] == steps for steps in map(split_path, axis.paths))


def _position(problem: Problem) -> tuple[int, str, int, int]:
    """Sort key: the file's problems from top to bottom, then those of options."""
    parts = problem.place.rsplit(":", 2)
    if len(parts) == 3 and parts[1].isdigit() and parts[2].isdigit():
        return (0, parts[0], int(parts[1]), int(parts[2]))
    return (1, problem.place, 0, 0)


def _point_text(point: Mapping[str, Any]) -> str:
    return "(" + ", ".join(f"{path}={brief(value)}" for path, value in point.items()) + ")"
