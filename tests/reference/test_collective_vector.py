"""The vector form of collective operations against the reference network, event for event."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from bgsim.datasheet import Datasheet
from bgsim.network.collective import CollectiveNetwork
from bgsim.network.collective_packet import CollectivePacket, CollectiveParameters, Operation
from bgsim.network.collective_vector import broadcast, combine_broadcast, reduce
from bgsim.network.topology import Shape, node_count
from bgsim.network.tree import CLASS_PSETS, OUTSIDE, ROOT, CollectiveTree, Route

MACHINE = CollectiveParameters.from_datasheet(Datasheet.load())

shapes = st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 3))
sizes = st.builds(
    CollectiveParameters,
    packet_cycles=st.integers(1, 60),
    hop_cycles=st.integers(0, 90),
    link_packets=st.integers(1, 4),
    fifo_packets=st.integers(1, 8),
    packet_interval_cycles=st.integers(0, 120),
    reception_interval_cycles=st.integers(0, 120),
    window_packets=st.integers(0, 10),
    injection_cycles=st.integers(0, 120),
)


class Software:
    """A node's: one process injects packets, another takes what arrives; both keep to FIFOs and window."""

    def __init__(
        self, network: CollectiveNetwork, node: int, ready: int, packets: int, number: int, take: int
    ) -> None:
        self.network, self.node, self.ready = network, node, ready
        self.fifo = network.parameters.fifo_packets
        self.waiting = self.received = 0
        self.done = ready
        self.freed = network.environment.event()
        self.arrived = network.environment.event()
        self.taken: list[int] = []
        self.took = network.environment.event()
        route = network.tree.classes[number]
        network.attach(node, self.on_packet, lambda channel: self.fifo - self.received)
        if route.contributes[node]:
            network.environment.process(self.inject(number, packets, bool(route.receives[node])))
        if route.receives[node]:
            network.environment.process(self.take(take))

    def inject(self, number: int, packets: int, receives: bool):
        environment = self.network.environment
        yield environment.timeout(self.ready)
        for packet in range(packets):
            if packet:
                while self.waiting == self.fifo:
                    yield self.freed
                yield environment.timeout(self.network.parameters.packet_interval_cycles)
                held_back_by = packet - self.network.parameters.window_packets
                if receives and 0 <= held_back_by < packet:
                    while len(self.taken) <= held_back_by:
                        yield self.took
                    opened = self.taken[held_back_by] + self.network.parameters.injection_cycles
                    yield environment.timeout(max(0, opened - environment.now))
            self.waiting += 1
            content = (self.node + packet).to_bytes(4)
            self.network.inject(
                CollectivePacket(
                    self.node, route=number, operation=Operation.ADD, operand_bytes=4, content=content,
                    on_departure=self.left,
                )
            )  # fmt: skip
        if not receives:
            self.done = int(environment.now)

    def left(self) -> None:
        self.waiting -= 1
        self.freed.succeed()
        self.freed = self.network.environment.event()

    def on_packet(self, packet: CollectivePacket) -> None:
        self.received += 1
        self.results = [*getattr(self, "results", []), packet.content]
        self.arrived.succeed()
        self.arrived = self.network.environment.event()

    def take(self, packets: int):
        environment = self.network.environment
        yield environment.timeout(self.ready)
        for _ in range(packets):
            while not self.received:
                yield self.arrived
            yield environment.timeout(self.network.parameters.reception_interval_cycles)
            self.received -= 1
            self.network.resume(self.node)
            self.taken.append(int(environment.now))
            self.took.succeed()
            self.took = environment.event()
        self.done = int(environment.now)


def reference(
    tree: CollectiveTree, route: Route, ready: Sequence[int], packets: int, parameters: CollectiveParameters
) -> list[int]:
    """Completion of every node, from the network."""
    environment = simpy.Environment()
    network = CollectiveNetwork(environment, tree, parameters)
    tree.define(5, route)
    nodes = [Software(network, node, at, packets, 5, packets) for node, at in enumerate(ready)]
    environment.run()
    network.check()
    assert network.in_flight == 0
    for root in route.roots.tolist():
        below = {root}
        for node in route.order.tolist():
            if route.parent[node] in below:
                below.add(node)
        inside = [node for node in below if route.contributes[node]]
        sums = [(sum(inside) + packet * len(inside)).to_bytes(4) for packet in range(packets)]
        assert all(nodes[node].results == sums for node in below if route.receives[node])
    return [node.done for node in nodes]


@st.composite
def cases(draw: st.DrawFn) -> tuple[Shape, list[int], int, CollectiveParameters]:
    shape = draw(shapes)
    skew = draw(st.sampled_from([0, 100, 3000]))
    ready = draw(st.lists(st.integers(0, skew), min_size=node_count(shape), max_size=node_count(shape)))
    return shape, ready, draw(st.integers(1, 20)), draw(sizes | st.just(MACHINE))


