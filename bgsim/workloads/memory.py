"""A loop over a table in memory: random loads, each of whose addresses depends on the last, or streaming.

The table is the guest's application memory. A guest that pages it takes real misses of the TLB, entry by
entry through the compiled walk, and runs its TLB handler for each; one that maps it statically takes none
on bare metal. What the caches make of the loads is the same for every guest
(:mod:`bgsim.hardware.load_latency`). Before anything is measured the program fills the table, which is when a
guest that pages on demand takes its page faults, and runs a part of the loop.

Left out: the caches' content is not simulated, so page tables and kernel take no lines of the table, and
what a TLB handler misses in the caches is a mean.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from bgsim.datasheet import Datasheet
from bgsim.guests.application_memory import MIB
from bgsim.guests.catalogue import GUESTS
from bgsim.hardware.core import at_setting, guest_cpi
from bgsim.hardware.load_latency import random_load_cycles, stream_line_cycles
from bgsim.platforms.seam import Code, Now, Run
from bgsim.profiles import program as ops
from bgsim.profiles.program import kernel_program, operation
from bgsim.workloads.configs import MemoryConfig
from bgsim.workloads.outcome import Outcome
from bgsim.workloads.resolved import ResolvedRun
from bgsim.workloads.shared_node import Host
from bgsim.workloads.traffic_patterns import random_stream
from bgsim.workloads.window import Window

WORD_BYTES = 8
WARM_UP_ACCESSES = 4096
"""More than any TLB has entries: its content is then that of the loop."""


def access_cycles(machine: Datasheet, pattern: str, size: int) -> Fraction:
    """Mean cycles of one turn of the loop, translation apart."""
    cpi = at_setting(machine, "guest.compiled_code_cpi")
    if pattern == "random":
        # The load's own time is from its address to its word.
        others = machine.integer("kernels.random_instructions") - 1
        return others * cpi + random_load_cycles(machine, size)
    words = machine.integer("cache.l1_line") // WORD_BYTES
    return machine.integer("kernels.stream_instructions") * cpi + stream_line_cycles(machine, size) / words


def addresses(pattern: str, size: int, accesses: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Address of each access within the table."""
    words = size // WORD_BYTES
    if pattern == "random":
        return random.integers(0, words, accesses) * WORD_BYTES
    return np.arange(accesses, dtype=np.int64) % words * WORD_BYTES


def run(resolved: ResolvedRun, progress: Callable[[float, str], None] | None = None) -> Outcome:
    """Run the memory workload.

    Returns
    -------
    Outcome
        Metrics ``latency_us`` (mean time of an access), ``bandwidth_MiBps`` (of the words read), misses and
        exits; details ``pages_touched`` and ``access_cycles`` without translation.
    """
    config, machine = resolved.workload, resolved.machine
    assert isinstance(config, MemoryConfig)
    size = int(config.size.value) // WORD_BYTES * WORD_BYTES
    kind = GUESTS[resolved.guest]
    memory = kind.memory(machine, size)
    random = random_stream(resolved.seed, resolved.replication, "addresses")
    where = addresses(config.pattern, size, WARM_UP_ACCESSES + config.accesses, random)
    each = access_cycles(machine, config.pattern, size)
    # Waiting for memory runs as user instructions of the same time, whole ones, the rest carried over.
    micro = round(each / guest_cpi(machine) * 1_000_000)
    ends = np.arange(len(where) + 1, dtype=np.int64) * micro // 1_000_000
    words = np.empty(2 * len(where), dtype=np.uint32)
    words[0::2] = memory.words(where)
    words[1::2] = np.diff(ends) + operation(ops.WORK_USER)
    loop = kernel_program("loop", words.tolist())
    fill: list[int] = [*memory.code]
    pages = np.arange(0, size, min(memory.touch_bytes, MIB), dtype=np.int64)
    for address, reference in zip(pages.tolist(), memory.words(pages).tolist(), strict=True):
        fill += [*memory.first_touch(address), reference]
    host = Host(resolved)
    windows: list[Window] = []

    def main() -> Code:
        yield Run(kernel_program("fill", fill))
        yield Run(loop, 0, 2 * WARM_UP_ACCESSES)
        yield from host.late_start()
        now = yield Now()
        windows.append(host.window(now))
        yield Run(loop, 2 * WARM_UP_ACCESSES)
        yield Now()

    host.put(kind.build(machine, memory, main))
    host.environment.run(host.platform.process)
    window = windows[0]
    total = int(host.environment.now) - window.opened
    attribution = window.attribution()
    assert sum(attribution.values()) == total, "causes sum to total"
    frequency = machine.integer("core.frequency")
    if progress is not None:
        progress(total / frequency, f"{config.accesses} accesses")
    counters = window.counters()
    metrics: dict[str, int | float] = {
        "elapsed_s": total / frequency,
        "cycles_total": total,
        "messages": config.accesses,
        "latency_us": total / config.accesses / frequency * 1e6,
        "bandwidth_MiBps": config.accesses * WORD_BYTES / MIB * frequency / total,
        "cycles_per_operation": total / config.accesses,
        "tlb_misses_per_operation": counters["tlb_misses"] / config.accesses,
    }
    counted = (
        "tlb_misses",
        "vtlb_misses",
        "guest_refills",
        "exits_total",
        "exits_ipc",
        "cycles_l4",
        "cycles_vmm",
    )
    metrics |= {name: counters.get(name, 0) for name in counted}
    metrics |= host.metrics(attribution, counters)
    return Outcome(
        metrics=metrics,
        exits=window.exits(),
        attribution=attribution,
        details={
            "access_cycles": float(each),
            "pages_touched": len(np.unique(memory.words(where))),
            "timer_interrupts": counters["timer_interrupts"],
            **host.details(attribution),
        },
    )
