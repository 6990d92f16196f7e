"""The uncontended torus: compiled against readable, and against closed forms."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bgsim.machine.uncontended import NeverDoneError, execute
from bgsim.machine.uncontended_reference import UncontendedReference
from bgsim.network.detours import Detours, DetourSource
from bgsim.network.packet_engine import PacketEngine
from bgsim.network.router import RouterParameters
from bgsim.network.topology import distance
from bgsim.network.traffic import Gates, Messages

CORES = 6
RING = (8, 8, 8)
CLOSED = (True, True, True)


def forward_graph(
    rng: np.random.Generator, nodes: int, count: int, gate_count: int
) -> tuple[Messages, Gates, Any]:
    """Messages and gates at random; a gate waits only for lower gates, so that all of them open."""
    source, destination = rng.integers(0, nodes, (2, count))
    packets = rng.integers(1, 6, count)
    gate = np.where(rng.random(count) < 0.6, rng.integers(0, max(gate_count, 1), count), -1)
    gate = gate if gate_count else np.full(count, -1)
    rides = np.full(count, -1)
    for message in range(1, count):
        if rng.random() < 0.3:
            leader = int(rng.integers(0, message))
            if rides[leader] < 0:
                rides[message], source[message], packets[message] = leader, source[leader], packets[leader]
    held = np.where(rides >= 0, gate[np.maximum(rides, 0)], gate)

    def later(than: int) -> int:
        return int(rng.integers(than + 1, gate_count)) if than + 1 < gate_count and rng.random() < 0.5 else -1

    then, sent_then = (np.array([later(int(opens)) for opens in held]) for _ in range(2))
    gates_then = np.array([later(number) for number in range(gate_count)], dtype=int)
    counted = np.concatenate([then, sent_then, gates_then])
    gates = Gates.make(
        np.bincount(counted[counted >= 0], minlength=gate_count)[:gate_count],
        start_cycles=rng.integers(0, 2, gate_count) * rng.integers(0, 2_000, gate_count),
        core=rng.integers(-1, CORES, gate_count),
        work_cycles=rng.choice([0, 1, 100, 700, 20_000], gate_count),
        then=gates_then,
    )
    posted = np.where((gate >= 0) | (rides >= 0), -1, rng.integers(0, 900, count))
    messages = Messages.make(
        source, destination, packets, last_chunks=rng.integers(1, 9, count),
        dynamic=rng.integers(0, 2, count), post_cycles=posted,
        gate=np.where(rides >= 0, -1, gate), then=then, sent_then=sent_then,
    )  # fmt: skip
    return messages, kept(rng, gates), rides


def kept(rng: np.random.Generator, gates: Gates) -> Gates:
    """Have some gates keep their core for the one they count, where that waits for nothing else."""
    core, start, keeps = gates.core.copy(), gates.start_cycles.copy(), np.zeros(gates.size, np.int64)
    for gate, then in enumerate(gates.then.tolist()):
        if then >= 0 and core[gate] >= 0 and gates.needs[then] == 1 and rng.random() < 0.7:
            core[then], start[then], keeps[gate] = core[gate], 0, 1
    return replace(gates, core=core, start_cycles=start, keeps=keeps)


@settings(max_examples=150, deadline=None)
@given(
    st.tuples(*[st.integers(1, 4)] * 3),
    st.tuples(*[st.booleans()] * 3),
    st.integers(1, 50),
    st.integers(0, 30),
    st.integers(0, 2**32 - 1),
    st.booleans(),
)
def test_compiled_equals_readable(
    shape: tuple[int, int, int],
    torus: tuple[bool, bool, bool],
    count: int,
    gate_count: int,
    seed: int,
    noisy: bool,
) -> None:
    rng = np.random.default_rng(seed)
    messages, gates, rides = forward_graph(rng, int(np.prod(shape)), count, gate_count)
    tick = DetourSource("tick", 3_000, 0.3, False, (50.0, 400.0), (3.0, 1.0))
    case = (shape, torus, RouterParameters(), messages, gates, Detours.make([tick] * noisy, CORES, 5), rides)
    compiled, readable = execute(*case), UncontendedReference(*case).run()
    assert compiled.done_cycles.tolist() == readable.done_cycles.tolist()
    assert compiled.sent_cycles.tolist() == readable.sent_cycles.tolist()
    assert compiled.opened_cycles.tolist() == readable.opened_cycles.tolist()


@pytest.mark.parametrize(("destination", "packets"), [(1, 1), (1, 20), (292, 1), (292, 20)])
def test_alone_a_message_takes_its_closed_form(destination: int, packets: int) -> None:
    router = RouterParameters()
    message = Messages.make([0], [destination], [packets])
    done = execute(RING, CLOSED, router, message, Gates.none(), Detours.none()).done_cycles[0]
    hops = distance(0, destination, RING, CLOSED)
    assert done == packets * router.link_cycles(8) + hops * router.hop_cycles + router.endpoint_cycles
    engine = PacketEngine(RING, CLOSED, router, message)
    engine.run()
    assert engine.done_cycles[0] - done == 2  # one cycle into the DMA engine, one into the first FIFO


def test_ends_of_routes_are_shared() -> None:
    router = RouterParameters()
    incast = Messages.make([1, 2, 3], [0, 0, 0], [10, 10, 10])
    done = execute(RING, CLOSED, router, incast, Gates.none(), Detours.none()).done_cycles
    last = 30 * router.link_cycles(8) + router.hop_cycles + router.endpoint_cycles
    assert done.max() == last  # all three come in over the same link


def test_dynamic_messages_use_all_links_of_their_routes() -> None:
    router = RouterParameters()
    corner = 1 + 8 + 64
    three = Messages.make([0] * 3, [corner] * 3, [10] * 3, dynamic=1)
    done = execute(RING, CLOSED, router, three, Gates.none(), Detours.none()).done_cycles
    assert len(set(done.tolist())) == 1
    fixed = Messages.make([0] * 3, [corner] * 3, [10] * 3)
    assert execute(RING, CLOSED, router, fixed, Gates.none(), Detours.none()).done_cycles.max() > done.max()


def test_riders_leave_copies_on_the_way() -> None:
    router = RouterParameters()
    line = Messages.make([0] * 3, [3, 1, 2], [4] * 3, post_cycles=[0, -1, -1])
    ran = execute(RING, CLOSED, router, line, Gates.none(), Detours.none(), np.array([-1, 0, 0]))
    far, near, middle = ran.done_cycles.tolist()
    assert far - middle == middle - near == router.hop_cycles
    assert ran.packet_hops == 12


def test_a_graph_that_waits_for_itself_is_refused() -> None:
    with pytest.raises(NeverDoneError, match="2 gates never opened"):
        execute(
            RING, CLOSED, RouterParameters(), Messages.make([], [], []),
            Gates.make([1, 1], then=[1, 0]), Detours.none(),
        )  # fmt: skip
