"""Where the cycles of a walk went: the guest's own work, and each kernel counter's handler.

The walk charges whole prices. Each price of a virtual machine is the guest's own cost plus the
kernel's; this module takes the two apart from the counts, exactly.
"""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf

from bgsim.datasheet import Datasheet
from bgsim.guests.linux import Sequence
from bgsim.hardware.core import exception_cycles, privileged_cycles
from bgsim.l4.paths import Paths, counter
from bgsim.platforms import layout

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
        paths = Paths(datasheet)
        self.emulation = {name: paths.cycles(name) if virtual else 0 for name in self.native}

    def cycles(self, state: layout.State) -> dict[str, int]:
        """Cycles by cause; the values add up to the cycles all walks took."""
        charged = [int(value) for value in state.cycle]
        count = state.count
        refills = int(count[layout.COUNT_GUEST_MISS_D] + count[layout.COUNT_GUEST_MISS_I])
        own_kernel: dict[int, int] = {
            layout.CAUSE_TLBWE: int(count[layout.COUNT_TLBWE_INVALIDATE]) * self.tlbwe,
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
                if self.virtual:
                    cause = counter(name)
                    total[cause] = total.get(cause, 0) + times * self.emulation[name]
        if not self.virtual:
            assert all(total[name] == 0 for name in layout.CAUSE_NAMES[layout.CAUSE_DTLB :]), total
            return {name: total[name] for name in layout.CAUSE_NAMES[: layout.CAUSE_DTLB]}
        return total

    def counts(self, state: layout.State) -> dict[str, int]:
        """Exits by the kernel's counter; empty on bare metal."""
        if not self.virtual:
            return {}
        count = state.count
        total: dict[str, int] = {}
        for number, sequence in enumerate(self.sequences):
            for name in sequence.instructions:
                cause = counter(name)
                total[cause] = total.get(cause, 0) + int(state.sequence_count[number])
        refills = int(count[layout.COUNT_GUEST_MISS_D] + count[layout.COUNT_GUEST_MISS_I])
        extra = {
            "PPC_HVM_EMUL_TLBWE": refills + int(count[layout.COUNT_TLBWE_INVALIDATE]),
            "PPC_HVM_EMUL_MTSPR": int(count[layout.COUNT_PID_WRITES]),
            "PPC_HVM_EMUL_TLBSX": int(count[layout.COUNT_TLBSX]),
            "PPC_HVM_DTLB_MISS": int(count[layout.COUNT_HARDWARE_MISS_D]),
            "PPC_HVM_ITLB_MISS": int(count[layout.COUNT_HARDWARE_MISS_I]),
        }
        for exception, cause_number in _ENTER_CAUSES.items():
            extra[layout.CAUSE_NAMES[cause_number]] = int(count[layout.COUNT_ENTER + exception])
        for cause, amount in extra.items():
            total[cause] = total.get(cause, 0) + amount
        return total
