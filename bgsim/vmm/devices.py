"""The devices of a virtual machine, by address.

Every access of the guest ends here; nothing is passed through. Each device model answers from its
own state, or makes the real access after checking and translating it.

Source: khvmm ``vbic.cc``, ``vtorus.cc``, ``vtree.cc``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bgsim.datasheet import Datasheet
from bgsim.hardware import bic as bic_registers
from bgsim.hardware import collective_device, dma_registers
from bgsim.hardware.bic import Bic, GroupRegister
from bgsim.hardware.memory import MemoryWindow
from bgsim.platforms.seam import DcrAccess, DeviceAccess, Load, LoadQuad, ReadDcr, Store, StoreQuad
from bgsim.vmm.server import Handled
from bgsim.vmm.virtual_collective import VirtualCollective
from bgsim.vmm.virtual_torus import VirtualTorus

if TYPE_CHECKING:
    from bgsim.platforms.baremetal import NodeHardware


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
    """Device models of one virtual machine, and which of them answers an address.

    Parameters
    ----------
    node
        The node's devices.
    memory
        The virtual machine's memory within the node's.
    destinations
        Nodes it may send to over the torus; all when None.
    first
        Device models of the node's first virtual machine, where this is a further one.
    """

    def __init__(
        self,
        datasheet: Datasheet,
        node: NodeHardware,
        memory: MemoryWindow,
        destinations: frozenset[int] | None = None,
        first: Devices | None = None,
    ) -> None:
        self.bic = VirtualBic()
        self.dcr = node.dcr
        self.torus: VirtualTorus = VirtualTorus(
            datasheet,
            node.bus,
            node.dcr,
            node.bic,
            memory,
            node.memory,
            self.bic.state,
            destinations,
            first.torus if first is not None else None,
        )
        self.collective: VirtualCollective | None = None
        if node.bus.has_device(collective_device.BASES[0]):
            self.collective = VirtualCollective(
                datasheet,
                node.bus,
                node.dcr,
                node.bic,
                self.bic.state,
                first.collective if first is not None else None,
            )

    def access(self, access: DeviceAccess) -> Handled:
        """A guest's load or store."""
        address = access.address
        if bic_registers.BASE <= address < bic_registers.BASE + bic_registers.SIZE:
            handled = self.bic.access(access)
            if handled.acknowledged and self.collective is not None:
                # Its lines are levels; in hardware its interrupts were acknowledged long ago.
                self.collective.raise_interrupts()
                torus = tuple(
                    each for each in handled.acknowledged if not collective_device.is_collective(each)
                )
                handled = replace(handled, acknowledged=torus)
            return handled
        if dma_registers.BASE <= address < dma_registers.BASE + _DMA_SIZE:
            return self.torus.access(access)
        if self.collective is not None and address & ~(collective_device.SIZE - 1) in collective_device.BASES:
            return self.collective.access(access)
        kind = "quad" if isinstance(access, LoadQuad | StoreQuad) else "word"
        raise UnknownDeviceError(f"no virtual device answers a {kind} access at {address:#x}")

    def control(self, access: DcrAccess) -> Handled:
        """A device control register access; those of no device model go to the hardware."""
        number = access.number
        if dma_registers.DCR_BASE <= number < dma_registers.DCR_BASE + dma_registers.DCR_COUNT:
            return self.torus.control(access)
        first = collective_device.DCR_BASE
        if self.collective is not None and first <= number < first + collective_device.DCR_COUNT:
            return self.collective.control(access)
        if isinstance(access, ReadDcr):
            return Handled(self.dcr.read(number), "fwd_dcr", dcr_accesses=1)
        self.dcr.write(number, access.value)
        return Handled(path="fwd_dcr", dcr_accesses=1)

    def interrupt(self, number: int) -> Handled:
        """A hardware interrupt.

        Of the torus: its virtual status is set, and it stays masked until cleared there. Of the
        collective network: the device model drains the hardware, and it is acknowledged at once.
        """
        if self.collective is not None and collective_device.is_collective(number):
            return self.collective.interrupt(number)
        self.bic.state.raise_interrupt(number)
        return Handled()

    def pending(self) -> bool:
        """Level of the external interrupt of the virtual machine's only core."""
        return self.bic.state.pending(0)


_DMA_SIZE = dma_registers.GROUPS * dma_registers.GROUP_SIZE
