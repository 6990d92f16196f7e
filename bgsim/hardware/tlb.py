"""The PPC450's translation lookaside buffer: entries of any page size, filled by software.

Written to be read, entry by entry, as the manual and the kernels' sources describe it; the reference
walk runs on it. The hardware only matches: which entry is replaced is decided by whoever fills it.
Two fillers are here: the microkernel takes a free entry first and goes round robin after that, Linux
goes round robin over the entries it does not pin, whether they are valid or not.

Pages are numbered in units of 4 KiB. Left out: access permissions, storage attributes, parity, and
the small shadow TLBs in front.

Source: PPC440 user's manual, chapter on memory management; L4Ka::Pistachio
``arch/powerpc/swtlb.h``; Linux ``head_44x.S``.
"""

from __future__ import annotations

from dataclasses import dataclass

PAGE_BYTES = 4096
EVERY_PID = 0


@dataclass(frozen=True, slots=True)
class TlbEntry:
    """One translation, as far as matching goes.

    Attributes
    ----------
    page, pages
        First page and number of pages, in units of 4 KiB.
    space
        Translation space, 0 or 1.
    tag
        PID that must match; 0 matches every PID.
    """

    page: int
    pages: int
    space: int = 0
    tag: int = EVERY_PID

    def overlaps(self, first: int, last: int) -> bool:
        """Whether the entry's range and the pages ``first`` to ``last`` have one in common."""
        return self.page <= last and first < self.page + self.pages

    def serves(self, space: int, pid: int) -> bool:
        """Whether the entry translates anything in a translation space under a PID."""
        return self.space == space and self.tag in (EVERY_PID, pid)


class Tlb:
    """Fully associative TLB; None stands for an invalid entry."""

    def __init__(self, entries: int) -> None:
        self.entries: list[TlbEntry | None] = [None] * entries

    def __len__(self) -> int:
        return len(self.entries)

    def lookup(self, page: int, space: int = 0, pid: int = EVERY_PID) -> int | None:
        """Index of the entry that translates a page, or None.

        Raises
        ------
        ValueError
            If two entries match, which is a machine check.
        """
        hits = [
            index
            for index, entry in enumerate(self.entries)
            if entry is not None
            and entry.page <= page < entry.page + entry.pages
            and entry.serves(space, pid)
        ]
        if len(hits) > 1:
            raise ValueError(f"page {page:#x} of PID {pid} hits the TLB entries {hits}")
        return hits[0] if hits else None

    def write(self, index: int, entry: TlbEntry) -> None:
        """Make an entry valid."""
        self.entries[index] = entry

    def invalidate(self, index: int) -> None:
        """Make an entry invalid."""
        self.entries[index] = None

    def invalidate_range(self, space: int, first: int, last: int, tag: int | None = None) -> int:
        """Scan all entries and drop those of a space that overlap the pages ``first`` to ``last``.

        Parameters
        ----------
        tag
            Only entries with this tag; with any tag by default.

        Returns
        -------
        int
            Number of entries dropped.
        """
        dropped = 0
        for index, entry in enumerate(self.entries):
            if (
                entry is not None
                and entry.space == space
                and entry.overlaps(first, last)
                and tag in (None, entry.tag)
            ):
                self.entries[index] = None
                dropped += 1
        return dropped

    def first_free(self) -> int | None:
        """Lowest invalid entry."""
        return self.entries.index(None) if None in self.entries else None

    @property
    def valid(self) -> int:
        """Number of valid entries."""
        return sum(entry is not None for entry in self.entries)


class FreeThenRoundRobin:
    """How L4 allocates: the first free entry, and round robin over all where none is free."""

    def __init__(self) -> None:
        self.index = -1

    def allocate(self, tlb: Tlb) -> int:
        """Entry to fill next."""
        free = tlb.first_free()
        if free is not None:
            return free
        self.index = (self.index + 1) % len(tlb)
        return self.index


class RoundRobin:
    """How Linux allocates: round robin over the entries up to a high-water mark, valid or not.

    Parameters
    ----------
    top
        Last entry that is replaced; those above are pinned.
    """

    def __init__(self, top: int) -> None:
        self.top = top
        self.index = 0

    def allocate(self) -> int:
        """Entry to fill next."""
        index = self.index
        self.index = index + 1 if index < self.top else 0
        return index
