"""The traffic workload: patterns, message graphs, what an operation takes, and who waits for whom."""

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from bgsim.datasheet import Datasheet
from bgsim.experiment.metrics import METRICS
from bgsim.network.topology import distance
from bgsim.network.traffic import FIFO_LOCAL, first_fifo
from bgsim.validation_data import table
from bgsim.workloads import traffic
from bgsim.workloads.resolved import Partition, ResolvedRun
from bgsim.workloads.support import MisfitError
from bgsim.workloads.traffic_config import TrafficConfig
from bgsim.workloads.traffic_fit import LINK_LOAD_NODES_MAX
from bgsim.workloads.traffic_loads import DIRECTIONS
from bgsim.workloads.traffic_messages import Operations, build, kind_of
from bgsim.workloads.traffic_patterns import PatternError, partners, random_stream, read_permutation

SHEET = Datasheet.load()
QUIET = SHEET.with_values({"barrier.exit_skew": "0 us"})
TORUS, MESH = (True, True, True), (False, False, False)
CUBE = (4, 4, 4)
JAMMED = {
    "shape": (8, 8, 8),
    "pattern": "antipodal",
    "operation": "get",
    "size": "16 KiB",
    "posted": 30,
    "active": "(x + y + z) % 2 == 0",
}


def resolved(shape=CUBE, torus=TORUS, seed=1, sheet=SHEET, **workload):
    config = TrafficConfig.model_validate({"kind": "traffic", **workload})
    return ResolvedRun(sheet, sheet, Partition("p", shape, torus), "bare-metal", "cnk", config, seed, 0)


def simulate(**arguments):
    return traffic.run(resolved(**arguments))


def partners_of(shape=CUBE, torus=TORUS, active=None, seed=1, **workload):
    config = TrafficConfig.model_validate({"kind": "traffic", **workload})
    everyone = np.arange(int(np.prod(shape))) if active is None else np.array(active)
    return partners(config, shape, torus, everyone, random_stream(seed, 0, "pattern"))


# ---- patterns


def test_shift_goes_round_the_partition():
    found = partners_of(pattern="shift", displacement=[1, 0, -1], posted=2)
    assert found.shape == (64, 2)
    assert found[0].tolist() == [1 + 16 * 3] * 2
    assert found[63].tolist() == [60 + 0 - 16] * 2


def test_antipode_is_as_far_as_it_gets():
    found = partners_of(pattern="antipodal", posted=1)[:, 0]
    assert {distance(node, int(there), CUBE, TORUS) for node, there in enumerate(found)} == {6}
    assert found[found].tolist() == list(range(64))


def test_all_to_all_reaches_every_other_node_once_a_round():
    found = partners_of(pattern="all-to-all", posted=2)
    assert found.shape == (64, 126)
    for node in range(64):
        assert sorted(found[node, :63]) == [other for other in range(64) if other != node]
    # In each step everybody is the partner of one.
    assert all(sorted(found[:, step]) == list(range(64)) for step in range(63))


def test_neighbours_are_one_hop_away_and_missing_at_the_edge_of_a_mesh():
    found = partners_of(pattern="nearest-neighbour", posted=1)
    assert {distance(n, int(there), CUBE, TORUS) for n in range(64) for there in found[n]} == {1}
    assert all(len(set(row)) == 6 for row in found.tolist())
    corner = partners_of(torus=MESH, pattern="nearest-neighbour", posted=1)[0]
    assert corner.tolist() == [1, -1, 4, -1, 16, -1]


def test_random_permutation_is_one_without_fixed_points_and_depends_on_the_seed():
    found = partners_of(pattern="random-permutation", posted=3)
    assert (found == found[:, :1]).all()
    assert sorted(found[:, 0]) == list(range(64))
    assert (found[:, 0] != np.arange(64)).all()
    assert (found != partners_of(pattern="random-permutation", posted=3, seed=2)).any()
    assert (found == partners_of(pattern="random-permutation", posted=3)).all()


def test_partners_do_not_depend_on_who_else_is_active():
    for pattern in ("random-permutation", "uniform-random"):
        everyone = partners_of(pattern=pattern, posted=4)
        some = partners_of(pattern=pattern, posted=4, active=[3, 17, 60])
        assert (some == everyone[[3, 17, 60]]).all()


def test_uniform_random_never_reaches_oneself():
    found = partners_of(pattern="uniform-random", posted=200)
    assert (found != np.arange(64)[:, None]).all()
    assert len(np.unique(found[0])) > 55


