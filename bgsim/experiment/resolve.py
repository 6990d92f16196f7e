"""What the machine and partition sections of an experiment mean.

Form has been checked before; here names are looked up: datasheet parameters and their values,
topology files, shapes that can be a torus or a mesh.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, NamedTuple

from bgsim import cures
from bgsim.experiment import partition as partitions
from bgsim.experiment import shipped
from bgsim.experiment.errors import quoted
from bgsim.experiment.identity import machines
from bgsim.experiment.locate import Path, dotted, split_path
from bgsim.experiment.metrics import METRICS
from bgsim.plugins import GUEST_GROUP, distribution, entries
from bgsim.spelling import did_you_mean
from bgsim.workloads import memory_fit
from bgsim.workloads.support import PlannedRun, Refusal, Support, platforms_of

if TYPE_CHECKING:
    from bgsim.workloads.resolved import Partition, ResolvedRun


DEFAULT_BASE = "bgp"
SHARED = ("virtual-machine",)
"""Platforms of which a node has several."""


class Finding(NamedTuple):
    """Something wrong, or worth a remark, at a path of the experiment."""

    path: Path
    message: str
    on_key: bool = False
    remark: bool = False


def machine_findings(machine: Mapping[str, Any], assume: Any) -> list[Finding]:
    """What is wrong with a machine section and the assumptions about it."""
    base, changes = machine.get("base", DEFAULT_BASE), machine.get("set", {})
    if not (isinstance(base, str) and isinstance(changes, dict) and isinstance(assume, dict)):
        return []  # the form is wrong, and has been reported
    if base == DEFAULT_BASE and not changes and not assume:
        return []  # reading a whole datasheet takes longer than all the rest of a check
    from bgsim.datasheet import Datasheet, DatasheetError, bases

    if base not in bases():
        near = did_you_mean(base, bases()) or f" (expected {quoted(bases())})"
        return [Finding(("machine", "base"), f"unknown machine '{base}'{near}")]
    findings: list[Finding] = []
    sheet = Datasheet.load(base)
    for section, values in ((("assume",), assume), (("machine", "set"), changes)):
        try:
            changed = sheet.with_values(values)
        except DatasheetError as error:
            for name, sentence in error.problems.items():
                findings.append(Finding((*section, name), sentence, on_key=name not in sheet))
            continue
        for name in values:
            if changed[name].text == sheet[name].text:
                said = f"the datasheet says {sheet[name].text} already; this changes nothing"
                findings.append(Finding((*section, name), said, remark=True))
        sheet = changed
    return findings


NATIVE_RECORDS = ("tlb.entries", "tlb.hardware_walk", "guest.torus_coalesce_packets")
"""Records of cures that a bare machine has too."""


def cure_findings(
    names: Sequence[str], machine_set: Mapping[str, Any], platforms: Sequence[str]
) -> list[Finding]:
    """What is wrong with the cures of a point, or without effect on its platforms."""
    findings = [Finding(("cures", position), said) for position, said in cures.problems(names)]
    for name in cures.expanded(names):
        for record in cures.CURES[name].sets if name in cures.CURES else ():
            if record in machine_set:
                said = f"the cure '{name}' sets this too; keep one"
                findings.append(Finding(("machine", "set", record), said, on_key=True))
            if set(platforms) == {"bare-metal"} and record not in NATIVE_RECORDS:
                findings.append(Finding(("cures",), f"'{name}' changes nothing on bare metal", remark=True))
    return findings


def fit_findings(workload: Any, config: Mapping[str, Any]) -> list[Finding]:
    """What of a workload does not fit the partition and the machine of a run.

    Parameters
    ----------
    workload
        Its checked section.
    config
        The run, resolved.
    """
    from bgsim.workloads.catalogue import WORKLOADS

    changed = {name: f"assume.{name}" for name in config["assume"]}
    changed |= {name: f"machine.set.{name}" for name in config["machine"]["set"]}
    planned = PlannedRun(_resolved_partition(config["partition"]), changed, lambda: resolved_run(config))
    refused = [*WORKLOADS[workload.kind].support.misfits(workload, planned)]
    refused += memory_fit.misfits(workload, planned)
    return [Finding(split_path(each.key), each.message) for each in refused]


def _has_neighbours(workload: Any) -> bool:
    return getattr(workload, "has_neighbours", False)


def greedy_findings(section: Mapping[str, Any], platforms: Sequence[str]) -> list[Finding]:
    """What is wrong with a search for cures."""
    findings = []
    metric = section["minimise"]
    if metric not in METRICS or not METRICS[metric].better:
        known = [name for name, one in METRICS.items() if one.better]
        said = f"'{metric}' is no metric of which less or more is better{did_you_mean(metric, known)}"
        findings.append(Finding(("greedy", "minimise"), said))
    words = [*cures.CURES, *cures.GROUPS]
    for index, stage in enumerate(section["stages"]):
        for name in [stage] if isinstance(stage, str) else stage:
            if name not in words:
                said = f"unknown cure '{name}'{did_you_mean(name, words)} (see 'bgsim cures')"
                findings.append(Finding(("greedy", "stages", index), said))
    if section["platform"] not in platforms:
        said = f"'{section['platform']}' is not among the platforms"
        findings.append(Finding(("greedy", "platform"), said))
    return findings


def partition_findings(
    section: Mapping[str, Any], beside: FilePath | None
) -> tuple[partitions.Topology | None, list[Finding]]:
    """The topology that a partition section names, or None; and what is wrong with the section.

    Raises
    ------
    ExperimentError
        What is wrong inside a topology file, at its place in that file.
    """
    name, shape = section.get("topology"), section.get("shape")
    findings: list[Finding] = []
    if name is None and shape is None:
        said = "needs 'topology' (a name) or 'shape' (nodes in X, Y, Z)"
        return None, [Finding(("partition",), said, on_key=True)]
    if name is not None:
        findings += [
            Finding(("partition", key), "'topology' says this already; keep one", on_key=True)
            for key in ("shape", "torus")
            if section.get(key) is not None
        ]
        if not isinstance(name, str) or findings:
            return None, findings
        path = partitions.find_topology(name, beside)
        if path is None and _is_directory(name, beside):
            said = f"'{name}' is a directory, not a topology file"
            return None, [Finding(("partition", "topology"), said)]
        if path is None:
            known = shipped.names("topologies")
            near = did_you_mean(name, known) or f" (shipped: {', '.join(known)})"
            return None, [Finding(("partition", "topology"), f"no topology '{name}'{near}")]
        return _with_choices(_topology(path), section, beside)
    findings += [
        Finding(("partition", found.key), found.message, remark=found.remark)
        for found in partitions.shape_findings(section)
    ]
    if not isinstance(shape, list) or any(not finding.remark for finding in findings):
        return None, findings
    topology, more = _with_choices(partitions.from_shape(shape, section.get("torus")), section, beside)
    return topology, findings + more


def _is_directory(name: str, beside: FilePath | None) -> bool:
    """Whether what should be a file is none; an empty name is not meant as one."""
    return bool(name) and ((beside or FilePath()) / name).is_dir()


def _with_choices(
    topology: partitions.Topology, section: Mapping[str, Any], beside: FilePath | None
) -> tuple[partitions.Topology | None, list[Finding]]:
    """A topology with the pset size and the mapping that the experiment chooses."""
    found: list[partitions.Finding] = []
    if section.get("pset") is not None:
        found += partitions.pset_findings(section["pset"], math.prod(topology.shape))
        topology = topology._replace(pset=section["pset"])
    if section.get("mapping") is not None:
        mapping, wrong = partitions.mapping_of(section["mapping"], beside)
        found += wrong
        topology = topology._replace(mapping=mapping)
    findings = [Finding(("partition", each.key), each.message) for each in found]
    return None if findings else topology, findings


def usual_guest(support: Support, platform: str) -> str:
    """The guest of a workload on a platform where none is named: the first one that can stand on it."""
    return next((each for each in support.guests if platform in platforms_of(each)), support.guests[0])


def refusals(kind: str, guest: str | None, platform: str, workload: Any = None) -> list[Refusal]:
    """What stands against a workload under a guest on a platform; empty where it runs.

    Parameters
    ----------
    kind, guest, platform
        Names; without a guest the workload's usual one is meant.
    workload
        The checked section; its settings are not looked at when None.
    """
    from bgsim.workloads.catalogue import WORKLOADS

    support = WORKLOADS[kind].support
    guest = usual_guest(support, platform) if guest is None else guest
    found = []
    if platform not in support.platforms:
        said = f"the {kind} workload runs on {quoted(support.platforms)}, not on '{platform}'"
        found.append(Refusal("platforms", f"{said}: {support.elsewhere}" if support.elsewhere else said))
    if guest not in support.guests and not _is_run_by_plugin(kind, guest):
        said = f"the {kind} workload runs under {quoted(support.guests)}, not under '{guest}'"
        why = support.because.get(guest)
        found.append(Refusal("guest", f"{said}: {why}" if why else said))
    if not found and platform not in platforms_of(guest):
        said = f"{guest} runs on {quoted(platforms_of(guest))}, not on '{platform}'"
        found.append(Refusal("platforms", said))
    if not found and platform not in SHARED and _has_neighbours(workload):
        said = f"virtual machines beside each other need the platform {quoted(SHARED)}, not '{platform}'"
        found.append(Refusal("workload.neighbour", said))
    if not found and workload is not None:
        refused = support.settings(workload, guest)
        found += [] if refused is None else [refused]
    return found


def support_findings(
    kind: str,
    platforms: Sequence[str],
    guest: str | None,
    topology: partitions.Topology | None,
    partition: Mapping[str, Any],
    workload: Any = None,
) -> list[Finding]:
    """Platforms, guest and partition that this kind of workload cannot run on.

    Parameters
    ----------
    kind, platforms, guest
        As the experiment says.
    topology
        The partition as looked up; None when that failed.
    partition
        The partition as the experiment says.
    workload
        The checked section; its settings are not looked at when None.
    """
    from bgsim.workloads.catalogue import WORKLOADS

    support = WORKLOADS[kind].support
    findings: list[Finding] = []
    for index, name in enumerate(platforms):
        for refused in refusals(kind, guest, name, workload):
            path: Path = ("platforms", index) if refused.key == "platforms" else split_path(refused.key)
            found = Finding(path, refused.message)
            findings += [] if found in findings else [found]
    if topology is not None and math.prod(topology.shape) < support.nodes_min:
        said = f"the {kind} workload needs {support.nodes_min} nodes, and {topology.name} has fewer"
        findings.append(Finding(("partition",), said))
    findings += [
        Finding(("partition", key), f"changes nothing: the {kind} workload {why}", on_key=True)
        for key, why in (("mapping", "places no ranks"), ("pset", "does not use the collective network"))
        if partition.get(key) is not None and key not in support.uses
    ]
    return findings


def _is_run_by_plugin(kind: str, guest: str) -> bool:
    """Whether a plug-in's guest says that it can run this kind of workload."""
    from bgsim.experiment.schema import GUESTS

    if guest in GUESTS or guest not in entries(GUEST_GROUP):
        return False
    from bgsim.guests import catalogue

    return kind in catalogue.GUESTS[guest].workloads


