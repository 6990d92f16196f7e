"""Collective operations and halo exchanges in the detailed tier: every instruction path, packet and exit.

The same operations the machine tier computes with a cost model are run here as guest programs on every node
of a partition, so that the two can be compared. One process runs on each node. The nodes start at different
phases of what interrupts them. Times, counts and exits are of the iterations: a core's begin with the common
start and end with its process' last iteration. Packet hops are the network's, acknowledgements that come
later among them.

Where programs work the devices themselves, collective operations use the barrier and the collective network,
halo exchanges the torus' DMA engine with eager or rendezvous messages; where they have sockets, both are
messages over TCP. Faces between ranks of one node are copied through its memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bgsim.guests.messages import Send
from bgsim.machine.cost_model import shipped
from bgsim.machine.halo_exchange import HaloExchange
from bgsim.machine.process_grid import neighbours
from bgsim.machine.program import Placement, Settings
from bgsim.machine.timeline import Timeline
from bgsim.network.detours import Detours
from bgsim.network.router import RouterParameters
from bgsim.platforms.seam import Code, Now
from bgsim.workloads import halo, machine_tier
from bgsim.workloads.detailed_job import Job, Process
from bgsim.workloads.machine_configs import (
    DETAILED_SOCKET_ALGORITHMS,
    WITHOUT_TORUS,
    CollectivesConfig,
    HaloConfig,
    MachineTierConfig,
)
from bgsim.workloads.outcome import Json, Outcome
from bgsim.workloads.quantities import DETAILED_NODES_MAX
from bgsim.workloads.resolved import ResolvedRun
from bgsim.workloads.support import SOCKET_GUESTS
from bgsim.workloads.window import Spent, Window, total_exits

Operation = Literal["barrier", "broadcast", "reduce", "allreduce"]
OPERATIONS: tuple[Operation, ...] = ("barrier", "broadcast", "reduce", "allreduce")
Progress = Callable[[float, str], None] | None


class DetailedError(ValueError):
    """The detailed tier does not have what was asked for."""


@dataclass(frozen=True)
class DetailedTimes:
    """Times of a repeated operation, from the common start of all processes.

    Attributes
    ----------
    begins, ends
        When each process entered and left each iteration, in core cycles, int64, shape (iterations, ranks).
    job
        The job, for what else happened.
    spent
        What each core did from the start to the end of its process' last iteration, in order of nodes.
    """

    begins: NDArray[np.int64]
    ends: NDArray[np.int64]
    job: Job
    spent: list[Spent]

    @property
    def timeline(self) -> Timeline:
        """The same per iteration."""
        timeline = Timeline.empty(len(self.begins))
        for iteration, (begins, ends) in enumerate(zip(self.begins, self.ends, strict=True)):
            timeline.note(iteration, begins, ends)
        return timeline


def run_detailed_collective(
    resolved: ResolvedRun,
    operation: str,
    size: int,
    iterations: int,
    *,
    compute_cycles: int = 0,
    synchronised: bool = False,
    root: int = 0,
) -> DetailedTimes:
    """Repeat a collective operation on all nodes of a partition.

    Parameters
    ----------
    resolved
        Machine, platform, partition and seed; its workload is not looked at.
    operation
        One of `OPERATIONS`.
    size
        Bytes of the vector; ignored for a barrier.
    iterations
        How often.
    compute_cycles
        Core time before each.
    synchronised
        Whether a barrier, which is not timed, goes before each.
    root
        Node that broadcasts.

    Raises
    ------
    DetailedError
        If there is no such operation here, or the partition is too large.
    """
    if operation not in OPERATIONS:
        raise DetailedError(
            f"workload.operation: the detailed tier has {', '.join(OPERATIONS)}, not {operation}"
        )

    def perform(process: Process) -> Code:
        collectives = process.collectives
        if operation == "barrier":
            return collectives.barrier()
        if operation == "broadcast":
            return collectives.broadcast(size, root)
        return collectives.allreduce(size) if operation == "allreduce" else collectives.reduce(size)

    def program(process: Process) -> Code:
        for _ in range(iterations):
            if compute_cycles:
                yield process.messenger.code.cycles(compute_cycles)
            if synchronised:
                yield from process.collectives.barrier()
            begun = yield Now()
            yield from perform(process)
            process.results.append((begun, (yield Now())))

    return _times(resolved, program, iterations)


def run_detailed_halo(
    resolved: ResolvedRun, exchange: HaloExchange, iterations: int, node: NDArray[np.int64]
) -> DetailedTimes:
    """Repeat a halo exchange on all nodes of a partition.

    Parameters
    ----------
    resolved
        Machine, platform, partition and seed; its workload is not looked at.
    exchange
        What every rank does.
    iterations
        How often.
    node
        Node of each rank, shape (ranks,); one rank on each.

    Raises
    ------
    DetailedError
        If faces are put, or the partition is too large.
    """
    if "put" in exchange.protocol:
        raise DetailedError("workload.protocol: the detailed tier sends faces, it does not put them")
    rank_of = {int(number): rank for rank, number in enumerate(node)}
    faces: list[list[tuple[int, int, bool]]] = [[] for _ in node]  # node, bytes, eager
    expected: list[int] = [0 for _ in node]
    for dimension, source, destination in neighbours(exchange.grid, exchange.periodic):
        size, eager = exchange.face_bytes[dimension], exchange.protocol[dimension] == "eager"
        for here, there in zip(source, destination, strict=True):
            faces[int(here)].append((int(node[there]), size, eager))
            expected[int(there)] += 1

    def program(process: Process) -> Code:
        rank = rank_of[process.node.number]
        messenger = process.messenger
        arrived: Counter[int] = Counter()

        def compute() -> Code:
            if exchange.compute_cycles:
                yield messenger.code.cycles(exchange.compute_cycles)

        for iteration in range(iterations):
            begun = yield Now()
            if not exchange.overlap:
                yield from compute()
            sends: list[Send] = []
            for target, size, eager in faces[rank]:
                if target == process.node.number:
                    message = yield from messenger.send_local(size, iteration)
                    yield from messenger.receive_local(message)
                else:
                    sends.append((yield from messenger.send(target, size, iteration, eager)))
            if exchange.overlap:
                yield from compute()
            while arrived[iteration] < expected[rank]:
                message = yield from messenger.receive()
                arrived[message.content] += 1
            for send in sends:
                yield from messenger.finish(send)
            process.results.append((begun, (yield Now())))

    return _times(resolved, program, iterations, rank_of)


def _times(
    resolved: ResolvedRun,
    program: Callable[[Process], Code],
    iterations: int,
    rank_of: dict[int, int] | None = None,
) -> DetailedTimes:
    if resolved.partition.nodes > DETAILED_NODES_MAX:
        raise DetailedError(
            f"workload.tier: the detailed tier has up to {DETAILED_NODES_MAX} nodes, "
            f"not {resolved.partition.nodes}"
        )
    spent: dict[int, Spent] = {}

    def watched(process: Process) -> Code:
        window = Window(process.core, (yield Now()))
        yield from program(process)
        spent[process.rank] = window.close((yield Now()))

    job = Job(
        resolved.machine,
        resolved.platform,
        resolved.partition,
        watched,
        phase_seed=f"{resolved.seed}/{resolved.replication}",
        guest=resolved.guest,
    )
    job.run()
    found = np.empty((2, iterations, len(job.processes)), np.int64)
    for process in job.processes:
        rank = rank_of[process.node.number] if rank_of else process.rank
        found[:, :, rank] = np.array(process.results, np.int64).T
    start = job.start_cycles
    return DetailedTimes(found[0] - start, found[1] - start, job, [spent[rank] for rank in sorted(spent)])


# -- as workloads -----------------------------------------------------------------------------------


def run_collectives(resolved: ResolvedRun, progress: Progress = None) -> Outcome:
    """The collectives workload with ``tier: detailed``.

    Raises
    ------
    DetailedError
        If the detailed tier does not have the operation, the algorithm, or so many ranks.
    """
    config = resolved.workload
    assert isinstance(config, CollectivesConfig)
    chosen = config.chosen(resolved.guest in SOCKET_GUESTS)
    known = DETAILED_SOCKET_ALGORITHMS if resolved.guest in SOCKET_GUESTS else WITHOUT_TORUS
    if chosen not in known:
        raise DetailedError(
            f"workload.algorithm: the detailed tier has {', '.join(known)} under {resolved.guest}, "
            f"not {chosen}"
        )
    placement = _placement(resolved, config)
    times = run_detailed_collective(
        resolved,
        config.operation,
        int(config.size.value),
        config.iterations,
        compute_cycles=round(config.compute.value * resolved.machine.integer("core.frequency")),
        synchronised=config.synchronised,
        root=int(placement.node[0]),
    )
    return _outcome(resolved, times, {"algorithm": chosen, "network": chosen}, progress)


def run_halo(resolved: ResolvedRun, progress: Progress = None) -> Outcome:
    """The halo workload with ``tier: detailed``.

    Raises
    ------
    DetailedError
        If the detailed tier does not have the protocol, or so many ranks.
    """
    config = resolved.workload
    assert isinstance(config, HaloConfig)
    placement = _placement(resolved, config)
    costs = shipped("bare-metal", "cnk")
    assert costs is not None, "it is shipped"
    work = machine_tier.Job(
        placement=placement,
        costs=costs,  # any: what every rank does is asked for, not what it costs
        cost_source="none",
        settings=Settings.from_datasheet(resolved.machine),
        router=RouterParameters(),  # likewise
        detours=Detours.none(),
        frequency_hz=resolved.machine.integer("core.frequency"),
        seed=resolved.seed,
    )
    exchange = halo.exchange_of(resolved, config, work)
    times = run_detailed_halo(resolved, exchange, config.iterations, placement.node)
    details: dict[str, Json] = {
        "process_grid": list(exchange.grid),
        "face_bytes": list(exchange.face_bytes),
        "protocol": list(exchange.protocol),
        "compute_cycles": exchange.compute_cycles,
        "network": "packet",
    }
    return _outcome(resolved, times, details, progress)


def _placement(resolved: ResolvedRun, config: MachineTierConfig) -> Placement:
    if config.ranks_per_node != 1:
        raise DetailedError("workload.ranks_per_node: the detailed tier has one process on each node")
    partition = resolved.partition
    node = partition.rank_mapping(1).nodes.astype(np.int64)
    return Placement(partition.shape, partition.torus, node, node, 1)


def _outcome(
    resolved: ResolvedRun, times: DetailedTimes, details: dict[str, Json], progress: Progress
) -> Outcome:
    frequency = resolved.machine.integer("core.frequency")
    job, timeline = times.job, times.timeline
    metrics = timeline.metrics(frequency)
    metrics["packet_hops"] = job.nodes.torus.packet_hops
    counters: Counter[str] = Counter()
    for each in times.spent:
        counters.update(each.counters)
    counted = ("exits_total", "exits_ipc", "cycles_l4", "cycles_vmm", "instructions", "tlb_misses")
    metrics |= {name: counters[name] for name in counted}
    if progress is not None:
        progress(timeline.elapsed_cycles / frequency, f"{timeline.iterations} iterations")
    return Outcome(
        metrics=metrics,
        exits=total_exits(times.spent),
        details={
            "tier": "detailed",
            "nodes": resolved.partition.nodes,
            "ranks": len(job.processes),
            "operation_interval": timeline.interval(frequency),
            **details,
        },
    )
