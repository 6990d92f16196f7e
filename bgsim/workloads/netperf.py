"""netperf between two neighbours through the guest's Ethernet driver.

``tcp_stream`` and ``udp_stream`` send messages one way as fast as the sender can; ``tcp_rr`` and
``udp_rr`` exchange a request and a response of the same size. Both nodes run the same guest on the
same kind of platform. Every descriptor, packet, interrupt and register access is simulated.

A stream is measured from the first measured send call to the receipt of the last message (datagrams
that are still on their way when it begins count, for others may be lost), and its
latency is that of one message from send call to the receiving program. Counts per frame, processor
time per message, frames and interrupts are of the measured part, both nodes together; the exit table,
the attribution and the totals are of the whole run.

Each node starts at a random time within the microkernel's tick, and the client after a random delay, drawn
from the run's seed and replication and nothing else: replications differ, and those of all platforms, tests
and sizes begin alike, so that pairs of them can be compared.

The warm-up is at most a quarter of the messages that ``data`` allows; where that is less than what was
asked for, the record has a warning.
With ``warmup: auto`` the warm-up is found after the run (:mod:`bgsim.workloads.netperf_warmup`).

TCP runs with TCP_NODELAY (netperf ``-D``). A datagram carries at most 65,507 bytes. Left out: netperf's
control connection, and other processes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import simpy

from bgsim.datasheet import Datasheet
from bgsim.guests.ethernet import EthernetDriver
from bgsim.guests.ethernet_collective import CollectiveEthernet
from bgsim.guests.ethernet_torus import TorusEthernet
from bgsim.guests.network import NETWORK_LINUX, NetworkLinux
from bgsim.guests.network_paths import NetworkPaths
from bgsim.guests.tcp import HEADER_BYTES, TcpSocket
from bgsim.guests.udp import UdpSocket
from bgsim.hardware.node import Node, build_nodes
from bgsim.network.topology import Direction, neighbour
from bgsim.platforms import PLATFORMS
from bgsim.platforms.seam import Code, Run, Wait, total_attribution
from bgsim.profiles import program as ops
from bgsim.profiles.program import kernel_program, operation
from bgsim.steady import grows
from bgsim.workloads.configs import NetperfConfig
from bgsim.workloads.netperf_programs import PROGRAMS, Recorder
from bgsim.workloads.netperf_warmup import MESSAGES_MIN, WatchedRecorder
from bgsim.workloads.outcome import ExitRow, Json, Outcome
from bgsim.workloads.resolved import Partition, ResolvedRun

Progress = Callable[[float, str], None]

CLIENT, SERVER = 0, 1


class NetperfError(ValueError):
    """The workload cannot be run as configured."""


@dataclass
class Side:
    """One node with what runs on it."""

    node: Node
    guest: NetworkLinux
    driver: EthernetDriver
    socket: Any
    platform: Any = None
    raised_at: int | None = None
    delays: list[int] = field(default_factory=list)

    def watch_interrupts(self, environment: simpy.Environment) -> None:
        """Time interrupts from the controller's line to the guest's vector."""
        tell = self.node.bic.on_change
        assert tell is not None

        def changed(core: int) -> None:
            if self.raised_at is None and self.node.bic.pending(core):
                self.raised_at = int(environment.now)
            tell(core)

        self.node.bic.on_change = changed
        self.guest.on_vector = self._vector

    def _vector(self, now: int) -> None:
        if self.raised_at is not None:
            self.delays.append(now - self.raised_at)
            self.raised_at = None

    def snapshot(self) -> dict[str, int]:
        """Counts of this node at one moment."""
        counters = self.platform.counters()
        return {
            "busy_cycles": self.platform.busy_cycles(),
            "exits": counters.get("exits_total", 0),
            "exits_ipc": counters.get("exits_ipc", 0),
            "interrupts": self.guest.interrupts,
            "frames": self.driver.frames_sent,
            "delays": len(self.delays),
        }


def run(resolved: ResolvedRun, progress: Progress | None = None) -> Outcome:
    """Run one netperf test.

    Parameters
    ----------
    resolved
        Its workload is a :class:`NetperfConfig`.
    progress
        Told the simulated seconds once at the end.

    Raises
    ------
    NetperfError
        If the partition has no two neighbours.
    """
    config = resolved.workload
    assert isinstance(config, NetperfConfig)
    machine = resolved.machine
    numbers = _neighbours(resolved.partition)
    size, mtu = int(config.message_size.value), int(config.mtu.value)
    warmup, messages, warnings = _count(config, size)
    environment = simpy.Environment()
    partition = resolved.partition
    nodes = build_nodes(environment, machine, partition.shape, partition.torus, numbers, partition.pset)
    marks: list[list[dict[str, int]]] = []

    def mark() -> None:
        marks.append([side.snapshot() for side in sides])

    watched = config.warmup == "auto"
    recorder = (WatchedRecorder if watched else Recorder)((size, warmup, messages), mark)
    recorder.by_time = config.test == "udp_stream"
    random = Random(_key(resolved))
    tick = machine.cycles("l4.tick")
    phases = [random.randrange(tick) for _ in range(2)]
    delay = random.randrange(tick)
    sides = [
        _build(
            machine,
            resolved.guest,
            config,
            nodes.nodes[numbers[own]],
            numbers[1 - own],
            mtu,
            own,
            recorder,
            delay,
        )
        for own in (CLIENT, SERVER)
    ]
    for side, phase in sorted(zip(sides, phases, strict=True), key=lambda pair: pair[1]):
        if phase > environment.now:
            environment.run(until=phase)
        side.platform = PLATFORMS[resolved.platform](environment, machine, side.guest, side.node)
        side.watch_interrupts(environment)
    for side in sides:
        environment.run(side.platform.process)
    environment.run(until=environment.now + 1)
    nodes.check()
    if progress is not None:
        progress(environment.now / machine.integer("core.frequency"), f"{resolved.platform}: done")
    return replace(_outcome(resolved, config, sides, recorder, marks), warnings=warnings)


# -- what runs -------------------------------------------------------------------------------------


def _build(
    machine: Datasheet,
    name: str,
    config: NetperfConfig,
    node: Node,
    peer: int,
    mtu: int,
    own: int,
    recorder: Recorder,
    delay: int,
) -> Side:
    paths = NetworkPaths(machine)
    driver: TorusEthernet | CollectiveEthernet
    if config.network == "torus":
        driver = TorusEthernet(machine, paths)
    else:
        driver = CollectiveEthernet(machine, paths, node.number)
    give_up_cycles = round(machine.integer("core.frequency") / 50)
    guest: NetworkLinux

    def main() -> Code:
        program = PROGRAMS[config.test][own]
        if own == SERVER:
            recorder.server_ready = True
        else:
            while not recorder.server_ready:
                yield Wait()
            if delay:
                yield Run(kernel_program("start", [operation(ops.WORK_USER, delay)]))
        yield from program(socket, recorder, guest, give_up_cycles)

    guest = NETWORK_LINUX[name](machine, driver, paths, peer, mtu, main)
    socket: TcpSocket | UdpSocket
    socket = TcpSocket(machine, guest) if config.test.startswith("tcp") else UdpSocket(machine, guest)
    return Side(node, guest, driver, socket)


# -- what is asked ----------------------------------------------------------------------------------


def _neighbours(partition: Partition) -> tuple[int, int]:
    if partition.nodes < 2:
        raise NetperfError(f"netperf needs two nodes, but partition {partition.name!r} has {partition.nodes}")
    for direction in Direction:
        other = neighbour(0, direction, partition.shape, partition.torus)
        if other is not None and other != 0:
            return 0, other
    raise NetperfError(f"node 0 of partition {partition.name!r} has no torus neighbour")


def _count(config: NetperfConfig, size: int) -> tuple[int, int, list[str]]:
    """Messages before measuring and measured, and what is to be said of them."""
    directions, what = (2, "transactions") if config.test.endswith("rr") else (1, "messages")
    fit = max(2 // directions, int(config.data.value) // (size * directions))
    messages = min(config.messages, fit)
    if config.warmup == "auto":
        return 0, messages, []
    warmup = min(config.warmup, fit // 4)
    reduced = (
        f"workload.warmup: {warmup} used, not {config.warmup}: at most a quarter of what workload.data "
        f"allows ({what}: {fit}) goes before measuring; measured: {messages}"
    )
    return warmup, messages, [reduced] if warmup < config.warmup else []


def _key(resolved: ResolvedRun) -> int:
    """Seed of the start phases: the same for every platform, test and size, so that points are paired."""
    text = f"netperf/{resolved.seed}/{resolved.replication}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


# -- what came out ----------------------------------------------------------------------------------


def _outcome(
    resolved: ResolvedRun,
    config: NetperfConfig,
    sides: list[Side],
    recorder: Recorder,
    marks: list[list[dict[str, int]]],
) -> Outcome:
    frequency = resolved.machine.integer("core.frequency")
    platforms = [side.platform for side in sides]
    begin, warmup = 0, None
    if isinstance(recorder, WatchedRecorder):
        if len(recorder.arrivals) < MESSAGES_MIN:
            raise NetperfError(
                f"workload.warmup: {len(recorder.arrivals)} messages arrived; to find the warm-up takes "
                f"{MESSAGES_MIN} at least: raise workload.messages and workload.data, or fix it"
            )
        begin, warmup = recorder.settle()
    first, last = marks[begin], marks[-1]
    measured = {
        name: sum(after[name] - before[name] for before, after in zip(first, last, strict=True))
        for name in first[0]
    }
    delays = [
        delay
        for side, before, after in zip(sides, first, last, strict=True)
        for delay in side.delays[before["delays"] : after["delays"]]
    ]
    counters: dict[str, int] = {}
    for platform in platforms:
        for name, count in platform.counters().items():
            counters[name] = counters.get(name, 0) + count
    attribution = total_attribution(platforms)
    total = sum(attribution.values())
    if not recorder.latencies:
        raise NetperfError("no measured message arrived; send fewer or smaller ones")
    elapsed = recorder.end - recorder.begin
    latencies = sorted(recorder.latencies)
    messages = recorder.received_messages
    directions = 2 if config.test.endswith("rr") else 1
    frames = measured["frames"]

    def microseconds(cycles: float) -> float:
        return cycles * 1e6 / frequency

    metrics: dict[str, int | float] = {
        "elapsed_s": elapsed / frequency,
        "throughput_bps": 8 * directions * recorder.received_bytes * frequency / elapsed,
        "latency_us": microseconds(sum(latencies) / len(latencies)),
        "latency_p50_us": microseconds(_percentile(latencies, 50)),
        "latency_p99_us": microseconds(_percentile(latencies, 99)),
        "cpu_us_per_message": microseconds(measured["busy_cycles"] / messages),
        "cpu_utilisation": measured["busy_cycles"] / (2 * elapsed),
        "messages": messages,
        "frames": frames,
        "interrupts": measured["interrupts"],
        "interrupts_per_frame": measured["interrupts"] / frames,
        "exits_per_frame": measured["exits"] / frames,
        "exits_total": counters.get("exits_total", 0),
        "exits_ipc": counters.get("exits_ipc", 0),
        "cycles_l4": counters.get("cycles_l4", 0),
        "cycles_vmm": counters.get("cycles_vmm", 0),
        "cycles_total": total,
        "instructions": counters["instructions"],
        "tlb_misses": counters["tlb_misses"],
        "vtlb_misses": counters["vtlb_misses"],
    }
    sent, received = (
        sum(side.driver.frames_sent for side in sides),
        sum(side.driver.frames_received for side in sides),
    )
    details: dict[str, Json] = {
        "message_bytes": recorder.size,
        "measured_messages": recorder.sizes[2],
        "warmup_messages": recorder.sizes[1],
        "messages_lost_whole_run": recorder.total - recorder.delivered,
        "frames_sent_whole_run": sent,
        "frames_received_whole_run": received,
        "frames_dropped_by_driver": sum(side.driver.frames_dropped for side in sides),
        "frames_dropped_by_backlog": sum(side.guest.backlog_dropped for side in sides),
        "datagrams_dropped_by_socket": sum(getattr(side.socket, "dropped", 0) for side in sides),
        "retransmissions": sum(getattr(side.socket, "retransmissions", 0) for side in sides),
        "interrupt_to_vector_us_mean": microseconds(sum(delays) / len(delays)) if delays else None,
        "interrupt_to_vector_us_max": microseconds(max(delays)) if delays else None,
        "exits_ipc_per_frame": measured["exits_ipc"] / frames,
        "counters": dict(counters),
    }
    if warmup is not None:
        details["warmup"] = warmup
    waiting = recorder.waiting() if recorder.by_time else []  # other tests wait for what they have sent
    if grows(waiting):
        details["saturated"] = (
            f"{waiting[-1]} of {recorder.total} messages were under way when the last one was sent, and ever "
            "more: a longer run would lose some"
        )
    if config.test.startswith("tcp"):
        details["segment_bytes_max"] = int(config.mtu.value) - HEADER_BYTES
    assert sent >= received, "more frames received than sent"
    return Outcome(metrics=metrics, exits=_exits(platforms), attribution=attribution, details=details)


def _exits(platforms: list[Any]) -> list[ExitRow]:
    rows: dict[str, ExitRow] = {}
    for platform in platforms:
        for cause in platform.exits():
            row = rows.setdefault(cause.cause, ExitRow(cause=cause.cause, count=0, cycles_l4=0, cycles_vmm=0))
            row["count"] += cause.count
            row["cycles_l4"] += cause.cycles_l4
            row["cycles_vmm"] += cause.cycles_vmm
    return sorted(rows.values(), key=lambda row: (-row["cycles_l4"] - row["cycles_vmm"], row["cause"]))


def _percentile(ordered: list[int], percent: int) -> int:
    """The smallest value that at least ``percent`` of all do not exceed."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]
