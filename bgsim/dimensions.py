"""The closed set of dimensions, the units of each, and the words in which a wrong unit is refused.

Kept apart from :mod:`bgsim.units`, which reads and writes quantities with it, so that the vocabulary can
be seen at once. Decimal prefixes are powers of ten and binary ones powers of two (IEC 80000-13).
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from bgsim.spelling import did_you_mean

__all__ = [
    "DIMENSIONS",
    "NOUN",
    "UNITS",
    "WRITTEN",
    "UnitError",
    "check_dimension",
    "dimension_of",
    "expected",
    "unit_refused",
]

_ONE: Final = Fraction(1)
_DECIMAL: Final = (("", 1), ("k", 10**3), ("M", 10**6), ("G", 10**9), ("T", 10**12))
_BINARY: Final = (("Ki", 2**10), ("Mi", 2**20), ("Gi", 2**30), ("Ti", 2**40))


def _scaled(symbol: str, prefixes: tuple[tuple[str, int], ...], base: Fraction) -> dict[str, Fraction]:
    return {prefix + symbol: scale * base for prefix, scale in prefixes}


def _counted(noun: str) -> dict[str, Fraction]:
    return {f"{prefix} {noun}".lstrip(): Fraction(scale) for prefix, scale in _DECIMAL}


_BYTES: Final = _scaled("B", _DECIMAL, _ONE) | _scaled("B", _BINARY, _ONE)
_TIME: Final = {"s": _ONE} | {
    unit: Fraction(1, 1000**n) for n, unit in enumerate(("ms", "us", "ns", "ps"), 1)
}

# Units that formatting may choose, by dimension, as multiples of the base unit.
WRITTEN: Final[dict[str, dict[str, Fraction]]] = {
    "time": _TIME,
    "bytes": _BYTES,
    "rate": {f"{unit}/s": scale for unit, scale in _BYTES.items()},
    "frequency": _scaled("Hz", _DECIMAL[:4], _ONE),
    "cycles": _counted("cycles"),
    "instructions": _counted("instructions"),
    "count": {"": _ONE},
    "ratio": {"": _ONE},
}

# Units that are accepted besides; the two letters mu look the same.
_ACCEPTED: Final[dict[str, dict[str, Fraction]]] = {
    "time": {"min": Fraction(60), "h": Fraction(3600), "\u00b5s": _TIME["us"], "\u03bcs": _TIME["us"]},
    "bytes": {"bytes": _ONE, "byte": _ONE},
    "rate": _scaled("bit/s", _DECIMAL, Fraction(1, 8)),
    "frequency": {},
    "cycles": {"cycle": _ONE},
    "instructions": {"instruction": _ONE},
    "count": {"count": _ONE},
    "ratio": {"ratio": _ONE, "%": Fraction(1, 100)},
}

UNITS: Final = {dimension: units | _ACCEPTED[dimension] for dimension, units in WRITTEN.items()}
"""Every accepted unit, by dimension, in base units: s, B, B/s, Hz, cycles, instructions, 1, 1."""

DIMENSIONS: Final[tuple[str, ...]] = tuple(UNITS)
"""The closed set of dimensions, by name."""

NOUN: Final = {
    "time": "a time",
    "bytes": "a size in bytes",
    "rate": "a data rate",
    "frequency": "a frequency",
    "cycles": "a number of cycles",
    "instructions": "a number of instructions",
    "count": "a plain count",
    "ratio": "a plain ratio",
}
"""What a quantity of each dimension is called in a sentence."""

_EXAMPLE: Final = {"time": "s", "bytes": "KiB", "rate": "MB/s", "frequency": "MHz"}

# Spelled-out names people try; refused, but they lead to the right suggestion.
_SPELLED_OUT: Final = {
    word: unit
    for unit, words in {
        "s": "sec secs second seconds",
        "ms": "msec millisecond milliseconds",
        "us": "usec microsecond microseconds",
        "ns": "nsec nanosecond nanoseconds",
        "min": "minute minutes",
        "h": "hour hours",
        "Hz": "hertz",
        "%": "percent",
    }.items()
    for word in words.split()
}


class UnitError(ValueError):
    """A value could not be read as, or converted to, the quantity wanted; the message is one sentence."""


def check_dimension(dimension: str) -> None:
    """Refuse a name that is not one of :data:`DIMENSIONS` with a :class:`UnitError`."""
    if dimension not in UNITS:
        raise UnitError(f"unknown dimension {dimension!r}{did_you_mean(dimension, UNITS)}")


def dimension_of(unit: str) -> str:
    """The dimension a unit belongs to: ``'MB/s'`` is a ``'rate'``.

    Parameters
    ----------
    unit
        A unit as it is written after a number.

    Raises
    ------
    UnitError
        If no dimension has this unit.
    """
    for dimension, units in UNITS.items():
        if unit and unit in units:
            return dimension
    raise UnitError(f"unknown unit {unit!r}{_suggest(unit, DIMENSIONS)}")


def expected(dimension: str, number: str = "3") -> str:
    """How a value of this dimension is written: an example with this number, and the accepted units."""
    if dimension in {"count", "ratio"}:
        return "a plain number"
    units = [unit for unit in UNITS[dimension] if unit.isascii()]
    example = _EXAMPLE.get(dimension, dimension)
    return f"{NOUN[dimension]} such as '{number} {example}' (units: {', '.join(units)})"


def unit_refused(shown: str, unit: str, dimension: str) -> UnitError:
    """The error for a unit the dimension does not have, be it unknown or of another dimension.

    Parameters
    ----------
    shown
        The value as it was written.
    unit
        Its unit.
    dimension
        The dimension wanted.
    """
    for other, units in UNITS.items():
        if unit in units:
            return UnitError(
                f"{shown!r} is {NOUN[other]}, not {NOUN[dimension]}; write {expected(dimension)}"
            )
    suggestion = _suggest(unit, [dimension]) or _suggest(unit, DIMENSIONS) or f"; write {expected(dimension)}"
    return UnitError(f"{shown!r} has the unknown unit {unit!r}{suggestion}")


def _suggest(unit: str, dimensions: tuple[str, ...] | list[str]) -> str:
    if unit.lower() in _SPELLED_OUT:
        return f"; did you mean {_SPELLED_OUT[unit.lower()]!r}?"
    return did_you_mean(unit, (known for name in dimensions for known in UNITS[name] if known), limit=2)
