"""Prices of the microkernel's trap paths, and the instruction lines they occupy.

A path costs its warm cycles plus a charge for each of its instruction lines that an ``iccci`` has
emptied from the L1I. Lines are tracked in groups that paths share: the entry and exit stubs, the
program-exception handler, the virtual TLB search, and one group per emulated instruction. The
groups are derived from measured line counts; the real layout overlaps a little more, so a cold
sequence is overestimated by up to a tenth.

A path of a cured kernel is put together from executed ones: what is replaced is taken off, what comes in its
place is an instruction count at the executed code's cycles per instruction.

Source: the real kernel and VMM executed path by path, see ``bgsim datasheet 'l4.os.*'``.
"""

from __future__ import annotations

from fractions import Fraction

from bgsim.datasheet import Datasheet
from bgsim.hardware.core import at_setting

GROUPS = (
    "stub",
    "program",
    "miss",
    "mtspr",
    "mfspr",
    "mfmsr",
    "mtmsr",
    "wrtee",
    "rfi",
    "tlbwe",
    "flush",
    "tlbsx",
    "tlbre",
    "reflect",
    "insert",
    "enter",
    "send",
    "vmm",
    "reply",
    "tick",
    "interrupt",
)

_EMULATION_GROUP = {
    "mtspr": "mtspr",
    "mfspr": "mfspr",
    "mfmsr": "mfmsr",
    "mtmsr": "mtmsr",
    "wrteei": "wrtee",
    "wrtee": "wrtee",
    "rfi": "rfi",
    "tlbwe": "tlbwe",
    "tlbre": "tlbre",
    "tlbsx": "tlbsx",
}

COUNTERS = {
    "mtspr": "PPC_HVM_EMUL_MTSPR",
    "mfspr": "PPC_HVM_EMUL_MFSPR",
    "mfmsr": "PPC_HVM_EMUL_MFMSR",
    "mtmsr": "PPC_HVM_EMUL_MTMSR",
    "wrteei": "PPC_HVM_EMUL_WRTEEI",
    "wrtee": "PPC_HVM_EMUL_WRTEE",
    "rfi": "PPC_HVM_EMUL_RFI",
    "tlbwe": "PPC_HVM_EMUL_TLBWE",
    "tlbre": "PPC_HVM_EMUL_TLBRE",
    "tlbsx": "PPC_HVM_EMUL_TLBSX",
}

# Instructions whose path was not executed by itself, and the executed path that is the same code.
_SAME_PATH = {"mtspr_SPRG3": "mtspr_SPRG0", "mtspr_PID": "mtspr_PID_0valid"}


DEVICE_INDEX = 20
"""Virtual TLB entry of the device page in the executed paths of device accesses."""


def counter(instruction: str) -> str:
    """The kernel's counter of exits for a privileged instruction such as ``mtspr_SPRG0``."""
    return COUNTERS[instruction.split("_", maxsplit=1)[0]]


