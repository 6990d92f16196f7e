"""Several virtual machines on the cores of one node.

Each has one vCPU, which stays on its core. The VMM splits its memory between them, in whole mappings and one
behind the other, and gives each a device model of everything. With the microkernel built for one core, as it
was measured, all of them share core 0; built for four, every core has its own kernel with its own scheduler,
and its own thread of the VMM, and device interrupts come to core 0.

Left out: virtual machines of several vCPUs (the guests are uniprocessors), moving a vCPU to another core, the
locks of a kernel built for several cores, and what cores take from each other in L3 and memory.

Source: khvmm ``vm.cc``, ``vmthread.cc``, ``config.h`` (memory split, a thread per processor, vCPU placement).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import simpy

from bgsim.datasheet import Datasheet
from bgsim.l4.kernel import Kernel
from bgsim.l4.remote import RemoteIpc
from bgsim.l4.thread import VCPU_PRIORITY
from bgsim.l4.vcpu import Vcpu
from bgsim.platforms.baremetal import NodeHardware
from bgsim.platforms.seam import Guest
from bgsim.platforms.virtualmachine import HostedMachine
from bgsim.vmm.devices import Devices
from bgsim.vmm.server import Server, VirtualDevices

INTERRUPT_CORE = 0
"""The core that device interrupts come to."""


class VirtualNodeError(ValueError):
    """Virtual machines that cannot be on one node together."""


@dataclass(frozen=True)
class VmSettings:
    """One virtual machine.

    Attributes
    ----------
    core
        Where its vCPU runs.
    memory_bytes
        Its memory; an equal share of the VMM's when None.
    priority
        Of its vCPU; all have the same in the real VMM.
    destinations
        Nodes it may send to over the torus; all when None.
    """

    guest: Guest
    core: int = 0
    memory_bytes: int | None = None
    priority: int = VCPU_PRIORITY
    destinations: frozenset[int] | None = None


class VirtualNode:
    """Microkernel, VMM and virtual machines of one node.

    Parameters
    ----------
    node
        The node's devices.
    settings
        The virtual machines, the first one first: it is the one the torus's interrupts reach.

    Attributes
    ----------
    machines
        The virtual machines, each a platform of its own, whose ``process`` is an event.
    kernels
        The microkernel by core: of every core with a virtual machine, and of core 0.
    remote
        IPC between cores; None with a kernel built for one.
    process
        Ends when the programs of all guests have ended.

    Raises
    ------
    VirtualNodeError
        Where a core, the memory or a cure does not allow it.
    """

    def __init__(
        self,
        environment: simpy.Environment,
        datasheet: Datasheet,
        node: NodeHardware,
        settings: Sequence[VmSettings],
    ) -> None:
        check_placement(datasheet, [each.core for each in settings])
        segments = split_memory(datasheet, [each.memory_bytes for each in settings])
        self.kernels = {
            core: Kernel(environment, datasheet, node.bus, node.bic, node.dcr, node.decrementers[core], core)
            for core in sorted({INTERRUPT_CORE, *(each.core for each in settings)})
        }
        keeper = self.kernels[INTERRUPT_CORE]
        devices: dict[Vcpu, VirtualDevices] = {}
        servers = {core: Server(datasheet, devices, keeper, own) for core, own in self.kernels.items()}
        for core, kernel in self.kernels.items():
            kernel.interrupt_handler = servers[core]
        machines = []
        first: Devices | None = None
        for number, (each, (base, size)) in enumerate(zip(settings, segments, strict=True)):
            memory = node.memory.window(base, size)
            kernel, server = self.kernels[each.core], servers[each.core]
            machine = HostedMachine(
                environment, datasheet, each.guest, kernel, server, memory, number, each.priority
            )
            models = Devices(datasheet, node, memory, each.destinations, first)
            first = first or models
            devices[machine.vcpu] = models
            machine.process = machine.vcpu.ended = environment.event()
            machines.append(machine)
        self.machines = tuple(machines)
        self.remote: RemoteIpc | None = None
        if datasheet.flag("l4.smp"):
            self.remote = RemoteIpc(self.kernels, node.bic, [machine.vcpu for machine in machines])
        node.bic.on_change = self._interrupt_line
        self.process = environment.all_of([kernel.start() for kernel in self.kernels.values()])

    def _interrupt_line(self, core: int) -> None:
        if core in self.kernels:
            self.kernels[core].interrupt_line()

    def devices_of(self, machine: HostedMachine) -> Devices:
        """Device models of one of the virtual machines."""
        models = machine.server.devices[machine.vcpu]
        assert isinstance(models, Devices)
        return models


def check_placement(datasheet: Datasheet, cores: Sequence[int]) -> None:
    """Check that virtual machines can be on these cores, together.

    Raises
    ------
    VirtualNodeError
        With what to change.
    """
    if not cores:
        raise VirtualNodeError("a node has at least one virtual machine")
    count = datasheet.integer("node.cores")
    for core in cores:
        if not 0 <= core < count:
            raise VirtualNodeError(f"there is no core {core}; they are 0 to {count - 1}")
        if core and not datasheet.flag("l4.smp"):
            raise VirtualNodeError(
                f"core {core} needs a microkernel built for four cores: set machine.set.l4.smp to true"
            )
    if len(cores) > 1:
        for flag, what in (
            ("vmm.pass_through", "devices can be mapped to one guest only"),
            ("vmm.own_core", "a VMM on a core of its own serves one guest only"),
        ):
            if datasheet.flag(flag):
                raise VirtualNodeError(f"{what} ({flag}), and there are {len(cores)} virtual machines")
    if any(cores) and datasheet.flag("l4.bic_in_kernel"):
        raise VirtualNodeError(
            "an interrupt controller in the kernel (l4.bic_in_kernel) raises on core 0 only"
        )


def split_memory(datasheet: Datasheet, sizes: Sequence[int | None]) -> list[tuple[int, int]]:
    """Base and size in bytes of each virtual machine's segment of the node's memory.

    Parameters
    ----------
    sizes
        Bytes wanted; None for an equal share of what the others leave. Shares are whole mappings of the VMM.

    Raises
    ------
    VirtualNodeError
        If a size is not a whole number of mappings, or together they are more than the VMM has.
    """
    unit, total = datasheet.integer("l4.map_size"), datasheet.integer("vmm.memory")
    mib = 1 << 20
    for size in sizes:
        if size is not None and (size < unit or size % unit):
            raise VirtualNodeError(
                f"memory of {size / mib:g} MiB is no multiple of {unit // mib} MiB mappings"
            )
    wanted = sum(size for size in sizes if size is not None)
    shared = sum(size is None for size in sizes)
    share = (total - wanted) // shared // unit * unit if shared else unit
    if wanted > total or share < unit:
        left = f", and {shared} more want a share" if shared else ""
        raise VirtualNodeError(
            f"the VMM has {total // mib} MiB; virtual machines want {wanted // mib} MiB{left}"
        )
    segments = []
    base = datasheet.integer("vmm.vm_base")
    for size in sizes:
        segments.append((base, share if size is None else size))
        base += segments[-1][1]
    return segments
