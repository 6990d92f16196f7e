"""What the reference walk runs on: the ledger, the bare core, and the core with L4 on it.

Source: the trap path of L4Ka::Pistachio ``glue/v4-powerpc/softhvm.cc``, step by step.
"""

from __future__ import annotations

from bgsim.hardware.tlb import EVERY_PID, FreeThenRoundRobin, Tlb, TlbEntry
from bgsim.l4.vtlb import FIRST_PID_TAG, FRAGMENT_PAGES, GUEST_SPACE, TAG_KERNEL, TAG_USER, Flush, VirtualTlb
from bgsim.platforms import layout
from bgsim.platforms.layout import Tables

LINEAR_PAGE = 0xC0000
"""First page of the guest kernel's linear mapping."""

PINNED_PAGES = 65536
"""Pages of one pinned entry: 256 MiB."""


class Ledger:
    """Time, charges and counts of one walk, and the instruction lines the kernel has in the L1I."""

    def __init__(self, tables: Tables, sequences: int) -> None:
        self.price = [int(value) for value in tables.price]
        self.scan = [[int(value) for value in row] for row in tables.scan]
        self.sequence = [[int(value) for value in row] for row in tables.sequence]
        self.virtual = tables.virtual
        self.register = [0] * layout.REGISTERS
        self.count = [0] * layout.COUNTS
        self.cycle = [0] * layout.CAUSES
        self.sequence_count = [0] * sequences
        self.lines_present: set[int] = set()
        self.register[layout.LINES_EXPIRY] = layout.NEVER

    def mode(self, number: int) -> int:
        """A mode of the walk: which cures it runs under."""
        return self.price[number]

    def charge(self, cause: int, cycles: int) -> None:
        """Let time pass for a cause."""
        self.register[layout.NOW] += cycles
        self.cycle[cause] += cycles

    def whole(self, carry: int, milli: int, unit: int = 1000) -> int:
        """Whole units in ``milli`` and what was carried; the rest is carried on."""
        whole, self.register[carry] = divmod(self.register[carry] + milli, unit)
        return whole

    def leave(self, groups: int, program: bool) -> None:
        """An exit to the kernel, which runs the instruction lines of ``groups``.

        Parameters
        ----------
        program
            For a privileged instruction; every one brings the virtual timers up to date.
        """
        self.register[layout.EXITS] += 1
        self.register[layout.PROGRAM_EXITS] += program
        self.fetch(groups)

    def fetch(self, groups: int) -> None:
        """The kernel runs instruction lines of ``groups``; what is not in the L1I is fetched."""
        self._forget_old_lines()
        missing = _bits(groups) - self.lines_present
        self.lines_present |= missing
        if not missing:
            return
        lines = sum(self.price[layout.GROUPS_AT + group] for group in missing)
        self.count[layout.COUNT_LINES_KERNEL] += lines
        milli = lines * self.price[layout.PRICE_LINE_MILLI]
        self.charge(layout.CAUSE_ICACHE_KERNEL, self.whole(layout.CARRY_LINES, milli))
        if self.price[layout.PRICE_MISS_MICRO]:
            self._push_out(missing, lines)

    def _forget_old_lines(self) -> None:
        """First in, first out: what enough later lines have followed is gone."""
        register = self.register
        if register[layout.LINES_BROUGHT] < register[layout.LINES_EXPIRY]:
            return
        expiry = {
            group: register[layout.LINES_BROUGHT_AT + group] + self.price[layout.PRICE_CAPACITY_MICRO]
            for group in self.lines_present
        }
        self.lines_present = {g for g, end in expiry.items() if end > register[layout.LINES_BROUGHT]}
        register[layout.LINES_EXPIRY] = min((expiry[g] for g in self.lines_present), default=layout.NEVER)

    def _push_out(self, groups: set[int], lines: int) -> None:
        """Lines just fetched push out older ones, of which the guest needs some again."""
        register = self.register
        now = register[layout.LINES_BROUGHT]
        for group in groups:
            register[layout.LINES_BROUGHT_AT + group] = now
        end = now + self.price[layout.PRICE_CAPACITY_MICRO]
        register[layout.LINES_EXPIRY] = min(register[layout.LINES_EXPIRY], end)
        register[layout.LINES_BROUGHT] = now + lines * 1_000_000
        milli = lines * self.price[layout.PRICE_EVICTED_MILLI]
        self.charge(layout.CAUSE_ICACHE_GUEST, self.whole(layout.CARRY_EVICTED, milli))

    def inserted_executable(self) -> None:
        """The kernel has loaded an executable entry; the real one empties the instruction cache."""
        if self.mode(layout.MODE_ICACHE) == layout.ICACHE_AT_INSERT:
            self.count[layout.COUNT_INSERT_EXECUTABLE] += 1
            self._empty_instruction_cache(layout.PRICE_GUEST_LINES_MILLI)

    def switched_address_space(self) -> None:
        """The guest has written its PID, after which a cured kernel may have to empty the cache."""
        if self.mode(layout.MODE_ICACHE) == layout.ICACHE_AT_SWITCH:
            self.count[layout.COUNT_ICACHE_SWITCH] += 1
            self._empty_instruction_cache(layout.PRICE_SWITCH_LINES_MILLI)

    def _empty_instruction_cache(self, guest_lines: int) -> None:
        """``iccci``: the kernel refetches its own tail at once, the guest its lines later."""
        self.lines_present = _bits(self.lines_of(layout.LINES_AFTER_ICCCI))
        for group in self.lines_present:
            self.register[layout.LINES_BROUGHT_AT + group] = self.register[layout.LINES_BROUGHT]
        self.charge(layout.CAUSE_ICACHE_KERNEL, self.price[layout.PRICE_ICACHE_TAIL])
        milli = self.price[guest_lines]
        self.charge(layout.CAUSE_ICACHE_GUEST, self.whole(layout.CARRY_GUEST_LINES, milli))

    def trap_if(self, kind: int) -> None:
        """A privileged instruction leaves for the kernel if that has anything to run for it."""
        if self.lines_of(kind) and self.virtual:
            self.leave(self.lines_of(kind), program=True)

    def lines_of(self, kind: int) -> int:
        """Groups of lines a kind of exit runs, a bit each."""
        return self.price[layout.LINE_MASKS_AT + kind]

    def privileged(self, sequence: int) -> None:
        """The guest executes one of its sequences of privileged instructions."""
        self.register[layout.NOW] += self.sequence[layout.SEQUENCE_CYCLES][sequence]
        self.sequence_count[sequence] += 1
        lines = self.sequence[layout.SEQUENCE_LINES][sequence]
        if self.virtual and lines:
            self.leave(lines, program=True)


