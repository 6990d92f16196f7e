"""A program that runs directly on the microkernel: its address space, its thread, its pager and its driver.

The program runs in user mode in an address space of L4. Its pager, a thread of its own, maps memory and pages
of device registers when the program first touches them: the kernel turns the fault into a message, the pager
answers with a mapping, and the access is tried again. From then on a hardware TLB miss is one exception that
L4 answers from its page table. Device registers are plain accesses. Control registers (DCR) are privileged;
for a program of the privileged root task L4 executes the access in the exception, as it does for the VMM. Any
other privileged instruction would be an exception message to a handler the program does not have: it ends it.

Interrupts are messages to a driver thread. It runs the program's handler, acknowledges the interrupt by a
message to L4's interrupt thread, and waits for the next one.

Left out: the driver's and the pager's own TLB entries; messages between threads of the program; more threads
than one that computes; the receive by which the program itself waits.

Source: L4Ka::Pistachio ``glue/v4-powerpc/space-swtlb.cc``, ``except_handlers.cc`` (``is_privileged_space``
and ``emulate_instruction``), ``api/v4/interrupt.cc``; paths as executed where a record says so, ``bgsim
datasheet l4.native.*``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

import simpy

from bgsim.datasheet import Datasheet
from bgsim.hardware import collective_device
from bgsim.l4.thread import VMM_PRIORITY, Message, Thread, ThreadState
from bgsim.l4.vcpu import Vcpu
from bgsim.platforms import layout
from bgsim.platforms.baremetal import NodeHardware, access_device
from bgsim.platforms.native_walk import native_touch, native_walk
from bgsim.platforms.prices import program_tables
from bgsim.platforms.processor import Processor, access_memory
from bgsim.platforms.seam import (
    Code,
    DcrAccess,
    DeviceAccess,
    Guest,
    Move,
    Now,
    Poll,
    ReadDcr,
    ReadMemory,
    Run,
    SetInterrupts,
    Wait,
    WriteDcr,
    WriteMemory,
)

if TYPE_CHECKING:
    from bgsim.l4.kernel import Kernel

DATA_MISS = "PPC_DTLB_MISS"
INSTRUCTION_MISS = "PPC_ITLB_MISS"
CONTROL_REGISTER = "PPC_EXCEPT_PROG"
PAGE_FAULT = "PAGEFAULT_USER"
"""The kernel's own counters for programs, where guests have ``PPC_HVM_...``."""

_MISSES = (
    (DATA_MISS, layout.COUNT_HARDWARE_MISS_D, layout.CAUSE_DTLB),
    (INSTRUCTION_MISS, layout.COUNT_HARDWARE_MISS_I, layout.CAUSE_ITLB),
)
_REGISTER_PAGE = 12
"""Pages of device registers have 4 KiB."""


class PrivilegedInstructionError(RuntimeError):
    """A program in user mode executed what only a kernel may."""


