"""What the microkernel executes for the guest's privileged instructions: one trap each, or one per run.

The real kernel emulates one instruction per trap. Its loop that goes on with the next instruction as long as
that is privileged too is compiled out; with ``l4.emulation.further_instructions`` it is compiled in. An
instruction emulated in the trap of another costs its executed path without what a trap has once (the stubs,
the tracepoint, the timers, the pending events), plus a turn of the loop. Fetching and decoding the
instruction that ends a batch is paid too, except behind an ``rfi`` to user mode.

On a core with a hypervisor mode the guest's registers are its own, and only what touches the real TLB and
the timer traps.

Source: L4Ka::Pistachio ``glue/v4-powerpc/softhvm.cc`` and ``arch/powerpc/softhvm.cc``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from bgsim.datasheet import Datasheet

if TYPE_CHECKING:
    from bgsim.guests.linux import Sequence
    from bgsim.l4.paths import Paths

HYPERVISOR_TRAPS = ("tlbwe", "tlbre", "tlbsx", "mtspr_DEC", "mtspr_TSR")
"""Beginnings of the instructions that leave the guest even where it has registers of its own."""

TLB_WRITE = "tlb_write"
"""Name of the sequence that completes a TLB entry whose first word has been written."""


@dataclass(frozen=True)
class Step:
    """One privileged instruction of a sequence, as the kernel emulates it.

    Attributes
    ----------
    cycles
        The kernel's cycles for it.
    trap
        Whether it leaves the guest; otherwise it runs in the trap of the one before, or does not trap.
    """

    instruction: str
    cycles: int
    trap: bool


class Emulation:
    """Emulation of privileged instructions by one build of the kernel, as the datasheet switches it."""

    def __init__(self, datasheet: Datasheet, paths: Paths) -> None:
        self.datasheet = datasheet
        self.paths = paths
        self.further = datasheet.integer("l4.emulation.further_instructions")
        self.hypervisor = datasheet.flag("core.hypervisor_mode")

    def traps(self, instruction: str) -> bool:
        """Whether the guest can not execute an instruction by itself."""
        return not self.hypervisor or instruction.startswith(HYPERVISOR_TRAPS)

    def once_cycles(self) -> int:
        """Cycles of a program exit that further instructions in the same trap do not repeat."""
        once = self.datasheet.integer("l4.emulation.once_instructions")
        return self.stub_cycles() + round(once * self.paths.cpi("mfmsr"))

    def stub_cycles(self) -> int:
        """Cycles of the entry and exit stubs, at the rate of the exit that is little else."""
        stubs = self.datasheet.integer("l4.emulation.stub_instructions")
        return round(stubs * self.paths.cpi("sc_reflect"))

    def joined_saving(self) -> int:
        """Cycles an instruction saves by running in the trap of the one before."""
        loop = self.datasheet.integer("l4.emulation.loop_instructions")
        return self.once_cycles() - round(loop * self.paths.cpi("mfmsr"))

    def probe_cycles(self) -> int:
        """Cycles of fetching and decoding the instruction that ends a batch; none without batches."""
        if not self.further:
            return 0
        probe = self.datasheet.integer("l4.emulation.probe_instructions")
        cycles = probe * self.paths.cpi("mfmsr") + Fraction(
            self.datasheet.quantity("l4.emulation.probe_cycles").value
        )
        return round(cycles)

    def steps(self, sequence: Sequence, joined: bool = False) -> list[Step]:
        """Every instruction of a sequence in order, with what the kernel spends on it.

        Parameters
        ----------
        joined
            All of it runs in the trap of what came before: a paravirtual call.
        """
        found: list[Step] = []
        if joined:
            saving = self.joined_saving()
            return [Step(name, self._path(name) - saving, False) for name in sequence.instructions]
        for number, run in enumerate(_runs(sequence)):
            emulated = 0  # in the present trap
            for position, name in enumerate(run):
                if not self.traps(name):
                    found.append(Step(name, 0, False))
                    emulated = 0
                    continue
                cycles = self._path(name)
                trap = not 0 < emulated <= self.further
                if trap:
                    emulated = 1
                else:
                    cycles -= self.joined_saving()
                    emulated += 1
                follower = run[position + 1] if position + 1 < len(run) else None
                goes_on = follower is not None and self.traps(follower)
                goes_on = goes_on or (follower is None and number == sequence.open_run)
                if not goes_on and emulated <= self.further and name != "rfi_to_user":
                    cycles += self.probe_cycles()
                found.append(Step(name, cycles, trap))
        return found

    def joins_follower(self, sequence: Sequence) -> bool:
        """Whether the privileged instruction behind a sequence's open run is emulated in that run's trap."""
        run = list(_runs(sequence))[sequence.open_run]
        if sequence.open_run < 0 or not self.further or not self.traps(run[-1]):
            return False
        emulated = 0
        for name in run:
            emulated = emulated % (self.further + 1) + 1 if self.traps(name) else 0
        return emulated <= self.further

    def _path(self, name: str) -> int:
        cycles = self.paths.cycles(name)
        return cycles + self.paths.index_update() if name.startswith("tlbwe_w0") else cycles


def _runs(sequence: Sequence) -> Iterator[tuple[str, ...]]:
    """A sequence cut into its runs of adjacent instructions."""
    begin = 0
    for length in sequence.runs or (1,) * len(sequence.instructions):
        yield sequence.instructions[begin : begin + length]
        begin += length
