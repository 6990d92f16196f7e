"""A gate may count several gates: the compiled packet engine and the reference agree, and time is by hand."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bgsim.network.packet_engine import PacketEngine
from bgsim.network.packet_reference import PacketReference
from bgsim.network.router import RouterParameters
from bgsim.network.traffic import Gates, Messages

SHAPE, TORUS = (2, 2, 1), (False, False, False)


@given(st.data())
def test_engines_agree_when_gates_count_several(data):
    count = data.draw(st.integers(2, 12))
    pairs = sorted(
        data.draw(st.sets(st.tuples(st.integers(0, count - 2), st.integers(1, count - 1)), max_size=20))
    )
    also = np.array([(a, b) for a, b in pairs if a < b], np.int64).reshape(-1, 2)
    numbers = st.lists(st.integers(0, 400), min_size=count, max_size=count)
    gates = Gates.make(
        np.bincount(also[:, 1], minlength=count),
        start_cycles=data.draw(numbers),
        core=np.array(data.draw(numbers)) % 5 - 1,
        work_cycles=data.draw(numbers),
        also=also,
    )
    sends = np.arange(count)
    messages = Messages.make(sends % 4, (sends + 1) % 4, 1, gate=sends)
    router = RouterParameters()
    engine = PacketEngine(SHAPE, TORUS, router, messages, gates)
    engine.run()
    reference = PacketReference(SHAPE, TORUS, router, messages, gates)
    reference.run()
    assert engine.opened_cycles.tolist() == list(reference.opened_cycles)
    assert engine.done_cycles.tolist() == list(reference.done_cycles)
    opened = engine.opened_cycles
    assert (opened[also[:, 0]] <= opened[also[:, 1]]).all()
