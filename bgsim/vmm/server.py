"""The VMM's server: one user-level thread that handles the faults of its vCPUs and their interrupts.

It waits for messages, decodes the faulting instruction, lets a device model do what the device
would have done, and replies with the guest's registers and the level of its virtual interrupt.

With a kernel for several cores there is one such thread on each, for the vCPUs there. Interrupts of devices
come to core 0, whose thread kicks those of the other cores. An interrupt of the collective network goes to
every virtual machine, one of the torus to the first only, as in the real server, or to all of them
(``vmm.torus_fan_out``).

A guest that touches memory beyond its segment, where no device is either, gets a machine check, as on the
bare machine. (The real server stops in the kernel debugger there, and with it all virtual machines.)

Left out: the instruction decoder's own failures, the console, ExchangeRegisters other than the
event write.

Source: khvmm ``vmthread.cc``, ``vcpu.cc`` and ``ptorus.cc``; path lengths executed, see ``bgsim datasheet
'l4.*'``.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Protocol

import simpy

from bgsim.datasheet import Datasheet
from bgsim.hardware.collective_device import is_collective
from bgsim.l4.thread import VMM_PRIORITY, Message, Thread, ThreadState
from bgsim.l4.vcpu import MIB, Vcpu, fault_path
from bgsim.platforms import layout
from bgsim.platforms.seam import DcrAccess, DeviceAccess, MachineCheckError, ReadDcr, WriteDcr

if TYPE_CHECKING:
    from bgsim.l4.kernel import Kernel
    from bgsim.l4.server_host import ServerHost


@dataclass(frozen=True)
class Handled:
    """What a device model did for one access or interrupt.

    Attributes
    ----------
    answer
        Value read.
    path
        Executed VMM path that stands for the access, without ``.vmm``.
    instructions
        Work of the device model beyond that path.
    device_accesses, dcr_accesses, collective_accesses
        Physical accesses the VMM made: to device registers, to control registers, and to the registers and
        FIFOs of the collective network.
    acknowledged
        Hardware interrupts to unmask.
    """

    answer: Any = None
    path: str = "mmio_load_bic_status"
    instructions: int = 0
    device_accesses: int = 0
    dcr_accesses: int = 0
    collective_accesses: int = 0
    acknowledged: tuple[int, ...] = field(default=())

    @property
    def accesses(self) -> tuple[int, int, int]:
        """Physical accesses by kind, as a core is charged for them."""
        return self.device_accesses, self.dcr_accesses, self.collective_accesses


class VirtualDevices(Protocol):
    """The device models of one virtual machine."""

    def access(self, access: DeviceAccess) -> Handled:
        """A guest's load or store."""

    def control(self, access: DcrAccess) -> Handled:
        """A guest's device control register access."""

    def interrupt(self, number: int) -> Handled:
        """A hardware interrupt the VMM handles."""

    def pending(self) -> bool:
        """Level of the virtual machine's external interrupt."""


MACHINE_CHECK = "PPC_HVM_EXCEPT_MCHECK"
"""Cause of machine checks raised in a guest."""


