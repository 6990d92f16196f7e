"""The VMM on a core of its own: faults and interrupts are messages between cores.

The guest's core builds and transfers messages as before, and asks the other core by an inter-processor
interrupt; it then idles until the reply's interrupt comes, and puts the reply into the guest's frame. The VMM
runs meanwhile on its own core, whose caches and TLB it has for itself. Device interrupts still arrive at the
guest's core, which passes them on and lets the guest run while the VMM handles them.

Cycles of the VMM's core are not the guest's: the guest's core is idle meanwhile, and they are counted apart.
Left out: a polling VMM, and the second core's own kernel paths beside the request's handler.

Source: L4Ka::Pistachio's cross-processor IPC and the interrupt controller; path lengths are estimates, see
``bgsim datasheet l4.remote_ipc_instructions``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, NamedTuple

import simpy

from bgsim.l4.core_clock import CoreClock
from bgsim.l4.thread import Message, Thread, ThreadState
from bgsim.l4.vcpu import Vcpu

if TYPE_CHECKING:
    from bgsim.l4.kernel import Kernel
    from bgsim.l4.server_host import HostedServer


class Reply(NamedTuple):
    """What the VMM's core has for the guest's: an answer to a fault, or news of an event."""

    vcpu: Vcpu | None
    cause: str
    path: str
    answer: Any
    advance: bool


class ServerCore(CoreClock):
    """The core the VMM's server runs on. It offers the server what a kernel does (``ServerHost``).

    Attributes
    ----------
    resident
        None: no guest has entries in this core's TLB.
    busy_cycles
        Cycles the VMM's core has worked.
    """

    resident = None

    def __init__(self, kernel: Kernel, server: HostedServer) -> None:
        super().__init__(kernel.environment)
        self.guest_kernel = kernel
        self.server = server
        self.paths = kernel.paths
        self.fpu = kernel.fpu
        self.vcpus = kernel.vcpus
        self.latency = kernel.datasheet.cycles("l4.remote_interrupt_cycles")
        self.busy_cycles = 0
        self._messages: deque[Message] = deque()
        self._wake = self.environment.event()
        self.process = self.environment.process(self._run())

    def announce(self, message: Message) -> None:
        """The guest's core sends a message once the time it owes has passed."""

        def later() -> Generator[simpy.Event, Any, None]:
            yield self.environment.timeout(owed)
            self.post(message)

        owed = self.guest_kernel.now - int(self.environment.now)
        self.environment.process(later())

    def post(self, message: Message) -> None:
        """A message from the guest's core; the interrupt that announces it is on its way."""
        self._messages.append(message)
        if not self._wake.triggered:
            self._wake.succeed()

    def _run(self) -> Generator[simpy.Event, Any, None]:
        while True:
            if not self._messages:
                self._wake = self.environment.event()
                yield self._wake
            yield self.environment.timeout(self.latency)
            self.server.state = ThreadState.RUNNING
            self.server.deliver(self._messages.popleft())
            yield from self.server.execute(self)
            yield from self.settle()

    # -- what the server asks of its kernel ----------------------------------------------------------

    def _spent(self, cycles: int) -> None:
        self.busy_cycles += cycles

    def charge(self, cause: str, l4: int = 0, vmm: int = 0, count: int = 0) -> None:
        """Exits are counted with the guest; the cycles are this core's."""
        self.guest_kernel.charge(cause, count=count)

    def fetch_kernel_lines(self, *groups: str) -> None:
        """Nothing to refetch: the VMM has this core's instruction cache for itself."""

    def owe_device_time(self, accesses: int, dcr_accesses: int = 0, collective_accesses: int = 0) -> None:
        """Owe the time of accesses to device registers, control registers and the collective network."""
        kernel = self.guest_kernel
        kernel.account.device_accesses += accesses + dcr_accesses + collective_accesses
        self.owe(kernel.access_cycles(accesses, dcr_accesses, collective_accesses))

    def unmask(self, number: int) -> None:
        """The server acknowledged an interrupt."""
        self.guest_kernel.unmask(number)

    def answer(self, server: Thread, vcpu: Vcpu, cause: str, path: str, answer: Any, advance: bool) -> None:
        """Send a reply to the guest's core."""
        server.state = ThreadState.RECEIVING
        self.environment.process(self._send(Reply(vcpu, cause, path, answer, advance)))

    def handled_interrupt(self, server: Thread) -> None:
        """Tell the guest's core that there may be an event to raise."""
        server.state = ThreadState.RECEIVING
        self.environment.process(self._send(Reply(None, "PPC_HVM_EXCEPT_EXTERNAL", "", None, False)))

    def _send(self, reply: Reply) -> Generator[simpy.Event, Any, None]:
        yield self.environment.timeout(self._owed + self.latency)
        self.guest_kernel.remote_replies.append(reply)
        self.guest_kernel.interrupt_line()

    def give(self, reply: Reply) -> Generator[simpy.Event, Any, None]:
        """The guest's core takes the interrupt of a reply, or of an event that may be raised."""
        kernel = self.guest_kernel
        cycles = kernel.remote_cycles()
        if reply.vcpu is not None:
            kernel.fetch_kernel_lines(*kernel.paths.reply_lines())
            cycles += kernel.paths.reply(reply.path) + kernel.fpu.switch_cycles // 2
        kernel.charge(reply.cause, l4=cycles)
        kernel.owe(cycles)
        yield from kernel.settle()
        now = int(self.environment.now)
        scheduler = kernel.scheduler
        if reply.vcpu is not None:
            if scheduler.current is None:
                scheduler.switch_to(reply.vcpu)
            else:
                scheduler.enqueue(reply.vcpu, front=True)
            reply.vcpu.resume(now, reply.answer, reply.advance)
        elif isinstance(scheduler.current, Vcpu):
            scheduler.current.inject(now)
