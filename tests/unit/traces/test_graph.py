"""From traces to times: small cases by hand, built-in algorithms as traces, deadlocks, accounts."""

from dataclasses import replace

import numpy as np
import pytest

from bgsim.machine import algorithms
from bgsim.machine import cost_model as cost
from bgsim.machine.cost_model import CostModel
from bgsim.machine.networks import run_graph
from bgsim.machine.program import Placement, Settings
from bgsim.machine.program import Program as Steps
from bgsim.network.detours import Detours, DetourSource
from bgsim.network.router import RouterParameters
from bgsim.traces import deadlock, text
from bgsim.traces.accounts import CAUSES, accounts, cores_used, histogram
from bgsim.traces.collectives import write_out
from bgsim.traces.errors import TraceError
from bgsim.traces.graph import build
from bgsim.traces.limits import check_amounts
from bgsim.traces.matching import match

FREQUENCY_HZ = 850_000_000
ROUTER = RouterParameters()
PACKET = 544  # cycles of a full packet on a link
SETTINGS = Settings(eager_limit=1200, segment=4096, combine_cycles=1.0, serve_cycles=200, cores=4)
COSTS = CostModel(
    name="bare-metal/cnk",
    platform="bare-metal",
    guest="cnk",
    machine=cost.Machine("bgp", {}, {}),
    datasheet_digest="0",
    characterisation_version=1,
    created_by="a test",
    put=cost.OneSided(900, 75),
    get=cost.OneSided(1200, 75),
    eager=cost.Eager(1000, 100, 500, 200),
    rendezvous=cost.Rendezvous(700, 600, 300),
    local=cost.Local(110, 90, 0.5),
    collective=cost.Collective(0, 0, 0),
    barrier=cost.Barrier(10, 20),
    delivery=cost.Delivery((0.0,), (1.0,)),
    detours=(),
    measured=(),
)


