"""Lets the tests find the package as if it were installed, in this process and in those it starts."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from bgsim import plugins

PACKAGE = Path(__file__).parent.parent


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The package and its metadata, as an installer would have written it, on the path."""
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    metadata = tmp_path / "site" / f"bgsim_system_calls-{project['version']}.dist-info"
    metadata.mkdir(parents=True)
    said = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (metadata / "METADATA").write_text(said, encoding="utf-8")
    lines = []
    for group, entries in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())]
    (metadata / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
    for directory in (PACKAGE, metadata.parent):
        monkeypatch.syspath_prepend(directory)
    plugins.entries.cache_clear()
    yield metadata
    plugins.entries.cache_clear()
