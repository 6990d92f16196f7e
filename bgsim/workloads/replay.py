"""A message trace run on the partition: the ranks' computation as written, their messages on the torus.

The trace says what every rank computes, sends, receives and waits for, in which order; how long messages take
is simulated. :mod:`bgsim.traces.graph` says which protocol a message uses and what it costs a core; costs,
delivery waits and interruptions are those of the platform's cost model; the network is one of those of the
machine tier. The order of what a rank does never changes, so what a program would do otherwise on a faster or
slower machine is left out; and so are memory bandwidth and everything else that ranks of a node share but the
DMA engine.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bgsim.machine.cost_model import CostModel
from bgsim.machine.networks import run_graph
from bgsim.machine.program import Placement
from bgsim.machine.program import Program as Steps
from bgsim.machine.tree_runs import TooManyPacketsError, check_packets
from bgsim.machine.uncontended import Executed
from bgsim.network.barrier import BarrierTree
from bgsim.network.detours import Detours
from bgsim.network.traffic import Ints
from bgsim.traces import deadlock
from bgsim.traces.accounts import CAUSES, Accounts, accounts, cores_used, histogram
from bgsim.traces.collectives import TREES, write_out
from bgsim.traces.errors import refused
from bgsim.traces.files import digest
from bgsim.traces.graph import Graph, build
from bgsim.traces.limits import check_amounts
from bgsim.traces.loaded import checked
from bgsim.traces.matching import match
from bgsim.traces.program import Kind, Program
from bgsim.traces.trees import Trees
from bgsim.workloads.machine_tier import Job, job
from bgsim.workloads.outcome import Json, Outcome
from bgsim.workloads.replay_config import NETWORK, ReplayConfig
from bgsim.workloads.resolved import ResolvedRun
from bgsim.workloads.support import MisfitError

RANKS_LISTED = 1024
"""Up to so many ranks, each one's account stands in the record; of more, that of some and of the extreme."""

Progress = Callable[[float, str], None]


@dataclass(frozen=True, slots=True)
class Replayed:
    """A finished replay.

    Attributes
    ----------
    program, graph
        The trace and its message graph.
    ran
        What became of the graph.
    accounts
        Where the time of each rank went.
    """

    program: Program
    graph: Graph
    ran: Executed
    accounts: Accounts


def run(resolved: ResolvedRun, progress: Progress | None = None) -> Outcome:
    """Run the replay workload.

    Parameters
    ----------
    resolved
        The run.
    progress
        Called now and then with the simulated seconds so far and a note.

    Returns
    -------
    Outcome
        Time of the job, mean time of a message and what cores did; details ``ranks``, an account of each
        rank, ``message_sizes`` and ``cost_model``. The causes are core cycles of all ranks together.

    Raises
    ------
    MisfitError
        If the trace has more ranks than the partition has places, or has changed since it was planned.
    TraceError
        If the trace cannot be read, or its ranks wait for each other for ever.
    """
    config = resolved.workload
    assert isinstance(config, ReplayConfig)
    work = job(resolved, config)
    return outcome(resolved, work, replay(resolved, work, progress))


def replay(resolved: ResolvedRun, work: Job, progress: Progress | None = None) -> Replayed:
    """Run a trace; see :func:`run`.

    Parameters
    ----------
    resolved
        The run.
    work
        Placement of all ranks that fit, costs and noise.
    progress
        Told the size of the job.
    """
    config, partition = resolved.workload, resolved.partition
    assert isinstance(config, ReplayConfig)
    if digest(config.path, config.format) != config.trace_digest:
        said = f"{config.trace}: the trace has changed since the run was planned; run it again"
        raise MisfitError("workload.trace", said)
    program = checked(config.path, config.format, config.options, config.trace_digest)
    cores_per_rank = int(program.core.max(initial=0)) + 1
    graph = graph_of(resolved, work, program)
    if progress is not None:
        progress(0.0, f"{program.size:,} operations, {len(graph.size):,} messages")
    detours = work.detours
    if cores_per_rank > 1:
        per_node = work.settings.cores
        detours = Detours.make(detours.sources, partition.nodes * per_node, work.seed, per_node)
    ran = run_graph(
        NETWORK if config.network == "auto" else config.network,
        partition.shape,
        partition.torus,
        work.router,
        graph.messages,
        graph.gates,
        detours,
    )
    return Replayed(program, graph, ran, accounts(graph, ran, program.ranks, cores_used(program)))


