"""The collective network under generated traffic: nothing is lost, order is kept, wires are not overdrawn."""

import networkx as nx
import numpy as np
import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from bgsim.datasheet import Datasheet
from bgsim.network.callout import call_after
from bgsim.network.collective import LOCAL, CollectiveNetwork
from bgsim.network.collective_packet import CollectivePacket, CollectiveParameters, Operation, combine
from bgsim.network.topology import node_count
from bgsim.network.tree import CollectiveTree

MACHINE = CollectiveParameters.from_datasheet(Datasheet.load())

shapes = st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 3)).filter(
    lambda shape: node_count(shape) > 1
)


@settings(deadline=None, max_examples=60)
@given(shapes, st.data())
def test_one_packet_takes_its_bytes_and_the_shortest_way(shape, data) -> None:
    tree = CollectiveTree(shape, 16)
    source = data.draw(st.integers(0, tree.nodes - 1))
    destination = data.draw(st.integers(0, tree.nodes - 1).filter(lambda node: node != source))
    environment = simpy.Environment()
    network = CollectiveNetwork(environment, tree, MACHINE)
    got: list[CollectivePacket] = []
    network.attach(destination, got.append)
    network.inject(CollectivePacket(source, destination, content="x"))
    environment.run()
    network.check()
    below = np.flatnonzero(tree.parent >= 0)
    wires = nx.Graph(zip(tree.parent[below].tolist(), below.tolist(), strict=True))
    hops = nx.shortest_path_length(wires, source, destination)
    assert got[0].hops == network.hops(source, destination) == hops
    assert got[0].delivered_at == network.packet_latency_cycles(hops)
    assert got[0].content == "x"


@settings(deadline=None, max_examples=80)
@given(
    shapes,
    st.lists(
        st.tuples(st.integers(0, 3000), st.integers(0, 35), st.integers(0, 35), st.integers(0, 1)),
        max_size=60,
    ),
    st.integers(0, 6),
    st.integers(1, 3),
    st.integers(1, 900),
)
def test_mixed_traffic(shape, traffic, rounds, room, pause) -> None:
    """Point to point on both channels, sums on channel 0; readers take a packet now and then."""
    tree = CollectiveTree(shape, 16)
    environment = simpy.Environment()
    network = CollectiveNetwork(environment, tree, MACHINE)
    held: dict[tuple[int, int], list[CollectivePacket]] = {}
    taken: dict[int, list[CollectivePacket]] = {node: [] for node in range(tree.nodes)}

    def connect(node: int) -> None:
        fifos = [held.setdefault((node, channel), []) for channel in (0, 1)]

        def arrive(packet: CollectivePacket) -> None:
            fifos[packet.channel].append(packet)
            assert len(fifos[packet.channel]) <= room
            call_after(environment, pause + node, read, packet.channel)

        def read(channel: int) -> None:
            taken[node].append(fifos[channel].pop(0))
            network.resume(node)

        network.attach(node, arrive, lambda channel: room - len(fifos[channel]))

    def point_to_point() -> simpy.events.ProcessGenerator:
        for number, (at, source, destination, channel) in enumerate(sorted(traffic)):
            here, there = source % tree.nodes, destination % tree.nodes
            yield environment.timeout(max(0, at - environment.now))
            if here != there:
                network.inject(CollectivePacket(here, there, content=number, channel=channel))
            network.check()

    def sums(node: int) -> simpy.events.ProcessGenerator:
        for turn in range(rounds):
            yield environment.timeout(37 * (node % 5))
            content = (node + turn).to_bytes(4)
            network.inject(CollectivePacket(node, operation=Operation.ADD, operand_bytes=4, content=content))

    for node in range(tree.nodes):
        connect(node)
        environment.process(sums(node))
    environment.process(point_to_point())
    environment.run()
    network.check()
    assert network.in_flight == 0

    whole = tree.nodes * (tree.nodes - 1) // 2
    expected = [(whole + turn * tree.nodes).to_bytes(4) for turn in range(rounds)]
    sent = [
        (source % tree.nodes, destination % tree.nodes, channel, number)
        for number, (_, source, destination, channel) in enumerate(sorted(traffic))
        if source % tree.nodes != destination % tree.nodes
    ]
    for node, packets in taken.items():
        assert [packet.content for packet in packets if packet.destination < 0] == expected
        for source in range(tree.nodes):
            for channel in (0, 1):
                flow = [
                    p.content
                    for p in packets
                    if p.destination == node and (p.source, p.channel) == (source, channel)
                ]
                assert flow == [n for s, d, c, n in sent if (s, d, c) == (source, node, channel)]
    for _, port, packets_sent, busy in network.outputs():
        assert busy == packets_sent * MACHINE.packet_cycles <= environment.now
        assert port == LOCAL or 0 <= port < tree.nodes


@given(
    st.sampled_from([op for op in Operation if op != Operation.NONE]),
    st.integers(1, 8).map(lambda words: 2 * words),
    st.lists(st.binary(min_size=48, max_size=48), min_size=2, max_size=5),
)
def test_operands_are_combined_one_by_one(operation, operand_bytes, payloads) -> None:
    result = combine(operation, operand_bytes, payloads)
    numbers = {
        Operation.OR: np.bitwise_or,
        Operation.AND: np.bitwise_and,
        Operation.XOR: np.bitwise_xor,
        Operation.MAX: np.maximum,
        Operation.ADD: np.add,
    }
    if operand_bytes in (2, 4, 8):
        rows = [np.frombuffer(payload, f">u{operand_bytes}") for payload in payloads]
        assert result == numbers[operation].reduce(rows).astype(f">u{operand_bytes}").tobytes()
    assert result is not None
    assert len(result) == 48
    assert combine(operation, operand_bytes, [*payloads, None]) is None


def test_a_minimum_is_the_complement_of_a_maximum() -> None:
    values = [5, 9, 7]
    complements = [(2**32 - 1 - value).to_bytes(4) for value in values]
    result = combine(Operation.MAX, 4, complements)
    assert result is not None
    assert 2**32 - 1 - int.from_bytes(result) == min(values)


def test_what_cannot_be_combined_or_sent_is_refused() -> None:
    with pytest.raises(ValueError, match="without an operation"):
        combine(Operation.NONE, 2, [b"ab", b"cd"])
    with pytest.raises(ValueError, match="equal length"):
        combine(Operation.ADD, 2, [b"ab", b"c"])
    network = CollectiveNetwork(simpy.Environment(), CollectiveTree((2, 2, 1), 4), MACHINE)
    network.attach(0, lambda packet: None)
    with pytest.raises(ValueError, match="attached twice"):
        network.attach(0, lambda packet: None)
    with pytest.raises(ValueError, match="nothing is attached to node 1"):
        network.inject(CollectivePacket(0, 1))
    with pytest.raises(ValueError, match="to itself"):
        network.inject(CollectivePacket(1, 1))
    with pytest.raises(ValueError, match="not one of 4"):
        network.attach(40, lambda packet: None)
