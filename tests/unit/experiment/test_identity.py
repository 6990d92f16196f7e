import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

import bgsim
from bgsim.experiment import identity
from bgsim.experiment.identity import canonical, identity_text, run_id, seed_of_replication
from bgsim.experiment.plan import load


def first(experiment, *overrides):
    return load(experiment, overrides).runs[0].config


def test_the_text_holds_everything_that_affects_the_answer(experiment):
    config = first(experiment, "machine.set.tlb.entries=256", "assume.core.frequency=800 MHz")
    text = json.loads(identity_text(config))
    assert text["machine"]["tlb.entries"] == "256 count"
    assert text["reference_machine"]["tlb.entries"] == "64 count"
    assert text["machine"]["core.frequency"] == text["reference_machine"]["core.frequency"]
    assert text["machine"]["core.frequency"].startswith("800000000 frequency")
    assert set(text) == {
        "guest",
        "machine",
        "model_version",
        "partition",
        "platform",
        "reference_machine",
        "replication",
        "seed",
        "workload",
    }


def test_the_text_is_canonical_and_the_id_is_its_hash(experiment):
    config = first(experiment)
    text = identity_text(config)
    assert text == canonical(json.loads(text))
    assert run_id(config) == hashlib.sha256(text.encode()).hexdigest()[:16]


def test_equal_values_have_equal_ids_however_they_are_written(experiment):
    one = first(experiment, "machine.set.core.frequency=1 GHz")
    other = first(experiment, "machine.set.core.frequency=1000 MHz")
    assert one != other
    assert run_id(one) == run_id(other)


def test_the_name_of_the_study_and_the_sweep_do_not_matter(experiment):
    alone = {**experiment, "name": "other", "sweep": {}, "workload": {"kind": "micro", "iterations": 1}}
    assert run_id(first(alone)) == run_id(first(experiment))


@pytest.mark.parametrize(
    "change",
    [
        "machine.set.tlb.entries=256",
        "assume.tlb.entries=256",
        "partition={shape: [4, 4, 2]}",
        "platforms=[virtual-machine]",
        "workload.operation=timer-tick",
        "workload.iterations=2",
        "seed=7",
    ],
)
def test_whatever_affects_the_answer_changes_the_id(experiment, change):
    assert run_id(first(experiment, change)) != run_id(first(experiment))


def test_ids_do_not_depend_on_the_process(experiment):
    code = (
        "import json, sys; from bgsim.experiment.plan import load; "
        "print(*[run.run_id for run in load(json.loads(sys.argv[1])).runs])"
    )
    seen = set()
    for salt in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code, json.dumps(experiment)],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": salt, "PYTHONPATH": ":".join(sys.path)},
        )
        seen.add(done.stdout)
    assert seen == {" ".join(run.run_id for run in load(experiment).runs) + "\n"}


def test_seeds_are_those_of_yesterday():
    """Stored records stay reproducible only while these values stand."""
    assert seed_of_replication(20110531, 0) == 6401113294567973097
    assert (
        len({seed_of_replication(seed, replication) for seed in range(20) for replication in range(20)})
        == 400
    )
    assert all(0 <= seed_of_replication(seed, 0) < 2**63 for seed in range(100))


TRAFFIC = {"kind": "traffic", "pattern": "nearest-neighbour", "operation": "put", "size": "1 KiB"}
COLLECTIVES = {"kind": "collectives", "operation": "barrier"}


@pytest.mark.parametrize(
    ("workload", "platform", "models"),
    [
        (TRAFFIC, "virtual-machine", {"virtual-machine", "bare-metal"}),
        (TRAFFIC, "bare-metal", set()),
        (COLLECTIVES, "virtual-machine", {"virtual-machine"}),
        (COLLECTIVES, "bare-metal", {"bare-metal"}),
    ],
)
def test_the_id_holds_the_shipped_cost_models_that_the_answer_comes_from(
    monkeypatch, workload, platform, models
):
    section = {"name": "t", "partition": {"shape": [2, 2, 2]}, "guest": "cnk", "platforms": [platform]}
    config = load({**section, "workload": workload}).runs[0].config
    assert set(json.loads(identity_text(config)).get("cost_models", ())) == models
    before = run_id(config)
    for changed in ("bare-metal", "virtual-machine"):
        hashes = {"bare-metal": "a", "virtual-machine": "b", changed: "c"}
        with monkeypatch.context() as patch:
            patch.setattr(identity, "shipped_sha256", lambda name, guest: {"bare-metal": "a"}.get(name, "b"))
            kept = run_id(config)
            patch.setattr(identity, "shipped_sha256", lambda name, guest, now=hashes: now[name])
            assert (run_id(config) != kept) == (changed in models)
    assert run_id(config) == before


def test_all_that_ask_for_cost_models_are_known():
    """Which modules ask is read from their source: a new one must say in its `Support` what it asks for."""
    modules = (Path(bgsim.__file__).parent / "workloads").glob("*.py")
    asking = {path.stem for path in modules if "cost_model_for(" in path.read_text(encoding="utf-8")}
    assert asking == {"characterize", "machine_tier", "traffic_costs"}
