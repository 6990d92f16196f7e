import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import bgsim as package
from bgsim.cli.app import EXIT_CODES
from bgsim.experiment import shipped
from bgsim.units import parse


def test_help_names_every_command_and_exit_code(bgsim):
    done = bgsim("--help")
    assert done.code == 0
    for command in ("run", "check", "compare", "plot", "explain", "datasheet", "schema", "version"):
        assert f"  {command} " in done.out
        assert bgsim(command, "--help").code == 0
    assert " ".join(EXIT_CODES.split()) in " ".join(done.out.split())


@pytest.mark.parametrize("name", ["compile", "micro", "netperf", "two-node"])
def test_check_says_how_many_runs(bgsim, name):
    done = bgsim("check", name)
    assert done.code == 0
    assert done.out.startswith(f"{name}: good; ")
    assert f"{name} --smoke: good; " in done.out
    assert done.err == ""


def test_check_tells_all_problems_and_changes_nothing(bgsim, experiment):
    experiment.write_text(
        experiment.read_text().replace("iterations: 3", "iteration: 3").replace("pair", "pear")
    )
    done = bgsim("check", experiment, "--set", "guest=cnkk")
    assert (done.code, done.out) == (2, "")
    guests = "kittyhawk-linux, cnk, zeptoos, zeptoos-bigmemory or l4-app"
    assert done.err.splitlines()[:3] == [
        f"{experiment}:3:23: partition.topology: no topology 'pear'; did you mean 'pair'?",
        f"{experiment}:5:25: workload.iteration: unknown key; did you mean 'iterations'?",
        f"--set guest=cnkk: guest: 'cnkk' is not known; did you mean 'cnk'? (expected {guests})",
    ]
    assert done.err.endswith("3 problems; nothing was simulated\n")


def test_a_broken_smoke_form_is_found_by_check(bgsim, experiment):
    experiment.write_text(
        experiment.read_text().replace("{workload.iterations: 1}", "{workload.iterations: 0}")
    )
    done = bgsim("check", experiment)
    assert done.code == 2
    assert f"{experiment}:8:30: workload.iterations: 0 should be greater than or equal to 1" in done.err


@pytest.mark.parametrize(
    "words",
    [
        ["run"],
        ["run", "compile", "--workers", "0"],
        ["run", "compile", "--workers", "many"],
        ["run", "compile", "--seed", "-1"],
        ["run", "no-such"],
        ["run", "compile", "--set", "nonsense"],
        ["check", "/"],
        ["check", os.devnull],
        ["datasheet", "no.such"],
        ["datasheet", "--base", "bgq"],
        ["datasheet", "--set", "tlb.entries=3 s"],
        ["datasheet", "tlb", "no.such"],
        ["datasheet", "--confidence", "X"],
        ["schema", "experience"],
        ["schema", "record", "--check"],
        ["frobnicate"],
    ],
)
def test_bad_input_ends_with_2(bgsim, words):
    assert bgsim(*words).code == 2


@pytest.mark.parametrize("command", ["compare", "plot", "explain"])
def test_what_is_no_study_ends_with_4(bgsim, tmp_path, command):
    assert bgsim(command, tmp_path / "absent").code == 4
    done = bgsim(command, tmp_path)
    assert done.code == 4
    assert done.err == f"bgsim: {tmp_path}: no records.jsonl here; is this the directory of a study?\n"


def test_datasheet_by_name_beginning_and_pattern(bgsim):
    one = bgsim("datasheet", "tlb.entries").out
    assert "value       64\n" in one
    assert "source" in one
    several = bgsim("datasheet", "tlb").out.splitlines()
    assert several[0].split() == ["name", "value", "confidence", "source"]
    assert all(line.startswith("tlb.") for line in several[1:])
    assert "core.frequency" in bgsim("datasheet", "*.frequency").out
    assert "800 MHz" in bgsim("datasheet", "core.frequency", "--set", "core.frequency=800 MHz").out
    both = bgsim("datasheet", "l4.native.*", "hybrid.*", "hybrid.torus").out.splitlines()
    names = [line.split()[0] for line in both[1:]]
    assert {"l4.native.fault_instructions", "hybrid.torus"} <= set(names)
    assert len(names) == len(set(names))
    assert bgsim("datasheet", "tlb.entries", "no.such").code == 2
    assert len(bgsim("datasheet").out.splitlines()) == 1 + len(package.Datasheet.load())


