"""What changed between two studies: versions of the program, or variants of an experiment.

Points are matched as :mod:`bgsim.experiment.matching` says: equal ones, and those that agree in what either
study sweeps; settings in which the studies differ as wholes are the variant, and are listed. For every
matched point, platform and metric the replications are compared:

=============  =============================================================================================
``exact``      nothing random is left: all pairs differ by the same amount, or the runs have equal ids, which
               promise equal answers
``paired``     both sides used the same seeds: Student's t on the differences
``welch``      different seeds: Welch's t, which supposes neither equal variances nor equal numbers
``none``       different answers of one replication each; no test can be made of them
=============  =============================================================================================

So many comparisons find something by chance alone; p-values are corrected over all of them, by Holm's
step-down rule (the chance that any change told is none is below the level) or Benjamini and Hochberg's (the
expected share of changes told that are none).

Left out: non-normal small samples (t is exact only for normal ones), and metrics that are measured on the
host.
"""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from bgsim.experiment.errors import ExperimentError, Problem
from bgsim.experiment.identity import canonical
from bgsim.experiment.matching import Key, Place, Places, matched
from bgsim.experiment.metrics import BASELINE, HOST_METRICS, METRICS, ORDER, slowdown
from bgsim.experiment.order import natural_key
from bgsim.experiment.points import labelled
from bgsim.experiment.record import Record
from bgsim.experiment.samples import DURATION, Sample, independent, paired, sample_of
from bgsim.experiment.samples import Difference as DifferenceOfMeans
from bgsim.experiment.statistics import CONFIDENCE, Interval
from bgsim.experiment.study import Study
from bgsim.experiment.summary import column_names
from bgsim.spelling import did_you_mean

Correction = Literal["holm", "bh", "none"]
Verdict = Literal["changed", "differs", "unclear", "same"]

ROUNDING: Final = 1e-12
"""Share of a number by which equal ones may differ because they were summed differently."""

