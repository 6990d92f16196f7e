"""Many nodes post operations at once, and wait for each other's packets: contention on the torus.

After a barrier every active node posts its operations back to back and then sees to their completion, as
the benchmark behind the measured 512-node tables does; inactive nodes serve and route. The time of a node
runs from its own beginning until all its operations are complete: a put when its source may be reused (or,
on request, when the data is at the target), a get when the data is there, a send when it is sent and what was
sent to the node has been received. Divided by the number of operations it is the time of an operation; the
size divided by that is the node's rate.

The software of an operation is core time of its node (:mod:`bgsim.workloads.traffic_costs`); packets contend
in the router of :mod:`bgsim.network.router`. Long jobs are simulated in part
(:mod:`bgsim.workloads.steady_state`); the record says so.

What is left out: reception FIFOs that are full, memory bandwidth, more than one rank of a node.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil

import numpy as np
from numpy.typing import NDArray

from bgsim.network.flow_engine import FlowEngine
from bgsim.network.packet_engine import PacketEngine
from bgsim.network.packet_reference import PacketReference
from bgsim.network.router import RouterParameters
from bgsim.network.traffic import Ints, packet_count
from bgsim.workloads.outcome import Json, Outcome
from bgsim.workloads.resolved import ResolvedRun
from bgsim.workloads.steady_state import LEAST_PACKETS, Finding, alike, scaled_job, steady_rate
from bgsim.workloads.support import MisfitError
from bgsim.workloads.traffic_config import TrafficConfig
from bgsim.workloads.traffic_costs import OperationCosts
from bgsim.workloads.traffic_fit import misfits, posting
from bgsim.workloads.traffic_loads import Loads
from bgsim.workloads.traffic_measured import deviation, measured
from bgsim.workloads.traffic_messages import Graph, Kind, Operations, build, kind_of
from bgsim.workloads.traffic_patterns import PatternError, partners, random_stream

Engine = PacketEngine | FlowEngine | PacketReference
ENGINES: dict[str, type[Engine]] = {
    "auto": PacketEngine,
    "packet": PacketEngine,
    "flow": FlowEngine,
    "reference": PacketReference,
}

COMPLETE_HOPS = 2**25
"""Packet-hops up to which a job is always simulated to its end: seconds of the compiled engine."""

WATCHED_HOPS = 2**23
"""Packet-hops that a steady state is watched for at least, so that the spread over nodes has a base."""

SHORT_OPERATIONS = 16
"""A part of a job has as many operations of a node as it needs; not fewer, which are then shorter."""

CORES_WAIT = 0.8
"""Core time of a job over its links' time, up to which the links alone tell when it ends."""

WATCHED_OPERATIONS = 2**18
"""Operations of all nodes of a job that is watched, unless it takes more to find a steady rate."""

WATCHED_TWICE = 2
"""Times the packets that a steady rate takes, of a job that is watched: its fast nodes must not end first."""

LOOK_CYCLES = 2**18
"""How often the network is looked at, whether it is gridlocked."""

GRIDLOCKED = 0.88
"""Share of the dynamic channels' slots taken in a gridlock. Where all links are busy it is up to 0.81."""

SHIFTING = ("shift", "antipodal", "all-to-all", "nearest-neighbour", "uniform-random")
"""Patterns in which all nodes of a torus are alike."""

Progress = Callable[[float, str], None]


@dataclass
class Setting:
    """What all parts of a run have in common.

    Attributes
    ----------
    active
        Nodes that post.
    partner
        Their partners, shape (active, operations), -1 where there is none.
    begin_cycles
        When each node of the partition begins.
    host_s, hops
        Host time and packet-hops of the engines so far.
    gridlocked
        Largest share of the dynamic channels' slots that were taken at two looks in a row.
    """

    config: TrafficConfig
    resolved: ResolvedRun
    router: RouterParameters
    costs: OperationCosts
    kind: Kind
    active: Ints
    partner: Ints
    begin_cycles: Ints
    progress: Progress | None
    host_s: float = 0.0
    hops: int = 0
    gridlocked: float = 0.0
    engine: Engine | None = field(default=None)

    @property
    def packets(self) -> int:
        """Packets of data of one operation."""
        return packet_count(int(self.config.size.value))

    @property
    def operations(self) -> Ints:
        """Operations of each active node, shape (active,)."""
        return np.asarray((self.partner >= 0).sum(axis=1))

    @property
    def rounds(self) -> int:
        """How often a node goes through its partners, or what it posts to one."""
        return self.config.posted

    @property
    def operations_of_round(self) -> int:
        """Operations of a node each time it goes through its partners, at most."""
        return int(self.partner.shape[1]) // self.rounds

    def job(self, rounds: int, packets: int) -> Job:
        """A job of fewer rounds, or shorter operations."""
        return Job(self, self.partner[:, : rounds * self.operations_of_round], packets)


