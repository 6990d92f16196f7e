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

from bgsim.compiled import compiled

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
_LOWMEM_FIRST = 0xC0000
_LOWMEM_LAST = 0xCFFFF
_WHOLE_TLB_RUN = 40
_KEYS_MAX = 1 << 18
_BLOCKS_MAX = 8192

TRACES = {
    "gcc346": "compile-gcc346-O2",
    "lcc": "compile-lcc",
    "gcc12": "compile-gcc12-O2",
}


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
    length, keys, done, removed = _digest(
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


@compiled
def _digest(words, operations, upper, blocks, key_words, key_bytes, keep_pid_writes):  # type: ignore[no-untyped-def]
    """Digest a trace into preallocated arrays; returns lengths and instruction totals.

    ``upper`` and ``blocks`` are a two-level table from (PID, page) to page key. Keys are -1 where
    there is no room left.
    """
    n = len(words)
    pages, pids = key_words
    executable, kernel, directory, table, thread = key_bytes
    out = 0
    blocks_used = 0
    keys = 0
    pid = 0
    user = True
    strip_depth = 0
    missing_page = np.int64(-1)
    last_low = np.int64(-1)
    last_directory = last_table = last_thread = 255
    handler_directory = handler_table = handler_thread = 0
    done = 0
    removed = 0
    i = 0
    while i < n:
        word = words[i]
        event = word >> 29
        if event == 0 or event == 5:
            page = np.int64(word & 0xFFFFF)
            if event == 5:
                run = 1
                while i + run < n and words[i + run] >> 29 == 5:
                    run += 1
                if run >= _WHOLE_TLB_RUN:
                    operations[out] = np.uint32(9) << 28
                    out += 1
                    i += run
                    continue
            elif strip_depth > 0:
                i += 1
                continue
            if event == 0 and _LOWMEM_FIRST <= page <= _LOWMEM_LAST:
                kind = 3 if word >> 22 & 1 else 2
                low = (page - _LOWMEM_FIRST) >> 8 | kind << 8
                if low != last_low:
                    operations[out] = np.uint32(kind) << 28 | np.uint32(low & 0xFF)
                    out += 1
                    last_low = low
                i += 1
                continue
            owner = 0 if page > _LOWMEM_LAST or not keep_pid_writes else pid
            slot = owner * 1024 + (page >> 10)
            block = upper[slot]
            if block < 0:
                if blocks_used == len(blocks):
                    return out, -1, done, removed
                block = blocks_used
                upper[slot] = block
                blocks_used += 1
            key = blocks[block, page & 1023]
            if key < 0:
                if event == 5:
                    i += 1
                    continue
                if keys == len(pages):
                    return out, -1, done, removed
                key = keys
                keys += 1
                blocks[block, page & 1023] = key
                pages[key] = page
                pids[key] = owner
                kernel[key] = page > _LOWMEM_LAST
            if event == 5:
                operations[out] = np.uint32(8) << 28 | np.uint32(key)
                out += 1
                i += 1
                continue
            if directory[key] == 255:
                # Nothing was missed on this page yet: its tables are those of its neighbour.
                directory[key] = last_directory
                table[key] = last_table
                thread[key] = last_thread
            if missing_page == page:
                directory[key] = last_directory
                table[key] = last_table
                thread[key] = last_thread
                missing_page = -1
            instruction = word >> 22 & 1
            if instruction:
                executable[key] = 1
            operations[out] = np.uint32(instruction) << 28 | np.uint32(key)
            out += 1
            last_low = -1
        elif event == 1:
            pid = np.int64(word & 0xFF)
            if keep_pid_writes:
                operations[out] = np.uint32(7) << 28 | np.uint32(pid)
                out += 1
            last_low = -1
        elif event == 2:
            reason = word >> 8 & 0xFF
            new_user = (word & 1) == 1
            last_low = -1
            if strip_depth > 0:
                if reason == 0x80 or reason == 0x81:
                    strip_depth -= 1
                    if new_user:
                        strip_depth = 0
                else:
                    strip_depth += 1
            elif reason == 13 or reason == 14:
                j = i + 1
                while j < n and words[j] >> 29 != 2:
                    j += 1
                if j < n and words[j] >> 8 & 0xFF == 0x80:
                    # The handler's references in order: text, thread, directory, table, index.
                    found = 0
                    for k in range(i + 1, j):
                        if words[k] >> 29 == 0:
                            mib = (np.int64(words[k] & 0xFFFFF) - _LOWMEM_FIRST) >> 8
                            if found == 1:
                                handler_thread = mib
                            elif found == 2:
                                handler_directory = mib
                            elif found == 3:
                                handler_table = mib
                            found += 1
                        elif words[k] >> 29 == 6:
                            removed += words[k] & 0xFFFFFF
                    if found == 5:
                        last_thread = handler_thread
                        last_directory = handler_directory
                        last_table = handler_table
                    if i > 0 and words[i - 1] >> 29 == 4:
                        missing_page = np.int64(words[i - 1] & 0xFFFFF)
                    elif i > 1 and words[i - 2] >> 29 == 4:
                        missing_page = np.int64(words[i - 2] & 0xFFFFF)
                    user = words[j] & 1 == 1
                    i = j + 1
                    continue
                operations[out] = np.uint32(6) << 28 | np.uint32(reason)
                out += 1
            elif reason == 10 or reason == 4:
                strip_depth = 1
            elif reason < 16:
                operations[out] = np.uint32(6) << 28 | np.uint32(reason)
                out += 1
            user = new_user
        elif event == 6:
            instructions = np.int64(word & 0xFFFFFF)
            if strip_depth > 0:
                removed += instructions
            elif instructions > 0:
                operations[out] = np.uint32(4 if user else 5) << 28 | np.uint32(instructions)
                out += 1
                done += instructions
        i += 1
    return out, keys, done, removed
