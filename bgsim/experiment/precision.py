"""Replications until a result is known well enough: the targets of an experiment's ``precision`` section.

::

    replications: 5
    precision:
      targets: {slowdown: relative half-width <= 2 % at 95 %, elapsed_s: half-width <= 1 ms at 99 %}
      at_most: 100

Every point starts with its ``replications``. When they are done, the half-width of each target's interval is
compared with what is wanted, on every platform that reports the metric; what is still missing is estimated
(the half-width falls with the square root of the number), but the number is at most doubled at once. All
platforms of a point get the same replications with the same seeds, so that differences stay paired. What is
asked for depends on the records alone: a study that was stopped asks for the same again, and an extended one
repeats nothing. A point does not stop before the replications that follow and are stored already, of an
earlier call that asked for more, are judged too: the summary has them.

Left out: runs of other seeds in the same directory, which the summary has as well; and a correction for
looking at the data while it comes in. Stopping when the interval happens to be short covers a little less
often than it says (Chow and Robbins 1965: right in the limit of narrow intervals), which is why it starts
with several replications.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from bgsim.experiment.identity import canonical, seed_of_replication
from bgsim.experiment.metrics import BASELINE, METRICS
from bgsim.experiment.statistics import CONFIDENCE, Interval
from bgsim.experiment.summary import interval_of, values_of
from bgsim.spelling import did_you_mean
from bgsim.units import UnitError, quantity

if TYPE_CHECKING:
    from bgsim.experiment.plan import Experiment, Run
    from bgsim.experiment.record import Record

REPLICATIONS_MIN: Final = 3
"""Fewest replications from which to judge how many are needed."""

_FORM: Final = re.compile(
    r"(?P<relative>relative\s+)?half-width\s*<=\s*(?P<number>[0-9.]+(?:[eE][+-]?[0-9]+)?)\s*(?P<unit>\S*?)"
    r"(?:\s+at\s+(?P<confidence>[0-9.]+)\s*%)?"
)
EXAMPLE: Final = "relative half-width <= 2 % at 95 %"


class TargetError(ValueError):
    """A target that cannot be read."""


class Target(NamedTuple):
    """How well one metric is to be known.

    Attributes
    ----------
    metric
        Its name.
    half_width
        Most half-width of the interval: a share of the mean where ``relative``, else in the metric's unit.
    relative
        Which of the two.
    confidence
        Coverage of the interval.
    """

    metric: str
    half_width: float
    relative: bool
    confidence: float

    @classmethod
    def read(cls, metric: str, text: object) -> Target:
        """A target as an experiment writes it.

        Raises
        ------
        TargetError
            With what is wrong.

        Examples
        --------
        >>> Target.read("slowdown", "relative half-width <= 2 % at 95 %")
        Target(metric='slowdown', half_width=0.02, relative=True, confidence=0.95)
        """
        if metric not in METRICS:
            raise TargetError(f"unknown metric{did_you_mean(metric, METRICS)} (see 'bgsim schema metrics')")
        found = _FORM.fullmatch(text.strip()) if isinstance(text, str) else None
        if found is None:
            raise TargetError(f"{text!r} is no target; write it like '{EXAMPLE}'")
        try:
            number, percent = float(found["number"]), float(found["confidence"] or 100 * CONFIDENCE)
        except ValueError:
            raise TargetError(f"{text!r} has a number that is none; write it like '{EXAMPLE}'") from None
        relative, unit = found["relative"] is not None, found["unit"]
        known = "%" if relative else METRICS[metric].unit
        if unit != known and not (unit == "" and known in ("%", "ratio", "count")):
            number *= _converted(metric, unit, known)
        if relative and unit == "%":
            number /= 100
        if not (number > 0 and math.isfinite(number)):
            raise TargetError("a half-width to be reached is above zero")
        if not 50 <= percent < 100:
            raise TargetError("a confidence is at least 50 % and below 100 %")
        return cls(metric, number, relative, percent / 100)

    def excess(self, interval: Interval) -> float:
        """The half-width over the one wanted: at most 1 when the target is met."""
        half = interval.half_width
        if half is None:
            return math.inf
        wanted = self.half_width * (abs(interval.mean) if self.relative else 1.0)
        return 0.0 if half == 0 else half / wanted if wanted else math.inf

    def __str__(self) -> str:
        """As an experiment writes it."""
        amount = f"{100 * self.half_width:g} %" if self.relative else f"{self.half_width:g}"
        unit = "" if self.relative else f" {METRICS[self.metric].unit}"
        kind = "relative half-width" if self.relative else "half-width"
        return f"{kind} <= {amount}{unit} at {100 * self.confidence:g} %"


class Precision(NamedTuple):
    """How well the results of an experiment are to be known.

    Attributes
    ----------
    targets
        All of them have to be met on every platform that reports their metric.
    at_most
        Most replications of a point, whatever has been reached.
    """

    targets: tuple[Target, ...]
    at_most: int


def _converted(metric: str, unit: str, known: str) -> float:
    """How many of a metric's unit one of another is."""
    try:
        return float(quantity(1, unit).in_unit(known))
    except UnitError:
        raise TargetError(f"the half-width of {metric} is in '{known}', not in '{unit}'") from None


def read_precision(
    targets: Mapping[str, Any], at_most: int, replications: int
) -> tuple[Precision, list[tuple[tuple[str, ...], str]]]:
    """The precision section of an experiment, and what is wrong with it: paths and messages."""
    found: list[Target] = []
    wrong: list[tuple[tuple[str, ...], str]] = []
    for metric, text in targets.items():
        try:
            found.append(Target.read(metric, text))
        except TargetError as error:
            wrong.append((("precision", "targets", metric), str(error)))
    if replications < REPLICATIONS_MIN:
        said = f"a precision is judged from at least {REPLICATIONS_MIN} replications to begin with"
        wrong.append((("replications",), said))
    if at_most < replications:
        wrong.append((("precision", "at_most"), f"is below the {replications} replications to begin with"))
    return Precision(tuple(found), at_most), wrong


