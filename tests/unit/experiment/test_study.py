import dataclasses
import errno
import json
import os
import signal
import threading
import time

import pandas
import pytest

import bgsim
from bgsim.experiment import provenance, store
from bgsim.experiment.errors import OutcomeError, StoreError, StudyInterrupted
from bgsim.experiment.execute import check_outcome
from bgsim.experiment.record import RECORD_SCHEMA, answer
from bgsim.experiment.watch import Watch
from bgsim.workloads.outcome import Outcome


class Recorder(Watch):
    def __init__(self):
        self.notes, self.started_runs, self.seen = [], [], []

    def note(self, text):
        self.notes.append(text)

    def started(self, run):
        self.started_runs.append(run.run_id)

    def progressed(self, run, simulated_s, note):
        self.seen.append((simulated_s, note))


@pytest.fixture
def watch():
    return Recorder()


def test_a_study_from_end_to_end(experiment, workload, tmp_path, watch):
    study = bgsim.run(experiment, tmp_path, workers=1, watch=watch)
    assert len(study.records) == 12
    assert watch.seen == [(0.5, "half way")] * 12
    frame = study.summary()
    assert list(frame.columns) == [
        "iterations",
        "platform",
        "metric",
        "unit",
        "mean",
        "ci_low",
        "ci_high",
        "n",
    ]
    assert set(frame.n) == {2}
    slow = frame[frame.metric == "slowdown"]
    assert list(slow.iterations) == [1, 2, 10]
    assert set(slow["mean"]) == {3.0}
    written = pandas.read_csv(tmp_path / "summary.csv")
    pandas.testing.assert_frame_equal(written, frame, check_dtype=False)
    record = study.records[0]
    assert record["schema"] == RECORD_SCHEMA
    assert record["details"] == {"clock": 850_000_000}
    assert record["provenance"]["bgsim"] == bgsim.__version__
    assert record["provenance"]["peak_memory_bytes"] > 1e6
    assert record["point"] == {"workload.iterations": 1}


def test_running_again_does_nothing(experiment, workload, tmp_path, watch):
    bgsim.run(experiment, tmp_path, workers=1, watch=watch)
    before = (tmp_path / "records.jsonl").read_bytes(), (tmp_path / "summary.csv").read_bytes()
    watch.started_runs.clear()
    again = bgsim.run(experiment, tmp_path, workers=1, watch=watch)
    assert watch.started_runs == []
    assert len(again.records) == 12
    assert ((tmp_path / "records.jsonl").read_bytes(), (tmp_path / "summary.csv").read_bytes()) == before


def test_a_killed_study_continues_and_ends_the_same(experiment, workload, tmp_path, watch):
    whole = bgsim.run(experiment, tmp_path / "whole", workers=1, watch=watch)
    bgsim.run(experiment, tmp_path / "cut", workers=1, watch=watch)
    path = tmp_path / "cut" / "records.jsonl"
    path.write_bytes(path.read_bytes()[:9000])
    watch.started_runs.clear()
    watch.notes.clear()
    study = bgsim.run(experiment, tmp_path / "cut", workers=1, watch=watch)
    assert 0 < len(watch.started_runs) < 12
    assert "cut short" in watch.notes[0]

    def answers(study):
        return sorted(json.dumps(answer(record)) for record in study.records)

    assert answers(study) == answers(whole)


def test_extending_a_study_runs_only_what_is_new(experiment, workload, tmp_path, watch):
    bgsim.run(experiment, tmp_path, workers=1, watch=watch)
    watch.started_runs.clear()
    experiment["sweep"]["workload.iterations"].append(20)
    experiment["replications"] = 3
    study = bgsim.run(experiment, tmp_path, workers=1, watch=watch)
    assert len(watch.started_runs) == 24 - 12
    assert set(study.summary().n) == {3}


