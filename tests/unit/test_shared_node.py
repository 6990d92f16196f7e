"""Workloads in one of several virtual machines: what is refused, what they see of the others, by count."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from bgsim.datasheet import Datasheet
from bgsim.experiment import plan
from bgsim.experiment.errors import ExperimentError
from bgsim.platforms.seam import TICKS
from bgsim.workloads import execute
from bgsim.workloads.configs import CompileConfig, MemoryConfig, MicroConfig, NetperfConfig, NoiseConfig
from bgsim.workloads.outcome import Outcome
from bgsim.workloads.resolved import Partition, ResolvedRun

SHEET = Datasheet.load().with_values({"l4.smp": True})
STRICT = SHEET.with_values({"l4.strict_slices": True})
NODE = Partition("node", (1, 1, 1), (False, False, False))
US = 1e6 / SHEET.integer("core.frequency")
TICK = SHEET.cycles("l4.tick")
SLICE = 6 * TICK
"""Ten milliseconds, charged in whole ticks."""


def run(model: type[BaseModel], sheet: Datasheet = SHEET, guest: str = "cnk", **settings: Any) -> Outcome:
    kind = model.__name__.removesuffix("Config").lower()
    config: Any = model.model_validate({"kind": kind, **settings})
    return execute(ResolvedRun(sheet, sheet, NODE, "virtual-machine", guest, config, 1, 0))


def noise(sheet: Datasheet = SHEET, guest: str = "cnk", **settings: Any) -> Outcome:
    return run(NoiseConfig, sheet, guest, **{"duration": "100 ms", **settings})


def source(outcome: Outcome, *events: str) -> dict[str, Any]:
    """All detours behind which were these events and no others."""
    rows: Any = outcome.details["sources"]
    return next(row for row in rows if set(row["name"].split("+")) == set(events))


# -- the noise probe ---------------------------------------------------------------------------------


@pytest.mark.parametrize("neighbour", ["compute", "idle"])
@pytest.mark.parametrize("probe", ["fwq", "ftq"])
def test_each_slice_of_an_equal_is_one_detour_of_a_slice(probe: str, neighbour: str) -> None:
    outcome = noise(probe=probe, neighbour=neighbour, cores=[0, 0])
    total = outcome.metrics["cycles_total"]
    detours = source(outcome, "vm_switch", "l4_tick")
    # The neighbour's six ticks, and what the switch takes on this side.
    assert detours["us_mean"] == pytest.approx(SLICE * US, rel=0.003)
    assert detours["us_max"] == pytest.approx(detours["us_mean"], rel=1e-4)
    assert abs(detours["count"] - total / (2 * SLICE)) < 1
    assert outcome.metrics["vm_switches"] == 2 * detours["count"]
    others = sum(row["count"] for row in outcome.details["sources"]) - detours["count"]
    ticks = sum(row["count"] for row in outcome.exits if row["cause"] in TICKS)
    # The ticks of its own slices; and after each switch the entries that were dropped are loaded again.
    assert others == pytest.approx(ticks, abs=detours["count"] + 1)
    lost = outcome.details["causes_us"]
    assert lost["other_vms"] == pytest.approx(detours["count"] * SLICE * US, rel=0.01)
    assert 0 < lost["vm_switch"] < 2.5 * detours["count"]
    assert outcome.metrics["core_share"] == pytest.approx(1 - outcome.metrics["noise_ratio"], abs=0.01)
    if probe == "ftq":  # no work is done in quanta that lie within a slice of somebody else
        quanta = sum(1 for each in outcome.details["work_us"] if each == 0)
        quantum_us = outcome.details["quantum_us"]
        assert quanta == pytest.approx(detours["count"] * SLICE * US / quantum_us, rel=0.02)


def test_a_neighbour_of_lower_priority_never_runs() -> None:
    outcome = noise(neighbour="compute", cores=[0, 0], priorities=[11, 10], duration="20 ms")
    assert [row["name"] for row in outcome.details["sources"]] == ["l4_tick"]
    assert outcome.metrics["vm_switches"] == outcome.details["neighbours"][0]["turns"] == 0


def test_two_equals_take_two_slices() -> None:
    outcome = noise(neighbour="compute", cores=[0, 0, 0])
    detours = source(outcome, "vm_switch", "l4_tick")
    assert detours["us_mean"] == pytest.approx(2 * SLICE * US, rel=0.003)
    assert abs(detours["count"] - outcome.metrics["cycles_total"] / (3 * SLICE)) < 1
    assert len(outcome.details["neighbours"]) == 2


@pytest.mark.parametrize("neighbour", ["compute", "device-reads"])
def test_on_a_core_of_its_own_a_probe_sees_what_it_sees_alone(neighbour: str) -> None:
    alone = noise(guest="zeptoos", duration="30 ms")
    beside = noise(guest="zeptoos", duration="30 ms", neighbour=neighbour, cores=[1, 0])
    assert beside.metrics["vm_switches"] == 0
    assert beside.metrics["core_share"] == 1
    assert "other_vms" not in beside.details["causes_us"]
    same = {(row["name"], round(row["us_mean"], 1)) for row in alone.details["sources"]}
    assert {(row["name"], round(row["us_mean"], 1)) for row in beside.details["sources"]} == same
    assert beside.metrics["noise_ratio"] == pytest.approx(alone.metrics["noise_ratio"], rel=0.1)


def test_slices_of_a_neighbour_with_its_vmm_at_work_are_longer_unless_they_are_strict() -> None:
    settings: dict[str, Any] = {"neighbour": "device-reads", "cores": [0, 0], "duration": "50 ms"}
    lax, strict = noise(**settings), noise(STRICT, **settings)
    assert source(lax, "vm_switch", "l4_tick")["us_max"] == pytest.approx(2 * SLICE * US, rel=0.003)
    assert source(strict, "vm_switch", "l4_tick")["us_max"] == pytest.approx(SLICE * US, rel=0.005)
    assert lax.metrics["noise_ratio"] == pytest.approx(2 / 3, abs=0.06)
    assert strict.metrics["noise_ratio"] == pytest.approx(1 / 2, abs=0.06)


def test_a_packet_for_a_neighbour_is_a_small_detour_on_core_0() -> None:
    settings: dict[str, Any] = {"neighbour": "receive", "packet_interval": "300 us", "duration": "20 ms"}
    outcome = noise(**settings, cores=[0, 1])
    rows = [row for row in outcome.details["sources"] if "device_interrupt" in row["name"]]
    packets = outcome.metrics["elapsed_s"] / 300e-6
    assert sum(row["count"] for row in rows) == pytest.approx(packets, abs=2)
    assert all(10 < row["us_mean"] < 15 for row in rows)
    assert not any("vm_switch" in row["name"] for row in outcome.details["sources"])
    spared = noise(**settings, cores=[1, 0])
    assert not any("device_interrupt" in row["name"] for row in spared.details["sources"])


# -- other workloads ---------------------------------------------------------------------------------


def test_an_operation_costs_its_own_cycles_and_takes_its_share_of_time() -> None:
    settings: dict[str, Any] = {"operation": "ipc-round-trip", "iterations": 1200}
    alone = run(MicroConfig, guest="kittyhawk-linux", **settings)
    beside = run(MicroConfig, STRICT, "kittyhawk-linux", **settings, neighbour="random-walk", cores=[0, 0])
    own = beside.metrics["cycles_per_operation"] / alone.metrics["cycles_per_operation"]
    assert 1 <= own < 1.01
    assert beside.metrics["latency_us"] / alone.metrics["latency_us"] == pytest.approx(2, abs=0.3)
    assert "kernel_instructions_per_operation" not in beside.metrics


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        (CompileConfig, {"program": "lcc", "native_time": "5 ms", "sensitivity": False}),
        (MemoryConfig, {"accesses": 4000, "size": "4 MiB"}),
    ],
)
def test_work_beside_an_equal_takes_twice_as_long(model: type[BaseModel], settings: dict[str, Any]) -> None:
    alone = run(model, guest="zeptoos", **settings)
    beside = run(model, guest="zeptoos", **settings, neighbour="compute")
    slice_s = SLICE * US * 1e-6
    assert beside.metrics["elapsed_s"] == pytest.approx(2 * alone.metrics["elapsed_s"], abs=slice_s * 1.1)
    (row,) = beside.details["neighbours"]
    assert row["core_share"] + beside.metrics["core_share"] == pytest.approx(1, abs=1e-6)
    assert row["turns"] > 0
    assert "other_vms" in beside.attribution


# -- what is accepted ----------------------------------------------------------------------------------


def test_a_section_without_neighbours_says_nothing_of_them() -> None:
    alone = NoiseConfig.model_validate({"kind": "noise", "neighbour": "none", "cores": [0]})
    assert "neighbour" not in alone.model_dump()
    assert alone.model_dump() == NoiseConfig.model_validate({"kind": "noise"}).model_dump()
    beside = NoiseConfig.model_validate({"kind": "noise", "neighbour": "idle"})
    written = beside.model_dump()
    assert (written["cores"], "priorities" in written, "packet_interval" in written) == ([0, 0], False, False)
    said = NoiseConfig.model_validate({"kind": "noise", "neighbour": "idle", "priorities": [11, 10]})
    assert said.model_dump()["priorities"] == [11, 10]
    assert NoiseConfig.model_validate(beside.model_dump(mode="json")) == beside


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"cores": [0, 0]}, "changes nothing: there is no 'neighbour'"),
        ({"memory": ["256 MiB", "256 MiB"]}, "changes nothing: there is no 'neighbour'"),
        ({"priorities": [10, 10]}, "changes nothing: there is no 'neighbour'"),
        ({"packet_interval": "1 ms"}, "only the neighbour receive"),
        ({"neighbour": "compute", "cores": [0]}, "at least 2"),
        ({"neighbour": "compute", "cores": [0, 7]}, "there is no core 7"),
        ({"neighbour": "compute", "cores": [0, 0], "priorities": [9, 10]}, "would never run"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        NoiseConfig.model_validate({"kind": "noise", **settings})


def experiment(workload: dict[str, Any], **changes: Any) -> dict[str, Any]:
    sections: dict[str, Any] = {"partition": {"topology": "pair"}, "platforms": ["virtual-machine"]}
    return {"name": "n", "workload": workload, **sections, **changes}


@pytest.mark.parametrize(
    ("workload", "changes", "said"),
    [
        ({"kind": "noise", "neighbour": "idle"}, {"platforms": ["bare-metal"]}, "not 'bare-metal'"),
        ({"kind": "noise", "neighbour": "idle", "cores": [0, 1]}, {}, "set machine.set.l4.smp to true"),
        ({"kind": "micro", "neighbour": "idle"}, {"cures": ["pass-through"]}, "mapped to one guest only"),
        ({"kind": "memory", "neighbour": "idle", "memory": ["1 GiB", "4 MiB"]}, {}, "workload.memory"),
        ({"kind": "compile", "neighbour": "idle"}, {}, "workload.sensitivity: .* set it to false"),
        ({"kind": "netperf", "neighbour": "idle"}, {}, "there run compile, micro, noise, memory or n"),
    ],
)
def test_an_experiment_that_cannot_run_is_refused(
    workload: dict[str, Any], changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(ExperimentError, match=said):
        plan.load(experiment(workload, **changes))


def test_alone_and_beside_others_are_two_points_of_a_sweep() -> None:
    sweep = {"zip": {"workload.neighbour": ["none", "compute"], "workload.cores": [[0], [0, 0]]}}
    planned = plan.load(experiment({"kind": "noise"}, sweep=sweep))
    assert [run.config["workload"].get("cores") for run in planned.runs] == [None, [0, 0]]
    plain = plan.load(experiment({"kind": "noise"}))
    assert planned.runs[0].run_id == plain.runs[0].run_id


def test_netperf_is_alone() -> None:
    assert "neighbour" not in NetperfConfig.model_fields