def test_permutation_file_is_read_and_its_content_is_part_of_the_configuration(tmp_path):
    shipped = partners_of(shape=(8, 8, 8), pattern="random-permutation", permutation="8x8x8", posted=1)
    assert shipped[0, 0] == int(table("permutation_8x8x8")[0]["destination"])
    own = tmp_path / "own.csv"
    own.write_text("source,destination\n1,0\n0,1\n")
    settings = {"kind": "traffic", "pattern": "random-permutation", "permutation": str(own)}
    config = TrafficConfig.model_validate(settings)
    assert TrafficConfig.model_validate(config.model_dump()) == config
    own.write_text("source,destination\n0,1\n1,0\n")
    assert TrafficConfig.model_validate(settings).permutation_digest != config.permutation_digest
    with pytest.raises(PatternError, match="has changed since the run was planned"):
        partners(config, (2, 1, 1), MESH, np.arange(2), random_stream(1, 0, "pattern"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("source,destination\n0,1\n1,1\n", "not a permutation of the nodes 0 to 1"),
        ("source,destination\n0,0\n1,1\n", "node 0 is sent to itself"),
        ("source,destination\n0,1\n1\n", ":3: expected two node numbers"),
        ("", "not a permutation"),
    ],
)
def test_bad_permutation_file_is_refused(tmp_path, text, message):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(PatternError, match=message):
        read_permutation(str(path))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pattern": "shift"}, "the pattern shift needs one"),
        (
            {"pattern": "antipodal", "displacement": [1, 1, 1]},
            "only the pattern shift has one, not antipodal",
        ),
        ({"pattern": "shift", "displacement": [1, 1]}, "three whole numbers"),
        ({"pattern": "shift", "displacement": [1, 1, 1], "target": 3}, "only the pattern hotspot"),
        ({"pattern": "antipodal", "permutation": "8x8x8"}, "only the pattern random-permutation"),
        ({"pattern": "random-permutation", "permutation": "9x9x9"}, "no such file"),
        ({"operation": "get", "completion": "remote"}, "only the operation put"),
        ({"active": "x %"}, "cannot be read"),
        ({"size": "0 B"}, "at least one byte"),
        ({"posted": 0}, "greater than or equal to 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        TrafficConfig.model_validate({"kind": "traffic", **settings})


def test_a_wrong_pattern_is_one_problem():
    with pytest.raises(ValidationError) as error:
        TrafficConfig.model_validate({"kind": "traffic", "pattern": "antipodale"})
    assert [problem["loc"] for problem in error.value.errors()] == [("pattern",)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pattern": "shift", "displacement": [4, 0, 0]}, "reaches itself"),
        ({"pattern": "hotspot", "target": 64}, "not one of the 64 nodes"),
        ({"pattern": "hotspot", "active": "x >= 0"}, "cannot send to itself"),
        ({"pattern": "random-permutation", "permutation": "8x8x8"}, "permutes 512 nodes"),
        ({"pattern": "all-to-all", "posted": 100_000}, "more than fit into memory"),
    ],
)
def test_what_does_not_fit_the_partition_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        simulate(**arguments)


# ---- message graphs


@pytest.mark.parametrize(
    ("operation", "completion", "size", "kind", "messages", "gates"),
    [
        ("put", "local", 1, "put", 1, 2),
        ("put", "remote", 1, "put-remote", 3, 3),
        ("get", "local", 1, "get", 2, 3),
        ("send", "local", 1200, "eager", 1, 3),
        ("send", "local", 1201, "rendezvous", 4, 5),
    ],
)
def test_protocols(operation, completion, size, kind, messages, gates):
    assert kind_of(operation, completion, size, 1200) == kind
    operations = Operations(kind, np.array([0, 0, 5]), np.array([1, 2, 6]), 7)
    costs = traffic.OperationCosts.native(SHEET)
    graph = build(operations, np.zeros(8, np.int64), costs, (2, 2, 2), MESH)
    assert (graph.messages.size, graph.gates.size) == (3 * messages, 3 * gates)
    graph.gates.check(graph.messages)
    assert (graph.messages.packets[graph.data] == 7).all()
    assert (graph.messages.packets.sum() - 21) == 3 * (messages - 1)


def test_dma_fifos_follow_dimension_order():
    source, destination = np.array([0, 0, 0, 0, 5]), np.array([1, 3, 4 * 3 + 16, 16 * 3, 5])
    assert first_fifo(source, destination, CUBE, TORUS).tolist() == [0, 1, 3, 5, FIFO_LOCAL]


