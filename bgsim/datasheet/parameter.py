"""One parameter of the datasheet: a value that never parts from its unit, its source and its mark.

A record is a YAML mapping with the keys of :class:`Parameter`. Everything that can be wrong with it (a
missing source, a unit nobody knows, a value outside its own range, a calibrated value that does not say on
what) is refused when it is read.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args

from bgsim.spelling import did_you_mean
from bgsim.units import Quantity, Rounding, UnitError, dimension_of, parse

__all__ = ["CONFIDENCE", "DatasheetError", "Parameter", "UnknownParameterError", "Value"]

Value = int | float | str | bool

CONFIDENCE: Final[dict[str, str]] = {
    "R": "read directly in the named source (source code, result file, header, manual page)",
    "S": "sourced: stated by a manual or the compiler's machine description",
    "E": "read in an excerpt of the source (abstract, page opening, one manual page)",
    "D": "derived by arithmetic or by a stated model from values marked R, S, E or M",
    "M": "measured by executing the real code",
    "C": "calibrated on measurements, which therefore cannot validate it",
    "Mh": "recalled from the literature, high trust, not verified",
    "Mm": "recalled from the literature, medium trust, not verified",
    "Ml": "recalled from the literature, low trust, not verified",
    "G": "guessed",
    "U": "set by the user of this run; never in the datasheet itself",
}
"""What each confidence mark means."""

_WORDS: Final = ("enum", "bool", "sizes")
_BARE_NUMBER_ALLOWED: Final = ("count", "ratio", "cycles", "instructions")
_REQUIRED: Final = ("name", "value", "unit", "source", "confidence")
_OPTIONAL: Final = ("note", "low", "high", "minimum", "choices", "round", "calibrated_on")
_NAME: Final = re.compile(r"[a-z][a-z0-9_]*(?:\.[A-Za-z0-9_]+)+")


class DatasheetError(ValueError):
    """The datasheet, or a change to it, makes no sense.

    Attributes
    ----------
    problems
        One sentence per parameter that is wrong, by parameter name. The message is all of them, one per line.
    """

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__("\n".join(f"{name}: {sentence}" for name, sentence in problems.items()))
        self.problems = dict(problems)

    def __reduce__(self) -> tuple[type[DatasheetError], tuple[dict[str, str]]]:
        """Rebuild from the problems, so that the error survives the way back from a worker process."""
        return type(self), (self.problems,)


class UnknownParameterError(DatasheetError, KeyError):
    """No parameter has this name."""

    __str__ = ValueError.__str__  # KeyError would show the sentence in quotes


@dataclass(frozen=True, slots=True)
class Parameter:
    """One value of the machine, with what is needed to judge it.

    Parameters
    ----------
    name
        Dotted name, most significant word first: ``torus.hop_latency``.
    value
        The value: a number in `unit`, the text of an ``enum`` or of ``sizes``, or a `bool`.
    unit
        A unit of :mod:`bgsim.units`, or ``enum``, ``bool``, or ``sizes`` (several sizes in bytes, separated
        by commas).
    source
        Where the value stands, or how it was obtained.
    confidence
        A key of :data:`CONFIDENCE`.
    note
        What a reader should know besides.
    low, high
        Range in which the real value is believed to lie, in `unit`; None when the value is not in doubt. It
        bounds sensitivity studies, not what an experiment may set.
    minimum
        Smallest value that makes sense at all, in `unit`; an experiment may not go below.
    choices
        The only values allowed.
    round
        How :meth:`bgsim.datasheet.Datasheet.cycles` rounds a time that is not a whole number of cycles; None
        refuses it.
    calibrated_on
        The data a calibrated value was fitted to.
    whole
        Whether only whole numbers make sense: a count of things, written ``64``, not a mean count, written
        ``9.8`` or ``21.0``.
    quantity
        The exact value; None for ``enum``, ``bool`` and ``sizes``.
    """

    name: str
    value: Value
    unit: str
    source: str
    confidence: str
    note: str = ""
    low: int | float | None = None
    high: int | float | None = None
    minimum: int | float | None = None
    choices: tuple[Value, ...] = ()
    round: Rounding | None = None
    calibrated_on: str = ""
    whole: bool = False
    quantity: Quantity | None = dataclasses.field(default=None, repr=False)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Parameter:
        """Read one record of a datasheet file.

        Parameters
        ----------
        record
            Mapping with the keys ``name``, ``value``, ``unit``, ``source``, ``confidence`` and optionally
            ``note``, ``low``, ``high``, ``minimum``, ``choices``, ``round``, ``calibrated_on``. Numbers are
            in the record's unit, texts carry their own.

        Raises
        ------
        DatasheetError
            If the record is incomplete or contradicts itself.
        """
        name = str(record.get("name", "(record without a name)"))
        try:
            return cls._checked(record)
        except ValueError as refusal:
            raise DatasheetError({name: str(refusal)}) from refusal

    @classmethod
    def _checked(cls, record: Mapping[str, Any]) -> Parameter:
        for key in record:
            if key not in _REQUIRED + _OPTIONAL:
                raise ValueError(f"unknown key {key!r}{did_you_mean(str(key), _REQUIRED + _OPTIONAL)}")
        for key in _REQUIRED:
            if record.get(key) in (None, ""):
                raise ValueError(f"has no {key}")
        for key in ("name", "unit", "source", "confidence", "note", "calibrated_on"):
            if not isinstance(record.get(key, ""), str):
                raise ValueError(f"{key} is not text")
        name, unit, confidence = record["name"], record["unit"], record["confidence"]
        if _NAME.fullmatch(name) is None:
            raise ValueError("is not a dotted name such as 'torus.hop_latency'")
        if unit not in _WORDS:
            dimension_of(unit)
        if confidence not in CONFIDENCE or confidence == "U":
            raise ValueError(f"unknown confidence mark {confidence!r}; the marks are {', '.join(CONFIDENCE)}")
        if (confidence == "C") != bool(record.get("calibrated_on")):
            raise ValueError(
                "a calibrated value (C) names the data it was calibrated on, and no other value does"
            )
        rounding = record.get("round")
        if rounding is not None and rounding not in get_args(Rounding):
            raise ValueError(f"unknown rounding {rounding!r}; write 'nearest', 'up' or 'down'")
        if unit == "enum" and not record.get("choices"):
            raise ValueError("an enum names its choices")
        empty = cls(name, "", unit, record["source"], confidence, record.get("note", ""), round=rounding)
        parameter = dataclasses.replace(
            empty,
            low=empty._bound(record.get("low")),
            high=empty._bound(record.get("high")),
            minimum=empty._bound(record.get("minimum")),
            calibrated_on=record.get("calibrated_on", ""),
            whole=unit == "count" and isinstance(record["value"], int),
            choices=tuple(empty._read(choice)[0] for choice in record.get("choices", ())),
        )
        parameter = parameter._set(record["value"])
        number = parameter.value
        if isinstance(number, int | float):
            low = number if parameter.low is None else parameter.low
            high = number if parameter.high is None else parameter.high
            if not low <= number <= high:
                raise ValueError(f"value {number} is not within its own range {low} to {high}")
        return parameter

    def with_value(self, value: object) -> Parameter:
        """The same parameter with a value set by an experiment.

        Parameters
        ----------
        value
            Text with a unit (``'100 ns'``); a plain number for counts, ratios, cycles and instructions; a
            `bool` or one of the choices where the parameter is that.

        Returns
        -------
        Parameter
            Its `source` names the datasheet's value and its `confidence` is ``U``.

        Raises
        ------
        DatasheetError
            If the value has the wrong unit or type, is not one of the choices, or is below the minimum.
        """
        try:
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if (
                is_number
                and self.quantity is not None
                and self.quantity.dimension not in _BARE_NUMBER_ALLOWED
            ):
                parse(str(value), self.quantity.dimension)  # refuses the bare number, in the words of units
            changed = self._set(value)
        except ValueError as refusal:
            raise DatasheetError({self.name: str(refusal)}) from refusal
        told = self.source if self.confidence == "U" else f"set by the user; the datasheet says {self.text}"
        return dataclasses.replace(changed, source=told, confidence="U", calibrated_on="")

    @property
    def text(self) -> str:
        """The value as a person writes it, with its unit."""
        return self.show(self.value)

    def show(self, value: Value) -> str:
        """A value of this parameter, given in its unit, as a person writes it."""
        if isinstance(value, bool):
            return "true" if value else "false"
        if self.unit in ("enum", "sizes", "count", "ratio"):
            return str(value)
        return f"{value} {self.unit}"

    @property
    def sizes_bytes(self) -> tuple[int, ...]:
        """The values of a ``sizes`` parameter, in B, ascending; empty for any other unit."""
        return _sizes(str(self.value)) if self.unit == "sizes" else ()

    def _set(self, value: object) -> Parameter:
        known, amount = self._read(value)
        if self.choices and known not in self.choices:
            shown = [str(choice) for choice in self.choices]
            nearest = did_you_mean(value, shown) if isinstance(value, str) else ""
            raise ValueError(f"{value!r} is not one of {', '.join(shown)}{nearest}")
        if self.minimum is not None and isinstance(known, int | float) and known < self.minimum:
            raise ValueError(
                f"{self.show(known)} is below {self.show(self.minimum)}, the least that makes sense"
            )
        return dataclasses.replace(self, value=known, quantity=amount)

    def _read(self, value: object) -> tuple[Value, Quantity | None]:
        """Read a value in the record's unit (numbers) or in its own (texts)."""
        if self.unit == "bool":
            if not isinstance(value, bool):
                raise UnitError(f"{value!r} is neither true nor false")
            return value, None
        if self.unit in ("enum", "sizes"):
            if not isinstance(value, str):
                raise UnitError(f"{value!r} is not text")
            if self.unit == "sizes":
                _sizes(value)
            return value, None
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise UnitError(f"{value!r} is neither a number nor text with a unit, such as '3 {self.unit}'")
        written = value if isinstance(value, str) else f"{value!r} {self.unit}"
        dimension = dimension_of(self.unit)
        if dimension == "count" and not self.whole:
            amount = Quantity(parse(written.removesuffix(" count"), "ratio").value, "count")
        else:
            amount = parse(written, dimension)
        number = amount.in_unit(self.unit)
        return int(number) if number.denominator == 1 else float(number), amount

    def _bound(self, value: object) -> int | float | None:
        if value is None:
            return None
        number, _ = self._read(value)
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise UnitError(f"{value!r} cannot bound a value of unit {self.unit}")
        return number


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(sorted(int(parse(size, "bytes").value) for size in text.split(",")))
