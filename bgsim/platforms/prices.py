"""Price tables of a walk: what each step costs on bare metal and in a virtual machine.

Every price of a virtual machine is the bare-metal price plus what the microkernel executes for it:
with a kernel that costs nothing, a virtual machine takes exactly the native time.
"""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf
from fractions import Fraction

import numpy as np

from bgsim.datasheet import Datasheet
from bgsim.guests.linux import Sequence
from bgsim.hardware.core import exception_cycles, guest_cpi, privileged_cycles, tlb_handler_cycles
from bgsim.l4.paths import Paths
from bgsim.platforms import layout


def _milli(value: Fraction) -> int:
    return round(value * 1000)


def native_tables(
    datasheet: Datasheet, sequences: SequenceOf[Sequence], irq_pairs_per_kiloinstruction: Fraction
) -> layout.Tables:
    """Prices on bare metal, where the guest's TLB is the hardware's."""
    price = np.zeros(layout.PRICES, dtype=np.int64)
    cpi = _milli(guest_cpi(datasheet))
    price[layout.PRICE_USER_MILLI] = cpi
    price[layout.PRICE_KERNEL_MILLI] = cpi
    price[layout.PRICE_HANDLER_USER] = tlb_handler_cycles(datasheet)
    price[layout.PRICE_HANDLER_KERNEL] = tlb_handler_cycles(datasheet)
    price[layout.PRICE_TLBWE_XLAT_UNTOUCHED] = privileged_cycles(datasheet, "tlbwe")
    price[layout.PRICE_TLBWE_INVALIDATE] = privileged_cycles(datasheet, "tlbwe")
    price[layout.PRICE_TLBSX_MISS] = privileged_cycles(datasheet, "tlbsx")
    price[layout.PRICE_NATIVE_PID] = privileged_cycles(datasheet, "mtspr")
    price[layout.PRICE_IRQ_PAIRS_MILLI] = _milli(irq_pairs_per_kiloinstruction)
    enter = np.full(16, exception_cycles(datasheet), dtype=np.int64)
    return layout.Tables(
        virtual=False,
        price=price,
        scan=np.zeros((layout.SCANS, 1), dtype=np.int64),
        flush=np.zeros((layout.FLUSHES, 1), dtype=np.int64),
        enter=enter,
        line_mask=np.zeros(layout.LINE_MASKS, dtype=np.int64),
        line_group_size=np.zeros(1, dtype=np.int64),
        sequence_cycles=np.array(
            [sum(privileged_cycles(datasheet, name) for name in s.instructions) for s in sequences],
            dtype=np.int64,
        ),
        sequence_lines=np.zeros(len(sequences), dtype=np.int64),
        handler_fragment=_handler_fragments(datasheet),
    )


def _handler_fragments(datasheet: Datasheet) -> layout.Int:
    return np.array(
        [datasheet.integer("guest.handler_text_mib"), datasheet.integer("guest.handler_index_mib")],
        dtype=np.int64,
    )


