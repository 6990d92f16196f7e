"""A program of the microkernel: no operating system, its drivers its own.

It runs in user mode and has nothing privileged in it. Registers of the torus' DMA engine and of the
collective network are mapped to it like memory, and there is nobody to ask for FIFOs and counters: the
program writes the registers that hand them out itself. Control registers it reads and writes as on the bare
machine; what that costs is not its affair. Its pager maps memory in pages of 4 MiB, or of 4 KiB if told
(``l4_app.page``).

What it does not have: files, sockets, processes, signals, a timer.

Source: L4Ka::Pistachio's interface for programs; the drivers are those of :mod:`bgsim.guests.messaging` and
:mod:`bgsim.guests.collective_messaging`.
"""

from __future__ import annotations

from collections.abc import Callable

from bgsim.datasheet import Datasheet
from bgsim.guests.application_memory import ApplicationMemory, PagedMemory, StaticMemory
from bgsim.guests.dma_calls import DmaCalls
from bgsim.guests.linux import Sequence
from bgsim.platforms.seam import Code
from bgsim.profiles.program import Program

MIB = 1 << 20
PAGES = {4 << 10: "4 KiB", 4 << 20: "4 MiB"}
"""Pages of the microkernel's page tables."""


class PageSizeError(ValueError):
    """The microkernel has no pages of this size."""


class OwnDrivers(DmaCalls):
    """DMA resources of a program to which the engine's registers belong: there is no kernel to enter."""

    def system_call(self) -> Code:
        """Nothing."""
        yield from ()


class L4App(OwnDrivers):
    """One program with one thread that computes.

    Parameters
    ----------
    program
        Knows the pages of its memory.
    main
        The program, as a generator of requests.
    external_interrupt
        What its driver does about an interrupt of a device; nothing by default, for drivers that poll.
    """

    timer_period_cycles = 0
    irq_pairs_milli = 0
    lines_per_iccci_milli = 0

    def __init__(
        self,
        datasheet: Datasheet,
        program: Program,
        main: Callable[[], Code],
        external_interrupt: Callable[[], Code] | None = None,
    ) -> None:
        self.datasheet = datasheet
        self.program = program
        self._main = main
        self._external_interrupt = external_interrupt

    @property
    def sequences(self) -> tuple[Sequence, ...]:
        """No privileged sequences."""
        return ()

    def pinned_entries(self, memory_bytes: int) -> int:
        """No TLB entries: they are the kernel's to load."""
        return 0

    def main(self) -> Code:
        """The program."""
        return self._main()

    def timer_interrupt(self) -> Code:
        """Never comes: the timer is the kernel's."""
        yield from ()

    def external_interrupt(self) -> Code:
        """What the driver's thread does when the kernel tells it of an interrupt."""
        if self._external_interrupt is not None:
            yield from self._external_interrupt()


class MappedPages(PagedMemory):
    """Memory that the program's pager maps page by page, 4 KiB each, as it is first touched."""

    def first_touch(self, address: int) -> list[int]:
        """Nothing beside the reference itself, whose fault the kernel hands to the pager."""
        return []


def program_memory(datasheet: Datasheet, size: int) -> ApplicationMemory:
    """Memory with so many bytes of data, in the pages that the program's pager maps.

    Raises
    ------
    PageSizeError
        If the microkernel has no pages of that size.
    """
    page = datasheet.integer("l4_app.page")
    if page not in PAGES:
        raise PageSizeError(f"l4_app.page: the microkernel maps pages of {' or '.join(PAGES.values())}")
    return StaticMemory(datasheet, size) if page >= MIB else MappedPages(datasheet, size)
