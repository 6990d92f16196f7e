"""Steady-state measures of one run: where the warm-up ends, and how well the rest is known.

The warm-up is cut where the marginal standard error is least (MSER-5: White, "An effective truncation
heuristic for bias reduction in simulation output", Simulation 69(6), 1997): the series is averaged in
batches of five, and the cut is taken at which the remaining batches have the least squared standard error of
their mean, in the first half of the series. What is left is called settled when its first and its second half
have the same mean (t test on batch means at 99 %); otherwise it is still warming up, or grows without bound
because more is offered than can be served.

Successive values of a run are not independent, so the interval of the mean comes from the means of ten
long batches (Student's t), not from the values themselves. What this leaves out: dependence that is longer
than a batch, which the lag-one correlation of the batch means, reported beside the interval, makes visible.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

CONFIDENCE: Final = 0.95
BATCH: Final = 5
"""Values that are averaged before the cut is sought."""

SETTLED: Final = 0.99
"""Confidence of the test that a series has settled."""

BATCHES: Final = 10
"""Long batches behind an interval."""

GROWTH: Final = 1.5
"""Second half of a series over its first, from which on it is said to grow."""


_T_QUANTILES: Final = (
    12.706204736174694,
    4.302652729749462,
    3.1824463052837078,
    2.7764451051977934,
    2.5705818356363146,
    2.4469118511449786,
    2.364624251592784,
    2.306004135204166,
    2.262157162798205,
    2.228138851986274,
    2.200985160091639,
    2.1788128296672284,
    2.1603686564627913,
    2.144786687917804,
    2.131449545559776,
    2.1199052992212546,
    2.1098155778333156,
    2.1009220402410382,
    2.0930240544083087,
    2.085963447265864,
    2.0796138447276795,
    2.0738730679040254,
    2.0686576104190486,
    2.0638985616280245,
    2.0595385527532972,
    2.0555294386428735,
    2.0518305164802846,
    2.0484071417952454,
    2.045229642132703,
    2.0422724563012378,
)
"""Of 1 to 30 degrees of freedom at 95 %, as scipy gives them; most summaries need no others."""


@lru_cache(maxsize=1024)
def t_quantile(degrees: float, confidence: float = CONFIDENCE) -> float:
    """Two-sided quantile of Student's t distribution, of one degree of freedom or more."""
    whole = int(degrees)
    if confidence == CONFIDENCE and whole == degrees and whole <= len(_T_QUANTILES):
        return _T_QUANTILES[whole - 1]
    from scipy.special import stdtrit  # costs most of a second to import, and one run needs no interval

    return float(stdtrit(degrees, 0.5 + confidence / 2))


@dataclass(frozen=True, slots=True)
class SteadyMean:
    """A steady-state mean of one run.

    Attributes
    ----------
    mean
        Over what follows the warm-up.
    low, high
        Its interval; None where fewer than two batches are left.
    warmup
        Values that were cut off.
    n
        Values that were kept.
    correlation
        Lag-one correlation of the batch means; well below 1/2 where the interval can be trusted.
    settled
        Whether the first and the second half of what is left have the same mean.
    """

    mean: float
    low: float | None
    high: float | None
    warmup: int
    n: int
    correlation: float
    settled: bool


def mser(values: Sequence[float], batch: int = BATCH) -> int:
    """Where the warm-up of a series ends.

    Parameters
    ----------
    values
        In order of time.
    batch
        Values averaged first.

    Returns
    -------
    int
        How many values to leave out, a multiple of `batch` and at most half of them; 0 for a series of fewer
        than four batches.

    Examples
    --------
    >>> mser([10.0] * 10 + [1.0] * 90)
    10
    """
    means = [math.fsum(values[at : at + batch]) / batch for at in range(0, len(values) - batch + 1, batch)]
    count = len(means)
    if count < 4:
        return 0
    best, least = 0, math.inf
    total = squares = 0.0
    shift = means[-1]  # sums of squares of small numbers lose no digits
    for begin in range(count - 1, -1, -1):
        value = means[begin] - shift
        total += value
        squares += value * value
        left = count - begin
        if 2 * begin > count or left < 4:
            continue
        error = max(0.0, squares - total * total / left) / left**2
        if error <= least * (1 + 1e-12):
            best, least = begin, min(error, least)
    return best * batch


def steady_mean(values: Sequence[float], confidence: float = CONFIDENCE) -> SteadyMean:
    """The mean of a series without its warm-up, with the interval of its batch means.

    Parameters
    ----------
    values
        In order of time, at least one.
    confidence
        Coverage of the interval.
    """
    cut = mser(values)
    kept = values[cut:]
    mean = math.fsum(kept) / len(kept)
    batches = min(BATCHES, len(kept) // BATCH)
    if batches < 2:
        return SteadyMean(mean, None, None, cut, len(kept), 0.0, True)
    edges = [len(kept) * part // batches for part in range(batches + 1)]
    means = [math.fsum(kept[begin:end]) / (end - begin) for begin, end in itertools.pairwise(edges)]
    middle = math.fsum(means) / batches
    off = [value - middle for value in means]
    squares = math.fsum(value * value for value in off)
    lagged = math.fsum(one * other for one, other in itertools.pairwise(off))
    half = t_quantile(batches - 1, confidence) * math.sqrt(squares / (batches - 1) / batches)
    correlation = lagged / squares if squares else 0.0
    return SteadyMean(mean, mean - half, mean + half, cut, len(kept), correlation, _alike(means))


def grows(values: Sequence[float]) -> bool:
    """Whether a series still grows when it ends: what waits where more is offered than can be served.

    Parameters
    ----------
    values
        In order of time; of fewer than four batches nothing is said.

    Returns
    -------
    bool
        True where the halves of the series differ (as in :attr:`SteadyMean.settled`) and the second one has
        half as much again; a queue that grows steadily has three times as much.

    Examples
    --------
    >>> grows(range(100)), grows([1, 5, 3] * 30)
    (True, False)
    """
    if len(values) < 4 * BATCH:
        return False
    edges = [len(values) * part // BATCHES for part in range(BATCHES + 1)]
    means = [math.fsum(values[begin:end]) / (end - begin) for begin, end in itertools.pairwise(edges)]
    half = BATCHES // 2
    return not _alike(means) and math.fsum(means[half:]) >= GROWTH * math.fsum(means[:half])


def _alike(means: Sequence[float]) -> bool:
    """Whether both halves of some batch means have the same mean, as far as they can tell."""
    count = len(means) // 2
    if count < 2:
        return True
    halves = means[:count], means[-count:]
    middles = [math.fsum(half) / count for half in halves]
    squares = math.fsum(
        (value - middle) ** 2 for half, middle in zip(halves, middles, strict=True) for value in half
    )
    error = math.sqrt(2 * squares / (2 * count - 2) / count)
    return abs(middles[1] - middles[0]) <= t_quantile(2 * count - 2, SETTLED) * error
