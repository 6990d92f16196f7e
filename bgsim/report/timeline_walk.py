"""A stretch of guest work, trap by trap.

The compiled walk has no events; this one is the readable reference with a ledger that remembers what each
charge was for. It is run beside the compiled walk from the same state, and must end in the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bgsim.l4.paths import counter
from bgsim.platforms import layout
from bgsim.platforms.accounting import Accounting
from bgsim.platforms.layout import Tables
from bgsim.platforms.reference import ReferenceWalk
from bgsim.platforms.reference_core import Ledger
from bgsim.profiles import program as ops
from bgsim.report import causes
from bgsim.report.timeline import Detail, Slice, Timeline

_EXCEPTIONS = {
    ops.EXCEPTION_DSI: "data storage exception",
    ops.EXCEPTION_ISI: "instruction storage exception",
    ops.EXCEPTION_EXTERNAL: "external interrupt",
    ops.EXCEPTION_PROGRAM: "program exception",
    ops.EXCEPTION_FP_UNAVAILABLE: "FP unavailable",
    ops.EXCEPTION_SYSCALL: "system call",
    ops.EXCEPTION_DECREMENTER: "decrementer",
    ops.EXCEPTION_DTLB: "page fault, data",
    ops.EXCEPTION_ITLB: "page fault, instruction",
}

_NOTES = (
    (layout.COUNT_INSERT, "hardware entries loaded"),
    (layout.COUNT_INSERT_EXECUTABLE, "instruction cache emptied"),
    (layout.COUNT_FLUSH_RANGE, "scans of the hardware TLB"),
    (layout.COUNT_FLUSH_ALL, "flushes of the hardware TLB"),
)
"""Counts that say what a trap did, and how a reader calls it."""

_CAUSES = {name: number for number, name in enumerate(layout.CAUSE_NAMES)}
_MISSES = (_CAUSES["PPC_HVM_DTLB_MISS"], _CAUSES["PPC_HVM_ITLB_MISS"])


class Recorder:
    """Where a walk's slices are collected until it is sure that they stand.

    Parameters
    ----------
    timeline
        Hands out flows; slices go there when the stretch is over for good.
    guest_track, kernel_track
        Where the guest's own time and the kernel's are drawn.
    accounting
        Takes privileged sequences apart.
    """

    def __init__(
        self, timeline: Timeline, guest_track: int, kernel_track: int, accounting: Accounting
    ) -> None:
        self.timeline = timeline
        self.guest_track = guest_track
        self.kernel_track = kernel_track
        self.accounting = accounting
        self.flow = 0
        self.slices: list[Slice] = []

    def commit(self) -> None:
        """The stretch stands: hand its slices over."""
        for found in self.slices:
            self.timeline.add(found)
        self.slices = []

    def take_back(self) -> None:
        """The stretch will be run again, up to an earlier moment."""
        self.slices = []

    def piece(
        self, place: str, begin: int, end: int, name: str, details: Mapping[str, Detail] | None = None
    ) -> None:
        """Time of one thing; a guest without a kernel underneath does everything itself."""
        if end > begin:
            kernel = place != "guest" and self.accounting.virtual
            track = self.kernel_track if kernel else self.guest_track
            flow = self.flow if kernel else 0
            self.slices.append(Slice(track, begin, end, name, details or {}, flow))


class RecordedLedger(Ledger):
    """A ledger that tells a recorder what each charge was for."""

    recorder: Recorder

    def __init__(self, tables: Tables, sequences: int) -> None:
        super().__init__(tables, sequences)
        self._seen: list[int] | None = None

    def charge(self, cause: int, cycles: int) -> None:
        """Let time pass for a cause, and say so."""
        begin = self.register[layout.NOW]
        super().charge(cause, cycles)
        cause_name = layout.CAUSE_NAMES[cause]
        name, details = causes.label(cause_name), self._notes()
        if cause_name.startswith(causes.EXIT_PREFIX) and self.virtual:
            details["counter"] = cause_name
            if cause in _MISSES:
                name += ": load the hardware entry" if _NOTES[0][1] in details else ": reflect to the guest"
        self.recorder.piece(causes.place(cause_name), begin, begin + cycles, name, details)

    def privileged(self, sequence: int) -> None:
        """A sequence of privileged instructions; in a VM, the kernel's part stands behind each."""
        begin = now = self.register[layout.NOW]
        passed = self.sequence[layout.SEQUENCE_CYCLES][sequence]
        accounting = self.recorder.accounting
        if not self.virtual:
            name = accounting.sequences[sequence].name.replace("_", " ")
            self.recorder.piece("guest", now, now + passed, name)
            super().privileged(sequence)
            return
        steps = accounting.steps[sequence]
        for number, name in enumerate(accounting.sequences[sequence].instructions):
            own = accounting.native[name]
            words = name.replace("_", " ")
            self.recorder.piece("guest", now, now + own, words)
            now += own
            if not steps[number].cycles:
                continue
            step = steps[number]
            details: dict[str, Detail] = {"counter": counter(name)} if step.trap else {}
            words += "" if step.trap else " (in the same trap)"
            self.recorder.piece("L4", now, now + step.cycles, words, details)
            now += step.cycles
        super().privileged(sequence)
        assert now - begin == passed, f"sequence {sequence}: {now - begin} cycles in parts, {passed} in all"

    def _notes(self) -> dict[str, Detail]:
        """What the counts say that has happened since the last charge."""
        before = self._seen
        self._seen = [self.count[number] for number, _ in _NOTES]
        if before is None:
            return {}
        pairs = zip(_NOTES, self._seen, before, strict=True)
        return {words: now - then for (_, words), now, then in pairs if now != then}

    def set_seen(self) -> None:
        """Start noting changes of the counts from here."""
        self._notes()


