"""The plug-ins as an experiment sees them: checked, listed, run, and part of what a run is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import bgsim
from bgsim.cli.app import app
from bgsim.experiment.identity import identity_text
from bgsim.experiment.schema import json_schema

EXPERIMENT = Path(__file__).parent.parent / "system-calls.yaml"

pytestmark = pytest.mark.usefixtures("installed")


def test_the_experiment_is_planned_with_the_version_of_the_plugin() -> None:
    plan = bgsim.check(EXPERIMENT)
    assert len(plan.runs) == 12
    config = plan.runs[0].config
    assert config["plugins"] == {"bgsim-system-calls": "0.1.0"}
    text = identity_text(config)
    assert json.loads(text)["plugins"] == config["plugins"]
    other = {**config, "plugins": {"bgsim-system-calls": "0.2.0"}}
    assert identity_text(other) != text


def test_what_is_wrong_is_told_where_it_stands(tmp_path: Path) -> None:
    text = EXPERIMENT.read_text(encoding="utf-8").replace("calls: 2000", "calls: 0, work: 10, cals: 3")
    path = tmp_path / "wrong.yaml"
    path.write_text(text.replace("guest: tickless-linux", "guest: tickles-linux"), encoding="utf-8")
    with pytest.raises(bgsim.ExperimentError) as caught:
        bgsim.check(path)
    said = [str(problem) for problem in caught.value.problems]
    assert f"{path}:6:8: guest: 'tickles-linux' is not known; did you mean 'tickless-linux'?" in said[0]
    assert any(line.startswith(f"{path}:7:39: workload.calls: 0 ") for line in said), said
    assert any("workload.cals: unknown key; did you mean 'calls'?" in line for line in said), said


def test_a_guest_runs_what_it_says_and_no_more() -> None:
    experiment = {
        "name": "noise",
        "partition": {"topology": "pair"},
        "platforms": ["bare-metal"],
        "guest": "tickless-linux",
        "workload": {"kind": "noise"},
    }
    assert bgsim.check(experiment).runs[0].config["plugins"] == {"bgsim-system-calls": "0.1.0"}
    with pytest.raises(bgsim.ExperimentError, match="not under 'tickless-linux'"):
        bgsim.check({**experiment, "workload": {"kind": "compile"}})


def test_the_names_are_listed() -> None:
    schema = json.loads(CliRunner().invoke(app, ["schema"]).stdout)
    assert "SystemCallsConfig" in schema["$defs"]
    assert schema["properties"]["workload"]["discriminator"]["mapping"]["system-calls"]
    assert "tickless-linux" in schema["properties"]["guest"]["anyOf"][0]["enum"]
    assert "slow-tick" in CliRunner().invoke(app, ["cures"]).stdout
    assert "l4.tick = 10000 us" in CliRunner().invoke(app, ["cures", "slow-tick"]).stdout
    assert "0.1.0 (plug-in)" in CliRunner().invoke(app, ["version"]).stdout


def test_the_shipped_schema_is_without_plugins() -> None:
    shipped = json.dumps(json_schema(plugins=False))
    assert "SystemCallsConfig" not in shipped
    assert "tickless-linux" not in shipped


def test_it_runs(tmp_path: Path) -> None:
    study = bgsim.run(EXPERIMENT, directory=tmp_path / "study", smoke=True, workers=1)
    assert not study.failed, study.failed[0]["error"]["traceback"]
    metrics = {
        (record["platform"], record["point"]["workload.work"]): record["metrics"]
        for record in study.records
        if record["point"]["cures"] == []
    }
    native, virtual = metrics["bare-metal", 1000], metrics["virtual-machine", 1000]
    assert native["exits_total"] == 0
    assert virtual["exits_per_operation"] > 10  # privileged instructions of entry and exit
    assert virtual["elapsed_s"] > native["elapsed_s"]


def test_a_run_is_refused_by_another_version(installed: Path) -> None:
    from bgsim.experiment.execute import execute_run

    run = bgsim.check(EXPERIMENT, smoke=True).runs[0]
    newer = installed.with_name("bgsim_system_calls-0.2.0.dist-info")
    installed.rename(newer)
    metadata = newer / "METADATA"
    metadata.write_text(metadata.read_text(encoding="utf-8").replace("0.1.0", "0.2.0"), encoding="utf-8")
    with pytest.raises(
        Exception, match=r"planned with bgsim-system-calls 0\.1\.0, and this process has 0\.2\.0"
    ):
        execute_run(run)