class Job:
    """Operations on an engine, watched node by node; a part of the run, or all of it.

    Parameters
    ----------
    setting
        The run.
    partner
        Partners of the active nodes, shape (active, operations).
    packets
        Packets of data of an operation.
    """

    def __init__(self, setting: Setting, partner: Ints, packets: int) -> None:
        self.setting = setting
        partition = setting.resolved.partition
        real = partner >= 0
        self._owner = np.repeat(np.arange(len(setting.active)), real.sum(axis=1))
        operations = Operations(setting.kind, setting.active[self._owner], partner[real], packets)
        shape, torus = partition.shape, partition.torus
        self.graph: Graph = build(operations, setting.begin_cycles, setting.costs, shape, torus)
        kind = ENGINES[setting.config.engine]
        self.engine: Engine = kind(shape, torus, setting.router, self.graph.messages, self.graph.gates)
        index = np.full(partition.nodes, -1)
        index[setting.active] = np.arange(len(setting.active))
        waits = index[self.graph.completes]
        self._complete_gates, self._waits = self.graph.complete_gates[waits >= 0], waits[waits >= 0]
        self._look_cycles, self._occupancy = LOOK_CYCLES, 0.0

    def run(self, until_cycles: int | None = None) -> int:
        """Go on until a time, or to the end; return the time reached."""
        setting, engine = self.setting, self.engine
        before, begin = engine.packet_hops if not isinstance(engine, FlowEngine) else 0, time.process_time()
        if isinstance(engine, PacketEngine):
            now = self._run_watched(engine, until_cycles)
        else:
            now = engine.run() if isinstance(engine, PacketReference) else engine.run(until_cycles)
        setting.host_s += time.process_time() - begin
        if not isinstance(engine, FlowEngine):
            setting.hops += engine.packet_hops - before
        setting.engine = engine
        if setting.progress is not None:
            frequency = setting.resolved.machine.integer("core.frequency")
            setting.progress(now / frequency, f"{setting.hops:,} packet-hops")
        return now

    def _run_watched(self, engine: PacketEngine, until_cycles: int | None) -> int:
        """Run, and note how full the network was."""
        while True:
            limit = self._look_cycles if until_cycles is None else min(self._look_cycles, until_cycles)
            now = engine.run(limit)
            if now >= self._look_cycles:
                occupancy = engine.dynamic_occupancy
                self.setting.gridlocked = max(self.setting.gridlocked, min(self._occupancy, occupancy))
                self._look_cycles, self._occupancy = now + LOOK_CYCLES, occupancy
            if now < limit or (until_cycles is not None and now >= until_cycles):
                return now

    def moved(self) -> Ints:
        """Packets of data that have arrived, by the active node whose operations they belong to."""
        assert not isinstance(self.engine, PacketReference), "the readable engine is only run to the end"
        data = self.engine.delivered_packets[self.graph.data]
        return np.bincount(self._owner, data, minlength=len(self.setting.active)).astype(np.int64)

    def end_cycles(self) -> Ints:
        """When all operations of each active node were complete; -1 before."""
        opened = np.asarray(self.engine.opened_cycles)[self._complete_gates]
        end = np.zeros(len(self.setting.active), np.int64)
        np.maximum.at(end, self._waits, np.where(opened < 0, np.iinfo(np.int64).max, opened))
        return np.where(end == np.iinfo(np.int64).max, -1, end)


def run(resolved: ResolvedRun, progress: Progress | None = None) -> Outcome:
    """Run the traffic workload.

    Parameters
    ----------
    resolved
        The run.
    progress
        Called now and then with the simulated seconds so far and a note.

    Returns
    -------
    Outcome
        Time of an operation over the active nodes, the mean of their rates, link utilisation by direction;
        details ``steady_state``, ``protocol`` and ``measured``.

    Raises
    ------
    MisfitError
        If the workload makes no sense on this partition.
    """
    setting = prepare(resolved, progress)
    finding = _finding(setting)
    config, partition = setting.config, resolved.partition
    frequency = resolved.machine.integer("core.frequency")
    begin = setting.begin_cycles[setting.active]
    node_s = (finding.end_cycles - begin) / frequency
    operation_us = node_s / setting.operations * 1e6
    elapsed_s = float(finding.end_cycles.max() - begin.min()) / frequency
    size = int(config.size.value)
    metrics: dict[str, int | float] = {
        "elapsed_s": elapsed_s,
        "operation_us_min": float(operation_us.min()),
        "operation_us_avg": float(operation_us.mean()),
        "operation_us_max": float(operation_us.max()),
        "bandwidth_MiBps": float((size / 2**20 / (operation_us / 1e6)).mean()),
        "messages": int(setting.operations.sum()),
    }
    known = measured(config, partition, setting.kind) if resolved.like_measured else None
    if known is not None:
        metrics["deviation"] = deviation(metrics, known)
    loads = Loads.of(setting)
    metrics["packet_hops"] = loads.packet_hops
    link_cycles = _link_cycles(setting, finding)
    metrics |= loads.utilisation(setting, link_cycles)
    if setting.hops and setting.host_s:
        metrics["packet_hops_per_s_host"] = setting.hops / setting.host_s
    details: dict[str, Json] = {
        "active_nodes": len(setting.active),
        "protocol": setting.kind,
        "steady_state": finding.details,
        "costs": setting.costs.source,
        "measured": dict(known) if known is not None else None,
    }
    if config.link_load:
        details["link_load"] = loads.by_link(setting, link_cycles)
    return Outcome(metrics=metrics, details=details, warnings=_warnings(setting))


