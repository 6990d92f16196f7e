"""The table of what changed between two studies."""

from __future__ import annotations

from bgsim.experiment.diff import VERDICTS, Difference, Row
from bgsim.experiment.labels import brief
from bgsim.experiment.metrics import METRICS
from bgsim.experiment.summary import column_names
from bgsim.report.numbers import quantity, symbol
from bgsim.report.results import platform_label
from bgsim.report.tables import add_row, new_table, plain

LEAST_P = 1e-4
_SILENT = ("machine.overlay.sha256", "machine.overlay.calibrated_on")


def text(found: Difference, rows: int = 30) -> str:
    """What two studies say differently, as plain text: the largest changes first.

    Parameters
    ----------
    found
        The comparison.
    rows
        Comparisons shown at most.
    """
    lines = [
        f"{path}: {_setting(one)} -> {_setting(other)}"
        for path, (one, other) in found.settings.items()
        if path not in _SILENT
    ]
    if found.sources is not None:
        lines.append(f"computed by {found.sources[0]} -> {found.sources[1]}")
    for count, which in ((found.only_before, "first"), (found.only_after, "second")):
        if count:
            lines.append(f"only the {which} study has {count} points (with platform); they are left out")
    told = [row for row in found.rows if row.verdict in ("changed", "differs")]
    told.sort(key=lambda row: (row.verdict != "changed", -abs(row.relative)))
    head = "".join(f"{line}\n" for line in lines)
    table = _table(told[:rows]) if told else ""
    more = f"{len(told) - rows} more changed\n" if len(told) > rows else ""
    counts = ", ".join(
        f"{found.counts[name]} {words}" for name, words in VERDICTS.items() if found.counts[name]
    )
    return f"{head}{table}{more}{len(found.rows)} comparisons: {counts}\n"


def _setting(value: object) -> str:
    return "not set" if value is None else brief(value)


def _table(rows: list[Row]) -> str:
    paths = list(dict.fromkeys(path for row in rows for path in row.point))
    columns = [*column_names(paths), "platform", "metric", "unit"]
    numbers = ("before", "after", "change", "interval", "p")
    table = new_table([*((name, "left") for name in columns), *((name, "right") for name in numbers)])
    for row in rows:
        unit = symbol(METRICS[row.metric].unit) if row.metric in METRICS else ""
        point = [brief(row.point.get(path, "")) for path in paths]
        names = [*point, platform_label(row.platform), row.metric, unit]
        means = [quantity(row.before.mean), quantity(row.after.mean), _percent(row.relative)]
        add_row(table, [*names, *means, _interval(row), _chance(row)])
    return plain(table)


def _percent(share: float) -> str:
    return f"{100 * share:+.3g} %" if abs(share) != float("inf") else "from 0"


def _interval(row: Row) -> str:
    low, high = row.difference.low, row.difference.high
    if low is None or high is None or not row.before.mean or row.test == "exact":
        return ""
    base = abs(row.before.mean) / 100
    return f"{low / base:+.2g} to {high / base:+.2g} %"


def _chance(row: Row) -> str:
    if row.p_corrected is None:
        return "no test"
    if row.test == "exact":
        return "exact"
    return f"< {LEAST_P:g}" if row.p_corrected < LEAST_P else f"{row.p_corrected:.2g}"
