"""Algorithms over the torus: who knows what in the end, on every network, and closed forms."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import replace

import numpy as np
import pytest

from bgsim.machine import cost_model as cost
from bgsim.machine.algorithms import TORUS
from bgsim.machine.cost_model import CostModel
from bgsim.machine.message_counts import messages_of, refuse_many
from bgsim.machine.networks import DepositError, run_graph
from bgsim.machine.program import Placement, Program, Settings, TooManyMessagesError
from bgsim.machine.uncontended import Executed
from bgsim.network.detours import Detours
from bgsim.network.mapping import named
from bgsim.network.router import RouterParameters

SETTINGS = Settings(eager_limit=1200, segment=8192, combine_cycles=0.5, serve_cycles=200, cores=4)
ROUTER = RouterParameters()


def model(cycles: float) -> CostModel:
    """Made up for tests: every step of a message costs the same, nothing interrupts."""
    return CostModel(
        name="bare-metal/cnk", platform="bare-metal", guest="cnk", machine=cost.Machine("bgp", {}, {}),
        datasheet_digest="", characterisation_version=1, created_by="test", put=cost.OneSided(cycles, cycles),
        get=cost.OneSided(cycles, cycles), eager=cost.Eager(cycles, 0.0, cycles, 0.0),
        rendezvous=cost.Rendezvous(cycles, cycles, cycles), local=cost.Local(cycles, cycles, 0.0),
        collective=cost.Collective(cycles, cycles, cycles), barrier=cost.Barrier(cycles, cycles),
        delivery=cost.Delivery((0.0,), (1.0,)), detours=(), measured=(),
    )  # fmt: skip


def placed(shape: tuple[int, int, int], per_node: int, closed: bool = False) -> Placement:
    mapping = named("XYZT", shape, per_node)
    node = mapping.nodes.astype(np.int64)
    return Placement(shape, (closed,) * 3, node, node * per_node + mapping.cores, per_node)


def programmed(which: tuple[str, str], placement: Placement, size: int, cycles: float = 100.0) -> Program:
    program = Program(placement, model(cycles), SETTINGS, np.zeros(placement.ranks, np.int64), 1)
    program.step(np.arange(placement.ranks))
    TORUS[which](program, size)
    return program


def executed(program: Program, network: str = "uncontended") -> Executed:
    messages, gates, rides = program.graph()
    placement = program.placement
    return run_graph(
        network,
        placement.shape,
        placement.torus,
        ROUTER,
        messages,
        gates,
        Detours.none(),
        rides,  # type: ignore[arg-type]
    )


def knowledge(program: Program) -> list[set[int]]:
    """Whose data has reached each rank in the end, by following the graph."""
    messages, gates, rides = program.graph()
    follow: dict[int, list[int]] = defaultdict(list)
    waits = gates.needs.copy()
    leader = (
        np.arange(messages.size) if rides is None else np.where(rides >= 0, rides, np.arange(messages.size))
    )
    opened_by: dict[int, list[int]] = defaultdict(list)
    for message in range(messages.size):
        opened_by[int(messages.gate[leader[message]])].append(message)
    for gate in range(gates.size):
        follow[gate] += [int(gates.then[gate])]
        for message in opened_by[gate]:
            follow[gate] += [int(messages.then[message]), int(messages.sent_then[message])]
    knows: list[set[int]] = [set() for _ in range(gates.size)]
    ready = deque(np.flatnonzero(waits == 0).tolist())
    for gate in ready:
        knows[gate].add(int(np.flatnonzero(program.placement.core == gates.core[gate])[0]))
    while ready:
        gate = ready.popleft()
        for after in follow[gate]:
            if after >= 0:
                knows[after] |= knows[gate]
                waits[after] -= 1
                if waits[after] == 0:
                    ready.append(after)
    assert (waits == 0).all(), "every gate opens"
    return [knows[gate] for gate in program.last]


PARTITIONS = [((4, 4, 2), 1), ((3, 2, 2), 2), ((8, 2, 1), 4)]


@pytest.mark.parametrize("which", TORUS, ids=" ".join)
@pytest.mark.parametrize(("shape", "per_node"), PARTITIONS)
@pytest.mark.parametrize("size", [8, 20_000])
def test_everyone_gets_what_the_operation_promises(
    which: tuple[str, str], shape: tuple[int, int, int], per_node: int, size: int
) -> None:
    placement = placed(shape, per_node)
    knows = knowledge(programmed(which, placement, size))
    everyone = set(range(placement.ranks))
    if which[0] == "broadcast":
        assert all(0 in known for known in knows)
    elif which[0] == "reduce":
        assert knows[0] == everyone
    else:
        assert all(known == everyone for known in knows)


@pytest.mark.parametrize("which", [which for which in TORUS if which[1] != "rectangle"], ids=" ".join)
@pytest.mark.parametrize("size", [8, 5_000])
def test_all_networks_run_it(which: tuple[str, str], size: int) -> None:
    program = programmed(which, placed((2, 2, 2), 2), size)
    times = {
        network: int(executed(program, network).opened_cycles[program.last].max())
        for network in ("uncontended", "packet", "flow")
    }
    if which[1] == "torus":  # everyone's messages meet in the middle, which one network leaves out
        assert times["uncontended"] < min(times["packet"], times["flow"])
        return
    assert times["uncontended"] == pytest.approx(times["packet"], rel=0.25)
    assert times["uncontended"] == pytest.approx(times["flow"], rel=0.25)


@pytest.mark.parametrize("which", TORUS, ids=" ".join)
def test_one_rank_sends_to_nobody(which: tuple[str, str]) -> None:
    program = programmed(which, placed((1, 1, 1), 1), 5_000)
    ran = executed(program)
    copies = which[1] == "torus"  # an alltoall has a part for the rank itself
    assert len(ran.done_cycles) == 0
    assert (int(ran.opened_cycles[program.last].max()) > 0) == copies


def test_a_binomial_broadcast_takes_its_rounds() -> None:
    program = programmed(("broadcast", "binomial"), placed((4, 1, 1), 1), 8, cycles=0.0)
    ran = executed(program)
    wire, hop = ROUTER.link_cycles(8), ROUTER.hop_cycles
    first = wire + 2 * hop + ROUTER.endpoint_cycles
    second = 2 * wire + hop + ROUTER.endpoint_cycles  # over the same link, after the first
    third = first + wire + hop + ROUTER.endpoint_cycles
    assert ran.opened_cycles[program.last].tolist() == [0, second, first, third]


def test_a_rectangle_broadcast_crosses_each_link_once() -> None:
    program = programmed(("broadcast", "rectangle"), placed((8, 8, 8), 1, closed=True), 8)
    assert executed(program).packet_hops == 511
    with pytest.raises(DepositError):
        executed(program, "packet")


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("per_node", [1, 2])
@pytest.mark.parametrize("operation", ["broadcast", "reduce", "allreduce"])
def test_a_rectangle_begins_and_ends_where_rank_0_is(operation: str, per_node: int, closed: bool) -> None:
    usual = placed((5, 3, 2), per_node, closed)
    root = int(np.argmax(usual.core == 17 * per_node + per_node - 1))  # the last core of a node inside
    turn = np.append(root, np.delete(np.arange(usual.ranks), root))
    moved = replace(usual, node=usual.node[turn], core=usual.core[turn])
    knows = knowledge(programmed((operation, "rectangle"), moved, 8))
    if operation == "broadcast":
        assert all(0 in known for known in knows)
    else:
        assert knows[0] == set(range(moved.ranks))


@pytest.mark.parametrize("operation", ["broadcast", "reduce"])
def test_a_rectangle_goes_as_far_as_the_farthest_from_the_root(operation: str) -> None:
    """From the middle of a line of eight, four nodes away; from its end, seven."""
    hops = []
    for first in (0, 4):
        line = placed((8, 1, 1), 1)
        node = np.array([first, *(other for other in range(8) if other != first)])
        ran = executed(
            programmed((operation, "rectangle"), replace(line, node=node, core=node), 8, cycles=0.0)
        )
        hops.append(ran.done_cycles.max())
    wire = ROUTER.link_cycles(8) + ROUTER.endpoint_cycles
    if operation == "broadcast":
        assert hops == [wire + steps * ROUTER.hop_cycles for steps in (7, 4)]
    else:
        combine = round(8 * SETTINGS.combine_cycles)
        assert hops == [steps * (wire + ROUTER.hop_cycles) + (steps - 1) * combine for steps in (7, 4)]


def test_longer_messages_take_longer() -> None:
    for which in TORUS:
        if which[0] == "barrier":
            continue
        placement = placed((4, 2, 2), 1)
        short, long = (programmed(which, placement, size) for size in (8, 100_000))
        ends = [executed(p).opened_cycles[p.last].max() for p in (short, long)]
        assert ends[1] > ends[0], which


@pytest.mark.parametrize("which", TORUS, ids="-".join)
@pytest.mark.parametrize("size", [8, 5000, 20_000])
def test_messages_are_counted_before_they_are_made(which: tuple[str, str], size: int) -> None:
    for shape, per_node in (((3, 2, 2), 1), ((2, 2, 1), 4), ((1, 1, 1), 2)):
        placement = placed(shape, per_node)
        made = programmed(which, placement, size).messages
        assert messages_of(*which, size, placement, SETTINGS, rendezvous=True) == made


def test_too_many_messages_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bgsim.machine.limits.MESSAGES_MAX", 100)
    with pytest.raises(TooManyMessagesError, match="fewer ranks"):
        programmed(("alltoall", "torus"), placed((4, 4, 4), 1), 8)
    with pytest.raises(TooManyMessagesError, match="101 messages, more than 100; use fewer ranks"):
        refuse_many(101)
