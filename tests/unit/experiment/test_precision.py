"""Replications until a result is known well enough, and why each point stopped."""

import csv
import hashlib

import pytest

import bgsim
from bgsim.experiment.errors import ExperimentError
from bgsim.experiment.plan import load
from bgsim.experiment.precision import Target
from bgsim.experiment.statistics import Interval
from bgsim.experiment.stops import of_record
from bgsim.workloads.outcome import Outcome


def noisy(resolved, progress):
    """A native time of 1000 cycles and some, and a virtualised one of three times that and some more."""
    draw = hashlib.sha256(str(resolved.seed).encode()).digest()
    own = hashlib.sha256(f"{resolved.seed} {resolved.platform}".encode()).digest()
    cycles = 1000 + resolved.workload.iterations * draw[0]
    if resolved.platform == "virtual-machine":
        cycles = 3 * cycles + own[0]
    return Outcome(metrics={"elapsed_s": cycles / 850e6, "cycles_total": cycles}, details={})


@pytest.fixture
def precise(experiment, workload):
    workload.run = noisy
    experiment["sweep"] = {"workload.iterations": [1, 4]}
    experiment["replications"] = 4
    experiment["precision"] = {"targets": {"slowdown": "relative half-width <= 1 % at 95 %"}, "at_most": 40}
    return experiment


def stopped(directory):
    with (directory / "points.csv").open() as stream:
        return list(csv.DictReader(stream))


def test_replications_are_added_until_the_target_is_met(precise, tmp_path):
    study = bgsim.run(precise, tmp_path, workers=1)
    frame = study.summary()
    slow = frame[frame.metric == "slowdown"]
    assert ((slow.ci_high - slow.ci_low) / 2 / slow["mean"] <= 0.01).all()
    assert (slow.n > 4).all()
    assert (slow.n <= 40).all()
    rows = stopped(tmp_path)
    assert [row["stopped"] for row in rows] == ["converged"] * 4
    assert rows[1]["replications"] == str(slow.n.iloc[0])
    assert "slowdown on virtual-machine: relative half-width 0." in rows[1]["why"]
    counts = {}
    for record in study.records:
        key = (record["point"]["workload.iterations"], record["platform"])
        counts.setdefault(key, []).append((record["replication"], record["seed"]))
    assert sorted(counts[1, "bare-metal"]) == sorted(counts[1, "virtual-machine"])


def test_running_again_or_in_two_processes_asks_for_nothing_more(precise, tmp_path):
    first = bgsim.run(precise, tmp_path, workers=1)
    lines = (tmp_path / "records.jsonl").read_bytes()
    again = bgsim.run(precise, tmp_path, workers=1)
    assert len(again.records) == len(first.records)
    assert (tmp_path / "records.jsonl").read_bytes() == lines


