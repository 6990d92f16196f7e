"""Speed and memory of the torus engines, and the measured tables against them.

``python benchmarks/torus.py speed`` times uniform random traffic of full packets on one core, after
compilation; ``python benchmarks/torus.py tables`` prints the shift and antipodal tables of the a1
benchmarks beside ours.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numba as nb
import numpy as np
import pandas as pd

from bgsim.network.implicit import neighbour_table
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


@nb.njit(cache=True)
def plain_links(until, hops, place, origin, following, first, last, busy, slot, chain, neighbour, seed):
    """Run packets over links that are mere queues: no channels, no tokens, no routers; return hops made.

    A packet that arrives is replaced by one of the same origin to a random node. Event e is the header of
    packet e // 2 at a node, or link e // 2 free again; events of a time are chained.
    """
    made = 0
    for now in range(until):
        event = slot[now & 1023]
        slot[now & 1023] = -1
        while event >= 0:
            after = chain[event]
            link = -1
            if event & 1:
                link = event >> 1
                busy[link] = first[link] >= 0
            else:
                packet = event >> 1
                if hops[packet] == 0:
                    seed = seed * 6364136223846793005 + 1442695040888963407
                    hops[packet] = seed >> 33 & 0x070707 | seed >> 60 << 24 & 0x7000000 | 1
                    place[packet] = origin[packet]
                word = hops[packet]
                dimension = 0 if word & 0xFF else (1 if word & 0xFF00 else 2)
                link = place[packet] * 6 + 2 * dimension + (word >> (24 + dimension) & 1)
                following[packet] = -1
                if first[link] < 0:
                    first[link] = packet
                else:
                    following[last[link]] = packet
                last[link] = packet
                if busy[link]:
                    link = -1
                else:
                    busy[link] = True
            if link >= 0 and first[link] >= 0:
                packet = first[link]
                first[link] = following[packet]
                direction = link % 6
                hops[packet] -= 1 << 8 * (direction >> 1)
                place[packet] = neighbour[link // 6, direction]
                if hops[packet] & 0xFFFFFF == 0:
                    hops[packet] = 0
                made += 1
                for number, wait in ((2 * packet, 46), (2 * link + 1, 544)):
                    chain[number] = slot[(now + wait) & 1023]
                    slot[(now + wait) & 1023] = number
            event = after
    return made


def plain_speed(shape: tuple[int, int, int], cycles: int) -> float:
    """Hops per microsecond of links without routers, as many packets in flight as the engine has."""
    nodes = int(np.prod(shape))
    count = 27 * nodes
    origin = np.repeat(np.arange(nodes, dtype=np.int32), 27)
    events = 2 * max(count, 6 * nodes)
    state = (
        np.zeros(count, np.int64), origin.copy(), origin, np.full(count, -1, np.int32),
        np.full(6 * nodes, -1, np.int32), np.full(6 * nodes, -1, np.int32), np.zeros(6 * nodes, np.bool_),
        np.full(1024, -1, np.int32), np.full(events, -1, np.int32), neighbour_table(shape, CLOSED), 1,
    )  # fmt: skip
    slot, chain = state[7], state[8]
    for packet in range(count):
        chain[2 * packet] = slot[packet * 7 % 600]
        slot[packet * 7 % 600] = 2 * packet
    plain_links(0, *state)
    begin = time.process_time()
    return float(plain_links(cycles, *state)) / (time.process_time() - begin) / 1e6


def chase_ns(kib: int) -> float:
    """Nanoseconds of a load that depends on the one before, in so much memory: how busy the machine is."""
    count = kib * 128
    order = np.random.default_rng(1).permutation(count)
    table = np.empty(count, np.int64)
    table[order] = np.roll(order, 1)
    chase(table, 1)
    best = np.inf
    for _ in range(5):
        begin = time.perf_counter()
        chase(table, 200_000)
        best = min(best, time.perf_counter() - begin)
    return float(best) / 200_000 * 1e9


@nb.njit(cache=True)
def chase(table, steps):
    """Follow a chain."""
    place = 0
    for _ in range(steps):
        place = table[place]
    return place


def speed() -> None:
    """Print packet hops per second of one core, best of windows of two packet times, and memory."""
    parameters = RouterParameters()
    PacketEngine((4, 4, 4), CLOSED, parameters, uniform((4, 4, 4), 2)).run()  # compiles
    waits = ", ".join(f"{chase_ns(kib):.0f} ns in {kib} KiB" for kib in (16, 512, 8192, 65536))
    print(f"dependent loads: {waits} (an idle machine: 2, 5, 25, 90)")
    reference = PacketReference((4, 4, 4), CLOSED, parameters, uniform((4, 4, 4), 4))
    begin = time.process_time()
    reference.run()
    print(f"reference 4x4x4: {reference.packet_hops / (time.process_time() - begin) / 1e6:.4f} M hops/s")
    for shape, per_node, windows in (((8, 8, 8), 100, 60), ((16, 16, 16), 20, 20), ((32, 32, 32), 6, 8)):
        engine = PacketEngine(shape, CLOSED, parameters, uniform(shape, per_node))
        window = 2 * parameters.link_cycles(8)
        now = engine.run(20 * window if shape[0] < 32 else 8 * window)
        rates = []
        for _ in range(windows):
            hops, events, begin = engine.packet_hops, engine.events, time.process_time()
            now = engine.run(now + window)
            rates.append((engine.packet_hops - hops) / (time.process_time() - begin) / 1e6)
        busy = (engine.packet_hops - hops) * parameters.link_cycles(8) / window / (6 * np.prod(shape))
        print(
            f"{shape}: {max(rates):.2f} M hops/s (median {np.median(rates):.2f}), "
            f"{(engine.events - events) / (engine.packet_hops - hops):.2f} events per hop, "
            f"links {busy:.0%} busy, {engine.packets_in_flight} packets in flight, "
            f"{engine.state_bytes / engine.packets_in_flight:.0f} bytes each; "
            f"links without routers {plain_speed(shape, 20_000 if shape[0] < 32 else 3_000):.2f} M hops/s",
            flush=True,
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
