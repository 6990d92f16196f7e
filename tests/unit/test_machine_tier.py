"""The machine tier's workloads: closed forms of the networks, noise, halo exchanges, what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bgsim.datasheet import Datasheet
from bgsim.experiment.errors import ExperimentError
from bgsim.experiment.execute import check_outcome
from bgsim.experiment.plan import load
from bgsim.machine import cost_model as cost
from bgsim.machine.cost_model import CostModel, CostModelError
from bgsim.machine.process_grid import grid_of
from bgsim.machine.program import Placement
from bgsim.machine.tree_runs import TreeRun
from bgsim.network.barrier import BarrierTree
from bgsim.network.collective_packet import CollectiveParameters
from bgsim.network.detours import Detours, DetourSource
from bgsim.network.router import RouterParameters
from bgsim.network.tree import CollectiveTree
from bgsim.workloads import execute
from bgsim.workloads.machine_configs import CollectivesConfig, HaloConfig
from bgsim.workloads.outcome import Outcome
from bgsim.workloads.resolved import Partition, ResolvedRun
from bgsim.workloads.support import MisfitError

MACHINE = Datasheet.load()
FREQUENCY = MACHINE.integer("core.frequency")
FREE = CostModel(
    name="bare-metal/cnk", platform="bare-metal", guest="cnk", machine=cost.Machine("bgp", {}, {}),
    datasheet_digest="", characterisation_version=1, created_by="test", put=cost.OneSided(0.0, 0.0),
    get=cost.OneSided(0.0, 0.0), eager=cost.Eager(0.0, 0.0, 0.0, 0.0),
    rendezvous=cost.Rendezvous(0.0, 0.0, 0.0), local=cost.Local(0.0, 0.0, 0.0),
    collective=cost.Collective(0.0, 0.0, 0.0), barrier=cost.Barrier(0.0, 0.0),
    delivery=cost.Delivery((0.0,), (1.0,)), detours=(), measured=(),
)  # fmt: skip
"""Software that takes no time: what is left are the networks."""


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """Run a workload with a cost model on a partition; everything else as it comes."""

    def runner(
        section: dict[str, Any],
        shape: tuple[int, int, int] = (8, 8, 8),
        costs: CostModel = FREE,
        mapping: str = "XYZT",
        seed: int = 1,
    ) -> Outcome:
        path = tmp_path / "model.yaml"
        costs.save(path)
        kind = {"collectives": CollectivesConfig, "halo": HaloConfig}[section["kind"]]
        workload = kind.model_validate({**section, "cost_model": str(path)})
        closed = tuple(extent >= 8 for extent in shape)
        partition = Partition("test", shape, closed, 64, mapping)  # type: ignore[arg-type]
        made = execute(ResolvedRun(MACHINE, MACHINE, partition, "bare-metal", "cnk", workload, seed, 0))
        check_outcome(made)
        return made

    return runner


def cycles(outcome: Outcome, metric: str = "operation_us_max") -> float:
    return outcome.metrics[metric] * FREQUENCY / 1e6


@pytest.mark.parametrize("per_node", [1, 4])
def test_a_barrier_takes_the_networks_round_trip_and_the_lockbox(run: Any, per_node: int) -> None:
    outcome = run(
        {"kind": "collectives", "operation": "barrier", "ranks_per_node": per_node, "iterations": 3}
    )
    lockbox = 4 * MACHINE.cycles("lockbox.access") if per_node > 1 else 0
    expected = 2 * BarrierTree.from_datasheet(512, MACHINE).latency_cycles + lockbox
    assert cycles(outcome) == pytest.approx(expected)


def test_an_allreduce_takes_the_trees_depth_twice(run: Any) -> None:
    outcome = run({"kind": "collectives", "operation": "allreduce", "iterations": 2})
    network = CollectiveParameters.from_datasheet(MACHINE)
    expected = 2 * CollectiveTree((8, 8, 8), 64).depth * network.hop_cycles + network.packet_cycles
    assert cycles(outcome) == pytest.approx(expected)
    assert outcome.details["cost_model"]["source"] == "file"


@pytest.mark.parametrize(("operation", "network"), [("allreduce", "collective"), ("barrier", "barrier")])
def test_a_network_is_noticed_after_its_own_wait(run: Any, operation: str, network: str) -> None:
    section = {"kind": "collectives", "operation": operation, "iterations": 2}
    slow = replace(FREE, delivery=cost.Delivery((900.0,), (1.0,)))
    assert cycles(run(section, costs=slow)) == pytest.approx(cycles(run(section)) + 900)
    apart = {f"{network}_delivery": cost.Delivery((70.0,), (1.0,))}
    assert cycles(run(section, costs=replace(slow, **apart))) == pytest.approx(cycles(run(section)) + 70)


@pytest.mark.parametrize("operation", ["broadcast", "reduce", "allreduce", "allgather"])
def test_collective_network_with_software(run: Any, operation: str) -> None:
    section = {"kind": "collectives", "operation": operation, "size": "4 KiB", "ranks_per_node": 2}
    section |= {"iterations": 3}
    slow = replace(FREE, collective=cost.Collective(500.0, 300.0, 300.0))
    free, busy = run(section), run(section, costs=slow)
    assert cycles(busy) > cycles(free) + 500
    assert busy.metrics["elapsed_s"] > free.metrics["elapsed_s"]


@pytest.mark.parametrize("late", [0, 1])
def test_only_the_root_of_a_broadcast_injects(late: int) -> None:
    placement = Placement((2, 1, 1), (False,) * 3, np.arange(2), np.arange(2), 1)
    costs = replace(FREE, collective=cost.Collective(500.0, 300_000.0, 200.0))
    run = TreeRun(placement, costs, MACHINE, 2, Detours.none(), 1)
    by = 5_000_000
    run.set_clock(np.where(np.arange(2) == late, by, 0))
    run.perform(run.operation("broadcast", 8))
    network = CollectiveParameters.from_datasheet(MACHINE)
    ends = run.clock_by_rank().tolist()
    if late == 0:  # the root: its packet turns round in its own node, and goes one further
        arrival = by + 500 + 300_000 + network.packet_cycles
        assert ends == [arrival + 200, arrival + network.hop_cycles + 200]
    else:  # the packet is there long since
        assert ends == [300_700 + network.packet_cycles, by + 500 + 200]


def test_noise_slows_the_many_more_than_the_few(run: Any) -> None:
    section = {"kind": "collectives", "operation": "barrier", "iterations": 200, "compute": "100 us"}
    section |= {"noise": {"period": "1 ms", "durations": ["10 us"], "jitter": 0.1}}
    few, many = run(section, (2, 2, 1)), run(section, (16, 16, 16))
    quiet = run({**section, "noise": "none"}, (16, 16, 16))
    assert quiet.metrics["elapsed_s"] < few.metrics["elapsed_s"] < many.metrics["elapsed_s"]
    # each of 200 iterations has a node that is interrupted once, 4,096 nodes at a tenth each being certain
    added = many.metrics["elapsed_s"] - quiet.metrics["elapsed_s"]
    assert added == pytest.approx(200 * 10e-6, rel=0.1)


def test_the_same_seed_gives_the_same_answer(run: Any) -> None:
    tick = DetourSource("tick", 85_000.0, 0.2, False, (900.0, 5_000.0), (1.0, 1.0))
    noisy = replace(FREE, detours=(tick,), delivery=cost.Delivery((0.0, 90.0), (1.0, 1.0)))
    section = {"kind": "collectives", "operation": "allreduce", "iterations": 20, "compute": "20 us"}
    first, again, other = (run(section, (4, 4, 2), noisy, seed=seed) for seed in (1, 1, 2))
    assert first.metrics == again.metrics != other.metrics


def test_torus_algorithms_with_barriers_between(run: Any) -> None:
    section = {"kind": "collectives", "operation": "allreduce", "algorithm": "binomial", "iterations": 4}
    plain = run(section, (4, 2, 2))
    apart = run({**section, "synchronised": True, "compute": "10 us"}, (4, 2, 2))
    assert plain.details["graphs"] == 1
    assert apart.details["graphs"] == 4
    assert apart.metrics["elapsed_s"] > plain.metrics["elapsed_s"] + 4 * 10e-6
    assert plain.metrics["packet_hops"] > 0


HALO = {"kind": "halo", "iterations": 3, "compute": "50 us", "grid": [10, 10, 10]}


def test_a_halo_takes_its_computing_and_one_message(run: Any) -> None:
    outcome = run({**HALO, "protocol": "put", "network": "uncontended"}, (8, 8, 8))
    router = RouterParameters.from_datasheet(MACHINE)
    face = 4 * router.link_cycles(8) + router.hop_cycles + router.endpoint_cycles  # 800 B, four packets
    assert cycles(outcome) == pytest.approx(42_500 + face)
    assert outcome.details["protocol"] == ["put"] * 3
    assert outcome.metrics["packet_hops"] == 3 * 512 * 6 * 4


def test_overlap_hides_the_faces(run: Any) -> None:
    apart, together = (run({**HALO, "protocol": "put", "overlap": on}) for on in (False, True))
    assert cycles(together) == pytest.approx(42_500)
    assert together.metrics["elapsed_s"] < apart.metrics["elapsed_s"]


@pytest.mark.parametrize("network", ["uncontended", "flow", "packet"])
@pytest.mark.parametrize("protocol", ["put", "eager", "rendezvous"])
def test_networks_agree_on_neighbours(run: Any, network: str, protocol: str) -> None:
    some = replace(
        FREE, put=cost.OneSided(700.0, 90.0), eager=cost.Eager(800.0, 50.0, 700.0, 60.0),
        rendezvous=cost.Rendezvous(600.0, 500.0, 400.0), local=cost.Local(300.0, 300.0, 0.1),
    )  # fmt: skip
    section = {**HALO, "protocol": protocol, "ranks_per_node": 2, "periodic": False}
    plain = run({**section, "network": "uncontended"}, (4, 4, 2), some)
    other = run({**section, "network": network}, (4, 4, 2), some)
    exchange = cycles(plain) - 42_500
    assert cycles(other) - 42_500 == pytest.approx(exchange, rel=0.25)


def test_strong_scaling_divides_the_grid(run: Any) -> None:
    strong = {**HALO, "scaling": "strong", "grid": [80, 80, 80], "network": "uncontended"}
    assert run(strong).details["face_bytes"] == [800, 800, 800]
    with pytest.raises(MisfitError, match="each needs one"):
        run({**strong, "grid": [4, 4, 4]})


@pytest.mark.parametrize(
    ("order", "grid"),
    [("XYZT", (4, 2, 12)), ("TXYZ", (16, 2, 3)), ("XTYZ", (16, 2, 3)), ("ZYXT", (3, 2, 16))],
)
def test_process_grids_follow_the_mapping(order: str, grid: tuple[int, int, int]) -> None:
    assert grid_of(order, (4, 2, 3), 4) == grid


def test_a_cost_model_of_another_platform_is_refused(run: Any) -> None:
    section = {"kind": "collectives", "operation": "barrier"}
    with pytest.raises(CostModelError, match="and the run is bare-metal/cnk"):
        run(section, costs=replace(FREE, platform="virtual-machine"))


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"operation": "alltoall", "algorithm": "ring"}, "alltoall has torus, not ring"),
        ({"operation": "barrier", "size": "64 B"}, "a barrier moves no data"),
        ({"operation": "allreduce", "network": "packet"}, "does not use the torus"),
        ({"operation": "barrier", "synchronised": True}, "synchronises by itself"),
        ({"operation": "barrier", "cost_model": "nowhere.yaml"}, "no such file"),
        ({"operation": "barrier", "tier": "detailed", "noise": "none"}, "only the tier machine"),
        ({"tier": "detailed", "ranks_per_node": 4}, "one process on each node"),
        ({"tier": "detailed", "operation": "alltoall"}, "no torus algorithm"),
        ({"noise": {"period": "1 ms", "durations": ["1 us"], "weights": [1.0, 2.0]}}, "expected 1 weights"),
    ],
)
def test_settings_that_make_no_sense_are_refused_when_planned(section: dict[str, Any], message: str) -> None:
    experiment = {
        "name": "x", "partition": {"topology": "node-card"}, "platforms": ["bare-metal"],
        "workload": {"kind": "collectives", **section},
    }  # fmt: skip
    with pytest.raises(ExperimentError, match=message):
        load(experiment)


def test_the_cost_model_is_part_of_the_identity(tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    experiment = {
        "name": "x", "partition": {"topology": "node-card"}, "platforms": ["bare-metal"],
        "workload": {"kind": "halo", "cost_model": str(path)},
    }  # fmt: skip
    ids = []
    for costs in (FREE, replace(FREE, barrier=cost.Barrier(1.0, 0.0))):
        costs.save(path)
        ids.append(load(experiment).runs[0].run_id)
    assert ids[0] != ids[1]
