"""Tables of ``bgsim statistics``: paired overheads, merged distributions, steady states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bgsim.experiment.labels import brief
from bgsim.experiment.metrics import METRICS
from bgsim.experiment.overheads import Distribution, Overhead, Series
from bgsim.experiment.statistics import Interval
from bgsim.experiment.summary import column_names
from bgsim.report.numbers import quantity, significant, symbol
from bgsim.report.results import platform_label
from bgsim.report.tables import add_row, new_table, plain

SHARES = (0.5, 0.9, 0.99)


def overheads(rows: Sequence[Overhead]) -> str:
    """The table of overheads, as plain text."""
    names = ("n", "native", "mean", "difference", "ratio", "variance")
    return _table(
        rows,
        ("platform", "metric", "unit"),
        names,
        lambda row: [
            platform_label(row.platform),
            row.metric,
            symbol(METRICS[row.metric].unit) if row.metric in METRICS else "",
            str(row.difference.n),
            quantity(row.native.mean),
            quantity(row.mean.mean),
            interval(row.difference),
            interval(row.ratio) if row.ratio is not None else "-",
            f"1/{significant(row.variance_reduction, 2)}" if row.variance_reduction is not None else "",
        ],
        "in brackets: intervals, of differences Student's t over pairs, of ratios the bootstrap; "
        "variance: of the paired difference over that of independent runs",
    )


def distributions(rows: Sequence[Distribution]) -> str:
    """The table of merged histograms, as plain text."""
    names = ("runs", "values", *(f"{100 * share:g} %" for share in SHARES))
    return _table(
        rows,
        ("platform",),
        names,
        lambda row: [
            platform_label(row.platform),
            str(row.n),
            quantity(row.histogram.total),
            *(_bin(row, share) for share in SHARES),
        ],
        "quantiles of all runs together, by the bin of the merged histogram in which they lie (microseconds)",
    )


def series(rows: Sequence[Series]) -> str:
    """The table of steady states, as plain text."""
    names = ("replication", "warm-up", "kept", "mean", "lag 1", "steady")
    return _table(
        rows,
        ("platform",),
        names,
        lambda row: [
            platform_label(row.platform),
            str(row.replication),
            quantity(row.steady.warmup),
            quantity(row.steady.n),
            interval(Interval(row.steady.mean, row.steady.low, row.steady.high, row.steady.n)),
            f"{row.steady.correlation:+.2f}",
            "yes" if row.steady.settled else "no",
        ],
        "warm-up: values cut off by MSER-5; mean: work per quantum in microseconds, interval of batch means; "
        "steady: both halves of what is left have the same mean",
    )


def interval(found: Interval) -> str:
    """A number with its interval in brackets."""
    if found.low is None or found.high is None or found.low == found.high:
        return quantity(found.mean)
    return f"{quantity(found.mean)} [{quantity(found.low)}, {quantity(found.high)}]"


def _bin(row: Distribution, share: float) -> str:
    if not row.histogram.total:
        return "-"
    low, high = row.histogram.quantile(share)
    return f"{significant(low)} to {significant(high)}"


def _table(
    rows: Sequence[Any], names: Sequence[str], numbers: Sequence[str], cells: Any, caption: str
) -> str:
    paths = list(dict.fromkeys(path for row in rows for path in row.point))
    columns = [*column_names(paths), *names]
    table = new_table(
        [*((name, "left") for name in columns), *((name, "right") for name in numbers)], caption=caption
    )
    for row in rows:
        point: Mapping[str, Any] = row.point
        add_row(table, [*(brief(point.get(path, "")) for path in paths), *cells(row)])
    return plain(table)
