"""Times taken in the detailed tier: samples by name, and their reduction to the numbers of a cost model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Generator, Sequence
from typing import Any

from bgsim.machine.cost_model import CostModelError, Delivery, Measured
from bgsim.platforms.seam import Code, Now, Request

BINS = 16
"""Values of a delivery histogram, each standing for as many samples."""

DIGITS = 3
"""Decimal places of a cost model's cycles."""


class Samples:
    """Samples by what was timed; a name stays where it first came."""

    def __init__(self) -> None:
        self.cycles: dict[str, list[float]] = defaultdict(list)

    def add(self, what: str, cycles: float) -> None:
        """Note one sample."""
        self.cycles[what].append(cycles)

    def mean(self, what: str) -> float:
        """Mean of what was timed.

        Raises
        ------
        CostModelError
            If the core was interrupted each time, or what should have been timed has never happened.
        """
        values = self.cycles[what]
        if not values:
            said = f"this machine cannot be characterised: of {what!r} no sample is without an interruption"
            raise CostModelError([f"{said} (l4.tick, guest.timer_frequency)"])
        return sum(values) / len(values)

    def per_unit(self, name: str, few: int, many: int) -> tuple[float, float]:
        """Fixed cost and cost per unit, from the samples ``name few`` and ``name many``."""
        each = (self.mean(f"{name} {many}") - self.mean(f"{name} {few}")) / (many - few)
        return self.mean(f"{name} {few}") - few * each, each

    def measured(self) -> tuple[Measured, ...]:
        """All samples as the evidence of a cost model."""
        return tuple(
            Measured(what, len(values), rounded(sum(values) / len(values)), min(values), max(values))
            for what, values in self.cycles.items()
        )

    def delivery(self, what: str) -> Delivery:
        """Histogram of samples: groups of equally many, each by its mean."""
        return histogram(self.cycles[what])


def histogram(values: Sequence[float]) -> Delivery:
    """Histogram of at most `BINS` values, each standing for equally many samples; none are negative."""
    ordered = sorted(max(0.0, value) for value in values)
    bins = min(BINS, len(ordered))
    groups = [
        ordered[len(ordered) * part // bins : len(ordered) * (part + 1) // bins] for part in range(bins)
    ]
    return Delivery(
        tuple(rounded(sum(group) / len(group)) for group in groups),
        tuple(float(len(group)) for group in groups),
    )


def rounded(cycles: float) -> float:
    """Cycles as a cost model keeps them."""
    return round(float(cycles), DIGITS)


def cost(cycles: float) -> float:
    """A cost as a cost model keeps it; a difference of means less than a cycle below zero is nothing."""
    return 0.0 if -1 < cycles < 0 else rounded(cycles)


class Stopwatch:
    """Times pieces of a guest program, and drops those in which something else took the core.

    Parameters
    ----------
    samples
        Where undisturbed times go.
    interruptions
        How often something has interrupted the core so far.
    """

    def __init__(self, samples: Samples, interruptions: Callable[[], int]) -> None:
        self._samples = samples
        self._interruptions = interruptions
        self._begun: tuple[int, int] = (0, 0)

    def time(self, what: str, code: Code | Generator[Request, Any, Any]) -> Generator[Request, Any, Any]:
        """Run a piece of code and note how long it took."""
        begun = yield Now()
        before = self._interruptions()
        result = yield from code
        ended = yield Now()
        if self._interruptions() == before:
            self._samples.add(what, ended - begun)
        return result

    def begin(self, now: int) -> None:
        """The time to be noted next begins."""
        self._begun = now, self._interruptions()

    def end(self, what: str, now: int) -> None:
        """It ends."""
        begun, before = self._begun
        if self._interruptions() == before:
            self._samples.add(what, now - begun)
