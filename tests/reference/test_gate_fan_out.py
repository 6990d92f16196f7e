"""A gate may count several gates, or keep its core for the next: the compiled packet engine and the reference
agree, and time is by hand."""

import numpy as np
import pytest
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


@pytest.mark.parametrize(("keeps", "opened"), [(0, [100, 210, 310, 110]), (1, [100, 200, 300, 310])])
def test_a_kept_core_does_nothing_between_two_gates(keeps, opened):
    """Three steps of a core, and a fourth gate that is ready while it does the first."""
    gates = Gates.make(
        [0, 1, 1, 0],
        start_cycles=[0, 0, 0, 50],
        core=0,
        work_cycles=[100, 100, 100, 10],
        then=[1, 2, -1, -1],
        keeps=[keeps, keeps, 0, 0],
    )
    messages = Messages.make([0], [1], 1, gate=0)
    for kind in (PacketEngine, PacketReference):
        engine = kind(SHAPE, TORUS, RouterParameters(), messages, gates)
        engine.run()
        assert list(engine.opened_cycles) == opened


@pytest.mark.parametrize(
    "change", [{"then": [-1, -1]}, {"core": [0, 1]}, {"start_cycles": [0, 9]}, {"core": [-1, -1]}]
)
def test_a_core_is_kept_only_for_what_can_follow(change):
    columns = {"core": [0, 0], "then": [1, -1], "keeps": [1, 0], **change}
    needs = [0, 0 if columns["then"][0] < 0 else 1]
    gates = Gates.make(needs, **columns)
    with pytest.raises(ValueError, match="gate 0 keeps its core for a gate that cannot follow it"):
        gates.check(Messages.make([0], [1], 1))
