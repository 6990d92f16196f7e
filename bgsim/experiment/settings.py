"""Where an experiment and its overrides come from: files, shipped names, mappings, ``--set`` texts."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from bgsim.experiment import shipped
from bgsim.experiment.errors import ExperimentError, Problem, quoted
from bgsim.experiment.locate import Document, Place, from_mapping, read_file, read_text
from bgsim.spelling import did_you_mean

Source = str | Path | Mapping[str, Any]
"""A YAML file, the name of a shipped experiment, or the experiment itself."""

Overrides = Sequence[str] | Mapping[str, Any]
"""``path=value`` texts, or dotted paths to values."""


class Setting(NamedTuple):
    """A value to be written at a dotted path, and who asked for it."""

    path: str
    value: Any
    place: Place


def find(source: str | Path) -> Path:
    """The file of an experiment given by path or by the name of a shipped one.

    Raises
    ------
    ExperimentError
        There is none.
    """
    path, name = Path(source), str(source)
    try:
        if path.is_file():
            return path
        is_directory = path.is_dir()
    except (OSError, ValueError):  # names the file system cannot even look up
        raise ExperimentError([Problem(name, "", "not a file name")]) from None
    if path.suffix in (".yaml", ".yml") or len(path.parts) != 1 or is_directory:
        near = did_you_mean(path.name, _yaml_beside(path))
        why = "is a directory, not an experiment file" if is_directory else f"no such file{near}"
        raise ExperimentError([Problem(name, "", why)])
    found = shipped.find("experiments", name)
    if found is None:
        known = shipped.names("experiments")
        near = did_you_mean(name, known) or f" (shipped: {quoted(known)})"
        raise ExperimentError(
            [Problem(name, "", f"no such file, and no shipped experiment of this name{near}")]
        )
    return found


def read(source: Source) -> tuple[Document, Path | None]:
    """The document of an experiment, and the directory its relative paths start from.

    Raises
    ------
    ExperimentError
        It cannot be found or is not plain YAML.
    """
    if isinstance(source, Mapping):
        return from_mapping(source), None
    path = find(source)
    state = path.stat()
    document = _read_once(path, state.st_mtime_ns, state.st_size)
    return copy.deepcopy(document), path.resolve().parent


@lru_cache(maxsize=8)
def _read_once(path: Path, changed_ns: int, size: int) -> Document:
    """The document of a file, read again only when the file has changed."""
    return read_file(path)


def settings(overrides: Overrides) -> list[Setting]:
    """Overrides with their values read as YAML.

    Raises
    ------
    ExperimentError
        With every override that is not ``path=value``.
    """
    if isinstance(overrides, Mapping):
        plain = from_mapping(overrides, "set").value
        return [Setting(path, value, Place(f"set {path}")) for path, value in plain.items()]
    found, problems = [], []
    for text in overrides:
        path, equals, value = text.partition("=")
        option = f"--set {text}"
        if not equals or not path.strip():
            problems.append(
                Problem(option, "", "write --set path=value, such as --set workload.program=gcc12")
            )
            continue
        try:
            found.append(Setting(path.strip(), read_text(value, option).value, Place(option)))
        except ExperimentError as error:
            problems += [Problem(option, "", problem.message) for problem in error.problems]
    if problems:
        raise ExperimentError(problems)
    return found


def _yaml_beside(path: Path) -> list[str]:
    try:
        beside = [entry for entry in path.parent.iterdir() if entry.suffix in (".yaml", ".yml")]
        return [entry.name for entry in beside if entry.is_file()]
    except OSError:
        return []
