"""Where the experiments and topologies that come with bgsim lie.

In an installed package they lie inside it, under ``shipped/``; in a checkout they are the
top-level directories of the repository.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

Kind = Literal["experiments", "topologies", "schema"]

PACKAGE = Path(__file__).resolve().parent.parent


def directory(kind: Kind) -> Path:
    """The directory of the shipped files of one kind."""
    installed = PACKAGE / "shipped" / kind
    return installed if installed.is_dir() else PACKAGE.parent / kind


def names(kind: Kind) -> list[str]:
    """Names of the shipped experiments or topologies, sorted."""
    return sorted(path.stem for path in directory(kind).glob("*.yaml"))


def find(kind: Kind, name: str) -> Path | None:
    """The shipped file of that name, or None."""
    return directory(kind) / f"{name}.yaml" if name in names(kind) else None


class Listed(NamedTuple):
    """A shipped experiment, to choose by.

    Attributes
    ----------
    name
        What ``bgsim run`` takes.
    description
        As it says itself.
    time
        About how long it takes one processor, in words; see ``costs.yaml``.
    """

    name: str
    description: str
    time: str


def experiments() -> list[Listed]:
    """The shipped experiments by name."""
    from importlib.resources import files

    from bgsim.experiment.locate import read_file, read_text

    source = files("bgsim.experiment") / "costs.yaml"
    costs = read_text(source.read_text(encoding="utf-8"), "costs.yaml").value
    found = []
    for name in names("experiments"):
        description = read_file(directory("experiments") / f"{name}.yaml").value.get("description", "")
        found.append(Listed(name, description, costs.get(name, "unknown")))
    return found
