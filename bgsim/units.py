"""Exact quantities: numbers with a unit, parsed and converted without rounding.

What it models: the small closed set of dimensions that a computer is described with: time, size, data rate, frequency, and
counts of cycles, instructions, things and ratios. Values are rational numbers (:class:`fractions.Fraction`), so that
``640 ns`` at ``850 MHz`` is 544 cycles and nothing else.

What it leaves out: derived dimensions (no arithmetic between quantities) and physical units the simulator never meets.
Decimal prefixes are powers of ten and binary ones powers of two (IEC 80000-13): MB is not MiB, and ``KB``, which people use
for both, is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal

from bgsim.spelling import did_you_mean

__all__ = [
    "DIMENSIONS",
    "Quantity",
    "Rounding",
    "UnitError",
    "dimension_of",
    "format_bytes",
    "format_quantity",
    "format_rate",
    "format_time",
    "from_cycles",
    "parse",
    "quantity",
    "to_cycles",
]

Rounding = Literal["nearest", "up", "down"]

_DECIMAL: Final = (("", 1), ("k", 10**3), ("M", 10**6), ("G", 10**9), ("T", 10**12))
_BINARY: Final = (("Ki", 2**10), ("Mi", 2**20), ("Gi", 2**30), ("Ti", 2**40))


def _scaled(symbol: str, prefixes: tuple[tuple[str, int], ...], base: Fraction) -> dict[str, Fraction]:
    return {prefix + symbol: scale * base for prefix, scale in prefixes}


def _counted(noun: str) -> dict[str, Fraction]:
    singular = noun.removesuffix("s")
    spaced = {f"{prefix} {noun}": Fraction(scale) for prefix, scale in _DECIMAL[1:]}
    return {noun: Fraction(1), **spaced, singular: Fraction(1)}


_ONE: Final = Fraction(1)
_BYTES: Final = _scaled("B", _DECIMAL, _ONE) | _scaled("B", _BINARY, _ONE)

# Every accepted unit, by dimension, as a multiple of the base unit (s, B, B/s, Hz, cycle, instruction, 1, 1).
_UNITS: Final[dict[str, dict[str, Fraction]]] = {
    "time": {
        "s": _ONE,
        "ms": Fraction(1, 10**3),
        "us": Fraction(1, 10**6),
        "ns": Fraction(1, 10**9),
        "ps": Fraction(1, 10**12),
        "min": Fraction(60),
        "h": Fraction(3600),
        "\u00b5s": Fraction(1, 10**6),  # micro sign
        "\u03bcs": Fraction(1, 10**6),  # Greek mu, which looks the same
    },
    "bytes": _BYTES | {"bytes": _ONE, "byte": _ONE},
    "rate": {f"{unit}/s": scale for unit, scale in _BYTES.items()} | _scaled("bit/s", _DECIMAL, Fraction(1, 8)),
    "frequency": _scaled("Hz", _DECIMAL[:4], _ONE),
    "cycles": _counted("cycles"),
    "instructions": _counted("instructions"),
    "count": {"": _ONE, "count": _ONE},
    "ratio": {"": _ONE, "ratio": _ONE, "%": Fraction(1, 100)},
}

DIMENSIONS: Final[tuple[str, ...]] = tuple(_UNITS)
"""The closed set of dimensions, by name."""

_NOUN: Final = {
    "time": "a time",
    "bytes": "a size in bytes",
    "rate": "a data rate",
    "frequency": "a frequency",
    "cycles": "a number of cycles",
    "instructions": "a number of instructions",
    "count": "a plain count",
    "ratio": "a plain ratio",
}
_EXAMPLE: Final = {"time": "s", "bytes": "KiB", "rate": "MB/s", "frequency": "MHz"}

# Units that formatting may choose; the others are accepted and never written.
_WRITTEN: Final = {
    dimension: [
        unit
        for unit in units
        if unit not in {"min", "h", "\u00b5s", "\u03bcs", "byte", "bytes", "cycle", "instruction", "count", "ratio", "%"}
        and not unit.endswith("bit/s")
    ]
    for dimension, units in _UNITS.items()
}

# Spelled-out names people try; refused, but they lead to the right suggestion.
_SPELLED_OUT: Final = {
    "sec": "s",
    "second": "s",
    "seconds": "s",
    "msec": "ms",
    "millisecond": "ms",
    "milliseconds": "ms",
    "usec": "us",
    "microsecond": "us",
    "microseconds": "us",
    "nsec": "ns",
    "nanosecond": "ns",
    "nanoseconds": "ns",
    "minute": "min",
    "minutes": "min",
    "hour": "h",
    "hours": "h",
    "hertz": "Hz",
    "percent": "%",
}

_NUMBER: Final = re.compile(
    r"(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,2})?)(?:/(?P<divisor>0*[1-9][0-9]*))?"
)


class UnitError(ValueError):
    """A value could not be read as, or converted to, the quantity wanted; the message is one sentence."""


def _check_dimension(dimension: str) -> None:
    if dimension not in _UNITS:
        raise UnitError(f"unknown dimension {dimension!r}{did_you_mean(dimension, _UNITS)}")


@dataclass(frozen=True, slots=True)
class Quantity:
    """An exact value of one dimension.

    Parameters
    ----------
    value
        Number of base units: s, B, B/s, Hz, cycles, instructions, or 1 for a count or a ratio.
    dimension
        One of :data:`DIMENSIONS`.

    Raises
    ------
    UnitError
        If the dimension is unknown.
    """

    value: Fraction
    dimension: str

    def __post_init__(self) -> None:
        """Check the dimension and store the value as a fraction, whatever exact number it was given as."""
        _check_dimension(self.dimension)
        object.__setattr__(self, "value", Fraction(self.value))

    def __str__(self) -> str:
        """The exact text of :func:`format_quantity`."""
        return format_quantity(self)

    @property
    def number(self) -> int | float:
        """The value in base units: an `int` when whole, otherwise the nearest `float`."""
        return int(self.value) if self.value.denominator == 1 else float(self.value)

    def in_unit(self, unit: str) -> Fraction:
        """The exact value in another unit of the same dimension.

        Parameters
        ----------
        unit
            A unit of this quantity's dimension, such as ``'us'``.

        Raises
        ------
        UnitError
            If the unit is unknown or belongs to another dimension.
        """
        units = _UNITS[self.dimension]
        if unit not in units:
            raise _unit_refused(str(self), unit, self.dimension)
        return self.value / units[unit]


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
    for dimension, units in _UNITS.items():
        if unit and unit in units:
            return dimension
    raise UnitError(f"unknown unit {unit!r}{_suggest(unit, list(_UNITS))}")


def quantity(value: int | float | Fraction, unit: str) -> Quantity:
    """A quantity from a number and a unit.

    Parameters
    ----------
    value
        The number. A `float` counts as the decimal number it prints as: 0.1 is a tenth.
    unit
        A unit of any dimension.

    Raises
    ------
    UnitError
        If the unit is unknown or the number is not finite.
    """
    dimension = dimension_of(unit)
    return Quantity(_exact(value) * _UNITS[dimension][unit], dimension)


def parse(text: str | int | float, dimension: str) -> Quantity:
    """Read a quantity that a person wrote.

    Parameters
    ----------
    text
        A number followed by a unit: ``'3 s'``, ``'425 MB/s'``, ``'4 KiB'``, ``'1.2 M instructions'``, ``'544 cycles'``; also the
        fractions that :func:`format_quantity` writes, ``'20/17 ns'``. A bare number is accepted for ``count`` and
        ``ratio`` only; there it may also be an `int` or a `float`.
    dimension
        The dimension wanted, one of :data:`DIMENSIONS`.

    Returns
    -------
    Quantity
        Exact, never negative; a count or a size in bytes is whole.

    Raises
    ------
    UnitError
        If the text is not a number with a unit of that dimension.
    """
    _check_dimension(dimension)
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        raise UnitError(f"{text!r} is not {_NOUN[dimension]}; write {_expected(dimension)}")
    shown = text.strip() if isinstance(text, str) else str(text)
    if shown.startswith("-") and _NUMBER.match(shown[1:].lstrip()):
        raise UnitError(f"{shown!r} is negative; {_NOUN[dimension]} here is never below zero")
    found = _NUMBER.match(shown)
    if found is None:
        raise UnitError(f"{shown!r} does not begin with a number; write {_expected(dimension)}")
    number = Fraction(found["number"]) / int(found["divisor"] or 1)
    unit = " ".join(shown[found.end() :].split())
    units = _UNITS[dimension]
    if unit not in units:
        if not unit:
            raise UnitError(f"{shown!r} has no unit; write {_expected(dimension, found.group())}")
        if unit[0] in ",_":
            raise UnitError(f"{shown!r} has a separator in its number; write the digits alone")
        raise _unit_refused(shown, unit, dimension)
    value = number * units[unit]
    if dimension in {"count", "bytes"} and value.denominator != 1:
        raise UnitError(f"{shown!r} is not a whole number{' of bytes' if dimension == 'bytes' else ''}")
    return Quantity(value, dimension)


def to_cycles(amount: Quantity, frequency_hz: int | Fraction, rounding: Rounding | None = None) -> int:
    """Convert a time, or a number of cycles, to a whole number of cycles.

    Parameters
    ----------
    amount
        A quantity of dimension ``time`` or ``cycles``.
    frequency_hz
        Clock frequency in Hz.
    rounding
        What to do with a part of a cycle: ``'nearest'`` (a half goes to the even neighbour), ``'up'`` or ``'down'``. None means that
        there must not be one.

    Returns
    -------
    int
        Cycles.

    Raises
    ------
    UnitError
        If the quantity is neither a time nor cycles, if it is not a whole number of cycles and no rounding is named, or if
        the rounding or the frequency makes no sense.
    """
    if rounding not in (None, "nearest", "up", "down"):
        raise UnitError(f"unknown rounding {rounding!r}; write 'nearest', 'up' or 'down'")
    if frequency_hz <= 0:
        raise UnitError(f"a clock frequency of {frequency_hz} Hz has no cycles")
    if amount.dimension == "time":
        cycles = amount.value * Fraction(frequency_hz)
    elif amount.dimension == "cycles":
        cycles = amount.value
    else:
        raise UnitError(f"{format_quantity(amount)!r} is {_NOUN[amount.dimension]} and cannot be counted in cycles")
    if rounding == "nearest":
        return round(cycles)
    if rounding == "up":
        return -((-cycles) // 1)
    if rounding == "down":
        return cycles // 1
    if cycles.denominator != 1:
        clock = format_quantity(Quantity(Fraction(frequency_hz), "frequency"))
        raise UnitError(
            f"{format_quantity(amount)!r} is {_number_text(cycles)} cycles at {clock}, not a whole number; "
            "name a rounding ('nearest', 'up' or 'down')"
        )
    return int(cycles)


def from_cycles(cycles: int, frequency_hz: int | Fraction) -> Quantity:
    """The exact time that a number of cycles takes.

    Parameters
    ----------
    cycles
        Clock cycles.
    frequency_hz
        Clock frequency in Hz.

    Raises
    ------
    UnitError
        If the frequency is not positive.
    """
    if frequency_hz <= 0:
        raise UnitError(f"a clock frequency of {frequency_hz} Hz has no cycles")
    return Quantity(Fraction(cycles) / Fraction(frequency_hz), "time")


def format_quantity(amount: Quantity, digits: int | None = None) -> str:
    """Write a quantity in a readable unit.

    Parameters
    ----------
    amount
        The quantity.
    digits
        Significant digits. None writes the exact value, as a fraction (``'20/17 ns'``) where no decimal number is exact;
        :func:`parse` then reads back an equal quantity.

    Returns
    -------
    str
        Number, space, unit; a count or a ratio has no unit.
    """
    units = _WRITTEN[amount.dimension]
    if digits is not None:
        if amount.dimension == "bytes":  # sizes are rounded in binary units, as memory and caches are
            units = [unit for unit in units if unit == "B" or "i" in unit]
        elif amount.dimension == "rate":
            units = [unit for unit in units if "i" not in unit]
    written = []
    for rank, unit in enumerate(units):
        value = amount.value / _UNITS[amount.dimension][unit]
        text = _number_text(value) if digits is None else f"{float(value):.{digits}g}"
        distance = 0 if 1 <= abs(value) < 1000 else (abs(value) >= 1000) + 1
        length = len(text) if digits is None else len(str(int(abs(value))))
        written.append((distance, "/" in text, length, rank, f"{text} {unit}".rstrip()))
    if amount.value == 0:
        return f"0 {units[0]}".rstrip()
    return min(written)[-1]


def format_time(seconds: float | Fraction, digits: int = 4) -> str:
    """A time in a readable unit: ``format_time(0.0021)`` is ``'2.1 ms'``.

    Parameters
    ----------
    seconds
        Time in s.
    digits
        Significant digits.
    """
    return format_quantity(Quantity(_exact(seconds), "time"), digits)


def format_bytes(size_bytes: float | Fraction, digits: int = 4) -> str:
    """A size in a readable binary unit: ``format_bytes(32768)`` is ``'32 KiB'``.

    Parameters
    ----------
    size_bytes
        Size in B.
    digits
        Significant digits.
    """
    return format_quantity(Quantity(_exact(size_bytes), "bytes"), digits)


def format_rate(rate_bytes_per_s: float | Fraction, digits: int = 4) -> str:
    """A data rate in a readable decimal unit: ``format_rate(4.25e8)`` is ``'425 MB/s'``.

    Parameters
    ----------
    rate_bytes_per_s
        Rate in B/s.
    digits
        Significant digits.
    """
    return format_quantity(Quantity(_exact(rate_bytes_per_s), "rate"), digits)


def _exact(value: int | float | Fraction) -> Fraction:
    try:
        return Fraction(repr(value)) if isinstance(value, float) else Fraction(value)
    except (ValueError, OverflowError) as refusal:
        raise UnitError(f"{value!r} is not a finite number") from refusal


def _number_text(value: Fraction) -> str:
    """The shortest exact text: a decimal number when there is one, else a fraction."""
    remaining = value.denominator
    places = 0
    while remaining % 10 == 0:
        remaining, places = remaining // 10, places + 1
    for factor in (2, 5):
        while remaining % factor == 0:
            remaining, places = remaining // factor, places + 1
    if remaining != 1:
        return f"{value.numerator}/{value.denominator}"
    digits = str(abs(value.numerator) * 10**places // value.denominator).rjust(places + 1, "0")
    text = digits if not places else f"{digits[:-places]}.{digits[-places:]}".rstrip("0").rstrip(".")
    return f"-{text}" if value < 0 else text


def _expected(dimension: str, number: str = "3") -> str:
    """How a value of this dimension is written: an example and the accepted units."""
    if dimension in {"count", "ratio"}:
        return "a plain number"
    units = [unit for unit in _UNITS[dimension] if unit.isascii()]
    example = _EXAMPLE.get(dimension, dimension)
    return f"{_NOUN[dimension]} such as '{number} {example}' (units: {', '.join(units)})"


def _suggest(unit: str, dimensions: list[str]) -> str:
    if unit.lower() in _SPELLED_OUT:
        return f"; did you mean {_SPELLED_OUT[unit.lower()]!r}?"
    return did_you_mean(unit, (known for name in dimensions for known in _UNITS[name] if known), limit=2)


def _unit_refused(shown: str, unit: str, dimension: str) -> UnitError:
    """The error for a unit that the dimension does not have: unknown, or of another dimension."""
    for other, units in _UNITS.items():
        if unit in units:
            return UnitError(f"{shown!r} is {_NOUN[other]}, not {_NOUN[dimension]}; write {_expected(dimension)}")
    suggestion = _suggest(unit, [dimension]) or _suggest(unit, list(_UNITS))
    return UnitError(f"{shown!r} has the unknown unit {unit!r}{suggestion or f'; write {_expected(dimension)}'}")
