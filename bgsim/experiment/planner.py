"""Applies settings to an experiment and checks every point of it, before anything is simulated.

Shorthand is written out, ``--smoke`` and ``--set`` are applied, and every point of the sweep is checked on
its own, since a swept value may be wrong only there. All problems are reported together.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bgsim.cures import expanded
from bgsim.experiment.derived import Rules, read_rules
from bgsim.experiment.errors import ExperimentError, Problem, shown
from bgsim.experiment.identity import MODEL_VERSION, seed_of_replication, settings_text
from bgsim.experiment.locate import Place, split_path
from bgsim.experiment.plan import Experiment, Run
from bgsim.experiment.point import PointMaker, point_text
from bgsim.experiment.resolve import (
    Finding,
    cure_findings,
    fit_findings,
    greedy_findings,
    plugins_used,
    refusals,
    support_findings,
    usual_guest,
)
from bgsim.experiment.settings import Setting
from bgsim.experiment.sweep import PLATFORM, Axis, covering, fixed, points, read_axes

if TYPE_CHECKING:
    from bgsim.experiment.form import Platform
    from bgsim.experiment.precision import Precision
    from bgsim.experiment.schema import ExperimentModel
    from bgsim.experiment.sections import CalibrateSection, SensitivitySection


@dataclass
class Planner(PointMaker):
    """Turns one document into a checked experiment."""

    smoke: bool = False
    greedy: Mapping[str, Any] | None = None
    skipped: int = 0
    precision: Precision | None = None
    sensitivity: SensitivitySection | None = None
    calibrate: CalibrateSection | None = None

    def plan(self, overrides: list[Setting], seed: int | None) -> Experiment:
        """The checked experiment.

        Raises
        ------
        ExperimentError
            With every problem found.
        """
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
        if wrong or self.problems:
            axes, self.rules = [], Rules()  # what is right of a sweep would only miss what is wrong of it
        runs = self.runs(axes)
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
            document=document,
        )

    def sweeps_platform(self) -> bool:
        """Whether the sweep says which platforms there are."""
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
        """Apply the section ``smoke`` if it was asked for, and take it out."""
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

        found: list[Run] = []
        seen: dict[tuple[str, str], Mapping[str, Any]] = {}
        misfits: list[tuple[tuple[int, ...], list[Finding]]] = []
        for indexes in points(axes):
            value, point = self.at(axes, indexes)
            if axes and not self.kept(value, point):
                continue
            model, form = form_problems(self.located(value))
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
                from bgsim.experiment.precision import read_precision

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
            twins: dict[str, None] = {}
            for platform in platforms:
                if model.guest is None:
                    config = {**config, "guest": usual_guest(WORKLOADS[kind].support, platform)}
                drawn_runs = []
                for replication in range(model.replications):
                    drawn = {"replication": replication, "seed": seed_of_replication(model.seed, replication)}
                    drawn_runs.append(Run(model.name, {**config, "platform": platform, **drawn}, point))
                twin = seen.setdefault((settings_text(config), platform), point)
                if twin is not point:
                    twins[f"{point_text(twin)} and {point_text(point)}"] = None
                misfits.append((indexes, fit_findings(model.workload, drawn_runs[0].config)))
                found += drawn_runs
            for both in twins:
                self.problem(("sweep",), f"two points are the same run: {both}", on_key=True)
        for indexes, findings in misfits:  # reported last, so that one point's do not hide another's
            self.report(axes, indexes, findings)
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


def _position(problem: Problem) -> tuple[int, str, int, int]:
    """Sort key: the file's problems from top to bottom, then those of options."""
    parts = problem.place.rsplit(":", 2)
    if len(parts) == 3 and parts[1].isdigit() and parts[2].isdigit():
        return (0, parts[0], int(parts[1]), int(parts[2]))
    return (1, problem.place, 0, 0)
