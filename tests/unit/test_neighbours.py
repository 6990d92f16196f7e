"""The workload neighbours: what is refused, and what isolation holds and does not."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from bgsim.datasheet import Datasheet
from bgsim.experiment import plan
from bgsim.experiment.errors import ExperimentError
from bgsim.workloads import execute
from bgsim.workloads.neighbours import fair_share
from bgsim.workloads.neighbours_config import NeighboursConfig
from bgsim.workloads.outcome import Outcome
from bgsim.workloads.resolved import Partition, ResolvedRun

SHEET = Datasheet.load().with_values({"l4.smp": True, "l4.strict_slices": True})
PAIR = Partition("pair", (2, 1, 1), (False, False, False))


def config(**settings: Any) -> NeighboursConfig:
    return NeighboursConfig.model_validate({"kind": "neighbours", "work": "40 ms", **settings})


def neighbours(**settings: Any) -> Outcome:
    guest = settings.pop("guest", "kittyhawk-linux")
    return execute(ResolvedRun(SHEET, SHEET, PAIR, "virtual-machine", guest, config(**settings), 1, 0))


def only_neighbour(outcome: Outcome) -> dict[str, Any]:
    rows: Any = outcome.details["neighbours"]
    assert len(rows) == 1
    return dict(rows[0])


@pytest.mark.parametrize("neighbour", ["idle", "forbidden-sends", "wild-accesses"])
def test_on_a_core_of_its_own_nothing_is_lost(neighbour: str) -> None:
    outcome = neighbours(neighbour=neighbour, cores=[0, 1])
    assert outcome.metrics["stretch"] == outcome.metrics["fair_stretch"] == 1
    assert outcome.metrics["own_time_lost"] == 0
    assert outcome.metrics["vm_switches"] == 0


def test_on_one_core_the_share_is_what_slices_say() -> None:
    outcome = neighbours(neighbour="compute", cores=[0, 0])
    slice_s = 6 * SHEET.cycles("l4.tick") / SHEET.integer("core.frequency")
    # The work begins and ends in slices of its own: up to one slice of the other more or fewer.
    assert outcome.metrics["elapsed_s"] == pytest.approx(2 * outcome.metrics["alone_s"], abs=slice_s)
    assert outcome.metrics["vm_switches_per_s"] == pytest.approx(1 / slice_s, rel=0.15)
    assert 0 < outcome.metrics["own_time_lost"] < 0.01
    assert outcome.attribution["other_vms"] > 0


def test_what_is_forbidden_is_denied_every_time() -> None:
    sends = only_neighbour(neighbours(neighbour="forbidden-sends", cores=[0, 1]))
    assert sends["descriptors_denied"] >= sends["turns"] > 1000
    wild = only_neighbour(neighbours(neighbour="wild-accesses", cores=[0, 1]))
    assert wild["machine_checks"] >= wild["turns"] > 100


def test_packets_for_a_neighbour_cost_whoever_has_core_0() -> None:
    """Device interrupts come to core 0, and the VMM handles them there at once."""
    victim = neighbours(neighbour="receive", cores=[0, 1])
    spared = neighbours(neighbour="receive", cores=[1, 0])
    assert victim.metrics["own_time_lost"] > 0.01
    assert spared.metrics["own_time_lost"] == 0


def test_a_guest_with_static_memory_shares_alike() -> None:
    outcome = neighbours(guest="cnk", neighbour="compute", cores=[0, 0])
    assert outcome.metrics["own_time_lost"] < 0.01
    assert outcome.metrics["core_share"] == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"cores": [0, 4]}, "there is no core 4"),
        ({"cores": [0]}, "at least 2"),
        ({"cores": [0, 0], "priorities": [10, 20]}, "would never run"),
        ({"cores": [0, 0], "priorities": [10]}, "need one priority each, not 1"),
        ({"cores": [0, 0], "memory": ["64 MiB"]}, "need one memory each, not 1"),
        ({"neighbour": "idle", "packet_interval": "1 ms"}, "changes nothing"),
        ({"work": "1 us"}, "1 ms to 100 s"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        config(**settings)


def test_a_fair_share_counts_equals_on_the_core() -> None:
    assert fair_share(config(cores=[0, 0, 1, 0])) == 3
    assert fair_share(config(cores=[0, 0, 1], priorities=[11, 10, 11])) == 1


def experiment(**changes: Any) -> dict[str, Any]:
    return {
        "name": "n",
        "partition": {"topology": "pair"},
        "platforms": ["virtual-machine"],
        "workload": {"kind": "neighbours", **changes.pop("workload", {})},
        **changes,
    }


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"workload": {"cores": [0, 1]}}, r"workload.cores: core 1 needs .* set machine.set.l4.smp to true"),
        ({"workload": {"memory": ["800 MiB", "512 MiB"]}}, "workload.memory: the VMM has 1024 MiB"),
        ({"cures": ["pass-through"]}, "workload.cores: devices can be mapped to one guest only"),
        ({"guest": "cnk", "workload": {"program": "build"}}, "'build' under cnk: .* CNK has no fork"),
        ({"platforms": ["bare-metal"]}, "runs on virtual-machine, not on 'bare-metal'"),
    ],
)
def test_an_experiment_that_cannot_run_is_refused_before_it_does(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ExperimentError, match=said):
        plan.load(experiment(**changes))
    assert plan.load(experiment(workload={"cores": [0, 3]}, machine={"set": {"l4.smp": True}})).runs
