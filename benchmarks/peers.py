"""The jobs that SimGrid 4.1 and LogGOPSim were timed on, run by the torus engines.

Prints CPU seconds of one core side by side.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from bgsim.network.flow_engine import simulate_flows
from bgsim.network.implicit import neighbour_table
from bgsim.network.packet_engine import PacketEngine
from bgsim.network.router import RouterParameters
from bgsim.network.traffic import Messages, packet_count

CLOSED = (True, True, True)


def timed(job: Callable[[], float]) -> tuple[float, float]:
    """Answer of a job in milliseconds, and its CPU seconds."""
    begin = time.process_time()
    answer = job()
    return answer * 1e3, time.process_time() - begin


def permutation(measured: Path, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Read the fixed permutation of a cube."""
    table = pd.read_csv(measured / f"permutation_{size}x{size}x{size}.csv")
    return table["source"].to_numpy(), table["destination"].to_numpy()


def halo(size: int) -> float:
    """Ten times 100 KB to each of six neighbours."""
    shape = (size, size, size)
    there = neighbour_table(shape, CLOSED).reshape(-1).astype(np.int64)
    here = np.repeat(np.arange(size**3), 6)
    return sum(
        float(simulate_flows(shape, CLOSED, here, there, 100_000).end_seconds.max()) for _ in range(10)
    )


def alltoall() -> float:
    """1 KB from each of 512 nodes to every other."""
    nodes = np.arange(512)
    here, there = (grid.reshape(-1) for grid in np.meshgrid(nodes, nodes, indexing="ij"))
    apart = here != there
    return float(simulate_flows((8, 8, 8), CLOSED, here[apart], there[apart], 1024).end_seconds.max())


def packets(shape: tuple[int, int, int], source: np.ndarray, destination: np.ndarray) -> float:
    """Run the permutation packet by packet, adaptively routed."""
    messages = Messages.make(source, destination, packet_count(1_000_000), dynamic=1)
    engine = PacketEngine(shape, CLOSED, RouterParameters(), messages)
    return engine.run() / 850e6


def main(measured: Path, with_packets: bool) -> None:
    """Print job, theirs and ours."""
    simulate_flows((2, 2, 2), CLOSED, np.array([0]), np.array([7]), 1)  # compiles
    rows: list[tuple[str, str, Callable[[], float]]] = []
    for size, theirs in ((8, "SimGrid 0.07 s"), (16, "SimGrid 116 s (3.32)")):
        source, destination = permutation(measured, size)
        shape = (size, size, size)

        def fluid(shape=shape, source=source, destination=destination) -> float:
            return float(simulate_flows(shape, CLOSED, source, destination, 1_000_000).end_seconds.max())

        rows.append((f"permutation of 1 MB, {size}^3, flows", theirs, fluid))
        if with_packets:
            rows.append(
                (
                    f"permutation of 1 MB, {size}^3, packets",
                    theirs,
                    lambda s=shape, a=source, b=destination: packets(s, a, b),
                )
            )
    for size, theirs in ((8, "SimGrid 0.08 s"), (16, "SimGrid 1.46 s"), (32, "SimGrid 16.0 s")):
        rows.append((f"halo 6 x 100 KB x 10, {size}^3, flows", theirs, lambda size=size: halo(size)))
    rows.append(("all-to-all of 1 KB, 512 nodes, flows", "LogGOPSim 28.7 s", alltoall))
    for name, theirs, job in rows:
        answer, seconds = timed(job)
        print(f"{name:45s} {theirs:22s} ours {seconds:7.2f} s; simulated {answer:.3f} ms", flush=True)
    print(f"largest memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measured", type=Path, default=Path("bgsim/validation_data"))
    parser.add_argument("--packets", action="store_true", help="also packet by packet")
    arguments = parser.parse_args()
    main(arguments.measured, arguments.packets)
