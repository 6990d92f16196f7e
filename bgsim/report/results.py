"""A study in the shape that tables and figures ask for.

A study is a list of records and a tidy summary. Reports want neither alone: they want, for one
swept point on one platform, the mean of each metric with its interval *and* the records behind
it. :class:`Results` joins the two and puts points in an order that does not depend on which
worker finished first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from bgsim.experiment.identity import canonical
from bgsim.experiment.labels import brief, told_apart
from bgsim.experiment.metrics import HOST_METRICS
from bgsim.experiment.order import natural_key
from bgsim.experiment.summary import FIXED_COLUMNS, column_names

if TYPE_CHECKING:
    import pandas

Record = Mapping[str, Any]

PLATFORMS = ("bare-metal", "l4-native", "hybrid", "virtual-machine")
"""Platforms in the order in which reports show them."""

PLATFORM_LABELS = {
    "bare-metal": "native",
    "l4-native": "native on L4",
    "hybrid": "hybrid",
    "virtual-machine": "virtualised",
}

HEADLINE_METRICS: Mapping[str, tuple[str, ...]] = {
    "compile": ("elapsed_s", "tlb_misses", "vtlb_misses", "exits_total", "exits_ipc"),
    "netperf": ("throughput_bps", "latency_us", "latency_p99_us", "cpu_us_per_message", "exits_per_frame"),
    "dcmf": ("latency_us", "bandwidth_MiBps"),
    "io": ("elapsed_s", "throughput_bps", "latency_us", "latency_p99_us"),
    "traffic": ("operation_us_avg", "bandwidth_MiBps", "deviation"),
    "collectives": ("elapsed_s", "operation_us_avg", "operation_us_max", "latency_p99_us"),
    "halo": ("elapsed_s", "operation_us_avg", "operation_us_max", "packet_hops"),
    "noise": ("noise_ratio", "detours", "detour_us_mean", "detour_us_p99", "detour_us_max"),
    "memory": ("latency_us", "bandwidth_MiBps", "tlb_misses_per_operation", "exits_total"),
    "neighbours": ("stretch", "fair_stretch", "own_time_lost", "core_share", "vm_switches_per_s"),
    "replay": ("elapsed_s", "compute_s", "communication_s", "wait_s", "latency_us"),
}
"""Metrics a comparison shows for each workload kind; for any other kind it shows all."""


class ReportError(ValueError):
    """A report cannot be made from this study; the message says why in one sentence."""


class Study(Protocol):
    """What a report reads from a study."""

    @property
    def records(self) -> Sequence[Record]:
        """All records, one mapping per run."""

    def summary(self) -> pandas.DataFrame:
        """Tidy table: swept columns, platform, metric, unit, mean, ci_low, ci_high, n."""


@dataclass(frozen=True)
class Cell:
    """One metric at one point on one platform: mean over replications and its interval if known."""

    mean: float
    low: float | None
    high: float | None
    n: int
    unit: str


@dataclass(frozen=True)
class Group:
    """The replications of one point on one platform.

    Attributes
    ----------
    point
        Swept path to value.
    platform
        ``bare-metal``, ``l4-native``, ``hybrid`` or ``virtual-machine``.
    records
        The replications, in order.
    cells
        Metric name to its mean and interval; without metrics of the host, which no report may depend on.
    words
        Swept path to text, of sections that are swept as a whole: tells them apart from the study's others.
    """

    point: Mapping[str, Any]
    platform: str
    records: tuple[Record, ...]
    cells: Mapping[str, Cell] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)

    @property
    def shown(self) -> dict[str, Any]:
        """The swept values as labels name them: sections as text, no two alike."""
        return {**self.point, **self.words}

    @property
    def workload(self) -> Mapping[str, Any]:
        """The resolved workload section of the configuration."""
        return workload(self.records[0])

    @property
    def details(self) -> Mapping[str, Any]:
        """Details of the first replication."""
        return details(self.records[0])

    def mean(self, metric: str) -> float | None:
        """Mean of a metric, or None where the platform does not report it."""
        cell = self.cells.get(metric)
        return None if cell is None else cell.mean


@dataclass(frozen=True)
class Point:
    """One swept point with the platforms that were run at it, in the order of ``PLATFORMS``."""

    values: Mapping[str, Any]
    platforms: Mapping[str, Group]

    @property
    def shown(self) -> dict[str, Any]:
        """The swept values as labels name them: sections as text, no two alike."""
        return {**self.values, **self.groups[0].words}

    @property
    def groups(self) -> tuple[Group, ...]:
        """The groups of this point, one for each platform."""
        return tuple(self.platforms.values())


def workload(record: Record) -> Mapping[str, Any]:
    """The resolved workload section of a record's configuration."""
    section: Mapping[str, Any] = record["config"]["workload"]
    return section


