"""Software around the collective networks: all nodes compiled against one node in plain Python."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bgsim.machine.cost_model import Delivery
from bgsim.machine.delivery import waits
from bgsim.machine.node_loops import NodeWork, enter, leave
from bgsim.machine.node_reference import enter_node, leave_node
from bgsim.network.detours import Detours, DetourSource, nothing_watched

works = st.builds(NodeWork, st.booleans(), st.booleans(), *[st.sampled_from([0, 7, 300])] * 7)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=5),
    works,
    st.integers(0, 2**32 - 1),
    st.booleans(),
    st.integers(-1, 7),
)
def test_compiled_equals_readable(
    per_node: list[int], work: NodeWork, seed: int, noisy: bool, root: int
) -> None:
    rng = np.random.default_rng(seed)
    begins = np.concatenate([[0], np.cumsum(per_node)])
    cores = np.concatenate([4 * node + np.arange(ranks) for node, ranks in enumerate(per_node)])
    tick = DetourSource("tick", 3_000, 0.3, False, (50.0, 400.0), (3.0, 1.0))
    detours = Detours.make([tick] * noisy, 4 * len(per_node), seed)
    clock = rng.integers(0, 5_000, cores.size)
    table = waits(Delivery((0.0, 40.0), (1.0, 1.0)) if noisy else Delivery((25.0,), (1.0,)), seed)
    quiet, ready = nothing_watched(4 * len(per_node)), np.zeros(len(per_node), np.int64)
    now = clock.copy()
    enter(begins, cores, now, work, root, detours.table, quiet, ready)
    expected = []
    for node, (first, last) in enumerate(pairwise(begins)):
        mine, here = cores[first:last].tolist(), root - first if root >= first else -1
        after, told = enter_node(clock[first:last].tolist(), mine, work, here, detours)
        expected += after
        assert ready[node] == told
    assert now.tolist() == expected
    done = ready + 500
    leave(begins, cores, now, work, root, detours.table, quiet, table, 3, done)
    left: list[list[int]] = []
    for node, (first, last) in enumerate(pairwise(begins)):
        clocks, mine = expected[first:last], cores[first:last].tolist()
        here = root - first if root >= first else -1
        choices = {
            tuple(leave_node(clocks, mine, work, here, detours, wait, int(done[node])))
            for wait in table.values.tolist()
        }
        assert tuple(now[first:last].tolist()) in choices
        left.append(now[first:last].tolist())
    assert sum(map(len, left)) == cores.size
