"""An address space of the microkernel, in which a program runs without a VMM.

Memory and pages of device registers are mapped into it by a pager. A hardware TLB miss is one exception
that L4 answers from the space's page table. Device registers are plain accesses. Control registers (DCR)
are privileged; for a program of the privileged root task L4 executes the access in the exception, as it
does for the VMM. Any other privileged instruction would be an exception message to a handler the program
does not have: it ends it.

Source: L4Ka::Pistachio ``glue/v4-powerpc/space-swtlb.cc``, ``except_handlers.cc`` (``is_privileged_space``
and ``emulate_instruction``).
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import simpy

from bgsim.datasheet import Datasheet
from bgsim.hardware import collective_device
from bgsim.l4.native_poll import Polling
from bgsim.platforms import layout
from bgsim.platforms.baremetal import NodeHardware, access_device
from bgsim.platforms.native_walk import native_touch, native_walk
from bgsim.platforms.prices import program_tables
from bgsim.platforms.processor import Processor, access_memory
from bgsim.platforms.seam import (
    DcrAccess,
    DeviceAccess,
    Load,
    Move,
    Now,
    Poll,
    ReadDcr,
    ReadMemory,
    Run,
    SetInterrupts,
    SystemCall,
    Wait,
    WriteDcr,
    WriteMemory,
)
from bgsim.profiles import program as ops

if TYPE_CHECKING:
    from bgsim.l4.kernel import Kernel

DATA_MISS = "PPC_DTLB_MISS"
INSTRUCTION_MISS = "PPC_ITLB_MISS"
CONTROL_REGISTER = "PPC_EXCEPT_PROG"
"""The kernel's own counters for programs, where guests have ``PPC_HVM_...``."""

_MISSES = (
    (DATA_MISS, layout.COUNT_HARDWARE_MISS_D, layout.CAUSE_DTLB),
    (INSTRUCTION_MISS, layout.COUNT_HARDWARE_MISS_I, layout.CAUSE_ITLB),
)
CONTROL_LINES = ("stub", "program")
"""Line groups of L4's that an access to a control register runs."""

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
        self._polling: Polling | None = None

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
            yield from self._poll(kernel, request)
        elif isinstance(request, ReadMemory | WriteMemory):
            processor.advance(access_memory(self.node.memory, request))
        elif isinstance(request, ReadDcr | WriteDcr):
            yield from self._control(kernel, request)
        else:
            assert request is not None
            assert not isinstance(request, Wait | SystemCall)
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
        kernel.fetch_kernel_lines(*CONTROL_LINES)
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

    def _poll(self, kernel: Kernel, request: Poll) -> Generator[simpy.Event, Any, None]:
        """Poll until something is found or the kernel has to be let in."""
        processor, node, poll = self.processor, self.node, self._polling
        if poll is not None and poll.request is request:
            poll.begin += int(kernel.environment.now) - poll.left
        elif poll is not None or not self._is_loaded(request):
            processor.advance()  # read by read
            return
        else:
            if any(isinstance(access, ReadDcr) for access, _ in request.reads):
                kernel.fetch_kernel_lines(*CONTROL_LINES)
                yield from kernel.settle()
            cycles = [self._read_cycles(kernel, access) for access, _ in request.reads]
            poll = self._polling = Polling(request, processor, cycles, int(kernel.environment.now))
        while True:
            if (yield from poll.wait(kernel, node.activity)):
                poll.left = int(kernel.environment.now)
                return
            access, _ = request.reads[poll.done % poll.size]
            value = (
                node.dcr.read(access.number) if isinstance(access, ReadDcr) else node.bus.load(access.address)
            )
            if poll.found(value, node.activity.count):
                break
        self._polling = None
        account = kernel.account
        for (access, _), count in zip(request.reads, poll.account(), strict=True):
            cycles_each = self._read_cycles(kernel, access)
            if isinstance(access, ReadDcr):
                kernel.charge(CONTROL_REGISTER, l4=count * self.emulation_cycles, count=count)
                cycles_each -= self.emulation_cycles
            account.device_cycles += count * cycles_each
            account.device_accesses += count
        processor.advance(((poll.done - 1) % poll.size, value))

    def _read_cycles(self, kernel: Kernel, access: Load | ReadDcr) -> int:
        if isinstance(access, ReadDcr):
            return self.emulation_cycles + kernel.dcr_cycles
        return self.node.bus.access_cycles(access.address)

    def _is_loaded(self, request: Poll) -> bool:
        """Whether all that a poll touches is in the hardware TLB."""
        state = self.processor.state
        pages = {
            self.register_page(access.address) for access, _ in request.reads if isinstance(access, Load)
        }
        for word in request.pause.program.operations.tolist():
            kind, argument = word >> ops.KIND_SHIFT, word & ops.ARGUMENT_MASK
            if kind < ops.WORK_USER:
                pages.add(argument if kind < ops.LOWMEM_DATA else self.memory_page(argument))
        slots = ((page, int(state.slot[layout.NATIVE_SLOT, page])) for page in pages)
        held = state.entry[layout.HARDWARE_KEY]
        return all(slot >= 0 and held[slot] == layout.NATIVE_KEY - page for page, slot in slots)

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
