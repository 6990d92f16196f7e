"""The datasheet of a machine: every parameter by name, and the same machine with some of them changed.

A base machine is a folder of YAML files, each a list of records
(:class:`bgsim.datasheet.parameter.Parameter`); all files of the folder together are the datasheet. A variant
("what if it had 256 TLB entries") is the same sheet with values set; the original is never modified.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from bgsim.datasheet.parameter import DatasheetError, Parameter, UnknownParameterError
from bgsim.kept import plain_yaml
from bgsim.spelling import did_you_mean
from bgsim.units import Quantity, UnitError, to_cycles

__all__ = ["Datasheet", "bases"]


def bases() -> tuple[str, ...]:
    """Names of the machines that have a datasheet."""
    data = Path(__file__).parent / "data"
    return tuple(sorted(entry.name for entry in data.iterdir() if entry.is_dir()))


class Datasheet(Mapping[str, Parameter]):
    """Every parameter of one machine, by name; immutable.

    The getters return values in base units, whatever unit a record is written in: s, B, B/s, Hz, and plain
    numbers of cycles, instructions and things.

    Parameters
    ----------
    parameters
        The parameters by name.
    overridden
        Names of those that were set by the user.
    """

    def __init__(self, parameters: Mapping[str, Parameter], overridden: tuple[str, ...] = ()) -> None:
        self._parameters = dict(parameters)
        self._overridden = overridden
        self._read: set[str] = set()

    @classmethod
    def load(cls, base: str = "bgp") -> Datasheet:
        """The datasheet of a machine that bgsim ships.

        Parameters
        ----------
        base
            Name of the machine, one of :func:`bases`.

        Raises
        ------
        DatasheetError
            If there is no such machine, or one of its records is wrong.
        """
        if base not in bases():
            suggestion = did_you_mean(base, bases()) or f"; bgsim ships {', '.join(bases())}"
            raise DatasheetError({base: f"unknown machine{suggestion}"})
        return cls(_records(base))

    def __getitem__(self, name: str) -> Parameter:
        """The parameter of this name, or an `UnknownParameterError` with the nearest spelling."""
        if name not in self._parameters:
            raise UnknownParameterError({name: self._unknown(name)})
        self._read.add(name)
        return self._parameters[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameters)

    def __len__(self) -> int:
        return len(self._parameters)

    def __repr__(self) -> str:
        changed = ", ".join(f"{name}={self._parameters[name].text}" for name in self._overridden)
        return f"<Datasheet of {len(self)} parameters{': ' if changed else ''}{changed}>"

    def with_values(self, values: Mapping[str, object]) -> Datasheet:
        """The same machine with some values set.

        Parameters
        ----------
        values
            By parameter name: text with a unit (``'100 ns'``), or a plain number for counts, ratios, cycles
            and instructions.

        Returns
        -------
        Datasheet
            A new sheet; this one is unchanged.

        Raises
        ------
        DatasheetError
            With every problem at once: unknown names (with the nearest spelling), wrong units, types or
            choices.
        """
        parameters = dict(self._parameters)
        problems: dict[str, str] = {}
        for name, value in values.items():
            if name not in parameters:
                problems[name] = self._unknown(name)
                continue
            try:
                parameters[name] = parameters[name].with_value(value)
            except DatasheetError as refusal:
                problems |= refusal.problems
        if problems:
            raise DatasheetError(problems)
        return Datasheet(parameters, tuple(sorted({*self._overridden, *values})))

    @property
    def overridden(self) -> tuple[str, ...]:
        """Names of the parameters set by the user, sorted."""
        return self._overridden

    @property
    def read(self) -> frozenset[str]:
        """Names of the parameters something has read from this sheet so far."""
        return frozenset(self._read)

    def count_as_read(self, names: Iterable[str]) -> None:
        """Remember parameters as read without reading them: an answer that is kept depends on them.

        Parameters
        ----------
        names
            Parameter names; those that this sheet lacks are passed over.
        """
        self._read.update(name for name in names if name in self._parameters)

    @property
    def overridden_unread(self) -> tuple[str, ...]:
        """Names set by the user that nothing has read so far: without effect, if the run is over."""
        return tuple(name for name in self._overridden if name not in self._read)

    def quantity(self, name: str) -> Quantity:
        """The exact value of a numeric parameter.

        Parameters
        ----------
        name
            Parameter name.

        Raises
        ------
        DatasheetError
            If the parameter is unknown or not numeric.
        """
        parameter = self[name]
        if parameter.quantity is None:
            raise DatasheetError({name: f"is of unit {parameter.unit}, not a number"})
        return parameter.quantity

    def number(self, name: str) -> int | float:
        """The value in base units (s, B, B/s, Hz, cycles, ...): an `int` when whole, else a `float`.

        Parameters
        ----------
        name
            Parameter name.

        Raises
        ------
        DatasheetError
            If the parameter is unknown or not numeric.
        """
        return self.quantity(name).number

    def integer(self, name: str) -> int:
        """The value in base units (s, B, B/s, Hz, cycles, ...), which must be whole.

        Parameters
        ----------
        name
            Parameter name.

        Raises
        ------
        DatasheetError
            If the parameter is unknown, not numeric, or not whole.
        """
        value = self.number(name)
        if isinstance(value, float):
            raise DatasheetError({name: f"{self[name].text} is not a whole number of base units"})
        return value

    def cycles(self, name: str) -> int:
        """A time or a number of cycles as whole cycles of the core clock, ``core.frequency``.

        Parameters
        ----------
        name
            Parameter name.

        Returns
        -------
        int
            Cycles; rounded only if the record says how.

        Raises
        ------
        DatasheetError
            If the parameter is unknown, is neither a time nor cycles, or is not whole and its record names no
            rounding.
        """
        amount = self.quantity(name)
        frequency_hz = self.integer("core.frequency")
        try:
            return to_cycles(amount, frequency_hz, self[name].round)
        except UnitError as refusal:
            raise DatasheetError({name: str(refusal)}) from refusal

    def text(self, name: str) -> str:
        """The value of a parameter of unit ``enum``.

        Parameters
        ----------
        name
            Parameter name.

        Raises
        ------
        DatasheetError
            If the parameter is unknown or not an enum.
        """
        value = self._of_unit(name, "enum")
        assert isinstance(value, str)
        return value

    def flag(self, name: str) -> bool:
        """The value of a parameter of unit ``bool``.

        Parameters
        ----------
        name
            Parameter name.

        Raises
        ------
        DatasheetError
            If the parameter is unknown or not a bool.
        """
        value = self._of_unit(name, "bool")
        assert isinstance(value, bool)
        return value

    def sizes(self, name: str) -> tuple[int, ...]:
        """The values of a parameter of unit ``sizes``, in B, ascending.

        Parameters
        ----------
        name
            Parameter name.

        Raises
        ------
        DatasheetError
            If the parameter is unknown or not of unit sizes.
        """
        self._of_unit(name, "sizes")
        return self[name].sizes_bytes

    def digest(self) -> str:
        """SHA-256, in hexadecimal, of every name and value: equal if the machines are equal."""
        lines = []
        for name in sorted(self._parameters):
            parameter = self._parameters[name]
            amount = parameter.quantity
            exact = f"{amount.value} {amount.dimension}" if amount is not None else parameter.text
            lines.append(f"{name}={exact};round={parameter.round}\n")
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def _of_unit(self, name: str, unit: str) -> object:
        parameter = self[name]
        if parameter.unit != unit:
            raise DatasheetError({name: f"is of unit {parameter.unit}, not {unit}"})
        return parameter.value

    def _unknown(self, name: str) -> str:
        meant = [known for known in self._parameters if known.endswith(f".{name}")][:1]
        return f"unknown parameter{did_you_mean(meant[0] if meant else name, self._parameters)}"


@cache
def _records(base: str) -> dict[str, Parameter]:
    parameters: dict[str, Parameter] = {}
    found_in: dict[str, str] = {}
    problems: dict[str, str] = {}
    folder = Path(__file__).parent / "data" / base
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        text = file.read_text(encoding="utf-8")
        records: Any
        try:
            if file.name.endswith(".json"):  # long tables: JSON is YAML that reads a hundred times faster
                records = json.loads(text)
            elif file.name.endswith(".yaml"):
                records = plain_yaml(text)
            else:
                continue
        except ValueError as refusal:
            problems[file.name] = f"cannot be read: {refusal}"
            continue
        if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
            problems[file.name] = "is not a list of records"
            continue
        for record in records:
            try:
                parameter = Parameter.from_record(record)
            except DatasheetError as refusal:
                problems |= {f"{file.name}: {name}": sentence for name, sentence in refusal.problems.items()}
                continue
            if parameter.name in parameters:
                problems[f"{file.name}: {parameter.name}"] = f"already stands in {found_in[parameter.name]}"
            parameters[parameter.name] = parameter
            found_in[parameter.name] = file.name
    if problems:
        raise DatasheetError(problems)
    return parameters
