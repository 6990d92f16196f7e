"""What the reference walk runs on where the hardware walks page tables: bare, and with L4 on it.

No TLB handler runs on such a machine. In a virtual machine the hardware walks a shadow table that the kernel
fills from the guest's own at a miss, or, with nested translation, the guest's table through the host's; a
page that the shadow table has keeps its place there until the guest invalidates it.
"""

from __future__ import annotations

from bgsim.hardware.tlb import EVERY_PID, FreeThenRoundRobin, RoundRobin, Tlb, TlbEntry
from bgsim.l4.vtlb import FIRST_PID_TAG, FRAGMENT_PAGES, GUEST_SPACE, TAG_KERNEL, TAG_USER
from bgsim.platforms import layout
from bgsim.platforms.reference_core import LINEAR_PAGE, PINNED_PAGES, Ledger


class WalkedBareCore:
    """The hardware TLB, filled by the hardware from the guest's page table."""

    def __init__(self, ledger: Ledger, entries: int, pins: int) -> None:
        self.ledger = ledger
        self.entries = entries
        self.tlb = Tlb(entries)
        for pin in range(pins):
            self.tlb.write(entries - 1 - pin, TlbEntry(LINEAR_PAGE + pin * PINNED_PAGES, PINNED_PAGES))
        self.replacement = RoundRobin(entries - pins - 1)
        self.pid = EVERY_PID

    def reaches(self, page: int, kernel: bool) -> bool:
        """Whether an access to the page is translated at once."""
        return self.tlb.lookup(page, pid=self.pid) is not None

    def knows(self, page: int) -> bool:
        """Whether software has to do nothing for an access: it never has."""
        return True

    def access(self, page: int, kernel: bool, instruction: int) -> bool:
        """Reach a page, by a walk where the TLB has not got it."""
        if not self.reaches(page, kernel):
            self.ledger.count[layout.COUNT_TABLE_WALK] += 1
            self.ledger.charge(layout.CAUSE_TABLE_WALK, self.ledger.price[layout.PRICE_TABLE_WALK])
            pid = EVERY_PID if kernel else self.pid
            self.tlb.write(self.replacement.allocate(), TlbEntry(page, 1, tag=pid))
        return True

    def invalidate_page(self, page: int) -> None:
        """One instruction."""
        self.ledger.count[layout.COUNT_WALKED_TLBIE] += 1
        self.ledger.charge(layout.CAUSE_TLBWE, self.ledger.price[layout.PRICE_WALKED_TLBIE])
        index = self.tlb.lookup(page, pid=self.pid)
        if index is not None:
            self.tlb.invalidate(index)

    def invalidate_all(self, top: int) -> None:
        """One instruction for every entry up to ``top``."""
        self.ledger.count[layout.COUNT_WALKED_TLBIA] += 1
        self.ledger.charge(layout.CAUSE_TLBWE, self.ledger.price[layout.PRICE_WALKED_TLBIA])
        for index in range(top + 1):
            self.tlb.invalidate(index)

    def write_pid(self, pid: int) -> None:
        """``mtspr PID``."""
        self.ledger.charge(layout.CAUSE_PID, self.ledger.price[layout.PRICE_NATIVE_PID])
        self.pid = pid

    def registers(self) -> dict[int, int]:
        """The registers that say how full the TLBs are."""
        return {
            layout.GUEST_VALID: self.tlb.valid,
            layout.GUEST_INDEX: self.replacement.index,
            layout.HARDWARE_VALID: 0,
            layout.HARDWARE_INDEX: -1,
        }


