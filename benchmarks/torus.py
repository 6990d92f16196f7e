"""Speed and memory of the torus engines, and the measured tables against them.

``python benchmarks/torus.py speed`` times uniform random traffic of full packets on one core, after
compilation; ``python benchmarks/torus.py tables`` prints the shift and antipodal tables of the a1
benchmarks beside ours.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd

from bgsim.network.packet_engine import PacketEngine
from bgsim.network.packet_reference import PacketReference
from bgsim.network.router import RouterParameters
from bgsim.network.traffic import Messages, gets, puts, shifted

CLOSED = (True, True, True)
CYCLES_PER_US = 850
MIB = 1 << 20


def uniform(shape: tuple[int, int, int], per_node: int, *, packets: int = 10, seed: int = 1) -> Messages:
    """Messages of full packets from every node to random others, adaptively routed."""
    nodes = int(np.prod(shape))
    source = np.repeat(np.arange(nodes), per_node)
    destination = (source + np.random.default_rng(seed).integers(1, nodes, source.size)) % nodes
    return Messages.make(source, destination, packets, dynamic=1)


def speed() -> None:
    """Print packet hops per second of CPU time, and memory."""
    parameters = RouterParameters()
    PacketEngine((4, 4, 4), CLOSED, parameters, uniform((4, 4, 4), 2)).run()  # compiles
    reference = PacketReference((4, 4, 4), CLOSED, parameters, uniform((4, 4, 4), 4))
    begin = time.process_time()
    reference.run()
    print(f"reference 4x4x4: {reference.packet_hops / (time.process_time() - begin) / 1e6:.4f} M hops/s")
    for shape, per_node in (((8, 8, 8), 200), ((16, 16, 16), 20), ((32, 32, 32), 3)):
        engine = PacketEngine(shape, CLOSED, parameters, uniform(shape, per_node))
        most = 0
        begin = time.process_time()
        engine.run(20_000)
        spent = time.process_time() - begin
        most = engine.packets_in_flight
        begin = time.process_time()
        now = engine.run()
        spent += time.process_time() - begin
        utilisation = engine.packet_hops * parameters.link_cycles(8) / now / (6 * np.prod(shape))
        print(
            f"{shape}: {engine.packet_hops / spent / 1e6:.2f} M hops/s, "
            f"{spent / engine.events * 1e9:.0f} ns per event, "
            f"{engine.events / engine.packet_hops:.2f} events per hop, links {utilisation:.0%} busy, "
            f"{most} packets in flight, {engine.state_bytes / np.prod(shape):.0f} bytes per node"
        )


def tables(measured: Path, packets: int) -> None:
    """Print measured and simulated shifts and antipodal gets."""
    parameters, shape, nodes = RouterParameters(), (8, 8, 8), np.arange(512)
    stagger = np.random.default_rng(1).integers(0, CYCLES_PER_US, 512)
    shifts = pd.read_csv(measured / "shift_512_put.csv").query("bytes == 1048576")
    for row in shifts.itertuples():
        displacement = (row.abs_dx, row.abs_dy, row.abs_dz)
        messages = puts(nodes, shifted(shape, displacement), packets * 240, 1, stagger)
        engine = PacketEngine(shape, CLOSED, parameters, messages)
        engine.run()
        seconds = (engine.sent_cycles - messages.post_cycles) / (CYCLES_PER_US * 1e6)
        rate = float((packets * 240 / MIB / seconds).mean())
        middle = (row.min_MiBps + row.max_MiBps) / 2
        print(
            f"put {displacement}: measured {row.min_MiBps}..{row.max_MiBps}, "
            f"ours {rate:.1f} MiB/s ({rate / middle - 1:+.1%})"
        )
    gotten = pd.read_csv(measured / "antipodal_512_get_all_active.csv").query("routing_label == 'dynamic'")
    for row in gotten[gotten.bytes.isin([1024, 4096, 16384, 65536])].itertuples():
        posted = max(10, min(100, 200_000 // row.bytes))
        graph = gets(nodes, shifted(shape, (4, 4, 4)), row.bytes, posted, stagger=stagger, serve_cycles=300)
        engine = PacketEngine(shape, CLOSED, parameters, *graph)
        engine.run()
        done = engine.done_cycles[512 * posted :].reshape(512, posted).max(axis=1) - stagger
        us = done / CYCLES_PER_US / posted
        print(
            f"get {row.bytes} B: measured {row.min_us} {row.avg_us} {row.max_us}, "
            f"ours {us.min():.1f} {us.mean():.1f} "
            f"{us.max():.1f} us ({us.mean() / row.avg_us - 1:+.1%}), {posted} posted"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["speed", "tables"])
    parser.add_argument("--measured", type=Path, default=Path("bgsim/validation_data/measured"))
    parser.add_argument("--packets", type=int, default=3450, help="packets per node of a shift")
    arguments = parser.parse_args()
    if arguments.what == "speed":
        speed()
    else:
        tables(arguments.measured, arguments.packets)
