"""Function-shipped I/O: queues against closed forms, its two tiers, published start-up times."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from bgsim.datasheet import Datasheet
from bgsim.hardware.file_server import IoParameters
from bgsim.hardware.io_protocol import Call
from bgsim.machine.io_engine import run_queues
from bgsim.machine.io_program import NodeCosts, Places, Step, Times, columns
from bgsim.network.collective_packet import CollectiveParameters
from bgsim.network.topology import Shape
from bgsim.validation.case import Case, Row
from bgsim.validation_data import STARTUP_IMAGE_S, STARTUP_PYTHON_S
from bgsim.workloads import execute
from bgsim.workloads.io_config import IoConfig
from bgsim.workloads.resolved import Partition, ResolvedRun

NODE = NodeCosts(send=3000, inject=1800, receive=2700, take=1800, drain=1750, buffered=8)
"""Round numbers of the order of CNK's on bare metal."""

STORM_PSETS, STORM_NODES = 128, 128

SHAPES: dict[int, Shape] = {
    1: (4, 4, 2),
    128: (4, 4, 2),
    512: (4, 4, 8),
    1024: (8, 4, 8),
    2048: (8, 8, 8),
    4096: (8, 8, 16),
    8192: (8, 8, 32),
    16384: (8, 16, 32),
}
"""Partition of so many cores, four to a node."""

FAST_CORES_MAX = 512

TIER_RUNS: dict[str, tuple[Shape, int, dict[str, Any]]] = {
    "open and close, 8 nodes": ((2, 2, 2), 8, {"pattern": "open-close", "iterations": 5}),
    "open and close, 2 I/O nodes": ((4, 2, 2), 8, {"pattern": "open-close", "iterations": 5}),
    "write 200 KiB, 8 nodes": ((2, 2, 2), 8, {"pattern": "write", "size": "200 KiB"}),
    "read 200 KiB, 8 nodes": ((2, 2, 2), 8, {"pattern": "read", "size": "200 KiB"}),
}


def run_io(shape: Shape, pset: int, platform: str = "bare-metal", **settings: Any) -> dict[str, int | float]:
    """Metrics of the workload io."""
    machine = Datasheet.load()
    config = IoConfig.model_validate({"kind": "io", **settings})
    partition = Partition("x".join(map(str, shape)), shape, (False,) * 3, pset)
    return execute(ResolvedRun(machine, machine, partition, platform, "cnk", config, 1, 0)).metrics


def queue_rows(fast: bool) -> Iterator[Row]:
    """One call alone; a storm of opens; a storm of writes through one daemon; in core cycles."""
    machine = Datasheet.load()
    io, network = IoParameters.from_datasheet(machine), CollectiveParameters.from_datasheet(machine)
    times = Times.of(NODE, io, network)
    one = Places(*(np.array([value], np.int64) for value in (0, 0, 3)))
    way = 3 * network.hop_cycles + network.packet_cycles
    daemon = io.receive_cycles + 2 * io.message_cycles + max(io.send_cycles, network.packet_cycles)
    ends = NODE.send + NODE.receive + 2 * way + daemon + io.proxy_cycles
    outside = 2 * io.wire_cycles(0) + io.latency_cycles
    for call, expected in ((Call.LSEEK, ends), (Call.OPEN, ends + outside + io.server.metadata_cycles)):
        found = run_queues(columns([Step(call)], io), times, one)
        yield Row("a call alone", call.name.lower(), expected, int(found.finished[0]), 0.0)
    processes = STORM_PSETS * STORM_NODES
    number = np.arange(processes, dtype=np.int64)
    storm = Places(number, number // STORM_NODES, np.full(processes, 3, np.int64))
    found = run_queues(columns([Step(Call.OPEN)], io), times, storm)
    busy = processes * io.server.metadata_cycles
    expected = ends + outside + busy
    yield Row("a storm", f"{processes:,} opens, one server", expected, int(found.finished.max()), 0.0)
    writes = 64
    crowd = Places(number[:writes], np.zeros(writes, np.int64), np.full(writes, 3, np.int64))
    steps = columns([Step(Call.WRITE, machine.integer("ciod.buffer"))] * 8, io)
    found = run_queues(steps, times, crowd)
    per_call = int(steps.up[0]) * io.receive_cycles + 2 * io.message_cycles + io.send_cycles
    yield Row("a storm", "64 writers, one daemon", writes * 8 * per_call, int(found.finished.max()), 3.0)


def tier_rows(fast: bool) -> Iterator[Row]:
    """Small jobs in both tiers."""
    for name, (shape, pset, settings) in TIER_RUNS.items():
        if fast and not name.startswith("open"):
            continue
        detailed = run_io(shape, pset, tier="detailed", **settings)["elapsed_s"]
        queues = run_io(shape, pset, **settings)["elapsed_s"]
        yield Row("elapsed, native", name, detailed * 1e3, queues * 1e3, 10.0)


def startup_rows(fast: bool) -> Iterator[Row]:
    """The published start-up times beside the datasheet's values."""
    for name, pattern, published in (
        ("Python", "python-startup", STARTUP_PYTHON_S),
        ("C++", "image-startup", STARTUP_IMAGE_S),
    ):
        for cores, seconds in published.items():
            if fast and cores > FAST_CORES_MAX:
                continue
            shape = SHAPES[cores]
            found = run_io(
                shape,
                min(128, shape[0] * shape[1] * shape[2]),
                pattern=pattern,
                processes=cores,
                processes_per_node=4,
            )
            yield Row(name, f"{cores:,} cores", seconds, found["elapsed_s"], 50.0)


QUEUES = Case(
    name="io-queues-against-closed-form",
    compares="a shipped call in an idle machine, and storms on a server and on a daemon, with sums of times",
    kind="closed form",
    unit="cycles",
    source="a call: the sum of its stations; a storm of opens: the same and every open's time at the server; "
    "writers: packets x the daemon's time for each",
    conditions="Compute nodes with round costs. Checks the queues, not their parameters; the writers' first "
    "and last call are not overlapped, hence their tolerance.",
    binding=True,
    rows=queue_rows,
)

TIERS = Case(
    name="io-queues-against-detailed-tier",
    compares="file system calls computed as a network of queues with the same calls packet by packet",
    kind="reference",
    unit="ms",
    source="the detailed tier, from which the compute node's costs were taken on one node",
    conditions="CNK on bare metal, one process per node. Requests that share the daemon and answers that "
    "share the way down are served one after the other in the queues, and packet by packet in detail.",
    binding=False,
    rows=tier_rows,
)

STARTUP = Case(
    name="startup-against-jugene",
    compares="start-up of a program from one shared file system with the times published for JUGENE",
    kind="measured",
    unit="s",
    source="J. Meinke, SciPy proceedings, table 1",
    conditions="The file server behind it, the interpreter's calls and the nodes per I/O node are not "
    "published: 128 nodes, 4 processes each, and the guesses of the datasheet, none of which was fitted. "
    "The figure of `experiments/io-startup.yaml` has the band over their ranges; loading and starting the "
    "job is not simulated.",
    binding=False,
    rows=startup_rows,
)
