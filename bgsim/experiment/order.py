"""The order of swept values: numbers and quantities by value, then text as people count."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from bgsim.experiment.identity import canonical
from bgsim.units import Quantity, UnitError, parse

_DIMENSIONS = ("bytes", "time", "rate", "frequency", "cycles", "instructions")


def natural_key(value: Any) -> tuple[Any, ...]:
    """Sort key of a swept value: ``2 KiB`` before ``1 MiB``, ``gcc12`` behind ``gcc4``."""
    found = _amount(value) if isinstance(value, str) else value
    if isinstance(found, (int, float)):
        return (0, found)
    text = value if isinstance(value, str) else canonical(value)
    pieces = re.split(r"(\d+)", text)
    return (1, *((0, int(piece), "") if piece.isdecimal() else (1, 0, piece) for piece in pieces if piece))


@lru_cache(maxsize=4096)
def quantity_of(text: str) -> Quantity | None:
    """What a text with a unit means, or None for any other text."""
    if not text[:1].isdigit() and not text.startswith("."):
        return None
    for dimension in _DIMENSIONS:
        try:
            return parse(text, dimension)
        except UnitError:
            continue
    return None


@lru_cache(maxsize=4096)
def _amount(text: str) -> float | None:
    """The value of a text with a unit, in the unit's base, or None."""
    found = quantity_of(text)
    return None if found is None else float(found.value)