class RecordedWalk(ReferenceWalk):
    """The readable walk with a slice around every operation that takes more than its own work."""

    def __init__(self, recorder: Recorder, **sizes: Any) -> None:
        super().__init__(**sizes)
        assert isinstance(self.ledger, RecordedLedger)
        self.recorder = self.ledger.recorder = recorder

    @staticmethod
    def new_ledger(tables: Tables, sequences: int) -> Ledger:
        """A ledger that tells a recorder."""
        return RecordedLedger(tables, sequences)

    def _execute(self, kind: int, argument: int) -> None:
        if kind in (ops.WORK_USER, ops.WORK_KERNEL):
            super()._execute(kind, argument)
            return
        recorder, register = self.recorder, self.register
        begin, known = register[layout.NOW], len(recorder.slices)
        recorder.flow = recorder.timeline.new_flow() if self.ledger.virtual else 0
        super()._execute(kind, argument)
        end = register[layout.NOW]
        traps = sum("counter" in part.details for part in recorder.slices[known:])
        if end > begin:
            name, details = self._named(kind, argument)
            if traps:
                details["traps"] = traps
            recorder.slices.append(
                Slice(recorder.guest_track, begin, end, name, details, recorder.flow if traps else 0, depth=0)
            )
        recorder.flow = 0

    def _named(self, kind: int, argument: int) -> tuple[str, dict[str, Detail]]:
        """Words for an operation, and what it is about."""
        if kind in (ops.DATA, ops.INSTRUCTION, ops.TLBIE):
            page: dict[str, Detail] = {"page": f"{self.page_of(argument):#x}", "address space": self.core.pid}
            if kind == ops.TLBIE:
                return "invalidate a page (_tlbie)", page
            return f"{'instruction' if kind == ops.INSTRUCTION else 'data'} TLB miss", page
        if kind in (ops.LOWMEM_DATA, ops.LOWMEM_INSTRUCTION):
            return "TLB miss on the kernel's linear mapping", {"MiB": argument}
        if kind == ops.ENTER:
            return _EXCEPTIONS.get(argument, f"exception {argument}"), {}
        if kind == ops.PID:
            return "switch the address space", {"address space": argument}
        if kind == ops.TLBIA:
            return "invalidate all pages (_tlbia)", {}
        return self.recorder.accounting.sequences[argument].name.replace("_", " "), {}