def plugins_used(kind: str, guest: str, names: Sequence[str]) -> dict[str, str]:
    """Versions of the packages whose workload, guest or cures a run has, by name of the package."""
    from bgsim.experiment.schema import GUESTS
    from bgsim.workloads.catalogue import WORKLOADS

    found = [WORKLOADS.origin(kind), *(cures.CURES.origin(name) for name in names)]
    found.append(distribution(entries(GUEST_GROUP)[guest]) if guest not in GUESTS else None)
    return dict(sorted(origin for origin in found if origin is not None))


@lru_cache(maxsize=256)
def _topology(path: FilePath) -> partitions.Topology:
    return partitions.load_topology(path)


def _resolved_partition(section: Mapping[str, Any]) -> Partition:
    """The partition of a configuration."""
    from bgsim.workloads.resolved import Partition

    x, y, z = section["shape"]
    closed_x, closed_y, closed_z = section["torus"]
    return Partition(
        section["topology"],
        (x, y, z),
        (closed_x, closed_y, closed_z),
        section["pset"],
        section["mapping"],
    )


def resolved_run(config: Mapping[str, Any]) -> ResolvedRun:
    """What a workload is handed: a configuration with its datasheets and models built."""
    from bgsim.experiment.schema import workload_config
    from bgsim.workloads.resolved import ResolvedRun

    machine, reference = machines(config)
    return ResolvedRun(
        machine=machine,
        reference_machine=reference,
        partition=_resolved_partition(config["partition"]),
        platform=config["platform"],
        guest=config["guest"],
        workload=workload_config(config["workload"]),
        seed=config["seed"],
        replication=config["replication"],
        cures=tuple(config.get("cures", ())),
    )


def settings_without_effect(run: ResolvedRun) -> list[str]:
    """Parameters that the experiment set and that the finished run never looked at.

    What is assumed of the real machine is set on both sheets; it had an effect when either was
    read.
    """
    unread_reference = set(run.reference_machine.overridden_unread)
    unread = set(run.machine.overridden_unread)
    assumed = set(run.reference_machine.overridden)
    names = (unread - assumed) | (unread & unread_reference)
    found = []
    for name in run.cures:
        cure = cures.CURES[name]
        if names.issuperset(cure.sets) and run.platform != "bare-metal":
            found.append(f"cures.{name}")
        names -= cure.sets.keys()
    return found + sorted(
        dotted(("machine", "set", name)) if name not in assumed else f"assume.{name}" for name in names
    )
