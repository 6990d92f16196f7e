"""Whether collectives, halo exchanges and replays fit their partition and machine, told when planned.

Whatever takes long to import or to read is brought in only where an experiment needs it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

from bgsim.workloads.machine_configs import (
    AUTO,
    CollectivesConfig,
    HaloConfig,
    MachineTierConfig,
    NoiseConfig,
)
from bgsim.workloads.quantities import DETAILED_NODES_MAX
from bgsim.workloads.replay_config import ReplayConfig
from bgsim.workloads.support import MisfitError, PlannedRun, Refusal

if TYPE_CHECKING:
    from bgsim.machine.cost_model import CostModel

PERIOD_CYCLES_MAX = 1 << 39
"""What a period must stay below so that its drawings fit into a machine word."""

CYCLES_MAX = 1 << 61
"""What the known part of a run must stay below: half of what interruptions count as never, so that messages
and the interruptions of a cost model, which are not known yet, fit as well."""

BYTE_CYCLES = 8
"""Of a face's byte, generously: a link of its own takes two cycles."""

FREQUENCY_HZ_MAX = 10**11
"""No core is faster than that."""


def misfits(config: MachineTierConfig, planned: PlannedRun) -> Iterator[Refusal]:
    """What of the workload makes no sense on a partition and its machine, each with the key that says it."""
    partition = planned.partition
    from_file = not isinstance(partition.mapping, str)
    ranks = partition.nodes * config.ranks_per_node
    if from_file:
        from bgsim.network.mapping import MappingError

        try:
            ranks = partition.rank_mapping(config.ranks_per_node).ranks
        except MappingError as error:
            yield Refusal("partition.mapping", str(error))
            return
    if config.tier == "detailed" and partition.nodes > DETAILED_NODES_MAX:
        said = f"the detailed tier has up to {DETAILED_NODES_MAX} nodes, not {partition.nodes:,}"
        yield Refusal("workload.tier", said)
    if config.tier == "machine" and "node.cores" in planned.changed:
        cores = planned.resolve().machine.integer("node.cores")
        if config.ranks_per_node > cores:
            said = f"{config.ranks_per_node} processes on a node of {cores} cores (node.cores)"
            yield Refusal("workload.ranks_per_node", said)
    if isinstance(config.noise, NoiseConfig):
        refused = noise_misfit(config.noise, planned.resolve().machine.integer("core.frequency"))
        if refused is not None:
            yield refused
            return
    cells = tuple(config.grid) if isinstance(config, HaloConfig) else ()
    if isinstance(config, HaloConfig) and (from_file or config.process_grid or config.scaling == "strong"):
        from bgsim.workloads.halo import divided

        try:
            _, cells = divided(config, partition, ranks)
        except MisfitError as grid_error:
            yield grid_error.refusal
            cells = ()
    if isinstance(config, HaloConfig | CollectivesConfig):
        frequency_hz = FREQUENCY_HZ_MAX
        if duration_misfit(config, cells, frequency_hz) is not None:  # reading the machine's takes longer
            frequency_hz = planned.resolve().machine.integer("core.frequency")
        endless = duration_misfit(config, cells, frequency_hz)
        if endless is not None:
            yield endless
            return
    costs: CostModel | None = None
    if config.cost_model != AUTO:
        from bgsim.machine.cost_reader import CostModelError
        from bgsim.workloads.machine_tier import costs_of

        try:
            costs, _ = costs_of(planned.resolve(), config)
        except CostModelError as cost_error:
            yield Refusal("workload.cost_model", str(cost_error))
            return
    if isinstance(config, CollectivesConfig) and config.tier == "machine":
        from bgsim.workloads.collectives_fit import misfits as operation_misfits

        yield from operation_misfits(config, planned, costs)
    if isinstance(config, ReplayConfig):
        from bgsim.traces.errors import TraceError
        from bgsim.workloads.replay import check

        try:
            check(planned.resolve(), costs)
        except MisfitError as replay_error:
            yield replay_error.refusal
        except TraceError as trace_error:
            yield Refusal("workload.trace", str(trace_error))


def duration_misfit(
    config: HaloConfig | CollectivesConfig, cells: tuple[int, ...], frequency_hz: int
) -> Refusal | None:
    """What takes longer than the clocks of a simulation go.

    Parameters
    ----------
    config
        Computing, faces and interruptions.
    cells
        Of a rank of a halo, in three dimensions; none where they are not known.
    frequency_hz
        Of the cores.
    """
    seconds, what = Fraction(config.compute.value if config.compute else 0), "computing"
    faces_bytes = 0
    if isinstance(config, HaloConfig):
        volume = math.prod(cells)
        faces_bytes = 2 * sum(volume // extent for extent in cells) * int(config.cell.value)
        if config.compute is None:
            seconds = volume * Fraction(config.compute_per_cell.value)
    computing, faces = seconds * frequency_hz, faces_bytes * BYTE_CYCLES
    slower = 1 / (1 - _share(config.noise)) if isinstance(config.noise, NoiseConfig) else 1.0
    cycles = config.iterations * (computing + faces) * Fraction(slower)
    if cycles < CYCLES_MAX:
        return None
    key = "workload.compute" if config.compute else "workload.grid"
    if faces > computing:
        key, what = "workload.grid", "faces"
    times = f"{config.iterations:,} iterations" if config.iterations > 1 else "an iteration"
    said = f"{times} of {what} alone take some {float(cycles):.1e} cycles, and clocks go to 2^61"
    return Refusal(key, f"{said} ({CYCLES_MAX / frequency_hz / 3.156e7:.0f} years); make that less")


def _share(noise: NoiseConfig) -> float:
    """Share of a core's time that interruptions take, below 1 where :func:`noise_misfit` finds nothing."""
    weights = noise.weights or [1.0] * len(noise.durations)
    pairs = zip(noise.durations, weights, strict=True)
    mean = sum(float(duration.value) * weight for duration, weight in pairs) / sum(weights)
    return mean / float(noise.period.value)


def noise_misfit(noise: NoiseConfig, frequency_hz: int) -> Refusal | None:
    """What a core cannot serve of given interruptions, in the words of the experiment.

    The conditions are those of :class:`bgsim.network.detours.DetourSource` and
    :meth:`bgsim.network.detours.Detours.make`, which know cycles only.

    Parameters
    ----------
    noise
        The interruptions.
    frequency_hz
        Of the cores.
    """
    period = float(noise.period.value * frequency_hz)
    if not 1 <= round(period) < PERIOD_CYCLES_MAX:
        said = f"{noise.period} is not 1 to 2^39 cycles of a core, at {frequency_hz / 1e6:g} MHz"
        return Refusal("workload.noise.period", said)
    longest = max(noise.durations, key=lambda each: each.value)
    gap_cycles = round(period) - round(noise.jitter * period)
    if gap_cycles <= round(float(longest.value * frequency_hz)):
        behind = f" less the jitter of {noise.jitter:g} periods" if noise.jitter else ""
        said = f"{longest} is not shorter than the time between two interruptions, {noise.period}{behind}"
        return Refusal("workload.noise.durations", f"{said}; a core would never get back to its program")
    return None
