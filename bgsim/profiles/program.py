"""A program as the guest's processor sees it: page references, kernel entries and work.

The traces were taken on a machine of 256 MiB whose TLB handler, timer and serial interrupts ran
inside the trace. Those belong to the machine, not to the program: they are taken out here, and
the simulated machine puts its own back in when *its* TLB misses and *its* timer fires. What the
removed TLB handler runs teach is kept: which page-table page maps which address.

Source of the traces: see ``data/README.md``.
"""

from __future__ import annotations

import json
import lzma
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bgsim.profiles.digest import digest

# An operation is one uint32: kind in bits 31-28, argument in bits 27-0.
DATA = 0  # argument: page key
INSTRUCTION = 1  # argument: page key
LOWMEM_DATA = 2  # argument: MiB offset within the kernel's linear mapping
LOWMEM_INSTRUCTION = 3
WORK_USER = 4  # argument: instructions
WORK_KERNEL = 5
ENTER = 6  # argument: exception number
PID = 7  # argument: new PID
TLBIE = 8  # argument: page key
TLBIA = 9
SEQUENCE = 10  # argument: number of a privileged sequence of the guest
KIND_SHIFT = 28
ARGUMENT_MASK = (1 << KIND_SHIFT) - 1

EXCEPTION_DSI = 2
EXCEPTION_ISI = 3
EXCEPTION_EXTERNAL = 4
EXCEPTION_PROGRAM = 6
EXCEPTION_FP_UNAVAILABLE = 7
EXCEPTION_SYSCALL = 8
EXCEPTION_DECREMENTER = 10
EXCEPTION_DTLB = 13
EXCEPTION_ITLB = 14

UNKNOWN = 255
_KEYS_MAX = 1 << 18
_BLOCKS_MAX = 8192

TRACES = {
    "gcc346": "compile-gcc346-O2",
    "lcc": "compile-lcc",
    "gcc12": "compile-gcc12-O2",
}
"""Builds by name."""

BUILD_MIB = 256
"""Memory of the traced machine, whose last MiB every build touches."""


@dataclass(frozen=True, eq=False)
class Program:
    """Operations of a program and what is known of the pages they touch.

    Attributes
    ----------
    operations
        uint32[n], see the module's constants.
    key_page, key_pid
        uint32[keys], uint8[keys]: virtual page number and address space of each page key; kernel
        pages outside the linear mapping have PID 0.
    key_executable
        bool[keys]: an instruction was fetched from the page.
    key_kernel
        bool[keys]: the page belongs to the kernel (vmalloc and device mappings).
    key_directory, key_table, key_thread
        uint8[keys]: MiB of kernel memory holding the page directory, the page table and the thread
        structure a TLB handler reads when it loads this page.
    instructions
        User and kernel instructions of the operations, without the parts taken out.
    instructions_removed
        Instructions of TLB handlers, timer and external interrupts taken out.
    """

    name: str
    operations: NDArray[np.uint32]
    key_page: NDArray[np.uint32]
    key_pid: NDArray[np.uint8]
    key_executable: NDArray[np.bool_]
    key_kernel: NDArray[np.bool_]
    key_directory: NDArray[np.uint8]
    key_table: NDArray[np.uint8]
    key_thread: NDArray[np.uint8]
    instructions: int
    instructions_removed: int

    @property
    def keys(self) -> int:
        """Number of distinct pages."""
        return len(self.key_page)

    @property
    def linear_mib(self) -> int:
        """MiB of memory up to the last that the operations and the page tables of their pages need."""
        tables = np.concatenate([self.key_directory, self.key_table, self.key_thread])
        known = tables[tables != UNKNOWN].astype(np.int64)
        return max(linear_mib(self.operations), 1 + int(known.max(initial=-1)))


def linear_mib(operations: NDArray[np.uint32]) -> int:
    """MiB of a linear mapping, up to the last that operations refer to; 0 where they refer to none."""
    kinds = operations >> np.uint32(KIND_SHIFT)
    there = operations[(kinds == LOWMEM_DATA) | (kinds == LOWMEM_INSTRUCTION)] & np.uint32(ARGUMENT_MASK)
    return 1 + int(there.astype(np.int64).max(initial=-1))


def operation(kind: int, argument: int = 0) -> int:
    """Encode one operation as an unsigned 32-bit integer."""
    if not 0 <= argument <= ARGUMENT_MASK:
        raise ValueError(f"operation argument {argument} does not fit in {KIND_SHIFT} bits")
    return kind << KIND_SHIFT | argument


def kernel_program(name: str, operations: list[int]) -> Program:
    """A program that touches kernel memory only and needs no page keys."""
    words = np.array(operations, dtype=np.uint32)
    kinds = words >> np.uint32(KIND_SHIFT)
    work = (kinds == WORK_USER) | (kinds == WORK_KERNEL)
    empty = np.zeros(0, dtype=np.uint8)
    return Program(
        name=name,
        operations=words,
        key_page=np.zeros(0, dtype=np.uint32),
        key_pid=empty,
        key_executable=np.zeros(0, dtype=np.bool_),
        key_kernel=np.zeros(0, dtype=np.bool_),
        key_directory=empty,
        key_table=empty,
        key_thread=empty,
        instructions=int((words[work] & np.uint32(ARGUMENT_MASK)).sum()),
        instructions_removed=0,
    )


def read_words(stem: str) -> NDArray[np.uint32]:
    """Raw words of the trace ``stem``.trace.xz shipped with the package."""
    data = files("bgsim.profiles").joinpath("data", f"{stem}.trace.xz").read_bytes()
    return np.frombuffer(lzma.decompress(data), dtype="<u4").astype(np.uint32, copy=False)


@lru_cache(maxsize=1)
def counts() -> dict[str, Any]:
    """Counts of every measured program, by its name in ``counts.json``."""
    text = files("bgsim.profiles").joinpath("data", "counts.json").read_text()
    workloads: dict[str, Any] = json.loads(text)["workloads"]
    return workloads


@lru_cache(maxsize=2)
def load(stem: str, keep_pid_writes: bool = True) -> Program:
    """Read a trace and take the machine's own share out of it.

    Parameters
    ----------
    stem
        File name without ``.trace.xz``.
    keep_pid_writes
        False drops PID writes and puts every user page in one address space: for slices of
        loopback traffic that stand for one process on a node of its own.
    """
    words = read_words(stem)
    operations = np.empty(len(words), dtype=np.uint32)
    key_words = np.zeros((2, _KEYS_MAX), dtype=np.uint32)  # page, PID
    key_bytes = np.full((5, _KEYS_MAX), UNKNOWN, dtype=np.uint8)
    key_bytes[:2] = 0  # executable, kernel; then directory, table, thread
    length, keys, done, removed = digest(
        words,
        operations,
        np.full(256 * 1024, -1, dtype=np.int32),
        np.full((_BLOCKS_MAX, 1024), -1, dtype=np.int32),
        key_words,
        key_bytes,
        keep_pid_writes,
    )
    if keys < 0:
        raise ValueError(f"{stem}: the trace touches more than {_KEYS_MAX} pages")
    executable, kernel, directory, table, thread = (row[:keys].copy() for row in key_bytes)
    return Program(
        name=stem,
        operations=operations[:length].copy(),
        key_page=key_words[0, :keys].copy(),
        key_pid=key_words[1, :keys].astype(np.uint8),
        key_executable=executable.astype(np.bool_),
        key_kernel=kernel.astype(np.bool_),
        key_directory=directory,
        key_table=table,
        key_thread=thread,
        instructions=int(done),
        instructions_removed=int(removed),
    )
