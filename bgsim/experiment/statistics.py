"""Intervals over replications: Student's t, and the same on paired ratios.

Sums are exact (:func:`math.fsum`), so a summary does not depend on the order in which workers
finished.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over ``n`` replications; ``low`` and ``high`` are None when ``n`` is below two."""

    mean: float
    low: float | None
    high: float | None
    n: int


@lru_cache(maxsize=1024)
def t_quantile(degrees: int, confidence: float = CONFIDENCE) -> float:
    """Two-sided quantile of Student's t distribution."""
    from scipy.special import stdtrit  # costs most of a second to import, and one run needs no interval

    return float(stdtrit(degrees, 0.5 + confidence / 2))


def mean_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """Mean with its t-interval.

    Parameters
    ----------
    values
        One per replication, at least one.
    confidence
        Coverage of the interval.

    Examples
    --------
    >>> mean_interval([2.0])
    Interval(mean=2.0, low=None, high=None, n=1)
    """
    n = len(values)
    mean = math.fsum(values) / n
    if n < 2:
        return Interval(mean, None, None, n)
    variance = math.fsum((value - mean) ** 2 for value in values) / (n - 1)
    if variance == 0:
        return Interval(mean, mean, mean, n)
    half = t_quantile(n - 1, confidence) * math.sqrt(variance / n)
    return Interval(mean, mean - half, mean + half, n)
