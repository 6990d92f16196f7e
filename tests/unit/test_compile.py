"""The job of the compile workload takes the time that was asked for, or says that it does not."""

from __future__ import annotations

import pytest
import simpy

from bgsim.datasheet import Datasheet
from bgsim.guests.kittyhawk import KittyhawkLinux
from bgsim.hardware.node import build_nodes
from bgsim.platforms.baremetal import BareMetal
from bgsim.profiles import program as ops
from bgsim.profiles.program import kernel_program, operation
from bgsim.units import parse
from bgsim.workloads import compile as build
from bgsim.workloads.configs import CompileConfig

MACHINE = Datasheet.load()
FREQUENCY = MACHINE.integer("core.frequency")


@pytest.fixture
def trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """A build of little else than long work in user programs and in the kernel."""
    words = [operation(ops.WORK_USER, 500), operation(ops.ENTER, ops.EXCEPTION_SYSCALL)]
    words += [operation(ops.WORK_KERNEL, 77_027), operation(ops.WORK_USER, 4_000_000)]
    monkeypatch.setattr(build, "load", lambda stem: kernel_program(stem, words))


def native_cycles(job: build.Job) -> int:
    environment = simpy.Environment()
    node = build_nodes(environment, MACHINE, (1, 1, 1), (False, False, False)).nodes[0]
    guest = KittyhawkLinux(MACHINE, job.program, job.code, "lcc")
    environment.run(BareMetal(environment, MACHINE, guest, node).process)
    return int(environment.now)


@pytest.mark.parametrize("asked", ["17 us", "100 us", "1.2345 ms", "6 ms", "21 ms"])
def test_a_job_ends_within_a_stretch_of_work(trace: None, asked: str) -> None:
    cycles = round(parse(asked, "time").value * FREQUENCY)
    job = build._found("lcc", cycles, MACHINE)
    assert job.rest is not None
    assert job.native_cycles == cycles
    assert native_cycles(job) == pytest.approx(cycles, abs=100)
    assert build._not_met(CompileConfig(kind="compile", native_time=asked), job, FREQUENCY) == []


def test_a_job_that_is_longer_than_asked_for_says_so(trace: None) -> None:
    job = build._found("lcc", 850, MACHINE)  # which is up within the system call
    config = CompileConfig(kind="compile", native_time="1 us")
    (said,) = build._not_met(config, job, FREQUENCY)
    takes_us = native_cycles(job) / FREQUENCY * 1e6
    assert said.startswith(
        f"workload.native_time: the job takes {takes_us:.4g} us on the bare reference machine"
    )
    assert takes_us > 1.01
