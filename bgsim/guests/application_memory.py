"""Application memory as a guest maps it: in 4 KiB pages its TLB handler loads, or statically in large ones.

A program is written against addresses of its data; which operations a reference becomes is the guest's
choice. In pages, each page is an entry of the TLB that the guest replaces and loads again on a miss, and
the first touch of a page is a page fault that the kernel answers with a zeroed page. In a static mapping
no reference ever faults; on bare metal none misses, and on a virtual TLB the microkernel answers from the
guest's large entries in the fragments it can map itself.

Left out: page faults that wait for a disk, swapping, pages shared by processes, the cache lines of page
table entries (the TLB handler's data-cache misses are a mean, ``guest.tlb_handler_dcache_misses``), and where
in the virtual TLB a large entry of the application stands: it is found like the kernel's own.

Source: Linux 2.6.2x for the 44x (page tables, ``head_44x.S``); what a page fault touches and how much it
executes was counted in the trace of a program that touches fresh pages.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bgsim.datasheet import Datasheet
from bgsim.guests.cnk import BUFFERS_MIB, DATA_MIB, TEXT_MIB
from bgsim.platforms.layout import FRAGMENTS
from bgsim.profiles import program as ops
from bgsim.profiles.program import Program, kernel_program, operation

MIB = 1 << 20

PAGE_DIRECTORY_MIB = 10
PAGE_TABLE_MIB = 9
THREAD_MIB = 9
"""MiB of kernel memory in which the traced kernel keeps them."""

FAULT_TEXT_MIB = (0, 4)
FAULT_DATA_MIB = (9, 10, 5, 11, 4)
"""MiB of kernel memory that every page fault of the trace touches."""

_FIRST_PAGE = 0x3000_0000 >> 12
_PID = 1
_OWN_PAGES = 2  # text and stack, in front of the data


class ApplicationMemory(Protocol):
    """Memory of one program: its code, and so many bytes of data."""

    program: Program
    """Knows the pages; the guest that runs the program has to be built with it."""

    size: int
    """Bytes of data."""

    code: tuple[int, ...]
    """Operations that fetch the program's code and touch its stack."""

    def words(self, addresses: NDArray[np.int64]) -> NDArray[np.uint32]:
        """Operations that refer to the data at these addresses, counted from its beginning."""

    def first_touch(self, address: int) -> list[int]:
        """Operations of the kernel when the data's page at an address is touched for the first time."""

    @property
    def touch_bytes(self) -> int:
        """Distance of addresses that each need a first touch; all of the data where none does."""


class PagedMemory:
    """Memory in small pages, mapped on demand.

    Parameters
    ----------
    size
        Bytes of data.
    """

    def __init__(self, datasheet: Datasheet, size: int) -> None:
        self.size = size
        self._page = datasheet.integer("guest.user_page")
        keys = _OWN_PAGES + -(-size // self._page)
        executable = np.zeros(keys, dtype=np.bool_)
        executable[0] = True
        self.program = Program(
            name="application",
            operations=np.zeros(0, dtype=np.uint32),
            key_page=(_FIRST_PAGE + np.arange(keys)).astype(np.uint32),
            key_pid=np.full(keys, _PID, dtype=np.uint8),
            key_executable=executable,
            key_kernel=np.zeros(keys, dtype=np.bool_),
            key_directory=np.full(keys, PAGE_DIRECTORY_MIB, dtype=np.uint8),
            key_table=np.full(keys, PAGE_TABLE_MIB, dtype=np.uint8),
            key_thread=np.full(keys, THREAD_MIB, dtype=np.uint8),
            instructions=0,
            instructions_removed=0,
        )
        self.code: tuple[int, ...] = (operation(ops.INSTRUCTION, 0), operation(ops.DATA, 1))
        self._fault = [operation(ops.ENTER, ops.EXCEPTION_DTLB)]
        self._fault += [operation(ops.LOWMEM_INSTRUCTION, mib) for mib in FAULT_TEXT_MIB]
        self._fault += [operation(ops.LOWMEM_DATA, mib) for mib in FAULT_DATA_MIB]
        self._fault.append(operation(ops.WORK_KERNEL, datasheet.integer("guest.page_fault_instructions")))

    def words(self, addresses: NDArray[np.int64]) -> NDArray[np.uint32]:
        """One reference to a page each."""
        keys = _OWN_PAGES + addresses // self._page
        return (keys + operation(ops.DATA)).astype(np.uint32)

    def first_touch(self, address: int) -> list[int]:
        """A page fault; the reference that follows loads the new page's entry."""
        return self._fault

    @property
    def touch_bytes(self) -> int:
        """A page."""
        return self._page


class StaticMemory:
    """Memory in the guest's own large entries, mapped before the program starts.

    Raises
    ------
    ValueError
        If the data does not fit in the stretch of static memory that a processor keeps track of.
    """

    def __init__(self, datasheet: Datasheet, size: int) -> None:
        most = (FRAGMENTS - BUFFERS_MIB) * MIB
        if size > most:
            raise ValueError(f"static memory holds {most // MIB} MiB of data, not {size / MIB:g}")
        self.size = size
        self.program = kernel_program("application", [])
        self.code: tuple[int, ...] = (
            operation(ops.LOWMEM_INSTRUCTION, TEXT_MIB),
            operation(ops.LOWMEM_DATA, DATA_MIB),
        )

    def words(self, addresses: NDArray[np.int64]) -> NDArray[np.uint32]:
        """One reference to a MiB of the static mapping each."""
        mib = BUFFERS_MIB + addresses // MIB
        return (mib + operation(ops.LOWMEM_DATA)).astype(np.uint32)

    def first_touch(self, address: int) -> list[int]:
        """Nothing: it is there."""
        return []

    @property
    def touch_bytes(self) -> int:
        """All of it."""
        return self.size
