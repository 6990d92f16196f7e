"""The tidy summary of a study: one row per point, platform and metric.

Columns are the swept paths (their last segment when that is unambiguous), then ``platform``,
``metric``, ``unit``, ``mean``, ``ci_low``, ``ci_high`` and ``n``. The mean is over replications (of
shares of time, weighted by how long each took), the interval is Student's t at 95 %, empty below two
replications. ``slowdown`` is the mean of the
ratios to the bare-metal partner at the same point and seed, so its interval is a paired one.

A study may have been extended with settings other than its first ones. Settings that differ
between records become columns like swept ones: unlike runs are never averaged.
"""

from __future__ import annotations

import csv
import io
import marshal
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bgsim.experiment.identity import canonical
from bgsim.experiment.locate import split_path
from bgsim.experiment.metrics import BASELINE, GAUGES, METRICS, ORDER, slowdown
from bgsim.experiment.order import natural_key
from bgsim.experiment.record import Record
from bgsim.experiment.statistics import Interval, mean_interval, weighted_interval
from bgsim.workloads.support import platforms_of

FIXED_COLUMNS = ("platform", "metric", "unit", "mean", "ci_low", "ci_high", "n")

_NOT_SETTINGS = ("platform", "seed", "replication")
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
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        words = {True: "true", False: "false"}  # and None is written as nothing
        writer.writerows(
            [words[value] if value.__class__ is bool else value for value in row] for row in self.rows
        )
        return text.getvalue()


def finished(records: Iterable[Record]) -> list[Record]:
    """One successful record per run id, in their order."""
    unique: dict[str, Record] = {}
    for record in records:
        if record["status"] == "ok":
            unique.setdefault(record["run_id"], record)
    return list(unique.values())


def swept_paths(records: Sequence[Record]) -> list[str]:
    """The swept paths of a study, and the settings in which its records differ otherwise."""
    swept = list(dict.fromkeys(path for record in records for path in record["point"]))
    settings: dict[bytes, dict[str, str]] = {}
    for record in records:
        section = {key: value for key, value in record["config"].items() if key not in _NOT_SETTINGS}
        key = marshal.dumps(section, 2)  # a quick way to pass over equal ones; unequal bytes do no harm
        if key not in settings:
            settings[key] = {path: canonical(value) for path, value in _flat(section)}
    paths = dict.fromkeys(path for setting in settings.values() for path in setting)
    for path in paths:
        if any(path == axis or path.startswith(f"{axis}.") for axis in swept):
            continue
        if path.startswith("partition.") and any(axis.startswith("partition") for axis in swept):
            continue
        if path == "guest" and _platforms_say_the_guest(records):
            continue
        if len({setting.get(path) for setting in settings.values()}) > 1:
            swept.append(path)
    return swept


def _platforms_say_the_guest(records: Sequence[Record]) -> bool:
    """Whether guests differ only because one platform takes none but its own: then they are no axis."""
    return len({record["guest"] for record in records if len(platforms_of(record["guest"])) > 1}) <= 1


def _flat(section: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in section.items():
        if prefix == "partition." and key != "topology":
            continue  # the name says it; shapes without a name are named after themselves
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def point_of(record: Record, paths: Sequence[str]) -> dict[str, Any]:
    """The values of these paths in a record: as its sweep wrote them, else as resolved, else None."""
    point = record["point"]
    return {path: point[path] if path in point else _looked_up(record["config"], path) for path in paths}


def _looked_up(config: Mapping[str, Any], path: str) -> Any:
    here: Any = config
    for step in split_path(path):
        here = here.get(step) if isinstance(here, Mapping) else None
    return here


def column_names(paths: Sequence[str]) -> list[str]:
    """Each path's last segment, or the whole path where that is ambiguous."""
    short = [path.split(".")[-1] for path in paths]
    taken = Counter(short) + Counter(FIXED_COLUMNS)
    return [name if taken[name] == 1 else path for name, path in zip(short, paths, strict=True)]


def summarise(records: Iterable[Record], paths: Sequence[str] | None = None) -> Summary:
    """The summary of a study.

    Parameters
    ----------
    records
        Any records; failed ones and second copies are left out.
    paths
        Their :func:`swept_paths`, where these are known already.
    """
    unique = finished(records)
    paths = swept_paths(unique) if paths is None else paths
    keys: dict[bytes, str] = {}
    points: dict[str, dict[str, Any]] = {}
    values: dict[tuple[str, str], dict[str, list[float]]] = {}
    native: dict[tuple[object, ...], Mapping[str, float]] = {}
    keyed: list[tuple[str, Record]] = []
    for record in unique:
        point = record["point"] if len(record["point"]) == len(paths) else point_of(record, paths)
        mark = marshal.dumps(point, 2)  # much quicker than JSON, and points come back with every platform
        key = keys.get(mark) or keys.setdefault(mark, canonical(point))
        if key not in points:
            points[key] = point_of(record, paths)
        keyed.append((key, record))
        if record["platform"] == BASELINE:
            native[_partner(key, record)] = record["metrics"]
    for key, record in keyed:
        group = values.setdefault((key, record["platform"]), {})
        for name, value in record["metrics"].items():
            group.setdefault(name, []).append(value)
        partner = native.get(_partner(key, record))
        if partner is not None and record["platform"] != BASELINE:
            ratio = slowdown(partner, record["metrics"])
            if ratio is not None:
                group.setdefault("slowdown", []).append(ratio)
    rows = []
    for key, platform in sorted(
        values, key=lambda pair: (_point_order(points[pair[0]]), _platform_order(pair[1]))
    ):
        group = values[key, platform]
        point_values = tuple(_plain(value) for value in points[key].values())
        for name in sorted(group, key=lambda name: (ORDER.get(name, len(ORDER)), name)):
            found = _interval(name, group)
            unit = METRICS[name].unit if name in METRICS else ""
            rows.append((*point_values, platform, name, unit, found.mean, found.low, found.high, found.n))
    return Summary((*column_names(paths), *FIXED_COLUMNS), tuple(rows))


def _interval(name: str, group: Mapping[str, Sequence[float]]) -> Interval:
    durations = group.get("elapsed_s", ())
    if name in GAUGES and len(durations) == len(group[name]) and min(durations) > 0:
        return weighted_interval(group[name], durations)
    return mean_interval(group[name])


def _partner(key: str, record: Record) -> tuple[object, ...]:
    """What a run shares with the run on the other platform that it is compared with."""
    return key, record["seed"], record["replication"]


def _platform_order(platform: str) -> tuple[int, str]:
    return _PLATFORM_ORDER.get(platform, len(_PLATFORM_ORDER)), platform


def _point_order(point: Mapping[str, Any]) -> tuple[tuple[Any, ...], ...]:
    return tuple(natural_key(value) for value in point.values())


def _plain(value: Any) -> Any:
    return canonical(value) if isinstance(value, (list, Mapping)) else value