class Stop(NamedTuple):
    """Why no more replications of a point were asked for: ``converged`` or ``cap``, and in words."""

    reason: str
    why: str


@dataclass
class _Point:
    """The replications of one point on all its platforms."""

    runs: list[Run]
    pending: set[str] = field(default_factory=set)
    records: dict[tuple[str, int], Record] = field(default_factory=dict)
    stop: Stop | None = None


class Refinement:
    """Asks for more replications of the points of an experiment as its records come in.

    Parameters
    ----------
    experiment
        With a precision section.
    stored
        Ids of the runs that are stored as the study begins.

    Notes
    -----
    :meth:`follow` is told of every finished record once, in any order.
    """

    def __init__(self, experiment: Experiment, stored: Collection[str] = ()) -> None:
        assert experiment.precision is not None
        self._stored = frozenset(stored)
        self._targets: Sequence[Target] = experiment.precision.targets
        self._most = experiment.precision.at_most
        self._seed = experiment.seed
        self._points: dict[str, _Point] = {}
        self._point_of: dict[str, _Point] = {}
        for run in experiment.runs:
            self._add(self._points.setdefault(canonical(run.point), _Point([])), run)

    def follow(self, record: Record) -> list[Run]:
        """Take a finished record; return the replications it makes necessary."""
        point = self._point_of.get(record["run_id"])
        if point is None or record["run_id"] not in point.pending:
            return []
        point.pending.discard(record["run_id"])
        point.records[record["platform"], record["replication"]] = record
        return [] if point.pending else self._decide(point)

    def runs(self) -> list[Run]:
        """All runs of the experiment, those that were added among them."""
        return [run for point in self._points.values() for run in point.runs]

    def stop_of(self, point: Mapping[str, Any]) -> Stop | None:
        """Why a point has stopped; None while it has not."""
        known = self._points.get(canonical(point))
        return None if known is None else known.stop

    def _add(self, point: _Point, run: Run) -> None:
        point.runs.append(run)
        point.pending.add(run.run_id)
        self._point_of[run.run_id] = point

    def _decide(self, point: _Point) -> list[Run]:
        count = 1 + max(replication for _, replication in point.records)
        judged = [
            (target.excess(interval), target, platform, interval)
            for target in self._targets
            for platform, interval in _intervals(point.records.values(), target)
        ]
        if not judged:
            names = ", ".join(target.metric for target in self._targets)
            point.stop = Stop("cap", f"no platform of this point reports {names}")
            return []
        excess, target, platform, interval = max(judged, key=lambda found: found[0])
        if (excess <= 1 or count >= self._most) and self._stored_from(point, count):
            return [run for run in point.runs if run.run_id in point.pending]
        reached = _reached(target, platform, interval)
        if excess <= 1:
            point.stop = Stop("converged", reached)
            return []
        if count >= self._most:
            point.stop = Stop("cap", f"at_most is {self._most}; {reached}, and {target} was wanted")
            return []
        needed = 2 * count if math.isinf(excess) else math.ceil(count * excess**2)
        more = min(max(needed, count + 1), 2 * count, self._most)
        for replication in range(count, more):
            for run in self._replication(point, replication):
                self._add(point, run)
        return [run for run in point.runs if run.run_id in point.pending]

    def _replication(self, point: _Point, replication: int) -> list[Run]:
        """One replication of a point on all its platforms."""
        first = [run for run in point.runs if run.config["replication"] == 0]
        return [replicated(run, self._seed, replication) for run in first]

    def _stored_from(self, point: _Point, count: int) -> bool:
        """Add stored replications that follow; beyond the cap only those that all platforms have."""
        after = count
        while True:
            runs = self._replication(point, after)
            known = sum(run.run_id in self._stored for run in runs)
            if known == 0 or (known < len(runs) and after >= self._most):
                return after > count
            for run in runs:
                self._add(point, run)
            after += 1


def replicated(run: Run, seed: int, replication: int) -> Run:
    """The same run as another replication."""
    from bgsim.experiment.plan import Run as Made

    drawn = {"replication": replication, "seed": seed_of_replication(seed, replication)}
    return Made(run.experiment, {**run.config, **drawn}, run.point)


def _intervals(records: Iterable[Record], target: Target) -> list[tuple[str, Interval]]:
    """The interval of a target's metric on every platform that reports it: the one that is published."""
    by_platform: dict[str, list[Record]] = {}
    for record in records:
        by_platform.setdefault(record["platform"], []).append(record)
    native = {
        (record["seed"], record["replication"]): record["metrics"] for record in by_platform.get(BASELINE, ())
    }
    found = []
    for platform, replications in by_platform.items():
        values = values_of(replications, native)
        if target.metric in values:
            found.append((platform, interval_of(target.metric, values, target.confidence)))
    return found


def _reached(target: Target, platform: str, interval: Interval) -> str:
    half = interval.half_width
    if half is None:
        return f"{target.metric} on {platform}: one replication"
    if half == 0:
        return f"{target.metric} on {platform}: all {interval.n} replications are equal"
    if target.relative and interval.mean:
        amount = f"{100 * half / abs(interval.mean):.2g} %"
    else:
        amount = f"{half:.3g} {METRICS[target.metric].unit}"
    kind = "relative half-width" if target.relative else "half-width"
    return (
        f"{target.metric} on {platform}: {kind} {amount} at {100 * target.confidence:g} % "
        f"after {interval.n} replications"
    )