def test_datasheet_of_several_names_and_of_some_marks(bgsim):
    found = [line.split()[0] for line in bgsim("datasheet", "tlb.entries", "hybrid.*").out.splitlines()[1:]]
    assert found[0] == "tlb.entries"
    assert {name.split(".")[0] for name in found[1:]} == {"hybrid"}
    sheet = package.Datasheet.load()
    marked = [line.split()[0] for line in bgsim("datasheet", "--confidence", "G,C").out.splitlines()[1:]]
    assert marked == [each.name for each in sheet.values() if each.confidence in ("G", "C")]
    assert marked == [
        line.split()[0]
        for line in bgsim("datasheet", "--confidence", "G", "--confidence", "C").out.splitlines()[1:]
    ]
    wrong = bgsim("datasheet", "no.such", "tlb.entreis").err
    assert "no.such: no such parameter\n" in wrong
    assert "tlb.entreis: no such parameter; did you mean 'tlb.entries'?\n" in wrong


def test_experiments_with_what_they_take(bgsim):
    done = bgsim("experiments")
    lines = done.out.splitlines()
    assert lines[0].split() == ["experiment", "time", "what", "it", "shows"]
    listed = dict(line.split(maxsplit=1) for line in lines[1 : lines.index("")])
    assert list(listed) == shipped.names("experiments")
    assert "unknown" not in done.out
    for each in shipped.experiments():
        parse(each.time, "time")
        assert each.description
    source = Path(shipped.__file__).with_name("costs.yaml").read_text()
    named = [line.split(":")[0] for line in source.splitlines() if not line.startswith("#")]
    assert named == shipped.names("experiments")


def test_schemas(bgsim):
    schema = json.loads(bgsim("schema").out)
    assert schema["properties"]["workload"]["discriminator"]["propertyName"] == "kind"
    assert set(json.loads(bgsim("schema", "record").out)["required"]) >= {"run_id", "config", "provenance"}
    assert "slowdown" in bgsim("schema", "metrics").out


def test_the_shipped_schema_has_not_drifted(bgsim):
    assert bgsim("schema", "--check").code == 0


def test_every_shipped_experiment_names_the_schema(bgsim):
    for name in shipped.names("experiments"):
        first = shipped.find("experiments", name).read_text().splitlines()[0]
        assert first == "# yaml-language-server: $schema=../schema/experiment.schema.json"


def test_version(bgsim):
    assert f"bgsim        {package.__version__}" in bgsim("version").out
    assert bgsim("--version").out == bgsim("version").out


def test_mistakes_are_placed_where_they_were_made(bgsim, tmp_path):
    experiment = tmp_path / "base.yaml"
    experiment.write_text(
        "name: base\npartition: {topology: pair}\nplatforms: [bare-metal]\nworkload: {kind: dcmf}\n"
    )
    said = bgsim("check", experiment, "--set", "worklod.size=3").err
    assert said == "--set worklod.size=3: worklod: unknown key; did you mean 'workload'?\n"
    (tmp_path / "bases.yaml").mkdir()
    said = bgsim("check", tmp_path / "bases.yaml").err
    assert said == f"{tmp_path / 'bases.yaml'}: is a directory, not an experiment file\n"


def test_a_reader_that_goes_away_is_no_fault():
    done = subprocess.run(
        f"{sys.executable} -m bgsim datasheet | head -1",
        shell=True,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("name")
    assert done.stderr == ""


@pytest.mark.parametrize("words", [["--help"], ["check", "compile"]])
def test_what_must_answer_at_once_loads_nothing_heavy(words):
    heavy = ("numpy", "numba", "pandas", "matplotlib", "scipy", "simpy", "networkx")
    script = (
        "import sys; from bgsim.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"loaded = [m for m in {heavy!r} if m in sys.modules]\n"
        "sys.exit(' '.join(loaded) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
