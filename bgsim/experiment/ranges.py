"""Ranges on an axis of a sweep: ``{from: 64 B, to: 1 MiB, factor: 4}`` instead of a list.

==================================  ==========================================================
``{from, to, step}``                from, from + step, ... up to ``to``
``{from, to, factor}``              from, from x factor, ... up to ``to``
``{from, to, points}``              so many values at equal distances, both ends among them
``{from, to, points, scale: log}``  so many values at equal ratios, both ends among them
==================================  ==========================================================

Both ends are plain numbers, or texts with a unit of one dimension. Arithmetic is exact. Ratios seldom are:
values between the ends of a logarithmic range are whole where both ends are whole counts or sizes, and have
four significant digits otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Final

from bgsim.experiment.errors import quoted, shown
from bgsim.experiment.order import quantity_of
from bgsim.spelling import did_you_mean
from bgsim.units import Quantity, format_quantity

KEYS: Final = ("from", "to", "step", "factor", "points", "scale")
VALUES_MAX: Final = 100_000
DIGITS: Final = 4


class RangeError(ValueError):
    """A range that makes no sense.

    Attributes
    ----------
    key
        The key that is wrong, or nothing where the whole range is.
    """

    def __init__(self, message: str, key: str = "") -> None:
        super().__init__(message)
        self.key = key


def values_of(section: Mapping[str, Any]) -> list[Any]:
    """The values of a range.

    Parameters
    ----------
    section
        As written.

    Returns
    -------
    list
        Numbers, or texts with a unit; in order, none twice.

    Raises
    ------
    RangeError
        If it makes no sense.

    Examples
    --------
    >>> values_of({"from": "64 B", "to": "4 KiB", "factor": 4})
    ['64 B', '256 B', '1 KiB', '4 KiB']
    >>> values_of({"from": 1, "to": 1000, "points": 4, "scale": "log"})
    [1, 10, 100, 1000]
    """
    for key in section:
        if key not in KEYS:
            raise RangeError(f"unknown key{did_you_mean(str(key), KEYS)} (expected {quoted(KEYS)})", str(key))
    for key in ("from", "to"):
        if key not in section:
            raise RangeError(f"a range needs '{key}'")
    ways = [key for key in ("step", "factor", "points") if key in section]
    if len(ways) != 1:
        raise RangeError("a range needs one of 'step', 'factor' and 'points'")
    (way,) = ways
    logarithmic = section.get("scale", "linear") == "log"
    if section.get("scale", "linear") not in ("linear", "log"):
        raise RangeError(f"{shown(section['scale'])} is no scale (expected linear or log)", "scale")
    if logarithmic and way != "points":
        raise RangeError("only 'points' are spread over a scale", "scale")
    first, dimension = _end(section, "from")
    last, other = _end(section, "to")
    if dimension != other:
        raise RangeError(f"{shown(section['from'])} and {shown(section['to'])} are not of one kind", "to")
    if last <= first:
        raise RangeError("is not above 'from'", "to")
    if way == "points":
        numbers = _spread(first, last, section["points"], logarithmic, _whole(section, dimension))
    elif way == "step":
        step, unit = _end(section, "step")
        if unit != dimension or step <= 0:
            raise RangeError(f"{shown(section['step'])} is no step above zero of the same kind", "step")
        count = int((last - first) / step) + 1
        _bounded(count, "step")
        numbers = [first + step * index for index in range(count)]
    else:
        factor = _plain_number(section, "factor")
        if factor <= 1 or first <= 0:
            raise RangeError("a factor is above 1, and begins above zero", "factor")
        _bounded(int(math.log(last / first) / math.log(factor)) + 1, "factor")
        numbers = [first]
        while numbers[-1] * factor <= last:
            numbers.append(numbers[-1] * factor)
    return [_written(number, dimension, section) for number in numbers]


def _spread(first: Fraction, last: Fraction, points: Any, logarithmic: bool, whole: bool) -> list[Fraction]:
    if isinstance(points, bool) or not isinstance(points, int) or points < 2:
        raise RangeError(f"expected a whole number of at least 2, got {shown(points)}", "points")
    _bounded(points, "points")
    if not logarithmic:
        return [first + (last - first) * Fraction(index, points - 1) for index in range(points)]
    if first <= 0:
        raise RangeError("a logarithmic range begins above zero", "from")
    ratio = math.log(last / first) / (points - 1)
    between = [float(first) * math.exp(ratio * index) for index in range(1, points - 1)]
    rounded = [Fraction(round(value)) if whole else Fraction(f"{value:.{DIGITS}g}") for value in between]
    numbers = [first, *rounded, last]
    if len(set(numbers)) < points:
        raise RangeError("values would be equal after rounding to whole ones; take fewer points", "points")
    return numbers


def _bounded(count: int, key: str) -> None:
    if count > VALUES_MAX:
        raise RangeError(f"{count} values are more than {VALUES_MAX}", key)


def _end(section: Mapping[str, Any], key: str) -> tuple[Fraction, str]:
    """A value of a range in base units, and its dimension; nothing for a plain number."""
    value = section[key]
    amount = quantity_of(value) if isinstance(value, str) else None
    if amount is not None:
        return amount.value, amount.dimension
    return _plain_number(section, key), ""


def _plain_number(section: Mapping[str, Any], key: str) -> Fraction:
    value = section[key]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RangeError(f"expected a number, or text with a unit, got {shown(value)}", key)
    return Fraction(repr(value))


def _whole(section: Mapping[str, Any], dimension: str) -> bool:
    if dimension:
        return dimension == "bytes"
    return isinstance(section["from"], int) and isinstance(section["to"], int)


def _written(number: Fraction, dimension: str, section: Mapping[str, Any]) -> Any:
    for key in ("from", "to"):
        if _end(section, key)[0] == number:
            return section[key]  # as the researcher wrote it
    if dimension:
        return format_quantity(Quantity(number, dimension))
    return int(number) if number.denominator == 1 else float(number)
