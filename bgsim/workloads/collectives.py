"""One collective operation of all ranks of a partition, repeated.

Over the barrier and the collective network all nodes are computed at once; over the torus the operation is a
message graph, executed by packets, fluid flows, or link ends without contention. All ranks begin together.
Between two iterations each may compute, and a barrier may bring them together again.

Which algorithm the library takes on all ranks of a partition: MPICH2 dcmfd; see
:data:`bgsim.workloads.machine_configs.ALGORITHMS`. Where a guest's programs have sockets, operations are
made of messages. What is left out: sub-communicators, data types, and the rectangle algorithm's several
colours; see :mod:`bgsim.machine.algorithms`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np

from bgsim.machine.algorithms import TORUS
from bgsim.machine.graph_runs import GraphRun
from bgsim.machine.networks import Network
from bgsim.machine.program import Program
from bgsim.machine.timeline import Timeline
from bgsim.machine.tree_runs import TreeOperation, TreeRun
from bgsim.network.traffic import PAYLOAD_BYTES, Ints
from bgsim.workloads.collectives_fit import check_messages
from bgsim.workloads.machine_configs import WITHOUT_TORUS, CollectivesConfig
from bgsim.workloads.machine_tier import Job, job, outcome
from bgsim.workloads.outcome import Json, Outcome
from bgsim.workloads.resolved import ResolvedRun
from bgsim.workloads.support import SOCKET_GUESTS

PACKETS_MAX = 5_000_000
"""Up to this many packets of an all-to-all ``auto`` simulates each, and above none."""

Progress = Callable[[float, str], None] | None


def run(resolved: ResolvedRun, progress: Progress = None) -> Outcome:
    """Run the collectives workload.

    Parameters
    ----------
    resolved
        The run.
    progress
        Called now and then with the simulated seconds so far and a note.

    Returns
    -------
    Outcome
        ``elapsed_s``; ``operation_us_min``, ``_avg`` and ``_max`` over ranks and iterations, from a rank's
        entering the operation to its leaving it; ``latency_us``, the mean over ranks, with percentiles over
        iterations.

    Raises
    ------
    bgsim.machine.program.TooManyMessagesError
        If a torus algorithm makes more messages than fit.
    bgsim.machine.tree_runs.TooManyPacketsError
        If an operation over the collective network has more packets than can be simulated.
    """
    config = resolved.workload
    assert isinstance(config, CollectivesConfig)
    if config.tier == "detailed":
        from bgsim.workloads.detailed_messaging import run_collectives

        return run_collectives(resolved, progress)
    work = job(resolved, config)
    chosen = config.chosen(resolved.guest in SOCKET_GUESTS)
    if chosen in WITHOUT_TORUS:
        return _over_trees(resolved, config, chosen, work, progress)
    return _over_torus(resolved, config, chosen, work, progress)


def _trees(resolved: ResolvedRun, work: Job) -> TreeRun:
    return TreeRun(
        work.placement, work.costs, resolved.machine, resolved.partition.pset, work.detours, work.seed
    )


def _teller(config: CollectivesConfig, work: Job, progress: Progress) -> Callable[[int, int], None]:
    often = max(1, config.iterations // 100)

    def tell(done: int, now_cycles: int) -> None:
        if progress is not None and (done % often == 0 or done == config.iterations):
            progress(now_cycles / work.frequency_hz, f"{done} of {config.iterations} iterations")

    return tell


def _over_trees(
    resolved: ResolvedRun, config: CollectivesConfig, chosen: str, work: Job, progress: Progress
) -> Outcome:
    runs = _trees(resolved, work)
    size = int(config.size.value)
    timeline = runs.repeat(
        runs.operation(cast(TreeOperation, config.operation), size),
        config.iterations,
        work.cycles(config.compute),
        runs.operation("barrier", 0) if config.synchronised else None,
        _teller(config, work, progress),
    )
    return outcome(work, timeline, chosen, {"algorithm": chosen})


def _over_torus(
    resolved: ResolvedRun, config: CollectivesConfig, chosen: str, work: Job, progress: Progress
) -> Outcome:
    check_messages(resolved, config, chosen, work.placement, work.costs.rendezvous is not None)
    algorithm, size = TORUS[config.operation, chosen], int(config.size.value)
    everyone = np.arange(work.placement.ranks)
    compute = float(work.cycles(config.compute))

    def iteration(program: Program) -> tuple[Ints, Ints]:
        entered = program.step(everyone, 0.0 if config.synchronised else compute)
        algorithm(program, size)
        return entered, program.last

    network = _network(config, chosen, work)
    runs = GraphRun(network, work.placement, work.costs, work.settings, work.router, work.detours, work.seed)
    barriers = _trees(resolved, work) if config.synchronised else None
    timeline = Timeline.empty(config.iterations)
    tell = _teller(config, work, progress)
    done = 0
    while done < config.iterations:
        if barriers is not None:
            runs.clock = _synchronised(barriers, runs.clock, round(compute))
        most = 1 if barriers is not None else config.iterations - done
        done = runs.repeat(iteration, timeline, done, most)
        tell(done, int(timeline.end[done - 1]))
    details: dict[str, Json] = {
        "algorithm": chosen,
        "graphs": runs.graphs,
        "messages": runs.messages,
    }
    return outcome(work, timeline, network, details, runs.packet_hops)


def _synchronised(barriers: TreeRun, clock: Ints, compute_cycles: int) -> Ints:
    """Times of all ranks after computing and a barrier."""
    barriers.set_clock(clock)
    if compute_cycles:
        barriers.compute(compute_cycles)
    barriers.perform(barriers.operation("barrier", 0))
    return barriers.clock_by_rank()


def _network(config: CollectivesConfig, chosen: str, work: Job) -> Network:
    if config.network != "auto":
        return config.network
    if chosen != "torus":
        return "uncontended"  # trees and rings of neighbours, which hardly meet
    ranks = work.placement.ranks
    packets = ranks * (ranks - 1) * -(-int(config.size.value) // PAYLOAD_BYTES)
    return "packet" if packets * config.iterations <= PACKETS_MAX else "flow"
