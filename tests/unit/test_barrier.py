"""The barrier network and its device: gates, arming, and a barrier as IBM's software does it."""

import networkx as nx
import numpy as np
import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from bgsim.datasheet import Datasheet
from bgsim.hardware import barrier_device as gi
from bgsim.hardware.barrier_device import ARM_AND, ARM_OR, Dcr, Status
from bgsim.hardware.node import Node, build_nodes
from bgsim.network.barrier import BarrierNetwork, BarrierTree, barrier_vector

SHEET = Datasheet.load()
POLL_CYCLES = 7


def write(node: Node, register: int, value: int) -> None:
    node.dcr.write(gi.DCR_BASE + register, value)


def status(node: Node) -> int:
    return node.dcr.read(gi.DCR_BASE)


def barrier(environment: simpy.Environment, node: Node, channel: int) -> simpy.events.ProcessGenerator:
    while not status(node) & Status.STATE >> channel:
        yield environment.timeout(POLL_CYCLES)
    write(node, Dcr.SEND + channel, 0)
    write(node, Dcr.ARM + channel, ARM_AND)
    write(node, Dcr.SEND + channel, 1)
    while not status(node) & Status.STICKY >> channel:
        yield environment.timeout(POLL_CYCLES)


def test_the_whole_machine_takes_the_published_time() -> None:
    tree = BarrierTree.from_datasheet(73_728, SHEET)
    assert tree.latency_cycles == SHEET.cycles("barrier.latency_72_racks")
    assert BarrierTree.from_datasheet(1, SHEET).latency_cycles == 0
    assert BarrierTree.from_datasheet(32, SHEET).latency_cycles == round(552 * 5 / 17)


@pytest.mark.parametrize("nodes", [1, 2, 3, 32, 45, 512])
def test_every_way_to_the_top_has_the_latency(nodes: int) -> None:
    tree = BarrierTree.from_datasheet(nodes, SHEET)
    graph = tree.graph()
    tops = [node for node, degree in graph.out_degree() if degree == 0]
    assert len(tops) == 1
    assert max(degree for _, degree in graph.in_degree()) <= 2
    lengths = nx.single_target_shortest_path_length(graph, tops[0])
    weighed = nx.single_source_dijkstra_path_length(graph.reverse(), tops[0], weight="latency_cycles")
    for node in range(nodes):
        assert dict(lengths)[node] == tree.levels
        assert weighed[node] == tree.latency_cycles


@settings(deadline=None, max_examples=80)
@given(st.lists(st.integers(0, 3000), min_size=2, max_size=40), st.integers(0, 700))
def test_gates_and_vector_agree(enter: list[int], latency: int) -> None:
    environment = simpy.Environment()
    tree = BarrierTree(len(enter), latency)
    network = BarrierNetwork(environment, tree)
    left = np.full(len(enter), -1)

    def listener(node: int):
        def heard(channel: int, up: bool) -> None:
            assert (channel, up) == (2, False)
            left[node] = environment.now

        return heard

    for node in range(len(enter)):
        network.attach(node, listener(node))

    def program(node: int) -> simpy.events.ProcessGenerator:
        yield environment.timeout(enter[node])
        network.drive(2, node, False)

    for node in range(len(enter)):
        environment.process(program(node))
    environment.run()
    assert left.tolist() == barrier_vector(tree, np.array(enter)).tolist()


@settings(deadline=None, max_examples=25)
@given(st.lists(st.lists(st.integers(0, 900), min_size=3, max_size=3), min_size=2, max_size=8))
def test_barriers_one_after_the_other_let_nobody_pass_early(work: list[list[int]]) -> None:
    environment = simpy.Environment()
    nodes = build_nodes(environment, SHEET, (len(work), 1, 1), (False,) * 3)
    one_way = nodes.barrier.tree.latency_cycles
    entered: list[list[float]] = [[] for _ in range(3)]
    passed: list[list[float]] = [[] for _ in range(3)]

    def program(node: Node) -> simpy.events.ProcessGenerator:
        for turn, cycles in enumerate(work[node.number]):
            yield environment.timeout(cycles)
            entered[turn].append(environment.now)
            yield from barrier(environment, node, 0)
            passed[turn].append(environment.now)

    for node in nodes.nodes.values():
        environment.process(program(node))
    environment.run()
    for before, after in zip(entered, passed, strict=True):
        assert len(after) == len(work)
        assert min(after) >= max(before) + 2 * one_way
        # a node may have to wait for the line to come back, a round trip, and polls now and then
        assert max(after) <= max(before) + 4 * one_way + 2 * POLL_CYCLES


def test_the_status_tells_what_a_node_does_and_sees() -> None:
    environment = simpy.Environment()
    nodes = build_nodes(environment, SHEET, (2, 1, 1), (False,) * 3).nodes
    rest = sum(
        field >> channel
        for field in (Status.MODE, Status.TYPE, Status.STATE, Status.OUTPUT)
        for channel in range(4)
    )
    assert status(nodes[0]) == rest
    write(nodes[0], Dcr.SEND + 1, 1)
    assert status(nodes[0]) == (rest | Status.ARMED >> 1) & ~(Status.OUTPUT >> 1)
    write(nodes[1], Dcr.SEND + 1, 1)
    environment.run()
    assert status(nodes[0]) == status(nodes[1]) == rest | Status.STICKY >> 1
    write(nodes[0], Dcr.SEND + 1, 0)
    assert status(nodes[0]) == rest


def test_an_or_reaches_nodes_that_did_not_send() -> None:
    environment = simpy.Environment()
    nodes = build_nodes(environment, SHEET, (4, 1, 1), (False,) * 3).nodes
    for node in nodes.values():
        write(node, Dcr.ARM + 3, ARM_OR)
    environment.run()
    assert not any(status(node) & Status.STATE >> 3 for node in nodes.values())
    write(nodes[2], Dcr.SEND + 3, 1)
    environment.run()
    assert all(status(node) & Status.STICKY >> 3 for node in nodes.values())
    assert not status(nodes[2]) & Status.OUTPUT >> 3


def test_direct_mode_reset_and_user_enables() -> None:
    environment = simpy.Environment()
    nodes = build_nodes(environment, SHEET, (2, 1, 1), (False,) * 3).nodes
    for node in nodes.values():
        write(node, Dcr.ASSERT, 0)
    environment.run()
    assert not status(nodes[0]) & (Status.STATE | Status.MODE)
    write(nodes[1], Dcr.ASSERT, 1)
    environment.run()
    assert status(nodes[0]) & Status.STATE
    write(nodes[0], Dcr.USER_ENABLE, 0b1000)
    write(nodes[0], Dcr.RESETS, 0b1000)
    assert status(nodes[0]) & (Status.MODE | Status.OUTPUT | Status.USER_ENABLE) == (
        Status.MODE | Status.OUTPUT | Status.USER_ENABLE
    )
    with pytest.raises(LookupError, match="cannot be written"):
        write(nodes[0], 4, 1)


def test_nodes_that_take_no_part_hold_nobody_up() -> None:
    environment = simpy.Environment()
    nodes = build_nodes(environment, SHEET, (4, 4, 2), (False,) * 3, numbers=(0, 9)).nodes
    done = [environment.process(barrier(environment, node, 0)) for node in nodes.values()]
    environment.run()
    assert all(process.processed for process in done)
    with pytest.raises(ValueError, match="cannot be attached"):
        BarrierNetwork(environment, BarrierTree(2, 5)).attach(2, lambda channel, up: None)
