"""Which virtual machine's address space a core has entered, and what entering another one takes.

All guests live in one translation space of the hardware TLB, and the tags of its entries do not say whose
they are. So when the microkernel resumes a vCPU of another virtual machine than the last one, it scans the
TLB and drops every entry of that space. Pages of the VMM stay, and so do its instruction lines and the
kernel's. The guest's own lines are gone from the caches by the time it runs again.

Going to the VMM and back to the same guest is not such a switch and drops nothing.

Left out: which of the guest's cache lines another one really pushed out; how many it has to fetch again is an
estimate.

Source: L4Ka::Pistachio ``glue/v4-powerpc/resources.cc`` (load, February 2011); the scan's cost from the
executed path of a guest's ``mtspr PID``, which runs the same scan.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from bgsim.datasheet import Datasheet
from bgsim.hardware.core import at_setting
from bgsim.l4.account import Account
from bgsim.l4.paths import Paths

if TYPE_CHECKING:
    from bgsim.l4.vcpu import Vcpu

VM_SWITCH = "vm_switch"
"""Cause of entering another virtual machine's space: switching threads, and the scan of the TLB."""


class Residency:
    """The virtual machines of one core, and which of them has it.

    Attributes
    ----------
    guest
        The vCPU whose space was entered last; None on a core without virtual machines.
    account
        Whose account is charged now.
    switches
        How often another space was entered.
    entries_flushed
        Hardware TLB entries dropped by that.
    """

    def __init__(self, datasheet: Datasheet, paths: Paths, started: int) -> None:
        self._datasheet = datasheet
        self._paths = paths
        self.guest: Vcpu | None = None
        self.account = Account()
        self.switches = 0
        self.entries_flushed = 0
        self._entered_at = started
        self._prices: tuple[list[int], int] | None = None

    def add(self, vcpu: Vcpu) -> None:
        """A virtual machine of this core; the first one has it from the start."""
        if self.guest is None:
            self.guest = vcpu
            vcpu.account = self.account

    def enter(self, vcpu: Vcpu, now: int) -> tuple[int, int]:
        """Enter the space of another virtual machine.

        Returns
        -------
        tuple of int
            Cycles of the kernel, and of cache lines the guest fetches again.
        """
        before = self.guest
        assert before is not None
        assert before is not vcpu
        valid, dropped = before.processor.hand_core_over(vcpu.processor)
        self.account.held_cycles += now - self._entered_at
        self._entered_at = now
        self.guest, self.account = vcpu, vcpu.account
        self.account.entered += 1
        self.switches += 1
        self.entries_flushed += dropped
        if self._prices is None:
            self._prices = self._switch_prices(vcpu)
        by_valid, refill = self._prices
        self.account.refill_cycles += refill
        return by_valid[valid], refill

    def held_cycles(self, vcpu: Vcpu, now: int) -> int:
        """Cycles a virtual machine has had the core, up to now."""
        return vcpu.account.held_cycles + (now - self._entered_at if vcpu is self.guest else 0)

    def _switch_prices(self, vcpu: Vcpu) -> tuple[list[int], int]:
        """Kernel cycles of a switch by number of valid hardware entries, and those of lost cache lines."""
        sheet = self._datasheet
        entries = vcpu.processor.hardware_entries
        load = round(sheet.integer("l4.vm_switch.instructions") * self._paths.cpi("irq.vmm_block_redispatch"))
        by_valid = [load + scan for scan in self._paths.space_flush_by_valid(entries)]
        instruction_line = at_setting(sheet, "core.icache_line_cycles")
        data_line = Fraction(sheet.quantity("core.dcache_line_cycles").value)
        refill = sheet.integer("l4.icache.switch_lines") * instruction_line
        refill += sheet.integer("l4.vm_switch.dcache_lines") * data_line
        return by_valid, round(refill)
