"""YAML read together with where each key and each value stands.

Only plain data is accepted: mappings with text keys, lists, text, numbers, true and false, null.
YAML 1.2 rules hold, so ``on`` and ``yes`` are text; merge keys (``<<``), which
are older, work as in YAML 1.1. What has no place in an experiment (two equal
keys, tags, infinities, aliases that blow up) is refused with its line and column.
"""

from __future__ import annotations

import math
import numbers
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, NamedTuple

from bgsim.experiment.errors import ExperimentError, Problem, shown
from bgsim.kept import kept

if TYPE_CHECKING:
    from ruamel.yaml.nodes import Node

type_of_tag = {
    "tag:yaml.org,2002:str": "str",
    "tag:yaml.org,2002:int": "int",
    "tag:yaml.org,2002:float": "float",
    "tag:yaml.org,2002:bool": "bool",
    "tag:yaml.org,2002:null": "null",
    "tag:yaml.org,2002:timestamp": "str",
}

MAPPING = "tag:yaml.org,2002:map"
SEQUENCE = "tag:yaml.org,2002:seq"
MERGE = "tag:yaml.org,2002:merge"

NODES_MAX = 100_000
BYTES_MAX = 1_000_000
INTEGER_MAX = 2**63

Path = tuple[str | int, ...]
"""Keys and list positions from the top to one value."""


class Place(NamedTuple):
    """Where something was written."""

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


@dataclass(slots=True)
class Document:
    """Plain data and the places of its parts.

    Attributes
    ----------
    value
        The data: dicts, lists and scalars.
    keys, values
        Place of the key, and of the value, by path. A list item has only a value place.
    """

    value: Any
    source: str
    keys: dict[Path, Place] = field(default_factory=dict)
    values: dict[Path, Place] = field(default_factory=dict)

    def place_of_key(self, path: Path) -> Place:
        """Place of the key at ``path``, or of the nearest part around it that was written."""
        return self._nearest(path, self.keys, self.values)

    def place_of_value(self, path: Path) -> Place:
        """Place of the value at ``path``, or of the nearest part around it that was written."""
        return self._nearest(path, self.values, self.keys)

    def _nearest(self, path: Path, first: dict[Path, Place], second: dict[Path, Place]) -> Place:
        if path in first:
            return first[path]
        while path:
            if path in second:
                return second[path]
            path = path[:-1]
            if path in self.keys:
                return self.keys[path]
        return self.values.get((), Place(self.source))

    def put(self, path: Path, value: Any, place: Place) -> str:
        """Write ``value`` at ``path``, making the mappings on the way; a list must be there already.

        Returns
        -------
        str
            Empty, or why it cannot be written there.
        """
        here = self.value
        for depth, step in enumerate(path[:-1]):
            if isinstance(here, dict) and here.get(step) is None:
                here[step] = {}
                self.keys.setdefault(path[: depth + 1], place)
                self.values[path[: depth + 1]] = place
            here = here[step]
            inside_list = isinstance(here, list) and isinstance(path[depth + 1], int)
            if not isinstance(here, dict) and not inside_list:
                name = dotted(path[: depth + 1])
                return f"'{name}' is {shown(here)}, which has no parts"
        here[path[-1]] = value
        for places in (self.keys, self.values):
            for known in [known for known in places if known[: len(path)] == path]:
                del places[known]
            places[path] = place
        return ""


