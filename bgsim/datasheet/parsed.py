"""YAML read once: what a file said is kept as JSON in the user's cache, under the hash of its text.

A datasheet takes a second to read as YAML and a hundredth of that as JSON, and every worker process
reads it. A cache that cannot be used, or is damaged, costs that second and nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from typing import Any

FORM = 1
"""Raised when what is kept changes its form."""


def parsed(text: str) -> Any:
    """The plain data of a YAML text.

    Raises
    ------
    ValueError
        It is not YAML; the text says where.
    """
    from platformdirs import user_cache_path

    digest = hashlib.sha256(f"{FORM}\0{text}".encode()).hexdigest()
    path = user_cache_path("bgsim") / "yaml" / f"{digest[:32]}.json"
    with contextlib.suppress(OSError, ValueError):
        return json.loads(path.read_text(encoding="utf-8"))
    from ruamel.yaml import YAML  # heavy, and seldom needed
    from ruamel.yaml.error import YAMLError

    try:
        value = YAML(typ="safe").load(text)
    except YAMLError as refusal:
        raise ValueError(str(refusal)) from None
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with contextlib.suppress(OSError, TypeError, ValueError):
        kept = json.dumps(value, ensure_ascii=False, allow_nan=False)
        if json.loads(kept) == value:  # not so for dates or keys that are no text
            path.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(kept, encoding="utf-8")
            part.replace(path)
    return value
