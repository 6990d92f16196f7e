"""Field types for quantities with units in experiment files.

A field of these types takes text such as ``3 s`` or ``64 KiB``; a bare number is refused. The
validated value is a :class:`bgsim.units.Quantity`, written back as the text it was given.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from bgsim.units import Quantity, format_quantity, parse


def _reader(dimension: str) -> Callable[[Any], Quantity]:
    def read(value: Any) -> Quantity:
        if isinstance(value, Quantity):
            return value
        return parse(value, dimension)

    return read


def _schema(example: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": r"^\s*[0-9].*[A-Za-z]\s*$", "examples": [example]})


Duration = Annotated[
    Quantity, BeforeValidator(_reader("time")), PlainSerializer(format_quantity), _schema("3 s")
]
Size = Annotated[
    Quantity, BeforeValidator(_reader("bytes")), PlainSerializer(format_quantity), _schema("64 KiB")
]
