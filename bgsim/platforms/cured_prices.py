"""Prices and modes of a walk on a cured system: what the cures of ``bgsim cures`` switch on.

Every path length here is put together from executed ones (``l4_paths.json``) and estimated instruction
counts (``cures.yaml``); nothing is a factor. A parameter is read only where its cure is on, so that a run
says of a setting that changed nothing.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from bgsim.datasheet import Datasheet
from bgsim.guests.linux import Sequence
from bgsim.hardware.core import at_setting, exception_cycles, privileged_cycles
from bgsim.l4.emulation import TLB_WRITE, Emulation, Step
from bgsim.platforms import layout

MIB = 1 << 20
MICRO = 1_000_000


def walked_native(datasheet: Datasheet, price: NDArray[np.int64]) -> None:
    """A bare machine that walks page tables: no TLB handler runs on it."""
    price[layout.MODE_TABLE_WALK] = layout.WALK_OF_SHADOW
    price[layout.PRICE_TABLE_WALK] = datasheet.cycles("tlb.walk_cycles")
    price[layout.PRICE_WALKED_TLBIE] = privileged_cycles(datasheet, "tlbsx")
    price[layout.PRICE_WALKED_TLBIA] = privileged_cycles(datasheet, "tlbsx")


def emulated(emulation: Emulation, sequence: Sequence, paravirtual: bool) -> list[Step]:
    """Steps of one sequence: a paravirtual guest writes all words of a TLB entry in one trap."""
    return emulation.steps(sequence, joined=paravirtual and sequence.name == TLB_WRITE)


def fragment_shift(datasheet: Datasheet) -> int:
    """Log2 of the MiB of one hardware entry of the guest kernel's mapping.

    The largest page the hardware has that the VMM's mappings hold: 4 MiB mappings leave 1 MiB entries.
    """
    most = datasheet.integer("l4.map_size")
    sizes = [size for size in datasheet.sizes("tlb.page_sizes") if MIB <= size <= max(most, MIB)]
    return (max(sizes) // MIB).bit_length() - 1


def cure(
    datasheet: Datasheet,
    emulation: Emulation,
    price: NDArray[np.int64],
    scan: NDArray[np.int64],
    hardware_entries: int,
) -> None:
    """Set the modes of a virtual machine and the prices that only they need.

    Parameters
    ----------
    price, scan
        Tables of the virtual machine, changed in place.
    hardware_entries
        Hardware TLB entries L4 manages.
    """
    paths = emulation.paths
    masks = price[layout.LINE_MASKS_AT :]
    walks = datasheet.flag("tlb.hardware_walk")
    nested = walks and datasheet.flag("tlb.nested_translation")
    price[layout.MODE_FRAGMENT_SHIFT] = fragment_shift(datasheet)
    price[layout.PRICE_JOINED] = 0
    tags = emulation.hypervisor or nested or datasheet.flag("l4.tlb.guest_pid_tags")
    if tags:
        _tag(datasheet, emulation, price)
    if walks:
        _walk(datasheet, emulation, price, nested)
    else:
        if datasheet.flag("l4.vtlb.load_at_write"):
            price[layout.MODE_WRITE_INSERT] = 1
            price[layout.PRICE_WRITE_INSERT] = paths.write_insert(emulation.stub_cycles())
            masks[layout.LINES_WRITE_INSERT] = paths.mask("insert")
        if datasheet.flag("guest.paravirtual_tlb"):
            _paravirtual(datasheet, emulation, price, scan, hardware_entries)
    if walks or not datasheet.flag("l4.icache.invalidate_at_insert"):
        # What the iccci is for is a PID write: another process's lines have the same tags.
        price[layout.MODE_ICACHE] = layout.ICACHE_NEVER if tags else layout.ICACHE_AT_SWITCH
        _ageing(datasheet, price)
        if not tags:
            lines = Fraction(datasheet.quantity("l4.icache.switch_lines").value)
            line = at_setting(datasheet, "core.icache_line_cycles")
            price[layout.PRICE_SWITCH_LINES_MILLI] = round(lines * line * 1000)


def _ageing(datasheet: Datasheet, price: NDArray[np.int64]) -> None:
    """Lines are no longer emptied often: they get old, the kernel's by the guest's and the other way."""
    misses = Fraction(datasheet.quantity("guest.icache_misses_per_kiloinstruction").value)
    capacity = datasheet.integer("cache.l1i_size") // datasheet.integer("cache.l1_line")
    useful = Fraction(datasheet.quantity("cache.l1i_useful_share").value)
    line = at_setting(datasheet, "core.icache_line_cycles")
    price[layout.PRICE_MISS_MICRO] = round(misses * MICRO / 1000)
    price[layout.PRICE_CAPACITY_MICRO] = capacity * MICRO
    price[layout.PRICE_EVICTED_MILLI] = round(useful * line * 1000)


def _tag(datasheet: Datasheet, emulation: Emulation, price: NDArray[np.int64]) -> None:
    """Hardware entries carry the guest's PID: writing it flushes nothing."""
    paths = emulation.paths
    price[layout.MODE_PID_TAGS] = 1
    price[layout.PRICE_PID_TAGGED] = price[layout.PRICE_NATIVE_PID]
    if not emulation.hypervisor:
        tag = datasheet.integer("l4.tlb.tag_instructions")
        emulate = paths.cycles("mtspr_MMUCR") + round(tag * paths.cpi("mtspr_MMUCR"))
        price[layout.PRICE_PID_TAGGED] += emulate + emulation.probe_cycles()
        price[layout.LINE_MASKS_AT + layout.LINES_PID_TAGGED] = paths.mask("stub", "program", "mtspr")


