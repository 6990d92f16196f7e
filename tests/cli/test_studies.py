"""What is done with the records of a study: plan, merge, export, show, rerun, cite."""

import csv
import hashlib
import importlib.util
import json
import sqlite3
import sys
from pathlib import Path

import pytest

FAKE = Path(__file__).parent / "fake"


def records(directory):
    return [json.loads(line) for line in (directory / "records.jsonl").read_text().splitlines()]


@pytest.fixture(autouse=True)
def fake(monkeypatch):
    """The workload of these tests takes no time."""
    spec = importlib.util.spec_from_file_location("bgsim.workloads.micro", FAKE / "fake_micro.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(sys.modules, "bgsim.workloads.micro", module)
    return module


@pytest.fixture
def study(bgsim, experiment, tmp_path):
    words = ["--no-figures", "--quiet", "--workers", "1"]
    assert bgsim("run", experiment, "-o", tmp_path / "out", *words).code == 0
    return tmp_path / "out"


def test_a_plan_counts_points_and_estimates_the_rest(bgsim, experiment, tmp_path):
    words = [experiment, "-o", tmp_path / "out"]
    done = bgsim("plan", *words, "--workers", "2")
    assert done.out == (
        "point  operation         bare-metal  virtual-machine  time left\n"
        "1      null-system-call  0 of 1      0 of 1           unknown\n"
        "2      getpid-loop       0 of 1      0 of 1           unknown\n"
        "3      timer-tick        0 of 1      0 of 1           unknown\n"
        "\n"
        "study  3 points, 6 runs: 0 done, 6 to do\n"
        "time   unknown: no record of a run like these; --like DIR names a study with some\n"
    )
    assert bgsim("run", *words, "--shard", "1/2", "--quiet", "--workers", "1").code == 0
    half = bgsim("plan", *words, "--no-points").out
    assert "6 runs: 3 done, 3 to do" in half
    assert "unknown" not in half
    assert "3 runs: 3 done, 0 to do" in bgsim("plan", *words, "--shard", "1/2", "--no-points").out
    assert "3 runs: 0 done, 3 to do" in bgsim("plan", *words, "--shard", "2/2", "--no-points").out
    other = bgsim("plan", experiment, "-o", tmp_path / "new", "--like", tmp_path / "out/shards/1-of-2")
    assert "runs from runs of the same settings" in other.out


def test_a_plan_is_estimated_from_the_studies_beside_it(bgsim, study, experiment, tmp_path):
    found = bgsim("plan", experiment, "-o", tmp_path / "new").out
    assert "estimated   6 runs from runs of the same settings\n" in found
    assert "unknown" not in found
    (tmp_path / "elsewhere").mkdir()
    assert "time   unknown" in bgsim("plan", experiment, "-o", tmp_path / "elsewhere" / "new").out
    lines = (study / "records.jsonl").read_text().splitlines()
    alien = [line.replace('"kind":"micro"', '"kind":"other"') for line in lines]
    (study / "records.jsonl").write_text("\n".join([*alien, "{"]) + "\n")
    assert "time   unknown" in bgsim("plan", experiment, "-o", tmp_path / "new").out


def test_merging_compares_what_both_hold(bgsim, study, tmp_path):
    lines = (study / "records.jsonl").read_text().splitlines()
    other = json.loads(lines[1])
    other["metrics"]["elapsed_s"] *= 2
    (tmp_path / "part.jsonl").write_text(f"{lines[0]}\n{json.dumps(other)}\n{lines[2][:50]}")
    done = bgsim("merge", study, tmp_path / "part.jsonl")
    assert done.code == 1
    assert done.out == f"{study}: 0 runs added, 1 held already\n"
    assert "part.jsonl:3: the last line was cut short; left out" in done.err
    assert f"run {other['run_id']} has two answers: metrics elapsed_s: " in done.err
    assert (study / "records.jsonl").read_text().splitlines() == lines
    assert (
        bgsim("merge", tmp_path / "new", study).out == f"{tmp_path / 'new'}: 6 runs added, 0 held already\n"
    )
    assert bgsim("merge", tmp_path / "new").code == 2
    assert bgsim("merge", tmp_path / "new", tmp_path / "none").code == 4


def test_merging_refuses_another_experiment(bgsim, study, tmp_path):
    stranger = {**records(study)[0], "experiment": "another", "run_id": "0" * 16}
    (tmp_path / "strange.jsonl").write_text(json.dumps(stranger) + "\n")
    done = bgsim("merge", study, tmp_path / "strange.jsonl")
    assert done.code == 4
    assert "of the study 'another'" in done.err
    assert len(records(study)) == 6


def test_the_identity_is_the_text_that_was_hashed(bgsim, study, monkeypatch):
    run_id = records(study)[3]["run_id"]
    done = bgsim("show", f"{study}/{run_id[:10]}", "--identity")
    assert done.code == 0
    assert hashlib.sha256(done.out.encode()).hexdigest().startswith(run_id)
    assert json.loads(bgsim("show", f"{study}/{run_id}", "--json").out) == records(study)[3]
    shown = bgsim("show", f"{study}/{run_id}").out
    assert "PPC_HVM_DTLB_MISS" in shown
    assert "cycles_total" in shown
    assert bgsim("show", f"{study}/zz").code == 4
    assert "6 runs with an id that begins with ''" in bgsim("show", f"{study}/").err
    monkeypatch.chdir(study.parent)
    study.rename(study.parent / "results")
    assert bgsim("show", run_id).out.replace("results", str(study)) == shown


def test_a_run_is_reproduced_or_it_is_said_what_differs(bgsim, study, fake, monkeypatch):
    name = f"{study}/{records(study)[0]['run_id']}"
    done = bgsim("rerun", name)
    assert done.code == 0
    assert "is reproduced in" in done.out
    honest = fake.run

    def other(resolved, progress):
        outcome = honest(resolved, progress)
        outcome.metrics["elapsed_s"] += 1
        return outcome

    monkeypatch.setattr(fake, "run", other)
    done = bgsim("rerun", name)
    assert done.code == 1
    assert "is not reproduced: metrics elapsed_s: " in done.err
    monkeypatch.setattr("bgsim.experiment.rerun.MODEL_VERSION", 99)
    done = bgsim("rerun", name)
    assert done.code == 4
    assert "has model version" in done.err


def test_the_parameters_that_a_study_read(bgsim, fake, experiment, tmp_path, monkeypatch):
    honest, parameters = fake.run, {"null-system-call": "mmio.latency", "getpid-loop": "dcr.latency"}

    def reading(resolved, progress):
        resolved.machine[parameters.get(resolved.workload.operation, "tlb.entries")]
        return honest(resolved, progress)

    monkeypatch.setattr(fake, "run", reading)
    words = ["--set", "replications=2", "--set", "machine.set={tlb.entries: 32}", "--no-figures"]
    assert bgsim("run", experiment, "-o", tmp_path / "out", *words, "--workers", "1").code == 0
    done = bgsim("datasheet", "--read-by", tmp_path / "out")
    assert [line.split()[:3] for line in done.out.splitlines()[1:]] == [
        ["tlb.entries", "32", "U"],
        ["mmio.latency", "100", "cycles"],
        ["dcr.latency", "60", "cycles"],
    ]
    assert f"{tmp_path / 'out'}: 6 runs are made again to see what is read; when recorded" in done.err
    assert "tlb.entries" not in bgsim("datasheet", "--read-by", tmp_path / "out", "--confidence", "G").out
    one = records(tmp_path / "out")[0]["run_id"]
    assert "dcr.latency" not in bgsim("datasheet", "--read-by", f"{tmp_path}/out/{one}").out
    monkeypatch.setattr("bgsim.experiment.rerun.MODEL_VERSION", 99)
    done = bgsim("datasheet", "--read-by", tmp_path / "out")
    assert done.code == 4
    assert "has model version" in done.err


def test_export_to_sqlite(bgsim, study, tmp_path):
    path = tmp_path / "study.sqlite"
    assert bgsim("export", study, path).code == 0
    with sqlite3.connect(path) as database:
        rows = database.execute(
            'select "workload.operation", platform, sum(elapsed_s) from runs group by 1, 2 order by 1, 2'
        ).fetchall()
        assert len(rows) == 6
        assert rows[1][2] == pytest.approx(3 * rows[0][2])
        (unit,) = database.execute("select distinct unit from metrics where metric = 'elapsed_s'").fetchone()
        assert unit == "s"
        assert database.execute("select count(*) from attribution").fetchone() == (12,)
        assert database.execute("select count(*) from summary where metric = 'slowdown'").fetchone() == (3,)
    assert bgsim("export", study, tmp_path / "study.txt").code == 4


def test_export_to_csv(bgsim, study, tmp_path):
    assert bgsim("export", study, tmp_path / "exits.csv", "--table", "exits").code == 0
    lines = (tmp_path / "exits.csv").read_text().splitlines()
    assert lines[0] == "run_id,cause,count,cycles_l4,cycles_vmm"
    assert len(lines) == 7
    assert bgsim("export", study, tmp_path / "runs.csv").code == 0
    with (tmp_path / "runs.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["elapsed_s"] for row in rows] == [
        str(record["metrics"]["elapsed_s"]) for record in records(study)
    ]


def test_a_comparison_as_latex_markdown_and_csv(bgsim, study):
    text = bgsim("compare", study).out
    assert bgsim("compare", study, "--format", "text").out == text
    assert "\\toprule\n" in bgsim("compare", study, "--format", "latex").out
    assert bgsim("compare", study, "--format", "markdown").out.startswith("| operation | metric | unit |")
    assert bgsim("compare", study, "--format", "csv").out.startswith("operation,metric,unit,native,")
    done = bgsim("compare", study, "--format", "latx")
    assert (done.code, done.err) == (
        2,
        "bgsim: --format latx: there is no such form; did you mean 'latex'?\n",
    )


def test_export_to_parquet(bgsim, study, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    assert bgsim("export", study, tmp_path / "runs.parquet").code == 0
    table = parquet.read_table(tmp_path / "runs.parquet").to_pydict()
    assert sorted(table["run_id"]) == sorted(record["run_id"] for record in records(study))
    assert bgsim("export", study, tmp_path / "exits.parquet", "--table", "exits").code == 0


def test_a_missing_library_is_told_with_the_command_that_installs_it(bgsim, experiment, study, monkeypatch):
    for module in ("pyarrow", "distributed", "dask_jobqueue"):
        monkeypatch.setitem(sys.modules, module, None)
    done = bgsim("export", study, study / "x.parquet")
    assert done.code == 2
    assert "Parquet needs pyarrow" in done.err
    assert done.err.endswith("pip install 'bgsim[parquet]'\n")
    done = bgsim("run", experiment, "--executor", "dask", "--scheduler", "tcp://a:1")
    assert done.code == 2
    assert done.err.endswith("pip install 'bgsim[dask]'\n")


def test_a_bibliography_names_what_the_study_rests_on(bgsim, study, tmp_path):
    text = bgsim("cite", study).out
    assert "On micro-kernel construction" in text
    assert "Kittyhawk" in text
    assert "lightweight supercomputer kernel" not in text  # no run had CNK
    assert "datasheet bgp" in text
    done = bgsim("cite", study, "-o", tmp_path / "cited")
    assert done.out.splitlines() == [
        str(tmp_path / "cited" / f"references.{kind}") for kind in ("bib", "txt")
    ]
    bib = (tmp_path / "cited" / "references.bib").read_text()
    assert bib.count("{") == bib.count("}")
    assert "@article{stoess2012,\n  author = {Stoess, Jan and" in bib
