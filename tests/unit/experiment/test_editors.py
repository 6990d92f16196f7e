"""Every shipped file that people edit names its schema in its first line, and fits it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from bgsim.cli import listing

ROOT = Path(__file__).parents[3]
FILES = sorted(
    path for folder in ("experiments", "topologies", "examples") for path in (ROOT / folder).rglob("*.yaml")
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_names_its_schema(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    named = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)
    assert named, first
    kind = "topology" if path.parent.name == "topologies" else "experiment"
    target = (path.parent / named[1]).resolve()
    assert target == ROOT / "schema" / f"{kind}.schema.json"
    properties: dict[str, Any] = json.loads(target.read_text(encoding="utf-8"))["properties"]
    assert set(YAML(typ="safe").load(path)) <= set(properties)


def test_the_shipped_schema_of_topologies_has_not_drifted() -> None:
    assert listing.schema_drift("topology") == ""
