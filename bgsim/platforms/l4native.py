"""L4 native: a program directly on the microkernel, with its own pager and its own drivers, and no VMM.

The kernel is the one that runs virtual machines, as measured. What differs is what it runs: a thread in an
address space of its own instead of a guest in a virtual one. See :mod:`bgsim.l4.native`.
"""

from __future__ import annotations

import simpy

from bgsim.datasheet import Datasheet
from bgsim.l4.address_space import AddressSpace
from bgsim.l4.kernel import Kernel
from bgsim.l4.native import PAGE_FAULT, Driver, NativeThread, Pager
from bgsim.observer import built
from bgsim.platforms import layout
from bgsim.platforms.baremetal import NodeHardware
from bgsim.platforms.prices import program_tables
from bgsim.platforms.processor import Processor
from bgsim.platforms.seam import ExitCause, Guest

MIB = 1 << 20

_COUNTERS = {
    "PPC_HVM_EXCEPT_DECREMENTER": "PPC_EXCEPT_DECR",
    "PPC_HVM_EXCEPT_EXTERNAL": "PPC_EXCEPT_EXTINT",
}
"""The kernel's counters of exceptions that find a guest, and a program."""


class GuestError(ValueError):
    """A guest with a kernel of its own cannot run in user mode without a VMM."""


class L4Native:
    """One program in an address space of the microkernel on core 0 of a node.

    Parameters
    ----------
    guest
        The program; it has no privileged instructions, no timer and no TLB handler.
    node
        The node's devices, which the program's drivers work themselves.

    Attributes
    ----------
    process
        The core's SimPy process; ends when the program has ended.

    Raises
    ------
    GuestError
        If the guest is an operating system.
    """

    name = "l4-native"

    def __init__(
        self, environment: simpy.Environment, datasheet: Datasheet, guest: Guest, node: NodeHardware
    ) -> None:
        if guest.sequences or guest.timer_period_cycles:
            raise GuestError(
                "l4-native runs programs of the microkernel, such as l4-app: this guest is an operating "
                "system, whose privileged instructions need bare-metal or a virtual-machine"
            )
        self.environment = environment
        self.datasheet = datasheet
        self.guest = guest
        entries = datasheet.integer("tlb.entries") - datasheet.integer("l4.tlb.pinned_entries")
        tables = program_tables(datasheet)
        self.processor = Processor(environment, guest, tables, 0, 1, entries)
        self.kernel = Kernel(environment, datasheet, node.bus, node.bic, node.dcr, node.decrementers[0])
        self.space = AddressSpace(datasheet, self.processor, node)
        self.pager = Pager(datasheet, max(1, datasheet.integer("l4_app.page") // MIB))
        self.thread = NativeThread("program", self.space, guest, self.pager)
        self.kernel.add(self.thread)
        self.kernel.interrupt_handler = Driver(self.thread)
        core = self.kernel.core
        node.bic.on_change = lambda changed: self.interrupt_line() if changed == core else None
        self.process = self.kernel.start()
        built(self)

    def interrupt_line(self) -> None:
        """The interrupt controller's output to this core changed."""
        self.kernel.interrupt_line()

    def busy_cycles(self) -> int:
        """Cycles since the start in which the core was not idle, up to now."""
        return self.kernel.busy_cycles()

    def finished(self) -> bool:
        """Whether the program has ended."""
        return self.processor.finished

    def exits(self) -> list[ExitCause]:
        """Exit causes in decreasing order of cycles, by the kernel's counters for programs."""
        rows = [
            ExitCause(_COUNTERS.get(cause, cause), cost.count, cost.cycles_l4, cost.cycles_vmm)
            for cause, cost in self.thread.account.causes.items()
        ]
        return sorted(rows, key=lambda row: (-row.cycles_l4 - row.cycles_vmm, row.cause))

    def attribution(self) -> dict[str, int]:
        """Cause to cycles once the run is over; the values add up to the elapsed cycles."""
        cycles = self.running_attribution()
        elapsed = self.kernel.ended - self.kernel.started
        assert sum(cycles.values()) == elapsed, (sum(cycles.values()) - elapsed, cycles)
        return cycles

    def running_attribution(self) -> dict[str, int]:
        """Cause to cycles so far; what the core is in the middle of is not in it yet."""
        cycle = self.processor.state.cycle
        return {
            "guest_user": int(cycle[layout.CAUSE_USER]),
            "icache_refill_l4": int(cycle[layout.CAUSE_ICACHE_KERNEL]),
            **{row.cause: row.cycles_l4 for row in self.exits()},
            "device": self.thread.account.device_cycles,
            "idle": self.thread.account.idle_cycles,
        }

    def counters(self) -> dict[str, int]:
        """Event counts by name."""
        exits = self.exits()
        count = {row.cause: row.count for row in exits}
        state = self.processor.state
        return {
            "instructions": int(state.count[layout.COUNT_INSTRUCTIONS_USER]),
            "tlb_misses": count.get("PPC_DTLB_MISS", 0) + count.get("PPC_ITLB_MISS", 0),
            "vtlb_misses": 0,
            "hardware_inserts": int(state.count[layout.COUNT_INSERT]),
            "guest_refills": 0,
            "references": int(state.count[layout.COUNT_REFERENCES]),
            "exits_total": sum(count.values()),
            "exits_ipc": count.get(PAGE_FAULT, 0),
            "cycles_l4": sum(row.cycles_l4 for row in exits) + int(state.cycle[layout.CAUSE_ICACHE_KERNEL]),
            "cycles_vmm": 0,
            "timer_interrupts": 0,
            "external_interrupts": self.thread.external_interrupts,
            "page_faults": self.pager.faults,
            "device_accesses": self.thread.account.device_accesses,
            "events": self.kernel.events,
            "walks": self.processor.walks,
        }
