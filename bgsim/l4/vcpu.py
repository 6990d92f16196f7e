"""A vCPU: the thread that runs a guest, its virtual timer and its pending events.

Events are injected only where the kernel looks for them: at the end of program, TLB-miss and
decrementer exits. A guest that executes nothing that traps waits for the next timer tick; the
guest's decrementer fires at a tick or when a program exit brings the virtual timer up to date.

Source: L4Ka::Pistachio ``glue/v4-powerpc/softhvm.cc``.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import simpy

from bgsim.hardware.decrementer import Decrementer
from bgsim.l4.account import Account
from bgsim.l4.kernel_devices import KERNEL_BIC
from bgsim.l4.thread import VCPU_PRIORITY, Message, Thread, ThreadState
from bgsim.platforms import layout
from bgsim.platforms.processor import FOREVER, Processor, access_memory
from bgsim.platforms.seam import (
    DeviceAccess,
    Guest,
    GuestDiedError,
    MachineCheckError,
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

if TYPE_CHECKING:
    from bgsim.hardware.memory import MemoryWindow
    from bgsim.l4.kernel import Kernel


MIB = 1 << 20

CROSSING = "HYBRID_CROSSING"
"""Cause of a program's going from its guest to the native library beside it, or back."""


@dataclass(frozen=True)
class Crossing:
    """What the VMM is asked when a program leaves its guest for the native library beside it, or comes back.

    Attributes
    ----------
    to_native
        Whether it leaves.
    first
        Whether there is nothing beside the guest yet.
    """

    to_native: bool
    first: bool = False