def test_a_study_cut_anywhere_ends_up_the_same(precise, tmp_path):
    whole = bgsim.run(precise, tmp_path / "whole", workers=1)
    lines = (tmp_path / "whole" / "records.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "records.jsonl").write_bytes(b"".join(lines[: len(lines) * 2 // 3]))
    resumed = bgsim.run(precise, tmp_path / "cut", workers=1)
    assert {r["run_id"] for r in resumed.records} == {r["run_id"] for r in whole.records}


def test_the_most_replications_are_a_cap_that_is_told(precise, tmp_path):
    precise["precision"]["at_most"] = 5
    bgsim.run(precise, tmp_path, workers=1)
    row = stopped(tmp_path)[3]
    assert (row["stopped"], row["replications"]) == ("cap", "5")
    assert "at_most is 5" in row["why"]


def relative(frame, point):
    shown = frame[(frame.metric == "slowdown") & (frame.iterations == point)].iloc[0]
    return (shown.ci_high - shown.ci_low) / 2 / shown["mean"], shown.n


def first_meeting(precise, directory, least):
    """A target that the first replications meet and all that are stored do not, and both numbers."""
    del precise["precision"]
    widths = {}
    for count in range(least, 14):
        frame = bgsim.run({**precise, "replications": count}, directory, workers=1).summary()
        widths[count], n = relative(frame, 1)
        assert n == count
        early = [few for few in widths if few < count and widths[few] < 0.97 * widths[count]]
        if early:
            return early[0], (widths[early[0]] + widths[count]) / 2, count
    raise AssertionError("every replication narrows the interval")


def test_stored_replications_are_judged_before_a_point_converges(precise, tmp_path):
    precise["sweep"] = {"workload.iterations": [1]}
    few, wanted, stored = first_meeting(precise, tmp_path, 4)
    target = {"slowdown": f"relative half-width <= {100 * wanted} % at 95 %"}
    asked = {**precise, "replications": few, "precision": {"targets": target, "at_most": 40}}
    alone = bgsim.run(asked, tmp_path / "alone", workers=1)
    assert len(alone.records) == 2 * few, "nothing is stored: the first replications meet the target"
    found = bgsim.run(asked, tmp_path, workers=1)
    reached, n = relative(found.summary(), 1)
    assert n > stored
    assert reached <= wanted
    row = stopped(tmp_path)[1]
    assert (row["stopped"], row["replications"]) == ("converged", str(n))
    assert f"after {n} replications" in row["why"]
    again = bgsim.run(asked, tmp_path, workers=1)
    assert len(again.records) == len(found.records)


def test_stored_replications_beyond_the_cap_are_judged_but_not_added_to(precise, tmp_path):
    precise["sweep"] = {"workload.iterations": [1]}
    native = {**precise, "platforms": ["bare-metal"], "replications": 8}
    del native["precision"]
    bgsim.run(native, tmp_path, workers=1)
    both = {**native, "platforms": ["bare-metal", "virtual-machine"], "replications": 7}
    bgsim.run(both, tmp_path, workers=1)
    precise["precision"] = {"targets": {"slowdown": "relative half-width <= 0.01 % at 95 %"}, "at_most": 5}
    bgsim.run(precise, tmp_path, workers=1)
    row = stopped(tmp_path)[1]
    assert (row["stopped"], row["replications"]) == ("cap", "7")
    assert "at_most is 5" in row["why"]
    assert "after 7 replications" in row["why"]


def test_equal_replications_have_converged(precise, tmp_path):
    precise["precision"]["targets"] = {"exits_total": "half-width <= 1 count"}
    bgsim.run(precise, tmp_path, workers=1)
    assert "no platform of this point reports exits_total" in stopped(tmp_path)[0]["why"]
    precise["precision"]["targets"] = {"elapsed_s": "half-width <= 1 s at 99 %"}
    bgsim.run(precise, tmp_path / "b", workers=1)
    assert {row["replications"] for row in stopped(tmp_path / "b")} == {"4"}


def test_a_fixed_number_says_so(experiment, workload, tmp_path):
    bgsim.run(experiment, tmp_path, workers=1)
    rows = stopped(tmp_path)
    assert len(rows) == 6
    assert rows[0] == {
        "iterations": "1", "platform": "bare-metal", "replications": "2", "stopped": "finished",
        "why": "2 replications, as asked for",
    }  # fmt: skip


def test_a_point_that_failed_says_why(experiment, workload, tmp_path):
    def deadlocked(resolved, progress):
        raise ValueError("t.trace:5: deadlock: rank 0 waits for ever for rank 1, in 'recv'")

    workload.run = deadlocked
    bgsim.run(experiment, tmp_path, workers=1)
    row = stopped(tmp_path)[0]
    assert (row["stopped"], row["replications"]) == ("deadlocked", "0")
    assert row["why"] == "rank 0 waits for ever for rank 1, in 'recv'"


def test_the_identity_of_runs_does_not_know_of_it(precise):
    ids = [run.run_id for run in load(precise).runs]
    del precise["precision"]
    assert [run.run_id for run in load(precise).runs] == ids


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"targets": {"slowdwn": "half-width <= 2"}},
            "precision.targets.slowdwn: unknown metric; did you mean",
        ),
        ({"targets": {"slowdown": "2 %"}}, "'2 %' is no target; write it like 'relative half-width <= 2 %"),
        (
            {"targets": {"elapsed_s": "half-width <= 2 KiB"}},
            "the half-width of elapsed_s is in 's', not in 'KiB'",
        ),
        ({"targets": {"elapsed_s": "half-width <= 0 s"}}, "a half-width to be reached is above zero"),
        ({"targets": {"elapsed_s": "half-width <= 1 s at 100 %"}}, "below 100 %"),
        ({"targets": {"elapsed_s": "half-width <= 1.2.3 s"}}, "a number that is none"),
        ({"at_most": 3}, "precision.at_most: is below the 4 replications to begin with"),
        ({"most": 3}, "precision.most: unknown key"),
    ],
)
def test_wrong_targets(precise, change, said):
    precise["precision"] |= change
    with pytest.raises(ExperimentError) as caught:
        load(precise)
    assert said in str(caught.value)


