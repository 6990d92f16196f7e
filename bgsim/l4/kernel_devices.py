"""Device accesses of a guest that do not go to the VMM: what two cures take into the kernel or give away.

With *bic-in-kernel* the microkernel answers accesses to the virtual interrupt controller itself, and raises
and acknowledges the torus's interrupts. With *pass-through* the registers of interrupt controller and torus
are mapped to the one guest there is: an access takes what it takes on bare metal, and the kernel only raises
the external interrupt.

The device models of the VMM answer in both cases, for it is the same device; the translation of addresses
that the torus model still does stands for a guest whose memory lies at its own physical addresses. Left out:
the TLB entries of passed-through device pages; the collective network, whose device stays with the VMM.

The paths of the kernel are put together from executed ones: a TLB miss answered from the virtual TLB (its
search and look-up of the address), fetching, decoding and emulating an instruction, and what the VMM's
interrupt controller model takes beyond an access that does nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from bgsim.datasheet import Datasheet
from bgsim.hardware import bic, collective_device, dma_registers
from bgsim.l4.emulation import Emulation
from bgsim.l4.paths import DEVICE_INDEX, Paths

if TYPE_CHECKING:
    from bgsim.platforms.seam import DeviceAccess
    from bgsim.vmm.server import VirtualDevices

KERNEL_BIC = "PPC_HVM_DTLB_MISS_BIC"
"""Cause of accesses to the interrupt controller that the kernel answers."""

_TORUS_SIZE = dma_registers.GROUPS * dma_registers.GROUP_SIZE


class DevicesHost(Protocol):
    """The VMM's server, as far as the kernel looks at it: the device models of each vCPU."""

    def devices_of(self, vcpu: object) -> VirtualDevices:
        """The device models of a vCPU's virtual machine."""


class KernelDevices:
    """Which accesses and interrupts the VMM is not asked for, and what they cost."""

    def __init__(self, datasheet: Datasheet, paths: Paths) -> None:
        self.datasheet = datasheet
        self.paths = paths

    def passes_through(self, access: DeviceAccess) -> bool:
        """Whether the guest makes an access by itself."""
        address = access.address
        mapped = _of_bic(address) or dma_registers.BASE <= address < dma_registers.BASE + _TORUS_SIZE
        return mapped and self.datasheet.flag("vmm.pass_through")

    def answers(self, access: DeviceAccess) -> bool:
        """Whether the kernel answers an access."""
        return _of_bic(access.address) and self.datasheet.flag("l4.bic_in_kernel")

    def raises(self, number: int) -> bool:
        """Whether the kernel raises a hardware interrupt in the guest without the VMM."""
        if collective_device.Interrupt.FIRST <= number <= collective_device.Interrupt.LAST:
            return False
        return self.datasheet.flag("l4.bic_in_kernel") or self.datasheet.flag("vmm.pass_through")

    def prompt(self) -> bool:
        """Whether a pending interrupt is raised as soon as the guest takes interrupts.

        Mapped to the guest, the controller holds its line until then; in the kernel, the ``rfi`` and
        ``wrteei`` that switch interrupts on trap to where the controller is.
        """
        return self.datasheet.flag("l4.bic_in_kernel") or self.datasheet.flag("vmm.pass_through")

    def answer_cycles(self, path: str) -> int:
        """The kernel's cycles for an access that stands in the VMM's executed ``path``."""
        paths = self.paths
        visited = DEVICE_INDEX + 1
        miss = paths.insert_by_visited(False, False, visited)[visited]
        emulate = paths.cycles("mfspr_SPRG0") - Emulation(self.datasheet, paths).once_cycles()
        device = paths.cycles(f"{path}.vmm") - paths.cycles("fwd_dcr.vmm")
        return miss + emulate + max(0, device)

    def acknowledge_cycles(self) -> int:
        """The kernel's cycles for unmasking an interrupt that the guest has acknowledged."""
        instructions = self.datasheet.integer("l4.bic_acknowledge_instructions")
        return round(instructions * self.paths.cpi("irq.l4_to_vmm"))

    def raise_path(self) -> str:
        """Executed path that stands for raising a hardware interrupt in the guest.

        With the controller in the kernel: taking an interrupt, up to its message. With the controller mapped
        to the guest the kernel does not look at it, and the exit is no more than a reflected exception.
        """
        return "irq.l4_to_vmm" if self.datasheet.flag("l4.bic_in_kernel") else "sc_reflect"


def _of_bic(address: int) -> bool:
    return bic.BASE <= address < bic.BASE + bic.SIZE
