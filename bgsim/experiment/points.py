"""Points of a study: which runs are of the same one, and what it is called.

Runs are of one point when everything that affects their answers is the same but for platform, replication
and seed. What a sweep wrote only names a point: ``256 KiB`` and ``0.25 MiB`` are one size, and a run that
does not mention a datasheet value, or a setting that has a default, is at the same point as one that says it.

A point is called by one of its runs: all words of its label are of one sweep and its configuration, since a
mixture of two might be what another point is called. A study may have been extended with settings other than
its first ones. Settings that differ between points become columns like swept ones, and no two points have the
same label: who groups runs by labels groups them by points, and unlike runs are never averaged.
"""

from __future__ import annotations

import marshal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from bgsim.experiment.identity import canonical, settings_text
from bgsim.experiment.record import Record, head_of, settings_of, with_point
from bgsim.experiment.resolved_setting import flat, has, setting
from bgsim.workloads.support import platforms_of

PARTITION: Final = "partition."
TOPOLOGY: Final = "partition.topology"
NUMBER: Final = "point"
"""Column of the numbers that points get which nothing else tells apart."""

_UNSAID: Final = "not said"
"""In place of a setting that a configuration does not write out."""


class _Writing:
    """One way in which a point is written: by a sweep, and by the configuration that came of it."""

    __slots__ = ("settings", "written")

    def __init__(self, written: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        self.written = written
        self.settings = settings

    def value(self, path: str) -> Any:
        """The value of a path: as the sweep wrote it, else as resolved, else None."""
        if path in self.written:
            return self.written[path]
        found = setting(self.settings, path)
        return None if found is None else found.value

    def label(self, paths: Iterable[str]) -> dict[str, Any]:
        return {path: self.value(path) for path in paths}


class _Point:
    """One point while records are read: its identity, how it is written, and the writing that names it."""

    __slots__ = ("key", "name", "writings")

    def __init__(self, key: str, first: _Writing) -> None:
        self.key = key
        self.writings = [first]
        self.name = first

    @property
    def settings(self) -> Mapping[str, Any]:
        """The configuration of the writing that names it."""
        return self.name.settings


def labelled(records: Sequence[Record]) -> tuple[tuple[str, ...], list[Record]]:
    """Records whose ``point`` says the same for all runs of a point, and has a value for every column.

    Parameters
    ----------
    records
        Finished ones.

    Returns
    -------
    tuple
        The columns: swept paths, then the settings in which points differ otherwise; and the records, in
        their order.
    """
    heads = [head_of(record) for record in records]
    swept = list(dict.fromkeys(path for point in _distinct(heads) for path in point))
    with_guest = "guest" in swept or not _platforms_say_the_guest(heads)
    points: dict[str, _Point] = {}
    by_bytes: dict[bytes, _Point] = {}
    by_objects: dict[tuple[int, int], _Point] = {}
    alive: list[object] = []  # so that no id comes back for something else
    found: list[_Point] = []
    for record, head in zip(records, heads, strict=True):
        written, settings = head["point"], settings_of(record)
        known = by_objects.get((id(written), id(settings)))
        if known is None:
            section = dict(settings)
            if not with_guest:
                section.pop("guest", None)
            mark = marshal.dumps((written, section), 2)  # a quick way to pass over equal ones
            known = by_bytes.get(mark)
            if known is None:
                key, writing = _key(written, section), _Writing(written, section)
                known = points.get(key)
                if known is None:
                    known = points[key] = _Point(key, writing)
                else:
                    known.writings.append(writing)
                by_bytes[mark] = known
            by_objects[id(written), id(settings)] = known
            alive += [written, settings]
        found.append(known)
    paths, labels = _named(list(points.values()), swept)
    right: dict[tuple[int, int], bool] = {}
    result = []
    for record, head, point in zip(records, heads, found, strict=True):
        written, label = head["point"], labels[id(point)]
        pair = id(written), id(point)
        if pair not in right:
            right[pair] = tuple(written) == paths and marshal.dumps(written, 2) == marshal.dumps(label, 2)
        result.append(record if right[pair] else with_point(record, label))
    return paths, result


def _distinct(heads: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    return iter({id(point): point for point in [head["point"] for head in heads]}.values())


def _key(point: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """Equal for runs of one point. What no setting shows, such as the end of a bound, counts as written."""
    unseen = {path: value for path, value in point.items() if value is not None and not has(settings, path)}
    return canonical([settings_text(settings), unseen])


def _choose_names(points: Sequence[_Point], swept: Sequence[str]) -> None:
    """Choose the writing that names each point.

    Best is one that no other point shares, then one that a sweep wrote, then the shortest; the order of
    records does not matter.
    """
    if all(len(point.writings) == 1 for point in points):
        return
    readings = [[_reading(writing.label(swept)) for writing in point.writings] for point in points]
    owners: dict[tuple[str, ...], set[int]] = {}
    for number, each in enumerate(readings):
        for reading in each:
            owners.setdefault(reading, set()).add(number)
    for point, each in zip(points, readings, strict=True):
        if len(point.writings) > 1:
            ranks = [
                (
                    len(owners[reading]) > 1,
                    -len(writing.written),
                    sum(map(len, reading)),
                    reading,
                    canonical(writing.settings),
                )
                for reading, writing in zip(each, point.writings, strict=True)
            ]
            point.name = point.writings[min(range(len(ranks)), key=ranks.__getitem__)]


def _named(
    points: Sequence[_Point], swept: Sequence[str]
) -> tuple[tuple[str, ...], dict[int, dict[str, Any]]]:
    """The columns, and the values of each point by its id: no two points have the same."""
    _choose_names(points, swept)
    flats = [dict(flat(point.settings)) for point in points]
    every = list(dict.fromkeys(path for each in flats for path in each))
    others = [path for path in every if not _is_said(path, swept)]
    of_partitions = [path for path in others if path.startswith(PARTITION) and path != TOPOLOGY]
    everywhere = range(len(points))
    paths = list(swept)
    paths += [
        path for path in others if path not in of_partitions and _differs(points, flats, path, everywhere)
    ]
    labels = [point.name.label(paths) for point in points]

    def add(path: str) -> None:
        paths.append(path)
        for point, label in zip(points, labels, strict=True):
            label[path] = point.name.value(path)

    # a swept section says what is in it, and a topology's name its shape, unless there is more to tell apart
    alike = _alike(labels)
    for path in every if alike else ():
        is_open = path not in paths and not path.startswith(PARTITION)
        if is_open and any(_differs(points, flats, path, group) for group in alike):
            add(path)
    for path in of_partitions if alike else ():
        if any(_differs(points, flats, path, group) for group in _alike(labels)):
            add(path)
    if alike and (alike := _alike(labels)):
        paths.append(NUMBER)
        numbers = dict.fromkeys(everywhere, 1)
        for group in alike:
            ordered = sorted(group, key=lambda place: points[place].key)
            numbers |= {place: number for number, place in enumerate(ordered, 1)}
        for place, label in enumerate(labels):
            label[NUMBER] = numbers[place]
    return tuple(paths), {id(point): label for point, label in zip(points, labels, strict=True)}


def _reading(label: Mapping[str, Any]) -> tuple[str, ...]:
    """The values of a label as a table shows them."""
    return tuple(
        "" if value is None else value if isinstance(value, str) else canonical(value)
        for value in label.values()
    )


def _alike(labels: Sequence[Mapping[str, Any]]) -> list[list[int]]:
    """The places of labels that read the same, where there are several."""
    places: dict[tuple[str, ...], list[int]] = {}
    for place, label in enumerate(labels):
        places.setdefault(_reading(label), []).append(place)
    return [group for group in places.values() if len(group) > 1]


def _is_said(path: str, swept: Sequence[str]) -> bool:
    """Whether a swept path says a setting already."""
    if path == TOPOLOGY and any(axis.startswith("partition") for axis in swept):
        return True
    if path.startswith(PARTITION):
        return path in swept
    return any(path == axis or path.startswith(f"{axis}.") for axis in swept)


def _differs(
    points: Sequence[_Point], flats: Sequence[Mapping[str, Any]], path: str, places: Sequence[int]
) -> bool:
    """Whether some of the points differ in a setting, in whichever way it is written."""
    if len({marshal.dumps(flats[place].get(path, _UNSAID), 2) for place in places}) == 1:
        return False  # the usual case, told quickly; unequal bytes may still be equal values
    found = [setting(points[place].settings, path) for place in places]
    return len({each.exact if each is not None else None for each in found}) > 1


def _platforms_say_the_guest(heads: Sequence[Mapping[str, Any]]) -> bool:
    """Whether guests differ only because one platform takes none but its own: then they are no axis."""
    guests = {head["guest"] for head in heads}
    return sum(len(platforms_of(guest)) > 1 for guest in guests) <= 1
