"""A validation case: what is compared with what, under which conditions, and how far off it is."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["measured", "hand count", "closed form", "reference"]
"""Where the expected value is from: the real machine, counting by hand in the sources, a formula, or
an independent program."""


@dataclass(frozen=True)
class Row:
    """One point of a comparison.

    Attributes
    ----------
    series
        Rows of one series are summed up together, such as one column of a measured table.
    point
        What distinguishes it within its series.
    expected, simulated
        In the unit of the case.
    tolerance_percent
        How far off counts as a miss; None where the row was used for calibration and shows nothing.
    half_width
        Of the 95 % interval of the simulated value, where random numbers are drawn; it is shown, and
        the tolerance is chosen with it in mind.
    """

    series: str
    point: str
    expected: float
    simulated: float
    tolerance_percent: float | None
    half_width: float | None = None

    @property
    def calibrated(self) -> bool:
        """Whether a parameter was fitted to this row, so that it does not count."""
        return self.tolerance_percent is None

    @property
    def error_percent(self) -> float:
        """Deviation of the simulated from the expected value."""
        return 100 * (self.simulated / self.expected - 1)

    @property
    def missed(self) -> bool:
        """Whether it is off by more than its tolerance."""
        return self.tolerance_percent is not None and abs(self.error_percent) > self.tolerance_percent


@dataclass(frozen=True)
class Case:
    """A comparison.

    Attributes
    ----------
    name
        What is compared with what, in one hyphenated phrase.
    compares
        The same as a sentence.
    kind
        Where the expected values are from.
    unit
        Of expected and simulated values.
    source
        Of the expected values.
    conditions
        Under which both sides hold, and what the rows cannot show.
    binding
        Whether a miss is a fault of the simulator. Otherwise a miss is a finding, published as such.
    rows
        Computes the rows; given True, only those that are done in seconds, with the same values.
    """

    name: str
    compares: str
    kind: Kind
    unit: str
    source: str
    conditions: str
    binding: bool
    rows: Callable[[bool], Iterable[Row]]


@dataclass(frozen=True)
class Result:
    """The rows of a case."""

    case: Case
    rows: tuple[Row, ...]

    @property
    def series(self) -> dict[str, list[Row]]:
        """Rows by series, in order."""
        grouped: dict[str, list[Row]] = {}
        for row in self.rows:
            grouped.setdefault(row.series, []).append(row)
        return grouped

    @property
    def misses(self) -> list[Row]:
        """Rows that are off by more than their tolerance."""
        return [row for row in self.rows if row.missed]

    @property
    def faults(self) -> list[Row]:
        """Misses of a binding case."""
        return self.misses if self.case.binding else []


def worst_percent(rows: Iterable[Row]) -> float | None:
    """Largest deviation, with its sign, of the rows that count; None if none does."""
    errors = [row.error_percent for row in rows if not row.calibrated]
    return max(errors, key=abs) if errors else None


def typical_percent(rows: Iterable[Row]) -> float | None:
    """Median of the sizes of the deviations of the rows that count; None if none does."""
    errors = [abs(row.error_percent) for row in rows if not row.calibrated]
    return statistics.median(errors) if errors else None


def run(case: Case, fast: bool = False) -> Result:
    """Compute a case.

    Parameters
    ----------
    fast
        Leave out the rows that take longer than seconds.
    """
    return Result(case, tuple(case.rows(fast)))