def virtual_tables(
    datasheet: Datasheet,
    sequences: SequenceOf[Sequence],
    irq_pairs_per_kiloinstruction: Fraction,
    guest_lines_per_iccci: Fraction,
    hardware_entries: int,
) -> layout.Tables:
    """Prices in a virtual machine on L4.

    Parameters
    ----------
    guest_lines_per_iccci
        Instruction lines the guest refetches after each executable insert.
    hardware_entries
        Hardware TLB entries L4 manages.
    """
    native = native_tables(datasheet, sequences, irq_pairs_per_kiloinstruction)
    paths = Paths(datasheet)
    entries = datasheet.integer("l4.vtlb.entries")
    price = native.price.copy()
    line = Fraction(datasheet.quantity("core.icache_line_cycles").value)
    price[layout.PRICE_LINE_MILLI] = _milli(line)
    price[layout.PRICE_GUEST_LINES_MILLI] = _milli(guest_lines_per_iccci * line)
    price[layout.PRICE_TLBWE_XLAT_UNTOUCHED] += paths.cycles("tlbwe_w1_untouched")
    price[layout.PRICE_TLBWE_INVALIDATE] += paths.cycles("tlbwe_w0_untouched")
    price[layout.PRICE_TLBSX_MISS] += paths.cycles("tlbsx_miss")
    price[layout.PRICE_DCACHE_REFILL] = round(
        Fraction(datasheet.quantity("l4.dcache_lines_lost_per_refill").value)
        * Fraction(datasheet.quantity("core.dcache_line_cycles").value)
    )
    price[layout.PRICE_FREE_SLOT] = paths.cycles("dtlb_insert_idx31") - paths.cycles("dtlb_insert_idx31_freeslot")
    scan_cycles = Fraction(
        paths.cycles("dtlb_insert_idx61") - paths.cycles("dtlb_insert_idx0"), 61 * paths.scan_instructions
    )
    price[layout.PRICE_INVALID_ENTRY] = round(
        datasheet.integer("l4.vtlb.invalid_entry_instructions") * scan_cycles
    )
    price[layout.PRICE_ICACHE_TAIL] = paths.tail("dtlb_insert_idx31")
    scan = np.zeros((layout.SCANS, entries + 1), dtype=np.int64)
    scan[layout.SCAN_REFLECT_D] = paths.reflect_by_valid(False, entries)
    scan[layout.SCAN_REFLECT_I] = paths.reflect_by_valid(True, entries)
    scan[layout.SCAN_INSERT_D] = paths.insert_by_visited(False, False, entries)
    scan[layout.SCAN_INSERT_I] = paths.insert_by_visited(True, False, entries)
    scan[layout.SCAN_INSERT_LOWMEM_D] = paths.insert_by_visited(False, True, entries)
    scan[layout.SCAN_INSERT_LOWMEM_I] = paths.insert_by_visited(True, True, entries)
    scan[layout.SCAN_TLBSX] = paths.tlbsx_by_visited(entries)
    scan[layout.SCAN_TLBSX] += privileged_cycles(datasheet, "tlbsx")
    flush = np.zeros((layout.FLUSHES, hardware_entries + 1), dtype=np.int64)
    flush[layout.FLUSH_RANGE_MISS] = paths.flush_range_by_valid(False, hardware_entries, hardware_entries)
    flush[layout.FLUSH_RANGE_MATCH] = paths.flush_range_by_valid(True, hardware_entries, hardware_entries)
    flush[: layout.FLUSH_ALL] += privileged_cycles(datasheet, "tlbwe")
    flush[layout.FLUSH_ALL] = paths.flush_all_by_valid(hardware_entries, hardware_entries)
    flush[layout.FLUSH_ALL] += privileged_cycles(datasheet, "mtspr")
    enter = native.enter.copy()
    for exception, path in REFLECT_PATHS.items():
        enter[exception] += paths.cycles(path)
    mask = paths.mask
    line_mask = np.zeros(layout.LINE_MASKS, dtype=np.int64)
    line_mask[layout.LINES_REFLECT] = mask("stub", "miss", "reflect")
    line_mask[layout.LINES_INSERT] = mask("stub", "miss", "insert")
    line_mask[layout.LINES_AFTER_ICCCI] = mask("stub")
    line_mask[layout.LINES_TLBWE] = mask("stub", "program", "tlbwe")
    line_mask[layout.LINES_TLBWE_FLUSH] = mask("stub", "program", "tlbwe", "flush")
    line_mask[layout.LINES_PID] = mask("stub", "program", "mtspr", "flush")
    line_mask[layout.LINES_TLBSX] = mask("stub", "program", "tlbsx", "miss")
    line_mask[layout.LINES_ENTER] = mask("stub", "enter")
    line_mask[layout.LINES_FORWARD] = mask("stub", "program", "send", "vmm", "reply")
    line_mask[layout.LINES_TICK] = mask("stub", "tick")
    line_mask[layout.LINES_INTERRUPT] = mask("stub", "interrupt", "send", "vmm", "reply")
    lines = []
    for sequence in sequences:
        bits = 0
        for name in sequence.instructions:
            bits |= paths.emulation_mask(name)
        lines.append(bits)
    emulation = [sum(paths.cycles(name) for name in s.instructions) for s in sequences]
    return native._replace(
        virtual=True,
        price=price,
        scan=scan,
        flush=flush,
        enter=enter,
        line_mask=line_mask,
        line_group_size=np.array(paths.group_sizes(), dtype=np.int64),
        sequence_cycles=native.sequence_cycles + np.array(emulation, dtype=np.int64),
        sequence_lines=np.array(lines, dtype=np.int64),
    )


REFLECT_PATHS = {
    2: "dsi_reflect",
    3: "isi_reflect",
    6: "priv_in_user_reflect",
    7: "fpu_unavail_reflect",
    8: "sc_reflect",
}
