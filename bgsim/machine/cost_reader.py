"""Reading a cost model's YAML: dataclasses from mappings, with every problem at its line."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar, get_type_hints

from bgsim.spelling import did_you_mean

Path = tuple[str | int, ...]
Made = TypeVar("Made")


class CostModelError(ValueError):
    """A cost model cannot be read, or does not fit the run.

    Attributes
    ----------
    problems
        One line each: ``file:line:column: path: message``.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))

    def __reduce__(self) -> tuple[type[CostModelError], tuple[tuple[str, ...]]]:
        return type(self), (self.problems,)


class Reader:
    """One YAML document and the problems found in it.

    Parameters
    ----------
    text
        The document.
    name
        Its file name, for messages.

    Raises
    ------
    CostModelError
        If it is not YAML, or not a mapping.
    """

    def __init__(self, text: str, name: str) -> None:
        from ruamel.yaml import YAML
        from ruamel.yaml.error import YAMLError

        self.name = name
        self.problems: list[str] = []
        try:
            self.document = YAML().load(text)
        except YAMLError as refusal:
            raise CostModelError([f"{name}: not YAML: {' '.join(str(refusal).split())}"]) from refusal
        if not isinstance(self.document, dict):
            raise CostModelError([f"{name}: a cost model is a mapping"])

    def problem(self, path: Path, message: str) -> None:
        """Note a problem at the place of a key."""
        holder: Any = self.document
        line, column = 0, 0
        for key in path:
            try:
                known = holder.lc.key(key) if isinstance(key, str) else holder.lc.item(key)
                line, column = known
                holder = holder[key]
            except (KeyError, IndexError, AttributeError, TypeError):
                break
        where = f"{self.name}:{line + 1}:{column + 1}"
        self.problems.append(": ".join(part for part in (where, ".".join(map(str, path)), message) if part))

    def finish(self) -> None:
        """Raise what was found."""
        if self.problems:
            raise CostModelError(self.problems)

    def constant(self, key: str, wanted: object) -> None:
        """A key must be there with one value."""
        if self.document.get(key) != wanted:
            self.problem((key,), f"expected {wanted!r}, got {self.document.get(key)!r}")

    def record(self, kind: type, extra: Sequence[str] = ()) -> set[str]:
        """Check the top level's keys against a dataclass; return its field names."""
        names = {field.name for field in dataclasses.fields(kind)}
        self._keys((), self.document, names, extra)
        return names

    def scalar(self, key: str, kind: type) -> Any:
        """A text or a whole number at the top level; None, and a problem, if it is something else."""
        return self._value((key,), self.document.get(key), kind) if key in self.document else None

    def section(self, key: str, kind: type[Made], optional: bool = False) -> Made | None:
        """A mapping at the top level as a dataclass; None, and problems, if it is not one.

        An `optional` one may be null, which is None without a problem.
        """
        if optional and key in self.document and self.document[key] is None:
            return None
        return self._made((key,), self.document[key], kind) if key in self.document else None

    def records(self, key: str, kind: type[Made]) -> tuple[Made | None, ...]:
        """A list of mappings at the top level as dataclasses."""
        rows = self.document.get(key, [])
        if not isinstance(rows, list):
            self.problem((key,), "expected a list")
            return ()
        return tuple(self._made((key, number), row, kind) for number, row in enumerate(rows))

    def _keys(self, path: Path, mapping: Any, names: Iterable[str], extra: Sequence[str] = ()) -> bool:
        wanted = list(names)
        good = True
        for key in mapping:
            if key not in wanted and key not in extra:
                self.problem((*path, str(key)), f"unknown key{did_you_mean(str(key), wanted)}")
                good = False
        for key in wanted:
            if key not in mapping:
                self.problem((*path, key), "missing")
                good = False
        return good

    def _made(self, path: Path, mapping: Any, kind: type[Made]) -> Made | None:
        if not isinstance(mapping, dict):
            self.problem(path, f"expected a mapping, got {mapping!r}")
            return None
        hints = get_type_hints(kind)
        good = self._keys(path, mapping, hints)
        found = {key: self._value((*path, key), mapping[key], hints[key]) for key in hints if key in mapping}
        if not good or any(value is None for value in found.values()):
            return None
        try:
            return kind(**found)
        except ValueError as refusal:
            self.problem(path, str(refusal))
            return None

    def _value(self, path: Path, value: Any, kind: Any) -> Any:
        """A field's value in its type, or None and a problem."""
        if kind is str and isinstance(value, str):
            return str(value)
        if kind is bool and isinstance(value, bool):
            return bool(value)
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if kind is int and number and not isinstance(value, float):
            return int(value)
        if kind is float and number and math.isfinite(value) and value >= 0:
            return float(value)
        if kind == tuple[float, ...] and isinstance(value, list):
            numbers = [self._value((*path, place), item, float) for place, item in enumerate(value)]
            return None if None in numbers else tuple(numbers)
        words = {str: "a text", bool: "true or false", int: "a whole number", float: "a number, not negative"}
        if kind in words or kind == tuple[float, ...]:
            self.problem(path, f"expected {words.get(kind, 'a list of numbers')}, got {value!r}")
            return None
        if isinstance(value, dict):
            return {str(key): item for key, item in value.items()}
        self.problem(path, f"expected a mapping, got {value!r}")
        return None
