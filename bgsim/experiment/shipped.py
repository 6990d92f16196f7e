"""Where the experiments and topologies that come with bgsim lie.

In an installed package they lie inside it, under ``shipped/``; in a checkout they are the
top-level directories of the repository.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

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
