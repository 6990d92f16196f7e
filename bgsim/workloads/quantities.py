"""Field types for quantities with units in experiment files.

A field of these types takes text such as ``3 s`` or ``64 KiB``; a bare number is refused. The
validated value is a :class:`bgsim.units.Quantity`, written back as the text it was given.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema

from bgsim.units import Quantity, format_quantity, parse


def _reader(dimension: str) -> Callable[[Any], Quantity]:
    def read(value: Any) -> Quantity:
        if isinstance(value, Quantity):
            return value
        return parse(value, dimension)

    return read


def _at_most(limit: str, dimension: str, because: str) -> AfterValidator:
    most = parse(limit, dimension).value

    def check(value: Quantity) -> Quantity:
        if value.value > most:
            raise ValueError(f"{value} is too much; at most {limit}, {because}")
        return value

    return AfterValidator(check)


def _schema(example: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": r"^\s*[0-9].*[A-Za-z]\s*$", "examples": [example]})


Duration = Annotated[
    Quantity, BeforeValidator(_reader("time")), PlainSerializer(format_quantity), _schema("3 s")
]
Size = Annotated[
    Quantity, BeforeValidator(_reader("bytes")), PlainSerializer(format_quantity), _schema("64 KiB")
]

DETAILED_NODES_MAX = 512
"""Nodes that the detailed tier simulates at once; a run of more would take days."""

ProgramTime = Annotated[Duration, _at_most("86400 s", "time", "which is a day")]
"""How long a program does something. More than a day is a slip, and its run would have no end."""

MessageSize = Annotated[Size, _at_most("4 GiB", "bytes", "the memory of a node")]
"""What a node sends, or a call hands over, at once. The largest nodes of Blue Gene/P had 4 GiB."""

FileSize = Annotated[Size, _at_most("1 TiB", "bytes", "which no process of this machine wrote")]
"""Size of a file."""
