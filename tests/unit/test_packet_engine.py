"""The packet engine on cases whose answer is known, and the measured classes of shifts."""

import numpy as np
import pytest
import simpy

from bgsim.datasheet import Datasheet
from bgsim.network.implicit import neighbour_table
from bgsim.network.packet_engine import NetworkStuckError, PacketEngine
from bgsim.network.packet_reference import PacketReference
from bgsim.network.router import PacketFormatError, RouterParameters
from bgsim.network.topology import Direction, neighbour
from bgsim.network.torus import PacketFormat, TorusNetwork
from bgsim.network.traffic import Gates, Messages, puts, shifted

CLOSED = (True, True, True)
PARAMETERS = RouterParameters()


@pytest.mark.parametrize("torus", [CLOSED, (True, False, False)])
def test_neighbours_are_those_of_the_topology(torus):
    shape = (2, 3, 4)
    table = neighbour_table(shape, torus)
    for node in range(24):
        for direction in Direction:
            expected = neighbour(node, direction, shape, torus)
            assert table[node, direction] == (-1 if expected is None else expected)


@pytest.mark.parametrize("dynamic", [0, 1])
def test_packet_alone_takes_a_header_per_hop_and_its_length_once(dynamic):
    messages = Messages.make([0], [1 + 8 * 2 + 64 * 3], [1], dynamic=dynamic)
    engine = PacketEngine((8, 8, 8), CLOSED, PARAMETERS, messages)
    engine.run()
    injection = 2  # from posting to the head of the injection FIFO
    network = 6 * PARAMETERS.hop_cycles + PARAMETERS.link_cycles(8) + PARAMETERS.endpoint_cycles
    assert engine.done_cycles.tolist() == [injection + network]
    assert engine.packet_hops == 6


@pytest.mark.parametrize("engine", [PacketEngine, PacketReference])
def test_only_an_idle_engine_looks_a_cycle_later(engine):
    copies = Messages.make([0, 0, 1, 1], [0, 0, 2, 2], [3, 1, 3, 1])
    result = engine((4, 1, 1), (False,) * 3, PARAMETERS, copies)
    result.run()
    copied = [1 + packets * PARAMETERS.local_interval_cycles for packets in (3, 4)]
    way = PARAMETERS.hop_cycles + PARAMETERS.endpoint_cycles
    sent = [2 + packets * PARAMETERS.link_cycles(8) + way for packets in (3, 4)]
    assert list(result.done_cycles) == copied + sent


@pytest.mark.parametrize(
    ("rate", "full"), [("425 MB/s", 544), ("600 MB/s", 386), ("850 MB/s", 272), ("700 MB/s", 331)]
)
def test_a_full_packet_s_time_is_rounded_once(rate, full):
    sheet = Datasheet.load().with_values({"torus.link_rate": rate})
    router, torus = RouterParameters.from_datasheet(sheet), PacketFormat(sheet)
    network = TorusNetwork(simpy.Environment(), (2, 1, 1), (False,) * 3, sheet)
    assert router.link_cycles(8) == full == network.serialization_cycles(torus.link_bytes(8))
    for chunks in range(1, 8):
        exact = network.serialization_cycles(torus.link_bytes(chunks))
        assert abs(router.link_cycles(chunks) - exact) <= (0 if full in (544, 272) else 4)


def test_links_may_be_faster_than_a_chunk_a_cycle():
    sheet = Datasheet.load().with_values({"torus.link_rate": "100 GB/s"})
    assert RouterParameters.from_datasheet(sheet).link_cycles(8) == 3


def test_other_packets_than_those_of_message_graphs_are_refused():
    sheet = Datasheet.load().with_values({"torus.packet_size_max": "512 B", "torus.packet_header": "32 B"})
    with pytest.raises(PacketFormatError, match=r"size_max: 512 B, and .* 256 B.*packet_header: 32 B"):
        RouterParameters.from_datasheet(sheet)


def test_neighbours_stream_at_the_rate_of_a_link():
    messages = puts(np.arange(64), shifted((4, 4, 4), (1, 0, 0)), 240 * 500, 1)
    engine = PacketEngine((4, 4, 4), CLOSED, PARAMETERS, messages)
    assert engine.run() == pytest.approx(500 * 544, rel=0.01)
    assert engine.link_packets.sum() == 64 * 500
    assert engine.link_packets[:, 0].tolist() == [500] * 64


def test_time_passes_the_32_bit_range():
    late = 3 * (1 << 30)
    messages = Messages.make([0, 1], [1, 0], [40, 40], post_cycles=[0, late])
    engine = PacketEngine((2, 2, 2), CLOSED, PARAMETERS, messages)
    engine.run()
    assert engine.done_cycles[1] - late == engine.done_cycles[0]


def test_message_that_nothing_releases_is_reported():
    messages = Messages.make([0], [1], [1], post_cycles=-1)
    with pytest.raises(NetworkStuckError, match="1 packets can never arrive"):
        PacketEngine((2, 2, 2), CLOSED, PARAMETERS, messages).run()


