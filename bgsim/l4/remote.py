"""IPC between cores, where the microkernel is built for several: three inter-processor interrupts a message.

A thread that sends to a thread of another core cannot look at it: its kernel asks the other one, which locks
the receiver and answers; the sender transfers the message and tells the other kernel that the receiver may
run. Request, answer and completion are an interrupt each, two to the receiver's core and one back. The VMM's
threads, one per core, use it for two things: the thread that handles a device's interrupt kicks that of each
core with a vCPU that should see an event, and a thread whose guest acknowledged an interrupt tells the core
that keeps it masked.

An inter-processor interrupt is an entry of the interrupt controller like any other: number 8 times the core,
in group 0. Several that come while the first is pending are one interrupt, after which all requests are
looked at.

Left out: that the asked kernel may be slow to answer, being in the middle of something (the sender is charged
for a prompt answer), that the sender's core may run something else meanwhile, and the busy retry of a sender
whose receiver is not waiting: such a message waits in the receiver's queue.

Source: L4Ka::Pistachio ``api/v4/ipc.cc`` (remote IPC by requests), ``platform/ppc44x/bic.cc``; khvmm
``vmthread.cc``.
Costs are estimates, see ``bgsim datasheet 'l4.remote*'``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import simpy

from bgsim.hardware.bic import Bic, target
from bgsim.l4.thread import Message

if TYPE_CHECKING:
    from bgsim.l4.kernel import Kernel
    from bgsim.l4.thread import Thread
    from bgsim.l4.vcpu import Vcpu

REMOTE_IPC = "remote_ipc"
"""Cause of the cycles on both sides."""

INTERRUPTS_PER_MESSAGE = 3


class _Request(NamedTuple):
    """What one kernel asks of another: to lock a receiver, or (with a message) to let it run."""

    receiver: Thread | None
    message: Message | None


class RemoteIpc:
    """The message paths between the kernels of one node.

    Parameters
    ----------
    kernels
        By core; all those of the node.
    vcpus
        All vCPUs of the node: a kernel runs as long as any of them does.

    Attributes
    ----------
    messages
        Remote IPCs.
    interrupts
        Inter-processor interrupts sent, by core they went to.
    """

    def __init__(self, kernels: Mapping[int, Kernel], bic: Bic, vcpus: Sequence[Vcpu]) -> None:
        self.kernels = kernels
        self.vcpus = vcpus
        self.messages = 0
        self.interrupts = dict.fromkeys(kernels, 0)
        self._bic = bic
        self._mailboxes: dict[int, deque[_Request]] = {core: deque() for core in kernels}
        for core, kernel in kernels.items():
            bic.set_target(_number(core), target(core))
            kernel.remote = self

    def is_request(self, number: int) -> bool:
        """Whether an interrupt is one between processors."""
        return number % 8 == 0 and number // 8 in self.kernels

    def send(
        self, source: Kernel, core: int, receiver: Thread | None, message: Message
    ) -> Generator[simpy.Event, Any, None]:
        """Send from a thread of one core to a thread of another.

        Parameters
        ----------
        source
            Kernel of the sending thread, which does nothing else meanwhile.
        receiver
            None for the kernel's own interrupt threads.
        """
        kernel = self.kernels[core]
        self.messages += 1
        latency = source.datasheet.cycles("l4.remote_interrupt_cycles")
        taking = self._taking_cycles(source)
        cycles = source.remote_cycles()
        source.charge(REMOTE_IPC, l4=cycles, count=1)
        source.owe(cycles)
        yield from source.settle()
        self._interrupt(source, core, latency, lambda: self._post(core, _Request(receiver, None)))
        # The answer: the other kernel takes the request, and this one the interrupt that says so.
        waiting = latency + self._taking_cycles(kernel) + latency + taking
        self.interrupts[source.core] += 1
        source.charge(REMOTE_IPC, l4=waiting)
        source.owe(waiting)
        yield from source.settle()
        self._interrupt(source, core, latency, lambda: self._post(core, _Request(receiver, message)))

    def take(self, kernel: Kernel, number: int) -> Generator[simpy.Event, Any, None]:
        """An inter-processor interrupt has come: look at all requests."""
        self._bic.clear(number)
        mailbox = self._mailboxes[kernel.core]
        kernel.fetch_kernel_lines("stub", "interrupt")
        while mailbox:
            request = mailbox.popleft()
            cycles = self._taking_cycles(kernel)
            kernel.charge(REMOTE_IPC, l4=cycles)
            yield from kernel.spend(cycles)
            if request.message is None:
                continue
            if request.receiver is None:
                kernel.unmask(request.message.content)
            else:
                kernel.preempt_for(request.receiver, request.message)

    def _taking_cycles(self, kernel: Kernel) -> int:
        instructions = kernel.datasheet.integer("l4.remote_request_instructions")
        return round(instructions * kernel.paths.cpi("irq.l4_to_vmm"))

    def _interrupt(self, source: Kernel, core: int, latency: int, arrive: Callable[[], None]) -> None:
        def later() -> Generator[simpy.Event, Any, None]:
            yield source.environment.timeout(latency)
            arrive()

        self.interrupts[core] += 1
        source.environment.process(later())

    def _post(self, core: int, request: _Request) -> None:
        self._mailboxes[core].append(request)
        self._bic.raise_interrupt(_number(core))


def _number(core: int) -> int:
    """Number of the interrupt that goes to a core."""
    return 8 * core
