"""Shards are equal parts, whatever the runs; and what a rest of runs is estimated to need."""

import pytest

from bgsim.experiment.errors import ExperimentError
from bgsim.experiment.estimate import Estimator, Need, forecast
from bgsim.experiment.executors.shard import Shard, read_shard
from bgsim.experiment.identity import canonical
from bgsim.experiment.plan import load


@pytest.fixture
def runs(experiment):
    experiment["sweep"] = {"workload.iterations": list(range(1, 8))}
    return load(experiment).runs  # 7 points, 2 platforms, 2 replications


@pytest.mark.parametrize("count", [1, 3, 28, 40])
def test_shards_are_equal_parts(runs, count):
    parts = [Shard(number + 1, count).of(runs) for number in range(count)]
    assert sorted(run.run_id for part in parts for run in part) == sorted(run.run_id for run in runs)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert parts[0] == sorted(parts[0], key=runs.index)


def test_a_point_may_stay_whole(runs):
    parts = [Shard(number + 1, 3).of(runs, whole_points=True) for number in range(3)]
    points = [{canonical(run.point) for run in part} for part in parts]
    assert sorted(map(len, points)) == [2, 2, 3]
    assert sum(map(len, points)) == len(set.union(*points))


def test_how_a_shard_is_written(tmp_path):
    assert read_shard("3/64") == Shard(3, 64)
    assert Shard(3, 64).directory(tmp_path) == tmp_path / "shards" / "3-of-64"
    for wrong in ("0/4", "5/4", "3", "a/b", "-1/3"):
        with pytest.raises(ExperimentError, match="expected NUMBER/COUNT"):
            read_shard(wrong)


def test_estimates_come_from_the_runs_most_alike(runs):
    def record(run, wall_s, memory_bytes):
        made = {"wall_s": wall_s, "peak_memory_bytes": memory_bytes}
        return {"status": "ok", "config": run.config, "provenance": made}

    virtual = [run for run in runs if run.config["platform"] == "virtual-machine"]
    native = next(run for run in runs if run.config["platform"] == "bare-metal")
    assert Estimator([]).need(native) is None
    estimator = Estimator([record(virtual[0], 2.0, 300), record(virtual[-1], 4.0, 100)])
    assert estimator.need(virtual[1]) == Need(2.0, 300, "runs of the same settings")
    assert estimator.need(virtual[5]).wall_s == 3.0
    assert estimator.need(native).basis == "runs of the same kind of workload"
    needs = [estimator.need(run) for run in (virtual[0], virtual[-1], virtual[5])]
    coming = forecast(needs, 2)
    assert (coming.processor_s, coming.wall_s, coming.memory_bytes) == (9.0, 4.5, 600)
    assert sum(coming.bases.values()) == 3
    assert coming.unknown == 0
    part = forecast([needs[0], None], 2)
    assert (part.processor_s, part.memory_bytes, part.unknown) == (2.0, 300, 1)
    nothing = forecast([None, None], 2)
    assert (nothing.memory_bytes, nothing.bases, nothing.unknown) == (None, {}, 2)