CORRECTIONS: Final = ("holm", "bh", "none")
VERDICTS: Final[Mapping[str, str]] = {
    "changed": "changed",
    "differs": "differ, one replication each: no test",
    "unclear": "differ, but not significantly",
    "same": "equal",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One metric of one point on one platform, in both studies.

    Attributes
    ----------
    point
        Swept path to value.
    before, after
        Mean and interval in either study.
    difference
        The second less the first, with its interval.
    test
        How they were compared: ``exact``, ``paired``, ``welch`` or ``none``.
    p
        Chance of such a difference where there is none; None without a test.
    p_corrected
        The same corrected for the number of comparisons.
    verdict
        ``changed``, ``differs``, ``unclear`` or ``same``.
    """

    point: Mapping[str, Any]
    platform: str
    metric: str
    before: Interval
    after: Interval
    difference: Interval
    test: str
    p: float | None
    p_corrected: float | None = None
    verdict: Verdict = "same"

    @property
    def relative(self) -> float:
        """The difference as a share of the first study's mean."""
        if self.difference.mean == 0:
            return 0.0
        return self.difference.mean / abs(self.before.mean) if self.before.mean else math.inf


@dataclass(frozen=True, slots=True)
class Difference:
    """What two studies say differently.

    Attributes
    ----------
    rows
        Every comparison, in the order of points, platforms and metrics.
    settings
        Path to the two values, of settings in which the studies differ as wholes.
    only_before, only_after
        Points (with platform) that only one of them has.
    sources
        What computed either, where that differs.
    """

    rows: tuple[Row, ...]
    settings: Mapping[str, tuple[Any, Any]]
    only_before: int
    only_after: int
    sources: tuple[str, str] | None

    @property
    def counts(self) -> Mapping[str, int]:
        """Comparisons by verdict."""
        return Counter(row.verdict for row in self.rows)

    @property
    def changed(self) -> bool:
        """Whether anything changed, or differs and cannot be tested."""
        return bool(self.counts["changed"] or self.counts["differs"])

    def to_csv(self) -> str:
        """Every comparison as a table."""
        paths = list(dict.fromkeys(path for row in self.rows for path in row.point))
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        numbers = ("before", "after", "difference", "difference_low", "difference_high", "relative", "n")
        writer.writerow(
            (
                *column_names(paths),
                "platform",
                "metric",
                "unit",
                *numbers,
                "test",
                "p",
                "p_corrected",
                "verdict",
            )
        )
        for row in self.rows:
            values = [row.point.get(path) for path in paths]
            plain = [canonical(v) if isinstance(v, (list, Mapping)) else v for v in values]
            unit = METRICS[row.metric].unit if row.metric in METRICS else ""
            wide = row.difference
            amounts = (row.before.mean, row.after.mean, wide.mean, wide.low, wide.high, row.relative, wide.n)
            told = (row.test, row.p, row.p_corrected, row.verdict)
            writer.writerow((*plain, row.platform, row.metric, unit, *amounts, *told))
        return text.getvalue()


def compare(
    before: Study,
    after: Study,
    *,
    metrics: Sequence[str] = (),
    level: float = 1 - CONFIDENCE,
    correction: Correction = "holm",
    least: float = 0.0,
) -> Difference:
    """Compare two studies.

    Parameters
    ----------
    before, after
        The studies.
    metrics
        Names of those that are compared; all that both report, unless said.
    level
        Corrected p-values below it are changes; 1 less it is the confidence of the intervals.
    correction
        For the number of comparisons: ``holm``, ``bh`` or ``none``.
    least
        Changes of a smaller share of the mean are not told.

    Raises
    ------
    ExperimentError
        A metric has no such name, or the studies have no point in common.
    """
    for name in metrics:
        if name not in METRICS:
            said = f"unknown metric{did_you_mean(name, METRICS)} (see 'bgsim schema metrics')"
            raise ExperimentError([Problem(f"--metric {name}", "", said)])
    paths = list(dict.fromkeys([*before.paths, *after.paths]))
    places = Places(paths, before.records, after.records)
    sides = [_grouped(study.records, places) for study in (before, after)]
    pairs = matched(*({key: group.place for key, group in side.items()} for side in sides))
    if not pairs:
        said = f"no point in common with {after.directory}: they sweep {', '.join(paths) or 'nothing'}"
        raise ExperimentError([Problem(str(before.directory), "", said)])
    rows: list[Row] = []
    for key in sorted(
        pairs, key=lambda key: (tuple(map(natural_key, sides[0][key].place.point.values())), key[1])
    ):
        first, second = sides[0][key], sides[1][pairs[key]]
        names = [
            name
            for name in first.values
            if name in second.values and name not in HOST_METRICS and (not metrics or name in metrics)
        ]
        names.sort(key=lambda name: ORDER.get(name, len(ORDER)))
        rows += [_row(name, key[1], first, second, 1 - level) for name in names]
    return Difference(
        tuple(_judged(rows, level, correction, least)),
        _settings([(sides[0][key], sides[1][pairs[key]]) for key in pairs], paths),
        len(sides[0]) - len(pairs),
        len(sides[1]) - len(pairs),
        _sources(before, after),
    )


@dataclass(slots=True)
class _Group:
    """The replications of a point on a platform: one record, values by metric, seed and replication, ids."""

    record: Record
    place: Place
    values: dict[str, dict[tuple[int, int], float]]
    ids: dict[tuple[int, int], str]

    def sample(self, name: str, draws: Iterable[tuple[int, int]]) -> Sample:
        """A metric of the replications that drew these numbers, all of which report it."""
        columns = ((each, self.values.get(each, {})) for each in (name, DURATION))
        drawn = list(draws)
        return sample_of(name, {each: [own[draw] for draw in drawn if draw in own] for each, own in columns})


def _grouped(records: Sequence[Record], places: Places) -> dict[Key, _Group]:
    groups: dict[Key, _Group] = {}
    for record in records:
        key = places.own(record), str(record["platform"])
        group = groups.get(key)
        if group is None:
            group = groups[key] = _Group(record, places.of(record), {}, {})
        draw = record["seed"], record["replication"]
        group.ids[draw] = record["run_id"]
        for name, value in record["metrics"].items():
            group.values.setdefault(name, {})[draw] = float(value)
    for (point_text, platform), group in groups.items():
        native = groups.get((point_text, BASELINE))
        if native is None or platform == BASELINE:
            continue
        for draw in group.ids.keys() & native.ids.keys():
            pair = [{name: each.values[name][draw] for name in each.values if draw in each.values[name]}
                    for each in (native, group)]  # fmt: skip
            ratio = slowdown(*pair)
            if ratio is not None:
                group.values.setdefault("slowdown", {})[draw] = ratio
    return groups


def _row(name: str, platform: str, first: _Group, second: _Group, confidence: float) -> Row:
    draws = first.values[name].keys(), second.values[name].keys()
    before, after = first.sample(name, draws[0]), second.sample(name, draws[1])
    common = sorted(draws[0] & draws[1])
    p: float | None
    if common and len(common) in map(len, draws):
        pair = first.sample(name, common), second.sample(name, common)
        difference = paired(pair[1], pair[0])
        same_runs = all(first.ids[draw] == second.ids[draw] for draw in common)
        test, p = _paired(*pair, difference, same_runs)
    else:
        difference = independent(after, before)
        test, p = _independent(before, after, difference)
    was, became = before.interval(confidence), after.interval(confidence)
    return Row(first.place.point, platform, name, was, became, difference.interval(confidence), test, p)


def _paired(
    before: Sample, after: Sample, difference: DifferenceOfMeans, same_runs: bool
) -> tuple[str, float | None]:
    if before == after:
        return "exact", 1.0
    if same_runs:
        return "exact", 0.0
    if difference.n < 2:
        return "none", None
    if _without_error(before, after, difference):
        return "exact", 1.0 if difference.mean == 0 else 0.0
    return "paired", difference.p


def _independent(before: Sample, after: Sample, difference: DifferenceOfMeans) -> tuple[str, float | None]:
    if difference.n < 2:
        return ("welch", 1.0) if difference.mean == 0 else ("none", None)
    if _without_error(before, after, difference):
        return "welch", 1.0 if difference.mean == 0 else 0.0
    return "welch", difference.p


def _without_error(before: Sample, after: Sample, difference: DifferenceOfMeans) -> bool:
    """Whether replications scatter by no more than sums are rounded."""
    return math.sqrt(difference.square) <= ROUNDING * max(map(abs, (*before.values, *after.values)))


def _judged(rows: Sequence[Row], level: float, correction: Correction, least: float) -> list[Row]:
    from dataclasses import replace

    tested = [index for index, row in enumerate(rows) if row.p is not None and row.difference.mean != 0]
    corrected = dict(
        zip(tested, corrected_p([rows[index].p or 0.0 for index in tested], correction), strict=True)
    )
    judged = []
    for index, row in enumerate(rows):
        p = corrected.get(index)
        verdict: Verdict
        if row.difference.mean == 0:
            verdict = "unclear" if row.test == "paired" else "same"
        elif abs(row.relative) < least:
            verdict = "unclear"
        elif p is None:
            verdict = "differs"
        else:
            verdict = "changed" if p < level else "unclear"
        judged.append(replace(row, p_corrected=p, verdict=verdict))
    return judged


def corrected_p(values: Sequence[float], correction: Correction) -> list[float]:
    """P-values corrected for their number.

    Parameters
    ----------
    values
        From 0 to 1.
    correction
        ``holm``, ``bh`` or ``none``.

    Examples
    --------
    >>> corrected_p([0.01, 0.04, 0.03], "holm")
    [0.03, 0.06, 0.06]
    >>> corrected_p([0.01, 0.04, 0.02], "bh")
    [0.03, 0.04, 0.03]
    """
    count = len(values)
    if correction == "none":
        return list(values)
    order = sorted(range(count), key=lambda index: values[index])
    found = [0.0] * count
    if correction == "holm":
        reached = 0.0
        for rank, index in enumerate(order):
            reached = max(reached, min(1.0, (count - rank) * values[index]))
            found[index] = reached
        return found
    reached = 1.0
    for rank in range(count - 1, -1, -1):
        index = order[rank]
        reached = min(reached, count / (rank + 1) * values[index])
        found[index] = reached
    return found


def _settings(pairs: Sequence[tuple[_Group, _Group]], paths: Sequence[str]) -> dict[str, tuple[Any, Any]]:
    """Settings that are one value in each study and differ between them: of equal points none do."""
    sample = next((pair for pair in pairs if pair[0].place.equal != pair[1].place.equal), pairs[0])
    differing, firsts = labelled([dict(group.record, point={}) for group in sample])
    found = {}
    for path in differing:
        if any(
            path == swept or path.startswith(f"{swept}.") or swept.startswith(f"{path}.") for swept in paths
        ):
            continue
        one, other = (record["point"][path] for record in firsts)
        found[path] = (one, other)
    return found


def _sources(before: Study, after: Study) -> tuple[str, str] | None:
    found = []
    for study in (before, after):
        programs = {
            f"bgsim {record.get('provenance', {}).get('bgsim', 'of unknown version')} with source "
            f"{record.get('provenance', {}).get('source', 'unknown')}"
            for record in study.records
        }
        found.append(" and ".join(sorted(programs)))
    return None if found[0] == found[1] else (found[0], found[1])
