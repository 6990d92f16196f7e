"""The same study here, on a dask cluster and in shards; and what is left when parts of a cluster die."""

import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bgsim.experiment.driver import run
from bgsim.experiment.errors import ExecutorError
from bgsim.experiment.executors import cluster as executors
from bgsim.experiment.metrics import HOST_METRICS
from bgsim.experiment.record import to_line
from bgsim.experiment.watch import Watch

pytest.importorskip("distributed")

FAKE = Path(__file__).parent / "fake"
HOST_FIELDS = ("host", "started_utc", "wall_s", "processor_s", "peak_memory_bytes")


def records(directory):
    return [json.loads(line) for line in (directory / "records.jsonl").read_text().splitlines()]


def lines(directory):
    """The records as they are stored, without what belongs to the host."""
    found = []
    for record in records(directory):
        kept = {name: value for name, value in record["provenance"].items() if name not in HOST_FIELDS}
        metrics = {name: value for name, value in record["metrics"].items() if name not in HOST_METRICS}
        found.append(to_line({**record, "provenance": kept, "metrics": metrics}))
    return sorted(found)


def summary(directory):
    rows = (directory / "summary.csv").read_text().splitlines()
    return [row for row in rows if not any(f",{name}," in row for name in HOST_METRICS)]


def wait_for_records(directory, count):
    path = directory / "records.jsonl"
    deadline = time.monotonic() + 60
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Cluster:
    """A scheduler and workers on the loopback interface, as processes that can be killed."""

    def __init__(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{port}"
        self.scheduler = self.begin("dask_scheduler", "--host", "127.0.0.1", "--port", port)
        self.workers = [self.worker(), self.worker()]

    def worker(self):
        return self.begin("dask_worker", self.address, "--nthreads", "1", "--no-nanny")

    def begin(self, module, *words):
        path = os.pathsep.join([str(FAKE), *filter(None, sys.path)])
        return subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.{module}", *map(str, words), "--no-dashboard"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path, "FAKE_SECONDS": "0.3"},
        )

    def end(self):
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def cluster():
    begun = Cluster()
    yield begun
    begun.end()


@pytest.fixture
def fake_here(monkeypatch):
    """In this process too, the workload takes no time."""
    spec = importlib.util.spec_from_file_location("bgsim.workloads.micro", FAKE / "fake_micro.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(sys.modules, "bgsim.workloads.micro", module)


class KillAtFirstRecord(Watch):
    def __init__(self, process):
        self.process = process

    def finished(self, record):
        self.process.kill()


@pytest.mark.usefixtures("fake_here")
def test_the_same_records_everywhere_and_a_killed_worker_costs_nothing(bgsim, experiment, tmp_path, cluster):
    words = ["run", experiment, "--no-figures", "--quiet", "--workers", "1"]
    assert bgsim(*words, "-o", tmp_path / "local").code == 0
    for number in (1, 2):
        assert bgsim(*words, "-o", tmp_path / "parts", "--shard", f"{number}/2").code == 0
    assert len(records(tmp_path / "parts" / "shards" / "1-of-2")) == 3
    assert bgsim("merge", tmp_path / "parts").out == f"{tmp_path / 'parts'}: 6 runs added, 0 held already\n"
    assert bgsim("merge", tmp_path / "parts").out == f"{tmp_path / 'parts'}: 0 runs added, 6 held already\n"
    with executors.Cluster(cluster.address) as executor:
        watch = KillAtFirstRecord(cluster.workers[0])
        assert len(run(experiment, tmp_path / "dask", executor=executor, watch=watch).records) == 6
    assert lines(tmp_path / "dask") == lines(tmp_path / "local") == lines(tmp_path / "parts")
    assert summary(tmp_path / "dask") == summary(tmp_path / "local") == summary(tmp_path / "parts")


@pytest.mark.slow
def test_a_killed_driver_leaves_the_cluster_usable(start, bgsim, experiment, tmp_path, cluster):
    out = tmp_path / "out"
    words = [
        "run",
        experiment,
        "-o",
        out,
        "--no-figures",
        "--executor",
        "dask",
        "--scheduler",
        cluster.address,
    ]
    driver = start(*words)
    wait_for_records(out, 1)
    driver.kill()
    driver.communicate()
    kept = records(out)
    assert bgsim(*words).code == 0
    assert records(out)[: len(kept)] == kept
    assert len({record["run_id"] for record in records(out)}) == len(records(out)) == 6


@pytest.mark.usefixtures("fake_here")
def test_a_killed_scheduler_ends_the_study_and_loses_nothing(
    bgsim, experiment, tmp_path, cluster, monkeypatch
):
    out = tmp_path / "out"
    with (
        executors.Cluster(cluster.address) as executor,
        pytest.raises(ExecutorError, match="the scheduler is gone; what it handed back before is stored"),
    ):
        run(experiment, out, executor=executor, watch=KillAtFirstRecord(cluster.scheduler))
    kept = records(out)
    assert 1 <= len(kept) < 6
    assert bgsim("run", experiment, "-o", out, "--no-figures", "--workers", "1").code == 0
    assert records(out)[: len(kept)] == kept
    assert len({record["run_id"] for record in records(out)}) == len(records(out)) == 6
    monkeypatch.setattr(executors, "CONNECT_S", 1)
    done = bgsim("run", experiment, "-o", out, "--executor", "dask", "--scheduler", cluster.address)
    assert done.code == 5
    assert f"{cluster.address}: no dask scheduler answers there" in done.err


def test_what_the_options_refuse(bgsim, experiment, tmp_path):
    def said(*words):
        done = bgsim("run", experiment, "-o", tmp_path / "out", *words)
        assert done.code == 2
        return done.err.strip()

    assert said("--executor", "dusk").startswith("--executor: dusk: unknown; did you mean 'dask'?")
    assert said("--executor", "dask").startswith("--executor dask: needs --scheduler ADDRESS")
    assert said("--scheduler", "tcp://a:1") == "--scheduler: changes nothing with --executor local"
    assert said("--shard", "3/2").startswith("--shard 3/2: expected NUMBER/COUNT")
    missing = said("--executor", "slurm", "--profile", tmp_path / "none.yaml")
    assert missing.endswith("No such file or directory")
