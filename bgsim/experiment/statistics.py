"""Intervals: Student's t for means and paired differences, the bootstrap for ratios and quantiles.

=======================  ===============================================================================
Of what                  How
=======================  ===============================================================================
a mean                   Student's t over replications
a share of time          its mean weighted by how long each run took, and the jackknife of that ratio
a paired difference      Student's t over the differences at equal seeds
a ratio of means         bootstrap (BCa) over pairs
a quantile               bootstrap (percentile) over values
a steady-state mean      MSER-5 and batch means of one run; see :mod:`bgsim.steady`
=======================  ===============================================================================

Sums are exact (:func:`math.fsum`), so a summary does not depend on the order in which workers
finished; resampling has a seed of its own, so the same records give the same interval.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from bgsim.steady import CONFIDENCE, t_quantile

__all__ = [
    "CONFIDENCE",
    "Interval",
    "bootstrap_interval",
    "jackknife",
    "left_out",
    "mean_interval",
    "quantile_interval",
    "ratio_interval",
    "t_quantile",
    "weighted_interval",
]

RESAMPLES: Final = 2000
RESAMPLING_SEED: Final = 20110531
BOOTSTRAP_MIN: Final = 5
"""Fewest values worth resampling: three have only ten different resamples."""


class Interval(NamedTuple):
    """An estimate over ``n`` replications; ``low`` and ``high`` are None when there are too few for them."""

    mean: float
    low: float | None
    high: float | None
    n: int

    @property
    def half_width(self) -> float | None:
        """Half the width of the interval."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2


_TWOS: Final = itertools.repeat(2.0)
"""For squares by ``math.pow``: what ``**`` computes too, without asking every time what it is given."""


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
    off = [value - mean for value in values]
    variance = math.fsum(map(math.pow, off, _TWOS)) / (n - 1)
    if variance == 0:
        return Interval(mean, mean, mean, n)
    half = t_quantile(n - 1, confidence) * math.sqrt(variance / n)
    return Interval(mean, mean - half, mean + half, n)


def weighted_interval(
    shares: Sequence[float], durations: Sequence[float], confidence: float = CONFIDENCE
) -> Interval:
    """A share of time over several runs: each counts for as long as it took.

    Parameters
    ----------
    shares
        Such as the utilisation of a core, one per replication.
    durations
        How long each ran, above zero.
    confidence
        Coverage of the interval, Student's t with the jackknife's standard error.

    Examples
    --------
    >>> weighted_interval([0.0, 1.0], [3.0, 1.0]).mean
    0.25
    """
    n = len(shares)
    if len(set(durations)) == 1:
        return mean_interval(shares, confidence)
    total = math.fsum(durations)
    spent = math.fsum(share * time for share, time in zip(shares, durations, strict=True))
    mean = spent / total
    if n < 2:
        return Interval(mean, None, None, n)
    error = math.sqrt(jackknife(left_out(shares, durations)))
    half = t_quantile(n - 1, confidence) * error
    return Interval(mean, mean - half, mean + half, n)


def left_out(shares: Sequence[float], durations: Sequence[float]) -> list[float]:
    """The mean that :func:`weighted_interval` gives, without each of two or more runs in turn."""
    total = math.fsum(durations)
    spent = math.fsum(share * time for share, time in zip(shares, durations, strict=True))
    return [(spent - share * time) / (total - time) for share, time in zip(shares, durations, strict=True)]


def jackknife(estimates: Sequence[float]) -> float:
    """The squared standard error of an estimate, from what it is without each of two or more runs in turn."""
    n = len(estimates)
    middle = math.fsum(estimates) / n
    return (n - 1) / n * math.fsum((value - middle) ** 2 for value in estimates)


