"""A virtual machine: the same guest on a vCPU of the microkernel, with the user-level VMM beside it."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import simpy

from bgsim.datasheet import Datasheet
from bgsim.l4.kernel import Kernel
from bgsim.l4.server_core import ServerCore
from bgsim.l4.thread import VCPU_PRIORITY
from bgsim.l4.vcpu import Vcpu
from bgsim.platforms import layout
from bgsim.platforms.accounting import Accounting
from bgsim.platforms.baremetal import NodeHardware
from bgsim.platforms.prices import virtual_tables
from bgsim.platforms.processor import Processor
from bgsim.platforms.seam import ExitCause, Guest
from bgsim.vmm.devices import Devices
from bgsim.vmm.server import Server, VirtualDevices

if TYPE_CHECKING:
    from collections.abc import Callable

    from bgsim.hardware.memory import MemoryWindow

FORWARDED = ("PPC_HVM_DTLB_MISS_DEVICE", "PPC_HVM_DTLB_MISS_RAM", "PPC_HVM_EXCEPT_PROG_DCR")
"""Causes that reach the user-level VMM: each is one IPC."""


class HostedMachine:
    """One guest in one virtual machine, perhaps beside others on its core and its node.

    Parameters
    ----------
    kernel, server
        Microkernel and VMM thread of the core it runs on.
    memory
        Its memory within the node's.
    number
        Which virtual machine of the node it is.

    Attributes
    ----------
    process
        Ends, or happens, when the guest's program has ended.
    """

    process: simpy.Event
    name = "virtual-machine"

    def __init__(
        self,
        environment: simpy.Environment,
        datasheet: Datasheet,
        guest: Guest,
        kernel: Kernel,
        server: Server,
        memory: MemoryWindow,
        number: int = 0,
        priority: int = VCPU_PRIORITY,
    ) -> None:
        self.environment = environment
        self.datasheet = datasheet
        self.guest = guest
        self.kernel = kernel
        self.server = server
        hardware_entries = datasheet.integer("tlb.entries") - datasheet.integer("l4.tlb.pinned_entries")
        tables = virtual_tables(
            datasheet,
            guest.sequences,
            Fraction(guest.irq_pairs_milli, 1000),
            Fraction(guest.lines_per_iccci_milli, 1000),
            hardware_entries,
        )
        self.processor = Processor(
            environment,
            guest,
            tables,
            memory.size,
            datasheet.integer("l4.vtlb.entries"),
            hardware_entries,
        )
        self.accounting = Accounting(datasheet, guest.sequences, virtual=True)
        self.vcpu = self._new_vcpu(f"vcpu{number}", priority)
        self.vcpu.memory = memory
        kernel.add(self.vcpu)

    def _new_vcpu(self, name: str, priority: int) -> Vcpu:
        return Vcpu(name, self.processor, self.guest, self.server, self.kernel.core, priority)

    def busy_cycles(self) -> int:
        """Cycles since the start in which the core was not idle, up to now."""
        return self.kernel.busy_cycles()

    def finished(self) -> bool:
        """Whether the guest's program has ended."""
        return self.processor.finished

    def exits(self) -> list[ExitCause]:
        """Exit causes in decreasing order of cycles."""
        cycles = self.accounting.cycles(self.processor.state)
        rows = [
            ExitCause(cause, count, cycles.get(cause, 0), 0)
            for cause, count in self.accounting.counts(self.processor.state).items()
            if count
        ]
        rows += [
            ExitCause(cause, cost.count, cost.cycles_l4, cost.cycles_vmm)
            for cause, cost in self.vcpu.account.causes.items()
        ]
        return sorted(rows, key=lambda row: (-row.cycles_l4 - row.cycles_vmm, row.cause))

    def attribution(self) -> dict[str, int]:
        """Cause to cycles once the run is over; the values add up to the elapsed cycles."""
        cycles = self.running_attribution()
        elapsed = self._elapsed()
        assert sum(cycles.values()) == elapsed, (sum(cycles.values()) - elapsed, cycles)
        return cycles

    def running_attribution(self) -> dict[str, int]:
        """Cause to cycles so far; what the core is in the middle of is not in it yet."""
        cycles = self.accounting.cycles(self.processor.state)
        cycles["ipc"] = 0
        cycles["vmm"] = 0
        for cause, cost in self.vcpu.account.causes.items():
            cycles["vmm"] += cost.cycles_vmm
            if cause in FORWARDED:
                cycles["ipc"] += cost.cycles_l4
            else:
                cycles[cause] = cycles.get(cause, 0) + cost.cycles_l4
        account = self.vcpu.account
        cycles["device"] = account.device_cycles
        cycles["idle"] = account.idle_cycles
        if len(self.kernel.vcpus) > 1:
            cycles["vm_switch_refill"] = account.refill_cycles
            cycles["other_vms"] = self._elapsed() - self.held_cycles()
        return cycles

    def held_cycles(self) -> int:
        """Cycles so far in which this virtual machine had the core."""
        return self.kernel.residency.held_cycles(self.vcpu, self.kernel.started + self._elapsed())

    def _elapsed(self) -> int:
        """Cycles of the core so far."""
        kernel = self.kernel
        running = kernel.process is None or kernel.process.is_alive
        return (int(self.environment.now) if running else kernel.ended) - kernel.started

    def counters(self) -> dict[str, int]:
        """Event counts by name."""
        count = self.processor.state.count
        exits = self.exits()
        return {
            "instructions": int(
                count[layout.COUNT_INSTRUCTIONS_USER] + count[layout.COUNT_INSTRUCTIONS_KERNEL]
            ),
            "tlb_misses": int(
                count[layout.COUNT_HARDWARE_MISS_D]
                + count[layout.COUNT_HARDWARE_MISS_I]
                + count[layout.COUNT_TABLE_WALK]
                - count[layout.COUNT_SHADOW_FILL]
            ),
            "vtlb_misses": int(count[layout.COUNT_GUEST_MISS_D] + count[layout.COUNT_GUEST_MISS_I]),
            "hardware_inserts": int(count[layout.COUNT_INSERT]),
            "iccci": int(count[layout.COUNT_INSERT_EXECUTABLE] + count[layout.COUNT_ICACHE_SWITCH]),
            "kernel_fragment_inserts": int(count[layout.COUNT_INSERT_KERNEL]),
            "kernel_lines_refetched": int(count[layout.COUNT_LINES_KERNEL]),
            "guest_refills": int(count[layout.COUNT_GUEST_MISS_D] + count[layout.COUNT_GUEST_MISS_I]),
            "references": int(count[layout.COUNT_REFERENCES]),
            "exits_total": sum(row.count for row in exits if row.cause.startswith("PPC_HVM")),
            "exits_ipc": sum(row.count for row in exits if row.cause in FORWARDED),
            "cycles_l4": sum(row.cycles_l4 for row in exits) + self._kernel_refills(),
            "cycles_vmm": sum(row.cycles_vmm for row in exits),
            "timer_interrupts": self.vcpu.timer_interrupts,
            "external_interrupts": self.vcpu.external_interrupts,
            "vmm_messages": self.server.messages,
            **({"vmm_core_cycles": own.busy_cycles} if (own := self.kernel.server_core) else {}),
            "device_accesses": self.vcpu.account.device_accesses,
            "events": self.kernel.events,
            "walks": self.processor.walks,
            **self._shared_core(),
        }

    def _shared_core(self) -> dict[str, int]:
        """Counts of what other virtual machines bring with them."""
        counts: dict[str, int] = {}
        kernel = self.kernel
        if len(kernel.vcpus) > 1:
            counts["vm_switches"] = kernel.residency.switches
            counts["vm_entries"] = self.vcpu.account.entered
            counts["entries_flushed"] = kernel.residency.entries_flushed
        if kernel.remote is not None:
            counts["remote_interrupts"] = sum(kernel.remote.interrupts.values())
        return counts

    def _kernel_refills(self) -> int:
        cycle = self.processor.state.cycle
        return int(cycle[layout.CAUSE_ICACHE_KERNEL] + cycle[layout.CAUSE_DCACHE_KERNEL])


