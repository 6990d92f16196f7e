"""Bare metal: a guest straight on one core of a node.

The core is a SimPy process that runs the guest's requests. Privileged instructions cost their own
few cycles, device registers an uncached access, and the timer interrupt comes when the decrementer
reaches zero.
"""

from __future__ import annotations

from collections.abc import Generator
from fractions import Fraction
from typing import Any, Protocol

import simpy

from bgsim.datasheet import Datasheet
from bgsim.hardware.activity import Activity
from bgsim.hardware.bic import Bic
from bgsim.hardware.bus import Bus
from bgsim.hardware.dcr import DcrBus
from bgsim.hardware.decrementer import NEVER, Decrementer
from bgsim.hardware.memory import ObjectMemory
from bgsim.observer import built
from bgsim.platforms import layout
from bgsim.platforms.accounting import Accounting
from bgsim.platforms.prices import native_tables
from bgsim.platforms.processor import FOREVER, Processor, access_memory
from bgsim.platforms.seam import (
    DeviceAccess,
    ExitCause,
    Guest,
    Load,
    LoadQuad,
    Move,
    Now,
    Poll,
    ReadDcr,
    ReadMemory,
    Run,
    SetInterrupts,
    Store,
    SystemCall,
    Wait,
    WriteDcr,
    WriteMemory,
)


class NodeHardware(Protocol):
    """What a platform needs of a node."""

    bus: Bus
    bic: Bic
    dcr: DcrBus
    memory: ObjectMemory
    activity: Activity
    decrementers: tuple[Decrementer, ...]


def access_device(bus: Bus, access: DeviceAccess) -> Any:
    """Perform a device access and return what it reads."""
    if isinstance(access, Load):
        return bus.load(access.address)
    if isinstance(access, Store):
        return bus.store(access.address, access.value)
    if isinstance(access, LoadQuad):
        return bus.load_quad(access.address)
    return bus.store_quad(access.address, access.quad)