def test_too_few_replications_to_judge(precise):
    precise["replications"] = 2
    with pytest.raises(ExperimentError, match="at least 3 replications to begin with"):
        load(precise)


def test_targets_read_and_write_alike():
    for text in ("relative half-width <= 2 % at 95 %", "half-width <= 0.5 us at 99 %"):
        assert str(Target.read("latency_us", text)) == text
    assert Target.read("elapsed_s", "half-width <= 2 ms") == Target("elapsed_s", 0.002, False, 0.95)
    target = Target.read("latency_us", "relative half-width <= 0.02")
    assert target.excess(Interval(10.0, 9.6, 10.4, 5)) == pytest.approx(2)
    assert target.excess(Interval(10.0, 10.0, 10.0, 5)) == 0


def test_why_records_stop():
    done = {"status": "ok", "details": {}}
    assert of_record(done)["reason"] == "finished"
    lost = {"messages_lost_whole_run": 3, "warmup_messages": 4, "measured_messages": 16}
    assert of_record({**done, "details": lost}) == {
        "reason": "saturated", "why": "3 of 20 messages were lost on the way",
    }  # fmt: skip
    waiting = {"reason": "saturated", "why": "ever more were waiting"}
    assert of_record({**done, "details": {"saturated": "ever more were waiting"}}) == waiting
    steady = {
        "method": "steady rate", "extrapolated": True, "rates_agree_within": 0.004, "simulated_share": 0.25,
    }  # fmt: skip
    assert of_record({**done, "details": {"steady_state": steady}})["reason"] == "converged"
    text = "t.txt:1: deadlock: rank 0 waits for ever for rank 1, in 'recv'\nt.txt:2: deadlock: rank 1 waits"
    assert of_record({"status": "failed", "error": {"message": text}}) == {
        "reason": "deadlocked", "why": "rank 0 waits for ever for rank 1, in 'recv'; rank 1 waits",
    }  # fmt: skip
    assert of_record({"status": "failed", "error": {"message": "no"}})["reason"] == "failed"


def test_a_share_of_time_is_judged_by_the_interval_that_is_published(precise, workload, tmp_path):
    def sharing(resolved, progress):
        draw = hashlib.sha256(str(resolved.seed).encode()).digest()
        elapsed_s = 1e-3 * (1 + draw[0])
        busy = 0.5 + draw[0] / 512
        return Outcome(metrics={"elapsed_s": elapsed_s, "cpu_utilisation": busy}, details={})

    workload.run = sharing
    precise["precision"]["targets"] = {"cpu_utilisation": "relative half-width <= 12 % at 95 %"}
    frame = bgsim.run(precise, tmp_path, workers=1).summary()
    shown = frame[(frame.metric == "cpu_utilisation") & (frame.iterations == 1)].iloc[0]
    relative = 100 * (shown.ci_high - shown.ci_low) / 2 / shown["mean"]
    row = stopped(tmp_path)[0]
    assert row["stopped"] == "converged"
    assert f"relative half-width {relative:.2g} % at 95 % after {shown.n} replications" in row["why"]
    assert relative <= 12
