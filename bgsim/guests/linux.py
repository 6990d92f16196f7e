"""Kittyhawk Linux: the ordered privileged instructions of its kernel entries.

A sequence names privileged instructions in the order the kernel executes them, and which of them stand
next to each other. What each of them costs is the platform's affair: a few cycles on bare metal, an exit to
the microkernel in a VM.

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
    runs
        Lengths of the runs of adjacent instructions, in order: between two runs stands code that is not
        privileged. Empty where every instruction stands alone.
    open_run
        Number of the run that a privileged instruction priced by itself (``tlbsx``) follows at once;
        -1 for none.
    """

    name: str
    instructions: tuple[str, ...]
    refill: bool = False
    runs: tuple[int, ...] = ()
    open_run: int = -1

    def __post_init__(self) -> None:
        assert not self.runs or sum(self.runs) == len(self.instructions), self.name


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

_SAVE_RUNS = (4, 2)
_WALK_RUNS = (2, 1)
_PROLOGUE_RUNS = (3, 1, 1, 1, 1, 1, 1)
_TRANSFER_RUNS = (1, 2, 1)
_EXIT_RUNS = (1, 2, 1)
_CALL_EXIT_RUNS = (1, 3)
_FAULT = (*_PROLOGUE, *_FAULT_REGISTERS, *_TRANSFER, *_EXIT)
_FAULT_RUNS = (*_PROLOGUE_RUNS, 1, 1, *_TRANSFER_RUNS, *_EXIT_RUNS)
_MISS_AND_FAULT = (*_SAVE, "mfspr_SPRG3", *_WALK, *_BAIL_OUT, *_FAULT)
_MISS_AND_FAULT_RUNS = (*_SAVE_RUNS, 1, *_WALK_RUNS, 2, *_FAULT_RUNS)
_TLB_WRITE = ("tlbwe_w0_untouched", "tlbwe_w2_untouched")
_TLB_RETURN = (*_BAIL_OUT, "rfi_to_user")

SEQUENCES: tuple[Sequence, ...] = (
    Sequence("tlb_save_user", (*_SAVE, "mfspr_SPRG3"), refill=True, runs=(*_SAVE_RUNS, 1)),
    Sequence("tlb_save_kernel", _SAVE, refill=True, runs=_SAVE_RUNS),
    Sequence("tlb_walk_user", _WALK, refill=True, runs=_WALK_RUNS),
    Sequence("tlb_walk_kernel", ("mfspr_MMUCR", "mtspr_MMUCR"), refill=True, runs=(1, 1)),
    Sequence("tlb_restore", (*_TLB_WRITE, *_TLB_RETURN), refill=True, runs=(1, 1, 3)),
    Sequence(
        "system_call",
        (*_PROLOGUE, *_TRANSFER, *_EXIT),
        runs=(*_PROLOGUE_RUNS, *_TRANSFER_RUNS, *_CALL_EXIT_RUNS),
    ),
    Sequence("page_fault", _MISS_AND_FAULT, runs=_MISS_AND_FAULT_RUNS),
    Sequence("storage_fault", _MISS_AND_FAULT, runs=_MISS_AND_FAULT_RUNS),
    Sequence(
        "fp_unavailable",
        (*_PROLOGUE, "mfmsr", "mtmsr", "mtspr_SRR0", "mtspr_SRR1", "rfi_to_user"),
        runs=(*_PROLOGUE_RUNS, 1, 1, 2, 1),
    ),
    Sequence(
        "program_exception",
        (*_PROLOGUE, "mfspr_ESR", *_TRANSFER, *_EXIT),
        runs=(*_PROLOGUE_RUNS, 1, *_TRANSFER_RUNS, *_EXIT_RUNS),
    ),
    Sequence("switch", ("mfmsr", "mtspr_SPRG3"), runs=(1, 1)),
    Sequence(
        "tlbie",
        ("mfspr_MMUCR", "mfmsr", "wrteei_0", "mtspr_MMUCR", "mtmsr"),
        runs=(1, 3, 1),
        open_run=1,
    ),
    Sequence("irq_pair", _IRQ_PAIR, runs=(2, 1)),
    # The interrupt-flag pairs of the tick's work come with that work.
    Sequence(
        "timer_tick",
        (*_PROLOGUE, "mtspr_TSR", *_TRANSFER, "mtspr_DEC", *_EXIT),
        runs=(*_PROLOGUE_RUNS, 1, *_TRANSFER_RUNS, 1, *_EXIT_RUNS),
    ),
    Sequence(
        "external_interrupt",
        (*_PROLOGUE, *_TRANSFER, *_EXIT),
        runs=(*_PROLOGUE_RUNS, *_TRANSFER_RUNS, *_EXIT_RUNS),
    ),
    Sequence(
        "tlb_save_user_instruction",
        (*_SAVE_INSTRUCTION, "mfspr_SPRG3"),
        refill=True,
        runs=(*_SAVE_RUNS, 1),
    ),
    Sequence("tlb_save_kernel_instruction", _SAVE_INSTRUCTION, refill=True, runs=_SAVE_RUNS),
    Sequence("tlb_write", _TLB_WRITE, refill=True, runs=(1, 1)),
    Sequence("tlb_return", _TLB_RETURN, refill=True, runs=(3,)),
    Sequence("walked_fault", _FAULT, runs=_FAULT_RUNS),
)


def pinned_entries(datasheet: Datasheet, memory_bytes: int) -> int:
    """TLB entries Linux pins for its linear mapping of ``memory_bytes`` of memory."""
    lowmem = min(memory_bytes, datasheet.integer("guest.lowmem_limit"))
    page = datasheet.integer("guest.pinned_page")
    return max(1, -(-lowmem // page))


assert SEQUENCES[layout.SEQ_TICK].name == "timer_tick"
assert SEQUENCES[layout.SEQ_EXTERNAL].name == "external_interrupt"
assert len(SEQUENCES) == layout.FIRST_FREE_SEQUENCE