def line(nodes, per_node=1):
    """Ranks along x, node after node."""
    ranks = np.arange(nodes * per_node)
    return Placement((nodes, 1, 1), (False,) * 3, ranks // per_node, ranks, per_node)


def steps_of(placement, costs=COSTS, seed=1):
    return Steps(placement, costs, SETTINGS, np.zeros(placement.ranks, np.int64), seed)


def ran(bodies, network="uncontended", placement=None, costs=COSTS, detours=None, **options):
    count = sum(len(body.splitlines()) for body in bodies)
    ranks = "".join(f"rank {number}\n{body}\n" for number, body in enumerate(bodies))
    program = text.read_text(f"bgsim-messages 1\nranks {len(bodies)}\n{ranks}end {count}")
    placement = placement or line(len(bodies))
    steps = steps_of(placement, costs, options.pop("seed", 1))
    written = write_out(program, steps, options.pop("algorithm", "binomial"))
    matches = match(written.program)
    graph = build(written, matches, steps, FREQUENCY_HZ, **options)
    deadlock.check(written, matches, graph)
    result = run_graph(
        network,
        placement.shape,
        placement.torus,
        ROUTER,
        graph.messages,
        graph.gates,
        detours or Detours.none(),
    )
    return result.opened_cycles[graph.done], graph, result


def wire(packets, hops=1):
    return packets * PACKET + hops * ROUTER.hop_cycles + ROUTER.endpoint_cycles


def small():
    """A request: one packet of two chunks."""
    return ROUTER.link_cycles(2) + ROUTER.hop_cycles + ROUTER.endpoint_cycles


@pytest.mark.parametrize("network", ["uncontended", "flow"])
def test_eager_by_hand(network):
    done, _, _ = ran(["compute 1000cycles\nsend 1 300B\ncompute 5cycles", "recv 0 300B"], network)
    sent = 1000 + 1000 + 2 * 100
    assert done.tolist() == [1000, sent, sent + 5, sent + wire(2) + 500 + 2 * 200]


def test_an_eager_message_waits_for_its_receiver():
    done, _, _ = ran(["send 1 8B", "compute 1ms\nrecv 0 8B"])
    assert done.tolist() == [1100, 850_000, 850_000 + 700]


def test_a_started_receive_is_handled_when_the_core_is_free():
    done, _, _ = ran(["send 1 8B", "a: irecv 0 8B\ncompute 3000cycles\ncompute 4000cycles\nwait a"])
    # It arrives during the first computation, and is handled before the second.
    assert done[2:].tolist() == [3000, 3000 + 700 + 4000, 3000 + 700 + 4000]
    assert done[1] == 3000 + 700


@pytest.mark.parametrize("network", ["uncontended", "flow"])
def test_rendezvous_by_hand(network):
    done, _, _ = ran(["send 1 3000B", "compute 5000cycles\nrecv 0 3000B"], network)
    requested = 5000 + 600  # the announcement arrived long before
    served = requested + small() + 200
    left, arrived = served + 13 * PACKET, served + wire(13)
    assert done[[0, 2]].tolist() == [left + 300, arrived + 300]  # both ends complete it


def test_a_rendezvous_waits_until_the_receive_is_posted():
    done, _, _ = ran(
        ["a: isend 1 3000B\nwait a", "compute 9000cycles\nb: irecv 0 3000B\ncompute 7cycles\nwait b"]
    )
    served = 9000 + 7 + 600 + small() + 200  # the computation was ready first
    assert done[1] == served + 13 * PACKET + 300
    assert done[5] == served + wire(13) + 300


def test_inside_a_node_by_hand():
    done, _, result = ran(["send 1 100B", "recv 0 100B"], placement=line(1, 2))
    assert done.tolist() == [160, 160 + ROUTER.local_interval_cycles + 140]
    assert result.packet_hops == 0


def test_dependencies_by_hand():
    body = [
        "a: compute 100cycles",
        "b: compute 200cycles core 1 after start",
        "compute 10cycles after a b",
        "compute 1cycles core 2 since b",
    ]
    done, _, _ = ran(["\n".join(body)], placement=line(1))
    assert done.tolist() == [100, 200, 210, 1]


@pytest.mark.parametrize("size", [8, 3000])
@pytest.mark.parametrize("receive", ["compute 50cycles\na: recv 0 {}B", "b: irecv 0 {}B\na: wait b"])
def test_what_starts_since_a_receive_does_not_wait_for_the_message(receive, size):
    body = f"{receive.format(size)}\ncompute 7cycles core 1 since a\ncompute 3cycles after a"
    done, _, _ = ran([f"compute 1ms\nsend 1 {size}B", body], placement=line(2))
    begun = 50 if receive.startswith("compute") else 0
    assert done[4] == begun + 7
    assert done[3] > 850_000
    assert done[5] == done[3] + 3


def test_cores_of_a_rank_are_among_those_of_its_node():
    bodies = [["compute 1cycles core 1"], ["compute 1cycles core 3"], ["compute 1cycles"]]
    lines = "".join(f"rank {rank}\n{body}\n" for rank, (body,) in enumerate(bodies))
    program = text.read_text(f"bgsim-messages 1\nranks 3\n{lines}end 3")
    steps = Steps(line(2, 2), COSTS, replace(SETTINGS, cores=8), np.zeros(4, np.int64), 1)
    written = write_out(program, steps, "binomial")
    graph = build(written, match(written.program), steps, FREQUENCY_HZ)
    assert [int(graph.gates.core[graph.rank == rank].max()) for rank in range(3)] == [1, 4 + 3, 8]


def test_computation_is_scaled():
    done, _, _ = ran(["compute 1us\ncompute 10cycles"], compute_scale=2.5)
    assert done.tolist() == [2125, 2150]


def test_sleep_is_no_computation():
    bodies = ["sleep 1us\na: irecv 1 8B\nsleep 10us\nwait a", "send 0 8B"]
    done, graph, result = ran(bodies, compute_scale=2.5)
    assert done[[0, 2, 3]].tolist() == [850, 9350, 9350 + 700]  # a message that arrives is handled behind it
    spent = dict(zip(CAUSES, accounts(graph, result, 2).cycles, strict=True))
    assert spent["compute"].tolist() == [0, 0]
    assert spent["interrupted"].tolist() == [0, 0]
    assert (spent["receive"][0], spent["wait"][0]) == (700, 9350)


def test_barrier_by_hand():
    done, _, _ = ran(["barrier", "compute 500cycles\nbarrier"], barrier_cycles=1000)
    assert done[-1] == 500 + 10 + 1000 + 20


def test_delivery_waits():
    slow = replace(COSTS, delivery=cost.Delivery((750.0,), (1.0,)))
    done, _, _ = ran(["send 1 8B", "recv 0 8B"], costs=slow)
    assert done[1] == 1100 + wire(1) + 750 + 700


ALGORITHMS = [
    ("bcast 8B", "binomial", algorithms.binomial_broadcast, 8),
    ("bcast 5000B", "binomial", algorithms.binomial_broadcast, 5000),
    ("reduce 600B", "binomial", algorithms.binomial_reduce, 600),
    ("allreduce 8B", "binomial", algorithms.binomial_allreduce, 8),
    ("allreduce 20000B", "ring", algorithms.ring_allreduce, 20000),
    ("bcast 9000B", "ring", algorithms.ring_broadcast, 9000),
    ("allgather 2000B", "binomial", algorithms.ring_allgather, 2000),
    ("alltoall 700B", "binomial", algorithms.torus_alltoall, 700),
]


@pytest.mark.parametrize("network", ["uncontended", "packet"])
@pytest.mark.parametrize(("call", "algorithm", "built_in", "size"), ALGORITHMS)
def test_a_collective_in_a_trace_takes_what_the_built_in_one_takes(call, algorithm, built_in, size, network):
    placement = line(5)
    _, _, result = ran([call] * 5, network, placement, algorithm=algorithm)
    steps = steps_of(placement)
    built_in(steps, size)
    messages, gates, _ = steps.graph()
    other = run_graph(network, placement.shape, placement.torus, ROUTER, messages, gates, Detours.none())
    assert result.opened_cycles.max() == other.opened_cycles.max()
    assert result.packet_hops == other.packet_hops


def test_an_alltoall_goes_in_the_order_that_the_run_draws():
    placement = line(6)
    costs = replace(COSTS, delivery=cost.Delivery((0.0, 900.0, 4000.0), (1.0, 1.0, 1.0)))
    ends = []
    for seed in (1, 2):
        done, _, _ = ran(["alltoall 3000B"] * 6, "packet", placement, costs, seed=seed)
        steps = steps_of(placement, costs, seed)
        algorithms.torus_alltoall(steps, 3000)
        messages, gates, _ = steps.graph()
        other = run_graph("packet", placement.shape, placement.torus, ROUTER, messages, gates, Detours.none())
        last = done.reshape(6, -1)[:, -1]
        np.testing.assert_array_equal(last, other.opened_cycles[steps.last])  # rank for rank, waits too
        ends.append(last.tolist())
    assert ends[0] != ends[1]


def test_a_ring_written_as_messages_takes_what_the_collective_takes():
    bodies = []
    for rank in range(6):
        body = []
        for turn in range(5):
            body += [f"s{turn}: isend {(rank + 1) % 6} 900B", f"recv {(rank - 1) % 6} 900B", f"wait s{turn}"]
        bodies.append("\n".join(body))
    written, _, _ = ran(bodies)
    called, _, _ = ran(["allgather 900B"] * 6)
    assert written.max() == called.max()


def test_roots_move_the_tree():
    first, _, _ = ran(["bcast 8B"] * 4, placement=line(4))
    other, _, _ = ran(["bcast 8B root 2"] * 4, placement=line(4))
    assert first.max() != 0
    assert other.max() >= first.max()  # two of its messages have farther to go


@pytest.mark.parametrize(
    ("bodies", "said"),
    [
        (
            ["recv 1 8B\nsend 1 8B", "recv 0 8B\nsend 0 8B"],
            [
                "trace:4: deadlock: rank 0 waits for ever for rank 1, in 'recv from rank 1, tag 0, line 4'",
                "trace:7: deadlock: rank 1 waits for ever for rank 0, in 'recv from rank 0, tag 0, line 7'",
            ],
        ),
        (
            ["send 1 2000B\nrecv 2 8B", "send 2 2000B\nrecv 0 2000B", "send 0 8B\nsend 1 1B\nrecv 1 2000B"],
            [],
        ),
        (
            [f"send {(rank + 1) % 3} 2000B\nrecv {(rank - 1) % 3} 2000B" for rank in range(3)],
            [
                "rank 0 waits for ever for rank 1",
                "rank 1 waits for ever for rank 2",
                "rank 2 waits for ever for rank 0",
            ],
        ),
        (
            ["barrier\nsend 1 8B", "recv 0 8B\nbarrier"],
            ["rank 0 waits for ever for rank 1, in 'barrier, line 4'", "rank 1 waits for ever for rank 0"],
        ),
        (
            ["a: irecv 1 8B\nwait a\nsend 1 8B", "a: irecv 0 8B\nwait a\nsend 0 8B"],
            ["trace:5: deadlock: rank 0 waits for ever for rank 1, in 'wait, line 5'"],
        ),
    ],
)
def test_deadlocks_name_who_waits_for_whom(bodies, said):
    if not said:
        bodies[2] = bodies[2].replace("\nsend 1 1B", "")
        assert (ran(bodies)[0] >= 0).all()
        return
    with pytest.raises(TraceError) as caught:
        ran(bodies)
    for sentence in said:
        assert sentence in str(caught.value)


def test_short_messages_do_not_deadlock():
    done, _, _ = ran(["send 1 1200B\nrecv 1 1200B", "send 0 1200B\nrecv 0 1200B"])
    assert (done >= 0).all()


def test_accounts_add_up():
    bodies = ["compute 5us\nsend 1 500B\nrecv 1 9000B", "compute 1us\na: irecv 0 500B\nsend 0 9000B\nwait a"]
    detours = Detours.make([DetourSource("tick", 3000.0, 0.3, False, (150.0,), (1.0,))], 2, 1, 1)
    _, graph, result = ran(bodies, detours=detours)
    spent = accounts(graph, result, 2)
    assert spent.cycles.sum(axis=0).tolist() == [spent.elapsed_cycles] * 2
    compute, send, receive, interrupted, wait = (
        dict(zip(CAUSES, spent.cycles, strict=True))[c] for c in CAUSES
    )
    assert compute.tolist() == [4250, 850]
    assert send.tolist() == [1000 + 3 * 100, 700 + 300]
    assert receive.tolist() == [600 + 300, 500 + 3 * 200]
    assert (interrupted > 0).all()
    assert (wait > 0).all()
    assert spent.end_cycles.max() == spent.elapsed_cycles


def test_a_rank_has_the_time_of_the_cores_that_it_uses():
    bodies = ["compute 9cycles\ncompute 9cycles core 3 after start", "compute 5cycles", ""]
    _, graph, result = ran(bodies)
    program = text.read_text(f"bgsim-messages 1\nranks 3\nrank 0\n{bodies[0]}\nrank 1\n{bodies[1]}\nend 3")
    spent = accounts(graph, result, 3, cores_used(program))
    assert spent.cycles.sum(axis=0).tolist() == [18, 9, 9]
    assert spent.cycles[CAUSES.index("wait")].tolist() == [0, 4, 9]


@pytest.mark.parametrize(
    ("bodies", "scale", "said"),
    [
        (
            ["compute 9000000000000000000cycles\n" * 2],
            1.0,
            "trace:4: rank 0 computes and sleeps 1.8e+19",
        ),
        (["compute 1us\ncompute 1000h"], 1e6, "trace:5: rank 0 computes and sleeps 3.06e+21 cycles in all"),
        (
            ["send 1 4294967297B", "recv 0 any"],
            1.0,
            "send to rank 1, tag 0, line 4: 4294967297 B is more",
        ),
        (["bcast 4294967297B"], 1.0, "bcast with root 0, line 4: 4294967297 B is more than 4 GiB"),
    ],
)
def test_what_no_machine_word_holds_is_refused(bodies, scale, said):
    ranks = "".join(f"rank {number}\n{body}\n" for number, body in enumerate(bodies))
    lines = sum(len(body.splitlines()) for body in bodies)
    program = text.read_text(f"bgsim-messages 1\nranks {len(bodies)}\n{ranks}end {lines}")
    with pytest.raises(TraceError) as caught:
        check_amounts(program, FREQUENCY_HZ, scale)
    assert said in str(caught.value)


def test_messages_are_counted_before_they_are_written_out(monkeypatch):
    body = "allreduce 8KiB\nalltoall 8B\nbarrier"
    four = "".join(f"rank {rank}\n{body}\nisend {(rank + 1) % 4} 5000B\n" for rank in range(4))
    program = text.read_text(f"bgsim-messages 1\nranks 4\n{four}end 16")
    monkeypatch.setattr("bgsim.machine.limits.MESSAGES_MAX", 41)
    with pytest.raises(TraceError, match=r"^trace: its ranks exchange 42 messages, more than 41; use fewer"):
        write_out(program, steps_of(line(4)), "binomial")  # 6 * 3 + 12 + 4 * 3
    monkeypatch.setattr("bgsim.machine.limits.MESSAGES_MAX", 42)
    assert write_out(program, steps_of(line(4)), "binomial").program.size > program.size


@pytest.mark.parametrize(("first", "second"), [("send 1 8B", "recv 0 8B"), ("bcast 8B", "bcast 8B")])
def test_work_that_a_wait_follows_at_once_is_accounted_for(first, second):
    blocking, started = [first, second], ["a: isend 1 8B\nwait a", "a: irecv 0 8B\nwait a"]
    for bodies in (blocking, started):
        _, graph, result = ran(bodies)
        spent = dict(zip(CAUSES, accounts(graph, result, 2).cycles.tolist(), strict=True))
        assert (spent["send"], spent["receive"]) == ([1100, 0], [0, 700])


def test_histogram():
    rows = histogram(np.array([0, 1, 5, 8, 9, 1024]))
    assert histogram(np.array([9 * 10**18] * 2))[0]["bytes"] == 18 * 10**18
    assert [(row["bytes_max"], row["messages"], row["bytes"]) for row in rows] == [
        (0, 1, 0), (1, 1, 1), (8, 2, 13), (16, 1, 9), (1024, 1, 1024)
    ]  # fmt: skip
