"""Threads of the microkernel: vCPUs and servers, with priorities and time slices.

Source: L4Ka::Pistachio ``api/v4/sched-rr``; priorities of the VMM's threads from khvmm
``config.h``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

import simpy

if TYPE_CHECKING:
    from bgsim.l4.kernel import Kernel

VMM_PRIORITY = 128
VCPU_PRIORITY = 10


class ThreadState(Enum):
    """What a thread is doing as far as scheduling goes."""

    READY = "ready"
    RUNNING = "running"
    RECEIVING = "receiving"
    """Waiting for a message from anyone (a server) or for the reply to its call (a vCPU)."""
    SENDING = "sending"
    """Calling a thread that is not receiving yet."""
    ENDED = "ended"


@dataclass(frozen=True)
class Message:
    """What one thread sends another.

    Attributes
    ----------
    sender
        Thread that sent it; None for a hardware interrupt.
    label
        ``fault`` for a privileged instruction or device access, ``ram`` for a missing mapping,
        ``interrupt`` for a hardware interrupt.
    content
        The access, the faulting MiB, or the interrupt number.
    cause
        What its cycles are charged to.
    """

    sender: Thread | None
    label: str
    content: Any
    cause: str = ""


@dataclass(eq=False)
class Thread:
    """One thread of the microkernel."""

    name: str
    priority: int
    state: ThreadState = ThreadState.READY
    slice_left_cycles: int = 0
    inbox: deque[Message] = field(default_factory=deque)
    """Messages of senders that wait for this thread to receive."""

    def execute(self, kernel: Kernel) -> Generator[simpy.Event, Any, None]:
        """Run until this thread blocks, or something else may have to run."""
        raise TypeError(f"{type(self).__name__} does not run")

    def deliver(self, message: Message) -> None:
        """Take a message this thread was waiting for."""
        raise TypeError(f"{type(self).__name__} takes no messages")
