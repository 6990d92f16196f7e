"""Networks under generated traffic: nothing is lost, one packet takes the time its bytes and hops say."""

import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from bgsim.datasheet import Datasheet
from bgsim.network.links import LinkNetwork, Packet
from bgsim.network.topology import distance, node_count
from bgsim.network.torus import TorusNetwork

SHEET = Datasheet.load()

shapes = st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 3)).filter(
    lambda s: node_count(s) > 1
)
closed = st.tuples(st.booleans(), st.booleans(), st.booleans())


@st.composite
def one_packet(draw: st.DrawFn) -> tuple[tuple[int, int, int], tuple[bool, bool, bool], int, int, int]:
    shape = draw(shapes)
    source = draw(st.integers(0, node_count(shape) - 1))
    destination = draw(st.integers(0, node_count(shape) - 1).filter(lambda node: node != source))
    return shape, draw(closed), source, destination, draw(st.integers(1, 8))


@given(one_packet())
def test_one_packet_takes_its_bytes_and_hops(
    case: tuple[tuple[int, int, int], tuple[bool, bool, bool], int, int, int],
) -> None:
    shape, torus, source, destination, chunks = case
    environment = simpy.Environment()
    network = TorusNetwork(environment, shape, torus, SHEET)
    network.attach(destination, lambda packet: None)
    packet = Packet(source, destination, network.format.link_bytes(chunks))
    network.inject(packet)
    environment.run()
    hops = distance(source, destination, shape, torus)
    assert packet.hops == hops
    link_bytes = 32 * chunks + 16
    fixed = hops * SHEET.cycles("torus.hop_latency") + SHEET.cycles("torus.endpoint_latency")
    assert packet.delivered_at - packet.injected_at == 2 * link_bytes + fixed


@settings(max_examples=50, deadline=None)
@given(
    shapes,
    closed,
    st.lists(
        st.tuples(st.integers(0, 2000), st.integers(0, 35), st.integers(0, 35), st.integers(1, 8)),
        max_size=80,
    ),
    st.lists(st.booleans(), min_size=1, max_size=8),
)
def test_packets_injected_are_delivered_or_in_flight(
    shape: tuple[int, int, int],
    torus: tuple[bool, bool, bool],
    traffic: list[tuple[int, int, int, int]],
    moods: list[bool],
) -> None:
    environment = simpy.Environment()
    network = TorusNetwork(environment, shape, torus, SHEET)
    nodes = node_count(shape)
    taken: list[Packet] = []
    offers = 0

    def receive(packet: Packet) -> bool:
        nonlocal offers
        offers += 1
        accepted = moods[offers % len(moods)]
        if accepted:
            taken.append(packet)
        return accepted

    for node in range(nodes):
        network.attach(node, receive)

    def inject() -> simpy.events.ProcessGenerator:
        for at, source, destination, chunks in sorted(traffic):
            if source % nodes != destination % nodes:
                yield environment.timeout(max(0, at - environment.now))
                network.inject(Packet(source % nodes, destination % nodes, network.format.link_bytes(chunks)))
            network.check()

    environment.process(inject())
    environment.run()
    network.check()
    if any(moods):
        while network.in_flight:
            for node in range(nodes):
                network.resume(node)
            environment.run()
        assert len(taken) == network.delivered == network.injected
        assert len({id(packet) for packet in taken}) == len(taken)
        in_order_per_flow(taken)
    else:
        assert network.in_flight == network.injected
    capacity(network, int(environment.now))


def in_order_per_flow(packets: list[Packet]) -> None:
    latest: dict[tuple[int, int], int] = {}
    for packet in packets:
        flow = packet.source, packet.destination
        assert packet.injected_at >= latest.get(flow, 0)
        latest[flow] = packet.injected_at


def capacity(network: LinkNetwork, elapsed: int) -> None:
    for links in network._links_into.values():
        assert all(link.busy_cycles <= max(elapsed, link.free_at) for link in links)
