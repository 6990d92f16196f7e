"""Kernel operations of a program that runs on the microkernel itself.

A page fault is what its pager is asked for, a TLB miss what L4 answers from the program's page table, both by
single pages of 4 KiB. The control register access is the one the kernel executes in the program's exception.
System calls of L4's own are a thread switch with nobody to switch to, and a call: a short message to another
thread, and its answer.
"""

from __future__ import annotations

import numpy as np

from bgsim.datasheet import Datasheet
from bgsim.guests.application_memory import ApplicationMemory
from bgsim.guests.l4_app import MappedPages
from bgsim.platforms.seam import Code, Run, SystemCall
from bgsim.profiles.program import kernel_program

PAGE_BYTES = 4096
WALKED_PAGES = 128
"""More than the hardware TLB holds, gone through in turn: every reference misses."""


def memory_of(operation_name: str, iterations: int, machine: Datasheet) -> ApplicationMemory:
    """The memory that an operation goes through."""
    pages = iterations + 1 if operation_name == "page-fault-touch" else WALKED_PAGES
    return MappedPages(machine, pages * PAGE_BYTES)


def touches(memory: ApplicationMemory, first: int, count: int) -> Code:
    """Refer to pages of a memory in turn, `first` of them having been referred to before."""
    pages = (first + np.arange(count, dtype=np.int64)) * PAGE_BYTES % memory.size
    yield Run(kernel_program("touch", memory.words(pages).tolist()))


def system_call(operation_name: str) -> SystemCall | None:
    """The system call of the microkernel that an operation is, if it is one."""
    prefix = "l4-"
    if not operation_name.startswith(prefix):
        return None
    return SystemCall(operation_name.removeprefix(prefix))
