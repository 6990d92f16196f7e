"""Hybrid: a virtual machine with a native library beside it, to which a program may move its communication.

Which devices the library works once a program has moved is chosen device by device (``hybrid.torus``,
``hybrid.collective``, ``hybrid.barrier``); the others, and everything that needs the guest's kernel, stay
with the virtual machine. A program that never asks to move runs as in any virtual machine. See
:mod:`bgsim.l4.hybrid`.
"""

from __future__ import annotations

import simpy

from bgsim.datasheet import Datasheet
from bgsim.hardware import collective_device, dma_registers
from bgsim.hardware.collective_device import ReceptionFlag
from bgsim.hardware.memory import MemoryWindow
from bgsim.l4.address_space import AddressSpace
from bgsim.l4.hybrid import HybridVcpu
from bgsim.l4.vcpu import CROSSING, Crossing, Vcpu
from bgsim.platforms.baremetal import NodeHardware
from bgsim.platforms.seam import MOVABLE, DeviceAccess, Guest
from bgsim.platforms.virtualmachine import VirtualMachine
from bgsim.vmm.devices import Devices
from bgsim.vmm.server import Handled

_REGISTER_PAGES = {"torus": dma_registers.GROUPS, "collective": 1, "barrier": 0}
"""Pages of registers the library gets mapped; the barrier network has control registers only."""


class HybridDevices(Devices):
    """The device models of a virtual machine whose program may leave it.

    Attributes
    ----------
    mappings
        Mappings made for the library when the program moved.
    """

    def __init__(self, datasheet: Datasheet, node: NodeHardware, memory: MemoryWindow) -> None:
        super().__init__(datasheet, node, memory)
        self.mappings = 0
        self._datasheet = datasheet
        self._memory_bytes = memory.size

    def access(self, access: DeviceAccess | Crossing) -> Handled:
        """A guest's load or store, or its program's way to the library and back."""
        if not isinstance(access, Crossing):
            return super().access(access)
        if not access.first:
            return Handled(path="fwd_dcr")
        sheet = self._datasheet
        moved = tuple(name for name in MOVABLE if sheet.text(f"hybrid.{name}") == "native")
        self.mappings = -(-self._memory_bytes // sheet.integer("l4.map_size"))
        self.mappings += sum(_REGISTER_PAGES[name] for name in moved)
        work = self.mappings * sheet.integer("l4.map_fpage_instructions")
        work += sheet.integer("hybrid.move_instructions")
        if "collective" not in moved or self.collective is None:
            return Handled(moved, "fwd_dcr", work)
        # The first channel is the library's, which polls it; the VMM drains the other one only.
        enable = collective_device.DCR_BASE + collective_device.Dcr.RECEPTION_ENABLE
        self.dcr.write(enable, ReceptionFlag.WATERMARK >> 1)
        return Handled(moved, "fwd_dcr", work, dcr_accesses=1)


class Hybrid(VirtualMachine):
    """One guest in one virtual machine on core 0 of a node, and a native library beside it."""

    name = "hybrid"

    def __init__(
        self,
        environment: simpy.Environment,
        datasheet: Datasheet,
        guest: Guest,
        node: NodeHardware,
        memory_bytes: int | None = None,
    ) -> None:
        self._node = node

        def devices(node: NodeHardware) -> HybridDevices:
            assert self.vcpu.memory is not None
            return HybridDevices(datasheet, node, self.vcpu.memory)

        super().__init__(environment, datasheet, guest, node, memory_bytes, devices)

    def _new_vcpu(self, name: str, priority: int) -> Vcpu:
        space = AddressSpace(self.datasheet, self.processor, self._node)
        return HybridVcpu(name, self.processor, self.guest, self.server, space)

    def counters(self) -> dict[str, int]:
        """Event counts by name; exits include those of the library, and crossings are messages to the VMM."""
        counters = super().counters()
        causes = self.vcpu.account.causes
        native = {name: cost.count for name, cost in causes.items() if not name.startswith("PPC_HVM")}
        own = ("PPC_DTLB_MISS", "PPC_ITLB_MISS", "PPC_EXCEPT_PROG", CROSSING)
        crossings = native.get(CROSSING, 0)
        misses = native.get("PPC_DTLB_MISS", 0) + native.get("PPC_ITLB_MISS", 0)
        return counters | {
            "exits_total": counters["exits_total"] + sum(native.get(name, 0) for name in own),
            "exits_ipc": counters["exits_ipc"] + crossings,
            "tlb_misses": counters["tlb_misses"] + misses,
            "crossings": crossings,
        }
