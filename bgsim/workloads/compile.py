"""compile: a compiler building a small project, the paper's own test.

The job is as much of a real build as takes the native time (3 s) on the bare reference machine:
the trace is replayed from its beginning, over and over, and the last pass is cut where the time is
up, within a stretch of work too, for some take more than 100 us. That number of operations is then the same
on every platform and under every guest that can fork: the match is with Kittyhawk Linux. Nothing else is
matched.

Beside other virtual machines a build begins with a time slice of its own.

Left out: the disk and the network file system (the traces ran from memory), and other processes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, cast

import simpy

from bgsim.datasheet import Datasheet
from bgsim.datasheet.remembered import Remembered
from bgsim.guests.kittyhawk import KittyhawkLinux
from bgsim.guests.zeptoos import LINUX
from bgsim.hardware.core import guest_cpi
from bgsim.hardware.node import build_nodes
from bgsim.l4.paths import Paths
from bgsim.observer import observing
from bgsim.platforms import layout
from bgsim.platforms.baremetal import BareMetal
from bgsim.platforms.processor import Processor
from bgsim.platforms.seam import Code, Platform, Run
from bgsim.profiles import program as ops
from bgsim.profiles.program import TRACES, Program, kernel_program, load, operation
from bgsim.units import to_cycles
from bgsim.workloads.configs import CompileConfig
from bgsim.workloads.outcome import ExitRow, Json, Outcome
from bgsim.workloads.resolved import ResolvedRun
from bgsim.workloads.sensitivity import sensitivity
from bgsim.workloads.shared_node import Host

Progress = Callable[[float, str], None]

NATIVE_TIME_TOLERANCE = 0.01
"""A job that misses the time asked for by more than this share of it says so."""


@dataclass(frozen=True)
class Job:
    """A number of operations of a build, over as many passes as they need.

    Attributes
    ----------
    operations
        Whole ones, of the last pass.
    native_cycles
        What the job takes on the bare reference machine.
    rest
        The operation that comes last: a stretch of work cut where the time is up. None where the time was up
        at the end of an operation.
    """

    program: Program
    passes: int
    operations: int
    native_cycles: int
    rest: int | None = None

    def code(self) -> Code:
        """The build as guest code: whole passes, then the beginning of one more."""
        for _ in range(self.passes):
            yield Run(self.program)
        yield Run(self.program, 0, self.operations)
        if self.rest is not None:
            yield Run(kernel_program("rest", [self.rest]))

    def description(self) -> dict[str, Json]:
        """How the trace was scaled to the job, for the record."""
        length = len(self.program.operations)
        return {
            "trace": self.program.name,
            "trace_instructions": self.program.instructions,
            "whole_passes": self.passes,
            "operations_of_the_last_pass": self.operations + (self.rest is not None),
            "operations_of_a_pass": length,
            "instructions_of_the_last_operation": None
            if self.rest is None
            else self.rest & ops.ARGUMENT_MASK,
            "passes": self.passes + self.operations / length,
        }


_jobs: Remembered[Job] = Remembered()


def find_job(program: str, native_cycles: int, reference: Datasheet) -> Job:
    """How much of a build takes ``native_cycles`` on the bare reference machine; kept while in memory."""
    return _jobs.get(reference, (program, native_cycles), lambda copy: _found(program, native_cycles, copy))


def _found(program: str, native_cycles: int, reference: Datasheet) -> Job:
    trace = load(TRACES[program])
    passes = -1

    def main() -> Code:
        nonlocal passes
        while True:
            passes += 1
            yield Run(trace)

    environment = simpy.Environment()
    guest = KittyhawkLinux(reference, trace, main, program)
    machine = BareMetal(
        environment, reference, guest, _node(environment, reference), stop_cycles=native_cycles
    )
    environment.run(machine.process)
    operations, left = machine.processor.main_position, machine.processor.main_work_left
    takes = int(environment.now)
    if not left:
        return Job(trace, passes, operations, takes)
    operations -= 1
    return Job(
        trace, passes, operations, takes, _cut(machine.processor, int(trace.operations[operations]), left)
    )


def _cut(processor: Processor, work: int, left_cycles: int) -> int:
    """An operation of work without that part of it for which there was no time left."""
    kind, instructions = work >> ops.KIND_SHIFT, work & ops.ARGUMENT_MASK
    price, sequence = processor.tables.price, processor.tables.sequence
    if kind == ops.WORK_KERNEL:  # which switches interrupts off and on meanwhile
        pair_cycles = int(sequence[layout.SEQUENCE_CYCLES, layout.SEQ_IRQ_PAIR])
        micro = 1000 * int(price[layout.PRICE_KERNEL_MILLI])
        micro += int(price[layout.PRICE_IRQ_PAIRS_MILLI]) * pair_cycles
    else:
        micro = 1000 * int(price[layout.PRICE_USER_MILLI])
    left = left_cycles * 1_000_000 // micro
    return operation(kind, max(instructions - left, 0))


def _node(environment: simpy.Environment, datasheet: Datasheet) -> Any:
    return build_nodes(environment, datasheet, (1, 1, 1), (False, False, False)).nodes[0]


def run(resolved: ResolvedRun, progress: Progress | None = None) -> Outcome:
    """Run the job on one platform.

    Parameters
    ----------
    resolved
        Its workload is a :class:`CompileConfig`.
    progress
        Told the simulated seconds now and then.
    """
    config = resolved.workload
    assert isinstance(config, CompileConfig)
    machine = resolved.machine
    frequency = machine.integer("core.frequency")
    native_cycles = to_cycles(
        config.native_time, resolved.reference_machine.integer("core.frequency"), "nearest"
    )
    with observing(None):  # the search for the job is not the run
        job = find_job(config.program, native_cycles, resolved.reference_machine)
    host = Host(resolved)
    environment = host.environment
    platform = host.put(LINUX[resolved.guest](machine, job.program, job.code, config.program))
    host.window(0)
    if progress is not None:
        environment.process(_report(environment, platform, progress, frequency))
    begin = time.perf_counter()
    environment.run(platform.process)
    host_s = time.perf_counter() - begin
    elapsed = int(environment.now)
    counters = platform.counters()
    attribution = platform.attribution()
    assert sum(attribution.values()) == elapsed
    metrics: dict[str, int | float] = {
        "elapsed_s": elapsed / frequency,
        "cycles_total": elapsed,
        "instructions": counters["instructions"],
        "tlb_misses": counters["tlb_misses"],
        "vtlb_misses": counters["vtlb_misses"],
        "guest_refills": counters["guest_refills"],
        "exits_total": counters.get("exits_total", 0),
        "exits_ipc": counters.get("exits_ipc", 0),
        "cycles_l4": counters.get("cycles_l4", 0),
        "cycles_vmm": counters.get("cycles_vmm", 0),
        "cpu_utilisation": 1 - attribution["idle"] / elapsed,
    }
    metrics |= host.metrics(attribution, counters)
    details: dict[str, Json] = {
        "scaling": job.description(),
        "guest_cpi": float(guest_cpi(machine)),
        "counters": dict(counters),
        **host.details(attribution),
    }
    if counters.get("exits_total"):
        paths = Paths(machine)
        metrics["hardware_inserts"] = counters["hardware_inserts"]
        metrics["iccci"] = counters["iccci"]
        metrics["cpi_ratio_kernel_guest"] = float(paths.refill_cpi() / guest_cpi(machine))
        metrics["exits_per_s_host"] = counters["exits_total"] / host_s
        seconds = elapsed / frequency
        if config.sensitivity:
            rows, bounds = sensitivity(resolved, job.program, config.program, seconds)
            details["sensitivity"] = [cast("dict[str, Json]", dict(row)) for row in rows]
            details["sensitivity_range_s"] = list(bounds)
    exits = [
        ExitRow(cause=row.cause, count=row.count, cycles_l4=row.cycles_l4, cycles_vmm=row.cycles_vmm)
        for row in platform.exits()
    ]
    return Outcome(
        metrics=metrics,
        exits=exits,
        attribution=attribution,
        details=details,
        warnings=_not_met(config, job, resolved.reference_machine.integer("core.frequency")),
    )


def _not_met(config: CompileConfig, job: Job, frequency: int) -> list[str]:
    """What to say of a job that is longer than it should be: it ends with work, or with a whole operation."""
    asked_s, takes_s = float(config.native_time.value), job.native_cycles / frequency
    if abs(takes_s / asked_s - 1) <= NATIVE_TIME_TOLERANCE:
        return []
    said = f"workload.native_time: the job takes {takes_s * 1e6:,.4g} us on the bare reference machine, not "
    return [f"{said}{config.native_time}, for that ends within an operation; ask for more"]


def _report(
    environment: simpy.Environment, platform: Platform, progress: Progress, frequency: int
) -> Generator[simpy.Event, Any, None]:
    while not platform.finished():
        yield environment.timeout(frequency)
        progress(environment.now / frequency, f"{platform.name}: compiling")
