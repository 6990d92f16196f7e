"""ZeptoOS: Linux on the compute nodes, with 4 KiB pages or with its Big Memory.

It is the same kernel as any 44x Linux: the privileged instructions of its entries, its TLB handler and its
timer interrupt are those of :mod:`bgsim.guests.kittyhawk`. Two things are its own. Every core's slab
caches are reaped by a kernel thread every two seconds, which is the rest of the noise an idle kernel
makes. And in the Big Memory variant the application's memory is not paged: it is mapped before the program
starts with the largest pages the TLB has, pinned beside those of the kernel's linear mapping, and the
messaging library works the DMA engine from user space as under CNK.

Left out: ZOID and its forwarded system calls, the four processes a node can hold, per-core Big Memory,
other daemons (a compute node runs hardly any), and how long reaping takes when caches are full.

Sources: Yoshii et al., P2S2 2008, ICPPW 2009 and IJHPCA 2011 (abstracts) for what Big Memory is; slab
reaping from ``mm/slab.c`` of Linux 2.6, recalled; the size of the entries and their number are guesses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bgsim.datasheet import Datasheet
from bgsim.guests.dma_calls import DmaCalls
from bgsim.guests.kittyhawk import KittyhawkLinux
from bgsim.guests.linux import pinned_entries
from bgsim.platforms import layout
from bgsim.platforms.seam import Code, Run
from bgsim.profiles import program as ops
from bgsim.profiles.program import Program, kernel_program, operation

REAPER_TEXT_MIB = (0, 4)
REAPER_DATA_MIB = (9, 10, 5, 11, 4)
"""MiB of the kernel that the reaper touches: as a page fault, which allocates from the same caches."""


class ZeptoOs(KittyhawkLinux):
    """Compute node Linux with 4 KiB pages.

    Parameters
    ----------
    program
        Program whose pages the guest maps.
    main
        What the guest does, as a generator of requests.
    build, external_interrupt, timer
        As of :class:`KittyhawkLinux`.

    Attributes
    ----------
    ticks_between_reaps
        Timer interrupts from one run of the reaper to the next.
    """

    def __init__(
        self,
        datasheet: Datasheet,
        program: Program,
        main: Callable[[], Code],
        build: str = "gcc346",
        external_interrupt: Callable[[], Code] | None = None,
        timer: bool = True,
    ) -> None:
        super().__init__(datasheet, program, main, build, external_interrupt, timer)
        period = datasheet.quantity("guest.reaper_period").value
        self.ticks_between_reaps = round(period * datasheet.quantity("guest.timer_frequency").value)
        self._ticks = 0
        # A kernel thread borrows the address space of the program it interrupts: no PID is written.
        switch = operation(ops.SEQUENCE, layout.SEQ_SWITCH)
        words = [switch]
        words += [operation(ops.LOWMEM_INSTRUCTION, mib) for mib in REAPER_TEXT_MIB]
        words += [operation(ops.LOWMEM_DATA, mib) for mib in REAPER_DATA_MIB]
        words += [operation(ops.WORK_KERNEL, datasheet.integer("guest.reaper_instructions")), switch]
        self._reaper = kernel_program("reaper", words)

    def timer_interrupt(self) -> Code:
        """Timer interrupt; every so often it makes the reaper runnable, which then runs first."""
        yield from super().timer_interrupt()
        self._ticks += 1
        if self._ticks % self.ticks_between_reaps == 0:
            yield Run(self._reaper)


class ZeptoOsBigMemory(DmaCalls, ZeptoOs):
    """Compute node Linux whose application memory is mapped statically with large pages.

    One program has it, the job's. Any other is paged as usual, in the memory that is left to the kernel: a
    ``program`` with pages runs like that.
    """

    def __init__(
        self,
        datasheet: Datasheet,
        program: Program,
        main: Callable[[], Code],
        build: str = "gcc346",
        external_interrupt: Callable[[], Code] | None = None,
        timer: bool = True,
    ) -> None:
        super().__init__(datasheet, program, main, build, external_interrupt, timer)
        self._big_page = datasheet.integer("zeptoos.bigmemory_page")
        self._kernel_memory = datasheet.integer("zeptoos.kernel_memory")
        self._call = kernel_program(
            "system call",
            [
                operation(ops.ENTER, ops.EXCEPTION_SYSCALL),
                operation(ops.LOWMEM_INSTRUCTION, REAPER_TEXT_MIB[0]),
                operation(ops.LOWMEM_DATA, REAPER_DATA_MIB[0]),
                operation(ops.WORK_KERNEL, datasheet.integer("cnk.system_call_instructions")),
            ],
        )

    def pinned_entries(self, memory_bytes: int) -> int:
        """Entries of the kernel's linear mapping, and of the Big Memory that takes the rest."""
        kernel = min(self._kernel_memory, memory_bytes)
        return pinned_entries(self.datasheet, kernel) + -(-(memory_bytes - kernel) // self._big_page)

    def system_call(self) -> Code:
        """Enter the kernel for one of the calls that hand out DMA resources."""
        yield Run(self._call)


LINUX: Mapping[str, type[KittyhawkLinux]] = {
    "kittyhawk-linux": KittyhawkLinux,
    "zeptoos": ZeptoOs,
    "zeptoos-bigmemory": ZeptoOsBigMemory,
}
"""The guests that are Linux, by name: they run what was traced under it."""