def _walk(datasheet: Datasheet, emulation: Emulation, price: NDArray[np.int64], nested: bool) -> None:
    """The hardware walks page tables: the guest's through the host's, or a shadow the kernel fills."""
    paths = emulation.paths
    price[layout.MODE_TABLE_WALK] = layout.WALK_NESTED if nested else layout.WALK_OF_SHADOW
    if nested:
        price[layout.PRICE_TABLE_WALK] = datasheet.cycles("tlb.nested_walk_cycles")
    if nested and emulation.hypervisor:
        price[layout.LINE_MASKS_AT + layout.LINES_WALKED] = 0
        return
    # Emulating the instruction takes what emulating a tlbwe takes that no hardware entry depends on.
    emulate = paths.cycles("tlbwe_w0_untouched") + emulation.probe_cycles()
    price[layout.PRICE_WALKED_TLBIE] += emulate
    price[layout.PRICE_WALKED_TLBIA] += emulate
    if not nested:
        drop = datasheet.integer("l4.shadow.drop_instructions")
        price[layout.PRICE_WALKED_TLBIA] += round(drop * paths.cpi("tlbwe_w0_untouched"))
        price[layout.PRICE_SHADOW_FILL] = paths.shadow_fill()
        raising = paths.cycles("dsi_reflect") - emulation.stub_cycles()
        price[layout.PRICE_SHADOW_FAULT] = exception_cycles(datasheet) + paths.shadow_fill() + raising


def _paravirtual(
    datasheet: Datasheet,
    emulation: Emulation,
    price: NDArray[np.int64],
    scan: NDArray[np.int64],
    hardware_entries: int,
) -> None:
    """The guest's kernel calls: an entry in one trap instead of three, a page in one, all in one."""
    paths = emulation.paths
    price[layout.MODE_PARAVIRTUAL] = 1
    price[layout.PRICE_JOINED] = emulation.joined_saving()
    width = scan.shape[1] - 1
    entry = datasheet.integer("l4.hypercall.entry_instructions")
    clear = entry * datasheet.integer("l4.vtlb.entries") * paths.cpi("dtlb_miss_reflect")
    call = paths.cycles("sc_reflect") + round(clear) - paths.cycles("mtspr_MMUCR")
    flush = np.array(paths.flush_all_by_valid(width, hardware_entries), dtype=np.int64)
    scan[layout.FLUSHES_AT + layout.FLUSH_HYPERCALL] = call + flush
    mask = paths.mask("stub", "enter", "flush")
    price[layout.LINE_MASKS_AT + layout.LINES_HYPERCALL] = mask
