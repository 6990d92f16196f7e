"""Replications of a metric, how much each counts, and the difference of two of them.

A share of a run's time (:data:`~bgsim.experiment.metrics.GAUGES`) counts for as long as the run took, every
other metric alike. That is said here once, for summaries, precisions, differences and overheads, so all of
them give one mean. Errors of weighted means, and of their paired differences, are the jackknife's; without
weights it is the usual standard error.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bgsim.experiment.metrics import GAUGES
from bgsim.experiment.statistics import (
    CONFIDENCE,
    Interval,
    jackknife,
    left_out,
    mean_interval,
    ratio_interval,
    t_quantile,
    weighted_interval,
)

DURATION = "elapsed_s"


class Sample(NamedTuple):
    """Replications of one metric.

    Attributes
    ----------
    values
        One per replication, at least one.
    weights
        How long each took; None where all count alike.
    """

    values: Sequence[float]
    weights: Sequence[float] | None = None

    def interval(self, confidence: float = CONFIDENCE) -> Interval:
        """The mean with its interval."""
        if self.weights is None:
            return mean_interval(self.values, confidence)
        return weighted_interval(self.values, self.weights, confidence)

    @property
    def mean(self) -> float:
        """The mean, by the weights."""
        return self.interval().mean

    @property
    def square(self) -> float:
        """The squared standard error of the mean; of two or more."""
        if self.weights is None:
            return _square(self.values)
        return jackknife(left_out(self.values, self.weights))

    def without_each(self) -> list[float]:
        """The mean without each of two or more in turn."""
        return left_out(self.values, self.counts)

    @property
    def counts(self) -> Sequence[float]:
        """How much each replication counts."""
        return [1.0] * len(self.values) if self.weights is None else self.weights


def sample_of(metric: str, values: Mapping[str, Sequence[float]]) -> Sample:
    """The replications of a metric, with the weights that it has.

    Parameters
    ----------
    metric
        Its name.
    values
        Those of every metric, or at least of this one and of the elapsed time, where runs report it.
    """
    if metric in GAUGES:
        durations = values.get(DURATION, ())
        # Runs without a duration, or all of one duration, count alike.
        if len(durations) == len(values[metric]) and min(durations) > 0 and len(set(durations)) > 1:
            return Sample(values[metric], durations)
    return Sample(values[metric])


class Difference(NamedTuple):
    """The difference of two samples' means.

    Attributes
    ----------
    mean
        Of the one less that of the other.
    square
        Its squared standard error.
    degrees
        Degrees of freedom of that, not a whole number where the samples are independent; below one there is
        no error.
    n
        Pairs, or the fewer replications of independent samples.
    """

    mean: float
    square: float
    degrees: float
    n: int

    def interval(self, confidence: float = CONFIDENCE) -> Interval:
        """The difference with its interval; none of single replications."""
        if self.degrees < 1:
            return Interval(self.mean, None, None, self.n)
        half = t_quantile(self.degrees, confidence) * math.sqrt(self.square)
        return Interval(self.mean, self.mean - half, self.mean + half, self.n)

    @property
    def p(self) -> float:
        """The chance of one as great where there is none; the error must not be zero."""
        from scipy.special import stdtr

        return 2.0 * float(stdtr(self.degrees, -abs(self.mean) / math.sqrt(self.square)))


def paired(one: Sample, other: Sample) -> Difference:
    """One sample's mean less that of another, whose replications share their seeds in order."""
    n = len(one.values)
    weighted = one.weights is not None or other.weights is not None
    if weighted:
        mean = one.mean - other.mean
        lefts = zip(one.without_each(), other.without_each(), strict=True)
        return Difference(mean, jackknife([left - right for left, right in lefts]), n - 1, n)
    changes = [value - against for value, against in zip(one.values, other.values, strict=True)]
    return Difference(math.fsum(changes) / n, _square(changes) if n > 1 else 0.0, n - 1, n)


def independent(one: Sample, other: Sample) -> Difference:
    """One sample's mean less that of another that is independent of it, with Welch's degrees of freedom."""
    counts = len(one.values), len(other.values)
    mean, n = one.mean - other.mean, min(counts)
    if n < 2:
        return Difference(mean, 0.0, 0.0, n)
    squares = one.square, other.square
    square = sum(squares)
    parts = sum(part**2 / (count - 1) for part, count in zip(squares, counts, strict=True))
    # At least those of the smaller sample, which rounding could leave it just below.
    degrees = max(n - 1.0, square**2 / parts if parts else 0.0)
    return Difference(mean, square, degrees, n)


def ratio(one: Sample, other: Sample, confidence: float = CONFIDENCE) -> Interval:
    """One sample's mean over that of another, whose replications share their seeds in order; a bootstrap.

    Raises
    ------
    ZeroDivisionError
        If the other mean is zero.
    """
    if one.weights is None and other.weights is None:
        return ratio_interval(one.values, other.values, confidence)
    return ratio_interval(one.values, other.values, confidence, (one.counts, other.counts))


def _square(values: Sequence[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1) / len(values)
