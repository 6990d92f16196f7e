"""Exact quantities: numbers with a unit, parsed and converted without rounding.

What it models: the small closed set of dimensions that a computer is described with: time, size, data rate,
frequency, and counts of cycles, instructions, things and ratios. Values are rational numbers
(:class:`fractions.Fraction`), so that ``640 ns`` at ``850 MHz`` is 544 cycles and nothing else.

What it leaves out: derived dimensions (no arithmetic between quantities) and physical units the simulator
never meets. Decimal prefixes are powers of ten and binary ones powers of two (IEC 80000-13): MB is not MiB,
and ``KB``, which people use for both, is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from numbers import Rational
from typing import Final, Literal

from bgsim.dimensions import (
    DIMENSIONS,
    NOUN,
    UNITS,
    WRITTEN,
    UnitError,
    check_dimension,
    dimension_of,
    expected,
    unit_refused,
)

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

_NUMBER: Final = re.compile(
    r"(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE](?P<exponent>[+-]?[0-9]{1,18}))?)(?:/(?P<divisor>0*[1-9][0-9]*))?"
)

_EXPONENT_MAX: Final = 99
_CHARACTERS_MAX: Final = 1000
_SHOWN_MAX: Final = 40
"""Exact arithmetic writes every digit out."""


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
        check_dimension(self.dimension)
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
        units = UNITS[self.dimension]
        if unit not in units:
            raise unit_refused(str(self), unit, self.dimension)
        return self.value / units[unit]


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
    return Quantity(_exact(value) * UNITS[dimension][unit], dimension)


def parse(text: str | int | float, dimension: str) -> Quantity:
    """Read a quantity that a person wrote.

    Parameters
    ----------
    text
        A number followed by a unit: ``'3 s'``, ``'425 MB/s'``, ``'4 KiB'``, ``'1.2 M instructions'``, ``'544
        cycles'``; also the fractions that :func:`format_quantity` writes, ``'20/17 ns'``. A bare number is
        accepted for ``count`` and ``ratio`` only; there it may also be an `int` or a `float`.
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
    check_dimension(dimension)
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        raise UnitError(f"{text!r} is not {NOUN[dimension]}; write {expected(dimension)}")
    shown = text.strip() if isinstance(text, str) else str(text)
    if shown.startswith("-") and _NUMBER.match(shown[1:].lstrip()):
        raise UnitError(f"{shown!r} is negative; {NOUN[dimension]} here is never below zero")
    found = _NUMBER.match(shown)
    if found is None:
        raise UnitError(f"{shown!r} does not begin with a number; write {expected(dimension)}")
    if len(found.group()) > _CHARACTERS_MAX:
        raise UnitError(
            f"'{shown[:_SHOWN_MAX]}...' is too long; a number has at most {_CHARACTERS_MAX} characters"
        )
    if abs(int(found["exponent"] or 0)) > _EXPONENT_MAX:
        size = "small" if found["exponent"].startswith("-") else "large"
        raise UnitError(f"{shown!r} is too {size}; the power of ten goes to {_EXPONENT_MAX}")
    number = Fraction(found["number"]) / int(found["divisor"] or 1)
    unit = " ".join(shown[found.end() :].split())
    units = UNITS[dimension]
    if unit not in units:
        if not unit:
            raise UnitError(f"{shown!r} has no unit; write {expected(dimension, found.group())}")
        if unit[0] in ",_":
            raise UnitError(f"{shown!r} has a separator in its number; write the digits alone")
        raise unit_refused(shown, unit, dimension)
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
        What to do with a part of a cycle: ``'nearest'`` (a half goes to the even neighbour), ``'up'`` or
        ``'down'``. None means that there must not be one.

    Returns
    -------
    int
        Cycles.

    Raises
    ------
    UnitError
        If the quantity is neither a time nor cycles, if it is not a whole number of cycles and no rounding is
        named, or if the rounding or the frequency makes no sense.
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
        raise UnitError(
            f"{format_quantity(amount)!r} is {NOUN[amount.dimension]} and cannot be counted in cycles"
        )
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
        Significant digits. None writes the exact value, as a fraction (``'20/17 ns'``) where no decimal
        number is exact; :func:`parse` then reads back an equal quantity.

    Returns
    -------
    str
        Number, space, unit; a count or a ratio has no unit.
    """
    units = list(WRITTEN[amount.dimension])
    if digits is not None:
        if amount.dimension == "bytes":  # sizes are rounded in binary units, as memory and caches are
            units = [unit for unit in units if unit == "B" or "i" in unit]
        elif amount.dimension == "rate":
            units = [unit for unit in units if "i" not in unit]
    written = []
    for rank, unit in enumerate(units):
        value = amount.value / UNITS[amount.dimension][unit]
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
        return Fraction(value) if isinstance(value, Rational) else Fraction(repr(float(value)))
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