def test_one_put_between_neighbours_takes_the_sum_of_its_parts():
    arguments = {"shape": (2, 1, 1), "torus": MESH, "pattern": "antipodal", "posted": 1, "size": "240 B"}
    outcome = simulate(**arguments, sheet=QUIET, operation="put")
    costs = traffic.OperationCosts.native(SHEET)
    cycles = outcome.metrics["operation_us_avg"] * 850
    # One cycle from posting to the DMA engine, which takes the only packet at once and is then busy with it.
    engine = 1 + SHEET.cycles("dma.packet_interval")
    assert cycles == pytest.approx(costs.put.post_cycles + costs.put.complete_cycles + engine, abs=1.5)
    remote = simulate(**arguments, sheet=QUIET, operation="put", completion="remote")
    assert remote.metrics["operation_us_avg"] > outcome.metrics["operation_us_avg"] + 2 * 0.16


def test_a_get_waits_for_request_and_data():
    outcome = simulate(
        shape=(2, 1, 1), torus=MESH, pattern="antipodal", active="x == 0", posted=1, size="720 B",
        operation="get", sheet=QUIET,
    )  # fmt: skip
    costs = traffic.OperationCosts.native(SHEET)
    flight = SHEET.cycles("torus.hop_latency") + SHEET.cycles("torus.endpoint_latency")
    expected = costs.get.post_cycles + 160 + flight + costs.serve_cycles + 3 * 544 + flight
    expected += costs.get.complete_cycles
    assert outcome.metrics["operation_us_avg"] * 850 == pytest.approx(expected, abs=6)


def test_small_operations_are_bound_by_the_core():
    costs = traffic.OperationCosts.native(SHEET)
    put = simulate(pattern="antipodal", operation="put", size="1 B")
    assert put.metrics["operation_us_avg"] * 850 == pytest.approx(
        costs.put.post_cycles + costs.put.complete_cycles, rel=0.01
    )
    send = simulate(pattern="antipodal", operation="send", size="1 B")
    assert send.details["protocol"] == "eager"
    assert send.metrics["operation_us_avg"] == pytest.approx(5.0, rel=0.01)


def test_neighbours_stream_at_the_rate_of_a_link():
    outcome = simulate(pattern="shift", displacement=[1, 0, 0], size="64 KiB", posted=4)
    assert outcome.metrics["bandwidth_MiBps"] == pytest.approx(357.6, rel=0.02)
    assert outcome.metrics["link_utilisation_x_plus"] == pytest.approx(1.0, abs=0.02)
    assert outcome.metrics["link_utilisation_x_minus"] == 0
    assert outcome.metrics["packet_hops"] == 64 * 4 * 274


def test_ties_load_both_directions():
    outcome = simulate(pattern="antipodal", operation="get", size="16 KiB", posted=4)
    used = [outcome.metrics[f"link_utilisation_{name}"] for name in DIRECTIONS]
    assert min(used) > 0.8
    assert max(used) <= 1
    for name in DIRECTIONS:
        assert outcome.metrics[f"link_utilisation_{name}_max"] <= 1.0001


def test_loads_of_single_links_on_request():
    arguments = {
        "pattern": "hotspot",
        "target": 21,
        "operation": "put",
        "size": "4 KiB",
        "active": "node != 21",
    }
    outcome = simulate(**arguments, posted=2, link_load=True)
    loads = outcome.details["link_load"]
    assert list(loads) == list(DIRECTIONS)
    for name, load in loads.items():
        assert len(load) == 64
        assert np.mean(load) == pytest.approx(outcome.metrics[f"link_utilisation_{name}"], abs=1e-6)
        assert max(load) == pytest.approx(outcome.metrics[f"link_utilisation_{name}_max"], abs=1e-6)
    assert simulate(**arguments, posted=2).metrics["packet_hops"] == outcome.metrics["packet_hops"]


def test_a_run_without_link_loads_is_identified_as_before():
    section = {"kind": "traffic", "pattern": "antipodal"}
    assert "link_load" not in TrafficConfig(**section).model_dump(mode="json")
    assert TrafficConfig(**section, link_load=True).model_dump(mode="json")["link_load"] is True