class Paths:
    """Prices of one build of the kernel at one setting of the pipeline model."""

    def __init__(self, datasheet: Datasheet) -> None:
        self.datasheet = datasheet
        self.build = datasheet.text("l4.build")
        self.hashed = datasheet.flag("l4.vtlb.hashed")
        self.light_stub = datasheet.flag("l4.miss_stub.light")
        self._cycles: dict[str, int] = {}

    def _record(self, path: str, suffix: str) -> str:
        return f"l4.{self.build}.{_SAME_PATH.get(path, path)}.{suffix}"

    def instructions(self, path: str) -> int:
        """Instructions the kernel executes on ``path``."""
        return self.datasheet.integer(self._record(path, "instructions"))

    def cycles(self, path: str) -> int:
        """Warm cycles of ``path``."""
        cycles = self._cycles.get(path)
        if cycles is None:
            cycles = int(at_setting(self.datasheet, self._record(path, "cycles")))
            self._cycles[path] = cycles
        return cycles

    def cpi(self, path: str) -> Fraction:
        """Warm cycles per instruction of ``path``."""
        return Fraction(self.cycles(path), self.instructions(path))

    def tail(self, path: str) -> int:
        """Extra cycles of an insert that empties the L1I under itself."""
        return int(at_setting(self.datasheet, self._record(path, "tail")))

    # -- messages between a guest and the VMM -----------------------------------------------------

    def send(self, path: str) -> int:
        """Warm cycles from a fault of the guest to the VMM's first instruction.

        On the fast path: taking an interrupt and switching to the VMM, as executed, and the words of the
        message; what a device access has before its message (the miss) stays.
        """
        cycles = self.cycles(f"{path}.send")
        if path.startswith("mmio_") and self.hashed:
            searched = DEVICE_INDEX + 1
            cycles += round(self._hash_cycles("hash_instructions") - searched * self._insert_slope())
        if not self.datasheet.flag("l4.ipc.fast_path"):
            return cycles
        words = "fault_words" if path.startswith("fwd_") else "page_fault_words"
        miss = cycles - self.cycles("fwd_dcr.send")
        return self.cycles("irq.l4_to_vmm") + self._word_cycles(words) + miss

    def reply(self, path: str) -> int:
        """Warm cycles from the VMM's reply to the guest's next instruction."""
        if not self.datasheet.flag("l4.ipc.fast_path"):
            return self.cycles(f"{path}.reply")
        words = "map_words" if path.startswith("ram_") else "reply_words"
        return self.cycles("irq.vmm_block_redispatch") + self._word_cycles(words)

    # -- system calls of programs -------------------------------------------------------------------

    def message(self) -> int:
        """Warm cycles of a short message from one thread to another that waits for it.

        On the fast path: what was executed of a system call that waits and switches threads.
        """
        if self.datasheet.flag("l4.ipc.fast_path"):
            return self.cycles("irq.vmm_block_redispatch")
        return self._system_call("l4.native.message_instructions")

    def message_lines(self) -> tuple[str, ...]:
        """Line groups of such a message, beside the stubs."""
        return ("interrupt",) if self.datasheet.flag("l4.ipc.fast_path") else ("reply",)

    def space_switch(self) -> int:
        """Cycles of a message more between two address spaces."""
        return self._system_call("l4.native.space_switch_instructions")

    def thread_switch(self) -> int:
        """Warm cycles of giving the core up where nobody else wants it."""
        return self._system_call("l4.native.thread_switch_instructions")

    def _system_call(self, record: str) -> int:
        return round(self.datasheet.integer(record) * self.cpi("irq.vmm_block_redispatch"))

    def send_lines(self) -> tuple[str, ...]:
        """Line groups of a fault's way to the VMM."""
        return ("stub", "program", "interrupt" if self.datasheet.flag("l4.ipc.fast_path") else "send")

    def reply_lines(self) -> tuple[str, ...]:
        """Line groups of the way back."""
        return ("stub", "interrupt" if self.datasheet.flag("l4.ipc.fast_path") else "reply")

    def _word_cycles(self, record: str) -> int:
        per_word = self.datasheet.integer("l4.ipc.fast_word_instructions")
        words = self.datasheet.integer(f"l4.ipc.{record}")
        return round(words * per_word * self.cpi("mmio_load_bic_status.reply"))

    def lines(self, path: str) -> int:
        """Distinct instruction lines of ``path``."""
        return self.datasheet.integer(self._record(path, "lines"))

    def group_lines(self, name: str) -> int:
        """Lines several paths share, by the names of the ``lines`` records."""
        return self.datasheet.integer(f"l4.{self.build}.lines.{name}")

    def group_sizes(self) -> list[int]:
        """Instruction lines of each group, in the order of ``GROUPS``."""
        stub = self.group_lines("stub")
        program = self.group_lines("program")
        miss = self.group_lines("miss")
        flush = self.lines("tlbwe_touched_60valid_1match") - self.lines("tlbwe_w0_untouched")
        sizes = {
            "stub": stub,
            "program": program,
            "miss": miss,
            "flush": flush,
            "reflect": self.lines("dtlb_miss_reflect") - stub - miss,
            "insert": self.lines("dtlb_insert_idx31") - stub - miss,
            "enter": self.lines("sc_reflect") - stub,
            "send": self.lines("mmio_load_bic_status.send") - stub - program,
            "vmm": self.lines("mmio_load_bic_status.vmm"),
            "reply": self.lines("mmio_load_bic_status.reply") - stub,
            "tick": self.lines("l4_tick_inject_dec") - stub,
            "interrupt": self.lines("irq.l4_to_vmm") - stub,
        }
        for operation, path in (
            ("mtspr", "mtspr_SPRG0"),
            ("mfspr", "mfspr_SPRG0"),
            ("mfmsr", "mfmsr"),
            ("mtmsr", "mtmsr"),
            ("wrtee", "wrteei_0"),
            ("rfi", "rfi_to_user"),
            ("tlbwe", "tlbwe_w0_untouched"),
            ("tlbre", "tlbre"),
            ("tlbsx", "tlbsx_hit_31"),
        ):
            sizes[operation] = self.lines(path) - stub - program
        return [sizes[group] for group in GROUPS]

    @staticmethod
    def mask(*groups: str) -> int:
        """Bits of the named groups."""
        bits = 0
        for group in groups:
            bits |= 1 << GROUPS.index(group)
        return bits

    def emulation_mask(self, instruction: str) -> int:
        """Line groups that emulating a privileged instruction fetches."""
        return self.mask("stub", "program", _EMULATION_GROUP[instruction.split("_", maxsplit=1)[0]])

    # -- costs that depend on how far a search or a scan goes ------------------------------------

    def insert_by_visited(self, instruction: bool, lowmem: bool, entries: int) -> list[int]:
        """Warm cycles of answering a hardware miss, by number of valid entries visited (0 to ``entries``).

        The instruction-cache refill after an executable insert is not included.
        """
        saved = self._stub_saving()
        if lowmem:
            # Executed with 64 valid entries visited, the last one the kernel's own.
            full = self.cycles("itlb_insert_lowmem63" if instruction else "dtlb_insert_lowmem63")
            return self._searched(full - saved, 64, self._insert_slope(), entries)
        first = self.cycles("dtlb_insert_idx0_noexec")
        if instruction:
            first += self.cycles("itlb_insert_idx31") - self.cycles("dtlb_insert_idx31")
        return self._searched(first - saved, 1, self._insert_slope(), entries)

    def write_insert(self, stub_cycles: int) -> int:
        """Warm cycles of loading a hardware entry from within the trap of a ``tlbwe``.

        An insert without its search, its stubs and the other things a miss has once.
        """
        once = self.datasheet.integer("l4.vtlb.miss_once_instructions")
        path = "dtlb_insert_idx0_noexec"
        cycles = self.cycles(path) - self._insert_slope() - stub_cycles - float(once * self.cpi(path))
        return max(0, round(cycles))

    def shadow_fill(self) -> int:
        """Warm cycles of filling a shadow page table at a miss: an insert without search, and the walk."""
        fill = self.datasheet.integer("l4.shadow.fill_instructions")
        path = "dtlb_insert_idx0_noexec"
        return round(
            self.cycles(path) - self._stub_saving() - self._insert_slope() + float(fill * self.cpi(path))
        )

    def _insert_slope(self) -> float:
        return (self.cycles("dtlb_insert_idx61_noexec") - self.cycles("dtlb_insert_idx0_noexec")) / 61

    def reflect_by_valid(self, instruction: bool, entries: int) -> list[int]:
        """Warm cycles of reflecting a miss into the guest, by number of valid entries (0 to ``entries``)."""
        full = self.cycles("itlb_miss_reflect" if instruction else "dtlb_miss_reflect")
        return self._searched(full - self._stub_saving(), 64, self._insert_slope(), entries)

    def tlbsx_by_visited(self, entries: int) -> list[int]:
        """Warm cycles of an emulated tlbsx that hits, by number of valid entries visited."""
        return self._searched(self.cycles("tlbsx_hit_0"), 1, self._tlbsx_slope(), entries)

    def tlbsx_miss_by_valid(self, entries: int) -> list[int]:
        """Warm cycles of an emulated tlbsx that finds nothing, by number of valid entries."""
        return self._searched(self.cycles("tlbsx_miss"), 64, self._tlbsx_slope(), entries)

    def _tlbsx_slope(self) -> float:
        return (self.cycles("tlbsx_hit_61") - self.cycles("tlbsx_hit_0")) / 61

    def _searched(self, executed: int, executed_visits: int, slope: float, entries: int) -> list[int]:
        """A path by number of entries its search visits; with an index, the same for any number."""
        if self.hashed:
            path = executed - executed_visits * slope + self._hash_cycles("hash_instructions")
            return [round(path)] * (entries + 1)
        return [round(executed + (visited - executed_visits) * slope) for visited in range(entries + 1)]

    def _hash_cycles(self, record: str) -> float:
        per_instruction = self._insert_slope() / self.scan_instructions
        return self.datasheet.integer(f"l4.vtlb.{record}") * per_instruction

    def index_update(self) -> int:
        """Warm cycles a tlbwe of word 0 spends on the virtual TLB's index, if there is one."""
        return round(self._hash_cycles("hash_update_instructions")) if self.hashed else 0

    def invalid_entry(self) -> int:
        """Warm cycles of a search at an invalid entry."""
        if self.hashed:
            return 0
        scan_cycles = Fraction(
            self.cycles("dtlb_insert_idx61") - self.cycles("dtlb_insert_idx0"), 61 * self.scan_instructions
        )
        return round(self.datasheet.integer("l4.vtlb.invalid_entry_instructions") * scan_cycles)

    def _stub_saving(self) -> int:
        """Cycles a TLB-miss exit saves by keeping fewer registers on the stack and taking them back."""
        if not self.light_stub:
            return 0
        record = self.datasheet.integer
        words = record("l4.miss_stub.full_words") - record("l4.miss_stub.light_words")
        return round(2 * words * at_setting(self.datasheet, "core.multiword_cycles"))

    def flush_range_by_valid(self, match: bool, entries: int, scanned: int) -> list[int]:
        """Warm cycles of a tlbwe to a touched entry, by number of valid hardware entries.

        Parameters
        ----------
        scanned
            Hardware entries the scan looks at; the executed path looked at 60.
        """
        none = self.cycles("tlbwe_touched_60valid_0match")
        per_valid = (none - self.cycles("tlbwe_touched_30valid")) / 30
        found = self.cycles("tlbwe_touched_60valid_1match") - none if match else 0
        per_invalid = (none - 60 * per_valid - self.cycles("tlbwe_w1_untouched")) / 60
        return [
            round(none + found + (valid - 60) * per_valid + (scanned - 60) * per_invalid)
            for valid in range(entries + 1)
        ]

    def flush_all_by_valid(self, entries: int, scanned: int) -> list[int]:
        """Warm cycles of mtspr PID, by number of valid hardware entries, all of the guest."""
        none = self.cycles("mtspr_PID_0valid")
        half = self.cycles("mtspr_PID_30valid")
        full = self.cycles("mtspr_PID_60valid")
        per_invalid = (none - self.cycles("mtspr_MMUCR")) / (60 + 64)
        prices = []
        for valid in range(entries + 1):
            if valid <= 30:
                cycles = none + (half - none) / 30 * valid
            else:
                cycles = half + (full - half) / 30 * (valid - 30)
            prices.append(round(cycles + (scanned - 60) * per_invalid))
        return prices

    def space_flush_by_valid(self, scanned: int) -> list[int]:
        """Warm cycles of the scan when another guest's space is entered, by number of valid hardware entries.

        The scan of mtspr PID, without its trap and without clearing the 64 touched flags of the virtual TLB.
        """
        plain = self.cycles("mtspr_MMUCR")
        per_invalid = (self.cycles("mtspr_PID_0valid") - plain) / (60 + 64)
        whole = self.flush_all_by_valid(scanned, scanned)
        return [max(0, round(cycles - plain - 64 * per_invalid)) for cycles in whole]

    @property
    def scan_instructions(self) -> int:
        """Instructions per valid virtual TLB entry a search visits."""
        return round((self.instructions("dtlb_insert_idx61") - self.instructions("dtlb_insert_idx0")) / 61)

    def refill_cpi(self) -> Fraction:
        """Warm cycles per kernel instruction over the exits of one guest TLB refill."""
        cycles = sum(self.cycles(path) for path in REFILL)
        return Fraction(cycles, sum(self.instructions(path) for path in REFILL))


REFILL = (
    "dtlb_miss_reflect",
    *("mtspr_SPRG0",) * 5,
    "mfspr_DEAR",
    "mfspr_SPRG3",
    "mfspr_MMUCR",
    "mfspr_PID",
    "mtspr_MMUCR",
    "tlbwe_touched_60valid_1match",
    "tlbwe_w0_untouched",
    "tlbwe_w2_untouched",
    "mfspr_SPRG1",
    "mfspr_SPRG0",
    "rfi_to_user",
    "dtlb_insert_idx31_noexec",
)
"""The exits of one guest data-TLB miss in order, as executed paths."""
