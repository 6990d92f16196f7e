"""The same study here, on a dask cluster and in shards; and what is left when parts of a cluster die."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bgsim.experiment.metrics import HOST_METRICS
from bgsim.experiment.record import to_line

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


@pytest.fixture
def cluster():
    begun = Cluster()
    yield begun
    begun.end()


def test_the_same_records_everywhere_and_a_killed_worker_costs_nothing(
    start, child, experiment, tmp_path, cluster
):
    words = ["--no-figures", "--quiet"]
    on_dask = start(
        "run",
        experiment,
        "-o",
        tmp_path / "dask",
        *words,
        "--executor",
        "dask",
        "--scheduler",
        cluster.address,
    )
    assert child("run", experiment, "-o", tmp_path / "local", *words).code == 0
    for number in (1, 2):
        assert child("run", experiment, "-o", tmp_path / "parts", *words, "--shard", f"{number}/2").code == 0
    assert len(records(tmp_path / "parts" / "shards" / "1-of-2")) == 3
    merged = child("merge", tmp_path / "parts")
    assert merged.out == f"{tmp_path / 'parts'}: 6 runs added, 0 held already\n"
    wait_for_records(tmp_path / "dask", 1)
    cluster.workers[0].kill()
    out, err = on_dask.communicate(timeout=60)
    assert (on_dask.returncode, err) == (0, "")
    assert out.split()[:1] == ["operation"]
    assert lines(tmp_path / "dask") == lines(tmp_path / "local") == lines(tmp_path / "parts")
    assert summary(tmp_path / "dask") == summary(tmp_path / "local") == summary(tmp_path / "parts")


def test_a_killed_scheduler_and_a_killed_driver_lose_nothing_that_was_stored(
    start, child, experiment, tmp_path, cluster
):
    out = tmp_path / "out"
    words = ["run", experiment, "-o", out, "--no-figures", "--quiet"]
    on_dask = [*words, "--executor", "dask", "--scheduler", cluster.address]
    driver = start(*on_dask)
    wait_for_records(out, 1)
    driver.kill()
    driver.communicate()
    kept = records(out)
    driver = start(*on_dask)
    wait_for_records(out, len(kept) + 1)
    cluster.scheduler.send_signal(signal.SIGKILL)
    _, err = driver.communicate(timeout=60)
    assert driver.returncode == 5
    assert err.startswith(f"bgsim: {cluster.address}: the scheduler is gone; what it handed back before")
    assert records(out)[: len(kept)] == kept
    assert child(*words).code == 0
    assert len({record["run_id"] for record in records(out)}) == len(records(out)) == 6


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