def test_link_loads_that_cannot_be_kept_are_refused():
    with pytest.raises(ValidationError, match="does not count by link"):
        TrafficConfig(kind="traffic", engine="reference", link_load=True)
    large = (16, 16, 32)
    with pytest.raises(MisfitError, match=f"at most {LINK_LOAD_NODES_MAX:,} nodes"):
        traffic.prepare(resolved(shape=large, pattern="antipodal", posted=1, link_load=True))


@pytest.mark.parametrize(("pattern", "operation"), [("uniform-random", "put"), ("antipodal", "get")])
def test_utilisation_and_hops_are_those_the_engine_counts(pattern, operation):
    setting = traffic.prepare(resolved(pattern=pattern, operation=operation, size="2 KiB", posted=5))
    job = setting.job(setting.rounds, setting.packets)
    now = job.run()
    loads = traffic.Loads.of(setting)
    assert loads.packet_hops == job.engine.packet_hops
    found = loads.utilisation(setting, now)
    assert [found[f"link_utilisation_{name}"] for name in DIRECTIONS] == pytest.approx(
        job.engine.link_utilisation
    )


@pytest.mark.parametrize("size", ["240 B", "1 KiB"])
def test_links_are_busy_until_the_last_packet_has_arrived(size):
    """A put is complete when the data has left the DMA engine, which is before it has crossed the link."""
    outcome = simulate(pattern="shift", displacement=[1, 0, 0], size=size, posted=1, active="node == 0")
    assert 0 < outcome.metrics["link_utilisation_x_plus_max"] < 1


def test_short_packets_count_as_what_they_are():
    """One link carries more short packets than the others, and is busy for longer by their time only."""
    arguments = {
        "pattern": "shift",
        "displacement": [1, 0, 0],
        "operation": "send",
        "posted": 4,
        "link_load": True,
    }
    outcome = simulate(**arguments, size="2 KiB", active="x == 0")
    data, small = 9 * 544, 2 * 64 + 32
    busy = max(outcome.details["link_load"]["x_plus"])
    answers = max(outcome.details["link_load"]["x_minus"])
    assert busy / answers == pytest.approx((data + small) / (2 * small), rel=1e-3)


@pytest.mark.parametrize("operation", ["get", "send"])
def test_what_is_fetched_from_six_neighbours_uses_six_links(operation):
    arguments = {"pattern": "nearest-neighbour", "size": "64 KiB", "posted": 6}
    put, fetched = (simulate(**arguments, operation=name).metrics for name in ("put", operation))
    assert fetched["operation_us_avg"] < 1.5 * put["operation_us_avg"]


def test_a_gridlocked_run_says_so():
    (warning,) = simulate(**JAMMED).warnings
    assert warning.startswith("the network was gridlocked (9")
    assert not simulate(**JAMMED | {"active": "all"}).warnings


def test_a_gridlock_is_noticed_however_often_the_job_is_looked_at():
    whole, watched = (traffic.prepare(resolved(**JAMMED)) for _ in range(2))
    whole.job(whole.rounds, whole.packets).run()
    job, now = watched.job(watched.rounds, watched.packets), 0
    while (job.end_cycles() < 0).any():
        now = job.run(now + 5000)
    assert watched.gridlocked == pytest.approx(whole.gridlocked, abs=0.01)
    assert whole.gridlocked > traffic.GRIDLOCKED


def test_a_watched_job_that_runs_out_is_not_run_again(monkeypatch):
    """Just more packets than a steady state takes, so none is found before the job ends."""
    monkeypatch.setattr(traffic, "COMPLETE_HOPS", 1)
    setting = traffic.prepare(resolved(pattern="antipodal", operation="get", size="4 KiB", posted=40))
    finding = traffic._finding(setting)
    assert finding.details["method"] == "complete"
    assert setting.hops == traffic.Loads.of(setting).packet_hops


def test_adaptive_packets_half_way_round_go_where_their_hint_bits_say():
    one = traffic.prepare(resolved(pattern="antipodal", operation="get", posted=1, active="x + y + z == 0"))
    plus, minus = traffic.Loads.of(one).link_cycles.reshape(3, 2).T
    assert (plus > 0).all()
    assert not minus.any(), "from even coordinates to even ones"


