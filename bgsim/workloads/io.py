"""File system calls of all processes of a partition, through their psets' I/O nodes to a file server.

Every process runs the same program of calls (:mod:`bgsim.workloads.io_programs`), one at a time, and all
start together. CNK and ZeptoOS ship them; Kittyhawk Linux is an NFS client, in the detailed tier only
(:mod:`bgsim.workloads.io_nfs`). The machine tier computes stations and queues
(:mod:`bgsim.machine.io_engine`) with the compute node's costs that the detailed tier measured on the same
platform; the detailed tier executes every packet and instruction path (:mod:`bgsim.workloads.io_detailed`).

Layers of a call's time: the compute core, from the call to the request's last packet in the network and
from the answer's arrival to the return; the collective network; the daemon with the proxies, waiting for
them included; the Ethernet with the file server's distance; the file server with its queues. The
attribution of a run is that of the process which finishes last. What is left out: metadata caches,
striping, other jobs on the file server, and the time the control system takes to load and start a job.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bgsim.datasheet import Datasheet
from bgsim.hardware.file_server import IoParameters
from bgsim.hardware.io_protocol import LAYERS, Call
from bgsim.machine.io_engine import run_queues
from bgsim.machine.io_program import Ints, Places, Times, columns
from bgsim.machine.tree_runs import tree_of
from bgsim.network.collective_packet import CollectiveParameters
from bgsim.network.psets import io_hops
from bgsim.workloads.io_config import IoConfig
from bgsim.workloads.io_detailed import IoError, IoJob, node_costs, piece_bytes, times_of
from bgsim.workloads.io_nfs import NfsJob
from bgsim.workloads.io_programs import ProgramCall, program, shipped
from bgsim.workloads.outcome import ExitRow, Json, Outcome
from bgsim.workloads.resolved import ResolvedRun
from bgsim.workloads.support import NFS_GUESTS

Progress = Callable[[float, str], None] | None

COUNTED = ("instructions", "tlb_misses", "exits_total", "exits_ipc", "cycles_l4", "cycles_vmm")
"""Counts of the platform that a detailed run reports, summed over nodes."""


def run(resolved: ResolvedRun, progress: Progress = None) -> Outcome:
    """Run the io workload.

    Parameters
    ----------
    resolved
        The run.
    progress
        Called now and then with the simulated seconds so far and a note.

    Returns
    -------
    Outcome
        ``elapsed_s``, until the last process is done; ``throughput_bps`` and ``bytes`` of file data;
        ``latency_us`` of a call with percentiles; details ``layers``: mean microseconds per call and layer.

    Raises
    ------
    IoError
        If there are fewer places than processes, or a packet was lost.
    """
    config = resolved.workload
    assert isinstance(config, IoConfig)
    calls = program(config, resolved.machine)
    fit = resolved.partition.nodes * config.processes_per_node
    processes = fit if config.processes is None else config.processes
    if processes > fit:
        raise IoError(f"workload.processes: {processes:,} do not fit {fit:,} places")
    if config.tier == "detailed":
        return _detailed(resolved, calls, processes)
    return _queues(resolved, config, calls, processes, progress)


def _queues(
    resolved: ResolvedRun, config: IoConfig, calls: list[ProgramCall], processes: int, progress: Progress
) -> Outcome:
    machine, partition = resolved.machine, resolved.partition
    frequency = machine.integer("core.frequency")
    tree = tree_of(partition.shape, partition.pset)
    node = np.arange(processes, dtype=np.int64) // config.processes_per_node
    places = Places(node, tree.pset_of[node].astype(np.int64), io_hops(tree)[node])
    daemon = config.served_by(resolved.guest)
    parameters = IoParameters.from_datasheet(machine, daemon)
    costs = node_costs(machine, resolved.platform, resolved.guest)
    pieces = piece_bytes(machine, resolved.guest)
    times = Times.of(costs, parameters, CollectiveParameters.from_datasheet(machine))

    def tell(now_cycles: int, done: int) -> None:
        if progress is not None:
            progress(now_cycles / frequency, f"{done:,} of {processes:,} processes done")

    steps = columns(shipped(calls, *pieces), parameters)
    found = run_queues(steps, times, places, tell)
    band: Json = None
    if config.server_range:
        ends = []
        for machine_end in server_ends(machine):
            at_end = IoParameters.from_datasheet(machine_end, daemon)
            table = columns(shipped(program(config, machine_end), *pieces), at_end)
            network = CollectiveParameters.from_datasheet(machine_end)
            ends.append(int(run_queues(table, Times.of(costs, at_end, network), places, tell).finished.max()))
        band = [cycles / frequency for cycles in ends]
    percentiles = (found.percentile(0.5), found.percentile(0.99))
    metrics, attribution, details = _summary(
        resolved, calls, found.finished, found.layers, found.calls, percentiles
    )
    metrics["latency_us"] = found.latency_sum / found.calls * 1e6 / frequency
    metrics["operation_us_min"] = found.latency_min * 1e6 / frequency
    metrics["operation_us_max"] = found.latency_max * 1e6 / frequency
    details |= {
        "tier": "machine",
        "daemon": daemon,
        "elapsed_s_range": band,
        "psets": int(places.pset.max()) + 1,
        "percentile_resolution": "1.1 %",
        "node_costs_cycles": {name: getattr(costs, name) for name in type(costs).__slots__},
    }
    return Outcome(metrics=metrics, attribution=attribution, details=details)


MORE_IS_BETTER = frozenset(
    {"file_server.metadata_servers", "file_server.data_servers", "file_server.bandwidth"}
)


def server_ends(machine: Datasheet) -> tuple[Datasheet, Datasheet]:
    """The machine with the file server and a program's start at their favourable and unfavourable ends.

    A number that the user has set has no range, and stays.
    """
    best: dict[str, object] = {}
    worst: dict[str, object] = {}
    for name in machine:
        if name.split(".")[0] not in ("file_server", "startup"):
            continue  # and is not read: it has no effect here
        parameter = machine[name]
        if parameter.low is None or parameter.high is None or name in machine.overridden:
            continue
        low, high = parameter.show(parameter.low), parameter.show(parameter.high)
        best[name], worst[name] = (high, low) if name in MORE_IS_BETTER else (low, high)
    return machine.with_values(best), machine.with_values(worst)


def _detailed(resolved: ResolvedRun, calls: list[ProgramCall], processes: int) -> Outcome:
    frequency = resolved.machine.integer("core.frequency")
    config = resolved.workload
    assert isinstance(config, IoConfig)
    kind = NfsJob if resolved.guest in NFS_GUESTS else IoJob
    job = kind(
        resolved.machine,
        resolved.platform,
        resolved.partition,
        calls,
        processes,
        resolved.guest,
        config.served_by(resolved.guest),
    )
    job.run()
    finished, layers, latencies = times_of(job)
    percentiles = (float(np.percentile(latencies, 50)), float(np.percentile(latencies, 99)))
    metrics, attribution, details = _summary(resolved, calls, finished, layers, latencies.size, percentiles)
    metrics["latency_us"] = float(latencies.mean()) * 1e6 / frequency
    metrics["operation_us_min"] = float(latencies.min()) * 1e6 / frequency
    metrics["operation_us_max"] = float(latencies.max()) * 1e6 / frequency
    counters = [process.core.counters() for process in job.processes]
    metrics |= {name: sum(counts.get(name, 0) for counts in counters) for name in COUNTED}
    exits = [
        ExitRow(cause=row.cause, count=row.count, cycles_l4=row.cycles_l4, cycles_vmm=row.cycles_vmm)
        for row in job.processes[0].core.exits()
    ]
    details |= {
        "tier": "detailed",
        "daemon": config.served_by(resolved.guest),
        "psets": len(job.io_nodes),
        "collective_packets": {
            "to_io_nodes": sum(node.packets_received for node in job.io_nodes),
            "from_io_nodes": sum(node.packets_sent for node in job.io_nodes),
        },
        "exits_of_node": 0,
        **job.counts(),
    }
    return Outcome(metrics=metrics, exits=exits, attribution=attribution, details=details)


def _summary(
    resolved: ResolvedRun,
    calls: list[ProgramCall],
    finished: Ints,
    layers: Ints,
    count: int,
    percentiles: tuple[float, float],
) -> tuple[dict[str, int | float], dict[str, int], dict[str, Json]]:
    """What both tiers report."""
    frequency = resolved.machine.integer("core.frequency")
    last, processes = int(finished.argmax()), finished.size
    elapsed = int(finished[last])
    assert (layers.sum(axis=1) == finished).all(), "layers sum to a process's time"
    moved = processes * sum(call.length for call in calls if call.call in (Call.READ, Call.WRITE))
    metrics: dict[str, int | float] = {
        "elapsed_s": elapsed / frequency,
        "cycles_total": elapsed,
        "messages": count,
        "latency_p50_us": percentiles[0] * 1e6 / frequency,
        "latency_p99_us": percentiles[1] * 1e6 / frequency,
    }
    if moved:
        metrics["bytes"] = moved
        metrics["throughput_bps"] = moved * 8 * frequency / elapsed
    attribution = {name: int(layers[last, layer]) for layer, name in LAYERS.items()}
    mean: dict[str, Json] = {
        name: float(layers[:, layer].sum()) * 1e6 / frequency / count for layer, name in LAYERS.items()
    }
    details: dict[str, Json] = {
        "nodes": resolved.partition.nodes,
        "nodes_per_io_node": resolved.partition.pset,
        "processes": processes,
        "calls_per_process": len(calls),
        "layers_us_per_call": mean,
    }
    return metrics, attribution, details
