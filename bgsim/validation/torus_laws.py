"""The packet engine of the torus against laws of queues and pipelines, and against the bisection bound."""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bgsim.datasheet import Datasheet
from bgsim.network.packet_engine import PacketEngine
from bgsim.network.router import RouterParameters
from bgsim.network.topology import Closed, Shape, node_count
from bgsim.network.traffic import FULL_CHUNKS, Messages, shifted
from bgsim.validation.case import Case, Row

Floats: TypeAlias = NDArray[np.float64]

SEED = 20110531
REPLICATIONS = 10
WARM_UP_SHARE = 0.1


class Arrivals(NamedTuple):
    """Messages that come to a link at random: mean length, packets of a replication, loads, tolerance."""

    packets_mean: int
    packets: int
    loads: tuple[float, ...]
    tolerance_percent: float


QUEUES = {
    "M/D/1": Arrivals(1, 4_000, (0.3, 0.5, 0.7, 0.8), 10.0),
    "M/M/1": Arrivals(16, 40_000, (0.3, 0.5, 0.7), 15.0),
}
"""A tolerance is about the half-width of the interval at the highest load."""

FAST_LOAD = 0.5

POSTED_CYCLES = 2
"""One cycle from posting into the DMA engine and one into the first FIFO."""

RING: Shape = (9, 1, 1)
OPEN: Closed = (False, False, False)
CLOSED: Closed = (True, True, True)

BISECTION_PACKETS = 64
BOUND_TOLERANCE_PERCENT = 60.0
"""All-to-all on Blue Gene/L reached 64 % of the bound where one dimension is twice as long as the others
(Kumar et al. 2008, abstract), which is 56 % more time."""


def parameters() -> RouterParameters:
    """The router of the datasheet."""
    return RouterParameters.from_datasheet(Datasheet.load())


def waits(queue: Arrivals, load: float, replication: int, router: RouterParameters) -> tuple[Floats, Floats]:
    """Time for which each message waits for a link, in units of a packet's time on it.

    Messages come to a node's injection FIFO at random (a Poisson stream) and all go to its neighbour; the
    link serves them one by one. With a mean of one packet all are one packet long, otherwise their lengths
    are drawn from a geometric distribution.

    Returns
    -------
    simulated, recursion
        Of the packet engine, and of Lindley's recursion for the same messages, shape (messages,).
    """
    random = np.random.default_rng([SEED, replication, queue.packets_mean, round(1000 * load)])
    service = router.link_cycles(FULL_CHUNKS)
    count = queue.packets // queue.packets_mean
    packets = np.ones(count, np.int64)
    if queue.packets_mean > 1:
        packets = random.geometric(1 / queue.packets_mean, count)
    gaps = random.exponential(service * queue.packets_mean / load, count)
    posted = np.cumsum(gaps).astype(np.int64)
    messages = Messages.make(np.zeros(count, np.int64), np.ones(count, np.int64), packets, post_cycles=posted)
    engine = PacketEngine((2, 1, 1), OPEN, router, messages)
    engine.run()
    alone = POSTED_CYCLES + packets * service + router.hop_cycles + router.endpoint_cycles
    waiting = [0]
    for number in range(1, count):
        earlier = waiting[-1] + int(packets[number - 1]) * service
        waiting.append(max(0, earlier - int(posted[number] - posted[number - 1])))
    return (engine.done_cycles - posted - alone) / service, np.array(waiting) / service


def pollaczek_khinchine(load: float, packets_mean: int) -> float:
    """Mean wait of Poisson arrivals at one server, in units of a packet's service.

    For one packet each, and for a geometric number of packets, whose second moment is 2 m^2 - m.
    """
    second_moment = 1.0 if packets_mean == 1 else 2.0 * packets_mean**2 - packets_mean
    return load * second_moment / packets_mean / (2 * (1 - load))


def queue_rows(fast: bool) -> Iterator[Row]:
    """Loads of the link, each with the interval over replications."""
    from scipy.stats import t  # slow to import

    router, quantile = parameters(), float(t.ppf(0.975, REPLICATIONS - 1))
    for name, queue in QUEUES.items():
        for load in queue.loads:
            if fast and (name != "M/D/1" or load != FAST_LOAD):
                continue
            point = f"load {100 * load:.0f} %"
            both = [waits(queue, load, number, router) for number in range(REPLICATIONS)]
            means = [float(found[round(WARM_UP_SHARE * len(found)) :].mean()) for found, _ in both]
            half_width = quantile * float(np.std(means, ddof=1)) / sqrt(REPLICATIONS)
            law = pollaczek_khinchine(load, queue.packets_mean)
            yield Row(name, point, law, float(np.mean(means)), queue.tolerance_percent, half_width)
            simulated, recursion = (float(np.mean([pair[which].sum() for pair in both])) for which in (0, 1))
            yield Row(f"{name}, the same messages by recursion", point, recursion, simulated, 0.0)


