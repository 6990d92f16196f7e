"""What iterations took: per iteration over ranks, and over iterations with an interval by batch means."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bgsim.compiled import compiled
from bgsim.network.traffic import Ints
from bgsim.steady import t_quantile

BATCHES = 20
"""Successive iterations are put into this many batches, whose means are nearly independent."""

ITERATIONS_PER_BATCH_MIN = 2


@dataclass(frozen=True)
class Timeline:
    """Times of each iteration of an operation, in core cycles.

    Attributes
    ----------
    shortest, mean, longest
        Over ranks, from a rank's entering the operation to its leaving it; shape (iterations,).
    end
        When the last rank left; shape (iterations,).
    """

    shortest: Ints
    mean: NDArray[np.float64]
    longest: Ints
    end: Ints

    @classmethod
    def empty(cls, iterations: int) -> Timeline:
        """Room for a number of iterations."""
        whole = [np.zeros(iterations, np.int64) for _ in range(3)]
        return cls(whole[0], np.zeros(iterations), whole[1], whole[2])

    def note(self, iteration: int, begins: Ints, ends: Ints) -> None:
        """Write down one iteration from the times of all ranks."""
        over_ranks(begins, ends, iteration, self.shortest, self.mean, self.longest, self.end)

    @property
    def iterations(self) -> int:
        """Number of iterations."""
        return len(self.end)

    @property
    def elapsed_cycles(self) -> int:
        """From time 0 to the end of the last iteration."""
        return int(self.end[-1])

    def metrics(self, frequency_hz: int) -> dict[str, int | float]:
        """Registered metrics: elapsed time, operations over ranks and iterations, spread over iterations."""
        microsecond = frequency_hz / 1e6
        median, late = np.percentile(self.mean, [50, 99])
        return {
            "elapsed_s": self.elapsed_cycles / frequency_hz,
            "cycles_total": self.elapsed_cycles,
            "operation_us_min": float(self.shortest.min() / microsecond),
            "operation_us_avg": float(self.mean.mean() / microsecond),
            "operation_us_max": float(self.longest.max() / microsecond),
            "latency_us": float(self.mean.mean() / microsecond),
            "latency_p50_us": float(median / microsecond),
            "latency_p99_us": float(late / microsecond),
        }

    def interval(self, frequency_hz: int) -> dict[str, float | int] | None:
        """95 % interval of the mean operation in microseconds, by batch means; None for few iterations.

        The mean is that of all iterations. Batches differ by at most one iteration in length; each counts by
        its length, so that independent iterations give an unbiased variance of that mean.
        """
        batches = min(BATCHES, self.iterations // ITERATIONS_PER_BATCH_MIN)
        if batches < 2:
            return None
        microsecond = frequency_hz / 1e6
        parts = np.array_split(self.mean / microsecond, batches)
        mean = float(self.mean.mean() / microsecond)
        squares = sum(len(part) * (float(part.mean()) - mean) ** 2 for part in parts)
        reach = t_quantile(batches - 1) * math.sqrt(squares / (batches - 1) / self.iterations)
        return {"batches": batches, "mean_us": mean, "low_us": mean - reach, "high_us": mean + reach}


@compiled
def over_ranks(begins, ends, iteration, shortest, mean, longest, end):  # type: ignore[no-untyped-def]
    """Shortest, mean and longest time of an iteration, and its end, in one pass."""
    least, most, total, last = ends[0] - begins[0], np.int64(0), np.int64(0), ends[0]
    for rank in range(len(ends)):
        took = ends[rank] - begins[rank]
        least, most, last = min(least, took), max(most, took), max(last, ends[rank])
        total += took
    shortest[iteration], mean[iteration] = least, total / len(ends)
    longest[iteration], end[iteration] = most, last
