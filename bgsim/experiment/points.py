"""Points of a study: which runs are of the same one, and what it is called.

Runs are of one point when everything that affects their answers is the same but for platform, replication
and seed. What a sweep wrote only names a point: ``256 KiB`` and ``0.25 MiB`` are one size, and a run that
does not mention a datasheet value is at the same point as one that sets it to what the datasheet says.

A study may have been extended with settings other than its first ones. Settings that differ between points
become columns like swept ones, so that unlike runs are never averaged.
"""

from __future__ import annotations

import contextlib
import marshal
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from bgsim.cures import settings as cured
from bgsim.experiment.identity import canonical, exact_value, settings_text, sheet_parameter
from bgsim.experiment.locate import split_path
from bgsim.experiment.record import Record, head_of, settings_of, with_point
from bgsim.workloads.support import platforms_of

OF_MACHINE: Final = ("machine.set.", "assume.")
PARTITION: Final = "partition."
TOPOLOGY: Final = "partition.topology"

_MISSING: Final = "no such setting"
"""In place of a setting that a configuration does not have; None is a value of its own."""


class Setting(NamedTuple):
    """One setting of a point.

    Attributes
    ----------
    value
        As a reader wants to see it.
    exact
        The same text for every spelling of a value.
    """

    value: Any
    exact: str


class _Point:
    """One point while records are read: one of its settings, and how sweeps wrote its values."""

    __slots__ = ("settings", "words")

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.settings = settings
        self.words: dict[str, dict[str, Any]] = {}

    def add(self, point: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        """Note another way in which the point is written; their order must not matter."""
        for path, value in point.items():
            self.words.setdefault(path, {})[canonical(value)] = value
        if settings != self.settings:
            self.settings = min(self.settings, settings, key=canonical)

    def label(self, path: str) -> Any:
        """The value of a path: the shortest way in which a sweep wrote it, else as resolved, else None."""
        words = self.words.get(path)
        if words:
            return words[min(words, key=lambda text: (len(text), text))]
        found = setting(self.settings, path)
        return None if found is None else found.value


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
                key = _key(written, section)
                known = by_bytes[mark] = points.setdefault(key, _Point(section))
                known.add(written, section)
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


def setting(settings: Mapping[str, Any], path: str) -> Setting | None:
    """A setting of a resolved configuration; of the machine, what the datasheet says where nothing is set.

    Parameters
    ----------
    settings
        The configuration, with or without what the runs of a point differ in.
    path
        Dotted, as in a sweep.

    Returns
    -------
    Setting or None
        None where a configuration has no such setting.
    """
    value = _looked_up(settings, path)
    if value is _MISSING:
        return None
    text = canonical(value)
    if path.startswith(OF_MACHINE):
        base = settings.get("machine", {}).get("base", "")
        text = exact_value(base, str(split_path(path)[-1]), text) or text
    return Setting(value, text)


def _looked_up(settings: Mapping[str, Any], path: str) -> Any:
    """The value of a setting, or that it is missing."""
    steps = split_path(path)
    if path.startswith(OF_MACHINE):
        return _of_machine(settings, str(steps[-1]), assumed=steps[0] == "assume")
    here: Any = settings
    for step in steps:
        if not isinstance(here, Mapping) or step not in here:
            return _MISSING
        here = here[step]
    return here


def _of_machine(settings: Mapping[str, Any], name: str, assumed: bool) -> Any:
    section = settings.get("machine", {})
    if not assumed:
        with contextlib.suppress(KeyError, ValueError):  # a cure may not be installed any more
            values = cured(settings.get("cures", ()))
            if name in values:
                return values[name]
        if name in section.get("set", {}):
            return section["set"][name]
    if name in settings.get("assume", {}):
        return settings["assume"][name]
    parameter = sheet_parameter(section.get("base", ""), name)
    if parameter is None:
        return _MISSING
    return parameter.value if parameter.unit in ("count", "ratio", "bool") else parameter.text


def along(record: Record, paths: Sequence[str]) -> tuple[dict[str, Any], str]:
    """A record's values of paths that another study may have swept, for people and to match them.

    Returns
    -------
    tuple
        The values as written, else as resolved, else None; and a text that is the same for every spelling.
        Whole sections are in it as they were written: studies may be meant to differ within.
    """
    written, settings = record["point"], settings_of(record)
    point: dict[str, Any] = {}
    texts = []
    for path in paths:
        found = setting(settings, path)
        point[path] = written.get(path, None if found is None else found.value)
        is_scalar = found is not None and not isinstance(found.value, (list, Mapping))
        texts.append(found.exact if found is not None and is_scalar else canonical(point[path]))
    return point, canonical(texts)


def _distinct(heads: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    return iter({id(point): point for point in [head["point"] for head in heads]}.values())


def _key(point: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """Equal for runs of one point. What no setting shows, such as a swept seed, counts as it is written."""
    unseen = {path: value for path, value in point.items() if _looked_up(settings, path) is _MISSING}
    return canonical([settings_text(settings), unseen])


def _named(
    points: Sequence[_Point], swept: Sequence[str]
) -> tuple[tuple[str, ...], dict[int, dict[str, Any]]]:
    """The columns, and the values of each point by its id."""
    flat = [dict(_flat(point.settings)) for point in points]
    paths = list(swept)
    others = list(dict.fromkeys(path for each in flat for path in each if not _is_said(path, swept)))
    of_partitions = [path for path in others if path.startswith(PARTITION) and path != TOPOLOGY]
    paths += [path for path in others if path not in of_partitions and _differs(points, flat, path)]
    labels = [{path: point.label(path) for path in paths} for point in points]
    for path in of_partitions:  # a topology's name says them, unless they were chosen beside it
        if not _differs(points, flat, path):
            continue
        alike: dict[str, list[int]] = {}
        for number, label in enumerate(labels):
            alike.setdefault(canonical(label), []).append(number)
        if any(
            _differs([points[number] for number in group], [flat[number] for number in group], path)
            for group in alike.values()
        ):
            paths.append(path)
            for point, label in zip(points, labels, strict=True):
                label[path] = point.label(path)
    return tuple(paths), {id(point): label for point, label in zip(points, labels, strict=True)}


def _is_said(path: str, swept: Sequence[str]) -> bool:
    """Whether a swept path says a setting already."""
    if path == TOPOLOGY and any(axis.startswith("partition") for axis in swept):
        return True
    if path.startswith(PARTITION):
        return path in swept
    return any(path == axis or path.startswith(f"{axis}.") for axis in swept)


def _differs(points: Sequence[_Point], flat: Sequence[Mapping[str, Any]], path: str) -> bool:
    values = [each.get(path, _MISSING) for each in flat]
    if len({marshal.dumps(value, 2) for value in values}) == 1:
        return False  # the usual case, told quickly; unequal bytes may still be equal values
    if path.startswith(OF_MACHINE):
        found = [setting(point.settings, path) for point in points]
        return len({each.exact if each is not None else None for each in found}) > 1
    return len(set(map(canonical, values))) > 1


def _flat(section: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in section.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _platforms_say_the_guest(heads: Sequence[Mapping[str, Any]]) -> bool:
    """Whether guests differ only because one platform takes none but its own: then they are no axis."""
    guests = {head["guest"] for head in heads}
    return sum(len(platforms_of(guest)) > 1 for guest in guests) <= 1