def pipeline_rows(fast: bool) -> Iterator[Row]:
    """Messages alone in the network, of few and of many packets, near and far."""
    router = parameters()
    for hops in (1, 2, 4, 8):
        for packets in (1, 10, 1000):
            engine = PacketEngine(RING, OPEN, router, Messages.make([0], [hops], [packets]))
            expected = (
                POSTED_CYCLES
                + packets * router.link_cycles(FULL_CHUNKS)
                + hops * router.hop_cycles
                + router.endpoint_cycles
            )
            far = f"{hops} hop{'s' if hops > 1 else ''}"
            size = f"{packets:,} packet{'s' if packets > 1 else ''}"
            engine.run()
            yield Row("all", f"{size}, {far}", expected, int(engine.done_cycles[0]), 0.0)


def across_the_middle(shape: Shape, messages: Messages) -> float:
    """Cycles that the links across the middle of the longest dimension need for what has to cross them."""
    axis = int(np.argmax(shape))
    extent, stride = shape[axis], int(np.prod(shape[:axis]))
    upper = [column // stride % extent >= extent // 2 for column in (messages.source, messages.destination)]
    crossing = int(messages.packets[upper[0] != upper[1]].sum())
    links = 4 * node_count(shape) // extent  # a ring is cut at two places, each with a link either way
    return crossing * parameters().link_cycles(FULL_CHUNKS) / links


def bisection_rows(fast: bool) -> Iterator[Row]:
    """The farthest partner for each node, and a random one for every packet."""
    for shape in ((8, 8, 8), (16, 8, 8)):
        nodes = np.arange(node_count(shape))
        farthest = shifted(shape, (shape[0] // 2, shape[1] // 2, shape[2] // 2))
        random = np.random.default_rng([SEED, *shape])
        source = np.repeat(nodes, BISECTION_PACKETS)
        anyone = (source + random.integers(1, len(nodes), len(source))) % len(nodes)
        for name, messages in (
            ("antipodal", Messages.make(nodes, farthest, BISECTION_PACKETS, dynamic=1)),
            ("uniform random", Messages.make(source, anyone, 1, dynamic=1)),
        ):
            engine = PacketEngine(shape, CLOSED, parameters(), messages)
            bound, took = across_the_middle(shape, messages), engine.run()
            assert took >= bound, "no traffic is faster than its bisection"
            yield Row(name, " x ".join(map(str, shape)), bound, took, BOUND_TOLERANCE_PERCENT)


QUEUE = Case(
    name="link-queue-against-pollaczek-khinchine",
    compares="mean wait of messages that come at random for one torus link with the law of such queues",
    kind="closed form",
    unit="packet times",
    source="Pollaczek and Khinchine: load x E[s^2] / (2 E[s] (1 - load)), s the time on the link",
    conditions=f"One link, {REPLICATIONS} replications, the first tenth of each left out; 95 % intervals. "
    f"M/D/1: one packet each. M/M/1: a geometric number of packets, mean {QUEUES['M/M/1'].packets_mean}, "
    "which is exponential but for its grain of a packet; the law is taken with its own second moment. "
    "Lindley's recursion for the very messages that were drawn has no chance in it and must agree to the "
    "cycle; it is compared as the sum of all waits of a replication.",
    binding=True,
    rows=queue_rows,
)

PIPELINE = Case(
    name="pipelined-transfer-against-closed-form",
    compares="time of a message alone, of some packets over some hops, with its pipeline",
    kind="closed form",
    unit="cycles",
    source="packets x time on a link + hops x hop latency + endpoint latency, and two cycles of injection",
    conditions="The compiled packet engine, a mesh of 9 nodes. No packet may be held up by tokens or FIFOs.",
    binding=True,
    rows=pipeline_rows,
)

BISECTION = Case(
    name="bisection-traffic-against-bound",
    compares="time of traffic of all nodes with the least that the links across the middle need",
    kind="closed form",
    unit="cycles",
    source="packets that must cross x time on a link / links across the middle of the longest dimension",
    conditions="A bound, so errors are how far the routers stay behind it, and a negative one would be a "
    "fault. Adaptive packets, 64 of each node, from the first to the last: filling and draining the network "
    "are in it. On 8 x 8 x 8 the antipodal pattern loads all links alike. The tolerance is "
    "what Blue Gene/L lost on a torus of 2:1:1, 56 % (Kumar et al. 2008), and a little.",
    binding=True,
    rows=bisection_rows,
)
