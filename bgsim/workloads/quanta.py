"""Noise probes as guest code: a fixed quantum of work (FWQ), and of time (FTQ), again and again.

FWQ times one stretch of work: what it takes beyond its work is a detour. FTQ does as much work as fits before
the next point of a time grid: what is missing is lost to detours, and because the samples are equally
spaced their spectrum tells the frequencies. A real FTQ loop looks at the time after every unit of work;
this one works through most of what is left before it looks again, down to one unit, which sees the same
but for a detour longer than what is left of its quantum: that one is counted where it began.

Both programs store what they measured, 16 bytes a quantum, in memory of their own. That is all the memory
they touch besides code and stack, and how it is mapped is the guest's affair. Neither computing nor
reading the time traps.

What happened in a quantum with a detour is read from the platform's own counts, and where its time went
from the platform's own attribution, which has to explain it to the cycle.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import simpy

from bgsim.datasheet import Datasheet
from bgsim.guests.application_memory import ApplicationMemory
from bgsim.guests.catalogue import GUESTS
from bgsim.guests.user_code import UserCode
from bgsim.hardware.node import build_nodes
from bgsim.platforms import PLATFORMS
from bgsim.platforms.seam import TICKS, Code, Move, Now, Platform, Request, Run
from bgsim.profiles.program import kernel_program
from bgsim.workloads.shared_node import Host

SAMPLE_BYTES = 16
UNIT_CYCLES = 50
"""Work after which a fixed-time-quantum loop looks at the time, at the end of its quantum."""

ROUNDING_CYCLES = 2
"""By so much the work itself may take longer than asked for."""

DEVICE_INTERRUPT = "PPC_HVM_EXCEPT_EXTERNAL"

EVENTS = (
    "vm_switch",
    "device_interrupt",
    "l4_tick",
    "guest_timer",
    "page_fault",
    "tlb_refill",
    "tlb_insert",
    "vmm",
)
"""What can be behind a detour: other virtual machines that had the core, interrupts of devices that kernel
and VMM handle for whomever, ticks of the microkernel, the guest's timer interrupts, first touches of pages,
runs of the guest's TLB handler, hardware TLB entries loaded by the microkernel, exits to the VMM."""

WORK = "guest_user"

Measuring = Generator[Request, Any, tuple[int, int, int]]
"""Guest code that measures one quantum: when it began and ended, and the work in it."""


@dataclass
class Quanta:
    """What a probe saw, by quantum.

    Attributes
    ----------
    begun
        When each quantum began, in cycles.
    detour
        Time in it that was not the probe's work, in cycles.
    work
        Work done, in cycles.
    events
        What happened in it, by names of `EVENTS`; empty where there was no detour.
    causes
        Cycles of all detours by the platform's causes.
    """

    begun: list[int] = field(default_factory=list)
    detour: list[int] = field(default_factory=list)
    work: list[int] = field(default_factory=list)
    events: list[Mapping[str, int]] = field(default_factory=list)
    causes: Counter[str] = field(default_factory=Counter)

    @property
    def ticks(self) -> list[int]:
        """Ticks of the microkernel by quantum."""
        return [happened.get("l4_tick", 0) for happened in self.events]

    @property
    def timer_interrupts(self) -> list[int]:
        """Timer interrupts of the guest by quantum."""
        return [happened.get("guest_timer", 0) for happened in self.events]