class AddressSpace:
    """An address space of the microkernel, and running a thread in it.

    Parameters
    ----------
    processor
        Of the thread that runs in it.
    node
        The node, whose registers and memory are mapped.
    """

    def __init__(self, datasheet: Datasheet, processor: Processor, node: NodeHardware) -> None:
        self.processor = processor
        self.node = node
        self.tables = program_tables(datasheet)
        self.emulation_cycles = datasheet.cycles("vmm.dcr_pass_through_cycles")
        self._keys = processor.guest.program.keys
        self._registers: dict[int, int] = {}  # page of device registers to its number

    @property
    def pages(self) -> int:
        """Pages of the space, those of device registers included."""
        return self._keys + layout.FRAGMENTS + layout.DEVICE_PAGES

    def enter(self) -> None:
        """From here on the processor runs in this address space."""
        self.processor.tables = self.tables
        self.processor.walker = native_walk

    def map(self, first: int, count: int = 1) -> None:
        """Map pages, by their numbers."""
        self.processor.state.slot[layout.NATIVE_SLOT, first : first + count] = layout.NATIVE_MAPPED

    def fpage(self, page: int, mib: int) -> tuple[int, int]:
        """First page and number of pages of the mapping that holds a page, of so many MiB of memory."""
        memory = self._keys
        if memory <= page < memory + layout.FRAGMENTS:
            return memory + (page - memory) // mib * mib, mib
        return page, 1

    def memory_page(self, mib: int) -> int:
        """Number of the page that a MiB of static memory is."""
        return self._keys + mib

    def register_page(self, address: int) -> int:
        """Number of the page of device registers that an address is in.

        Raises
        ------
        ValueError
            If the program has more of them than are kept track of.
        """
        number = self._registers.setdefault(address >> _REGISTER_PAGE, len(self._registers))
        if number >= layout.DEVICE_PAGES:
            raise ValueError(f"a program has at most {layout.DEVICE_PAGES} pages of device registers mapped")
        return self._keys + layout.FRAGMENTS + number

    # -- running in it -----------------------------------------------------------------------------

    def execute(self, kernel: Kernel, fault: Callable[[int], None]) -> Generator[simpy.Event, Any, None]:
        """Run the processor's present request as far as it goes.

        Parameters
        ----------
        fault
            Told of a page that is not mapped; the request then stays.
        """
        processor, request = self.processor, self.processor.request
        if isinstance(request, Run):
            yield from self._walk(kernel, fault)
        elif isinstance(request, Now):
            processor.advance(int(kernel.environment.now))
        elif isinstance(request, SetInterrupts):
            processor.set_interrupts(request.enabled)
            processor.advance()
        elif isinstance(request, Move):
            processor.advance(())  # it is there already
        elif isinstance(request, Poll):
            processor.advance()  # registers are read one by one
        elif isinstance(request, ReadMemory | WriteMemory):
            processor.advance(access_memory(self.node.memory, request))
        elif isinstance(request, ReadDcr | WriteDcr):
            yield from self._control(kernel, request)
        else:
            assert request is not None
            assert not isinstance(request, Wait)
            yield from self._access(kernel, request, fault)

    def _access(
        self, kernel: Kernel, access: DeviceAccess, fault: Callable[[int], None]
    ) -> Generator[simpy.Event, Any, None]:
        """A plain access to a mapped register, whose page needs a TLB entry as any other."""
        processor, bus = self.processor, self.node.bus
        page = self.register_page(access.address)
        register = processor.state.register
        register[layout.NOW] = now = kernel.now
        before = self._misses()
        if not native_touch(self.tables, processor.state, page, 0):
            fault(page)
            return
        kernel.owe(processor.walked_to - now)
        self._book(kernel, before)
        if access.address & ~(collective_device.SIZE - 1) in collective_device.BASES:
            kernel.owe_device_time(0, collective_accesses=1)
        else:
            kernel.owe_device_time(1)
        yield from kernel.settle()
        processor.advance(access_device(bus, access))

    def _control(self, kernel: Kernel, access: DcrAccess) -> Generator[simpy.Event, Any, None]:
        """A control register, which L4 accesses in the program's exception."""
        kernel.fetch_kernel_lines("stub", "program")
        kernel.charge(CONTROL_REGISTER, l4=self.emulation_cycles, count=1)
        kernel.owe(self.emulation_cycles)
        kernel.owe_device_time(0, 1)
        yield from kernel.settle()
        dcr = self.node.dcr
        if isinstance(access, ReadDcr):
            self.processor.advance(dcr.read(access.number))
        else:
            dcr.write(access.number, access.value)
            self.processor.advance()

    def _walk(self, kernel: Kernel, fault: Callable[[int], None]) -> Generator[simpy.Event, Any, None]:
        processor = self.processor
        now = int(kernel.environment.now)
        deadline = kernel.decrementer.deadline
        exposed = processor.may_be_interrupted(deadline)
        before = self._misses()
        if exposed:
            processor.save()
        reason = processor.walk(deadline)
        if exposed and processor.may_be_interrupted(processor.walked_to):
            yield from kernel.pass_until(processor.walked_to)
            begin, now = now, int(kernel.environment.now)
            if now < processor.walked_to:
                processor.take_back()
                reason = processor.walk(now, begin)
        if processor.walked_to > now:
            yield from kernel.spend(processor.walked_to - now)
        self._book(kernel, before)
        if reason == layout.STOP_END:
            processor.advance()
        elif reason == layout.STOP_RAM_FAULT:
            fault(int(processor.state.register[layout.FAULT_MIB]))
        elif reason == layout.STOP_PRIVILEGED:
            raise PrivilegedInstructionError(
                "a program on the microkernel itself executed a privileged instruction, or called a kernel "
                "that it does not have"
            )

    def _misses(self) -> list[tuple[int, int]]:
        count, cycle = self.processor.state.count, self.processor.state.cycle
        return [(int(count[counted]), int(cycle[charged])) for _, counted, charged in _MISSES]

    def _book(self, kernel: Kernel, before: list[tuple[int, int]]) -> None:
        """Take the misses since `before` out of the walk's counts, a guest's, and note them as L4's."""
        count, cycle = self.processor.state.count, self.processor.state.cycle
        for (name, counted, charged), (misses, cycles) in zip(_MISSES, before, strict=True):
            more = int(count[counted]) - misses
            if more:
                kernel.charge(name, l4=int(cycle[charged]) - cycles, count=more)
                count[counted], cycle[charged] = misses, cycles


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