@pytest.mark.parametrize("chunks", [0, 9])
def test_packets_of_lengths_that_are_none_are_refused(chunks):
    messages = Messages.make([0, 0], [1, 1], 1, last_chunks=[8, chunks])
    with pytest.raises(ValueError, match=f"message 1 has {chunks} chunks"):
        PacketEngine((2, 2, 2), CLOSED, PARAMETERS, messages)


def test_copies_are_left_along_a_line():
    messages = Messages.make([0], [3], [10], deposit=1)
    engine = PacketEngine((8, 8, 8), CLOSED, PARAMETERS, messages)
    engine.run()
    assert engine.packet_hops == 30
    assert engine.delivered_packets.tolist() == [30]
    alone = PacketEngine((8, 8, 8), CLOSED, PARAMETERS, Messages.make([0], [3], [10]))
    alone.run()
    assert engine.done_cycles.tolist() == alone.done_cycles.tolist()


def test_copies_are_left_on_straight_lines_only():
    messages = Messages.make([0], [9], [1], deposit=1)
    with pytest.raises(ValueError, match="straight line"):
        PacketEngine((8, 8, 8), CLOSED, PARAMETERS, messages)


@pytest.mark.parametrize(("hints", "hops", "direction"), [(0, 2, 0), (1, 2, 0), (2, 6, 1)])
def test_hint_bits_force_the_way_round(hints, hops, direction):
    engine = PacketEngine((8, 8, 8), CLOSED, PARAMETERS, Messages.make([0], [2], [1], hints=hints))
    engine.run()
    assert engine.packet_hops == hops
    assert engine.link_packets.sum(axis=0)[direction] == hops


def test_hint_bits_do_not_lead_off_a_mesh():
    messages = Messages.make([0], [2], [1], hints=2)
    with pytest.raises(ValueError, match="off the end of a mesh"):
        PacketEngine((8, 8, 8), (False, True, True), PARAMETERS, messages)


def test_full_memory_fifo_stops_the_network_until_software_reads():
    parameters = RouterParameters(reception_slots=4, reception_cycles=5000)
    to_memory = Messages.make([0, 0], [1, 2], [40, 1], memory_fifo=[1, 0])
    engine = PacketEngine((8, 8, 8), CLOSED, parameters, to_memory)
    engine.run()
    assert engine.done_cycles[0] == pytest.approx(36 * 5000, rel=0.02)
    assert engine.done_cycles[1] > 20 * 5000  # it was behind them in the same FIFOs
    in_time = RouterParameters(reception_slots=4, reception_cycles=500)
    engine = PacketEngine((8, 8, 8), CLOSED, in_time, to_memory)
    engine.run()
    assert engine.done_cycles[0] == pytest.approx(40 * 544, rel=0.05)


def test_priority_packets_do_not_wait_for_others():
    crowd = np.arange(1, 8)
    messages = Messages.make(
        np.append(crowd, 1), np.append(np.zeros(7, int), 0), np.append(np.full(7, 200), 1),
        priority=np.append(np.zeros(7, int), 1), fifo=np.append(np.zeros(7, int), 1),
        post_cycles=np.append(np.zeros(7, int), 50_000),
    )  # fmt: skip
    engine = PacketEngine((8, 1, 1), CLOSED, PARAMETERS, messages)
    engine.run()
    assert engine.done_cycles[-1] - 50_000 < 3 * PARAMETERS.link_cycles(8)
    assert engine.done_cycles[:-1].max() > 200_000


def test_local_copies_take_the_dma_engine_only():
    messages = Messages.make([5], [5], [10])
    engine = PacketEngine((8, 8, 8), CLOSED, PARAMETERS, messages)
    engine.run()
    assert engine.packet_hops == 0
    assert engine.done_cycles.tolist() == [1 + 10 * PARAMETERS.local_interval_cycles]


def test_long_work_between_messages_costs_no_host_time():
    milliseconds = 850_000
    gates = Gates.make([1, 1], core=[0, -1], work_cycles=[900 * milliseconds, 900 * milliseconds])
    messages = Messages.make([0, 1, 0], [1, 0, 1], 1, gate=[-1, 0, 1], then=[0, 1, -1])
    engine = PacketEngine((8, 8, 8), CLOSED, PARAMETERS, messages, gates)
    engine.run()
    assert engine.opened_cycles[1] - engine.done_cycles[1] == 900 * milliseconds
    assert engine.events < 100


@pytest.mark.slow
@pytest.mark.parametrize(
    ("displacement", "measured_mibps"),
    [((3, 1, 1), 120), ((1, 1, 3), 102), ((1, 3, 1), 107), ((3, 1, 3), 51), ((3, 3, 1), 44), ((1, 3, 3), 43)],
)
def test_puts_are_as_slow_as_measured(displacement, measured_mibps):
    packets = 1500
    messages = puts(
        np.arange(512), shifted((8, 8, 8), displacement), packets * 240, 1, np.arange(512) * 331 % 850
    )
    engine = PacketEngine((8, 8, 8), CLOSED, PARAMETERS, messages)
    engine.run()
    seconds = (engine.sent_cycles - messages.post_cycles) / 850e6
    assert (packets * 240 / (1 << 20) / seconds).mean() == pytest.approx(measured_mibps, rel=0.15)
