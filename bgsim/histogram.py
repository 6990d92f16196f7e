"""Histograms that merge: bins of equal width on a logarithmic axis, the same for every run.

Because the edges are fixed powers of ten and not fitted to the data, the histogram of several runs is the
sum of theirs, in any order, and quantiles of all runs together can be bounded without keeping their values.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


class Histogram:
    """Counts of positive values by bin.

    Parameters
    ----------
    bins_per_decade
        Bin i covers 10^(i / bins_per_decade) to 10^((i + 1) / bins_per_decade).
    counts
        Values by bin.

    Examples
    --------
    >>> one, other = Histogram.of([1.5, 20.0], 1), Histogram.of([30.0], 1)
    >>> (one + other).rows()
    [[1.0, 10.0, 1], [10.0, 100.0, 2]]
    """

    def __init__(self, bins_per_decade: int, counts: Mapping[int, int] | None = None) -> None:
        if bins_per_decade < 1:
            raise ValueError("a histogram has at least one bin in a decade")
        self.bins_per_decade = bins_per_decade
        self.counts: dict[int, int] = dict(counts or {})

    @classmethod
    def of(cls, values: Iterable[float], bins_per_decade: int) -> Histogram:
        """The histogram of some values, all above zero."""
        made = cls(bins_per_decade)
        for value in values:
            at = math.floor(math.log10(value) * bins_per_decade)
            made.counts[at] = made.counts.get(at, 0) + 1
        return made

    @classmethod
    def from_rows(cls, rows: Sequence[Sequence[float]], bins_per_decade: int) -> Histogram:
        """A histogram as :meth:`rows` wrote it.

        Raises
        ------
        ValueError
            If the rows have other bins.
        """
        counts: dict[int, int] = {}
        for low, high, count in rows:
            at = round(math.log10(low) * bins_per_decade)
            edges = 10 ** (at / bins_per_decade), 10 ** ((at + 1) / bins_per_decade)
            if not (math.isclose(low, edges[0]) and math.isclose(high, edges[1])):
                raise ValueError(f"{low:g} to {high:g} is no bin of {bins_per_decade} in a decade")
            counts[at] = counts.get(at, 0) + int(count)
        return cls(bins_per_decade, counts)

    def __add__(self, other: Histogram) -> Histogram:
        """Both together.

        Raises
        ------
        ValueError
            If their bins differ.
        """
        if self.bins_per_decade != other.bins_per_decade:
            raise ValueError("histograms with different bins do not merge")
        bins = self.counts.keys() | other.counts.keys()
        return Histogram(
            self.bins_per_decade, {at: self.counts.get(at, 0) + other.counts.get(at, 0) for at in bins}
        )

    @property
    def total(self) -> int:
        """How many values it holds."""
        return sum(self.counts.values())

    def rows(self) -> list[list[Any]]:
        """Bins that hold anything: lower and upper end, and count; ascending."""
        width = self.bins_per_decade
        return [
            [10 ** (at / width), 10 ** ((at + 1) / width), count]
            for at, count in sorted(self.counts.items())
            if count
        ]

    def quantile(self, share: float) -> tuple[float, float]:
        """The bin in which a quantile lies: its ends bound the quantile of all values.

        Parameters
        ----------
        share
            Above 0, at most 1.

        Raises
        ------
        ValueError
            If the histogram is empty or the share is out of range.
        """
        if not self.total or not 0 < share <= 1:
            raise ValueError("a quantile needs values, and a share above 0 and up to 1")
        wanted, seen = math.ceil(share * self.total), 0
        for low, high, count in self.rows():
            seen += count
            if seen >= wanted:
                return low, high
        raise AssertionError("the last bin reaches the total")
