"""What the workloads of the machine tier share: ranks, costs, noise, and what goes into the record."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from bgsim.machine.cost_model import CostModel, CostModelError
from bgsim.machine.program import Placement, Settings
from bgsim.machine.timeline import Timeline
from bgsim.network.detours import Detours, DetourSource
from bgsim.network.router import RouterParameters
from bgsim.units import Quantity
from bgsim.workloads.machine_configs import AUTO, MachineTierConfig
from bgsim.workloads.outcome import Json, Outcome
from bgsim.workloads.resolved import Partition, ResolvedRun


@dataclass(frozen=True)
class Job:
    """All ranks of a run, their costs and what interrupts them.

    Attributes
    ----------
    placement
        Where the ranks run.
    costs, cost_source
        The cost model, and whether it was ``shipped``, ``characterised`` or read from a ``file``.
    settings, router
        The machine.
    detours
        By core.
    frequency_hz
        Of the cores.
    seed
        Of the run.
    """

    placement: Placement
    costs: CostModel
    cost_source: str
    settings: Settings
    router: RouterParameters
    detours: Detours
    frequency_hz: int
    seed: int

    @property
    def cost_model(self) -> Json:
        """What a record says of the cost model."""
        return {"name": self.costs.name, "digest": self.costs.digest, "source": self.cost_source}

    def cycles(self, time: Quantity) -> int:
        """A configured time in core cycles, rounded to the nearest."""
        return round(time.value * self.frequency_hz)


def job(resolved: ResolvedRun, config: MachineTierConfig, costs: CostModel | None = None) -> Job:
    """Set up the ranks of a run.

    Parameters
    ----------
    resolved, config
        The run, and its workload.
    costs
        Instead of the cost model that the workload names.

    Raises
    ------
    CostModelError
        If the cost model is of another platform or guest, or not what it was when the run was planned.
    """
    machine, partition = resolved.machine, resolved.partition
    placement = placement_of(partition, config.ranks_per_node)
    costs, source = (costs, "given") if costs is not None else costs_of(resolved, config)
    frequency = machine.integer("core.frequency")
    cores = partition.nodes * config.ranks_per_node
    return Job(
        placement=placement,
        costs=costs,
        cost_source=source,
        settings=Settings.from_datasheet(machine),
        router=RouterParameters.from_datasheet(machine),
        detours=_detours(config, costs, cores, resolved.seed, frequency),
        frequency_hz=frequency,
        seed=resolved.seed,
    )


def placement_of(partition: Partition, ranks_per_node: int) -> Placement:
    """Where the ranks of a partition run.

    Raises
    ------
    bgsim.network.mapping.MappingError
        If a mapping file does not fit.
    """
    mapping = partition.rank_mapping(ranks_per_node)
    node = mapping.nodes.astype(np.int64)
    core = node * ranks_per_node + mapping.cores
    return Placement(partition.shape, partition.torus, node, core, ranks_per_node)


def costs_of(resolved: ResolvedRun, config: MachineTierConfig) -> tuple[CostModel, str]:
    """The cost model of a run, and whether it was ``shipped``, ``characterised`` or read from a ``file``.

    Raises
    ------
    CostModelError
        If that of a file is wrong, of another platform or guest, or not what it was when the run was planned.
    """
    if config.cost_model == AUTO:
        from bgsim.workloads.characterize import cost_model_for

        return cost_model_for(resolved)
    path = Path(config.cost_model)
    found = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "no file"
    if found != config.cost_model_digest:
        raise CostModelError([f"{path}: is not what it was when the run was planned ({found})"])
    costs = _loaded(path, found)
    if (costs.platform, costs.guest) != (resolved.platform, resolved.guest):
        raise CostModelError(
            [f"{path}: is of {costs.name}, and the run is {resolved.platform}/{resolved.guest}"]
        )
    return costs, "file"


@lru_cache(maxsize=32)
def _loaded(path: Path, _sha256: str) -> CostModel:
    """A cost model by its file and the file's hash; reading one takes longer than many a run."""
    return CostModel.load(path)


def _detours(
    config: MachineTierConfig, costs: CostModel, cores: int, seed: int, frequency_hz: int
) -> Detours:
    if config.noise == "none":
        return Detours.none()
    if config.noise == "cost-model":
        return costs.interruptions(cores, seed, config.ranks_per_node)
    noise = config.noise
    source = DetourSource(
        "given",
        float(noise.period.value * frequency_hz),
        noise.jitter,
        noise.shared,
        tuple(float(duration.value * frequency_hz) for duration in noise.durations),
        tuple(noise.weights or [1.0] * len(noise.durations)),
    )
    return Detours.make([source], cores, seed, config.ranks_per_node)


def outcome(
    work: Job, timeline: Timeline, network: str, more: dict[str, Json], packet_hops: int | None = None
) -> Outcome:
    """The result of a run of the machine tier.

    Parameters
    ----------
    work
        The job.
    timeline
        What its iterations took.
    network
        What carried the messages.
    more
        Further details.
    packet_hops
        Links crossed, if the torus was used.
    """
    metrics = timeline.metrics(work.frequency_hz)
    if packet_hops is not None:
        metrics["packet_hops"] = packet_hops
    noise: list[Json] = [
        {"name": source.name, "share": source.share, "shared": source.shared}
        for source in work.detours.sources
    ]
    details: dict[str, Json] = {
        "tier": "machine",
        "nodes": int(np.prod(work.placement.shape)),
        "ranks": work.placement.ranks,
        "network": network,
        "cost_model": work.cost_model,
        "noise": noise,
        "operation_interval": timeline.interval(work.frequency_hz),
        **more,
    }
    return Outcome(metrics=metrics, details=details)
