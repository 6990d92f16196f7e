"""What can be said of a study while it runs: how far, how fast, what came out so far."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from bgsim.experiment.identity import canonical
from bgsim.experiment.labels import brief
from bgsim.experiment.metrics import BASELINE, METRICS, SLOWDOWN_BASIS, slowdown
from bgsim.experiment.record import Record

WINDOW = 50
"""Finished runs over which the rate is taken: enough to be steady, few enough to follow a change."""


class Result(NamedTuple):
    """The result of one run in a few words.

    Attributes
    ----------
    point, platform
        Of the run.
    value
        Its first headline metric with unit; empty where it has none.
    partner
        What it shares with the run on bare metal that it is compared with.
    metrics
        All of them.
    """

    point: str
    platform: str
    value: str
    partner: str
    metrics: Mapping[str, float]


@dataclass(slots=True)
class Tally:
    """Counts runs and remembers what their partners need.

    Attributes
    ----------
    total, count, failed
        Runs of the study, those stored, and those that failed this time.
    workers
        How many compute.
    """

    clock: Callable[[], float] = time.monotonic
    total: int = 0
    count: int = 0
    failed: int = 0
    workers: int = 0
    _ends: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW + 1))
    _native: dict[str, Mapping[str, float]] = field(default_factory=dict)

    def begin(self, total: int, stored: int, workers: int) -> None:
        """A round begins."""
        self.total, self.count, self.workers = total, stored, workers
        self._ends.clear()
        self._ends.append(self.clock())

    def add(self, record: Record) -> Result | None:
        """Count a finished run; say what came out of it, unless it failed."""
        self.count += 1
        self._ends.append(self.clock())
        if record["status"] != "ok":
            self.failed += 1
            return None
        metrics = record["metrics"]
        key = canonical([record["point"], record["guest"], record["seed"], record["replication"]])
        if record["platform"] == BASELINE:
            self._native[key] = metrics
        name = next((name for name in SLOWDOWN_BASIS if name in metrics), None)
        value = "" if name is None else _shown(name, metrics[name])
        words = [f"{path.split('.')[-1]}={brief(found)}" for path, found in record["point"].items()]
        return Result(" ".join(words), record["platform"], value, key, metrics)

    def slowdown(self, result: Result) -> float | None:
        """How a result compares with the run on bare metal, once both are there."""
        native = self._native.get(result.partner)
        if native is None or result.platform == BASELINE:
            return None
        return slowdown(native, result.metrics)

    def rate_per_s(self) -> float | None:
        """Runs finished per second of late, or None before the first."""
        if len(self._ends) < 2:
            return None
        return (len(self._ends) - 1) / max(self._ends[-1] - self._ends[0], 1e-9)

    def left_s(self) -> float | None:
        """Time until all runs are done at this rate, or None where it is not known yet."""
        rate = self.rate_per_s()
        return None if rate is None else (self.total - self.count) / rate

    def line(self, seconds: Callable[[float], str]) -> str:
        """Points done, rate, time left, workers: one line."""
        parts = [f"{self.count} of {self.total} runs"]
        rate, left = self.rate_per_s(), self.left_s()
        if rate is not None and left is not None:
            parts.append(f"{rate:.3g} runs/s" if rate >= 1 else f"{rate * 60:.3g} runs/min")
            parts.append(f"{seconds(left)} left" if left > 0 else "done")
        parts.append(
            f"{self.workers} worker{'s' if self.workers != 1 else ''}" if self.workers else "no workers"
        )
        if self.failed:
            parts.append(f"{self.failed} failed")
        return ", ".join(parts)


def _shown(name: str, value: float) -> str:
    from bgsim.units import format_time

    unit = METRICS[name].unit
    return format_time(value, digits=4) if unit == "s" else f"{value:.4g} {unit}"
