"""The commands that look at whole studies: what they print, write, and end with."""

import dataclasses
import json
import sys
from types import ModuleType

import pytest

from bgsim.experiment.errors import EXIT_BAD_INPUT, EXIT_CHANGED, EXIT_STORE
from bgsim.workloads.catalogue import WORKLOADS
from bgsim.workloads.outcome import Outcome

EXPERIMENT = """\
name: small
machine: bgp
partition: {topology: pair}
platforms: [bare-metal, virtual-machine]
workload: {kind: micro}
sweep: {workload.iterations: [1, 2]}
replications: 5
sensitivity: {metric: latency_us, trajectories: 2, parameters: [mmio.latency, memory.latency]}
calibrate:
  data: [{name: a stopwatch, metric: latency_us, value: 3.5, error: 0.01, at: {workload.iterations: 1}}]
  parameters: {mmio.latency: null}
"""


def run(resolved, progress):
    sheet = resolved.machine
    cycles = 1000 + 2 * sheet.number("mmio.latency") + sheet.number("memory.latency") + resolved.seed % 5
    if resolved.platform == "virtual-machine":
        cycles *= 2
    return Outcome(metrics={"elapsed_s": cycles / 850e6, "latency_us": cycles / 850}, details={})


@pytest.fixture
def small(monkeypatch, tmp_path):
    module = ModuleType("workload_of_these_tests")
    module.run = run
    monkeypatch.setitem(sys.modules, module.__name__, module)
    replaced = dataclasses.replace(WORKLOADS["micro"], module=module.__name__)
    monkeypatch.setitem(WORKLOADS.built_in, "micro", replaced)
    path = tmp_path / "small.yaml"
    path.write_text(EXPERIMENT)
    return path


def test_sensitivity(bgsim, small, tmp_path):
    pytest.importorskip("SALib")
    done = bgsim("sensitivity", small, "-o", tmp_path / "s", "--workers", "1", "--set", "replications=1")
    assert done.code == 0, done.err
    assert "latency_us on virtual-machine: 3.07 µs at the datasheet's values" in done.out
    assert done.out.index("mmio.latency") < done.out.index("memory.latency")
    assert (tmp_path / "s" / "sensitivity-morris-1.svg").is_file()
    assert len(json.loads((tmp_path / "s" / "sensitivity.json").read_text())["points"]) == 2
    wrong = bgsim("sensitivity", small, "--method", "morriss")
    assert wrong.code == EXIT_BAD_INPUT
    assert "did you mean 'morris'?" in wrong.err


def test_calibrate_and_use(bgsim, small, tmp_path):
    done = bgsim("calibrate", small, "-o", tmp_path / "c", "--workers", "1", "--set", "replications=1")
    assert done.code == 0, done.err
    assert "a stopwatch" in done.out
    overlay = tmp_path / "c" / "calibration.yaml"
    assert f"overlay: {overlay}" in done.err
    assert bgsim("check", small, "--set", f"machine.overlay={overlay}").code == 0
    nothing = bgsim("calibrate", small, "--set", "calibrate.data=[]")
    assert nothing.code == EXIT_BAD_INPUT
    assert "calibrate.data: expected at least one entry" in nothing.err


def test_diff_and_statistics(bgsim, small, tmp_path):
    one, other = tmp_path / "a", tmp_path / "b"
    options = ["--workers", "1", "-q", "--no-figures"]
    assert bgsim("run", small, "-o", one, *options).code == 0
    assert bgsim("run", small, "-o", other, *options, "--set", "assume.mmio.latency=120").code == 0
    same = bgsim("diff", one, one, "--exit-code")
    assert (same.code, same.out) == (0, "10 comparisons: 10 equal\n")
    changed = bgsim("diff", one, other, "--exit-code", "--csv", tmp_path / "d.csv")
    assert changed.code == EXIT_CHANGED
    assert "assume.mmio.latency: 100 cycles -> 120" in changed.out
    assert (tmp_path / "d.csv").read_text().startswith("iterations,platform,metric,unit,before,after")
    assert bgsim("diff", one, other).code == 0
    assert bgsim("diff", one, other, "--correction", "bonferroni").code == EXIT_BAD_INPUT
    assert bgsim("diff", one, tmp_path / "nowhere").code == EXIT_STORE
    table = bgsim("statistics", one, "--metric", "latency_us", "--csv", tmp_path / "o.csv")
    assert table.code == 0
    assert "latency_us" in table.out
    assert len((tmp_path / "o.csv").read_text().splitlines()) == 3
    wrong = bgsim("statistics", one, "--metric", "latensy_us")
    assert wrong.code == EXIT_BAD_INPUT
    assert "did you mean 'latency_us'?" in wrong.err
