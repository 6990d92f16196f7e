"""What changed since a release: reference numbers, one small file for each, beside those of today.

A release's numbers are the simulated values of all validation rows, as its page had them. They are written
from ``docs/validation.md`` when a release is made (``bgsim validate --release``); nothing is computed again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from bgsim.experiment.errors import ExperimentError, Problem
from bgsim.experiment.identity import MODEL_VERSION

SCHEMA = 1
CHANGED_PERCENT = 0.1
"""Values that differ by less are unchanged: the page has four or five digits."""

Rows = Mapping[str, Mapping[str, float]]
"""Simulated value by case, and by series and point."""

_ROW = re.compile(
    r"^\| (?P<series>[^|]*) \| (?P<point>[^|]*) \| [^|]* \| (?P<simulated>-?[0-9][0-9.,]*)( ±[^|]*)? \|"
)


@dataclass(frozen=True)
class Release:
    """The numbers of a release."""

    version: str
    model_version: int
    rows: Rows


@dataclass(frozen=True)
class Change:
    """A row whose value is another one now."""

    case: str
    row: str
    then: float
    now: float

    @property
    def percent(self) -> float:
        """By how much, of what it was."""
        return 100 * (self.now / self.then - 1) if self.then else float("inf")


def rows_of(page: str) -> Rows:
    """The simulated values on a validation page."""
    found: dict[str, dict[str, float]] = {}
    case = ""
    for line in page.splitlines():
        if line.startswith("## "):
            case = line.removeprefix("## ")
        row = _ROW.match(line)
        if row and "-against-" in case:
            name = f"{row['series']}, {row['point']}"
            found.setdefault(case, {})[name] = float(row["simulated"].replace(",", ""))
    return found


def write_release(root: Path) -> Path:
    """Write the numbers of this version, from the validation page of a checkout.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    bgsim.experiment.errors.ExperimentError
        The page, or the directory of the package, is not there.
    """
    from ruamel.yaml import YAML

    from bgsim import __version__

    page, folder = root / "docs" / "validation.md", root / "bgsim" / "validation_data" / "releases"
    missing = [str(path) for path in (page, folder) if not path.exists()]
    if missing:
        said = "is not here; numbers of a release are written in a checkout"
        raise ExperimentError([Problem("--release", path, said) for path in missing])
    value = {
        "schema": SCHEMA,
        "release": __version__,
        "model_version": MODEL_VERSION,
        "rows": rows_of(page.read_text(encoding="utf-8")),
    }
    yaml = YAML()
    yaml.width = 200
    target = folder / f"{__version__}.yaml"
    with target.open("w", encoding="utf-8") as stream:
        stream.write("# Simulated values of all validation cases; written by bgsim validate --release.\n")
        yaml.dump(value, stream)
    return target


def read(text: str) -> Release:
    """A release's numbers from the text of its file.

    Raises
    ------
    ValueError
        The format is of another version.
    """
    from ruamel.yaml import YAML

    value: dict[str, Any] = YAML(typ="safe").load(text)
    if value["schema"] != SCHEMA:
        raise ValueError(f"numbers of a release in format {value['schema']}; this program reads {SCHEMA}")
    return Release(value["release"], value["model_version"], value["rows"])


def latest() -> Release | None:
    """The newest release whose numbers are shipped."""
    found = [
        read(entry.read_text(encoding="utf-8"))
        for entry in (files("bgsim.validation_data") / "releases").iterdir()
        if entry.name.endswith(".yaml")
    ]
    return max(found, key=lambda release: _order(release.version), default=None)


def changes(release: Release, today: Rows) -> list[Change]:
    """Rows of a release whose value differs today, the largest change first; rows without a partner apart."""
    found = [
        Change(case, name, then, today[case][name])
        for case, rows in release.rows.items()
        for name, then in rows.items()
        if name in today.get(case, {})
    ]
    changed = [change for change in found if abs(change.percent) > CHANGED_PERCENT]
    return sorted(changed, key=lambda change: -abs(change.percent))


def names(rows: Rows) -> set[tuple[str, str]]:
    """Case and name of every row."""
    return {(case, name) for case, found in rows.items() for name in found}


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))
