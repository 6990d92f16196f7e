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
from bgsim.hardware.core import at_setting, exception_cycles, guest_cpi, privileged_cycles, tlb_handler_cycles
from bgsim.l4.emulation import Emulation
from bgsim.l4.paths import GROUPS, Paths
from bgsim.platforms import layout
from bgsim.platforms.cured_prices import cure, emulated, walked_native


def _milli(value: Fraction) -> int:
    return round(value * 1000)


def native_tables(
    datasheet: Datasheet, sequences: SequenceOf[Sequence], irq_pairs_per_kiloinstruction: Fraction
) -> layout.Tables:
    """Prices on bare metal, where the guest's TLB is the hardware's."""
    price = np.zeros(layout.GROUPS_AT + len(GROUPS), dtype=np.int64)
    cpi = _milli(guest_cpi(datasheet))
    price[layout.PRICE_USER_MILLI] = cpi
    price[layout.PRICE_KERNEL_MILLI] = cpi
    price[layout.PRICE_HANDLER_USER] = tlb_handler_cycles(datasheet)
    price[layout.PRICE_HANDLER_KERNEL] = tlb_handler_cycles(datasheet)
    price[layout.PRICE_TLBWE_XLAT_UNTOUCHED] = privileged_cycles(datasheet, "tlbwe")
    price[layout.PRICE_TLBWE_INVALIDATE] = privileged_cycles(datasheet, "tlbwe")
    price[layout.PRICE_NATIVE_TLBSX] = privileged_cycles(datasheet, "tlbsx")
    price[layout.PRICE_NATIVE_PID] = privileged_cycles(datasheet, "mtspr")
    price[layout.PRICE_IRQ_PAIRS_MILLI] = _milli(irq_pairs_per_kiloinstruction)
    price[layout.ENTER_AT : layout.LINE_MASKS_AT] = exception_cycles(datasheet)
    price[layout.HANDLER_AT] = datasheet.integer("guest.handler_text_mib")
    price[layout.HANDLER_AT + 1] = datasheet.integer("guest.handler_index_mib")
    if datasheet.flag("tlb.hardware_walk"):
        walked_native(datasheet, price)
    sequence = np.zeros((2, len(sequences)), dtype=np.int64)
    sequence[layout.SEQUENCE_CYCLES] = [
        sum(privileged_cycles(datasheet, name) for name in s.instructions) for s in sequences
    ]
    scan = np.zeros((layout.FLUSHES_AT + layout.FLUSHES, 1), dtype=np.int64)
    return layout.made_tables(price, scan, sequence)


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
    emulation = Emulation(datasheet, paths)
    probe = emulation.probe_cycles()
    entries = datasheet.integer("l4.vtlb.entries")
    price = native.price.copy()
    price[layout.VIRTUAL_AT] = 1
    line = at_setting(datasheet, "core.icache_line_cycles")
    price[layout.PRICE_LINE_MILLI] = _milli(line)
    price[layout.PRICE_GUEST_LINES_MILLI] = _milli(guest_lines_per_iccci * line)
    price[layout.PRICE_TLBWE_XLAT_UNTOUCHED] += paths.cycles("tlbwe_w1_untouched") + probe
    price[layout.PRICE_TLBWE_INVALIDATE] += paths.cycles("tlbwe_w0_untouched") + probe
    price[layout.PRICE_INDEX_UPDATE] = paths.index_update()
    price[layout.PRICE_DCACHE_REFILL] = round(
        Fraction(datasheet.quantity("l4.dcache_lines_lost_per_refill").value)
        * Fraction(datasheet.quantity("core.dcache_line_cycles").value)
    )
    price[layout.PRICE_FREE_SLOT] = paths.cycles("dtlb_insert_idx31") - paths.cycles(
        "dtlb_insert_idx31_freeslot"
    )
    price[layout.PRICE_INVALID_ENTRY] = paths.invalid_entry()
    price[layout.PRICE_ICACHE_TAIL] = paths.tail("dtlb_insert_idx31")
    width = max(entries, hardware_entries)
    scan = np.zeros((layout.FLUSHES_AT + layout.FLUSHES, width + 1), dtype=np.int64)
    scan[layout.SCAN_REFLECT_D] = paths.reflect_by_valid(False, width)
    scan[layout.SCAN_REFLECT_I] = paths.reflect_by_valid(True, width)
    scan[layout.SCAN_INSERT_D] = paths.insert_by_visited(False, False, width)
    scan[layout.SCAN_INSERT_I] = paths.insert_by_visited(True, False, width)
    scan[layout.SCAN_INSERT_LOWMEM_D] = paths.insert_by_visited(False, True, width)
    scan[layout.SCAN_INSERT_LOWMEM_I] = paths.insert_by_visited(True, True, width)
    scan[layout.SCAN_TLBSX] = paths.tlbsx_by_visited(width)
    scan[layout.SCAN_TLBSX_MISS] = paths.tlbsx_miss_by_valid(width)
    scan[layout.SCAN_TLBSX : layout.SCANS] += privileged_cycles(datasheet, "tlbsx") + probe
    flush = scan[layout.FLUSHES_AT :]
    flush[layout.FLUSH_RANGE_MISS] = paths.flush_range_by_valid(False, width, hardware_entries)
    flush[layout.FLUSH_RANGE_MATCH] = paths.flush_range_by_valid(True, width, hardware_entries)
    flush[: layout.FLUSH_ALL] += privileged_cycles(datasheet, "tlbwe") + probe
    flush[layout.FLUSH_ALL] = paths.flush_all_by_valid(width, hardware_entries)
    flush[layout.FLUSH_ALL] += privileged_cycles(datasheet, "mtspr") + probe
    for exception, path in REFLECT_PATHS.items():
        if not emulation.hypervisor:
            price[layout.ENTER_AT + exception] += paths.cycles(path)
    mask = paths.mask
    for kind, groups in LINE_GROUPS.items():
        price[layout.LINE_MASKS_AT + kind] = mask(*groups)
    if emulation.hypervisor:
        price[layout.LINE_MASKS_AT + layout.LINES_ENTER] = 0
    price[layout.GROUPS_AT :] = paths.group_sizes()
    cure(datasheet, emulation, price, scan, hardware_entries)
    sequence = native.sequence.copy()
    for number, privileged in enumerate(sequences):
        for step in emulated(emulation, privileged, bool(price[layout.MODE_PARAVIRTUAL])):
            sequence[layout.SEQUENCE_CYCLES, number] += step.cycles
            if step.trap or step.cycles:
                sequence[layout.SEQUENCE_LINES, number] |= paths.emulation_mask(step.instruction)
        if privileged.open_run >= 0 and emulation.joins_follower(privileged):
            scan[layout.SCAN_TLBSX : layout.SCANS] -= emulation.joined_saving()
    return layout.made_tables(price, scan, sequence)