def kind(record: Record) -> str:
    """Workload kind of a record."""
    return str(workload(record)["kind"])


def details(record: Record) -> Mapping[str, Any]:
    """Details of a record, empty when the workload gave none."""
    extra: Mapping[str, Any] = record.get("details") or {}
    return extra


def platform_label(platform: str) -> str:
    """The word a paper uses for a platform: native, virtualised."""
    return PLATFORM_LABELS.get(platform, platform)


def amount(value: Any, dimension: str) -> float | None:
    """A number in base units from a number, or from text with a unit of that dimension."""
    from bgsim.units import UnitError, parse

    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value)
    if not isinstance(value, str):
        return None
    try:
        return float(parse(value, dimension).value)
    except UnitError:
        return None


def number(value: Any) -> tuple[float, str] | None:
    """A swept value as a number and the base unit it is counted in, or None if it is not a number."""
    if isinstance(value, str):
        for dimension, unit in (("bytes", "B"), ("time", "s"), ("rate", "B/s"), ("frequency", "Hz")):
            found = amount(value, dimension)
            if found is not None:
                return found, unit
        return None
    found = amount(value, "count")
    return None if found is None else (found, "")


def core_frequency_hz(record: Record) -> int:
    """Core clock of the machine a record was simulated on, in hertz."""
    config = record["config"]
    section = config.get("machine") or {}
    changes = {**(config.get("assume") or {}), **(section.get("set") or {})}
    return _core_frequency_hz(str(section.get("base", "bgp")), changes.get("core.frequency"))


@lru_cache(maxsize=256)
def _core_frequency_hz(base: str, changed: str | None) -> int:
    # Only this one parameter is set: a study must stay readable when others have been renamed since.
    from bgsim.datasheet import Datasheet

    sheet = Datasheet.load(base)
    if changed is not None:
        sheet = sheet.with_values({"core.frequency": changed})
    return sheet.integer("core.frequency")


def canonical_value(value: Any) -> str:
    """Equal text for values that mean the same in a record and, after pandas, in the summary."""
    if value is None or value != value:
        return ""
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, Mapping | Sequence):
        return canonical(value)  # as it stands in the summary
    try:
        return repr(float(value))
    except (TypeError, ValueError):
        return str(value)


def swept_axes(records: Iterable[Record]) -> tuple[str, ...]:
    """Swept paths of the records in the order in which they first appear."""
    return tuple(dict.fromkeys(path for record in records for path in record.get("point") or {}))


def short_names(axes: Sequence[str]) -> dict[str, str]:
    """Swept path to its name as a column of the summary."""
    return dict(zip(axes, column_names(axes), strict=True))


