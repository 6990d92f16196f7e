"""The tidy summary of a study: one row per point, platform and metric.

Columns are the swept paths (their last segment when that is unambiguous), then ``platform``,
``metric``, ``unit``, ``mean``, ``ci_low``, ``ci_high`` and ``n``. The mean is over replications (of
shares of time, weighted by how long each took), the interval is Student's t at 95 %, empty below two
replications. ``slowdown`` is the mean of the
ratios to the bare-metal partner at the same point and seed, so its interval is a paired one.

What is one point, and what it is called, is said in :mod:`bgsim.experiment.points`.
"""

from __future__ import annotations

import csv
import io
import marshal
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from bgsim.experiment.identity import canonical
from bgsim.experiment.metrics import BASELINE, METRICS, ORDER, slowdown
from bgsim.experiment.order import natural_key
from bgsim.experiment.points import labelled
from bgsim.experiment.record import Record, StoredRecord, head_of
from bgsim.experiment.samples import sample_of
from bgsim.experiment.statistics import CONFIDENCE, Interval

Native = dict[tuple[int, int], Mapping[str, float]]
"""Metrics on bare metal, by seed and replication."""

FIXED_COLUMNS = ("platform", "metric", "unit", "mean", "ci_low", "ci_high", "n")

_PLATFORM_ORDER = {
    name: index for index, name in enumerate((BASELINE, "l4-native", "hybrid", "virtual-machine"))
}


@dataclass(frozen=True, slots=True)
class Summary:
    """The rows of a summary.

    Attributes
    ----------
    columns
        Names of all columns, in order.
    rows
        One value per column each; ``ci_low`` and ``ci_high`` are None where there is no interval.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]

    def to_csv(self) -> str:
        """The text of ``summary.csv``."""
        lines = [_csv(*self.columns), "\n"]
        at = self.columns.index("metric")
        for row in self.rows:
            mean, low, high, n = row[at + 2 :]
            ends = "," if low is None or high is None else f"{low!r},{high!r}"
            lines.append(f"{_csv(*row[:at])},{_csv(*row[at : at + 2])},{mean!r},{ends},{n}\n")
        return "".join(lines)


@lru_cache(maxsize=1024, typed=True)
def _csv(*values: Any) -> str:
    """Some values of a row; None is written as nothing."""
    text = io.StringIO()
    words = {True: "true", False: "false"}
    row = [words[value] if value.__class__ is bool else value for value in values]
    csv.writer(text, lineterminator="").writerow(row)
    return text.getvalue()


def finished(records: Iterable[Record]) -> list[Record]:
    """One successful record per run id, in their order."""
    unique: dict[str, Record] = {}
    for record in records:
        head = record.head if isinstance(record, StoredRecord) else record
        if head["status"] == "ok":
            unique.setdefault(head["run_id"], record)
    return list(unique.values())


def column_names(paths: Sequence[str]) -> list[str]:
    """Each path's last segment, or the whole path where that is ambiguous."""
    short = [path.split(".")[-1] for path in paths]
    taken = Counter(short) + Counter(FIXED_COLUMNS)
    return [name if taken[name] == 1 else path for name, path in zip(short, paths, strict=True)]


def summarise(records: Iterable[Record]) -> Summary:
    """The summary of a study.

    Parameters
    ----------
    records
        Any records; failed ones and second copies are left out.
    """
    paths, found = labelled(finished(records))
    return summary_of(found, paths)


def summary_of(records: Sequence[Record], paths: Sequence[str]) -> Summary:
    """The summary of records that are :func:`finished` and :func:`~bgsim.experiment.points.labelled`."""
    keys: dict[bytes, str] = {}
    points: dict[str, Mapping[str, Any]] = {}
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    native: dict[str, Native] = {}
    for record in records:
        head = head_of(record)
        point, platform = head["point"], head["platform"]
        mark = marshal.dumps(point, 2)  # much quicker than JSON, and points come back with every platform
        key = keys.get(mark) or keys.setdefault(mark, canonical(point))
        points.setdefault(key, point)
        groups.setdefault((key, platform), []).append(head)
        if platform == BASELINE:
            native.setdefault(key, {})[head["seed"], head["replication"]] = head["metrics"]
    rows = []
    for key, platform in sorted(
        groups, key=lambda pair: (_point_order(points[pair[0]]), _platform_order(pair[1]))
    ):
        group = values_of(groups[key, platform], native.get(key, {}))
        point_values = tuple(_plain(value) for value in points[key].values())
        known = (*point_values, platform)
        for name, unit in _in_order(tuple(group)):
            rows.append((*known, name, unit, *interval_of(name, group)))
    return Summary((*column_names(paths), *FIXED_COLUMNS), tuple(rows))


def values_of(heads: Sequence[Mapping[str, Any]], native: Native) -> dict[str, list[float]]:
    """The values of each metric of one point on one platform, and of its slowdown.

    Parameters
    ----------
    heads
        Replications, at least one: records, or the heads of stored ones.
    native
        Metrics on bare metal at the same point, by seed and replication.
    """
    values = _columns(heads)
    ratios = _slowdowns(heads, native) if heads[0]["platform"] != BASELINE else []
    if ratios:
        values["slowdown"] = [*values.get("slowdown", ()), *ratios]
    return values


def interval_of(
    metric: str, values: Mapping[str, Sequence[float]], confidence: float = CONFIDENCE
) -> Interval:
    """The mean of a metric over replications and its interval, as a summary has them.

    Parameters
    ----------
    metric
        Its name.
    values
        Those of every metric, as :func:`values_of` gives them.
    confidence
        Coverage of the interval.
    """
    return sample_of(metric, values).interval(confidence)


def _columns(group: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    """The values of each metric, in the order of records; a metric may be missing in some."""
    rows = [head["metrics"] for head in group]
    names = list(rows[0])
    if all(list(row) == names for row in rows):
        return dict(zip(names, map(list, zip(*(row.values() for row in rows), strict=True)), strict=True))
    found: dict[str, list[float]] = {}
    for row in rows:
        for name, value in row.items():
            found.setdefault(name, []).append(value)
    return found


def _slowdowns(group: Sequence[Mapping[str, Any]], native: Native) -> list[float]:
    """Each run against its partner on bare metal: the one at the same point with the same seed."""
    found = []
    for head in group:
        partner = native.get((head["seed"], head["replication"]))
        ratio = None if partner is None else slowdown(partner, head["metrics"])
        if ratio is not None:
            found.append(ratio)
    return found


@lru_cache(maxsize=1024)
def _in_order(names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Metrics with their units, in the order of the table of metrics."""
    ordered = sorted(names, key=lambda name: (ORDER.get(name, len(ORDER)), name))
    return tuple((name, METRICS[name].unit if name in METRICS else "") for name in ordered)


def _platform_order(platform: str) -> tuple[int, str]:
    return _PLATFORM_ORDER.get(platform, len(_PLATFORM_ORDER)), platform


def _point_order(point: Mapping[str, Any]) -> tuple[tuple[Any, ...], ...]:
    return tuple(natural_key(value) for value in point.values())


def _plain(value: Any) -> Any:
    return canonical(value) if isinstance(value, (list, Mapping)) else value
