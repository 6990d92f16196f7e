"""The jobs that SimGrid 4.1 and LogGOPSim were timed on, run by the torus engines.

Prints CPU seconds of one core and memory side by side; building the message graph is part of a job. Each job
runs in a process of its own, which has compiled before, so its memory is its own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from bgsim.network.flow_engine import FlowEngine
from bgsim.network.implicit import neighbour_table
from bgsim.network.packet_engine import PacketEngine
from bgsim.network.router import RouterParameters
from bgsim.network.traffic import Gates, Ints, Messages, packet_count

CLOSED = (True, True, True)
CYCLES_PER_MS = 850_000
FLUID = RouterParameters(chunk_cycles=60, overhead_cycles=0, hop_cycles=85, endpoint_cycles=0)
"""Headers off: 240 B of payload in the time of 240 B on a link; 100 ns per hop."""

MEASURED = Path("bgsim/validation_data/measured")


def permutation(size: int) -> tuple[Ints, Ints]:
    """Read the fixed permutation of a cube."""
    table = pd.read_csv(MEASURED / f"permutation_{size}x{size}x{size}.csv")
    return table["source"].to_numpy(), table["destination"].to_numpy()


def permutation_flows(size: int) -> float:
    """1 MB from each node, headers off, as fluids."""
    messages = Messages.make(*permutation(size), packet_count(1_000_000), last_chunks=6)
    engine = FlowEngine((size, size, size), CLOSED, FLUID, messages)
    engine.run()
    return float(engine.done_cycles.max()) / CYCLES_PER_MS


def permutation_packets(size: int, dynamic: int) -> float:
    """1 MB from each node, headers off, packet by packet."""
    messages = Messages.make(*permutation(size), packet_count(1_000_000), last_chunks=6, dynamic=dynamic)
    engine = PacketEngine((size, size, size), CLOSED, FLUID, messages)
    engine.run()
    return float(engine.done_cycles.max()) / CYCLES_PER_MS


def halo_graph(size: int, iterations: int = 10) -> tuple[Messages, Gates]:
    """Exchange 100 KB with six neighbours, several times; a node waits for all six before the next."""
    nodes = size**3
    there = neighbour_table((size, size, size), CLOSED).reshape(-1).astype(np.int64)
    here = np.repeat(np.arange(nodes), 6)
    begin = np.arange(iterations)[:, np.newaxis] * nodes  # gate g of an iteration: node g's turn
    gate = (begin + here).reshape(-1)
    messages = Messages.make(
        np.tile(here, iterations),
        np.tile(there, iterations),
        packet_count(100_000),
        fifo=np.tile(np.arange(6), nodes * iterations),
        gate=gate,
        then=(begin + nodes + there).reshape(-1),
        sent_then=gate + nodes,
    )
    needs = np.full((iterations + 1, nodes), 12)
    needs[0] = 0
    return messages, Gates.make(needs.reshape(-1), core=np.tile(np.arange(nodes), iterations + 1))


def halo(size: int) -> float:
    """Ten halo exchanges, as fluids."""
    engine = FlowEngine((size, size, size), CLOSED, RouterParameters(), *halo_graph(size))
    engine.run()
    return float(engine.opened_cycles.max()) / CYCLES_PER_MS


def alltoall_graph() -> Messages:
    """1 KB from each of 512 nodes to every other: pairwise exchange, all posted at once to one FIFO."""
    step, nodes = np.arange(1, 512), np.arange(512)
    source = np.repeat(nodes, 511)
    return Messages.make(source, source ^ np.tile(step, 512), packet_count(1024))


def alltoall_flows() -> float:
    """All-to-all as fluids."""
    engine = FlowEngine((8, 8, 8), CLOSED, RouterParameters(), alltoall_graph())
    engine.run()
    return float(engine.done_cycles.max()) / CYCLES_PER_MS


def alltoall_packets() -> float:
    """All-to-all packet by packet."""
    engine = PacketEngine((8, 8, 8), CLOSED, RouterParameters(), alltoall_graph())
    engine.run()
    return float(engine.done_cycles.max()) / CYCLES_PER_MS


def resident_mib() -> float:
    """Largest memory so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def timed(job: Callable[..., float], arguments: tuple[int, ...], results: multiprocessing.Queue) -> None:
    """Put into a queue: the answer of a job in milliseconds, its CPU seconds, its memory, and all memory."""
    one = Messages.make([0], [1], 1)
    FlowEngine((2, 2, 2), CLOSED, FLUID, one).run()
    PacketEngine((2, 2, 2), CLOSED, FLUID, one).run()
    before, begin = resident_mib(), time.process_time()
    answer = job(*arguments)
    results.put((answer, time.process_time() - begin, resident_mib() - before, resident_mib()))


def main(chosen: str) -> None:
    """Print job, theirs and ours."""
    rows: list[tuple[str, str, Callable[..., float], tuple[int, ...]]] = []
    for size, theirs, fluid in (
        (8, "SimGrid 0.07 s", "11.765 ms"),
        (16, "SimGrid 116 s (3.32)", "21.178 ms"),
    ):
        name = f"permutation of 1 MB, {size}^3 ({fluid})"
        rows.append((f"{name}, flows", theirs, permutation_flows, (size,)))
        rows.append((f"{name}, packets in order of dimensions", theirs, permutation_packets, (size, 0)))
        rows.append((f"{name}, packets, adaptive", theirs, permutation_packets, (size, 1)))
    for size, theirs in ((8, "0.08 s, 54 MB"), (16, "1.46 s, 371 MB"), (32, "16.0 s, 2900 MB")):
        rows.append((f"halo 6 x 100 KB x 10, {size}^3, flows", f"SimGrid {theirs}", halo, (size,)))
    rows.append(("all-to-all of 1 KB, 512 nodes, flows", "LogGOPSim 28.7 s", alltoall_flows, ()))
    rows.append(("all-to-all of 1 KB, 512 nodes, packets", "LogGOPSim 28.7 s", alltoall_packets, ()))
    for name, theirs, job, arguments in rows:
        if chosen not in name:
            continue
        results: multiprocessing.Queue = multiprocessing.get_context("spawn").Queue()
        process = multiprocessing.get_context("spawn").Process(target=timed, args=(job, arguments, results))
        process.start()
        answer, seconds, memory, total = results.get()
        process.join()
        print(
            f"{name:72s} {theirs:22s} ours {seconds:7.3f} s, {memory:.0f} MiB (with Python {total:.0f}); "
            f"simulated {answer:.3f} ms",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="jobs with this in their name")
    main(parser.parse_args().only)
