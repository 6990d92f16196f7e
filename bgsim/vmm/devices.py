"""The devices of a virtual machine, by address.

Every access of the guest ends here; nothing is passed through. Each device model answers from its
own state, or makes the real access after checking and translating it.

Source: khvmm ``vbic.cc``, ``vtorus.cc``, ``vtree.cc``.
"""

from __future__ import annotations

from bgsim.hardware import bic as bic_registers
from bgsim.hardware.bic import Bic, GroupRegister
from bgsim.hardware.dcr import DcrBus
from bgsim.platforms.seam import DcrAccess, DeviceAccess, Load, LoadQuad, ReadDcr, Store, StoreQuad
from bgsim.vmm.server import Handled


class UnknownDeviceError(LookupError):
    """A guest touched an address at which its virtual machine has no device."""


class VirtualBic:
    """The interrupt controller, a pure shadow.

    Clearing a status bit of a device whose interrupts the VMM leaves masked acknowledges it in
    hardware.
    """

    def __init__(self) -> None:
        self.state = Bic()

    def access(self, access: DeviceAccess) -> Handled:
        """Load or store of a controller register."""
        offset = access.address - bic_registers.BASE
        if isinstance(access, Load):
            value = self.state.load(offset)
            hierarchy = offset >= bic_registers.HierarchyRegister.NON_CRITICAL
            return Handled(value, "mmio_load_bic_hier" if hierarchy else "mmio_load_bic_status")
        if isinstance(access, Store):
            self.state.store(offset, access.value)
            group, register = divmod(offset, bic_registers.GROUP_SIZE)
            if register == GroupRegister.STATUS_CLEAR:
                numbers = tuple(
                    group * 32 + bit for bit in range(32) if access.value & bic_registers.interrupt_bit(bit)
                )
                return Handled(path="mmio_store_bic_statusclr", acknowledged=numbers)
            return Handled(path="mmio_store_bic_target")
        raise UnknownDeviceError("the interrupt controller takes no quad accesses")


class Devices:
    """Device models of one virtual machine with an interrupt controller and control registers only."""

    def __init__(self, dcr: DcrBus) -> None:
        self.bic = VirtualBic()
        self.dcr = dcr

    def access(self, access: DeviceAccess) -> Handled:
        """A guest's load or store."""
        if bic_registers.BASE <= access.address < bic_registers.BASE + bic_registers.SIZE:
            return self.bic.access(access)
        kind = "quad" if isinstance(access, LoadQuad | StoreQuad) else "word"
        raise UnknownDeviceError(f"no virtual device answers a {kind} access at {access.address:#x}")

    def control(self, access: DcrAccess) -> Handled:
        """A device control register access, passed to the hardware."""
        if isinstance(access, ReadDcr):
            return Handled(self.dcr.read(access.number), "fwd_dcr", dcr_accesses=1)
        self.dcr.write(access.number, access.value)
        return Handled(path="fwd_dcr", dcr_accesses=1)

    def interrupt(self, number: int) -> Handled:
        """A hardware interrupt: its virtual status is set, and it stays masked until cleared there."""
        self.bic.state.raise_interrupt(number)
        return Handled()

    def pending(self) -> bool:
        """Level of the external interrupt of the virtual machine's only core."""
        return self.bic.state.pending(0)
