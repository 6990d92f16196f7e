"""The compiled packet engine against the reference: same times for every message of generated traffic."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bgsim.network.detours import Detours, DetourSource
from bgsim.network.packet_engine import PacketEngine
from bgsim.network.packet_reference import PacketReference
from bgsim.network.router import RouterParameters
from bgsim.network.traffic import Gates, Messages, gets, hops_word, shifted

CORES = 6


@st.composite
def cases(draw):
    shape = draw(st.tuples(*[st.integers(1, 4)] * 3))
    torus = draw(st.tuples(*[st.booleans()] * 3))
    count = draw(st.integers(1, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    messages, gates = graph(rng, shape, torus, count, draw(st.integers(0, 30)), draw(st.integers(1, 8)))
    hop = draw(st.integers(1, 80) | st.integers(81, 400))
    parameters = RouterParameters(
        slots=draw(st.integers(2, 8)),
        injection_slots=draw(st.integers(1, 8)),
        hop_cycles=hop,
        token_cycles=draw(st.integers(0, 200)),
        read_cycles=draw(st.integers(hop, 600)),
        lots_in_256=draw(st.integers(0, 256)),
        dma_interval_cycles=draw(st.integers(1, 200)),
        local_interval_cycles=draw(st.integers(1, 200)),
        reception_slots=draw(st.sampled_from([0, 1, 3])),
        reception_cycles=draw(st.sampled_from([1, 300, 2_000])),
    )
    sources = [
        DetourSource(f"source {number}", 3_000, 0.3, False, (50.0, 400.0), (3.0, 1.0))
        for number in range(draw(st.integers(0, 2)))
    ]
    return shape, torus, parameters, messages, gates, Detours.make(sources, CORES, 5)


def graph(rng, shape, torus, count, gate_count, shortest=1):
    """Make a message graph in which gates only wait for what comes before them."""
    nodes = int(np.prod(shape))
    source = rng.integers(0, nodes, count)
    destination = rng.integers(0, nodes, count)
    word = hops_word(source, destination, shape, torus)
    hops = np.stack([word >> 8 * dimension & 0xFF for dimension in range(3)])
    deposit = ((hops > 0).sum(axis=0) == 1) & (rng.random(count) < 0.7)
    forced = np.array(torus) & (rng.random((count, 3)) < 0.2)  # ways round, on closed dimensions
    forced[deposit] = False
    hints = (forced << (2 * np.arange(3) + rng.integers(0, 2, (count, 3)))).sum(axis=1)
    routing = rng.integers(0, 3, count)
    gate, then, sent_then = (np.full(count, -1) for _ in range(3))
    gates_then = np.full(gate_count, -1)
    for message in range(count if gate_count else 0):
        if rng.random() < 0.6:
            gate[message] = rng.integers(gate_count)
        if gate[message] < gate_count - 1:
            for column in (then, sent_then):
                if rng.random() < 0.4:
                    column[message] = rng.integers(gate[message] + 1, gate_count)
    for number in range(gate_count - 1):
        if rng.random() < 0.5:
            gates_then[number] = rng.integers(number + 1, gate_count)
    counted = np.concatenate([then, sent_then, gates_then])
    gates = Gates.make(
        np.bincount(counted[counted >= 0], minlength=gate_count)[:gate_count],
        start_cycles=rng.integers(0, 2, gate_count) * rng.integers(0, 2_000, gate_count),
        core=rng.integers(-1, CORES, gate_count),
        work_cycles=rng.choice([0, 1, 100, 700, 20_000], gate_count),
        then=gates_then,
    )
    messages = Messages.make(
        source,
        destination,
        rng.integers(1, 9, count),
        last_chunks=rng.integers(shortest, 9, count),
        dynamic=routing == 1,
        priority=routing == 2,
        fifo=rng.integers(0, 8, count),
        post_cycles=rng.integers(0, 300, count),
        gate=gate,
        then=then,
        sent_then=sent_then,
        hints=hints,
        deposit=deposit,
        memory_fifo=~deposit & (rng.random(count) < 0.5),
    )
    return messages, gates


@settings(max_examples=80, deadline=None)
@given(cases())
def test_times_agree(case):
    engine, reference = PacketEngine(*case), PacketReference(*case)
    engine.run()
    reference.run()
    assert engine.opened_cycles.tolist() == reference.opened_cycles.tolist()
    assert engine.sent_cycles.tolist() == reference.sent_cycles.tolist()
    assert engine.done_cycles.tolist() == reference.done_cycles.tolist()
    assert engine.packet_hops == reference.packet_hops


@pytest.mark.parametrize("seed", [3, 12])
def test_times_agree_where_tokens_are_short(seed):
    """Long and short packets share few slots, and their tokens come back out of order."""
    shape, torus = (3, 3, 2), (True, True, False)
    graph_of_traffic = graph(np.random.default_rng(seed), shape, torus, 150, 10)
    parameters = RouterParameters(
        slots=3, hop_cycles=12, token_cycles=1, read_cycles=48, reception_slots=3, reception_cycles=300
    )
    engine = PacketEngine(shape, torus, parameters, *graph_of_traffic)
    reference = PacketReference(shape, torus, parameters, *graph_of_traffic)
    engine.run()
    reference.run()
    assert engine.done_cycles.tolist() == reference.done_cycles.tolist()


EARLY_READS = RouterParameters(slots=3, hop_cycles=77, read_cycles=77)
QUICK_ENGINE = RouterParameters(
    slots=2,
    injection_slots=1,
    chunk_cycles=8,
    overhead_cycles=1,
    hop_cycles=7,
    read_cycles=93,
    dma_interval_cycles=7,
)


@pytest.mark.parametrize(
    ("parameters", "seed"),
    [(RouterParameters(), 6), (EARLY_READS, 5), (QUICK_ENGINE, 7)],
    ids=["usual routers", "read ports free before headers come", "engines look when room is made"],
)
def test_times_agree_of_traffic_that_waits(parameters, seed):
    """Many messages at few nodes: headers, read ports and DMA engines meet at the same instants."""
    shape, torus = (3, 3, 2), (True, True, False)
    graph_of_traffic = graph(np.random.default_rng(seed), shape, torus, 150, 10)
    engine = PacketEngine(shape, torus, parameters, *graph_of_traffic)
    reference = PacketReference(shape, torus, parameters, *graph_of_traffic)
    engine.run()
    reference.run()
    assert engine.sent_cycles.tolist() == reference.sent_cycles.tolist()
    assert engine.done_cycles.tolist() == reference.done_cycles.tolist()
    assert engine.link_packets.sum() == reference.packet_hops


@pytest.mark.parametrize("displacement", [(1, 1, 2), (2, 2, 2)])
def test_gets_agree_under_contention(displacement):
    shape, torus = (4, 4, 4), (True, True, True)
    nodes = np.arange(64)
    graph = gets(nodes, shifted(shape, displacement), 4096, 2)
    engine = PacketEngine(shape, torus, RouterParameters(), *graph)
    reference = PacketReference(shape, torus, RouterParameters(), *graph)
    engine.run()
    reference.run()
    assert engine.done_cycles.tolist() == reference.done_cycles.tolist()


def test_run_in_pieces_changes_nothing():
    shape, torus = (4, 4, 4), (True, True, True)
    graph = gets(np.arange(64), shifted(shape, (2, 2, 1)), 2048, 3, serve_cycles=300)
    whole, pieces = (PacketEngine(shape, torus, RouterParameters(), *graph) for _ in range(2))
    whole.run()
    time = 0
    while (pieces.done_cycles < 0).any():
        time += 997
        pieces.run(time)
        pieces._move_epoch()
    assert whole.done_cycles.tolist() == pieces.done_cycles.tolist()