@settings(deadline=None, max_examples=60)
@given(cases())
def test_allreduce(case) -> None:
    shape, ready, packets, parameters = case
    tree = CollectiveTree(shape, 8)
    done = combine_broadcast(tree, np.array(ready), packets, parameters)
    assert done.tolist() == reference(tree, tree.partition, ready, packets, parameters)


@settings(deadline=None, max_examples=30)
@given(cases())
def test_reduce(case) -> None:
    shape, ready, packets, parameters = case
    tree = CollectiveTree(shape, 8)
    route = tree.partition.with_roles(receives=tree.parent == ROOT)
    done = reduce(tree, np.array(ready), packets, parameters)
    assert done.tolist() == reference(tree, route, ready, packets, parameters)


@settings(deadline=None, max_examples=30)
@given(cases(), st.data())
def test_broadcast(case, data: st.DataObject) -> None:
    shape, ready, packets, parameters = case
    tree = CollectiveTree(shape, 8)
    source = data.draw(st.integers(0, tree.nodes - 1) | st.none())
    giver = int(tree.order[0]) if source is None else source
    route = tree.partition.with_roles(contributes=np.arange(tree.nodes) == giver)
    done = broadcast(tree, np.array(ready), packets, parameters, source)
    assert done.tolist() == reference(tree, route, ready, packets, parameters)


@settings(deadline=None, max_examples=30)
@given(cases(), st.sampled_from(CLASS_PSETS))
def test_psets_side_by_side(case, number: int) -> None:
    shape, ready, packets, parameters = case
    tree = CollectiveTree(shape, 4)
    if number in tree.classes:
        route = tree.classes[number]
        done = combine_broadcast(route, np.array(ready), packets, parameters)
        assert done.tolist() == reference(tree, route, ready, packets, parameters)


@settings(deadline=None, max_examples=30)
@given(cases(), st.data())
def test_sub_boxes(case, data: st.DataObject) -> None:
    shape, ready, packets, parameters = case
    tree = CollectiveTree(shape, 8)
    origin = tuple(data.draw(st.integers(0, size - 1)) for size in shape)
    extents = tuple(data.draw(st.integers(1, size - at)) for size, at in zip(shape, origin, strict=True))
    route = tree.box_route(origin, extents)
    done = combine_broadcast(route, np.array(ready), packets, parameters)
    assert done.tolist() == reference(tree, route, ready, packets, parameters)


def test_the_whole_machine_takes_the_published_latency() -> None:
    tree = CollectiveTree((72, 32, 32), 128)
    done = combine_broadcast(tree, np.zeros(tree.nodes, np.int64), 1, MACHINE)
    latency = Datasheet.load().cycles("collective.latency_72_racks")
    assert done.max() == 2 * latency + MACHINE.packet_cycles
    assert done[tree.order[0]] == latency + MACHINE.packet_cycles


def test_long_operations_run_at_the_speed_of_the_link() -> None:
    tree = CollectiveTree((8, 8, 8), 64)
    ready = np.zeros(tree.nodes, np.int64)
    few, many = (combine_broadcast(tree, ready, packets, MACHINE).max() for packets in (100, 300))
    assert many - few == 200 * MACHINE.packet_cycles
    slow = replace(MACHINE, packet_interval_cycles=500)
    few, many = (combine_broadcast(tree, ready, packets, slow).max() for packets in (100, 300))
    assert many - few == 200 * 500


def test_a_window_of_one_packet_is_a_round_trip_to_each() -> None:
    tree = CollectiveTree((8, 8, 8), 64)
    ready = np.zeros(tree.nodes, np.int64)
    narrow = replace(MACHINE, packet_interval_cycles=800, reception_interval_cycles=380)
    few, many = (combine_broadcast(tree, ready, packets, narrow).max() for packets in (10, 30))
    assert many - few == 20 * 800
    narrow = replace(narrow, window_packets=1, injection_cycles=420)
    few, many = (combine_broadcast(tree, ready, packets, narrow).max() for packets in (10, 30))
    assert many - few == 20 * (420 + 2 * tree.depth * MACHINE.hop_cycles + MACHINE.packet_cycles + 380)


def test_what_makes_no_sense_is_refused() -> None:
    tree = CollectiveTree((4, 4, 2), 32)
    ready = np.zeros(32, np.int64)
    with pytest.raises(ValueError, match="at least one packet"):
        reduce(tree, ready, 0, MACHINE)
    box = tree.box_route((0, 0, 0), (2, 2, 2))
    outside = int(np.flatnonzero(box.parent == OUTSIDE)[0])
    with pytest.raises(ValueError, match="has no part"):
        broadcast(box, ready, 1, MACHINE, outside)
    assert combine_broadcast(box, ready + 7, 1, MACHINE)[outside] == 7