class Server(Thread):
    """The VMM's message loop on one core.

    Parameters
    ----------
    devices
        Device models of every virtual machine of the node, the first one first; shared by the threads of all
        cores.
    keeper
        Kernel of the core that device interrupts come to and that keeps them masked; None for the own one.
    own
        Kernel of its core, which reaches the threads of others; None where there are none.
    """

    def __init__(
        self,
        datasheet: Datasheet,
        devices: dict[Vcpu, VirtualDevices] | None = None,
        keeper: Kernel | None = None,
        own: Kernel | None = None,
    ) -> None:
        super().__init__("vmm", VMM_PRIORITY, ThreadState.RECEIVING)
        self.datasheet = datasheet
        self.devices: dict[Vcpu, VirtualDevices] = {} if devices is None else devices
        self.keeper = keeper
        self.own = own
        self.message: Message | None = None
        self.tlb_pages = datasheet.integer("vmm.tlb_pages")
        self.tlb_miss_cycles = datasheet.cycles("vmm.tlb_miss_cycles")
        self.cpi = Fraction(datasheet.quantity("vmm.cpi").value)
        self.acknowledge_cycles = round(datasheet.integer("vmm.acknowledge_instructions") * self.cpi)
        self.pass_through_cycles = datasheet.cycles("vmm.dcr_pass_through_cycles")
        self.map_cycles = round(
            datasheet.integer("l4.map_fpage_instructions")
            * Fraction(datasheet.quantity("l4.map_fpage_cpi").value)
        )
        self.map_mib = datasheet.integer("l4.map_size") // (1 << 20)
        self.tlb_misses = 0
        self.messages = 0

    def devices_of(self, vcpu: object) -> VirtualDevices:
        """The device models of a vCPU's virtual machine."""
        assert isinstance(vcpu, Vcpu)
        return self.devices[vcpu]

    def deliver(self, message: Message) -> None:
        """Take the next message to handle."""
        self.message = message
        self.messages += 1

    def execute(self, kernel: ServerHost) -> Generator[simpy.Event, Any, None]:
        """Handle one message and wait for the next."""
        message = self.message
        assert message is not None
        self.message = None
        if message.label == "interrupt":
            yield from self._interrupt(kernel, message.content)
            return
        if message.label == "kick":
            yield from self._kicked(kernel, message)
            return
        vcpu = message.sender
        assert isinstance(vcpu, Vcpu)
        path, cause = fault_path(message.label, message.content)
        self._touch_own_pages(kernel)
        kernel.fetch_kernel_lines("vmm")
        yield from kernel.settle()
        answer: Any = None
        if message.label == "ram":
            answer = self._map(kernel, vcpu, cause, message.content)
        else:
            devices = self.devices[vcpu]
            control = isinstance(message.content, ReadDcr | WriteDcr)
            handled = devices.control(message.content) if control else devices.access(message.content)
            answer = handled.answer
            self._account(kernel, cause, handled)
            if handled.acknowledged:
                yield from kernel.settle()
                for number in handled.acknowledged:
                    yield from self._acknowledge(kernel, number)
            vcpu.event_pending = devices.pending()
        kernel.answer(self, vcpu, cause, path, answer, advance=message.label != "ram")

    def _map(self, kernel: ServerHost, vcpu: Vcpu, cause: str, mib: int) -> MachineCheckError | None:
        """Map the guest's memory around a MiB, or find that it has none there."""
        vmm = kernel.paths.cycles("ram_fault_map4m.vmm")
        assert vcpu.memory is not None
        size_mib = vcpu.memory.size // MIB
        if not 0 <= mib < size_mib:
            reflected = kernel.paths.cycles("dsi_reflect")
            kernel.charge(cause, vmm=vmm)
            kernel.charge(MACHINE_CHECK, l4=reflected, count=1)
            kernel.owe(vmm + reflected)
            return MachineCheckError(mib * MIB)
        kernel.charge(cause, l4=self.map_cycles, vmm=vmm)
        kernel.owe(vmm + self.map_cycles)
        first = mib // self.map_mib * self.map_mib
        vcpu.processor.state.entry[layout.MAPPED, first : min(first + self.map_mib, size_mib)] = 1
        return None

    def _acknowledge(self, kernel: ServerHost, number: int) -> Generator[simpy.Event, Any, None]:
        """Let a hardware interrupt come again."""
        if self.keeper is None or self.keeper is self.own:
            kernel.unmask(number)
        elif self.keeper.masks(number):
            yield from self._send(self.keeper.core, None, Message(None, "acknowledge", number))

    def _account(self, kernel: ServerHost, cause: str, handled: Handled) -> None:
        vmm = kernel.paths.cycles(f"{handled.path}.vmm")
        if handled.instructions:
            vmm += handled.instructions * self.cpi.numerator // self.cpi.denominator
        l4 = handled.dcr_accesses * self.pass_through_cycles
        l4 += len(handled.acknowledged) * self.acknowledge_cycles
        kernel.charge(cause, l4=l4, vmm=vmm)
        kernel.owe(vmm + l4)
        kernel.owe_device_time(*handled.accesses)

    def _touch_own_pages(self, kernel: ServerHost) -> None:
        guest = kernel.resident
        misses = guest.processor.touch_foreign(self.tlb_pages) if guest is not None else 0
        if misses:
            self.tlb_misses += misses
            cycles = misses * self.tlb_miss_cycles
            kernel.charge("vmm_tlb_miss", l4=cycles, count=misses)
            kernel.owe(cycles)

    def _interrupt(self, kernel: ServerHost, number: int) -> Generator[simpy.Event, Any, None]:
        cause = "PPC_HVM_EXCEPT_EXTERNAL"
        paths = kernel.paths
        self._touch_own_pages(kernel)
        kernel.fetch_kernel_lines("vmm")
        body = paths.cycles("irq.vmm_body") + paths.cycles("irq.vmm_tail")
        kernel.charge(cause, vmm=body)
        yield from kernel.spend(body)
        for vcpu in self._recipients(number):
            devices = self.devices[vcpu]
            handled = devices.interrupt(number)
            here = vcpu.pager is self
            extra = round(handled.instructions * self.cpi)
            event = len(handled.acknowledged) * self.acknowledge_cycles
            event += paths.cycles("irq.exregs_event") if here else 0
            event += handled.dcr_accesses * self.pass_through_cycles
            kernel.charge(cause, l4=event, vmm=extra)
            kernel.owe(event + extra)
            kernel.owe_device_time(*handled.accesses)
            yield from kernel.settle()
            for acknowledged in handled.acknowledged:
                kernel.unmask(acknowledged)
            if here:
                vcpu.event_pending = devices.pending()
            elif devices.pending():
                yield from self._kick(vcpu, cause)
        block = paths.cycles("irq.vmm_block_redispatch")
        kernel.charge(cause, l4=block)
        kernel.owe(block)
        yield from kernel.settle()
        kernel.handled_interrupt(self)

    def _recipients(self, number: int) -> list[Vcpu]:
        """Virtual machines in whose device models an interrupt is noted."""
        vcpus = list(self.devices)
        if len(vcpus) > 1 and not is_collective(number) and not self.datasheet.flag("vmm.torus_fan_out"):
            return vcpus[:1]
        return vcpus

    def _kick(self, vcpu: Vcpu, cause: str) -> Generator[simpy.Event, Any, None]:
        """Tell the thread of another core that its vCPU has an event pending."""
        assert isinstance(vcpu.pager, Server)
        yield from self._send(vcpu.core, vcpu.pager, Message(None, "kick", vcpu, cause))

    def _send(
        self, core: int, receiver: Thread | None, message: Message
    ) -> Generator[simpy.Event, Any, None]:
        """Send a message to a thread of another core."""
        own = self.own
        assert own is not None
        assert own.remote is not None
        yield from own.remote.send(own, core, receiver, message)

    def _kicked(self, kernel: ServerHost, message: Message) -> Generator[simpy.Event, Any, None]:
        """The thread of another core says that a vCPU of this one has an event pending."""
        vcpu, cause, paths = message.content, message.cause, kernel.paths
        self._touch_own_pages(kernel)
        kernel.fetch_kernel_lines("vmm")
        event = paths.cycles("irq.exregs_event") + paths.cycles("irq.vmm_block_redispatch")
        tail = paths.cycles("irq.vmm_tail")
        kernel.charge(cause, l4=event, vmm=tail)
        kernel.owe(event + tail)
        yield from kernel.settle()
        vcpu.event_pending = self.devices[vcpu].pending()
        kernel.handled_interrupt(self)