@pytest.mark.parametrize("operation", ["put", "get", "send"])
@pytest.mark.parametrize("pattern", ["antipodal", "uniform-random", "nearest-neighbour"])
@pytest.mark.parametrize("size", ["200 B", "2 KiB"])
def test_the_readable_engine_agrees(operation, pattern, size):
    arguments = {
        "shape": (3, 2, 2), "torus": (True, False, False), "pattern": pattern, "operation": operation,
        "size": size, "posted": 3, "active": "node % 3 != 1",
    }  # fmt: skip
    fast, slow = simulate(**arguments, engine="packet"), simulate(**arguments, engine="reference")
    for name, value in slow.metrics.items():
        if name != "packet_hops_per_s_host":
            assert fast.metrics[name] == value


def test_flows_agree_where_nobody_is_blocked():
    arguments = {"pattern": "shift", "displacement": [1, 1, 1], "size": "64 KiB", "posted": 2}
    fluid, packets = simulate(**arguments, engine="flow"), simulate(**arguments)
    assert fluid.metrics["operation_us_avg"] == pytest.approx(packets.metrics["operation_us_avg"], rel=0.02)
    assert fluid.metrics["packet_hops"] == packets.metrics["packet_hops"]


def test_inactive_nodes_serve_and_route():
    alone = simulate(pattern="antipodal", operation="get", size="4 KiB", posted=10, active="node == 0")
    assert alone.details["active_nodes"] == 1
    assert alone.metrics["messages"] == 10
    together = simulate(pattern="antipodal", operation="get", size="4 KiB", posted=10)
    assert alone.metrics["operation_us_avg"] < together.metrics["operation_us_avg"]


def test_a_receiver_waits_for_what_is_sent_to_it():
    outcome = simulate(
        pattern="hotspot", target=0, active="node != 0", operation="send", size="100 B", posted=2
    )
    costs = traffic.OperationCosts.native(SHEET)
    handling = costs.eager.receive_cycles + costs.eager.receive_packet_cycles
    # The hot node posts nothing, so its long queue keeps nobody else from being done.
    assert outcome.metrics["operation_us_max"] * 850 < 10 * handling


def test_all_metrics_are_registered_and_equal_runs_give_equal_outcomes():
    one, two = (simulate(pattern="uniform-random", size="1 KiB", posted=5) for _ in range(2))
    assert set(one.metrics) <= set(METRICS)
    host = "packet_hops_per_s_host"
    assert {k: v for k, v in one.metrics.items() if k != host} == {
        k: v for k, v in two.metrics.items() if k != host
    }
    assert one.details == two.details
    other = simulate(pattern="uniform-random", size="1 KiB", posted=5, seed=2)
    assert other.metrics["elapsed_s"] != one.metrics["elapsed_s"]


def test_nodes_begin_within_the_skew():
    setting = traffic.prepare(resolved(pattern="antipodal"))
    begin = setting.begin_cycles
    assert begin.min() >= 0
    assert begin.max() <= SHEET.cycles("barrier.exit_skew")
    assert len(np.unique(begin)) > 40


def test_measured_values_stand_beside_the_same_case_only():
    from bgsim.workloads.traffic_measured import measured

    def found(torus=TORUS, **settings):
        config = TrafficConfig.model_validate({"kind": "traffic", **settings})
        return measured(config, Partition("p", (8, 8, 8), torus), "put")

    assert found(operation="get", size="1 MiB") == {
        "operation_us_min": 5627.0, "operation_us_avg": 5637.0, "operation_us_max": 5642.0,
    }  # fmt: skip
    far = {"pattern": "shift", "displacement": [-3, 3, 7], "size": "64 KiB"}
    assert found(**far) == {"bandwidth_MiBps_min": 44.0, "bandwidth_MiBps_max": 44.0}
    assert found(**far, posted=50) is None
    assert found(**far, active="x == 0") is None
    assert found(MESH, **far) is None
    assert found(pattern="shift", displacement=[2, 1, 1], size="64 KiB") is None


@pytest.mark.parametrize(
    ("platform", "guest", "compared"),
    [
        ("bare-metal", "cnk", True),
        ("bare-metal", "zeptoos-bigmemory", False),
        ("virtual-machine", "cnk", False),
    ],
)
def test_only_cnk_on_bare_metal_is_held_against_the_measurement(platform, guest, compared, monkeypatch):
    monkeypatch.setattr(traffic, "measured", lambda *_: {"operation_us_avg": 1.0})
    run = resolved(shape=(2, 1, 1), torus=MESH, pattern="antipodal", operation="put", size="64 B", posted=2)
    outcome = traffic.run(replace(run, platform=platform, guest=guest))
    assert ("deviation" in outcome.metrics) == compared
    assert (outcome.details["measured"] is not None) == compared