def ratio_interval(
    values: Sequence[float],
    others: Sequence[float],
    confidence: float = CONFIDENCE,
    weights: tuple[Sequence[float], Sequence[float]] | None = None,
) -> Interval:
    """The ratio of two means over pairs, with its bootstrap interval (bias-corrected and accelerated).

    Parameters
    ----------
    values, others
        Numerators and denominators; equal positions share a seed and are resampled together.
    confidence
        Coverage of the interval; there is none below :data:`BOOTSTRAP_MIN` pairs.
    weights
        Of the values and of the others; all count alike unless set.

    Raises
    ------
    ZeroDivisionError
        If the denominators add up to nothing.
    """
    if len(values) != len(others):
        raise ValueError("a ratio needs equally many numerators and denominators")
    if weights is None:
        ratio = math.fsum(values) / math.fsum(others)

        def of_means(above: Any, below: Any, axis: int) -> Any:
            return above.mean(axis=axis) / below.mean(axis=axis)

        low, high = _resampled((values, others), of_means, confidence, "BCa")
        return Interval(ratio, low, high, len(values))
    above, below = (
        [value * weight for value, weight in zip(side, own, strict=True)]
        for side, own in zip((values, others), weights, strict=True)
    )
    ratio = math.fsum(above) / math.fsum(weights[0]) / (math.fsum(below) / math.fsum(weights[1]))

    def of_weighted(above: Any, time_above: Any, below: Any, time_below: Any, axis: int) -> Any:
        return above.sum(axis=axis) / time_above.sum(axis=axis) / (
            below.sum(axis=axis) / time_below.sum(axis=axis)
        )  # fmt: skip

    low, high = _resampled((above, weights[0], below, weights[1]), of_weighted, confidence, "BCa")
    return Interval(ratio, low, high, len(values))


def quantile_interval(values: Sequence[float], share: float, confidence: float = CONFIDENCE) -> Interval:
    """A quantile, with its bootstrap interval (percentile).

    Parameters
    ----------
    values
        At least one.
    share
        From 0 to 1: 0.5 is the median.
    confidence
        Coverage of the interval; there is none below :data:`BOOTSTRAP_MIN` values. Quantiles beyond
        ``1 - 1 / n`` have intervals that are too short: nothing was seen out there.
    """
    import numpy as np

    def of_values(sample: Any, axis: int) -> Any:
        return np.quantile(sample, share, axis=axis)

    return bootstrap_interval(values, of_values, confidence)


def bootstrap_interval(values: Sequence[float], statistic: Any, confidence: float = CONFIDENCE) -> Interval:
    """Any statistic of some values, with its bootstrap interval (percentile).

    Parameters
    ----------
    values
        At least one.
    statistic
        Function of an array and the keyword ``axis``.
    confidence
        Coverage of the interval.
    """
    import numpy as np

    low, high = _resampled((values,), statistic, confidence, "percentile")
    return Interval(float(statistic(np.asarray(values, float), axis=0)), low, high, len(values))


def _resampled(
    samples: Sequence[Sequence[float]], statistic: Any, confidence: float, method: str
) -> tuple[float | None, float | None]:
    """The bootstrap interval of a statistic of paired samples; none where there are too few values."""
    import warnings

    import numpy as np
    from scipy.stats import bootstrap

    arrays = [np.asarray(values, float) for values in samples]
    if len(arrays[0]) < BOOTSTRAP_MIN:
        return None, None
    if all((array == array[0]).all() for array in arrays):
        fixed = float(statistic(*arrays, axis=0))
        return fixed, fixed
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a statistic that is the same for all resamples
        found = bootstrap(
            arrays,
            statistic,
            paired=True,
            vectorized=True,
            n_resamples=RESAMPLES,
            confidence_level=confidence,
            method=method,
            random_state=np.random.default_rng(RESAMPLING_SEED),
        ).confidence_interval
    low, high = float(found.low), float(found.high)
    if math.isfinite(low) and math.isfinite(high):
        return low, high
    fixed = float(statistic(*arrays, axis=0))  # every resample gives the same: proportional pairs
    return fixed, fixed