def test_an_extended_study_knows_its_old_points(experiment, workload, tmp_path, watch):
    bgsim.run(experiment, tmp_path, workers=1, watch=watch)
    study = bgsim.run(
        experiment, tmp_path, overrides={"machine.set.tlb.entries": 256}, workers=1, watch=watch
    )
    assert {record["point"]["machine.set.tlb.entries"] for record in study.records} == {64, 256}
    assert len(study.summary().query("metric == 'slowdown'")) == 6


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("machine.set.tlb.entries", [64, 256]),  # the datasheet says 64
        ("machine.set.torus.link_rate", ["0.425 GB/s", "1 GB/s"]),  # the datasheet says 425 MB/s
        ("workload.iterations", [2, 3]),
        ("partition.topology", ["pair", "node-card"]),
    ],
)
def test_an_axis_with_the_value_a_study_ran_with_splits_no_point(
    experiment, workload, tmp_path, path, values
):
    plain = {**experiment, "replications": 2, "sweep": {}}
    plain["workload"] = {**plain["workload"], "iterations": 2}
    bgsim.run(plain, tmp_path, workers=1, watch=Recorder())
    study = bgsim.run(
        {**plain, "replications": 3, "sweep": {path: values}}, tmp_path, workers=1, watch=Recorder()
    )
    assert study.paths == (path,)
    assert len(study.records) == 2 * 2 * 3
    assert [record["point"][path] for record in study.records].count(values[0]) == 2 * 3
    frame = study.summary().query("metric == 'slowdown'")
    assert list(frame.n) == [3, 3]
    assert set(frame[frame.columns[0]]) == set(values)


@pytest.mark.parametrize("refused", ["lock", "files"])
def test_a_finished_study_that_may_not_be_written_to_is_left_as_it_is(
    experiment, workload, tmp_path, watch, monkeypatch, refused
):
    """On a read-only file system the lock cannot be opened; in a read-only directory no file is replaced."""
    bgsim.run(experiment, tmp_path, workers=1, watch=watch)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.suffix}
    really = store.os.open

    def no_open(path, *arguments):
        if str(path).endswith(store.LOCK):
            raise PermissionError(errno.EACCES, "Permission denied")
        return really(path, *arguments)

    def no_part(path):
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patch:
        if refused == "lock":
            patch.setattr(store.os, "open", no_open)
        else:
            patch.setattr(store, "whole", no_part)
        study = bgsim.run(experiment, tmp_path, workers=1, watch=watch)
        assert study.read_only
        assert len(study.records) == 12
        assert watch.notes == [
            f"{tmp_path}: not writable; all runs are stored there, and nothing was written"
        ]
        with pytest.raises(StoreError, match="not writable; choose another directory"):
            bgsim.run({**experiment, "replications": 3}, tmp_path, workers=1, watch=watch)
    if refused == "lock":
        assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.suffix}


def test_another_experiment_in_the_same_directory_is_refused(experiment, workload, tmp_path, watch):
    bgsim.run(experiment, tmp_path, workers=1, watch=watch)
    with pytest.raises(StoreError, match="holds the study 'study', not 'other'"):
        bgsim.run({**experiment, "name": "other"}, tmp_path, workers=1, watch=watch)


def test_a_failing_run_is_recorded_and_tried_again(experiment, workload, tmp_path, watch):
    really = workload.run

    def fail_once(resolved, progress):
        if resolved.workload.iterations == 2:
            raise RuntimeError("the link is down")
        return really(resolved, progress)

    workload.run = fail_once
    study = bgsim.run(experiment, tmp_path, workers=1, watch=watch)
    assert len(study.records) == 8
    assert len(study.failed) == 4
    assert study.failed[0]["error"]["message"] == "the link is down"
    assert "fail_once" in study.failed[0]["error"]["traceback"]
    workload.run = really
    watch.started_runs.clear()
    study = bgsim.run(experiment, tmp_path, workers=1, watch=watch)
    assert len(watch.started_runs) == 4
    assert len(study.records) == 12
    assert study.failed == []


def test_records_of_an_edited_program_are_kept_and_said(experiment, workload, tmp_path, watch, monkeypatch):
    bgsim.run(experiment, tmp_path, workers=1, watch=watch)
    assert watch.notes == []
    edited = {**provenance.program(), "source": "0123456789abcdef"}
    monkeypatch.setattr(provenance, "program", lambda: edited)
    watch.started_runs.clear()
    bgsim.run(experiment, tmp_path, workers=1, watch=watch)
    assert watch.started_runs == []
    assert len(watch.notes) == 1
    assert "with source 0123456789abcdef; they are kept" in watch.notes[0]


