"""micro: one kernel operation repeated, the costs a kernel engineer asks for first.

Operations that a real program was traced doing are replayed from its trace; device accesses, IPC
and the timer are guest code of their own. In a virtual machine the run is repeated with every
kernel and VMM path priced by its instructions, which gives the instruction count that hand counts
are compared with.

Left out on bare metal: IPC, which does not exist there; the operation is the plain device control
register read that becomes one in a virtual machine. Under CNK only the system call and the device accesses
are there to be measured; a program of the microkernel has TLB misses and page faults of its own kind.
Beside other virtual machines an operation's cycles are those of its own, its latency has their time slices in
it, and instructions are not counted apart.

Everything that is reported is of the iterations alone, from the end of the warm-up to the end of the last
one. A timer tick comes when its period is over, however long the one before has taken: there the time that
passes says nothing of the operation, and no ``elapsed_s`` is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from bgsim.datasheet import Datasheet
from bgsim.guests import cnk
from bgsim.guests.l4_app import L4App
from bgsim.guests.zeptoos import LINUX
from bgsim.hardware import bic
from bgsim.hardware.dma_registers import DCR_BASE
from bgsim.platforms.seam import Code, Guest, Load, Now, ReadDcr, Run, Wait
from bgsim.profiles import program as ops
from bgsim.profiles.program import Program, kernel_program, load, operation
from bgsim.workloads.configs import MicroConfig
from bgsim.workloads.micro_program import WALKED_PAGES, memory_of, system_call, touches
from bgsim.workloads.outcome import Json, Outcome
from bgsim.workloads.resolved import ResolvedRun
from bgsim.workloads.shared_node import Host
from bgsim.workloads.window import Spent, Window

HAND_COUNT_INSTRUCTIONS = {
    "null-system-call": 5_950,
    "tlb-miss-walk": 10_400,
    "page-fault-touch": 21_000,
    "ipc-round-trip": 12_800,
    "device-register-access": 13_750,
    "timer-tick": 9_500,
}
"""Kernel and VMM instructions per operation, counted by hand from the sources."""

TRACED = {
    "getpid-loop": ("null_syscall", ops.ENTER, ops.EXCEPTION_SYSCALL),
    "tlb-miss-walk": ("tlb_thrash", ops.WORK_USER, None),
    "page-fault-touch": ("touch_fresh_page", ops.ENTER, ops.EXCEPTION_DTLB),
    "context-switch-ping-pong": ("sched_yield_pair", ops.PID, None),
}
"""Operations that were traced: the trace, and the kind and argument of the operation that marks each."""


_LINUX_CALL = (0, (9, 10, 5, 4, 8), "guest.system_call_instructions")

SYSTEM_CALLS: Mapping[str, tuple[int, tuple[int, ...], str]] = {
    **dict.fromkeys(LINUX, _LINUX_CALL),
    "cnk": (cnk.KERNEL_MIB, (cnk.KERNEL_MIB,), "cnk.system_call_instructions"),
}
"""Of guests that have a kernel: what a system call that does nothing touches and executes there, a MiB of
text and MiB of data, and the parameter with its instructions."""


_WAITED_FOR = frozenset({"timer-tick"})
"""Operations that come when their time has come: what passes between them is no cost of theirs."""


class IterationsError(ValueError):
    """More iterations were asked for than the trace holds."""


class Loop:
    """An operation to repeat: guest code before, and the measured part."""

    def __init__(self, program: Program, warm_up: Callable[[], Code], measured: Callable[[], Code]) -> None:
        self.program = program
        self.warm_up = warm_up
        self.measured = measured
        self.before: Callable[[], Code] = nothing
        self.on_mark: Callable[[], None] = lambda: None

    def code(self) -> Code:
        """Warm-up, what comes before the measured part, mark, measured part, mark."""
        yield from self.warm_up()
        yield from self.before()
        yield Now()  # at a mark no time is owed
        self.on_mark()
        yield from self.measured()
        yield Now()
        self.on_mark()


def nothing() -> Code:
    """No request at all."""
    yield from ()


def _loop(operation_name: str, iterations: int, machine: Datasheet, guest: str) -> Loop:
    if guest not in SYSTEM_CALLS and operation_name in TRACED:
        memory = memory_of(operation_name, iterations, machine)
        before = 1 if operation_name == "page-fault-touch" else WALKED_PAGES
        return Loop(
            memory.program, lambda: touches(memory, 0, before), lambda: touches(memory, before, iterations)
        )
    if operation_name in TRACED:
        return _traced(operation_name, iterations)
    if operation_name == "null-system-call":
        text, data, instructions = SYSTEM_CALLS[guest]
        call = kernel_program(
            operation_name,
            [
                operation(ops.WORK_USER, machine.integer("guest.system_call_loop_instructions")),
                operation(ops.ENTER, ops.EXCEPTION_SYSCALL),
                operation(ops.LOWMEM_INSTRUCTION, text),
                *(operation(ops.LOWMEM_DATA, mib) for mib in data),
                operation(ops.WORK_KERNEL, machine.integer(instructions)),
            ],
        )
        return _repeat(call, lambda: Run(call), iterations)
    empty = kernel_program(operation_name, [])
    own = system_call(operation_name)
    if own is not None:
        return _repeat(empty, lambda: own, iterations)
    if operation_name == "ipc-round-trip":
        return _repeat(empty, lambda: ReadDcr(DCR_BASE), iterations)
    if operation_name == "device-register-access":
        return _repeat(empty, lambda: Load(bic.BASE), iterations)
    assert operation_name == "timer-tick"
    return _repeat(empty, Wait, iterations)


def _repeat(program: Program, request: Callable[[], Any], iterations: int) -> Loop:
    def times(count: int) -> Code:
        for _ in range(count):
            yield request()

    return Loop(program, lambda: times(1), lambda: times(iterations))


def _traced(operation_name: str, iterations: int) -> Loop:
    stem, kind, argument = TRACED[operation_name]
    program = load(stem)
    words = program.operations
    marks = words >> np.uint32(ops.KIND_SHIFT) == kind
    if argument is not None:
        marks &= (words & np.uint32(ops.ARGUMENT_MASK)) == argument
    positions = np.flatnonzero(marks)
    # The first half of what is left over warms the TLBs and caches up.
    available = len(positions) - 2
    if iterations > available:
        raise IterationsError(
            f"workload.iterations: {iterations} of {operation_name} are too many; its trace holds {available}"
        )
    first = min(len(positions) - 1 - iterations, max(1, iterations // 10))
    begin, end = int(positions[first]), int(positions[first + iterations])

    def warm_up() -> Code:
        yield Run(program, 0, begin)

    def measured() -> Code:
        yield Run(program, begin, end)

    return Loop(program, warm_up, measured)


def _measure(resolved: ResolvedRun) -> tuple[Spent, Host]:
    """What the iterations took, and what they ran on."""
    config, machine, guest_name = resolved.workload, resolved.machine, resolved.guest
    assert isinstance(config, MicroConfig)
    loop = _loop(config.operation, config.iterations, machine, guest_name)
    host = Host(resolved)
    guest: Guest
    if guest_name in LINUX:
        timer = config.operation == "timer-tick"
        guest = LINUX[guest_name](machine, loop.program, loop.code, timer=timer)
    elif guest_name in SYSTEM_CALLS:
        guest = cnk.Cnk(machine, loop.code)
    else:
        guest = L4App(machine, loop.program, loop.code)
    host.put(guest)
    windows: list[Window] = []
    found: list[Spent] = []

    def mark() -> None:
        now = int(host.environment.now)
        if windows:
            found.append(windows[0].close(now))
        else:
            windows.append(host.window(now))

    loop.before, loop.on_mark = host.late_start, mark
    host.environment.run(host.platform.process)
    (spent,) = found
    return spent, host


def priced_by_instructions(machine: Datasheet) -> Datasheet:
    """The machine with every kernel and VMM path costing one cycle per instruction, and nothing else.

    With it, cycles in the microkernel and the VMM are their instruction counts.
    """
    values: dict[str, object] = {
        "core.icache_line_cycles": 0,
        "l4.dcache_lines_lost_per_refill": 0,
        "vmm.tlb_miss_cycles": 0,
        "vmm.dcr_pass_through_cycles": 0,
        "vmm.cpi": 1,
        "l4.map_fpage_cpi": 1,
        "core.timing": "central",
    }
    prefix = f"l4.{machine.text('l4.build')}."
    for name in machine:
        if name.startswith(prefix) and name.endswith(".cycles"):
            values[name] = machine.integer(name.removesuffix("cycles") + "instructions")
        elif name.startswith(prefix) and name.endswith(".tail"):
            values[name] = 0
    return machine.with_values(values)


def run(resolved: ResolvedRun, progress: Callable[[float, str], None] | None = None) -> Outcome:
    """Measure one operation on one platform.

    Raises
    ------
    IterationsError
        If the trace of the operation holds fewer iterations.
    """
    config = resolved.workload
    assert isinstance(config, MicroConfig)
    machine = resolved.machine
    frequency = machine.integer("core.frequency")
    spent, host = _measure(resolved)
    if progress is not None:
        progress(spent.closed / frequency, config.operation)
    taken = spent.cycles - spent.attribution.get("idle", 0)
    busy = taken - spent.attribution.get("other_vms", 0)
    count = config.iterations
    exits = spent.counters.get("exits_total", 0)
    row: dict[str, Json] = {
        "operation": config.operation,
        "cycles": busy / count,
        "instructions": spent.counters["instructions"] / count,
        "exits": exits / count,
    }
    metrics: dict[str, int | float] = {
        "latency_us": taken / count / frequency * 1e6,
        "cycles_total": spent.cycles,
        "cycles_per_operation": busy / count,
        "exits_per_operation": exits / count,
        "messages": count,
        "instructions": spent.counters["instructions"],
        "tlb_misses": spent.counters["tlb_misses"],
        "vtlb_misses": spent.counters["vtlb_misses"],
        "exits_total": exits,
        "exits_ipc": spent.counters.get("exits_ipc", 0),
        "cycles_l4": spent.counters.get("cycles_l4", 0),
        "cycles_vmm": spent.counters.get("cycles_vmm", 0),
    }
    if config.operation not in _WAITED_FOR:
        metrics["elapsed_s"] = spent.cycles / frequency
    metrics |= host.metrics(spent.attribution, spent.counters)
    counts_instructions = resolved.guest in SYSTEM_CALLS or system_call(config.operation) is not None
    if exits and counts_instructions and not config.has_neighbours:
        counted, _ = _measure(replace(resolved, machine=priced_by_instructions(machine)))
        kernel = (counted.counters["cycles_l4"] + counted.counters["cycles_vmm"]) / count
        row["kernel_instructions"] = kernel
        metrics["kernel_instructions_per_operation"] = kernel
        if config.operation in HAND_COUNT_INSTRUCTIONS and resolved.guest in LINUX:
            row["hand_count_instructions"] = HAND_COUNT_INSTRUCTIONS[config.operation]
    return Outcome(
        metrics=metrics,
        exits=spent.exits,
        attribution=spent.attribution,
        details={"operations": [row], **host.details(spent.attribution)},
    )
