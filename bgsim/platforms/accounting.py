"""Where the cycles of a walk went: the guest's own work, and each kernel counter's handler.

The walk charges whole prices. Each price of a virtual machine is the guest's own cost plus the
kernel's; this module takes the two apart from the counts, exactly.
"""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf

from bgsim.datasheet import Datasheet
from bgsim.guests.linux import Sequence
from bgsim.hardware.core import exception_cycles, privileged_cycles
from bgsim.l4.emulation import Emulation, Step
from bgsim.l4.paths import Paths, counter
from bgsim.platforms import layout
from bgsim.platforms.cured_prices import emulated

_ENTER_CAUSES = {
    2: layout.CAUSE_DSI,
    3: layout.CAUSE_ISI,
    6: layout.CAUSE_PROGRAM,
    7: layout.CAUSE_FP,
    8: layout.CAUSE_SYSCALL,
}


class Accounting:
    """Turns counts and charges of walks into cycles by cause.

    Parameters
    ----------
    sequences
        Privileged sequences of the guest, by number.
    virtual
        Whether privileged instructions are emulated by the microkernel.
    """

    def __init__(self, datasheet: Datasheet, sequences: SequenceOf[Sequence], virtual: bool) -> None:
        self.sequences = sequences
        self.virtual = virtual
        self.exception = exception_cycles(datasheet)
        self.native = {name: privileged_cycles(datasheet, name) for s in sequences for name in s.instructions}
        self.tlbwe = privileged_cycles(datasheet, "tlbwe")
        self.tlbsx = privileged_cycles(datasheet, "tlbsx")
        self.mtspr = privileged_cycles(datasheet, "mtspr")
        self.steps = [[] for _ in sequences] if not virtual else self._emulated(datasheet)

    def _emulated(self, datasheet: Datasheet) -> list[list[Step]]:
        """What the kernel does for each sequence."""
        emulation = Emulation(datasheet, Paths(datasheet))
        walks = datasheet.flag("tlb.hardware_walk")
        self.paravirtual = not walks and datasheet.flag("guest.paravirtual_tlb")
        self.hypervisor = emulation.hypervisor
        self.nested = walks and datasheet.flag("tlb.nested_translation")
        self.shadowed = walks and not self.nested
        self.search_traps = not any(s.open_run >= 0 and emulation.joins_follower(s) for s in self.sequences)
        return [emulated(emulation, sequence, self.paravirtual) for sequence in self.sequences]

    def cycles(self, state: layout.State) -> dict[str, int]:
        """Cycles by cause; the values add up to the cycles all walks took."""
        charged = [int(value) for value in state.cycle]
        count = state.count
        refills = int(count[layout.COUNT_GUEST_MISS_D] + count[layout.COUNT_GUEST_MISS_I])
        own_kernel: dict[int, int] = {
            layout.CAUSE_TLBWE: int(count[layout.COUNT_TLBWE_INVALIDATE]) * self.tlbwe
            + int(count[layout.COUNT_WALKED_TLBIE] + count[layout.COUNT_WALKED_TLBIA]) * self.tlbsx,
            layout.CAUSE_TLBSX: int(count[layout.COUNT_TLBSX]) * self.tlbsx,
            layout.CAUSE_PID: int(count[layout.COUNT_PID_WRITES]) * self.mtspr,
        }
        for exception, number in _ENTER_CAUSES.items():
            own_kernel[number] = int(count[layout.COUNT_ENTER + exception]) * self.exception
        for number, cycles in own_kernel.items():
            charged[number] -= cycles
            charged[layout.CAUSE_KERNEL] += cycles
        charged[layout.CAUSE_TLBWE] -= refills * self.tlbwe
        charged[layout.CAUSE_REFILL] += refills * self.tlbwe
        total = dict(zip(layout.CAUSE_NAMES, charged, strict=True))
        for number, sequence in enumerate(self.sequences):
            times = int(state.sequence_count[number])
            where = "guest_tlb_refill" if sequence.refill else "guest_kernel"
            for name in sequence.instructions:
                total[where] += times * self.native[name]
            for step in self.steps[number]:
                cause = counter(step.instruction)
                total[cause] = total.get(cause, 0) + times * step.cycles
        for name in layout.CURED_CAUSES:
            if not total[name]:
                del total[name]
        if not self.virtual:
            kept = {*layout.CAUSE_NAMES[: layout.CAUSE_DTLB], *layout.CURED_CAUSES}
            assert all(cycles == 0 for name, cycles in total.items() if name not in kept), total
            return {name: cycles for name, cycles in total.items() if name in kept}
        return total

    def counts(self, state: layout.State) -> dict[str, int]:
        """Exits by the kernel's counter; empty on bare metal.

        An instruction that the kernel emulates in the trap of another is no exit.
        """
        if not self.virtual:
            return {}
        count = [int(value) for value in state.count]
        total: dict[str, int] = {}
        for number, steps in enumerate(self.steps):
            for step in steps:
                cause = counter(step.instruction)
                total[cause] = total.get(cause, 0) + step.trap * int(state.sequence_count[number])
        refills = count[layout.COUNT_GUEST_MISS_D] + count[layout.COUNT_GUEST_MISS_I]
        searches, invalidations = count[layout.COUNT_TLBSX], count[layout.COUNT_TLBWE_INVALIDATE]
        walked = count[layout.COUNT_WALKED_TLBIE] + count[layout.COUNT_WALKED_TLBIA]
        extra = {
            "PPC_HVM_EMUL_TLBWE": refills
            + (0 if self.paravirtual else invalidations)
            + (0 if self.hypervisor and self.nested else walked),
            "PPC_HVM_EMUL_MTSPR": 0 if self.hypervisor else count[layout.COUNT_PID_WRITES],
            "PPC_HVM_EMUL_TLBSX": searches if self.search_traps or self.paravirtual else 0,
            "PPC_HVM_DTLB_MISS": count[layout.COUNT_HARDWARE_MISS_D],
            "PPC_HVM_ITLB_MISS": count[layout.COUNT_HARDWARE_MISS_I],
            "PPC_HVM_HYPERCALL": count[layout.COUNT_HYPERCALL],
        }
        for exception, cause_number in _ENTER_CAUSES.items():
            reflected = not self.hypervisor or (self.shadowed and exception in (2, 3))
            if reflected:
                extra[layout.CAUSE_NAMES[cause_number]] = count[layout.COUNT_ENTER + exception]
        for cause, amount in extra.items():
            if amount or cause not in layout.CURED_CAUSES:
                total[cause] = total.get(cause, 0) + amount
        return total