class BareMetal:
    """A guest on a core of a node.

    Parameters
    ----------
    node
        The node's devices.
    memory_bytes
        Memory given to the guest; all of the node's unless set.
    stop_cycles
        Simulated time at which the core stops, wherever the guest is; used to find how much work
        fits in a given native time.

    Attributes
    ----------
    process
        The core's SimPy process; ends when the guest's program has ended.
    """

    name = "bare-metal"

    def __init__(
        self,
        environment: simpy.Environment,
        datasheet: Datasheet,
        guest: Guest,
        node: NodeHardware,
        memory_bytes: int | None = None,
        stop_cycles: int = FOREVER,
    ) -> None:
        self.environment = environment
        self.datasheet = datasheet
        self.guest = guest
        self.node = node
        self.core = 0
        self.stop_cycles = stop_cycles
        tables = native_tables(datasheet, guest.sequences, Fraction(guest.irq_pairs_milli, 1000))
        memory = datasheet.integer("memory.size") if memory_bytes is None else memory_bytes
        entries = datasheet.integer("tlb.entries")
        self.processor = Processor(environment, guest, tables, memory, entries, 1)
        self.accounting = Accounting(datasheet, guest.sequences, virtual=False)
        self.dcr_cycles = datasheet.cycles("dcr.latency")
        self.started = int(environment.now)
        self.decrementer = node.decrementers[self.core]
        self.decrementer.start(self.started, guest.timer_period_cycles)
        self.idle_cycles = 0
        self.device_cycles = 0
        self.device_accesses = 0
        self.timer_interrupts = 0
        self.external_interrupts = 0
        self.events = 0
        self._wake = environment.event()
        self._idle_since: int | None = None
        node.bic.on_change = lambda core: self.interrupt_line() if core == self.core else None
        self.process = environment.process(self._run())
        built(self)

    def interrupt_line(self) -> None:
        """The interrupt controller's output to this core changed."""
        if not self._wake.triggered:
            self._wake.succeed()

    # -- the core ---------------------------------------------------------------------------------

    def _run(self) -> Generator[simpy.Event, Any, None]:
        processor = self.processor
        while not processor.finished and self.environment.now < self.stop_cycles:
            if not processor.in_interrupt and self._take_interrupt():
                continue
            request = processor.request
            if isinstance(request, Run):
                yield from self._walk()
            elif isinstance(request, Wait):
                yield from self._wait()
            elif isinstance(request, Now):
                processor.advance(int(self.environment.now))
            elif isinstance(request, Poll):
                yield from self._poll(request)
            elif isinstance(request, SetInterrupts):
                processor.set_interrupts(request.enabled)
                processor.advance()
            elif isinstance(request, Move):
                processor.advance(())
            elif isinstance(request, ReadMemory | WriteMemory):
                processor.advance(access_memory(self.node.memory, request))
            elif isinstance(request, ReadDcr | WriteDcr):
                yield from self._pass_device_time(self.dcr_cycles)
                if isinstance(request, ReadDcr):
                    processor.advance(self.node.dcr.read(request.number))
                else:
                    self.node.dcr.write(request.number, request.value)
                    processor.advance()
            else:
                assert request is not None
                assert not isinstance(request, SystemCall), "there is no microkernel to call"
                yield from self._pass_device_time(self.node.bus.access_cycles(request.address))
                processor.advance(access_device(self.node.bus, request))
        self.ended = int(self.environment.now)

    def _take_interrupt(self) -> bool:
        now = int(self.environment.now)
        if self.decrementer.expired(now):
            self.decrementer.rearm(now)
            self.timer_interrupts += 1
            self.processor.push(self.guest.timer_interrupt())
            return True
        if self.node.bic.pending(self.core):
            self.external_interrupts += 1
            self.processor.push(self.guest.external_interrupt())
            return True
        return False

    def _walk(self) -> Generator[simpy.Event, Any, None]:
        processor = self.processor
        masked = processor.in_interrupt
        deadline = min(FOREVER if masked else self.decrementer.deadline, self.stop_cycles)
        exposed = not masked and processor.may_be_interrupted(deadline)
        if exposed:
            processor.save()
        reason = processor.walk(deadline)
        begin = now = int(self.environment.now)
        end = processor.walked_to
        if exposed and processor.may_be_interrupted(end):
            self.events += 1
            self._wake = self.environment.event()
            yield self._wake | self.environment.timeout(end - now)
            now = int(self.environment.now)
            if now < end:
                processor.take_back()
                reason = processor.walk(now, begin)
                end = processor.walked_to
        if end > now:
            yield from self._pass(end - now)
        if reason == layout.STOP_END:
            processor.advance()

    def _poll(self, request: Poll) -> Generator[simpy.Event, Any, None]:
        """Poll until something is found, passing the rounds in which nothing can be in one go.

        Read number ``n`` (from 1) ends after ``n`` register accesses and the pauses between the rounds
        before it; it reads what the device holds then. Between two changes of the devices all reads give
        the same, so after each full round that found nothing the next change is waited for.
        """
        processor, activity = self.processor, self.node.activity
        if not processor.in_interrupt or self.stop_cycles < FOREVER:
            processor.advance()  # what interrupts the polling has to find it at the right read
            return
        begin, size = int(self.environment.now), len(request.reads)
        accesses = [0]
        for access, _ in request.reads:
            price = (
                self.node.bus.access_cycles(access.address) if isinstance(access, Load) else self.dcr_cycles
            )
            accesses.append(accesses[-1] + price)

        def device_cycles(read: int) -> int:
            rounds, rest = divmod(read, size)
            return rounds * accesses[size] + accesses[rest]

        def end_of(read: int) -> int:
            return begin + device_cycles(read) + processor.pause_ends(request.pause, (read - 1) // size)

        read = fruitless = 0
        changes = activity.count
        while True:
            if fruitless >= size:
                yield activity.next()
                skipped = (int(self.environment.now) - begin) // (end_of(size + 1) - begin)
                read = max(read, size * (skipped - 1))
                while end_of(read + 1) < self.environment.now:
                    read += 1
            read += 1
            yield from self._pass(end_of(read) - int(self.environment.now))
            if changes != activity.count:
                changes, fruitless = activity.count, 0
            access, wanted = request.reads[(read - 1) % size]
            if isinstance(access, Load):
                value = self.node.bus.load(access.address)
            else:
                value = self.node.dcr.read(access.number)
            if wanted(value):
                break
            fruitless += 1
        self.device_cycles += device_cycles(read)
        self.device_accesses += read
        processor.pause(request.pause, (read - 1) // size)
        processor.advance(((read - 1) % size, value))

    def _wait(self) -> Generator[simpy.Event, Any, None]:
        begin = self._idle_since = int(self.environment.now)
        self._wake = self.environment.event()
        if self.decrementer.deadline < NEVER:
            yield self._wake | self.environment.timeout(self.decrementer.deadline - begin)
        else:
            yield self._wake
        self.events += 1
        self.idle_cycles += int(self.environment.now) - begin
        self._idle_since = None

    def _pass(self, cycles: int) -> Generator[simpy.Event, Any, None]:
        self.events += 1
        yield self.environment.timeout(cycles)

    def _pass_device_time(self, cycles: int) -> Generator[simpy.Event, Any, None]:
        self.device_cycles += cycles
        self.device_accesses += 1
        yield from self._pass(cycles)

    # -- results ----------------------------------------------------------------------------------

    def busy_cycles(self) -> int:
        """Cycles since the start in which the core was not idle, up to now."""
        now = int(self.environment.now)
        idle = self.idle_cycles + (0 if self._idle_since is None else now - self._idle_since)
        return now - self.started - idle

    def finished(self) -> bool:
        """Whether the guest's program has ended."""
        return self.processor.finished

    def exits(self) -> list[ExitCause]:
        """No exits: the guest has the core to itself."""
        return []

    def attribution(self) -> dict[str, int]:
        """Cause to cycles once the run is over; the values add up to the elapsed cycles."""
        cycles = self.running_attribution()
        elapsed = self.ended - self.started
        assert sum(cycles.values()) == elapsed, (sum(cycles.values()) - elapsed, cycles)
        return cycles

    def running_attribution(self) -> dict[str, int]:
        """Cause to cycles so far; what the core is in the middle of is not in it yet."""
        cycles = self.accounting.cycles(self.processor.state)
        cycles["device"] = self.device_cycles
        cycles["idle"] = self.idle_cycles
        return cycles

    def counters(self) -> dict[str, int]:
        """Event counts by name."""
        count = self.processor.state.count
        misses = int(count[layout.COUNT_GUEST_MISS_D] + count[layout.COUNT_GUEST_MISS_I])
        return {
            "instructions": int(
                count[layout.COUNT_INSTRUCTIONS_USER] + count[layout.COUNT_INSTRUCTIONS_KERNEL]
            ),
            "tlb_misses": misses,
            "vtlb_misses": 0,
            "guest_refills": int(count[layout.COUNT_GUEST_MISS_D] + count[layout.COUNT_GUEST_MISS_I]),
            "references": int(count[layout.COUNT_REFERENCES]),
            "timer_interrupts": self.timer_interrupts,
            "external_interrupts": self.external_interrupts,
            "device_accesses": self.device_accesses,
            "events": self.events,
            "walks": self.processor.walks,
        }
