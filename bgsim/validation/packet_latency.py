"""One packet, and a train of packets, through an idle torus against the closed form."""

from __future__ import annotations

from collections.abc import Iterator

import simpy

from bgsim.datasheet import Datasheet
from bgsim.network.links import Packet
from bgsim.network.topology import distance
from bgsim.network.torus import TorusNetwork
from bgsim.validation.case import Case, Row

SHAPE = (8, 8, 8)
CLOSED = (True, True, True)
DESTINATIONS = (1, 9, 36, 292)
"""1, 2, 8 and 12 hops from node 0; the last is the farthest."""

TRAIN_PACKETS = 100


def arrival_cycles(chunks: int, destination: int, packets: int = 1) -> int:
    """When the last of some packets sent at time 0 is there."""
    environment = simpy.Environment()
    torus = TorusNetwork(environment, SHAPE, CLOSED, Datasheet.load())
    arrivals: list[int] = []
    torus.attach(destination, lambda packet: arrivals.append(int(environment.now)))
    for _ in range(packets):
        torus.inject(Packet(0, destination, torus.format.link_bytes(chunks)))
    environment.run()
    torus.check()
    assert len(arrivals) == packets, "every packet arrives"
    return arrivals[-1]


def closed_form_cycles(chunks: int, hops: int, packets: int = 1) -> int:
    """Bytes on the wire at half a byte per cycle, once; one hop latency per hop; both endpoints."""
    machine = Datasheet.load()
    wire = machine.integer("torus.packet_chunk") * chunks + machine.integer("torus.packet_link_overhead")
    hop, endpoint = machine.cycles("torus.hop_latency"), machine.cycles("torus.endpoint_latency")
    return 2 * wire * packets + hops * hop + endpoint


def rows(fast: bool) -> Iterator[Row]:
    """Sizes and distances; all are done at once."""
    for destination in DESTINATIONS:
        hops = distance(0, destination, SHAPE, CLOSED)
        far = f"{hops} hop{'s' if hops > 1 else ''}"
        for chunks in (1, 4, 8):
            expected = closed_form_cycles(chunks, hops)
            simulated = arrival_cycles(chunks, destination)
            yield Row("one packet", f"{32 * chunks} B, {far}", expected, simulated, 0.0)
        expected = closed_form_cycles(8, hops, TRAIN_PACKETS)
        simulated = arrival_cycles(8, destination, TRAIN_PACKETS)
        yield Row(f"{TRAIN_PACKETS} packets", far, expected, simulated, 0.0)


CASE = Case(
    name="packet-latency-against-closed-form",
    compares="arrival of packets in an idle torus with the cut-through formula",
    kind="closed form",
    unit="cycles",
    source="wire time of every packet + hops x hop latency + endpoint latency",
    conditions="8 x 8 x 8 torus, no other traffic. Checks the event simulation, not the parameters. The "
    "network is the detailed tier's; for the packet engine see pipelined-transfer-against-closed-form.",
    binding=True,
    rows=rows,
)
