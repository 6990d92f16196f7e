"""The exchange behind the comparison with Blue Gene/L."""

import numpy as np

from bgsim.network.packet_engine import PacketEngine
from bgsim.validation.all_to_all import ALL_TO_ALL, exchange
from bgsim.validation.torus_laws import CLOSED, across_the_middle, parameters


def test_every_node_sends_to_every_other_once():
    messages = exchange((3, 2, 2), 5)
    pairs = set(zip(messages.source.tolist(), messages.destination.tolist(), strict=True))
    assert len(pairs) == messages.size == 12 * 11
    assert all(source != destination for source, destination in pairs)
    assert (messages.packets == 5).all()


def test_each_node_has_an_order_of_its_own():
    messages = exchange((4, 4, 4), 1)
    apart = ((messages.destination - messages.source) % 64).reshape(64, 63)
    assert len(np.unique(apart, axis=0)) == 64


def test_no_exchange_is_faster_than_its_bisection():
    for shape in ((4, 4, 4), (8, 4, 4)):
        messages = exchange(shape, 4)
        took = PacketEngine(shape, CLOSED, parameters(), messages).run()
        assert 0.5 * took < across_the_middle(shape, messages) <= took


def test_the_figures_are_from_a_machine_and_not_binding():
    assert ALL_TO_ALL.kind == "measured"
    assert not ALL_TO_ALL.binding
