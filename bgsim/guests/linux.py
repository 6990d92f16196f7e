"""Kittyhawk Linux: the ordered privileged instructions of its kernel entries.

A sequence names privileged instructions in the order the kernel executes them. What each of them
costs is the platform's affair: a few cycles on bare metal, an exit to the microkernel in a VM.

Source: Linux ``head_44x.S``, ``head_booke.h``, ``entry_32.S`` and ``misc_32.S`` of the 2.6.2x
Kittyhawk tree, read as sequences of privileged instructions.
"""

from __future__ import annotations

from dataclasses import dataclass

from bgsim.datasheet import Datasheet
from bgsim.platforms import layout


@dataclass(frozen=True)
class Sequence:
    """Privileged instructions executed together.

    Attributes
    ----------
    instructions
        Names such as ``mtspr_SPRG0``, in order.
    refill
        True where the sequence is part of the TLB miss handler.
    """

    name: str
    instructions: tuple[str, ...]
    refill: bool = False


_PROLOGUE = (
    "mtspr_SPRG0",
    "mtspr_SPRG1",
    "mtspr_SPRG4",
    "mfspr_SRR1",
    "mfspr_SPRG3",
    "mfspr_SPRG0",
    "mfspr_SPRG1",
    "mfspr_SRR0",
    "mfspr_SRR1",
)
_TRANSFER = ("mfspr_SPRG3", "mtspr_SRR0", "mtspr_SRR1", "rfi_to_kernel")
_EXIT = ("mtmsr", "mtspr_SRR0", "mtspr_SRR1", "rfi_to_user")
_SAVE_REGISTERS = ("mtspr_SPRG0", "mtspr_SPRG1", "mtspr_SPRG4", "mtspr_SPRG5", "mtspr_SPRG7")
_SAVE = (*_SAVE_REGISTERS, "mfspr_DEAR")
_SAVE_INSTRUCTION = (*_SAVE_REGISTERS, "mfspr_SRR0")
_IRQ_PAIR = ("mfmsr", "wrteei_0", "mtmsr")
_BAIL_OUT = ("mfspr_SPRG1", "mfspr_SPRG0")
_FAULT_REGISTERS = ("mfspr_ESR", "mfspr_DEAR")
_WALK = ("mfspr_MMUCR", "mfspr_PID", "mtspr_MMUCR")

SEQUENCES: tuple[Sequence, ...] = (
    Sequence("tlb_save_user", (*_SAVE, "mfspr_SPRG3"), refill=True),
    Sequence("tlb_save_kernel", _SAVE, refill=True),
    Sequence("tlb_walk_user", _WALK, refill=True),
    Sequence("tlb_walk_kernel", ("mfspr_MMUCR", "mtspr_MMUCR"), refill=True),
    Sequence(
        "tlb_restore", ("tlbwe_w0_untouched", "tlbwe_w2_untouched", *_BAIL_OUT, "rfi_to_user"), refill=True
    ),
    Sequence("system_call", (*_PROLOGUE, *_TRANSFER, *_EXIT)),
    Sequence(
        "page_fault",
        (*_SAVE, "mfspr_SPRG3", *_WALK, *_BAIL_OUT, *_PROLOGUE, *_FAULT_REGISTERS, *_TRANSFER, *_EXIT),
    ),
    Sequence(
        "storage_fault",
        (*_SAVE, "mfspr_SPRG3", *_WALK, *_BAIL_OUT, *_PROLOGUE, *_FAULT_REGISTERS, *_TRANSFER, *_EXIT),
    ),
    Sequence("fp_unavailable", (*_PROLOGUE, "mfmsr", "mtmsr", "mtspr_SRR0", "mtspr_SRR1", "rfi_to_user")),
    Sequence("program_exception", (*_PROLOGUE, "mfspr_ESR", *_TRANSFER, *_EXIT)),
    Sequence("switch", ("mfmsr", "mtspr_SPRG3")),
    Sequence("tlbie", ("mfspr_MMUCR", "mfmsr", "wrteei_0", "mtspr_MMUCR", "mtmsr")),
    Sequence("irq_pair", _IRQ_PAIR),
    # The interrupt-flag pairs of the tick's work come with that work.
    Sequence("timer_tick", (*_PROLOGUE, "mtspr_TSR", *_TRANSFER, "mtspr_DEC", *_EXIT)),
    Sequence("external_interrupt", (*_PROLOGUE, *_TRANSFER, *_EXIT)),
    Sequence("tlb_save_user_instruction", (*_SAVE_INSTRUCTION, "mfspr_SPRG3"), refill=True),
    Sequence("tlb_save_kernel_instruction", _SAVE_INSTRUCTION, refill=True),
)


def pinned_entries(datasheet: Datasheet, memory_bytes: int) -> int:
    """TLB entries Linux pins for its linear mapping of ``memory_bytes`` of memory."""
    lowmem = min(memory_bytes, datasheet.integer("guest.lowmem_limit"))
    page = datasheet.integer("guest.pinned_page")
    return max(1, -(-lowmem // page))


assert SEQUENCES[layout.SEQ_TICK].name == "timer_tick"
assert SEQUENCES[layout.SEQ_EXTERNAL].name == "external_interrupt"
assert len(SEQUENCES) == layout.FIRST_FREE_SEQUENCE
