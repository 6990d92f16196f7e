"""What a sweep calculates at every point: derived values, and the conditions that a point has to satisfy.

::

    sweep:
      machine.set.tlb.entries: [64, 128, 256]
      workload.message_size: {from: 64 B, to: 64 KiB, factor: 4}
      derive:
        workload.iterations: max(10, 100000 // message_size)
        workload.data: {value: 16 * message_size, unit: B}
      where:
        - entries > 64 or message_size <= '4 KiB'
        - not (platform == 'bare-metal' and nodes > 512)

Names are the experiment's settings by their dotted paths, swept and derived ones also by the end of their
path where it is unambiguous, ``platform``, and ``nodes``, the size of the partition. A derived value may use
those written before it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from bgsim.dimensions import UNITS
from bgsim.experiment.errors import quoted, shown
from bgsim.experiment.expressions import Expression
from bgsim.experiment.locate import Document, Path, split_path
from bgsim.experiment.sweep import DERIVE, PLATFORM, WHERE, Axis, refused_path
from bgsim.expressions import ExpressionError
from bgsim.spelling import did_you_mean
from bgsim.units import UnitError, dimension_of, format_quantity, quantity

NODES: Final = "nodes"

Tell = Callable[[Path, str], None]
"""Told of a problem: the path inside the experiment, and what is wrong there."""


class Derived(NamedTuple):
    """A value that is calculated at every point."""

    path: str
    expression: Expression
    unit: str
    place: Path

    def at(self, values: Mapping[str, Any]) -> Any:
        """The value at one point, as an experiment would write it.

        Raises
        ------
        ExpressionError
            If it has none there.
        """
        found, text = self.expression.value(values), self.expression.text
        if not self.unit:
            return found
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise ExpressionError(f"'{text}' is {found!r} here, and {self.unit} needs a number")
        if found < 0:
            raise ExpressionError(f"'{text}' is {found} {self.unit} here, which is below zero")
        return format_quantity(quantity(found, self.unit))


class Condition(NamedTuple):
    """What a point has to satisfy."""

    expression: Expression
    place: Path


@dataclass(frozen=True)
class Rules:
    """The derived values and conditions of a sweep.

    Attributes
    ----------
    derived
        In the order in which they are calculated.
    conditions
        All of them have to hold.
    full
        Dotted path by shorter name.
    """

    derived: tuple[Derived, ...] = ()
    conditions: tuple[Condition, ...] = ()
    full: Mapping[str, str] = field(default_factory=dict)

    def keeps(self, values: Mapping[str, Any], tell: Tell) -> bool:
        """Whether a point, or a platform at it, is run; a condition that cannot be evaluated is a problem."""
        for condition in self.conditions:
            try:
                if not condition.expression.value(values):
                    return False
            except ExpressionError as error:
                tell(condition.place, str(error))
                return False
        return True


class PointValues(Mapping[str, Any]):
    """The values of names at one point.

    Parameters
    ----------
    rules
        Know the shorter names.
    point
        Swept path to value.
    settings
        The experiment at this point.
    nodes
        Calculates the size of the partition; raises KeyError where there is none.
    platform
        The platform in question, if one is.
    """

    def __init__(
        self,
        rules: Rules,
        point: Mapping[str, Any],
        settings: Mapping[str, Any],
        nodes: Callable[[], int],
        platform: str | None = None,
    ) -> None:
        self._rules, self._point, self._settings = rules, point, settings
        self._nodes, self._platform = nodes, platform

    def __getitem__(self, name: str) -> Any:
        if name == PLATFORM and self._platform is not None:
            return self._platform
        if name == NODES:
            return self._nodes()
        path = self._rules.full.get(name, name)
        if path in self._point:
            return self._point[path]
        here: Any = self._settings
        for step in split_path(path):
            here = here.get(step) if isinstance(here, Mapping) else None
        if here is None:
            raise KeyError(name)
        return here

    def __iter__(self) -> Iterator[str]:
        return iter(self._rules.full)

    def __len__(self) -> int:
        return len(self._rules.full)


def read_rules(document: Document, axes: list[Axis], tell: Callable[[Path, str, bool], None]) -> Rules:
    """The derived values and conditions of a document's ``sweep`` section.

    Parameters
    ----------
    document
        The experiment.
    axes
        Its swept paths.
    tell
        Told of each problem: path, message, and whether the key is what stands wrong.
    """
    section = document.value.get("sweep")
    if not isinstance(section, dict):
        return Rules()
    written = section.get(DERIVE, {})
    if not isinstance(written, dict):
        tell(("sweep", DERIVE), f"expected paths with expressions, got {shown(written)}", False)
        written = {}
    swept = [path for axis in axes for path in axis.paths if path != PLATFORM]
    full = shorter_names([*swept, *written])
    names = _names(document, axes, swept, full)
    derived: list[Derived] = []
    wrong: set[str] = set()  # what names them is not wrong itself
    for path, spec in written.items():
        where: Path = ("sweep", DERIVE, path)
        refused = refused_path(path) or (path == PLATFORM and "a platform cannot be derived")
        others = [*swept, *(each.path for each in derived)]
        clash = next((other for other in others if _overlap(path, other)), "")
        if refused or clash:
            tell(where, refused or f"is part of '{clash}', or the same, which is swept or derived too", True)
            wrong.add(path)
            continue
        later = written.keys() - wrong - {each.path for each in derived}
        known = [name for name in names if full.get(name, name) not in later]
        found = _derived(path, spec, where, known, tell)
        if found is not None:
            derived.append(found)
        else:
            wrong.add(path)
    conditions = section.get(WHERE, [])
    listed = conditions if isinstance(conditions, list) else [conditions]
    kept: list[Condition] = []
    for index, text in enumerate(listed):
        where = ("sweep", WHERE, index) if listed is conditions else ("sweep", WHERE)
        expression = _expression(text, where, [*names, PLATFORM], tell, condition=True)
        if expression is not None:
            kept.append(Condition(expression, where))
    return Rules(tuple(derived), tuple(kept), full)


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}.") or other.startswith(f"{one}.")


def _derived(
    path: str, spec: Any, where: Path, names: list[str], tell: Callable[[Path, str, bool], None]
) -> Derived | None:
    unit = ""
    if isinstance(spec, dict):
        for key in spec:
            if key not in ("value", "unit"):
                near = did_you_mean(str(key), ("value", "unit"))
                tell((*where, key), f"unknown key{near} (expected value or unit)", True)
                return None
        unit = spec.get("unit", "")
        try:
            dimension_of(unit)
        except (UnitError, TypeError):
            known = quoted(sorted({unit for units in UNITS.values() for unit in units if unit})[:12])
            tell((*where, "unit"), f"unknown unit {shown(unit)} (such as {known})", "unit" not in spec)
            return None
        spec, where = spec.get("value"), (*where, "value")
    expression = _expression(spec, where, names, tell)
    return None if expression is None else Derived(path, expression, unit, where)


def _expression(
    text: Any,
    where: Path,
    names: list[str],
    tell: Callable[[Path, str, bool], None],
    condition: bool = False,
) -> Expression | None:
    if not isinstance(text, str) or not text.strip():
        tell(where, f"expected an expression (a text), got {shown(text)}", False)
        return None
    try:
        return Expression(text, names, condition)
    except ExpressionError as error:
        tell(where, str(error), False)
        return None


def shorter_names(paths: list[str]) -> dict[str, str]:
    """Every unambiguous ending of dotted paths, with the path it stands for.

    Examples
    --------
    >>> shorter_names(["workload.mtu", "machine.set.tlb.entries"])["tlb.entries"]
    'machine.set.tlb.entries'
    """
    endings: Counter[str] = Counter()
    found: dict[str, str] = {}
    for path in dict.fromkeys(paths):
        steps = path.split(".")
        for begin in range(len(steps)):
            name = ".".join(steps[begin:])
            endings[name] += 1
            found.setdefault(name, path)
    return {name: path for name, path in found.items() if endings[name] == 1 or name == path}


def _names(document: Document, axes: list[Axis], swept: list[str], full: Mapping[str, str]) -> list[str]:
    """What an expression may name; the swept paths first, for messages."""
    names = dict.fromkeys([*(name for name in full if full[name] in swept), *full, NODES])
    names.update(dict.fromkeys(path for path, _ in _flat(document.value)))
    for axis in axes:
        for path, column in zip(axis.paths, zip(*axis.rows, strict=True), strict=True):
            for value in column:
                if isinstance(value, dict):
                    names.update(dict.fromkeys(inner for inner, _ in _flat(value, f"{path}.")))
    return [name for name in names if name]


def _flat(section: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in section.items():
        if prefix or key in ("workload", "machine", "assume", "cures", "partition", "guest"):
            yield prefix + key, value
            if isinstance(value, dict):
                yield from _flat(value, f"{prefix}{key}.")
