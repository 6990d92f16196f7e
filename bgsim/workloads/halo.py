"""A three-dimensional halo exchange on all ranks of a partition, with computing between the exchanges.

Weak scaling gives every rank the same grid, strong scaling divides one grid among all ranks (a rank's part is
rounded up to whole cells). The faces travel over the torus as the message-passing library sends them; see
:mod:`bgsim.machine.halo_exchange` and :mod:`bgsim.machine.program`. The networks are packets where their
number allows it, and link ends without contention above, unless told otherwise.

What is left out: edges and corners (twelve and eight further neighbours), the copying of faces into and out
of contiguous buffers, and memory bandwidth shared by the cores of a node.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

from bgsim.machine.graph_runs import GraphRun
from bgsim.machine.halo_exchange import HaloExchange, Protocol
from bgsim.machine.networks import Network
from bgsim.machine.process_grid import grid_of
from bgsim.machine.timeline import Timeline
from bgsim.network.topology import Shape
from bgsim.network.traffic import PAYLOAD_BYTES
from bgsim.workloads.machine_configs import HaloConfig
from bgsim.workloads.machine_tier import Job, job, outcome
from bgsim.workloads.outcome import Json, Outcome
from bgsim.workloads.resolved import Partition, ResolvedRun
from bgsim.workloads.support import SOCKET_GUESTS, MisfitError

PACKETS_MAX = 5_000_000
"""Up to this many packets ``auto`` simulates each, and above none."""


def run(resolved: ResolvedRun, progress: Callable[[float, str], None] | None = None) -> Outcome:
    """Run the halo workload.

    Parameters
    ----------
    resolved
        The run.
    progress
        Called now and then with the simulated seconds so far and a note.

    Returns
    -------
    Outcome
        ``elapsed_s``; of iterations ``operation_us_min``, ``_avg`` and ``_max`` over ranks and
        iterations, and ``latency_us`` with its percentiles over iterations; ``packet_hops``.

    Raises
    ------
    MisfitError
        If the process grid does not fit the ranks, or the grid the process grid.
    """
    config = resolved.workload
    assert isinstance(config, HaloConfig)
    if config.tier == "detailed":
        from bgsim.workloads.detailed_messaging import run_halo

        return run_halo(resolved, progress)
    work = job(resolved, config)
    exchange = exchange_of(resolved, config, work)
    network = _network(config, exchange)
    timeline = Timeline.empty(config.iterations)
    runs = GraphRun(network, work.placement, work.costs, work.settings, work.router, work.detours, work.seed)

    def tell(done: int) -> None:
        if progress is not None:
            seconds = float(timeline.end[done - 1]) / work.frequency_hz
            progress(seconds, f"{done} of {config.iterations} iterations")

    done = 0
    while done < config.iterations:
        done = runs.repeat(exchange.iteration, timeline, done, config.iterations - done, tell)
    details: dict[str, Json] = {
        "process_grid": list(exchange.grid),
        "face_bytes": list(exchange.face_bytes),
        "protocol": list(exchange.protocol),
        "compute_cycles": exchange.compute_cycles,
        "graphs": runs.graphs,
        "messages": runs.messages,
    }
    return outcome(work, timeline, network, details, runs.packet_hops)


def exchange_of(resolved: ResolvedRun, config: HaloConfig, work: Job) -> HaloExchange:
    """What every rank does, from the configuration."""
    grid, cells = divided(config, resolved.partition, work.placement.ranks)
    volume, cell = math.prod(cells), int(config.cell.value)
    if config.compute is not None:
        compute = work.cycles(config.compute)
    else:
        compute = round(volume * config.compute_per_cell.value * work.frequency_hz)
    faces = [volume // extent * cell for extent in cells]
    limit = None if resolved.guest in SOCKET_GUESTS else work.settings.eager_limit
    kinds = [_protocol(config.protocol, size, limit) for size in faces]
    return HaloExchange(
        grid=grid,
        periodic=config.periodic,
        face_bytes=(faces[0], faces[1], faces[2]),
        compute_cycles=compute,
        overlap=config.overlap,
        protocol=(kinds[0], kinds[1], kinds[2]),
    )


def divided(config: HaloConfig, partition: Partition, ranks: int) -> tuple[Shape, tuple[int, ...]]:
    """Ranks in three dimensions, and the cells of each.

    Raises
    ------
    MisfitError
        If the ranks do not fill the grid, or a rank has no cell.
    """
    if config.process_grid is not None:
        x, y, z = config.process_grid
        if x * y * z != ranks:
            raise MisfitError("workload.process_grid", f"{x} x {y} x {z} places for {ranks} ranks")
        grid: Shape = (x, y, z)
    else:
        natural = partition.mapping if isinstance(partition.mapping, str) else None
        grid = grid_of(natural, partition.shape, config.ranks_per_node)
        if math.prod(grid) != ranks:
            said = f"the mapping has {ranks} ranks, the partition {math.prod(grid)} places"
            raise MisfitError("partition.mapping", f"{said}; give workload.process_grid")
    cells = tuple(config.grid)
    if config.scaling == "strong":
        if any(part > whole for part, whole in zip(grid, cells, strict=True)):
            said = f"{cells} cells cannot be divided among {grid} ranks; each needs one"
            raise MisfitError("workload.grid", said)
        cells = tuple(-(-whole // part) for part, whole in zip(grid, cells, strict=True))
    return grid, cells


def _protocol(
    protocol: Literal["auto", "put", "eager", "rendezvous"], size: int, eager_limit: int | None
) -> Protocol:
    if protocol != "auto":
        return protocol
    return "eager" if eager_limit is None or size <= eager_limit else "rendezvous"


def _network(config: HaloConfig, exchange: HaloExchange) -> Network:
    if config.network != "auto":
        return config.network
    packets = sum(2 * -(-size // PAYLOAD_BYTES) for size in exchange.face_bytes)
    total = packets * math.prod(exchange.grid) * config.iterations
    return "packet" if total <= PACKETS_MAX else "uncontended"
