"""The microkernel on one core: interrupts, the timer tick, IPC and dispatching.

The core is one SimPy process that executes whichever thread the scheduler chose. The kernel itself
is not preemptible. Emulation and virtual TLB handling inside the kernel do not interact with other
threads and are costed in bulk by the walk; what is here is what crosses threads.

A kernel built for several cores is one of these per core, with messages between them (``remote.py``).
Left out: the kernel debugger, IPC timeouts other than infinite and zero.

Source: L4Ka::Pistachio ``api/v4/ipc.cc``, ``interrupt.cc``, ``glue/v4-powerpc``; path lengths
executed, see ``bgsim datasheet 'l4.*'``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, cast

import simpy

from bgsim.datasheet import Datasheet
from bgsim.hardware.bic import TARGET_OFF, Bic
from bgsim.hardware.bus import Bus
from bgsim.hardware.dcr import DcrBus
from bgsim.hardware.decrementer import Decrementer
from bgsim.l4.core_clock import CoreClock
from bgsim.l4.fpu import Fpu
from bgsim.l4.kernel_devices import DevicesHost, KernelDevices
from bgsim.l4.paths import Paths
from bgsim.l4.residency import VM_SWITCH, Residency
from bgsim.l4.scheduler import Scheduler
from bgsim.l4.thread import Message, Thread, ThreadState
from bgsim.l4.vcpu import Vcpu
from bgsim.observer import built

if TYPE_CHECKING:
    from bgsim.l4.account import Account
    from bgsim.l4.remote import RemoteIpc
    from bgsim.l4.server_core import Reply, ServerCore
    from bgsim.vmm.server import VirtualDevices


class Kernel(CoreClock):
    """The microkernel of one core.

    Parameters
    ----------
    bus, bic, dcr
        The node's devices.
    decrementer
        The core's timer; it reloads itself and drives the scheduler's tick.
    core
        Core number, for the interrupt controller's targets.

    Attributes
    ----------
    server_core
        Where the VMM runs, if not here.
    remote
        How threads of this core reach those of others, if the kernel is built for several.
    vcpus
        Virtual processors of this core.
    residency
        Which of them has it.
    """

    def __init__(
        self,
        environment: simpy.Environment,
        datasheet: Datasheet,
        bus: Bus,
        bic: Bic,
        dcr: DcrBus,
        decrementer: Decrementer,
        core: int = 0,
    ) -> None:
        super().__init__(environment)
        self.datasheet = datasheet
        self.bus = bus
        self.bic = bic
        self.dcr = dcr
        self.core = core
        self.paths = Paths(datasheet)
        self.scheduler = Scheduler(datasheet.cycles("l4.timeslice"))
        self.tick_cycles = datasheet.cycles("l4.tick")
        self.mmio_cycles = datasheet.cycles("mmio.latency")
        self.collective_cycles = datasheet.cycles("collective.access_latency")
        self.dcr_cycles = datasheet.cycles("dcr.latency")
        self.hypervisor = datasheet.flag("core.hypervisor_mode")
        self.inject_on_resume = datasheet.flag("l4.inject_on_resume") or self.hypervisor
        self.started = int(environment.now)
        self.ended = self.started
        self.decrementer = decrementer
        self.decrementer.start(self.started, self.tick_cycles)
        self.fpu = Fpu(datasheet.cycles("l4.fpu_switch_cycles"))
        self.own_devices = KernelDevices(datasheet, self.paths)
        self.vcpus: list[Vcpu] = []
        self.residency = Residency(datasheet, self.paths, self.started)
        self.remote: RemoteIpc | None = None
        self.interrupt_handler: Thread | None = None
        self.server_core: ServerCore | None = None
        self.remote_replies: deque[Reply] = deque()
        self._masked: dict[int, int] = {}
        self._masks: dict[tuple[str, ...], int] = {}
        self.idle_cycles = 0
        self.events = 0
        self._wake = environment.event()
        self._idle_since: int | None = None
        self._served = (0, 0)  # from the last fault until the VMM answered it
        self.process: simpy.Process | None = None
        built(self)

    def add(self, vcpu: Vcpu) -> None:
        """Put a vCPU on this core; it is ready to run."""
        self.vcpus.append(vcpu)
        self.residency.add(vcpu)
        if len(self.vcpus) > 1:
            self.scheduler.shared = True
            self.scheduler.strict = self.datasheet.flag("l4.strict_slices")
        self.scheduler.enqueue(vcpu)

    @property
    def resident(self) -> Vcpu | None:
        """The guest whose TLB entries are on this core: that of the virtual machine that has it."""
        return self.residency.guest

    @property
    def account(self) -> Account:
        """Account of the virtual machine that has the core."""
        return self.residency.account

    def start(self) -> simpy.Process:
        """Start the core; the process ends when every guest program has ended."""
        self.process = self.environment.process(self._run())
        return self.process

    def interrupt_line(self) -> None:
        """The interrupt controller's output to this core changed."""
        if not self._wake.triggered:
            self._wake.succeed()

    # -- the core ---------------------------------------------------------------------------------

    def _run(self) -> Generator[simpy.Event, Any, None]:
        others = self.remote.vcpus if self.remote is not None else ()
        while not all(vcpu.state is ThreadState.ENDED for vcpu in (*self.vcpus, *others)):
            if self.bic.pending(self.core):
                yield from self._external_interrupt()
                continue
            if self.remote_replies:
                assert self.server_core is not None
                yield from self.server_core.give(self.remote_replies.popleft())
                continue
            if self.decrementer.expired(int(self.environment.now)):
                yield from self._tick()
                continue
            thread = self.scheduler.dispatch()
            if thread is None:
                yield from self.sleep_until(self.decrementer.deadline)
                continue
            if isinstance(thread, Vcpu) and thread is not self.residency.guest:
                yield from self._enter_space(thread)
            yield from thread.execute(self)
        yield from self.settle()
        self.ended = int(self.environment.now)

    def _enter_space(self, vcpu: Vcpu) -> Generator[simpy.Event, Any, None]:
        """Resume a vCPU of another virtual machine than the last one."""
        yield from self.settle()
        cycles, refill = self.residency.enter(vcpu, int(self.environment.now))
        self.charge(VM_SWITCH, l4=cycles, count=1)
        yield from self.spend(cycles + refill)
        vcpu.resume_from_tick(int(self.environment.now))

    def sleep_until(self, deadline: int) -> Generator[simpy.Event, Any, None]:
        """Let time pass without work until a deadline or an interrupt."""
        yield from self.settle()
        begin = self._idle_since = int(self.environment.now)
        self._wake = self.environment.event()
        self.events += 1
        if not self.bic.pending(self.core) and not self.remote_replies:
            yield self._wake | self.environment.timeout(max(deadline - begin, 0))
        slept = int(self.environment.now) - begin
        self.idle_cycles += slept
        self.account.idle_cycles += slept
        self._idle_since = None

    def busy_cycles(self) -> int:
        """Cycles since the start in which the core was not idle, up to now."""
        now = int(self.environment.now)
        idle = self.idle_cycles + (0 if self._idle_since is None else now - self._idle_since)
        return now - self.started - idle

    def pass_until(self, end: int) -> Generator[simpy.Event, Any, None]:
        """Let time pass up to ``end``, or until an interrupt."""
        assert not self._owed
        self.events += 1
        self._wake = self.environment.event()
        yield self._wake | self.environment.timeout(end - int(self.environment.now))

    def _spent(self, cycles: int) -> None:
        self.events += 1

    def charge(self, cause: str, l4: int = 0, vmm: int = 0, count: int = 0) -> None:
        """Account cycles outside the walk to a cause."""
        self.account.charge(cause, l4, vmm, count)

    def fetch_kernel_lines(self, *groups: str) -> None:
        """Refetch kernel and VMM instruction lines that an ``iccci`` removed; the time is owed."""
        mask = self._masks.get(groups)
        if mask is None:
            mask = self._masks[groups] = Paths.mask(*groups)
        guest = self.residency.guest
        if guest is not None:  # a core without guests never loses them
            self._owed += guest.processor.kernel_lines(mask)

    def is_wanted(self) -> bool:
        """Whether an interrupt or a tick has come that the kernel has not looked at yet."""
        return self.bic.pending(self.core) or self.decrementer.expired(int(self.environment.now))

    # -- interrupts --------------------------------------------------------------------------------

    def _external_interrupt(self) -> Generator[simpy.Event, Any, None]:
        number = self.bic.pending_interrupt(self.core)
        assert number is not None
        if self.remote is not None and self.remote.is_request(number):
            yield from self.remote.take(self, number)
            return
        path = f"l4.{self.paths.build}.irq.l4_to_vmm.device_accesses"
        accesses = self.datasheet.integer(path)
        self._masked[number] = self.bic.target_of(number)
        self.bic.set_target(number, TARGET_OFF)  # until the handler acknowledges it
        if self.own_devices.raises(number):
            yield from self._raise_interrupt(number, accesses)
            return
        self.fetch_kernel_lines("stub", "interrupt")
        cycles = self.paths.cycles("irq.l4_to_vmm")
        self.charge("PPC_HVM_EXCEPT_EXTERNAL", l4=cycles, count=1)
        self.owe(cycles)
        self.owe_device_time(accesses)
        yield from self.settle()
        handler = self.interrupt_handler
        assert handler is not None, f"interrupt {number} has no handler thread"
        message = Message(None, "interrupt", number)
        if self.server_core is not None:
            cycles = self.remote_cycles()
            self.charge("PPC_HVM_EXCEPT_EXTERNAL", l4=cycles)
            self.owe(cycles)
            self.server_core.announce(message)
            return
        self.preempt_for(handler, message)

    def preempt_for(self, handler: Thread, message: Message) -> None:
        """Hand a message to a thread of higher priority than what runs, as soon as it receives."""
        if handler.state is ThreadState.RECEIVING:
            current = self.scheduler.current
            if current is not None:
                self.scheduler.enqueue(current, front=True)
            handler.deliver(message)
            self.scheduler.switch_to(handler)
            if self.scheduler.shared:
                self.scheduler.account(handler)
        else:
            handler.inbox.append(message)

    def _raise_interrupt(self, number: int, accesses: int) -> Generator[simpy.Event, Any, None]:
        """Raise a device's interrupt in the guests without the VMM."""
        path = self.own_devices.raise_path()
        in_kernel = path != "sc_reflect"
        self.fetch_kernel_lines("stub", "interrupt" if in_kernel else "enter")
        cycles = self.paths.cycles(path)
        self.charge("PPC_HVM_EXCEPT_EXTERNAL", l4=cycles, count=1)
        self.owe(cycles)
        if in_kernel:
            self.owe_device_time(accesses)
        yield from self.settle()
        for vcpu in self.vcpus:
            devices = self.models_of(vcpu)
            devices.interrupt(number)
            vcpu.event_pending = devices.pending()
        current = self.scheduler.current
        if isinstance(current, Vcpu):
            current.inject(int(self.environment.now))

    def models_of(self, vcpu: Vcpu) -> VirtualDevices:
        """The device models of a vCPU's virtual machine."""
        host = self.interrupt_handler
        assert host is not None
        return cast("DevicesHost", host).devices_of(vcpu)

    def unmask(self, number: int) -> None:
        """The handler acknowledged an interrupt: clear its status and let it come again."""
        if number in self._masked:
            self.bic.clear(number)
            self.bic.set_target(number, self._masked.pop(number))

    def masks(self, number: int) -> bool:
        """Whether an interrupt waits for its handler's acknowledgement."""
        return number in self._masked

    def access_cycles(self, accesses: int, dcr_accesses: int, collective_accesses: int) -> int:
        """Time of accesses to device registers, control registers and the collective network."""
        cycles = accesses * self.mmio_cycles + dcr_accesses * self.dcr_cycles
        return cycles + collective_accesses * self.collective_cycles

    def owe_device_time(self, accesses: int, dcr_accesses: int = 0, collective_accesses: int = 0) -> None:
        """Owe the time of accesses to device registers, control registers and the collective network."""
        cycles = self.access_cycles(accesses, dcr_accesses, collective_accesses)
        self.account.device_cycles += cycles
        self.account.device_accesses += accesses + dcr_accesses + collective_accesses
        self.owe(cycles)

    def _tick(self) -> Generator[simpy.Event, Any, None]:
        yield from self.settle()
        now = int(self.environment.now)
        begin, end = self._served
        server = self.interrupt_handler if begin <= self.decrementer.deadline < end else None
        self.decrementer.rearm(now)
        current = self.scheduler.current
        injecting = isinstance(current, Vcpu) and current.due(now)
        expired = self.scheduler.use_slice(self.tick_cycles, server)
        if injecting:
            path = "l4_tick_inject_dec"
        else:
            path = "l4_tick_slice_expired" if expired else "l4_tick_nothing"
        self.fetch_kernel_lines("stub", "tick")
        cycles = self.paths.cycles(path)
        self.charge("PPC_HVM_EXCEPT_DECREMENTER", l4=cycles, count=1)
        yield from self.spend(cycles)
        if isinstance(current, Vcpu):
            current.end_tick(int(self.environment.now))

    # -- the VMM's replies -------------------------------------------------------------------------

    def answer(self, server: Thread, vcpu: Vcpu, cause: str, path: str, answer: Any, advance: bool) -> None:
        """Transfer the VMM's reply to a fault and let the guest go on."""
        self._served = (self._served[0], self.now)
        self.fetch_kernel_lines(*self.paths.reply_lines())
        reply = self.paths.reply(path) + self.fpu.hand_over(server, vcpu)
        self.charge(cause, l4=reply)
        self.owe(reply)
        self.reply_and_wait(server, vcpu)
        vcpu.resume(self.now, answer, advance)

    def handled_interrupt(self, server: Thread) -> None:
        """The VMM has handled a device interrupt and waits for the next message."""
        self.reply_and_wait(server, None)
        current = self.scheduler.current
        if self.inject_on_resume and isinstance(current, Vcpu):
            current.inject(int(self.environment.now))

    def remote_cycles(self) -> int:
        """Cycles a message to or from the VMM's core costs this one beside its transfer."""
        instructions = self.datasheet.integer("l4.remote_ipc_instructions")
        return round(instructions * self.paths.cpi("irq.l4_to_vmm"))

    # -- IPC ---------------------------------------------------------------------------------------

    def call(self, caller: Thread, server: Thread, message: Message) -> None:
        """Send and wait for the reply; a waiting server runs at once on the caller's slice."""
        assert self.scheduler.current is caller
        if self.server_core is not None:
            cycles = self.remote_cycles() + self.fpu.switch_cycles // 2
            self.charge(message.cause, l4=cycles)
            self.owe(cycles)
            self.scheduler.block(ThreadState.RECEIVING)
            self.server_core.announce(message)
            return
        self._served = (int(self.environment.now), self.now)
        if server.state is ThreadState.RECEIVING:
            self.scheduler.block(ThreadState.RECEIVING)
            server.deliver(message)
            self.scheduler.switch_to(server)
        else:
            self.scheduler.block(ThreadState.SENDING)
            server.inbox.append(message)

    def reply_and_wait(self, server: Thread, to: Thread | None) -> None:
        """Answer a caller if there is one, and receive the next message.

        With a message already waiting the server keeps the core, for its priority is higher, and
        the caller becomes ready; otherwise the caller runs at once.
        """
        assert self.scheduler.current is server
        if server.inbox:
            message = server.inbox.popleft()
            if to is not None:
                self.scheduler.enqueue(to, front=True)  # it keeps its place
            if message.sender is not None:
                message.sender.state = ThreadState.RECEIVING
            server.deliver(message)
            return
        self.scheduler.block(ThreadState.RECEIVING)
        if to is not None:
            self.scheduler.switch_to(to)
        else:
            self.scheduler.dispatch()
