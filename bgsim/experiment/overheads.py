"""Overheads as paired differences: every platform against bare metal, replication by replication.

Both draw the same random numbers, so what chance does to both cancels in the difference, and the interval is
that of the differences. By how much that helps is reported: the variance of the difference, had the two been
independent, over the variance of the pairs. The ratio of the two means has a bootstrap interval, since it is
not normal.

What workloads keep beside their metrics is summarised too: histograms of several replications are merged,
and a series in time is asked whether its warm-up was over.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from bgsim.experiment.identity import canonical
from bgsim.experiment.metrics import BASELINE, HOST_METRICS, METRICS, ORDER
from bgsim.experiment.order import natural_key
from bgsim.experiment.record import Record
from bgsim.experiment.samples import DURATION, Sample, paired, ratio, sample_of
from bgsim.experiment.statistics import CONFIDENCE, Interval
from bgsim.experiment.study import Study
from bgsim.experiment.summary import column_names
from bgsim.histogram import Histogram
from bgsim.steady import SteadyMean, steady_mean

HISTOGRAM_BINS = 10
"""Bins per decade of the histograms that workloads keep."""

COLUMNS = (
    "platform", "metric", "unit", "n", "native", "mean", "difference", "difference_low", "difference_high",
    "ratio", "ratio_low", "ratio_high", "variance_reduction",
)  # fmt: skip


class Overhead(NamedTuple):
    """One metric of a point on a platform, against bare metal at the same seeds.

    Attributes
    ----------
    point
        Swept path to value.
    native, mean
        Means over the pairs.
    difference
        Of the pairs, with Student's t.
    ratio
        Of the means, with its bootstrap interval; None where bare metal has none of it.
    variance_reduction
        Variance of the difference of independent samples over that of the pairs; None where it is not known.
    """

    point: Mapping[str, Any]
    platform: str
    metric: str
    native: Interval
    mean: Interval
    difference: Interval
    ratio: Interval | None
    variance_reduction: float | None


def overheads(study: Study, metrics: Sequence[str] = (), confidence: float = CONFIDENCE) -> list[Overhead]:
    """The overheads of a study, in the order of points, platforms and metrics.

    Parameters
    ----------
    study
        The study.
    metrics
        Names; all that both platforms report, unless said.
    confidence
        Coverage of the intervals.
    """
    natives: dict[tuple[str, int, int], Record] = {}
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in study.records:
        key = canonical(record["point"])
        if record["platform"] == BASELINE:
            natives[key, record["seed"], record["replication"]] = record
        else:
            groups.setdefault((key, record["platform"]), []).append(record)
    found = []
    for (key, platform), records in groups.items():
        pairs = [
            (natives[key, record["seed"], record["replication"]]["metrics"], record["metrics"])
            for record in sorted(records, key=lambda record: record["replication"])
            if (key, record["seed"], record["replication"]) in natives
        ]
        names = {name for native, other in pairs for name in native.keys() & other.keys()} - HOST_METRICS
        for name in sorted(names & set(metrics) if metrics else names, key=lambda name: ORDER.get(name, 0)):
            both = [pair for pair in pairs if all(name in metrics for metrics in pair)]
            found.append(_overhead(records[0]["point"], platform, name, both, confidence))
    found.sort(key=lambda row: (tuple(map(natural_key, row.point.values())), row.platform))
    return found


def _overhead(
    point: Mapping[str, Any],
    platform: str,
    name: str,
    pairs: Sequence[tuple[Mapping[str, float], Mapping[str, float]]],
    confidence: float,
) -> Overhead:
    native, other = (_sample(name, side) for side in zip(*pairs, strict=True))
    difference = paired(other, native)
    alone = native.square + other.square if len(pairs) > 1 else 0.0
    return Overhead(
        point,
        platform,
        name,
        native.interval(confidence),
        other.interval(confidence),
        difference.interval(confidence),
        ratio(other, native, confidence) if native.mean else None,
        alone / difference.square if difference.square else None,
    )


def _sample(name: str, replications: Sequence[Mapping[str, float]]) -> Sample:
    """A metric of some replications that all report it."""
    return sample_of(
        name, {each: [float(m[each]) for m in replications if each in m] for each in (name, DURATION)}
    )


def to_csv(rows: Sequence[Overhead]) -> str:
    """Overheads as a table."""
    paths = list(dict.fromkeys(path for row in rows for path in row.point))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*column_names(paths), *COLUMNS))
    for row in rows:
        values = [row.point.get(path) for path in paths]
        plain = [canonical(value) if isinstance(value, (list, Mapping)) else value for value in values]
        unit = METRICS[row.metric].unit if row.metric in METRICS else ""
        wide, ratio = row.difference, row.ratio
        ends = (ratio.mean, ratio.low, ratio.high) if ratio is not None else (None, None, None)
        means = (row.native.mean, row.mean.mean, wide.mean, wide.low, wide.high)
        writer.writerow(
            (*plain, row.platform, row.metric, unit, wide.n, *means, *ends, row.variance_reduction)
        )
    return text.getvalue()


class Distribution(NamedTuple):
    """The histograms of a point's replications on one platform, merged."""

    point: Mapping[str, Any]
    platform: str
    histogram: Histogram
    n: int


def distributions(study: Study) -> list[Distribution]:
    """Histograms that the records of a study keep in their details, merged over replications."""
    found: dict[tuple[str, str], Distribution] = {}
    for record in study.records:
        rows = record["details"].get("histogram")
        if not isinstance(rows, list):
            continue
        key = canonical(record["point"]), record["platform"]
        each = Histogram.from_rows(rows, HISTOGRAM_BINS)
        known = found.get(key)
        if known is not None:
            each += known.histogram
        found[key] = Distribution(
            record["point"], record["platform"], each, 1 if known is None else known.n + 1
        )
    return list(found.values())


class Series(NamedTuple):
    """The steady state of a series that one record keeps."""

    point: Mapping[str, Any]
    platform: str
    replication: int
    steady: SteadyMean


def series(study: Study, name: str = "work_us") -> list[Series]:
    """The steady state of the series that records keep in their details.

    Parameters
    ----------
    study
        The study.
    name
        Of the series: ``work_us``, the work done in each quantum of a noise probe.
    """
    return [
        Series(
            record["point"], record["platform"], record["replication"], steady_mean(record["details"][name])
        )
        for record in study.records
        if isinstance(record["details"].get(name), list) and record["details"][name]
    ]
