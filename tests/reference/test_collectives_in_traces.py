"""Collective calls of a trace against the ``collectives`` workload's networks, rank for rank."""

from dataclasses import replace

import numpy as np
import pytest

from bgsim.datasheet import Datasheet
from bgsim.machine.cost_model import Delivery, shipped
from bgsim.machine.networks import run_graph
from bgsim.machine.program import Placement, Settings
from bgsim.machine.program import Program as Steps
from bgsim.machine.tree_runs import ROOTED, TreeRun
from bgsim.network.detours import Detours, DetourSource
from bgsim.network.router import RouterParameters
from bgsim.traces import deadlock, text
from bgsim.traces.collectives import TREES, write_out
from bgsim.traces.graph import build
from bgsim.traces.matching import match
from bgsim.traces.program import Kind
from bgsim.traces.trees import Trees

SHEET = Datasheet.load()
SHAPE, CLOSED, PSET, SEED = (4, 2, 2), (False,) * 3, 16, 5
NOISE = DetourSource("given", 90_000.0, 0.3, True, (400.0, 2_000.0), (3.0, 1.0))
OWN_WAITS = {
    "collective_delivery": Delivery((0.0, 40.0, 90.0), (1.0, 2.0, 1.0)),
    "barrier_delivery": Delivery((5.0, 300.0), (1.0, 1.0)),
}
CALLS = [
    ("barrier", "barrier", 0),
    ("allreduce 8B", "allreduce", 8),
    ("allreduce 20000B", "allreduce", 20_000),
    ("reduce 700B", "reduce", 700),
    ("allgather 40B", "allgather", 40),
    ("bcast 8B", "broadcast", 8),
    ("bcast 1800B", "broadcast", 1800),
]


def placement(per_node):
    ranks = np.random.default_rng(3).permutation(16 * per_node)  # not in the order of nodes
    return Placement(SHAPE, CLOSED, ranks // per_node, ranks, per_node)


def by_workload(where, costs, begin, kind, size, times, detours):
    runs = TreeRun(where, costs, SHEET, PSET, detours, SEED)
    runs.set_clock(begin)
    for _ in range(times):
        runs.perform(runs.operation(kind, size))
    return runs.clock_by_rank()


def by_trace(where, costs, begin, call, times, detours, over=frozenset(TREES)):
    lines = [
        f"rank {rank}\ncompute {cycles}cycles\n{(call + chr(10)) * times}"
        for rank, cycles in enumerate(begin)
    ]
    count = where.ranks * (times + 1)
    program = text.read_text(f"bgsim-messages 1\nranks {where.ranks}\n{''.join(lines)}end {count}")
    steps = Steps(where, costs, Settings.from_datasheet(SHEET), np.zeros(where.ranks, np.int64), SEED)
    written = write_out(program, steps, "binomial", over)
    matches = match(written.program)
    trees = Trees(where, costs, SHEET, PSET, SEED)
    graph = build(written, matches, steps, SHEET.integer("core.frequency"), trees=trees)
    deadlock.check(written, matches, graph)
    ran = run_graph("uncontended", SHAPE, CLOSED, RouterParameters(), graph.messages, graph.gates, detours)
    last = written.program.first[1:] - 1
    return ran.opened_cycles[graph.done[last]], graph


@pytest.mark.parametrize("platform", ["bare-metal", "virtual-machine"])
@pytest.mark.parametrize("per_node", [1, 4])
@pytest.mark.parametrize(("call", "kind", "size"), CALLS)
def test_every_rank_is_through_at_the_same_cycle(platform, per_node, call, kind, size):
    where, costs = placement(per_node), replace(shipped(platform, "cnk"), **OWN_WAITS)
    begin = np.random.default_rng(7).integers(1, 60_000, where.ranks)
    expected = by_workload(where, costs, begin, kind, size, 3, Detours.none())
    found, _ = by_trace(where, costs, begin, call, 3, Detours.none())
    np.testing.assert_array_equal(found, expected)


def test_detours_are_the_same_too():
    where, costs = placement(4), shipped("bare-metal", "cnk")
    detours = Detours.make([NOISE], where.ranks, SEED, 4)
    begin = np.full(where.ranks, 1_000)
    quiet = by_workload(where, costs, begin, "allreduce", 8, 5, Detours.none())
    found, _ = by_trace(where, costs, begin, "allreduce 8B", 5, detours)
    assert found.max() > quiet.max()


def test_a_root_elsewhere_gives_the_same_from_there():
    where, costs = placement(1), shipped("bare-metal", "cnk")
    begin = np.full(where.ranks, 100)
    begin[3] = 90_000
    found, _ = by_trace(where, costs, begin, "bcast 8B root 3", 1, Detours.none())
    early, _ = by_trace(where, costs, begin, "bcast 8B", 1, Detours.none())
    assert found.min() > 90_000
    assert np.sort(early)[-2] < 90_000 < early.max()  # all but the one that comes late are through


ROOT = 5
"""A rank that is not the first of its node, with four on each."""


@pytest.mark.parametrize("call", ["bcast 8B", "bcast 1800B", "reduce 8B"])
def test_a_root_elsewhere_on_its_node_takes_part(call):
    costs = shipped("bare-metal", "cnk")
    where = Placement(SHAPE, CLOSED, np.arange(64) // 4, np.arange(64), 4)
    begin = np.full(where.ranks, 100)
    late = ROOT if call.startswith("bcast") else 42
    begin[late] = 900_000
    found, _ = by_trace(where, costs, begin, f"{call} root {ROOT}", 1, Detours.none())
    waits = found > 900_000
    if call.startswith("bcast"):
        assert waits.all()
        assert found[ROOT] == found.min()  # it has the packets, and only gives them
    else:
        masters = where.core % 4 == 0
        assert set(np.flatnonzero(waits & ~masters).tolist()) == {ROOT, late}
        assert found[ROOT] > found[4]  # its node's first rank hands the sum on


@pytest.mark.parametrize("platform", ["bare-metal", "virtual-machine"])
@pytest.mark.parametrize(("call", "kind", "size"), [each for each in CALLS if each[1] in ROOTED])
def test_such_a_root_gives_the_same_as_in_the_workload(platform, call, kind, size):
    costs = shipped(platform, "cnk")
    ranks = np.arange(64)
    ranks[[0, 2]] = 2, 0  # rank 0, the workload's root, on the third core of its node
    where = Placement(SHAPE, CLOSED, ranks // 4, ranks, 4)
    for late in (0, 2, 42):
        begin = np.random.default_rng(late).integers(1, 60_000, where.ranks)
        begin[late] = 200_000
        expected = by_workload(where, costs, begin, kind, size, 2, Detours.none())
        found, _ = by_trace(where, costs, begin, call, 2, Detours.none())
        np.testing.assert_array_equal(found, expected)


def test_the_torus_is_left_alone():
    where, costs = placement(1), shipped("bare-metal", "cnk")
    begin = np.full(where.ranks, 100)
    network, over_trees = by_trace(where, costs, begin, "allreduce 8B", 1, Detours.none())
    torus, over_torus = by_trace(where, costs, begin, "allreduce 8B", 1, Detours.none(), {Kind.BARRIER})
    assert over_trees.messages.size == 0 < over_torus.messages.size
    assert network.max() < torus.max()