def dotted(path: Path) -> str:
    """The path as researchers write it."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def split_path(text: str) -> Path:
    """A dotted path as keys; parameter names, dotted themselves, stay whole.

    Examples
    --------
    >>> split_path("machine.set.tlb.entries")
    ('machine', 'set', 'tlb.entries')
    >>> split_path("workload.program")
    ('workload', 'program')
    """
    for prefix in ("machine.set", "assume", "sweep", "smoke"):
        if text.startswith(prefix + "."):
            return (*prefix.split("."), text[len(prefix) + 1 :])
    return tuple(text.split("."))


def read_file(path: FilePath, shown_as: str | None = None) -> Document:
    """Read one YAML file.

    Raises
    ------
    ExperimentError
        It cannot be read, or is not plain YAML.
    """
    source = shown_as or str(path)
    try:
        with path.open("rb") as stream:
            data = stream.read(BYTES_MAX + 1)
    except OSError as error:
        raise ExperimentError([Problem(source, "", f"cannot be read: {error.strerror or error}")]) from None
    if len(data) > BYTES_MAX:
        raise ExperimentError([Problem(source, "", f"larger than {BYTES_MAX} bytes: not an experiment")])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
        place = Place(source, line, column)
        raise ExperimentError([Problem(str(place), "", "not UTF-8 text")]) from None
    value, keys, values = kept("located", text, lambda: _located(text, source))
    document = Document(value, source)
    for places, found in ((document.keys, keys), (document.values, values)):
        places.update((tuple(steps), Place(source, line, column)) for steps, line, column in found)
    return document


def _located(text: str, source: str) -> list[Any]:
    """A document in JSON: its data, and the places of keys and of values as ``[path, line, column]``."""
    document = read_text(text, source)
    places = [
        [[list(path), place.line, place.column] for path, place in found.items()]
        for found in (document.keys, document.values)
    ]
    return [document.value, *places]


def read_text(text: str, source: str) -> Document:
    """Read YAML from text; ``source`` names it in messages. Errors as :func:`read_file`."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    document = Document(None, source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an anchor may be defined anew; YAML allows it
            node = YAML(typ="safe", pure=True).compose(text)
        if node is not None:
            document.value = _Builder(document).build(node, ())
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(source, mark.line + 1, mark.column + 1) if mark else Place(source)
        said = error.problem or error.context or "not YAML"
        if "'\\t'" in said:
            said = "a tab where blanks must stand"
        raise ExperimentError([Problem(str(place), "", f"not YAML: {' '.join(said.split())}")]) from None
    except YAMLError as error:
        said = str(error).splitlines()[0] if str(error) else "unreadable"
        raise ExperimentError([Problem(source, "", f"not YAML: {said}")]) from None
    except RecursionError:
        raise ExperimentError([Problem(source, "", "nested too deeply")]) from None
    except (ValueError, TypeError, AttributeError, LookupError, AssertionError) as error:
        if isinstance(error, ExperimentError):
            raise
        # The parser itself stumbles over some malformed input; that is the input's fault, not ours.
        raise ExperimentError([Problem(source, "", f"not YAML: {shown(str(error))}")]) from None
    return document


