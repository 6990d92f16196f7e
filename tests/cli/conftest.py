"""Two ways to call the command line: in this process, and as a child with a workload that takes no time."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

FAKE = Path(__file__).parent / "fake"


class Done(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def bgsim(capsys):
    """Call the command line in this process."""
    from bgsim.cli.app import app

    def call(*words):
        try:
            app([str(word) for word in words], prog_name="bgsim")
        except SystemExit as end:
            code = end.code
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return Done(code, out, err)

    return call


@pytest.fixture
def start():
    """Start the command line as a child process; options of the fake workload as keywords."""
    children = []

    def begin(*words, code="from bgsim.cli import main; main()", **environment):
        path = os.pathsep.join([str(FAKE), *filter(None, sys.path)])
        child = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path, **environment},
        )
        children.append(child)
        return child

    yield begin
    for child in children:
        child.kill()
        child.communicate()


@pytest.fixture
def child(start):
    """Run the command line as a child process to its end."""

    def call(*words, **environment):
        process = start(*words, **environment)
        out, err = process.communicate(timeout=120)
        assert "Traceback" not in out + err
        return Done(process.returncode, out, err)

    return call


@pytest.fixture
def experiment(tmp_path):
    """A small experiment file."""
    path = tmp_path / "small.yaml"
    path.write_text(
        "name: small\n"
        "machine: bgp\n"
        "partition: {topology: pair}\n"
        "platforms: [bare-metal, virtual-machine]\n"
        "workload: {kind: micro, iterations: 3}\n"
        "sweep:\n"
        "  workload.operation: [null-system-call, getpid-loop, timer-tick]\n"
        "smoke: {workload.iterations: 1}\n"
    )
    return path
