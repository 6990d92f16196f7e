"""Max-min fairness by hand, gates against the packet engine where nothing is shared."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bgsim.network.detours import Detours, DetourSource
from bgsim.network.flow_engine import FlowEngine
from bgsim.network.packet_engine import NetworkStuckError, PacketEngine
from bgsim.network.router import RouterParameters
from bgsim.network.traffic import Gates, Messages

CLOSED = (True, True, True)
FLUID = RouterParameters(chunk_cycles=1, overhead_cycles=0, endpoint_cycles=0)  # 8 cycles a packet


def end(shape, flows, packets, **options):
    """Link times at which the last bytes were through, all messages in FIFOs of their own."""
    source, destination = np.array(flows).T
    fifo = [sum(other == one for other in source[:place]) for place, one in enumerate(source)]
    messages = Messages.make(source, destination, packets, fifo=fifo)
    engine = FlowEngine(shape, CLOSED, FLUID, messages, tolerance=0, **options)
    engine.run()
    return engine


def test_flow_alone_has_the_link():
    assert end((8, 1, 1), [(0, 3)], 100).sent_cycles.tolist() == [800]


def test_two_flows_share_and_the_longer_one_speeds_up():
    result = end((8, 1, 1), [(0, 1), (0, 2)], np.array([100, 200]))
    assert result.sent_cycles.tolist() == [1600, 2400]
    assert result.solves == 3  # the last one finds nothing left
    assert result.link_packets[:3, 0].tolist() == [300, 200, 0]


def test_bottleneck_leaves_the_rest_to_others():
    # Two flows share link 1-2; the third shares 0-1 with one of them and gets what that one leaves.
    result = end((8, 1, 1), [(0, 2), (1, 2), (1, 3), (0, 1)], np.array([100] * 3 + [200]))
    assert result.sent_cycles.tolist() == [2400] * 4


def test_messages_of_a_fifo_follow_each_other():
    messages = Messages.make([0, 0, 0], [1, 2, 1], 10, fifo=[0, 0, 1])
    engine = FlowEngine((8, 1, 1), CLOSED, FLUID, messages, tolerance=0)
    engine.run()
    assert engine.sent_cycles.tolist() == [160, 240, 160]


def test_local_copies_use_no_link():
    messages = Messages.make([0, 0], [0, 1], 10, fifo=[0, 1])
    engine = FlowEngine((8, 1, 1), CLOSED, FLUID, messages)
    engine.run()
    assert engine.done_cycles[0] == 10 * FLUID.local_interval_cycles
    assert engine.sent_cycles[1] == 80
    assert engine.link_packets.sum() == 10


def test_run_in_pieces_changes_nothing():
    rng = np.random.default_rng(3)
    messages = Messages.make(rng.integers(0, 64, 200), rng.integers(0, 64, 200), rng.integers(1, 99, 200))
    whole, pieces = (FlowEngine((4, 4, 4), CLOSED, FLUID, messages) for _ in range(2))
    whole.run()
    seen = 0
    for time in range(100, 100_000, 100):
        pieces.run(time)
        assert pieces.delivered_packets.sum() >= seen
        seen = pieces.delivered_packets.sum()
    assert whole.done_cycles.tolist() == pieces.done_cycles.tolist()
    assert (pieces.undelivered_packets == 0).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_gates_open_as_in_the_packet_engine_if_nothing_is_shared(seed):
    """A chain of messages and gates: no two messages are under way at once."""
    rng = np.random.default_rng(seed)
    count = 12
    node = np.concatenate([[0], np.cumsum(rng.integers(1, 8, count))]) % 8
    messages = Messages.make(
        node[:-1],
        node[1:],
        1,
        gate=np.arange(count),
        then=np.append(np.arange(1, count), -1),
    )
    gates = Gates.make(
        np.append([0], np.ones(count - 1, np.int64)),
        core=rng.integers(-1, 8, count),
        work_cycles=rng.choice([0, 500, 20_000], count),
    )
    detours = Detours.make([DetourSource("tick", 4000, 0.2, False, (900.0,), (1.0,))], 8, seed)
    flows, packets = (
        engine((2, 2, 2), CLOSED, RouterParameters(), messages, gates, detours)
        for engine in (FlowEngine, PacketEngine)
    )
    flows.run()
    packets.run()
    # A packet is two cycles on its way to the injection FIFO's head, a core waits for detours meanwhile.
    late = packets.opened_cycles - flows.opened_cycles
    assert (late >= 0).all()
    assert (late <= (2 + 900) * np.arange(count)).all()


def test_grouping_changes_costs_little():
    source = np.arange(512)
    destination = np.random.default_rng(1).permutation(512)
    messages = Messages.make(source, destination, 4000)
    exact, grouped = (
        FlowEngine((8, 8, 8), CLOSED, FLUID, messages, tolerance=tolerance) for tolerance in (0, 2e-3)
    )
    exact.run()
    grouped.run()
    assert grouped.solves < exact.solves
    assert grouped.sent_cycles == pytest.approx(exact.sent_cycles, rel=4e-3)


def test_message_that_nothing_releases_is_reported():
    messages = Messages.make([0], [1], [1], post_cycles=-1)
    with pytest.raises(NetworkStuckError, match="1 messages can never arrive"):
        FlowEngine((2, 2, 2), CLOSED, FLUID, messages).run()
