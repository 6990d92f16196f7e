"""Batch systems: profiles, the job that is submitted, and a study on one made of shell scripts."""

import json
import os
import sys
from pathlib import Path

import pytest

from bgsim.experiment.errors import ExecutorError, ExperimentError
from bgsim.experiment.executors.batch import Batch, Profile, read_profile

FAKE = Path(__file__).parent / "fake"

PROFILE = """\
jobs: 2
cores: 4
memory: 8 GB
walltime: "00:30:00"
queue: short
directives: ["--exclusive"]
prologue: ["module load python"]
"""


@pytest.fixture
def profile(tmp_path):
    path = tmp_path / "slurm.yaml"
    path.write_text(PROFILE)
    return path


def test_a_profile_becomes_a_job(profile):
    pytest.importorskip("dask_jobqueue")
    batch = Batch(read_profile(profile, "slurm"))
    try:
        script = batch.job_script().splitlines()
    finally:
        batch.scheduler.close()
    assert "#SBATCH -p short" in script
    assert "#SBATCH --cpus-per-task=4" in script
    assert "#SBATCH -t 00:30:00" in script
    assert "#SBATCH --exclusive" in script
    assert "module load python" in script
    assert "--nthreads 4" in script[-1]


def test_every_system_is_known_to_dask_jobqueue():
    jobqueue = pytest.importorskip("dask_jobqueue")
    from bgsim.cli.executing import EXECUTORS
    from bgsim.experiment.executors.batch import SYSTEMS

    assert ("local", "dask", *SYSTEMS) == EXECUTORS
    assert all(hasattr(jobqueue, f"{name}Cluster") for name in SYSTEMS.values())


def test_what_is_wrong_in_a_profile_is_said_with_its_place(tmp_path):
    path = tmp_path / "slurm.yaml"
    path.write_text("jobs: many\ncorse: 3\nmemory: 8\n")
    with pytest.raises(ExperimentError) as caught:
        read_profile(path, "slurm")
    assert str(caught.value).splitlines() == [
        f"{path}:1:7: jobs: expected a positive whole number, got 'many'",
        f"{path}:2:1: corse: unknown key; did you mean 'cores'?",
        f"{path}:3:9: memory: expected text (in quotes), got 8",
        f"{path}: cores: missing: runs computed at once in each job; required",
    ]
    path.write_text("jobs: 2\njobs_min: 3\ncores: 1\nmemory: 1 GB\n")
    with pytest.raises(ExperimentError, match=r"slurm.yaml:2:11: jobs_min: is more than jobs, 2"):
        read_profile(path, "slurm")


def test_an_option_the_batch_system_does_not_have(profile):
    pytest.importorskip("dask_jobqueue")
    with pytest.raises(ExecutorError, match="htcondor takes no queue; write it under 'directives'"):
        Batch(Profile("htcondor", 1, None, {"cores": 1, "memory": "1 GB", "queue": "short"}))


@pytest.mark.slow
def test_a_study_on_a_batch_system(child, experiment, tmp_path):
    """Shell scripts stand for SLURM: sbatch starts the job here, scancel ends it."""
    pytest.importorskip("dask_jobqueue")
    tools = tmp_path / "tools"
    tools.mkdir()
    path = os.pathsep.join([str(FAKE), *filter(None, sys.path)])
    submit = f'#!/bin/sh\nexport PYTHONPATH="{path}"\nsetsid sh "$1" >{tmp_path}/job.log 2>&1 &\n'
    (tools / "sbatch").write_text(submit + 'echo "Submitted batch job $!"\n')
    (tools / "scancel").write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/cancelled\nkill -- "-$1"\n')
    for tool in tools.iterdir():
        tool.chmod(0o755)
    profile = tmp_path / "profile.yaml"
    profile.write_text('jobs: 1\ncores: 2\nmemory: 1 GB\ninterface: lo\nwalltime: "00:10:00"\n')
    out = tmp_path / "out"
    words = ["run", experiment, "-o", out, "--no-figures", "--executor", "slurm", "--profile", profile]
    done = child(*words, PATH=f"{tools}{os.pathsep}{os.environ['PATH']}")
    assert done.code == 0
    assert "slurm has no workers yet; waiting for them" in done.err
    assert len([json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]) == 6
    assert (tmp_path / "cancelled").exists()