class VirtualMachine(HostedMachine):
    """One guest in the only virtual machine of a node, on core 0.

    Parameters
    ----------
    devices
        Builds the virtual machine's device models from the node; by default an interrupt
        controller and device control registers.

    Attributes
    ----------
    process
        The core's SimPy process; ends when the guest's program has ended.
    """

    def __init__(
        self,
        environment: simpy.Environment,
        datasheet: Datasheet,
        guest: Guest,
        node: NodeHardware,
        memory_bytes: int | None = None,
        devices: Callable[[NodeHardware], VirtualDevices] | None = None,
    ) -> None:
        size = datasheet.integer("vmm.vm_memory") if memory_bytes is None else memory_bytes
        memory = node.memory.window(datasheet.integer("vmm.vm_base"), size)
        kernel = Kernel(environment, datasheet, node.bus, node.bic, node.dcr, node.decrementers[0])
        super().__init__(environment, datasheet, guest, kernel, Server(datasheet), memory)
        self.server.devices[self.vcpu] = devices(node) if devices else Devices(datasheet, node, memory)
        kernel.interrupt_handler = self.server
        if datasheet.flag("vmm.own_core"):
            kernel.server_core = ServerCore(kernel, self.server)
        node.bic.on_change = lambda changed: kernel.interrupt_line() if changed == kernel.core else None
        self.process = kernel.start()