def graph_of(resolved: ResolvedRun, work: Job, program: Program) -> Graph:
    """The message graph of a trace on a partition, whose ranks can run to their ends.

    Raises
    ------
    MisfitError
        If the trace does not fit the partition.
    TraceError
        If its ranks wait for each other for ever, or it makes more or longer messages than can be run.
    """
    config, machine, partition = resolved.workload, resolved.machine, resolved.partition
    assert isinstance(config, ReplayConfig)
    check_amounts(program, work.frequency_hz, config.compute_scale)
    placement = place(resolved, work.placement, program, work.settings.cores)
    zeros = np.zeros(program.ranks, np.int64)
    steps = Steps(placement, work.costs, work.settings, zeros, work.seed)
    over_trees, algorithm = algorithms(config, placement, work)
    written = write_out(program, steps, algorithm, over_trees)
    for call in written.trees:
        try:
            check_packets(call.kind, call.size_bytes, placement, machine)
        except TooManyPacketsError as error:
            raise refused(str(config.path), str(error)) from None
    trees = Trees(placement, work.costs, machine, partition.pset, work.seed) if over_trees else None
    matches = match(written.program)
    graph = build(
        written,
        matches,
        steps,
        work.frequency_hz,
        barrier_cycles=2 * BarrierTree.from_datasheet(partition.nodes, machine).latency_cycles,
        compute_scale=config.compute_scale,
        trees=trees,
    )
    deadlock.check(written, matches, graph)
    return graph


def check(resolved: ResolvedRun, costs: CostModel | None) -> None:
    """See, without running it, whether a trace fits its partition and its ranks can run to their ends.

    Which messages wait for their receivers and which calls go over which network follows from the machine,
    the partition and what the cost model has; none of it from what anything costs.

    Parameters
    ----------
    resolved
        The run.
    costs
        The cost model of a file; None stands for that of a guest whose programs work the networks themselves.

    Raises
    ------
    MisfitError, TraceError
        As :func:`graph_of`.
    """
    config, partition = resolved.workload, resolved.partition
    assert isinstance(config, ReplayConfig)
    questions = (config.model_dump(mode="json"), partition, resolved.machine.digest(), costs and costs.digest)
    key = repr(questions)
    if key in _seen:
        return
    program = checked(config.path, config.format, config.options, config.trace_digest)
    graph_of(resolved, job(resolved, config, costs or deadlock.free_costs()), program)
    _seen.add(key)


_seen: set[str] = set()
"""What :func:`check` has found good: platforms and replications of a point ask the same again."""


def place(resolved: ResolvedRun, places: Placement, program: Program, cores: int) -> Placement:
    """Where the ranks of a trace run, on nodes of that many cores.

    Raises
    ------
    MisfitError
        If there are more ranks than places, or a rank uses more cores than it has.
    """
    config, ranks = resolved.workload, program.ranks
    assert isinstance(config, ReplayConfig)
    if ranks > places.ranks:
        mapping = resolved.partition.mapping
        if not isinstance(mapping, str):
            said = f"{mapping['file']}: {places.ranks} {'ranks' if places.ranks > 1 else 'rank'}"
            said += f", and the trace {config.trace} has {ranks}; write a line 'x y z t' for each"
            raise MisfitError("partition.mapping", said)
        raise MisfitError(
            "workload.trace",
            f"{config.trace}: {ranks} ranks, and {resolved.partition.name} has places for {places.ranks} "
            f"with {places.per_node} on each node; take a larger partition or more ranks per node",
        )
    own, most = cores // places.per_node, int(program.core.max(initial=0))
    if most >= own:
        where = program.place(int(np.argmax(program.core)))
        said = f"{where}: core {most}, and with {places.per_node} ranks on a node each has {own}"
        raise MisfitError("workload.trace", said)
    return dataclasses.replace(places, node=places.node[:ranks], core=places.core[:ranks])