def program_tables(datasheet: Datasheet) -> layout.Tables:
    """Prices of a program directly on L4: what its own instructions cost, and a TLB miss.

    L4's handler of such a miss is the one that serves the VMM's own misses.

    Raises
    ------
    ValueError
        If the hardware walks page tables: then no exception comes, and nobody has built that.
    """
    if datasheet.flag("tlb.hardware_walk"):
        raise ValueError(
            "tlb.hardware_walk: a program directly on the microkernel has its misses in software"
        )
    price = native_tables(datasheet, (), Fraction(0)).price
    price[layout.PRICE_HANDLER_USER] = datasheet.cycles("vmm.tlb_miss_cycles")
    price[layout.PRICE_LINE_MILLI] = _milli(at_setting(datasheet, "core.icache_line_cycles"))
    price[layout.LINE_MASKS_AT + layout.LINES_INSERT] = Paths.mask("stub", "insert")
    price[layout.GROUPS_AT :] = Paths(datasheet).group_sizes()
    scan = np.zeros((layout.FLUSHES_AT + layout.FLUSHES, 1), dtype=np.int64)
    return layout.made_tables(price, scan, np.zeros((2, 0), dtype=np.int64))


LINE_GROUPS = {
    layout.LINES_REFLECT: ("stub", "miss", "reflect"),
    layout.LINES_INSERT: ("stub", "miss", "insert"),
    layout.LINES_AFTER_ICCCI: ("stub",),
    layout.LINES_TLBWE: ("stub", "program", "tlbwe"),
    layout.LINES_TLBWE_FLUSH: ("stub", "program", "tlbwe", "flush"),
    layout.LINES_PID: ("stub", "program", "mtspr", "flush"),
    layout.LINES_TLBSX: ("stub", "program", "tlbsx"),  # the search is inlined
    layout.LINES_ENTER: ("stub", "enter"),
    layout.LINES_SHADOW_FILL: ("stub", "miss", "insert"),
    layout.LINES_WALKED: ("stub", "program", "tlbwe"),
}

REFLECT_PATHS = {
    2: "dsi_reflect",
    3: "isi_reflect",
    6: "priv_in_user_reflect",
    7: "fpu_unavail_reflect",
    8: "sc_reflect",
}