class _Builder:
    """Turns a graph of YAML nodes into plain data, noting places."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.count = 0
        self.open: set[int] = set()

    def fail(self, node: Node, path: Path, message: str) -> ExperimentError:
        return ExperimentError([Problem(str(self.place(node)), dotted(path), message)])

    def place(self, node: Node) -> Place:
        return Place(self.document.source, node.start_mark.line + 1, node.start_mark.column + 1)

    def build(self, node: Node, path: Path) -> Any:
        self.count += 1
        if self.count > NODES_MAX:
            raise self.fail(node, path, f"more than {NODES_MAX} values: not an experiment")
        if id(node) in self.open:
            raise self.fail(node, path, "an alias that contains itself")
        self.open.add(id(node))
        self.document.values[path] = self.place(node)
        try:
            tag = str(node.tag)
            if tag == MAPPING:
                return self.mapping(node, path)
            if tag == SEQUENCE:
                return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
            if tag in type_of_tag and isinstance(node.value, str):
                return self.scalar(node, type_of_tag[tag], path)
            name = tag.removeprefix("tag:yaml.org,2002:")
            raise self.fail(node, path, f"the YAML tag {shown(name)} has no meaning here")
        finally:
            self.open.discard(id(node))

    def mapping(self, node: Node, path: Path) -> dict[str, Any]:
        result: dict[str, Any] = {}
        merged: list[Node] = []
        for key_node, value_node in node.value:
            if str(key_node.tag) == MERGE:
                if merged:
                    raise self.fail(key_node, path, "'<<' is written twice; merge several as a list")
                merged = self.merged(value_node, path)
                continue
            if not isinstance(key_node.value, str):
                raise self.fail(key_node, path, "a key must be text")
            key = key_node.value
            self.check_text(key_node, key, path)
            inner = (*path, key)
            if key in result:
                first = self.document.keys[inner]
                raise self.fail(key_node, inner, f"written twice, first at {first.line}:{first.column}")
            self.document.keys[inner] = self.place(key_node)
            result[key] = self.build(value_node, inner)
        for other in merged:
            self.merge(other, path, result)
        return result

    def merged(self, node: Node, path: Path) -> list[Node]:
        """The mappings that a merge key takes in, the first one counting first."""
        found = list(node.value) if str(node.tag) == SEQUENCE else [node]
        for each in found:
            if str(each.tag) != MAPPING:
                raise self.fail(each, path, "'<<' merges a mapping, or a list of them")
        return found

    def merge(self, node: Node, path: Path, result: dict[str, Any]) -> None:
        """Put the keys of a merged mapping beside those that are there already and count more."""
        if id(node) in self.open:
            raise self.fail(node, path, "an alias that contains itself")
        aside = _Builder(Document(None, self.document.source))
        aside.count, aside.open = self.count, self.open
        taken = aside.build(node, path)
        self.count = aside.count
        for key in [key for key in taken if key not in result]:
            result[key] = taken[key]
            depth = len(path) + 1
            for places, found in (
                (self.document.keys, aside.document.keys),
                (self.document.values, aside.document.values),
            ):
                places.update((at, place) for at, place in found.items() if at[:depth] == (*path, key))

    def scalar(self, node: Node, kind: str, path: Path) -> Any:
        text = node.value
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() == "true"
        try:
            if kind == "int":
                whole = _integer(text)
                if abs(whole) > INTEGER_MAX:
                    raise self.fail(node, path, "a whole number beyond 2^63")
                return whole
            if kind == "float":
                number = float(text.replace("_", "").replace(".inf", "inf").replace(".nan", "nan").lower())
                if not math.isfinite(number):
                    raise self.fail(node, path, f"{shown(text)} is not a finite number")
                return number
        except ExperimentError:
            raise
        except ValueError:
            raise self.fail(node, path, f"{shown(text)} is not a number this program can hold") from None
        self.check_text(node, text, path)
        return text

    def check_text(self, node: Node, text: str, path: Path) -> None:
        if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
            raise self.fail(
                node, path, "text with a character that is not text (NUL or half a surrogate pair)"
            )


def _integer(text: str) -> int:
    """YAML 1.2 integers: decimal (leading zeros allowed), 0x, 0o, 0b; underscores may group digits."""
    digits = text.replace("_", "").lower()
    sign = -1 if digits.startswith("-") else 1
    digits = digits.lstrip("+-")
    for prefix, base in (("0x", 16), ("0o", 8), ("0b", 2)):
        if digits.startswith(prefix):
            return sign * int(digits[2:], base)
    return sign * int(digits, 10)


def from_mapping(value: Mapping[str, Any], source: str = "experiment") -> Document:
    """A document made from Python data, for callers that have no file.

    Numbers of other libraries become plain numbers and quantities their text.

    Raises
    ------
    ExperimentError
        For values that no YAML file could hold.
    """
    return Document(_plain(value, source, ()), source)


def _plain(value: Any, source: str, path: Path) -> Any:
    from bgsim.units import Quantity

    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item, source, (*path, str(key))) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, source, (*path, index)) for index, item in enumerate(value)]
    if isinstance(value, Quantity):
        return str(value)
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real) and math.isfinite(value):
        return float(value)
    message = f"{shown(value)} is not plain data (text, finite numbers, true, false, lists, mappings)"
    raise ExperimentError([Problem(source, dotted(path), message)])
