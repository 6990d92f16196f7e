"""Which points of two studies are compared with each other.

Equal points are, however either study writes them. The others are matched by what either study sweeps, so
that variants can be compared: settings that nobody sweeps may differ. Of a swept section only the keys that a
sweep writes count; what else is in it may differ too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from bgsim.experiment.identity import canonical, settings_text
from bgsim.experiment.record import Record, head_of, settings_of
from bgsim.experiment.resolved_setting import flat, setting

Key = tuple[str, str]
"""A point of one study, as a text, and a platform."""


class Place(NamedTuple):
    """Where a point stands among the points of two studies.

    Attributes
    ----------
    point
        Path to value of what either study sweeps: as written, else as resolved.
    equal
        Equal for equal points, but for the version of the model.
    alike
        Equal for points that agree in what either study sweeps, in every spelling.
    written
        Equal for points that are written alike.
    """

    point: Mapping[str, Any]
    equal: str
    alike: str
    written: str


class Places:
    """Finds the places of the points of two studies.

    Parameters
    ----------
    paths
        What either study sweeps.
    studies
        The records of both, labelled.
    """

    def __init__(self, paths: Sequence[str], *studies: Sequence[Record]) -> None:
        points = {id(record["point"]): record["point"] for records in studies for record in records}
        self._paths = paths
        self._within: dict[str, list[str]] = {}
        for path in paths:
            words = [_section(path, point[path]) for point in points.values() if path in point]
            within = dict.fromkeys(name for section in words for name, _ in flat(section, f"{path}."))
            if within:
                self._within[path] = list(within)

    def own(self, record: Record) -> str:
        """Equal for records of one point of one study, and for no others of it."""
        return canonical(head_of(record)["point"])

    def of(self, record: Record) -> Place:
        """The place of a record's point."""
        labelled, settings = head_of(record)["point"], settings_of(record)
        point: dict[str, Any] = {}
        alike: list[Any] = []
        for path in self._paths:
            found = setting(settings, path)
            point[path] = labelled.get(path, None if found is None else found.value)
            alike.append(self._exact(path, settings, point[path]))
        same = settings_text({key: value for key, value in settings.items() if key != "model_version"})
        return Place(point, same, canonical(alike), canonical(point))

    def _exact(self, path: str, settings: Mapping[str, Any], written: Any) -> Any:
        """The value of a path, in one way for every spelling."""
        found = setting(settings, path)
        if path not in self._within:
            is_plain = found is not None and not isinstance(found.value, Mapping)
            return found.exact if found is not None and is_plain else canonical(written)
        if found is None or not isinstance(found.value, Mapping):
            return None if found is None else found.exact
        words = dict(flat(_section(path, written), f"{path}."))
        exact = {name: setting(settings, name) for name in self._within[path]}
        return {
            name: canonical(words.get(name))
            if each is None or isinstance(each.value, Mapping)
            else each.exact
            for name, each in exact.items()
        }


def matched(one: Mapping[Key, Place], other: Mapping[Key, Place]) -> dict[Key, Key]:
    """The points of one study, each with the one of the other study that it is compared with.

    Parameters
    ----------
    one, other
        The places of the points of either study, by point and platform.

    Returns
    -------
    dict
        Points that agree in what is swept are matched when they are the only ones that do.
    """
    found: dict[Key, Key] = {}
    for sameness in ("equal", "alike", "written"):
        left = _unique({key: getattr(one[key], sameness) for key in one.keys() - found.keys()})
        right = _unique({key: getattr(other[key], sameness) for key in other.keys() - set(found.values())})
        found |= {left[text]: right[text] for text in left.keys() & right.keys()}
    return found


def _unique(texts: Mapping[Key, str]) -> dict[tuple[str, str], Key]:
    """The points by text and platform, but for those that are not the only ones."""
    found: dict[tuple[str, str], list[Key]] = {}
    for key, text in texts.items():
        found.setdefault((text, key[1]), []).append(key)
    return {text: keys[0] for text, keys in found.items() if len(keys) == 1}


def _section(path: str, value: Any) -> Mapping[str, Any]:
    """A swept value as the section it stands for; nothing where it is none."""
    if path == "machine" and isinstance(value, str):
        return {"base": value}
    return value if isinstance(value, Mapping) else {}
