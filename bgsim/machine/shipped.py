"""Where the shipped cost models lie; light, since planning a run asks for their hashes."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path


def shipped_path(platform: str, guest: str) -> Path:
    """Where the cost model of a platform and guest lies, if it is shipped."""
    return Path(__file__).parent / "cost_models" / f"{platform}-{guest}.yaml"


@cache
def shipped_sha256(platform: str, guest: str) -> str | None:
    """SHA-256 of the shipped cost model's file; None if there is none."""
    path = shipped_path(platform, guest)
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
