"""Taking the traced machine's own share out of a trace.

The traces were taken on a machine whose TLB miss handler, timer and serial interrupts ran inside
them. The compiled function here copies what belongs to the program, drops what belongs to that
machine, and keeps which page-table page the dropped TLB handlers read for which address.

Left out: system calls that a dropped timer interrupt's process switch interrupted lose what they
did until the next return to user mode; 266 switches in the longest trace.
"""

# The compiled function takes arrays by position; its integers are numpy's or Python's alike.
# mypy: disable-error-code="no-untyped-def,assignment"

from __future__ import annotations

import numpy as np

from bgsim.compiled import compiled

_LOWMEM_FIRST = 0xC0000
_LOWMEM_LAST = 0xCFFFF
_WHOLE_TLB_RUN = 40


@compiled
def digest(words, operations, upper, blocks, key_words, key_bytes, keep_pid_writes):
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
