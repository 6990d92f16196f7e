"""The compiled packet engine against the reference: same times for every message of generated traffic."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bgsim.network.packet_engine import PacketEngine
from bgsim.network.packet_reference import PacketReference
from bgsim.network.router import RouterParameters
from bgsim.network.traffic import Messages, gets, shifted


@st.composite
def cases(draw):
    shape = draw(st.tuples(*[st.integers(1, 4)] * 3).filter(lambda shape: np.prod(shape) > 1))
    torus = draw(st.tuples(*[st.booleans()] * 3))
    nodes = int(np.prod(shape))
    count = draw(st.integers(1, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    source = rng.integers(0, nodes, count)
    destination = (source + rng.integers(1, nodes, count)) % nodes
    post, then = rng.integers(0, 300, count), np.full(count, -1)
    for first in range(0, count - 1, 3):  # some messages wait for another that arrives where they start
        if rng.random() < 0.5:
            source[first + 1] = destination[first]
            destination[first + 1] = source[first]
            then[first], post[first + 1] = first + 1, -1
    routing = rng.integers(0, 3, count)
    messages = Messages.make(
        source,
        destination,
        rng.integers(1, 9, count),
        last_chunks=rng.integers(1, 9, count),
        dynamic=routing == 1,
        priority=routing == 2,
        fifo=rng.integers(0, 8, count),
        post_cycles=post,
        then=then,
        delay_cycles=rng.integers(0, 400, count),
    )
    hop = draw(st.integers(1, 80))
    parameters = RouterParameters(
        slots=draw(st.integers(2, 8)),
        injection_slots=draw(st.integers(1, 8)),
        hop_cycles=hop,
        token_cycles=draw(st.integers(0, 200)),
        read_cycles=draw(st.integers(hop, 600)),
        lots_in_256=draw(st.integers(0, 256)),
        dma_interval_cycles=draw(st.integers(1, 200)),
    )
    return shape, torus, parameters, messages


@settings(max_examples=60, deadline=None)
@given(cases())
def test_times_agree(case):
    engine, reference = PacketEngine(*case), PacketReference(*case)
    engine.run()
    reference.run()
    assert engine.sent_cycles.tolist() == reference.sent_cycles.tolist()
    assert engine.done_cycles.tolist() == reference.done_cycles.tolist()
    assert engine.packet_hops == reference.packet_hops


@pytest.mark.parametrize("displacement", [(1, 1, 2), (2, 2, 2)])
def test_gets_agree_under_contention(displacement):
    shape, torus = (4, 4, 4), (True, True, True)
    nodes = np.arange(64)
    messages = gets(nodes, shifted(shape, displacement), 4096, 2)
    engine = PacketEngine(shape, torus, RouterParameters(), messages)
    reference = PacketReference(shape, torus, RouterParameters(), messages)
    engine.run()
    reference.run()
    assert engine.done_cycles.tolist() == reference.done_cycles.tolist()


def test_run_in_pieces_changes_nothing():
    shape, torus = (4, 4, 4), (True, True, True)
    messages = gets(np.arange(64), shifted(shape, (2, 2, 1)), 2048, 3)
    whole, pieces = (PacketEngine(shape, torus, RouterParameters(), messages) for _ in range(2))
    whole.run()
    time = 0
    while (pieces.done_cycles < 0).any():
        time += 997
        pieces.run(time)
        pieces._move_epoch()
    assert whole.done_cycles.tolist() == pieces.done_cycles.tolist()
