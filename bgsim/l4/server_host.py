"""What a server thread asks of the microkernel on the core where it runs.

The same server runs beside its guests, on the kernel of their core (``kernel.py``), and on a core of its own
(``server_core.py``).
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Protocol

import simpy

from bgsim.l4.paths import Paths
from bgsim.l4.thread import Message, Thread, ThreadState

if TYPE_CHECKING:
    from bgsim.l4.vcpu import Vcpu


class ServerHost(Protocol):
    """The core of a server, its time, and the way back to the guests."""

    @property
    def paths(self) -> Paths:
        """Prices of the kernel's and the server's paths."""

    @property
    def resident(self) -> Vcpu | None:
        """The guest whose TLB entries are on this core; None on a core of the server's own."""

    def owe(self, cycles: int) -> None:
        """Pass time on this core together with whatever comes next."""

    def settle(self) -> Generator[simpy.Event, Any, None]:
        """Pass the time that is owed."""

    def spend(self, cycles: int) -> Generator[simpy.Event, Any, None]:
        """Pass time on this core, and what is owed."""

    def charge(self, cause: str, l4: int = 0, vmm: int = 0, count: int = 0) -> None:
        """Account cycles, and occurrences, to a cause."""

    def fetch_kernel_lines(self, *groups: str) -> None:
        """Refetch instruction lines that are not in the cache; the time is owed."""

    def owe_device_time(self, accesses: int, dcr_accesses: int = 0, collective_accesses: int = 0) -> None:
        """Owe the time of accesses to devices."""

    def unmask(self, number: int) -> None:
        """An interrupt has been acknowledged, and may come again."""

    def answer(self, server: Thread, vcpu: Vcpu, cause: str, path: str, answer: Any, advance: bool) -> None:
        """Answer a fault and let the guest go on; the server waits for the next message."""

    def handled_interrupt(self, server: Thread) -> None:
        """An interrupt has been handled; the server waits for the next message."""


class HostedServer(Protocol):
    """A server thread that can run on a core of its own."""

    state: ThreadState

    def deliver(self, message: Message) -> None:
        """Take the next message to handle."""

    def execute(self, kernel: ServerHost) -> Generator[simpy.Event, Any, None]:
        """Handle it and wait for the next."""
