"""The threads of a program that runs directly on the microkernel: its own, its pager's and its driver's.

The program runs in user mode in an address space of L4 (:mod:`bgsim.l4.address_space`). Its pager, a thread
of its own, maps memory and pages of device registers when the program first touches them: the kernel turns
the fault into a message, the pager answers with a mapping, and the access is tried again.

Interrupts are messages to a driver thread. It runs the program's handler, acknowledges the interrupt by a
message to L4's interrupt thread, and waits for the next one.

Left out: the driver's and the pager's own TLB entries; messages between threads of the program; more
threads than one that computes; the receive by which the program itself waits.

Source: L4Ka::Pistachio ``api/v4/interrupt.cc``, ``ipc.cc``; paths as executed where a record says so,
``bgsim datasheet l4.native.*``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

import simpy

from bgsim.datasheet import Datasheet
from bgsim.l4.address_space import AddressSpace
from bgsim.l4.thread import VMM_PRIORITY, Message, Thread, ThreadState
from bgsim.l4.vcpu import Vcpu
from bgsim.platforms.seam import Code, Guest, Wait

if TYPE_CHECKING:
    from bgsim.l4.kernel import Kernel

PAGE_FAULT = "PAGEFAULT_USER"
"""The kernel's counter of page faults of programs."""


@dataclass(frozen=True)
class Acknowledge:
    """The driver has handled an interrupt; what it does is in no guest's power to ask for."""

    number: int


class NativeThread(Vcpu):
    """The thread of a program; to the kernel it is scheduled and waited for as a vCPU is.

    Parameters
    ----------
    pager
        Maps what the program touches.
    """

    def __init__(self, name: str, space: AddressSpace, guest: Guest, pager: Pager) -> None:
        super().__init__(name, space.processor, guest, pager)
        self.space = space
        self.arrived: deque[int] = deque()
        self.fault_cycles = pager.fault_cycles
        space.enter()

    def execute(self, kernel: Kernel) -> Generator[simpy.Event, Any, None]:
        """Run the program's present request as far as it goes."""
        yield from kernel.settle()
        processor = self.processor
        if processor.finished:
            kernel.scheduler.block(ThreadState.ENDED)
            return
        if self.arrived and not processor.in_interrupt:
            self.external_interrupts += 1
            processor.push(self._handled(self.arrived.popleft()))
        request: Any = processor.request
        if isinstance(request, Wait):
            yield from kernel.sleep_until(kernel.decrementer.deadline)
        elif isinstance(request, Acknowledge):
            yield from self._acknowledge(kernel, request.number)
        else:
            yield from self.space.execute(kernel, lambda page: self._page_fault(kernel, page))

    def _handled(self, number: int) -> Code:
        yield from self.guest.external_interrupt()
        yield cast(Any, Acknowledge(number))

    def _acknowledge(self, kernel: Kernel, number: int) -> Generator[simpy.Event, Any, None]:
        """The driver's message to L4's interrupt thread, and its wait for the next interrupt."""
        paths = kernel.paths
        instructions = kernel.datasheet.integer("vmm.acknowledge_instructions")
        cycles = round(instructions * paths.cpi("irq.vmm_block_redispatch"))
        cycles += paths.cycles("irq.vmm_block_redispatch")
        kernel.charge("PPC_HVM_EXCEPT_EXTERNAL", l4=cycles)
        kernel.owe(cycles)
        yield from kernel.settle()
        kernel.unmask(number)
        self.processor.advance()

    def _page_fault(self, kernel: Kernel, page: int) -> None:
        """The kernel asks the pager in the program's name."""
        kernel.fetch_kernel_lines("stub", "send")
        kernel.charge(PAGE_FAULT, l4=self.fault_cycles, count=1)
        kernel.owe(self.fault_cycles)
        kernel.call(self, self.pager, Message(self, "page", page, PAGE_FAULT))


class Pager(Thread):
    """The program's pager: it maps each page when that is first touched, memory in large pages."""

    def __init__(self, datasheet: Datasheet, page_mib: int) -> None:
        super().__init__("pager", VMM_PRIORITY, ThreadState.RECEIVING)
        self.message: Message | None = None
        self.faults = 0
        self._page_mib = page_mib
        cpi = Fraction(datasheet.quantity("l4.map_fpage_cpi").value)
        self.fault_cycles = round(datasheet.integer("l4.native.fault_instructions") * cpi)
        self.own_cycles = round(datasheet.integer("l4.native.pager_instructions") * cpi)
        self.map_cycles = round(datasheet.integer("l4.map_fpage_instructions") * cpi)

    def deliver(self, message: Message) -> None:
        """Take a fault to answer."""
        self.message = message

    def execute(self, kernel: Kernel) -> Generator[simpy.Event, Any, None]:
        """Map the page, answer, and wait for the next fault."""
        message, self.message = self.message, None
        assert message is not None
        thread = message.sender
        assert isinstance(thread, NativeThread)
        self.faults += 1
        thread.space.map(*thread.space.fpage(message.content, self._page_mib))
        kernel.charge(PAGE_FAULT, l4=self.own_cycles + self.map_cycles)
        kernel.owe(self.own_cycles + self.map_cycles)
        yield from kernel.settle()
        kernel.answer(self, thread, PAGE_FAULT, "ram_fault_map4m", None, advance=False)


class Driver(Thread):
    """The thread that L4 sends interrupts to: it has the program's handler run."""

    def __init__(self, thread: NativeThread) -> None:
        super().__init__("driver", VMM_PRIORITY, ThreadState.RECEIVING)
        self.thread = thread

    def deliver(self, message: Message) -> None:
        """Take an interrupt: the handler runs before the program goes on."""
        self.thread.arrived.append(message.content)

    def execute(self, kernel: Kernel) -> Generator[simpy.Event, Any, None]:
        """Wait for the next interrupt."""
        kernel.scheduler.block(ThreadState.RECEIVING)
        kernel.scheduler.dispatch()
        yield from kernel.settle()
