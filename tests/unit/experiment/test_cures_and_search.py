"""Cures in an experiment, and the search for the order in which to build them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from bgsim.experiment import greedy
from bgsim.experiment.driver import run
from bgsim.experiment.errors import ExperimentError
from bgsim.experiment.plan import Experiment, Run, load
from bgsim.experiment.watch import Watch
from bgsim.workloads.outcome import Outcome
from bgsim.workloads.resolved import ResolvedRun

EXPERIMENT: dict[str, Any] = {
    "name": "t",
    "partition": {"topology": "pair"},
    "platforms": ["virtual-machine"],
    "workload": {"kind": "compile", "native_time": "1 ms"},
}


def planned(**more: Any) -> Experiment:
    return load({**EXPERIMENT, **more})


def refused(**more: Any) -> str:
    with pytest.raises(ExperimentError) as caught:
        planned(**more)
    return str(caught.value)


def test_a_cured_run_is_the_run_with_its_settings() -> None:
    (cured,) = planned(cures=["release-build"]).runs
    (set_by_hand,) = planned(machine={"set": {"l4.build": "o2"}}).runs
    (real,) = planned().runs
    assert cured.run_id == set_by_hand.run_id != real.run_id
    assert cured.config["cures"] == ["release-build"]


def test_words_stand_for_several_cures_and_order_does_not_matter() -> None:
    (everything,) = planned(cures="all").runs
    assert "hashed-vtlb" in everything.config["cures"]
    one = planned(cures=["keep-icache", "hashed-vtlb"]).runs[0]
    other = planned(cures=["hashed-vtlb", "keep-icache"]).runs[0]
    assert one.config == other.config


def test_cures_are_swept() -> None:
    plan = planned(sweep={"cures": [[], ["batch-emulation"], "software"]})
    assert [len(run.config["cures"]) for run in plan.runs][:2] == [0, 1]
    assert len({run.run_id for run in plan.runs}) == 3


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"cures": ["batch-emulaton"]}, "did you mean 'batch-emulation'?"),
        ({"cures": ["nested-translation"]}, "'nested-translation' needs 'hardware-page-walk' too"),
        ({"cures": ["tlb-128", "tlb-256"]}, "exclude each other"),
        ({"cures": ["tlb-128"], "machine": {"set": {"tlb.entries": 96}}}, "the cure 'tlb-128' sets this too"),
        ({"greedy": {"minimise": "elapsed"}}, "did you mean 'elapsed_s'?"),
        ({"greedy": {"stages": [["batch-emulation", "hypervisor"]]}}, "did you mean 'hypervisor-mode'?"),
        ({"greedy": {"platform": "bare-metal"}}, "'bare-metal' is not among the platforms"),
    ],
)
def test_what_is_refused(more: dict[str, Any], said: str) -> None:
    assert said in refused(**more)


def test_a_cure_without_a_virtual_machine_is_remarked_on() -> None:
    plan = load({**EXPERIMENT, "platforms": ["bare-metal"], "cures": ["batch-emulation"]})
    assert any("changes nothing on bare metal" in remark for remark in plan.remarks)


class Imagined:
    """Results by the cures of a run, without simulating; remembers how often each run was asked for."""

    def __init__(self, saved: Mapping[str, float]) -> None:
        self.saved = saved
        self.rounds: list[int] = []

    def __call__(self, runs: Sequence[Run]) -> dict[str, Any]:
        self.rounds.append(len(runs))
        return {
            run.run_id: {
                "metrics": {"elapsed_s": 100.0 - sum(self.saved.get(c, 0.0) for c in run.config["cures"])}
            }
            for run in runs
        }


def found(saved: Mapping[str, float], stages: Sequence[Any], least_gain: float = 0.01) -> list[greedy.Step]:
    search = greedy.Search("elapsed_s", tuple(stages), "virtual-machine", least_gain)
    points = greedy.starts(search, planned().runs)
    results = Imagined(saved)
    (steps,) = greedy.side_by_side([greedy.search_point(search, runs) for runs in points], results)
    return steps


def test_each_step_takes_the_best_that_is_left() -> None:
    steps = found({"keep-icache": 20.0, "hashed-vtlb": 30.0, "load-at-write": 5.0}, ["software"])
    assert [step.added for step in steps] == [(), ("hashed-vtlb",), ("keep-icache",), ("load-at-write",)]
    assert [step.value for step in steps] == [100.0, 70.0, 50.0, 45.0]


def test_a_step_must_bring_something() -> None:
    steps = found({"keep-icache": 20.0, "hashed-vtlb": 0.5}, ["software"])
    assert [step.added for step in steps] == [(), ("keep-icache",)]


def test_stages_come_one_after_another_and_needs_come_along() -> None:
    saved = {"hypervisor-mode": 50.0, "keep-icache": 10.0, "nested-translation": 20.0}
    steps = found(saved, [["keep-icache"], ["hypervisor-mode", "nested-translation"]])
    assert [step.added for step in steps][1:] == [
        ("keep-icache",),
        ("hypervisor-mode",),
        ("hardware-page-walk", "nested-translation"),
    ]


def test_of_alternatives_only_one_is_taken() -> None:
    steps = found({"tlb-128": 10.0, "tlb-256": 20.0, "tlb-512": 15.0}, ["hardware"])
    assert [step.added for step in steps] == [(), ("tlb-256",)]


def test_guesses_are_moved_to_their_ends() -> None:
    search = greedy.Search("elapsed_s", ("software",), "virtual-machine", 0.01)
    (runs,) = greedy.starts(search, planned().runs)
    step = greedy.Step(("hashed-vtlb",), ("hashed-vtlb",), 70.0, "software")
    (rows,) = greedy.side_by_side([greedy.bounds(search, [step], runs)], Imagined({"hashed-vtlb": 30.0}))
    assert [row["parameter"] for row in rows[0]] == [
        "l4.vtlb.hash_instructions",
        "l4.vtlb.hash_update_instructions",
    ]
    assert (rows[0][0]["low"], rows[0][0]["high"]) == ("20", "60")


def test_each_point_has_its_own_native_the_mean_of_its_replications(
    workload: ModuleType, tmp_path: Path
) -> None:
    def simulate(resolved: ResolvedRun, progress: object) -> Outcome:
        entries = resolved.machine.integer("tlb.entries")
        factor = 3 if resolved.platform == "virtual-machine" else 1
        cycles = factor * (1000 * entries + 300 * resolved.replication)
        return Outcome(metrics={"elapsed_s": cycles / 850e6, "cycles_total": cycles})

    workload.run = simulate
    section = {
        "name": "t",
        "partition": {"topology": "pair"},
        "platforms": ["bare-metal", "virtual-machine"],
        "workload": {"kind": "micro"},
        "sweep": {"machine.set.tlb.entries": [64, 128]},
        "replications": 3,
        "greedy": {"minimise": "elapsed_s", "stages": [["hashed-vtlb"]]},
    }
    run(section, tmp_path, workers=1, watch=Watch())
    result = greedy.read(tmp_path)
    assert result is not None
    assert [point["point"] for point in result["points"]] == [
        {"machine.set.tlb.entries": 64},
        {"machine.set.tlb.entries": 128},
    ]
    for point, entries in zip(result["points"], (64, 128), strict=True):
        native = (1000 * entries + 300) / 850e6
        assert point["native"] == pytest.approx(native)
        assert point["steps"][0]["value"] == pytest.approx(3 * native)


def test_a_point_without_runs_on_bare_metal_has_no_native() -> None:
    search = greedy.Search("elapsed_s", ("software",), "virtual-machine", 0.01)
    (runs,) = greedy.starts(search, planned().runs)
    assert greedy.native(search, runs, Imagined({})(runs)) is None
