"""Any program whose messages match can be written, read, replayed, and loses no message."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bgsim.machine import cost_model as cost
from bgsim.machine.cost_model import CostModel
from bgsim.machine.networks import run_graph
from bgsim.machine.program import Placement, Settings
from bgsim.machine.program import Program as Steps
from bgsim.network.detours import Detours, DetourSource
from bgsim.network.router import RouterParameters
from bgsim.traces import deadlock, text
from bgsim.traces.accounts import accounts
from bgsim.traces.collectives import write_out
from bgsim.traces.graph import build
from bgsim.traces.matching import match
from bgsim.traces.program import ANY, Builder, Kind, is_receive, is_send

SIZES = (0, 1, 240, 1200, 1201, 4000)
COSTS = CostModel(
    name="none", platform="none", guest="none", machine=cost.Machine("none", {}, {}), datasheet_digest="",
    characterisation_version=1, created_by="", put=cost.OneSided(100, 10), get=cost.OneSided(100, 10),
    eager=cost.Eager(100, 7, 50, 9), rendezvous=cost.Rendezvous(70, 60, 30), local=cost.Local(20, 30, 0.25),
    collective=cost.Collective(0, 0, 0), barrier=cost.Barrier(5, 6),
    delivery=cost.Delivery((0.0, 90.0), (1.0, 1.0)), detours=(), measured=(),
)  # fmt: skip
SHAPE, TORUS = (2, 2, 1), (False, False, False)


@st.composite
def programs(draw):
    """Programs that cannot deadlock: a receive is posted before its message is sent."""
    ranks = draw(st.integers(2, 8))
    builder = Builder(ranks)
    pending = {rank: [] for rank in range(ranks)}
    for _ in range(draw(st.integers(1, 12))):
        what = draw(st.sampled_from(["message", "message", "message", "compute", "wait", "collective"]))
        rank = draw(st.integers(0, ranks - 1))
        if what == "compute":
            kind = draw(st.sampled_from([Kind.COMPUTE, Kind.COMPUTE_CYCLES, Kind.SLEEP]))
            builder.add(
                rank,
                kind,
                draw(st.integers(0, 5000)) if kind == Kind.COMPUTE_CYCLES else draw(st.integers(0, 10**7)),
            )
        elif what == "wait" and pending[rank]:
            taken = pending[rank][: draw(st.integers(1, len(pending[rank])))]
            waiting = builder.add(rank, Kind.WAIT)
            for handle in taken:
                builder.link(waiting, handle)
                pending[rank].remove(handle)
        elif what == "collective":
            kind = draw(st.sampled_from([kind for kind in Kind if kind >= Kind.BARRIER]))
            size = 0 if kind == Kind.BARRIER else draw(st.sampled_from(SIZES[1:]))
            root = draw(st.integers(0, ranks - 1)) if kind in (Kind.BROADCAST, Kind.REDUCE) else -1
            for each in range(ranks):
                builder.add(each, kind, size, root)
        elif what == "message":
            peer = draw(st.integers(0, ranks - 1).filter(lambda other, rank=rank: other != rank))
            size, tag = draw(st.sampled_from(SIZES)), draw(st.integers(0, 2))
            receive = builder.add(peer, Kind.RECEIVE_START, draw(st.sampled_from([size, ANY])), rank, tag)
            blocking = draw(st.booleans())
            send = builder.add(rank, Kind.SEND if blocking else Kind.SEND_START, size, peer, tag)
            pending[peer].append(receive)
            if not blocking:
                pending[rank].append(send)
    return builder.build()


@given(programs())
def test_round_trip(program):
    assert text.read_text("\n".join(text.lines(program))).same(program)


@settings(max_examples=25)
@given(
    programs(), st.sampled_from([1, 2, 4]), st.sampled_from(["uncontended", "flow", "packet"]), st.booleans()
)
def test_every_message_arrives_and_time_adds_up(program, per_node, network, noisy):
    ranks = np.arange(program.ranks)
    placement = Placement(SHAPE, TORUS, ranks // per_node % 4, ranks, per_node)
    steps = Steps(placement, COSTS, Settings(1200, 1024, 0.5, 40, 4), np.zeros(program.ranks, np.int64), 3)
    written = write_out(program, steps, "binomial")
    matches = match(written.program)
    kind = written.program.kind
    assert len(matches.send) == is_send(kind).sum() == is_receive(kind).sum()
    graph = build(written, matches, steps, 850_000_000, barrier_cycles=50)
    deadlock.check(written, matches, graph)
    cores = int(graph.gates.core.max(initial=0)) + 1
    ticks = Detours.make([DetourSource("tick", 900.0, 0.2, False, (80.0,), (1.0,))], cores, 5, 1)
    detours = ticks if noisy else Detours.none()
    result = run_graph(network, SHAPE, TORUS, RouterParameters(), graph.messages, graph.gates, detours)
    assert (result.opened_cycles >= 0).all()
    assert (result.done_cycles[graph.arrival] > result.opened_cycles[graph.post]).all()
    assert int(graph.size.sum()) == int(matches.size.sum()) + _puts(written)
    spent = accounts(graph, result, program.ranks)
    assert (spent.cycles >= 0).all()
    assert (spent.cycles.sum(axis=0) == spent.elapsed_cycles).all()
    assert (spent.end_cycles <= spent.elapsed_cycles).all()
    if not noisy:
        assert not spent.cycles[3].any()


def _puts(written):
    from bgsim.traces.collectives import PUT

    return int(written.program.amount[written.program.kind == PUT].sum())