def _warnings(setting: Setting) -> list[str]:
    """Say what the times are not worth, if that is so."""
    if setting.gridlocked < GRIDLOCKED:
        return []
    gridlock = (
        f"the network was gridlocked ({setting.gridlocked:.0%} of the adaptive channels' slots taken); the "
        "machine's router should then move more than the model's, so the times are too long: see 'Long jobs' "
        "in docs/contention.md"
    )
    return [gridlock]


def _link_cycles(setting: Setting, finding: Finding) -> float:
    """Time until the last packet has arrived, which may be after the operations are complete."""
    begin = int(setting.begin_cycles[setting.active].min())
    last = float(finding.end_cycles.max())
    if not finding.details["extrapolated"]:
        assert setting.engine is not None, "the job was simulated"
        last = max(last, float(setting.engine.done_cycles.max()))
    return last - begin


def prepare(resolved: ResolvedRun, progress: Progress | None = None) -> Setting:
    """Work out who sends what to whom, and when each node begins.

    Raises
    ------
    MisfitError
        If the workload makes no sense on this partition.
    """
    config, machine, partition = resolved.workload, resolved.machine, resolved.partition
    assert isinstance(config, TrafficConfig)
    for refused in misfits(config, partition):
        raise MisfitError(*refused)
    active = posting(config, partition.shape)
    streams = {
        name: random_stream(resolved.seed, resolved.replication, name) for name in ("pattern", "begin")
    }
    partner = partners(config, partition.shape, partition.torus, active, streams["pattern"])
    skew = machine.cycles("barrier.exit_skew")
    return Setting(
        config=config,
        resolved=resolved,
        router=RouterParameters.from_datasheet(machine),
        costs=OperationCosts.of(resolved),
        kind=kind_of(
            config.operation,
            config.completion,
            int(config.size.value),
            int(machine.quantity("mpi.eager_limit").value),
        ),
        active=active,
        partner=partner,
        begin_cycles=streams["begin"].integers(0, skew + 1, partition.nodes),
        progress=progress,
    )


def _finding(setting: Setting) -> Finding:
    """When each active node is done: the whole job simulated, or a part of it."""
    config, partition = setting.config, setting.resolved.partition
    begin = setting.begin_cycles[setting.active]
    rounds, packets = setting.rounds, setting.packets
    per_round = setting.operations.max() / rounds
    total = round(rounds * per_round * packets)
    loads = Loads.of(setting)
    hops_of_packet = max(1.0, loads.packet_hops / total)  # all active nodes together
    partly = (
        config.extrapolate
        and config.engine in ("auto", "packet")
        and total > LEAST_PACKETS
        and total * hops_of_packet > COMPLETE_HOPS
    )
    if not partly:
        return _ended(setting.job(rounds, packets))
    least = WATCHED_HOPS / hops_of_packet
    fewest = max(1, SHORT_OPERATIONS // setting.operations_of_round)
    core_cycles = setting.operations.max() * setting.costs.core_cycles(setting.kind, packets)
    links_alone = core_cycles <= CORES_WAIT * loads.least_cycles(setting)
    if links_alone and config.pattern in SHIFTING and alike(partition.shape, partition.torus, setting.active):
        held = rounds
        # Few packets of many nodes are watched: a part of the operations is enough, and saves memory.
        together = setting.operations_of_round * len(setting.active)
        enough = max(fewest, ceil(WATCHED_TWICE * LEAST_PACKETS / (per_round * packets)))
        while held > enough and held * together > WATCHED_OPERATIONS:
            held = max(enough, held // 2)
        while True:
            job = setting.job(held, packets)
            found = steady_rate(job, total, begin, config.tolerance, least)
            if isinstance(found, Finding):
                unposted = (rounds - held) * per_round * setting.costs.announce_cycles(setting.kind)
                return Finding(found.end_cycles + unposted, found.details)
            if found == "leads last":
                break
            if held == rounds:
                return _ended(job)
            held = min(rounds, 4 * held)

    def simulate(wanted: int) -> tuple[int, NDArray[np.float64]]:
        part = max(fewest if links_alone else 1, -(-wanted // max(1, round(per_round * packets))))
        part = min(rounds, part)
        # Shorter operations would leave the cores the same work.
        short = min(packets, max(1, round(wanted / (part * per_round)))) if links_alone else packets
        job = setting.job(part, short)
        job.run()
        return round(part * per_round * short), (job.end_cycles() - begin).astype(np.float64)

    found = scaled_job(simulate, total, config.tolerance, least)
    return Finding(found.end_cycles + begin, found.details)


def _ended(job: Job) -> Finding:
    """Run the whole job to its end, from where it is."""
    job.run()
    details = {"method": "complete", "extrapolated": False, "simulated_share": 1.0}
    return Finding(job.end_cycles().astype(np.float64), details)


__all__ = ["PatternError", "prepare", "run"]
