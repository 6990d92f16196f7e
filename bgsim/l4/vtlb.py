"""The virtual TLB of a vCPU: 64 entries in memory, searched one by one.

The guest writes it with emulated ``tlbwe``, three words per entry; the microkernel answers hardware
TLB misses from it. An entry whose translation has been loaded into hardware is *touched*: the first
``tlbwe`` to it leaves a dirty range behind, and at the end of that trap every hardware entry of the
guests' translation space within the range is dropped.

Written to be read; the reference walk runs on it. Left out: the shadow entry, which the shipped
kernel never fills, and the translation's target and attributes.

Source: L4Ka::Pistachio ``arch/powerpc/softhvm.h`` and ``glue/v4-powerpc/softhvm.cc``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from bgsim.hardware.tlb import EVERY_PID, Tlb, TlbEntry

GUEST_SPACE = 1
"""Translation space of all guests; the kernel, the VMM and native programs live in space 0."""

TAG_USER = 1
TAG_KERNEL = 2
"""PID register while a guest runs in user mode, and in kernel mode."""

FIRST_PID_TAG = 3
"""Where hardware entries carry the guest's PID: the tag of guest PID 0."""

FRAGMENT_PAGES = 256
"""Pages of one hardware entry of a 256 MiB mapping where the VMM maps 4 MiB at a time: 1 MiB."""

HARDWARE_PAGES = (1, 4, 16, 64, 256, 4096, 65536)
"""Pages of one hardware entry, by the sizes a PPC440 has: 4 KiB to 256 MiB."""


@dataclass(slots=True)
class VirtualEntry:
    """One entry of the virtual TLB.

    Attributes
    ----------
    page, pages
        First page and number of pages, in units of 4 KiB.
    pid
        The guest's PID; 0 matches every PID.
    executable, kernel
        Instructions may be fetched from the page; only the guest's kernel may use it.
    touched
        The translation was loaded into hardware since the entry was last written. It stays set when
        the hardware entry is replaced.
    """

    valid: bool = False
    page: int = 0
    pages: int = 1
    pid: int = EVERY_PID
    executable: bool = False
    kernel: bool = False
    touched: bool = False

    def matches(self, page: int, pid: int) -> bool:
        """Whether the entry is valid and translates a page under the guest's PID."""
        return self.valid and self.page <= page < self.page + self.pages and self.pid in (EVERY_PID, pid)


class Search(NamedTuple):
    """What a search found, and the entries it looked at on the way."""

    entry: int | None
    visited_valid: int
    visited_invalid: int


class Flush(NamedTuple):
    """A scan of the hardware TLB: its valid entries before, and how many of them were dropped."""

    valid: int
    dropped: int


class VirtualTlb:
    """Virtual TLB of one vCPU and the dirty range it leaves behind.

    Parameters
    ----------
    fragment_pages
        Pages of the largest hardware entry that the VMM's mappings allow.
    pid_tags
        Whether hardware entries of user pages carry the guest's PID, as in a cured kernel.
    """

    def __init__(self, entries: int, fragment_pages: int = FRAGMENT_PAGES, pid_tags: bool = False) -> None:
        self.entries = [VirtualEntry() for _ in range(entries)]
        self.dirty: tuple[int, int, int | None] | None = None
        self.fragment_pages = fragment_pages
        self.pid_tags = pid_tags

    def search(self, page: int, pid: int) -> Search:
        """Look for the translation of a page, from entry 0 upwards; the first match ends it."""
        valid = 0
        for index, entry in enumerate(self.entries):
            valid += entry.valid
            if entry.matches(page, pid):
                return Search(index, valid, index + 1 - valid)
        return Search(None, valid, len(self.entries) - valid)

    @property
    def valid(self) -> int:
        """Number of valid entries."""
        return sum(entry.valid for entry in self.entries)

    # -- tlbwe, by word ----------------------------------------------------------------------------

    def write_page(self, index: int, page: int, pid: int, pages: int = 1) -> None:
        """Word 0: the page that is translated, and the valid bit set."""
        self._mark_dirty(index)
        entry = self.entries[index]
        entry.valid, entry.page, entry.pages, entry.pid = True, page, pages, pid

    def write_translation(self, index: int) -> None:
        """Word 1: where the page lies in the guest's memory."""
        self._mark_dirty(index)

    def write_attributes(self, index: int, executable: bool, kernel: bool) -> None:
        """Word 2: permissions and storage attributes."""
        self._mark_dirty(index)
        entry = self.entries[index]
        entry.executable, entry.kernel = executable, kernel

    def invalidate(self, index: int) -> None:
        """Word 0 with the valid bit clear."""
        self._mark_dirty(index)
        self.entries[index].valid = False

    def _mark_dirty(self, index: int) -> None:
        entry = self.entries[index]
        if entry.touched:
            entry.touched = False
            tag = self.tag(entry) if self.pid_tags else None
            self.dirty = (entry.page, entry.page + entry.pages - 1, tag)

    def tag(self, entry: VirtualEntry) -> int:
        """Tag of the hardware entries that are loaded from an entry."""
        if entry.kernel:
            return TAG_KERNEL
        return FIRST_PID_TAG + entry.pid if self.pid_tags else EVERY_PID

    # -- the hardware TLB --------------------------------------------------------------------------

    def flush_dirty(self, hardware: Tlb) -> Flush | None:
        """End of a trap: drop what the dirty range covers; None where nothing was dirty."""
        if self.dirty is None:
            return None
        first, last, tag = self.dirty
        self.dirty = None
        return Flush(hardware.valid, hardware.invalidate_range(GUEST_SPACE, first, last, tag))

    def flush_all(self, hardware: Tlb) -> Flush:
        """The guest wrote its PID register: drop every guest entry and forget what was touched."""
        for entry in self.entries:
            entry.touched = False
        return Flush(hardware.valid, hardware.invalidate_range(GUEST_SPACE, 0, 1 << 62))

    def load(self, index: int, page: int) -> TlbEntry:
        """The hardware entry that answers a miss on ``page`` from entry ``index``, which is now touched.

        Its size is what the guest's entry and the VMM's mapping both allow, rounded down to a size
        the hardware has: 256 MiB over 4 MiB becomes 1 MiB.
        """
        entry = self.entries[index]
        entry.touched = True
        pages = max(size for size in HARDWARE_PAGES if size <= min(entry.pages, self.fragment_pages))
        return TlbEntry(page // pages * pages, pages, GUEST_SPACE, self.tag(entry))
