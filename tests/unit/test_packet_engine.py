"""The packet engine on cases whose answer is known, and the measured classes of shifts."""

import numpy as np
import pytest

from bgsim.network.implicit import neighbour_table
from bgsim.network.packet_engine import NetworkStuckError, PacketEngine
from bgsim.network.router import RouterParameters
from bgsim.network.topology import Direction, neighbour
from bgsim.network.traffic import Messages, puts, shifted

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
