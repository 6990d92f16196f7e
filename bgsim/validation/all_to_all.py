"""All-to-all exchanges on tori that are longer in one dimension, against Blue Gene/L's shares of peak."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from bgsim.network.packet_engine import PacketEngine
from bgsim.network.topology import Shape, node_count
from bgsim.network.traffic import Messages
from bgsim.validation.case import Case, Row
from bgsim.validation.torus_laws import CLOSED, SEED, across_the_middle, parameters

TOLERANCE_PERCENT = 15.0
"""That of the classes of puts; the abstracts give no interval, and one of them says "about"."""


class Measured(NamedTuple):
    """An exchange on the real machine, and the smaller torus of the same proportions that is simulated."""

    machine: Shape
    percent_of_peak: float
    shape: Shape
    packets: int
    """Packets from each node to each other one."""


MEASURED = (
    Measured((64, 32, 32), 64.0, (16, 8, 8), 2),
    Measured((40, 32, 16), 70.0, (20, 16, 8), 1),
)
"""Before the optimisations which the papers are about."""


def exchange(shape: Shape, packets: int) -> Messages:
    """Every node sends some packets to every other one, adaptively, in an order of its own."""
    nodes = node_count(shape)
    random = np.random.default_rng([SEED, *shape])
    apart = random.permuted(np.tile(np.arange(1, nodes), (nodes, 1)), axis=1)
    source = np.repeat(np.arange(nodes), nodes - 1)
    return Messages.make(source, (source + apart.ravel()) % nodes, packets, dynamic=1)


def rows(fast: bool) -> Iterator[Row]:
    """Shares of peak on two tori; if fast, on the smaller one."""
    for machine, percent, shape, packets in MEASURED[:1] if fast else MEASURED:
        messages = exchange(shape, packets)
        engine = PacketEngine(shape, CLOSED, parameters(), messages)
        engine.run()
        share = 100 * across_the_middle(shape, messages) / int(engine.done_cycles.max())
        point = f"{_spelled(machine)}, simulated {_spelled(shape)}"
        yield Row("all-to-all", point, percent, share, TOLERANCE_PERCENT)


def _spelled(shape: Shape) -> str:
    return " x ".join(map(str, shape))


ALL_TO_ALL = Case(
    name="all-to-all-against-blue-gene-l",
    compares="share of the bisection's peak that all-to-all traffic reaches where one dimension is longer",
    kind="measured",
    unit="% of peak",
    source="Kumar et al., ICPP 2008, and Kumar and Heidelberger, IBM RC24327, 2007, by their abstracts: 64 % "
    "on 64 x 32 x 32 and about 70 % on 40 x 32 x 16 nodes of Blue Gene/L, before they optimised it",
    conditions="The measured machine is Blue Gene/L, whose router Blue Gene/P inherits; a share of peak does "
    "not depend on the speed of the links. Simulated are smaller tori of the same proportions, packets of "
    "full length in an order of each node's own, from the first to the last. No number and no rule of the "
    "router was chosen for these figures; the tolerance, that of the classes of puts, was set when the "
    "results were known. What is lost is lost by packets that wait for the long dimension "
    "in buffers that others need.",
    binding=False,
    rows=rows,
)
