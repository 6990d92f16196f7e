"""The workload: compute, call the kernel, and again."""

from __future__ import annotations

from collections.abc import Callable

import simpy

from bgsim.guests.catalogue import GUESTS
from bgsim.hardware.node import build_nodes
from bgsim.platforms import PLATFORMS
from bgsim.platforms.seam import Code, Now, Run
from bgsim.profiles import program as ops
from bgsim.profiles.program import kernel_program, operation
from bgsim.workloads.outcome import Outcome
from bgsim.workloads.resolved import ResolvedRun
from bgsim.workloads.window import Window
from bgsim_system_calls.plugin import SystemCallsConfig

DATA_BYTES = 4096
KERNEL_INSTRUCTIONS = 200
"""What the kernel does for a call between its entry and its exit: of the order of ``getpid``; a guess."""


def run(resolved: ResolvedRun, progress: Callable[[float, str], None] | None = None) -> Outcome:
    """Run the workload: one core of one node, on whatever platform and guest the run names."""
    config, machine = resolved.workload, resolved.machine
    assert isinstance(config, SystemCallsConfig)
    kind = GUESTS[resolved.guest]
    memory = kind.memory(machine, DATA_BYTES)
    call = [
        operation(ops.ENTER, ops.EXCEPTION_SYSCALL),
        operation(ops.WORK_KERNEL, KERNEL_INSTRUCTIONS),
    ]
    turn = [operation(ops.WORK_USER, config.work), *call] if config.work else call
    loop = kernel_program("calls", turn * config.calls)
    windows: list[Window] = []

    def main() -> Code:
        yield Run(kernel_program("warm-up", [*memory.code, *turn]))
        now = yield Now()
        windows.append(Window(platform, now))
        yield Run(loop)
        yield Now()

    environment = simpy.Environment()
    node = build_nodes(environment, machine, (1, 1, 1), (False, False, False)).nodes[0]
    guest = kind.build(machine, memory, main)
    platform = PLATFORMS[resolved.platform](environment, machine, guest, node)
    environment.run(platform.process)
    window = windows[0]
    cycles = int(environment.now) - window.opened
    counters = window.counters()
    elapsed_s = cycles / machine.integer("core.frequency")
    if progress is not None:
        progress(elapsed_s, f"{config.calls} calls")
    return Outcome(
        metrics={
            "elapsed_s": elapsed_s,
            "cycles_total": cycles,
            "messages": config.calls,
            "cycles_per_operation": cycles / config.calls,
            "exits_total": counters.get("exits_total", 0),
            "exits_per_operation": counters.get("exits_total", 0) / config.calls,
        },
        exits=window.exits(),
        attribution=window.attribution(),
    )