class WalkedVirtualCore:
    """The hardware TLB of a core with a virtual machine, filled by walks of the shadow or of both tables."""

    def __init__(self, ledger: Ledger, entries: int, pins: int, hardware_entries: int) -> None:
        self.ledger = ledger
        self.entries = entries
        self.pins = pins
        self.nested = ledger.mode(layout.MODE_TABLE_WALK) == layout.WALK_NESTED
        self.tags = bool(ledger.mode(layout.MODE_PID_TAGS))
        self.fragment_pages = FRAGMENT_PAGES << ledger.mode(layout.MODE_FRAGMENT_SHIFT)
        self.linear_end = LINEAR_PAGE + pins * PINNED_PAGES
        self.shadow: set[tuple[int, int]] = set()
        self.hardware = Tlb(hardware_entries)
        self.replacement = FreeThenRoundRobin()
        self.pid = EVERY_PID

    def _entry(self, page: int, kernel: bool) -> TlbEntry:
        """What a walk for a page loads."""
        if LINEAR_PAGE <= page < self.linear_end:
            pages = self.fragment_pages
            return TlbEntry(page // pages * pages, pages, GUEST_SPACE, TAG_KERNEL)
        user = FIRST_PID_TAG + self.pid if self.tags else EVERY_PID
        return TlbEntry(page, 1, GUEST_SPACE, TAG_KERNEL if kernel else user)

    def _shadow_key(self, page: int, kernel: bool) -> tuple[int, int]:
        return self._entry(page, kernel).page, EVERY_PID if kernel else self.pid

    def reaches(self, page: int, kernel: bool) -> bool:
        """Whether the hardware TLB translates the access, in the guest's mode."""
        user = FIRST_PID_TAG + self.pid if self.tags else TAG_USER
        return self.hardware.lookup(page, GUEST_SPACE, TAG_KERNEL if kernel else user) is not None

    def shadows(self, page: int, kernel: bool) -> bool:
        """Whether a walk finds the page without the guest's page table."""
        return not self.nested and self._shadow_key(page, kernel) in self.shadow

    def access(self, page: int, kernel: bool, instruction: int) -> bool:
        """Reach a page, by a walk where the TLB has not got it."""
        if self.reaches(page, kernel):
            return True
        ledger = self.ledger
        if not self.nested and not self.shadows(page, kernel):
            self.shadow.add(self._shadow_key(page, kernel))
            ledger.count[layout.COUNT_SHADOW_FILL] += 1
            ledger.count[layout.COUNT_HARDWARE_MISS_D + instruction] += 1
            ledger.charge(layout.CAUSE_DTLB + instruction, ledger.price[layout.PRICE_SHADOW_FILL])
            ledger.leave(ledger.lines_of(layout.LINES_SHADOW_FILL), program=False)
        ledger.count[layout.COUNT_TABLE_WALK] += 1
        ledger.charge(layout.CAUSE_TABLE_WALK, ledger.price[layout.PRICE_TABLE_WALK])
        self.hardware.write(self.replacement.allocate(self.hardware), self._entry(page, kernel))
        return True

    def invalidate_page(self, page: int) -> None:
        """One instruction, which traps if the guest may not execute it."""
        ledger = self.ledger
        kernel = page >= self.linear_end
        ledger.count[layout.COUNT_WALKED_TLBIE] += 1
        ledger.charge(layout.CAUSE_TLBWE, ledger.price[layout.PRICE_WALKED_TLBIE])
        self.shadow.discard(self._shadow_key(page, kernel))
        self.hardware.invalidate_range(GUEST_SPACE, page, page, self._entry(page, kernel).tag)
        ledger.trap_if(layout.LINES_WALKED)

    def invalidate_all(self, top: int) -> None:
        """One instruction for everything but the guest kernel's linear mapping."""
        ledger = self.ledger
        ledger.count[layout.COUNT_WALKED_TLBIA] += 1
        ledger.charge(layout.CAUSE_TLBWE, ledger.price[layout.PRICE_WALKED_TLBIA])
        self.shadow = {(page, pid) for page, pid in self.shadow if LINEAR_PAGE <= page < self.linear_end}
        self.hardware.invalidate_range(GUEST_SPACE, 0, LINEAR_PAGE - 1)
        self.hardware.invalidate_range(GUEST_SPACE, self.linear_end, 1 << 62)
        ledger.trap_if(layout.LINES_WALKED)

    def write_pid(self, pid: int) -> None:
        """``mtspr PID``: where hardware entries do not carry the guest's PID, all go."""
        ledger = self.ledger
        if self.tags:
            ledger.charge(layout.CAUSE_PID, ledger.price[layout.PRICE_PID_TAGGED])
            ledger.trap_if(layout.LINES_PID_TAGGED)
        else:
            valid = self.hardware.valid
            self.hardware.invalidate_range(GUEST_SPACE, 0, 1 << 62)
            ledger.count[layout.COUNT_FLUSH_ALL] += 1
            ledger.charge(layout.CAUSE_PID, ledger.scan[layout.FLUSHES_AT + layout.FLUSH_ALL][valid])
            ledger.leave(ledger.lines_of(layout.LINES_PID), program=True)
        ledger.switched_address_space()
        self.pid = pid

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
            layout.GUEST_VALID: self.pins,
            layout.HARDWARE_VALID: self.hardware.valid,
            layout.HARDWARE_INDEX: self.replacement.index,
        }