def test_what_a_workload_warns_of_is_kept_and_said(experiment, workload, tmp_path, watch):
    really = workload.run
    workload.run = lambda resolved, progress: dataclasses.replace(
        really(resolved, progress), warnings=["workload.iterations: half of them"]
    )
    study = bgsim.run(experiment, tmp_path, workers=1, watch=watch)
    assert all(record["warnings"] == ["workload.iterations: half of them"] for record in study.records)
    assert "workload.iterations: half of them (in 12 runs)" in study.remarks()


def test_what_had_no_effect_is_said(experiment, workload, tmp_path, watch):
    really = workload.run
    workload.run = lambda resolved, progress: really(
        type(resolved)(**{**resolved.__dict__, "seed": 0}), progress
    )
    experiment["sweep"]["partition.topology"] = ["pair", "node-card"]
    overrides = {"machine.set.tlb.entries": 256, "assume.core.frequency": "800 MHz"}
    study = bgsim.run(experiment, tmp_path, overrides=overrides, workers=1, watch=watch)
    assert study.remarks() == [
        "machine.set.tlb.entries: changed nothing: the run never read it (in 24 runs)",
        "partition.topology: every metric is the same for all its values, so it changed nothing",
        "replications: all are equal; this workload draws nothing at random",
    ]


def test_ctrl_c_finishes_the_run_in_progress_and_says_how_to_continue(experiment, workload, tmp_path, watch):
    really = workload.run

    def interrupted(resolved, progress):
        os.kill(os.getpid(), signal.SIGINT)
        return really(resolved, progress)

    workload.run = interrupted
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(StudyInterrupted, match=r"11 of 12 runs still to do.*same command continues"):
        bgsim.run(experiment, tmp_path, workers=1, watch=watch)
    assert signal.getsignal(signal.SIGINT) is before
    assert len(bgsim.load_study(tmp_path).records) == 1
    assert (tmp_path / "summary.csv").exists()
    workload.run = really
    assert len(bgsim.run(experiment, tmp_path, workers=1, watch=watch).records) == 12


def test_a_second_ctrl_c_stops_at_once(experiment, workload, tmp_path, watch):
    def interrupted(resolved, progress):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(30)

    workload.run = interrupted
    with pytest.raises(StudyInterrupted, match="12 of 12"):
        bgsim.run(experiment, tmp_path, workers=1, watch=watch)


def test_a_study_may_run_in_a_thread(experiment, workload, tmp_path, watch):
    studies = []
    thread = threading.Thread(
        target=lambda: studies.append(bgsim.run(experiment, tmp_path, workers=1, watch=watch))
    )
    thread.start()
    thread.join()
    assert len(studies[0].records) == 12


def test_records_by_the_beginning_of_their_id(experiment, workload, tmp_path, watch):
    study = bgsim.run(experiment, tmp_path, workers=1, watch=watch)
    chosen = study.records[5]
    assert study.record(chosen["run_id"][:12]) == chosen
    with pytest.raises(StoreError, match="no run with an id"):
        study.record("zz")
    with pytest.raises(StoreError, match="12 runs"):
        study.record("")
    causes = study.explain(chosen["run_id"])
    assert list(causes.columns) == ["cause", "cycles", "share"]
    assert causes.cycles.sum() == chosen["metrics"]["cycles_total"]
    assert causes.share.sum() == pytest.approx(1)
    assert repr(study).startswith("<Study 'study': 12 records in ")


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (Outcome({"elapsed": 1}), "the metric 'elapsed' is not registered; did you mean 'elapsed_s'?"),
        (Outcome({"elapsed_s": float("nan")}), "the metric 'elapsed_s' is nan"),
        (Outcome({"elapsed_s": True}), "the metric 'elapsed_s' is True"),
        (Outcome({"cycles_total": 5}, attribution={"idle": 4}), "add up to 4 cycles, and the run took 5"),
        (Outcome({"cycles_total": 5}, attribution={"idle": -4, "ipc": 9}), "the cause 'idle' has -4 cycles"),
    ],
)
def test_broken_promises_are_refused(outcome, said):
    with pytest.raises(OutcomeError, match=said.replace("?", r"\?")):
        check_outcome(outcome)