def value_text(value: Any) -> str:
    """A swept value as a reader wants to see it."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:g}"
    return brief(value)


def point_label(values: Mapping[str, Any], axes: Sequence[str], bare: Iterable[str] = ()) -> str:
    """One line naming a point; axes in ``bare`` give their value only, the others ``name=value``."""
    names = short_names(tuple(values) or axes)
    plain = set(bare)
    return ", ".join(
        value_text(values[axis]) if axis in plain else f"{names[axis]}={value_text(values[axis])}"
        for axis in axes
        if values.get(axis) is not None
    )


class Results:
    """Records and summary of a study joined by point and platform.

    Parameters
    ----------
    study
        Any object with ``records`` and ``summary()``.

    Attributes
    ----------
    axes
        Swept paths.
    points
        Points in natural order of their swept values.
    """

    def __init__(self, study: Study) -> None:
        records = [record for record in study.records if record.get("metrics") is not None]
        if not records:
            raise ReportError("the study holds no finished run, so there is nothing to report")
        self.records: tuple[Record, ...] = tuple(records)
        self.axes = swept_axes(records)
        cells = self._cells(study.summary())
        grouped: dict[tuple[str, ...], dict[str, list[Record]]] = {}
        for record in records:
            key = self._key(record.get("point") or {})
            grouped.setdefault(key, {}).setdefault(str(record["platform"]), []).append(record)
        words = self._words(records)
        points = []
        for key, by_platform in grouped.items():
            order = [p for p in PLATFORMS if p in by_platform]
            order += sorted(p for p in by_platform if p not in PLATFORMS)
            values = next(iter(by_platform.values()))[0].get("point") or {}
            platforms = {
                platform: Group(
                    point=values,
                    platform=platform,
                    records=tuple(sorted(by_platform[platform], key=lambda r: int(r.get("replication", 0)))),
                    cells=cells.get((key, platform), {}),
                    words={
                        axis: texts[canonical_value(values[axis])]
                        for axis, texts in words.items()
                        if axis in values
                    },
                )
                for platform in order
            }
            points.append(Point(values=values, platforms=platforms))
        points.sort(key=lambda point: tuple(natural_key(point.values.get(axis)) for axis in self.axes))
        self.points: tuple[Point, ...] = tuple(points)

    def _key(self, values: Mapping[str, Any]) -> tuple[str, ...]:
        return tuple(canonical_value(values.get(axis)) for axis in self.axes)

    def _words(self, records: Sequence[Record]) -> dict[str, dict[str, str]]:
        """Of axes of whole sections, each section to the text that tells it from the others."""
        words = {}
        for axis in self.axes:
            found = [record["point"][axis] for record in records if axis in (record.get("point") or {})]
            if any(isinstance(value, Mapping) and "kind" in value for value in found):
                distinct = {canonical_value(value): value for value in found}
                words[axis] = dict(zip(distinct, told_apart(list(distinct.values())), strict=True))
        return words

    def _cells(self, frame: pandas.DataFrame) -> dict[tuple[tuple[str, ...], str], dict[str, Cell]]:
        columns = short_names(self.axes)
        missing = [c for c in (*columns.values(), *FIXED_COLUMNS) if c not in frame.columns]
        if missing:
            raise ReportError(f"the summary lacks the column {missing[0]!r}")
        found: dict[tuple[tuple[str, ...], str], dict[str, Cell]] = {}
        for row in frame.to_dict("records"):
            key = tuple(canonical_value(row[columns[axis]]) for axis in self.axes)
            low, high = (_finite(row[name]) for name in ("ci_low", "ci_high"))
            mean = _finite(row["mean"])
            if mean is None or row["metric"] in HOST_METRICS:
                continue
            cell = Cell(mean=mean, low=low, high=high, n=int(row["n"]), unit=str(row["unit"] or ""))
            found.setdefault((key, str(row["platform"])), {})[str(row["metric"])] = cell
        return found

    def of_kind(self, name: str) -> list[Point]:
        """Points whose workload is of one kind."""
        return [point for point in self.points if kind(point.groups[0].records[0]) == name]

    @property
    def kinds(self) -> tuple[str, ...]:
        """Workload kinds present, in order of their first point."""
        return tuple(dict.fromkeys(kind(point.groups[0].records[0]) for point in self.points))


def _finite(value: Any) -> float | None:
    """A float, or None for missing, not-a-number and infinite."""
    if value is None:
        return None
    found = float(value)
    return found if abs(found) < float("inf") else None
