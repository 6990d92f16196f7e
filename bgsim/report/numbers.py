"""Numbers as a reader wants them: significant digits, common prefixes, columns that add up."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

_SCALES: dict[str, tuple[tuple[float, str], ...]] = {
    "s": ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")),
    "bps": ((1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s"), (1.0, "bit/s")),
}

_SYMBOLS = {"us": "µs", "MiBps": "MiB/s", "count": "", "ratio": ""}


def significant(value: float, digits: int = 3) -> str:
    """A number with that many significant digits, thousands separated, never in E notation.

    Whole digits are always shown: 53,211,904 stays so with three significant digits.
    """
    if value == 0:
        return "0"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    rounded = round(value, places)
    if rounded != 0:  # 9.996 rounds to 10.0, which has one digit more before the point
        places = max(0, digits - 1 - math.floor(math.log10(abs(rounded))))
    return f"{rounded:,.{places}f}"


def quantity(value: float) -> str:
    """A count in full, any other number with four significant digits."""
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return significant(value, 4)


def symbol(unit: str) -> str:
    """The printed symbol of a metric's unit."""
    return _SYMBOLS.get(unit, unit)


def common_scale(values: Iterable[float], unit: str) -> tuple[float, str]:
    """Divisor and symbol of the one unit in which all these values read well together.

    The smallest magnitude decides, so that a column never shows 0.003 beside 126; where the
    values lie more than five decades apart the largest decides.
    """
    magnitudes = [abs(value) for value in values if value]
    scales = _SCALES.get(unit)
    if scales is None:
        return 1.0, symbol(unit)
    if not magnitudes:
        return next((factor, name) for factor, name in scales if factor == 1.0)
    low, high = min(magnitudes), max(magnitudes)
    reference = low if high < 1e5 * low else high
    return next(((f, name) for f, name in scales if reference >= f), scales[-1])


def apportion(parts: Sequence[int], units: int) -> list[int]:
    """Divide ``units`` in proportion to ``parts`` so that the whole numbers add up to ``units``.

    Largest remainder first, so a printed column of shares sums to its printed total.
    """
    total = sum(parts)
    if total == 0:
        return [0 for _ in parts]
    floors = [part * units // total for part in parts]
    remainders = [part * units % total for part in parts]
    order = sorted(range(len(parts)), key=lambda i: (-remainders[i], i))
    for index in order[: units - sum(floors)]:
        floors[index] += 1
    return floors


def fixed(units: int, places: int) -> str:
    """``units`` hundredths, thousandths, ... as a decimal number with that many places."""
    if places == 0:
        return f"{units:,}"
    whole, part = divmod(units, 10**places)
    return f"{whole:,}.{part:0{places}d}"
