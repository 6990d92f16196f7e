"""The threads of a program that runs directly on the microkernel: its own, its pager's and its driver's.

The program runs in user mode in an address space of L4 (:mod:`bgsim.l4.address_space`). Its pager, a thread
of its own, maps memory and pages of device registers when the program first touches them: the kernel turns
the fault into a message, the pager answers with a mapping, and the access is tried again.

Interrupts are messages to a driver thread. It runs the program's handler, acknowledges the interrupt by a
message to L4's interrupt thread, and waits for the next one.

The program may call the microkernel itself (``SystemCall``), and a partner answers its messages: a thread of
its own address space, or of another one. Address spaces have tags in the hardware TLB, so that going from one
to another drops nothing; the partner's pages then need entries of their own.

Left out: the driver's and the pager's own TLB entries; more threads than one that computes; the receive by
which the program itself waits; what a partner would execute beside its answer.

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
from bgsim.l4.address_space import DATA_MISS, AddressSpace
from bgsim.l4.thread import VCPU_PRIORITY, VMM_PRIORITY, Message, Thread, ThreadState
from bgsim.l4.vcpu import Vcpu
from bgsim.platforms.seam import Code, Guest, SystemCall, Wait

if TYPE_CHECKING:
    from bgsim.l4.kernel import Kernel

PAGE_FAULT = "PAGEFAULT_USER"
"""The kernel's counter of page faults of programs."""
IPC = "SYSCALL_IPC"
THREAD_SWITCH = "SYSCALL_THREAD_SWITCH"
"""Its counters of system calls."""


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
        self._partners: dict[bool, Partner] = {}
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
        elif isinstance(request, SystemCall):
            yield from self._system_call(kernel, request)
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

    def _system_call(self, kernel: Kernel, request: SystemCall) -> Generator[simpy.Event, Any, None]:
        if request.name == "thread-switch":
            kernel.fetch_kernel_lines("stub", "enter")
            cycles = kernel.paths.thread_switch()
            kernel.charge(THREAD_SWITCH, l4=cycles, count=1)
            yield from kernel.spend(cycles)
            self.processor.advance()
            return
        other_space = request.name == "call-other-space"
        partner = self._partners.get(other_space)
        if partner is None:
            partner = self._partners[other_space] = Partner(kernel.datasheet, other_space)
        partner.owe_message(kernel)
        kernel.call(self, partner, Message(self, "call", None, IPC))

    def _page_fault(self, kernel: Kernel, page: int) -> None:
        """The kernel asks the pager in the program's name."""
        kernel.fetch_kernel_lines("stub", "send")
        kernel.charge(PAGE_FAULT, l4=self.fault_cycles, count=1)
        kernel.owe(self.fault_cycles)
        kernel.call(self, self.pager, Message(self, "page", page, PAGE_FAULT))


class Answering(Thread):
    """A thread that waits for the program's messages and answers them one by one."""

    def __init__(self, name: str, priority: int) -> None:
        super().__init__(name, priority, ThreadState.RECEIVING)
        self.message: Message | None = None

    def deliver(self, message: Message) -> None:
        """Take a message to answer."""
        self.message = message

    def taken(self) -> tuple[NativeThread, Any]:
        """The thread that waits for the answer, and what it sent; the message is done with."""
        message, self.message = self.message, None
        assert message is not None
        assert isinstance(message.sender, NativeThread)
        return message.sender, message.content


class Pager(Answering):
    """The program's pager: it maps each page when that is first touched, memory in large pages."""

    def __init__(self, datasheet: Datasheet, page_mib: int) -> None:
        super().__init__("pager", VMM_PRIORITY)
        self.faults = 0
        self._page_mib = page_mib
        cpi = Fraction(datasheet.quantity("l4.map_fpage_cpi").value)
        self.fault_cycles = round(datasheet.integer("l4.native.fault_instructions") * cpi)
        self.own_cycles = round(datasheet.integer("l4.native.pager_instructions") * cpi)
        self.map_cycles = round(datasheet.integer("l4.map_fpage_instructions") * cpi)

    def execute(self, kernel: Kernel) -> Generator[simpy.Event, Any, None]:
        """Map the page, answer, and wait for the next fault."""
        thread, content = self.taken()
        self.faults += 1
        thread.space.map(*thread.space.fpage(content, self._page_mib))
        kernel.charge(PAGE_FAULT, l4=self.own_cycles + self.map_cycles)
        kernel.owe(self.own_cycles + self.map_cycles)
        yield from kernel.settle()
        kernel.answer(self, thread, PAGE_FAULT, "ram_fault_map4m", None, advance=False)


class Partner(Answering):
    """A thread that answers each message at once.

    Parameters
    ----------
    other_space
        Whether its address space is not the program's.
    """

    def __init__(self, datasheet: Datasheet, other_space: bool) -> None:
        super().__init__("partner", VCPU_PRIORITY)
        self._other_space = other_space
        self._pages = datasheet.integer("l4.native.partner_pages") if other_space else 0
        self._miss_cycles = datasheet.cycles("vmm.tlb_miss_cycles")

    def owe_message(self, kernel: Kernel) -> None:
        """Owe the way of a message from one thread to the other, which is one system call."""
        kernel.fetch_kernel_lines("stub", *kernel.paths.message_lines())
        cycles = kernel.paths.message()
        if self._other_space:
            cycles += kernel.paths.space_switch()
        kernel.charge(IPC, l4=cycles, count=1)
        kernel.owe(cycles)

    def execute(self, kernel: Kernel) -> Generator[simpy.Event, Any, None]:
        """Answer, and wait for the next message."""
        thread, _ = self.taken()
        misses = thread.processor.touch_foreign(self._pages)
        if misses:
            kernel.charge(DATA_MISS, l4=misses * self._miss_cycles, count=misses)
            kernel.owe(misses * self._miss_cycles)
        yield from kernel.settle()
        self.owe_message(kernel)
        kernel.reply_and_wait(self, thread)
        thread.resume(kernel.now, None, advance=True)


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