class BareCore:
    """The hardware TLB, filled by the guest itself."""

    def __init__(self, ledger: Ledger, entries: int, pins: int) -> None:
        self.ledger = ledger
        self.entries = entries
        self.tlb = Tlb(entries)
        for pin in range(pins):
            self.tlb.write(entries - 1 - pin, TlbEntry(LINEAR_PAGE + pin * PINNED_PAGES, PINNED_PAGES))
        self.pid = EVERY_PID

    def access(self, page: int, kernel: bool, instruction: int) -> bool:
        """Reach a page; False where the guest's TLB handler has to load it first."""
        return self.knows(page)

    def reaches(self, page: int, kernel: bool) -> bool:
        """Whether an access to the page is translated at once."""
        return self.knows(page)

    def knows(self, page: int) -> bool:
        """Whether the TLB the guest fills has the page."""
        return self.tlb.lookup(page, pid=self.pid) is not None

    def write(self, index: int, page: int, pid: int, executable: bool, kernel: bool) -> None:
        """Three ``tlbwe``: translation, page, attributes. The last two are in the handler's sequences."""
        ledger = self.ledger
        ledger.count[layout.COUNT_TLBWE_XLAT_UNTOUCHED] += 1
        ledger.charge(layout.CAUSE_TLBWE, ledger.price[layout.PRICE_TLBWE_XLAT_UNTOUCHED])
        self.tlb.write(index, TlbEntry(page, 1, tag=pid))
        ledger.privileged(layout.SEQ_REFILL_RESTORE)

    def invalidate_page(self, page: int) -> None:
        """``_tlbie``: search for the page, and invalidate the entry if there is one."""
        self.ledger.privileged(layout.SEQ_TLBIE)
        self.ledger.count[layout.COUNT_TLBSX] += 1
        index = self.search(page)
        if index is not None:
            self.invalidate(index)

    def invalidate_all(self, top: int) -> None:
        """``_tlbia``: every entry up to ``top``, one by one."""
        for index in range(top + 1):
            self.invalidate(index)

    def invalidate(self, index: int) -> None:
        """A ``tlbwe`` that makes an entry invalid."""
        self.ledger.count[layout.COUNT_TLBWE_INVALIDATE] += 1
        self.ledger.charge(layout.CAUSE_TLBWE, self.ledger.price[layout.PRICE_TLBWE_INVALIDATE])
        self.tlb.invalidate(index)

    def search(self, page: int) -> int | None:
        """``tlbsx``."""
        self.ledger.charge(layout.CAUSE_TLBSX, self.ledger.price[layout.PRICE_NATIVE_TLBSX])
        return self.tlb.lookup(page, pid=self.pid)

    def write_pid(self, pid: int) -> None:
        """``mtspr PID``."""
        self.ledger.charge(layout.CAUSE_PID, self.ledger.price[layout.PRICE_NATIVE_PID])
        self.pid = pid

    def reflect_miss(self, instruction: int) -> None:
        """The exception is in the price of the guest's handler."""

    def registers(self) -> dict[int, int]:
        """The registers that say how full the TLBs are."""
        return {layout.GUEST_VALID: self.tlb.valid, layout.HARDWARE_VALID: 0, layout.HARDWARE_INDEX: -1}


