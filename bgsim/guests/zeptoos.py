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

from collections.abc import Mapping
from functools import cached_property

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
    """Compute node Linux with 4 KiB pages; built as :class:`KittyhawkLinux` is."""

    _ticks = 0

    @cached_property
    def ticks_between_reaps(self) -> int:
        """Timer interrupts from one run of the reaper to the next."""
        period = self.datasheet.quantity("guest.reaper_period").value
        return round(period * self.datasheet.quantity("guest.timer_frequency").value)

    @cached_property
    def _reaper(self) -> Program:
        # A kernel thread borrows the address space of the program it interrupts: no PID is written.
        switch = operation(ops.SEQUENCE, layout.SEQ_SWITCH)
        words = [switch]
        words += [operation(ops.LOWMEM_INSTRUCTION, mib) for mib in REAPER_TEXT_MIB]
        words += [operation(ops.LOWMEM_DATA, mib) for mib in REAPER_DATA_MIB]
        words += [operation(ops.WORK_KERNEL, self.datasheet.integer("guest.reaper_instructions")), switch]
        return kernel_program("reaper", words)

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

    @cached_property
    def _call(self) -> Program:
        return kernel_program(
            "system call",
            [
                operation(ops.ENTER, ops.EXCEPTION_SYSCALL),
                operation(ops.LOWMEM_INSTRUCTION, REAPER_TEXT_MIB[0]),
                operation(ops.LOWMEM_DATA, REAPER_DATA_MIB[0]),
                operation(ops.WORK_KERNEL, self.datasheet.integer("cnk.system_call_instructions")),
            ],
        )

    def pinned_entries(self, memory_bytes: int) -> int:
        """Entries of the kernel's linear mapping, and of the Big Memory that takes the rest."""
        kernel = min(self.datasheet.integer("zeptoos.kernel_memory"), memory_bytes)
        page = self.datasheet.integer("zeptoos.bigmemory_page")
        return pinned_entries(self.datasheet, kernel) + -(-(memory_bytes - kernel) // page)

    def system_call(self) -> Code:
        """Enter the kernel for one of the calls that hand out DMA resources."""
        yield Run(self._call)


LINUX: Mapping[str, type[KittyhawkLinux]] = {
    "kittyhawk-linux": KittyhawkLinux,
    "zeptoos": ZeptoOs,
    "zeptoos-bigmemory": ZeptoOsBigMemory,
}
"""The guests that are Linux, by name: they run what was traced under it."""