class Probe:
    """A probe on one core.

    Parameters
    ----------
    platform, guest
        Names.
    quanta, warm_up
        How many quanta are recorded, and how many go before them.
    quantum_cycles
        Work, or time, of each.
    fixed_time
        FTQ instead of FWQ.
    store
        Whether the program stores its samples.
    fresh
        Whether the memory they go to has never been touched before.
    host
        What the guest is put on; a node of its own by default.

    Attributes
    ----------
    on_begin
        Called when the first recorded quantum begins.
    """

    def __init__(
        self,
        machine: Datasheet,
        platform: str,
        guest: str,
        quanta: int,
        warm_up: int,
        quantum_cycles: int,
        fixed_time: bool = False,
        store: bool = True,
        fresh: bool = False,
        host: Host | None = None,
    ) -> None:
        self.environment = simpy.Environment() if host is None else host.environment
        self._host = host
        self.seen = Quanta()
        self.on_begin: Callable[[], None] = lambda: None
        self._quanta, self._warm_up, self._quantum = quanta, warm_up, quantum_cycles
        self._fixed_time, self._store, self._fresh = fixed_time, store, fresh
        self._page_faults = 0
        self._code = UserCode(machine, (), ())
        samples = SAMPLE_BYTES * (quanta + warm_up) if store else SAMPLE_BYTES
        self._memory: ApplicationMemory = GUESTS[guest].memory(machine, samples)
        self._stretches: dict[tuple[int, int], Run] = {}
        made = GUESTS[guest].build(machine, self._memory, self._main)
        self.core: Platform
        if host is None:
            node = build_nodes(self.environment, machine, (1, 1, 1), (False, False, False)).nodes[0]
            self.core = PLATFORMS[platform](self.environment, machine, made, node)
        else:
            self.core = host.put(made)
        self._before: dict[str, int] = {}
        self._cycles: dict[str, int] = {}

    def run(self) -> Quanta:
        """Run it to its end."""
        process: Any = self.core
        self.environment.run(process.process)
        return self.seen

    # -- the program

    def _main(self) -> Code:
        if not self._fresh:
            for address in range(0, self._memory.size, self._memory.touch_bytes):
                yield from self._touch(address)
        if self._host is not None:
            yield from self._host.late_start()
        yield Move()
        now = yield Now()
        self._begin()
        quantum = self._time_quantum if self._fixed_time else self._work_quantum
        end = now
        for number in range(-self._warm_up, self._quanta):
            end += self._quantum
            begun, now, work = yield from quantum(number + self._warm_up, now, end)
            if number >= 0:
                self._record(begun, now - begun - work, work)
            elif number == -1:
                self._begin()
                if now - end >= self._quantum:
                    end = now  # a detour has taken whole quanta of what is recorded

    def _work_quantum(self, number: int, now: int, end: int) -> Measuring:
        yield from self._sample(number)
        yield self._stretch(self._quantum, number)
        return now, (yield Now()), self._quantum

    def _time_quantum(self, number: int, now: int, end: int) -> Measuring:
        begun, work = now, 0
        yield from self._sample(number)
        while now < end:
            part = max((end - now) // UNIT_CYCLES * 3 // 4, 1) * UNIT_CYCLES
            yield self._stretch(part, number)
            work += part
            now = yield Now()
        return begun, now, work

    def _sample(self, number: int) -> Code:
        """Where samples go to fresh memory, the first one of a page finds none there."""
        address = SAMPLE_BYTES * number
        if self._store and self._fresh and address % self._memory.touch_bytes == 0:
            yield from self._touch(address)

    def _touch(self, address: int) -> Code:
        fault = self._memory.first_touch(address)
        self._page_faults += bool(fault)
        words = self._memory.words(np.array([address], dtype=np.int64))
        yield Run(kernel_program("first touch", [*fault, *words.tolist()]))

    def _stretch(self, cycles: int, number: int) -> Run:
        """Work that also stores the quantum's sample."""
        work = self._code.cycles(cycles).program
        address = SAMPLE_BYTES * number
        key = (work.instructions, address // self._memory.touch_bytes)
        run = self._stretches.get(key)
        if run is None:
            words = [*self._memory.code, *work.operations.tolist()]
            if self._store:
                words += self._memory.words(np.array([address], dtype=np.int64)).tolist()
            run = self._stretches[key] = Run(kernel_program("quantum", words))
        return run

    # -- the instrument

    def _begin(self) -> None:
        self._before, self._cycles = self._events(), self.core.running_attribution()
        self.on_begin()

    def _record(self, begun: int, detour: int, work: int) -> None:
        seen = self.seen
        happened: dict[str, int] = {}
        if detour > ROUNDING_CYCLES:
            events, cycles = self._events(), self.core.running_attribution()
            happened = {name: events[name] - self._before[name] for name in EVENTS}
            happened = {name: count for name, count in happened.items() if count}
            causes = {name: value - self._cycles.get(name, 0) for name, value in cycles.items()}
            causes.pop(WORK)
            if not happened:
                raise AssertionError(f"a detour of {detour} cycles of no known cause")
            # Roundings of the quanta since the last detour come together here.
            assert abs(sum(causes.values()) - detour) <= ROUNDING_CYCLES, (detour, causes)
            seen.causes.update({name: value for name, value in causes.items() if value})
            self._before, self._cycles = events, cycles
        seen.begun.append(begun)
        seen.detour.append(detour if happened else 0)
        seen.work.append(work)
        seen.events.append(happened)

    def _events(self) -> dict[str, int]:
        counters, exits = self.core.counters(), self.core.exits()
        return {
            "vm_switch": counters.get("vm_entries", 0),
            "device_interrupt": sum(row.count for row in exits if row.cause == DEVICE_INTERRUPT),
            "l4_tick": sum(row.count for row in exits if row.cause in TICKS),
            "guest_timer": counters["timer_interrupts"],
            "page_fault": self._page_faults,
            "tlb_refill": counters["guest_refills"],
            "tlb_insert": counters.get("hardware_inserts", 0),
            "vmm": counters.get("exits_ipc", 0),
        }


def source(happened: Mapping[str, int]) -> str:
    """What was behind a detour: names of `EVENTS`, joined by ``+``.

    A hardware TLB entry that the microkernel loads belongs to what made it necessary, if anything else
    happened.
    """
    names = [name for name in EVENTS if name in happened and name != "tlb_insert"]
    return "+".join(names) or "tlb_insert"


def sources(seen: Quanta) -> Iterator[tuple[str, list[int]]]:
    """Detours by what was behind them (`source`), and cycles of each detour."""
    found: dict[str, list[int]] = {}
    for detour, happened in zip(seen.detour, seen.events, strict=True):
        if detour:
            found.setdefault(source(happened), []).append(detour)
    yield from sorted(found.items(), key=lambda item: -sum(item[1]))