class Vcpu(Thread):
    """A virtual processor.

    Attributes
    ----------
    pager
        The VMM thread that receives this vCPU's faults.
    decrementer
        The guest's virtual timer.
    core
        The core it runs on, always.
    event_pending
        Level of the virtual external interrupt, as the VMM last set it.
    account
        What its time went to outside the walk.
    ended
        Happens when the guest's program has ended, and fails if the guest died; None for the only guest of
        a node, whose core ends with it.
    """

    def __init__(
        self,
        name: str,
        processor: Processor,
        guest: Guest,
        pager: Thread,
        core: int = 0,
        priority: int = VCPU_PRIORITY,
    ) -> None:
        super().__init__(name, priority)
        self.core = core
        self.processor = processor
        self.guest = guest
        self.pager = pager
        self.memory: MemoryWindow | None = None
        self.event_pending = False
        self._masked = False
        self._in_tick = False
        self.account = Account()
        self.ended: simpy.Event | None = None
        self.decrementer = Decrementer()
        self.decrementer.start(int(processor.environment.now), guest.timer_period_cycles)
        self.timer_interrupts = 0
        self.external_interrupts = 0

    # -- events ------------------------------------------------------------------------------------

    def due(self, now: int) -> bool:
        """Whether the guest's decrementer has expired and the guest takes interrupts."""
        return self.decrementer.expired(now) and not self.processor.in_interrupt

    def inject(self, now: int) -> None:
        """Deliver a pending event, external before decrementer, if the guest takes interrupts."""
        if self.processor.in_interrupt or self.processor.finished:
            return
        if self.event_pending:
            self.external_interrupts += 1
            self.processor.push(self.guest.external_interrupt())
        elif self.decrementer.expired(now):
            # Ticks lost meanwhile are caught up inside the handler, which reads the timebase.
            self.decrementer.rearm(now)
            self.timer_interrupts += 1
            self.processor.push(self.guest.timer_interrupt())

    def end_tick(self, now: int) -> None:
        """End of the kernel's tick that found this guest running.

        Where the tick took the core from it, the rest of the kernel's handler, which looks for events, runs
        when it has the core again.
        """
        if self.state is ThreadState.RUNNING:
            self.inject(now)
        else:
            self._in_tick = True

    def resume_from_tick(self, now: int) -> None:
        """The guest has the core again."""
        if self._in_tick:
            self._in_tick = False
            self.inject(now)

    # -- running -----------------------------------------------------------------------------------

    def execute(self, kernel: Kernel) -> Generator[simpy.Event, Any, None]:
        """Run the guest's current request as far as it goes."""
        yield from kernel.settle()
        processor = self.processor
        if kernel.scheduler.shared and kernel.is_wanted():
            return  # came while the kernel was on its way back: it is taken first, as the guest's next turn
        if processor.finished:
            kernel.scheduler.block(ThreadState.ENDED)
            died = self._died()
            if self.ended is None:
                if died is not None:
                    raise died
                return
            if died is None:
                self.ended.succeed()
            else:
                self.ended.fail(died)
            yield kernel.environment.timeout(0)  # before anybody else gets the core
            return
        prompt = self.event_pending and (kernel.hypervisor or kernel.own_devices.prompt())
        # The rfi at the end of a handler has trapped, and the kernel has looked for events.
        if prompt or (self._masked and not processor.in_interrupt):
            self.inject(int(kernel.environment.now))
        self._masked = processor.in_interrupt
        request = processor.request
        if isinstance(request, Run):
            yield from self._walk(kernel)
        elif isinstance(request, Wait):
            # The guest's idle loop spins without leaving.
            yield from kernel.sleep_until(kernel.decrementer.deadline)
        elif isinstance(request, Now):
            processor.advance(int(kernel.environment.now))
        elif isinstance(request, Move):
            processor.advance(())
        elif isinstance(request, Poll):
            processor.advance()  # each read leaves for the VMM: the guest does them one by one
        elif isinstance(request, SetInterrupts):
            # The instruction that switched them on has trapped, and the kernel has looked for events.
            processor.set_interrupts(request.enabled)
            self._masked = not request.enabled
            processor.advance()
            self.inject(int(kernel.environment.now))
        elif isinstance(request, ReadMemory | WriteMemory):
            assert self.memory is not None, f"{self.name} has been given no memory"
            if 0 <= request.address < self.memory.size:
                processor.advance(access_memory(self.memory, request))
            else:
                self._fault(kernel, "ram", request.address // MIB)
        else:
            assert request is not None
            assert not isinstance(request, SystemCall), "a guest calls its own kernel"
            if isinstance(request, ReadDcr | WriteDcr):
                self._fault(kernel, "fault", request)
            elif kernel.own_devices.passes_through(request):
                yield from self._access(kernel, request)
            elif kernel.own_devices.answers(request):
                yield from self._access_kernel(kernel, request)
            else:
                self._fault(kernel, "fault", request)

    def _access(self, kernel: Kernel, access: DeviceAccess) -> Generator[simpy.Event, Any, None]:
        """The guest's own access to a device that is mapped to it."""
        kernel.owe_device_time(1)
        yield from kernel.settle()
        devices = kernel.models_of(self)
        handled = devices.access(access)
        for number in handled.acknowledged:
            kernel.unmask(number)
        self.event_pending = devices.pending()
        self.processor.advance(handled.answer)

    def _access_kernel(self, kernel: Kernel, access: DeviceAccess) -> Generator[simpy.Event, Any, None]:
        """An access to the interrupt controller that the kernel answers."""
        own = kernel.own_devices
        devices = kernel.models_of(self)
        handled = devices.access(access)
        cycles = own.answer_cycles(handled.path)
        if handled.acknowledged:
            cycles += len(handled.acknowledged) * own.acknowledge_cycles()
            kernel.owe_device_time(2 * len(handled.acknowledged))
        kernel.fetch_kernel_lines("stub", "miss", "program", "mfspr")
        kernel.charge(KERNEL_BIC, l4=cycles, count=1)
        kernel.owe(cycles)
        yield from kernel.settle()
        for number in handled.acknowledged:
            kernel.unmask(number)
        self.event_pending = devices.pending()
        self.processor.advance(handled.answer)
        self.inject(int(kernel.environment.now))

    def _walk(self, kernel: Kernel) -> Generator[simpy.Event, Any, None]:
        processor = self.processor
        now = int(kernel.environment.now)
        deadline = kernel.decrementer.deadline
        waiting = not processor.in_interrupt and (self.event_pending or self.decrementer.expired(now))
        register = processor.state.register
        register[layout.EXIT_LIMIT] = FOREVER
        register[layout.PROGRAM_EXIT_LIMIT] = FOREVER
        if waiting:
            # Every exit looks for events; a TLB miss does not bring the virtual timer up to date.
            register[layout.PROGRAM_EXIT_LIMIT] = register[layout.PROGRAM_EXITS]
            if self.event_pending:
                register[layout.EXIT_LIMIT] = register[layout.EXITS]
        elif not processor.in_interrupt:
            deadline = min(deadline, self.decrementer.deadline)
        exposed = processor.may_be_interrupted(deadline)
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
        if reason == layout.STOP_END:
            processor.advance()
        elif reason == layout.STOP_EXIT:
            self.inject(int(kernel.environment.now))
        elif reason == layout.STOP_RAM_FAULT:
            self._fault(kernel, "ram", int(register[layout.FAULT_MIB]))

    def _died(self) -> GuestDiedError | None:
        """What to tell if the guest ended with a machine check."""
        check = self.processor.died_of
        if check is None:
            return None
        assert self.memory is not None
        alone = self.ended is None
        more = "machine.set.vmm.vm_memory" if alone else "workload.memory, or name fewer of workload.cores,"
        lacking_mib = check.address // MIB + 1
        return GuestDiedError(
            f"the guest of {self.name} died of a machine check: {check}, and its virtual machine has "
            f"{self.memory.size / MIB:g} MiB; set {more} so that it has at least {lacking_mib} MiB"
        )

    def _fault(self, kernel: Kernel, label: str, content: Any) -> None:
        path, cause = fault_path(label, content)
        kernel.fetch_kernel_lines(*kernel.paths.send_lines())
        cycles = kernel.paths.send(path) + kernel.fpu.hand_over(self, self.pager)
        kernel.charge(cause, l4=cycles, count=1)
        kernel.owe(cycles)
        kernel.call(self, self.pager, Message(self, label, content, cause))

    def resume(self, now: int, answer: Any, advance: bool) -> None:
        """The VMM replied: go on behind the access, try the reference again, or be told there is nothing."""
        if isinstance(answer, MachineCheckError):
            self.processor.machine_check(answer)
        elif advance:
            self.processor.advance(answer)
        self.inject(now)


def fault_path(label: str, content: Any) -> tuple[str, str]:
    """Executed path and cause of a fault that goes to the VMM."""
    if label == "ram":
        return "ram_fault_map4m", "PPC_HVM_DTLB_MISS_RAM"
    if isinstance(content, Crossing):
        return "mmio_load_bic_status" if content.to_native else "fwd_dcr", CROSSING
    if isinstance(content, ReadDcr | WriteDcr):
        return "fwd_dcr", "PPC_HVM_EXCEPT_PROG_DCR"
    return "mmio_load_bic_status", "PPC_HVM_DTLB_MISS_DEVICE"