class VirtualCore:
    """The virtual TLB, filled by the guest, above the hardware TLB, filled by the microkernel."""

    def __init__(self, ledger: Ledger, entries: int, pins: int, hardware_entries: int) -> None:
        self.ledger = ledger
        self.entries = entries
        fragment_pages = FRAGMENT_PAGES << ledger.mode(layout.MODE_FRAGMENT_SHIFT)
        self.tags = bool(ledger.mode(layout.MODE_PID_TAGS))
        self.virtual = VirtualTlb(entries, fragment_pages, self.tags)
        for pin in range(pins):
            index = entries - 1 - pin
            self.virtual.write_page(index, LINEAR_PAGE + pin * PINNED_PAGES, EVERY_PID, PINNED_PAGES)
            self.virtual.write_attributes(index, executable=True, kernel=True)
        self.linear_end = LINEAR_PAGE + pins * PINNED_PAGES
        self.hardware = Tlb(hardware_entries)
        self.replacement = FreeThenRoundRobin()
        self.pid = EVERY_PID

    def reaches(self, page: int, kernel: bool) -> bool:
        """Whether the hardware translates the access, in the guest's mode."""
        user = FIRST_PID_TAG + self.pid if self.tags else TAG_USER
        return self.hardware.lookup(page, GUEST_SPACE, TAG_KERNEL if kernel else user) is not None

    def knows(self, page: int) -> bool:
        """Whether the virtual TLB has the page."""
        return self.virtual.search(page, self.pid).entry is not None

    def access(self, page: int, kernel: bool, instruction: int) -> bool:
        """A hardware miss is answered from the virtual TLB if that has the page."""
        if self.reaches(page, kernel):
            return True
        ledger = self.ledger
        index, valid, invalid = self.virtual.search(page, self.pid)
        if index is None:
            return False
        source = self.virtual.entries[index]
        fragment = source.pages > 1
        first_scan = layout.SCAN_INSERT_LOWMEM_D if fragment else layout.SCAN_INSERT_D
        cycles = self._search_cycles(first_scan + instruction, valid, invalid)
        if self.hardware.first_free() is not None:
            cycles -= ledger.price[layout.PRICE_FREE_SLOT]
        self.hardware.write(self.replacement.allocate(self.hardware), self.virtual.load(index, page))
        ledger.count[layout.COUNT_HARDWARE_MISS_D + instruction] += 1
        ledger.count[layout.COUNT_INSERT] += 1
        ledger.count[layout.COUNT_INSERT_KERNEL] += fragment
        ledger.charge(layout.CAUSE_ITLB if instruction else layout.CAUSE_DTLB, cycles)
        ledger.leave(ledger.lines_of(layout.LINES_INSERT), program=False)
        if source.executable:
            ledger.inserted_executable()
        return True

    def reflect_miss(self, instruction: int) -> None:
        """The search finds nothing, and the miss is raised in the guest."""
        ledger = self.ledger
        valid = self.virtual.valid
        cycles = self._search_cycles(layout.SCAN_REFLECT_D + instruction, valid, self.entries - valid)
        ledger.count[layout.COUNT_HARDWARE_MISS_D + instruction] += 1
        ledger.charge(layout.CAUSE_ITLB if instruction else layout.CAUSE_DTLB, cycles)
        ledger.leave(ledger.lines_of(layout.LINES_REFLECT), program=False)

    def write(self, index: int, page: int, pid: int, executable: bool, kernel: bool) -> None:
        """Three ``tlbwe``; the first to a touched entry is followed by a flush scan."""
        ledger = self.ledger
        self.virtual.write_translation(index)
        flush = self.virtual.flush_dirty(self.hardware)
        if flush is None:
            ledger.count[layout.COUNT_TLBWE_XLAT_UNTOUCHED] += 1
        self._charge_tlbwe(flush, ledger.price[layout.PRICE_TLBWE_XLAT_UNTOUCHED])
        self.virtual.write_page(index, page, pid)
        self.virtual.write_attributes(index, executable, kernel)
        assert self.virtual.flush_dirty(self.hardware) is None
        at_write = ledger.mode(layout.MODE_WRITE_INSERT)
        if at_write or ledger.mode(layout.MODE_PARAVIRTUAL):
            ledger.privileged(layout.SEQ_REFILL_WRITE)
            if at_write:
                self._load_at_write(index, page, executable)
            ledger.privileged(layout.SEQ_REFILL_RETURN)
        else:
            ledger.privileged(layout.SEQ_REFILL_RESTORE)

    def _load_at_write(self, index: int, page: int, executable: bool) -> None:
        """The trap of the last ``tlbwe`` loads the hardware entry too, where no search is needed."""
        ledger = self.ledger
        cycles = ledger.price[layout.PRICE_WRITE_INSERT]
        if self.hardware.first_free() is not None:
            cycles -= ledger.price[layout.PRICE_FREE_SLOT]
        self.hardware.write(self.replacement.allocate(self.hardware), self.virtual.load(index, page))
        ledger.count[layout.COUNT_INSERT] += 1
        ledger.count[layout.COUNT_WRITE_INSERT] += 1
        ledger.charge(layout.CAUSE_TLBWE, cycles)
        ledger.fetch(ledger.lines_of(layout.LINES_WRITE_INSERT))
        if executable:
            ledger.inserted_executable()

    def invalidate_page(self, page: int) -> None:
        """``_tlbie``: search for the page, and invalidate the entry; of a paravirtual guest, one call."""
        ledger = self.ledger
        paravirtual = ledger.mode(layout.MODE_PARAVIRTUAL)
        if not paravirtual:
            ledger.privileged(layout.SEQ_TLBIE)
        ledger.count[layout.COUNT_TLBSX] += 1
        index = self.search(page)
        if index is not None:
            self.invalidate(index, ledger.price[layout.PRICE_JOINED] if paravirtual else 0)

    def invalidate_all(self, top: int) -> None:
        """``_tlbia``: every entry up to ``top``, one by one or in one call."""
        ledger = self.ledger
        if not ledger.mode(layout.MODE_PARAVIRTUAL):
            for index in range(top + 1):
                self.invalidate(index)
            return
        valid = self.hardware.valid
        for entry in self.virtual.entries[: top + 1]:
            entry.valid = entry.touched = False
        for index, loaded in enumerate(self.hardware.entries):
            linear = loaded is not None and LINEAR_PAGE <= loaded.page < self.linear_end
            if loaded is not None and loaded.space == GUEST_SPACE and not linear:
                self.hardware.invalidate(index)
        ledger.count[layout.COUNT_HYPERCALL] += 1
        row = ledger.scan[layout.FLUSHES_AT + layout.FLUSH_HYPERCALL]
        ledger.charge(layout.CAUSE_HYPERCALL, row[valid])
        ledger.leave(ledger.lines_of(layout.LINES_HYPERCALL), program=True)

    def invalidate(self, index: int, saving: int = 0) -> None:
        """A ``tlbwe`` that makes an entry invalid; a trap of its own costs ``saving`` more."""
        ledger = self.ledger
        ledger.count[layout.COUNT_TLBWE_INVALIDATE] += 1
        self.virtual.invalidate(index)
        flush = self.virtual.flush_dirty(self.hardware)
        ledger.charge(layout.CAUSE_TLBWE, ledger.price[layout.PRICE_INDEX_UPDATE] - saving)
        self._charge_tlbwe(flush, ledger.price[layout.PRICE_TLBWE_INVALIDATE])

    def _charge_tlbwe(self, flush: Flush | None, untouched_cycles: int) -> None:
        ledger = self.ledger
        if flush is None:
            ledger.charge(layout.CAUSE_TLBWE, untouched_cycles)
            ledger.leave(ledger.lines_of(layout.LINES_TLBWE), program=True)
            return
        assert flush.dropped <= 1, "a user page is in one hardware entry"
        row = layout.FLUSH_RANGE_MATCH if flush.dropped else layout.FLUSH_RANGE_MISS
        ledger.count[layout.COUNT_FLUSH_RANGE] += 1
        ledger.charge(layout.CAUSE_TLBWE, ledger.scan[layout.FLUSHES_AT + row][flush.valid])
        ledger.leave(ledger.lines_of(layout.LINES_TLBWE_FLUSH), program=True)

    def search(self, page: int) -> int | None:
        """Emulated ``tlbsx``: the same search as for a miss."""
        ledger = self.ledger
        index, valid, invalid = self.virtual.search(page, self.pid)
        row = layout.SCAN_TLBSX_MISS if index is None else layout.SCAN_TLBSX
        ledger.charge(layout.CAUSE_TLBSX, self._search_cycles(row, valid, invalid))
        ledger.leave(ledger.lines_of(layout.LINES_TLBSX), program=True)
        return index

    def write_pid(self, pid: int) -> None:
        """Emulated ``mtspr PID``: where hardware entries do not carry the guest's PID, all go."""
        ledger = self.ledger
        if self.tags:
            ledger.charge(layout.CAUSE_PID, ledger.price[layout.PRICE_PID_TAGGED])
            ledger.trap_if(layout.LINES_PID_TAGGED)
        else:
            flush = self.virtual.flush_all(self.hardware)
            ledger.count[layout.COUNT_FLUSH_ALL] += 1
            ledger.charge(layout.CAUSE_PID, ledger.scan[layout.FLUSHES_AT + layout.FLUSH_ALL][flush.valid])
            ledger.leave(ledger.lines_of(layout.LINES_PID), program=True)
        ledger.switched_address_space()
        self.pid = pid

    def _search_cycles(self, row: int, valid: int, invalid: int) -> int:
        return self.ledger.scan[row][valid] + invalid * self.ledger.price[layout.PRICE_INVALID_ENTRY]

    def touch_foreign(self, pages: int) -> int:
        """The VMM touches pages of its own, in translation space 0; returns the hardware misses."""
        misses = 0
        for page in range(pages):
            if self.hardware.lookup(page) is None:
                misses += 1
                self.hardware.write(self.replacement.allocate(self.hardware), TlbEntry(page, 1))
        return misses

    def registers(self) -> dict[int, int]:
        """The registers that say how full the TLBs are."""
        return {
            layout.GUEST_VALID: self.virtual.valid,
            layout.HARDWARE_VALID: self.hardware.valid,
            layout.HARDWARE_INDEX: self.replacement.index,
        }


def _bits(mask: int) -> set[int]:
    """Numbers of the bits set in ``mask``."""
    return {bit for bit in range(mask.bit_length()) if mask >> bit & 1}
