"""ZeptoOS's file system calls: through FUSE to a daemon on the compute node, and on to the I/O node's ZOID.

A program's call enters the kernel, whose FUSE file system queues a request, wakes a daemon and switches to
it. The daemon, an ordinary process in pages of 4 KiB, copies the request out with one system call, works the
collective network's device itself, and gives the answer back with another; then the program runs again. So
one call is three entries of the kernel and two switches of the address space. Between two looks at the device
the daemon gives up the core, which comes back at once, since everyone else sleeps. FUSE cuts reads and writes
into requests of its own size.

Left out: the daemon's several threads, the page cache (ZeptoOS's files are read once), the acknowledgement
that a long command asks the I/O node for, and the library that links a program with ZOID directly.

Sources: the parts (zoid, zoid-fuse, control daemon) as the ZeptoOS wiki has them, 2009; packets of 256 B with
16 B of header as in ZOID's protocol, version 1.2; FUSE as in Linux 2.6.19 in outline. Path lengths
``zeptoos.fuse_*`` are guesses.
"""

from __future__ import annotations

import numpy as np

from bgsim.datasheet import Datasheet
from bgsim.guests.application_memory import ApplicationMemory, PagedMemory, StaticMemory
from bgsim.guests.function_shipping import FileCalls
from bgsim.platforms import layout
from bgsim.platforms.seam import Code, Run
from bgsim.profiles import program as ops
from bgsim.profiles.program import kernel_program, operation

KERNEL_TEXT_MIB = (0, 1)
KERNEL_DATA_MIB = (4, 5, 9)
"""MiB of the kernel's linear mapping that a request goes through."""

PROGRAM_PID, DAEMON_PID = 1, 2
PAGE_BYTES = 4096
DAEMON_PAGES = 3
"""Text, stack and buffer of the daemon."""


class ForwardingMemory(PagedMemory):
    """Memory of the daemon, in pages, beside a program's, which is mapped as its guest maps it.

    Parameters
    ----------
    static
        Whether the program has static memory.
    """

    def __init__(self, datasheet: Datasheet, static: bool) -> None:
        super().__init__(datasheet, DAEMON_PAGES * PAGE_BYTES)
        self.daemon = tuple(self.words(np.arange(DAEMON_PAGES, dtype=np.int64) * PAGE_BYTES).tolist())
        if static:
            own: ApplicationMemory = StaticMemory(datasheet, PAGE_BYTES)
            self.code = own.code


class ForwardedCalls(FileCalls):
    """The file system calls of one process under ZeptoOS.

    Parameters
    ----------
    memory
        What the daemon and the program touch.
    node, io_node, process
        As of :class:`FileCalls`.
    """

    def __init__(
        self, datasheet: Datasheet, memory: ForwardingMemory, node: int, io_node: int, process: int = 0
    ) -> None:
        super().__init__(datasheet, node, io_node, process)
        self.read_bytes = datasheet.integer("zeptoos.fuse_read")
        self.write_bytes = datasheet.integer("zeptoos.fuse_write")
        self._memory = memory
        self._request = datasheet.integer("zeptoos.fuse_instructions")
        self._wake = datasheet.integer("guest.block_and_wake_instructions")
        self._per_byte = datasheet.quantity("guest.copy_instructions_per_byte").value
        self._marshal = self._in_daemon(datasheet.integer("zeptoos.forward_instructions"))
        self._packet = self._in_daemon(datasheet.integer("zeptoos.forward_packet_instructions"))
        yielding = self._kernel(datasheet.integer("zeptoos.yield_instructions"))
        self._pause = Run(kernel_program("yield", [*memory.daemon, *yielding]))

    def _enter(self) -> Code:
        """The program's call: to the file system's request."""
        yield Run(kernel_program("file call", [*self._memory.code, *self._kernel(self._request)]))

    def _handed_over(self, size: int) -> Code:
        """Switch to the daemon, which reads the request, with so much data."""
        copied = self._kernel(self._request + self._copied(2 * size))
        yield Run(kernel_program("to the daemon", [*self._switch(DAEMON_PID), *self._memory.daemon, *copied]))

    def _returned(self, size: int) -> Code:
        """The daemon writes the answer, with so much data; switch to the program."""
        copied = self._kernel(self._request + self._copied(2 * size))
        words = [*self._memory.daemon, *copied, *self._switch(PROGRAM_PID), *self._memory.code]
        yield Run(kernel_program("from the daemon", words))

    def _copied(self, size: int) -> int:
        return round(size * self._per_byte)

    def _kernel(self, instructions: int) -> list[int]:
        """A system call of so many instructions."""
        words = [operation(ops.ENTER, ops.EXCEPTION_SYSCALL)]
        words += [operation(ops.LOWMEM_INSTRUCTION, mib) for mib in KERNEL_TEXT_MIB]
        words += [operation(ops.LOWMEM_DATA, mib) for mib in KERNEL_DATA_MIB]
        return [*words, operation(ops.WORK_KERNEL, instructions)]

    def _switch(self, pid: int) -> list[int]:
        """One process sleeps, another is woken: a switch, and the other's address space."""
        half = operation(ops.WORK_KERNEL, self._wake // 2)
        return [half, operation(ops.SEQUENCE, layout.SEQ_SWITCH), operation(ops.PID, pid), half]

    def _in_daemon(self, instructions: int) -> Run:
        words = [*self._memory.daemon, operation(ops.WORK_USER, instructions)]
        return Run(kernel_program("forwarding", words))
