"""Datasheet overlays: what is believed of a machine where the datasheet is another opinion, as a file.

``machine: {base: bgp, overlay: calibration.yaml}`` reads one. It holds records like the datasheet's, so a
value brings its unit, its source and its mark, and a calibrated one names the data it was fitted to. Its
values hold for the reference machine too, as those under ``assume`` do, which they come before: what an
experiment assumes itself counts. A run's identity knows the values, not the file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from bgsim.experiment.errors import ExperimentError, Problem, shown
from bgsim.experiment.locate import read_file
from bgsim.spelling import did_you_mean

if TYPE_CHECKING:
    from bgsim.datasheet import Parameter

VERSION: Final = 1
_KEYS: Final = ("overlay", "base", "name", "calibrated_on", "fit", "records")
BARE_UNITS: Final = ("count", "ratio", "cycles", "instructions", "bool", "enum")
"""Units of which an experiment writes the number alone."""


class Overlay(NamedTuple):
    """A file that was read.

    Attributes
    ----------
    name
        What it calls itself.
    base
        The datasheet it belongs to.
    values
        Parameter name to value, as an experiment would write them under ``assume``.
    calibrated_on
        Names of the data behind it.
    sha256
        Of the file, for the record.
    """

    name: str
    base: str
    values: Mapping[str, Any]
    calibrated_on: tuple[str, ...]
    sha256: str

    def provenance(self) -> dict[str, Any]:
        """What a run's configuration says of it."""
        return {"name": self.name, "sha256": self.sha256, "calibrated_on": list(self.calibrated_on)}


def load(path: Path) -> Overlay:
    """Read an overlay.

    Raises
    ------
    ExperimentError
        With everything that is wrong, at its place in the file.
    """
    from bgsim.datasheet import Datasheet, DatasheetError, Parameter, bases

    document = read_file(path)
    content = document.value
    problems: list[Problem] = []

    def problem(where: tuple[str | int, ...], message: str, key: bool = False) -> None:
        place = document.place_of_key(where) if key else document.place_of_value(where)
        problems.append(Problem(str(place), ".".join(str(step) for step in where), message))

    if not isinstance(content, dict) or not isinstance(content.get("records"), list):
        raise ExperimentError([Problem(document.source, "", "an overlay is a mapping with base and records")])
    for key in content:
        if key not in _KEYS:
            problem((key,), f"unknown key{did_you_mean(key, _KEYS)}", key=True)
    if content.get("overlay") != VERSION:
        got = shown(content.get("overlay"))
        problem(("overlay",), f"expected version {VERSION} of this format, got {got}")
    base = content.get("base")
    if base not in bases():
        problem(("base",), f"unknown machine {shown(base)}{did_you_mean(str(base), bases())}")
        raise ExperimentError(problems)
    sheet = Datasheet.load(base)
    values: dict[str, Any] = {}
    for index, record in enumerate(content["records"]):
        where = ("records", index)
        try:
            if not isinstance(record, dict):
                raise DatasheetError({"": "is not a mapping"})
            made = Parameter.from_record(record)
            if made.name not in sheet or sheet[made.name].unit != made.unit:
                known = sheet[made.name].unit  # an unknown name is refused here
                raise DatasheetError({made.name: f"is in {known} in the datasheet, not in {made.unit}"})
            sheet.with_values({made.name: written(made)})
        except DatasheetError as error:
            for name, sentence in error.problems.items():
                problem(where, f"{name}: {sentence}" if name else sentence)
            continue
        if made.name in values:
            problem(where, f"{made.name}: stands twice")
        values[made.name] = written(made)
    if problems:
        raise ExperimentError(problems)
    named = content.get("calibrated_on", [])
    text = path.read_bytes()
    return Overlay(
        str(content.get("name", path.stem)),
        base,
        values,
        tuple(str(each) for each in named) if isinstance(named, list) else (str(named),),
        hashlib.sha256(text).hexdigest(),
    )


def written(parameter: Parameter) -> Any:
    """The value of a record as an experiment would set it."""
    return parameter.value if parameter.unit in BARE_UNITS else parameter.show(parameter.value)


def find(name: str, beside: Path | None) -> Path:
    """The file that an experiment names: relative to the experiment, else to the working directory."""
    near = (beside or Path()) / name
    return near if near.is_file() else Path(name)


def text(base: str, name: str, data: Sequence[str], records: Sequence[Mapping[str, Any]], fit: str) -> str:
    """The content of an overlay file.

    Parameters
    ----------
    base
        The datasheet it belongs to.
    name
        What it calls itself.
    data
        Names of the data behind it.
    records
        Like the datasheet's.
    fit
        One line on how good it is.
    """
    import io

    from ruamel.yaml import YAML

    writer = YAML(typ="rt")
    writer.width = 110
    stream = io.StringIO()
    content: dict[str, Any] = {"overlay": VERSION, "base": base, "name": name, "fit": fit}
    content |= {"calibrated_on": list(data), "records": [dict(record) for record in records]}
    writer.dump(content, stream)
    return (
        "# Written by bgsim calibrate. Use it as  machine: {base: " + base + ", overlay: THIS FILE}.\n"
        "# What it was calibrated on cannot validate a model that uses it.\n" + stream.getvalue()
    )