def algorithms(
    config: ReplayConfig, placement: Placement, work: Job
) -> tuple[frozenset[Kind], Literal["binomial", "ring"]]:
    """Which calls go over the collective and the barrier network, and the algorithm of the others.

    Raises
    ------
    MisfitError
        If the collective network is asked for and does not serve the job.
    """
    chosen = config.collectives
    whole = Trees.cover(placement)
    if chosen == "collective-network" and not whole:
        empty = int(np.prod(placement.shape)) - len(np.unique(placement.node))
        raise MisfitError(
            "workload.collectives",
            f"{config.trace}: the collective network is of all nodes of a partition, and {empty} have no "
            f"rank; take a smaller partition, or let 'collectives' be binomial or ring",
        )
    over: set[Kind] = set()
    if whole and work.costs.barrier is not None:
        over.add(Kind.BARRIER)
    if whole and work.costs.collective is not None and chosen in ("auto", "collective-network"):
        over |= set(TREES)
    return frozenset(over), chosen if chosen in ("binomial", "ring") else "binomial"


def outcome(resolved: ResolvedRun, work: Job, replayed: Replayed) -> Outcome:
    """Metrics and details of a finished replay."""
    graph, ran, spent = replayed.graph, replayed.ran, replayed.accounts
    by_cause = [int(cycles) for cycles in spent.cycles.sum(axis=1, dtype=object)]  # beyond 64 bits, too
    config, frequency, ranks = resolved.workload, work.frequency_hz, replayed.program.ranks
    assert isinstance(config, ReplayConfig)
    metrics: dict[str, int | float] = {
        "elapsed_s": spent.elapsed_cycles / frequency,
        "cycles_total": sum(by_cause),
        "messages": len(graph.size),
        "bytes": int(graph.size.sum()),
        "packet_hops": ran.packet_hops,
    }
    for cause in ("compute", "wait"):
        metrics[f"{cause}_s"] = float(spent.cycles[CAUSES.index(cause)].mean()) / frequency
    metrics["communication_s"] = float(spent.cycles[1:3].sum(axis=0).mean()) / frequency
    metrics["cpu_utilisation"] = 1 - by_cause[4] / max(1, sum(by_cause))
    if len(graph.size):
        latency_us = (ran.done_cycles[graph.arrival] - ran.opened_cycles[graph.post]) * 1e6 / frequency
        metrics["latency_us"] = float(latency_us.mean())
        metrics["latency_p50_us"], metrics["latency_p99_us"] = np.percentile(latency_us, (50, 99)).tolist()
    details: dict[str, Json] = {
        "tier": "machine",
        "network": NETWORK if config.network == "auto" else config.network,
        "cost_model": work.cost_model,
        "operations": replayed.program.size,
        "ranks": ranks,
        "rank_account": _rank_rows(spent, frequency),
        "message_sizes": [dict(row) for row in histogram(graph.size)],
        "graph": {"messages": graph.messages.size, "gates": graph.gates.size},
    }
    return Outcome(metrics=metrics, attribution=dict(zip(CAUSES, by_cause, strict=True)), details=details)


def _rank_rows(spent: Accounts, frequency: int) -> list[Json]:
    rows: list[Json] = []
    for rank in _listed(spent.cycles).tolist():
        row: dict[str, Json] = {"rank": rank, "end_s": float(spent.end_cycles[rank]) / frequency}
        for cause, cycles in zip(CAUSES, spent.cycles[:, rank].tolist(), strict=True):
            row[f"{cause}_s"] = cycles / frequency
        rows.append(row)
    return rows


def _listed(cycles: Ints) -> Ints:
    """Ranks whose account is kept: all; or those evenly spread, and the extreme ones of each cause."""
    ranks = cycles.shape[1]
    if ranks <= RANKS_LISTED:
        return np.arange(ranks)
    spread = np.linspace(0, ranks - 1, RANKS_LISTED - 2 * len(CAUSES)).round().astype(np.int64)
    return np.unique(np.concatenate([spread, cycles.argmin(axis=1), cycles.argmax(axis=1)]))
