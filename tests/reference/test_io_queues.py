"""The compiled network of queues against its SimPy reference, process by process to the cycle."""

import numpy as np
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from bgsim.datasheet import Datasheet
from bgsim.hardware.file_server import IoParameters
from bgsim.hardware.io_protocol import Call
from bgsim.machine.io_engine import run_queues
from bgsim.machine.io_program import NodeCosts, Places, Step, Times, columns
from bgsim.machine.io_reference import run_reference
from bgsim.network.collective_packet import CollectiveParameters

SHEET = Datasheet.load()
IO = IoParameters.from_datasheet(SHEET)
NETWORK = CollectiveParameters.from_datasheet(SHEET)

PHASES = tuple(set(Phase) - {Phase.shrink, Phase.explain})

lengths = st.sampled_from([1, 240, 5000, 87600])
steps = st.builds(
    lambda call, length, file, shared, piece, ends: Step(
        call, length if call in (Call.READ, Call.WRITE) else 0, file, shared, piece, ends
    ),
    st.sampled_from(list(Call)),
    lengths,
    st.integers(0, 2),
    st.booleans(),
    st.integers(0, 2),
    st.booleans(),
)
costs = st.builds(
    NodeCosts,
    send=st.integers(1, 10_000),
    inject=st.integers(1, 5000),
    receive=st.integers(1, 10_000),
    take=st.integers(1, 5000),
    drain=st.integers(1, 5000),
    buffered=st.sampled_from([8, 800]),
)


@settings(max_examples=40, phases=PHASES, deadline=None)
@given(
    program=st.lists(steps, min_size=1, max_size=8),
    node=costs,
    places=st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 2), st.integers(1, 7)), min_size=1, max_size=24
    ),
    cores=st.integers(1, 3),
    servers=st.integers(1, 3),
    slow=st.sampled_from([1, 50]),
    threads=st.booleans(),
)
def test_every_process_has_the_same_times(program, node, places, cores, servers, slow, threads) -> None:  # type: ignore[no-untyped-def]
    table = columns(program, IO)
    table = table._replace(service=table.service * slow)
    times = Times.of(node, IO, NETWORK)
    times = Times(
        **{
            **{name: getattr(times, name) for name in Times.__slots__},
            "proxy_cores": cores,
            "metadata_servers": servers,
            "data_servers": servers,
            "threads": threads,
        }
    )
    where = np.array(places, np.int64)
    at = Places(*(np.ascontiguousarray(column) for column in where.T))
    fast, slowly = run_queues(table, times, at), run_reference(table, times, at)
    assert np.array_equal(fast.finished, slowly.finished)
    assert np.array_equal(fast.layers, slowly.layers)
    assert (fast.calls, fast.latency_sum) == (slowly.calls, slowly.latency_sum)
    if fast.calls:
        assert (fast.latency_min, fast.latency_max) == (slowly.latency_min, slowly.latency_max)
        assert fast.histogram.sum() == fast.calls
