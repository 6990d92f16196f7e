"""``bgsim run`` and what is done with its study, with a workload that takes no time."""

import json
import os
import re
import signal
import time

import pytest

from bgsim.experiment.record import answer


def records(directory):
    return [json.loads(line) for line in (directory / "records.jsonl").read_text().splitlines()]


def answers(directory):
    return sorted(json.dumps(answer(record), sort_keys=True) for record in records(directory))


def wait_for_records(directory, count):
    path = directory / "records.jsonl"
    deadline = time.monotonic() + 60
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_results_to_stdout_and_progress_to_stderr(child, experiment, tmp_path):
    done = child("run", experiment, "-o", tmp_path / "out", "--no-figures")
    assert done.code == 0
    assert done.out.split()[:1] == ["operation"]
    assert "3.00x" in done.out
    assert "a library talks" not in done.out
    lines = done.err.splitlines()
    assert f"small: 6 runs, {min(os.cpu_count(), 6)} workers, into {tmp_path / 'out'}" in lines
    # A library's output may stand on the same line: it is another process that writes it.
    assert len(re.findall(r"\[\d/6\] operation=", done.err)) == 6
    assert lines[-1] == f"summary: {tmp_path / 'out' / 'summary.csv'}"
    again = child("run", experiment, "-o", tmp_path / "out", "--no-figures")
    assert again.code == 0
    assert again.out == done.out
    assert f"small: 6 runs, all stored in {tmp_path / 'out'}; nothing to do" in again.err
    assert child("compare", tmp_path / "out").out == done.out


def test_quiet_prints_results_only(child, experiment, tmp_path):
    done = child("run", experiment, "-o", tmp_path / "out", "--no-figures", "--quiet", "--workers", "2")
    assert done.code == 0
    assert "a library talks" not in done.out
    assert done.err.replace("a library talks to standard output", "").strip() == ""


def test_figures_and_explanations(child, experiment, tmp_path):
    done = child("run", experiment, "-o", tmp_path / "out", "--smoke")
    assert done.code == 0
    figures = sorted(path.name for path in (tmp_path / "out").iterdir() if path.suffix == ".svg")
    assert figures
    assert child(
        "plot", tmp_path / "out", "-o", tmp_path / "figures", "--format", "svg"
    ).out.splitlines() == [str(tmp_path / "figures" / name) for name in figures]
    done = child("explain", tmp_path / "out")
    assert done.code == 0
    assert "PPC_HVM_DTLB_MISS" in done.out
    assert "figure: " in done.err
    assert child("explain", tmp_path / "out", "zzz").code == 2


def test_the_default_directory_is_named_after_the_experiment(child, experiment, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert child("run", experiment, "--no-figures").code == 0
    assert child("run", experiment, "--no-figures", "--smoke").code == 0
    assert len(records(tmp_path / "results" / "small")) == 6
    assert len(records(tmp_path / "results" / "small-smoke")) == 6


def test_the_number_of_workers_does_not_matter(child, experiment, tmp_path):
    for workers in (1, 3):
        assert (
            child("run", experiment, "-o", tmp_path / str(workers), "--no-figures", "--workers", workers).code
            == 0
        )
    assert answers(tmp_path / "1") == answers(tmp_path / "3")


def test_a_failing_run_ends_with_3_and_the_others_are_kept(child, experiment, tmp_path):
    done = child("run", experiment, "-o", tmp_path / "out", "--no-figures", FAKE_FAILS_AT="getpid-loop")
    assert done.code == 3
    assert "operation=getpid-loop bare-metal: failed: the link is down" in done.err
    assert done.err.endswith("2 of 6 runs failed; running again tries them again\n")
    assert sorted(record["status"] for record in records(tmp_path / "out")) == ["failed"] * 2 + ["ok"] * 4
    assert child("run", experiment, "-o", tmp_path / "out", "--no-figures").code == 0
    assert len(records(tmp_path / "out")) == 8


def test_a_worker_that_dies_costs_only_its_own_run(child, experiment, tmp_path):
    out = tmp_path / "out"
    done = child("run", experiment, "-o", out, "--no-figures", "--workers", "2", FAKE_DIES_AT="getpid-loop")
    assert done.code == 3
    assert "its worker process was ended by SIGKILL (out of memory?); trying once more" in done.err
    assert sorted(record["status"] for record in records(out)) == ["failed"] * 2 + ["ok"] * 4


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_keeps_what_is_computed(start, child, experiment, tmp_path, workers):
    out = tmp_path / "out"
    process = start("run", experiment, "-o", out, "--no-figures", "--workers", workers, FAKE_SECONDS="0.5")
    wait_for_records(out, 1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "finishing the runs in progress; Ctrl-C again stops at once" in err
    assert "the same command continues there" in err
    assert "Traceback" not in err
    kept = len(records(out))
    assert 1 <= kept < 6
    assert child("run", experiment, "-o", out, "--no-figures").code == 0
    assert len(records(out)) == 6


def test_a_killed_driver_loses_nothing_that_was_stored(start, child, experiment, tmp_path):
    out = tmp_path / "out"
    process = start("run", experiment, "-o", out, "--no-figures", "--workers", "2", FAKE_SECONDS="0.4")
    wait_for_records(out, 2)
    process.kill()
    process.communicate()
    kept = records(out)
    assert child("run", experiment, "-o", out, "--no-figures").code == 0
    assert records(out)[: len(kept)] == kept
    child("run", experiment, "-o", tmp_path / "whole", "--no-figures")
    assert answers(out) == answers(tmp_path / "whole")


def test_two_drivers_in_one_directory(start, child, experiment, tmp_path):
    out = tmp_path / "out"
    first = start("run", experiment, "-o", out, "--no-figures", "--workers", "1", FAKE_SECONDS="1")
    wait_for_records(out, 1)
    second = child("run", experiment, "-o", out, "--no-figures")
    assert second.code == 4
    assert f"{out}: in use by process {first.pid}" in second.err
    first.communicate(timeout=60)
    assert first.returncode == 0
    assert len(records(out)) == 6


def test_a_directory_that_cannot_be_written_ends_with_4(child, experiment, tmp_path):
    (tmp_path / "file").write_text("")
    done = child("run", experiment, "-o", tmp_path / "file")
    assert done.code == 4
    assert "a file stands where a directory is needed; choose another directory (-o)" in done.err


def test_a_full_disk_ends_with_4_and_one_message(child, experiment, tmp_path):
    """A limit on file sizes stands for the full disk: the second record does not fit."""
    out = tmp_path / "out"
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000)); "
    words = ["run", experiment, "-o", out, "--no-figures", "--quiet", "--workers", "1"]
    done = child(
        *words,
        code=f"{limit}from bgsim.cli import main; main()",
        PYTHONDONTWRITEBYTECODE="1",
        TMPDIR=str(tmp_path),
    )
    assert done.code == 4
    said = re.fullmatch(
        f"bgsim: {out}: a limit on file sizes is reached; raise it and run the same command again; "
        rf"what was stored before is safe; 1 run computed since: (\S+) \(bgsim merge {out} \1 adds it\)\n",
        done.err,
    )
    assert said
    kept = records(out)
    assert 1 <= len(kept) < 6
    merged = child("merge", out, said[1])
    assert merged.code == 0
    assert len(records(out)) == len(kept) + 1
    assert child("run", experiment, "-o", out, "--no-figures").code == 0
    assert len(records(out)) == 6
