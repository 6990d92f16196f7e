"""The packet-level torus between two and a few nodes: exact times, order, back-pressure."""

import pytest
import simpy

from bgsim.datasheet import Datasheet
from bgsim.network.links import Packet
from bgsim.network.topology import Direction
from bgsim.network.torus import PacketFormat, TorusNetwork

SHEET = Datasheet.load()
HOP = SHEET.cycles("torus.hop_latency")
ENDPOINT = SHEET.cycles("torus.endpoint_latency")
OPEN = (False, False, False)


def network(shape: tuple[int, int, int] = (2, 1, 1)) -> tuple[simpy.Environment, TorusNetwork]:
    environment = simpy.Environment()
    return environment, TorusNetwork(environment, shape, OPEN, SHEET)


def packet(torus: TorusNetwork, source: int, destination: int, chunks: int = 8) -> Packet:
    return Packet(source=source, destination=destination, link_bytes=torus.format.link_bytes(chunks))


def test_a_full_packet_is_272_link_bytes_and_640_ns() -> None:
    form = PacketFormat(SHEET)
    _, torus = network()
    assert form.payload_max_bytes == 240
    assert form.link_bytes(8) == 272
    assert torus.serialization_cycles(272) == 544
    assert SHEET.integer("core.frequency") * 640 == 544 * 10**9


@pytest.mark.parametrize(
    ("payload", "chunks"), [(1, 1), (16, 1), (17, 2), (208, 7), (209, 8), (240, 8), (5000, 8)]
)
def test_packets_are_as_small_as_their_payload_allows(payload: int, chunks: int) -> None:
    assert PacketFormat(SHEET).chunks(payload) == chunks


def test_an_empty_packet_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one byte"):
        PacketFormat(SHEET).chunks(0)


def test_neighbours_are_800_ns_apart_for_a_full_packet() -> None:
    environment, torus = network()
    arrivals: list[float] = []
    torus.attach(1, lambda each: arrivals.append(environment.now))
    torus.inject(packet(torus, 0, 1))
    environment.run()
    assert arrivals == [544 + HOP + ENDPOINT] == [torus.packet_latency_cycles(8, 1)]
    assert arrivals[0] == pytest.approx(800e-9 * 850e6, abs=1)


def test_packets_follow_each_other_at_link_rate_in_order() -> None:
    environment, torus = network()
    arrivals: list[tuple[float, object]] = []
    torus.attach(1, lambda each: arrivals.append((environment.now, each.content)))
    for number in range(20):
        each = packet(torus, 0, 1)
        each.content = number
        torus.inject(each)
    environment.run()
    first = torus.packet_latency_cycles(8, 1)
    assert arrivals == [(first + 544 * number, number) for number in range(20)]
    assert torus.link(0, Direction.X_PLUS).busy_cycles == 20 * 544


def test_both_directions_are_independent() -> None:
    environment, torus = network()
    arrivals: dict[int, float] = {}
    for node in (0, 1):
        torus.attach(node, lambda each: arrivals.update({each.destination: environment.now}))
    torus.inject(packet(torus, 0, 1))
    torus.inject(packet(torus, 1, 0))
    environment.run()
    assert arrivals[0] == arrivals[1] == torus.packet_latency_cycles(8, 1)


def test_routes_take_x_before_y_before_z() -> None:
    environment, torus = network((3, 3, 3))
    torus.attach(26, lambda each: None)
    torus.inject(packet(torus, 0, 26))
    environment.run()
    assert torus.link(0, Direction.X_PLUS).packets == 1
    assert torus.link(2, Direction.Y_PLUS).packets == 1
    assert torus.link(8, Direction.Z_PLUS).packets == 1
    assert torus.packet_hops == 6


def test_a_refusing_receiver_stops_the_link_and_loses_nothing() -> None:
    environment, torus = network()
    accepting, taken = False, []

    def receive(each: Packet) -> bool:
        if accepting:
            taken.append(each.content)
        return accepting

    torus.attach(1, receive)
    for number in range(20):
        each = packet(torus, 0, 1)
        each.content = number
        torus.inject(each)
    environment.run()
    stopped = torus.link(0, Direction.X_PLUS).packets
    assert stopped == SHEET.integer("torus.reception_fifo_packets")
    assert torus.in_flight == 20
    accepting = True
    torus.resume(1)
    environment.run()
    assert taken == list(range(20))
    assert torus.in_flight == 0
    torus.check()


def test_what_cannot_be_sent() -> None:
    environment, torus = network()
    with pytest.raises(ValueError, match="nothing is attached"):
        torus.inject(packet(torus, 0, 1))
    with pytest.raises(ValueError, match="does not use the network"):
        torus.inject(packet(torus, 1, 1))
    torus.attach(1, lambda each: None)
    with pytest.raises(ValueError, match="attached twice"):
        torus.attach(1, lambda each: None)
    with pytest.raises(ValueError, match="no neighbour"):
        torus.link(1, Direction.X_PLUS)
    environment.run()
