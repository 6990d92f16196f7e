"""What was read once is kept as JSON in the user's cache, under the hash of the text it was read from.

YAML takes a hundred times longer to read than JSON: a second for the datasheet, which every worker
process reads. A cache that cannot be used, or is damaged, costs that time and nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from typing import Any

from bgsim.whole import whole

FORM = 2
"""Raised when the form of anything kept changes."""


def kept(kind: str, text: str, make: Callable[[], Any]) -> Any:
    """Plain data made from a text, made once and then taken from the cache.

    Parameters
    ----------
    kind
        What is made of the text; another kind is another entry.
    text
        What it is made from.
    make
        Makes it; what JSON cannot hold exactly is returned and not kept. Its errors pass through.
    """
    from platformdirs import user_cache_path

    digest = hashlib.sha256(f"{FORM}\0{kind}\0{text}".encode()).hexdigest()
    path = user_cache_path("bgsim") / "yaml" / f"{digest[:32]}.json"
    with contextlib.suppress(OSError, ValueError):
        return json.loads(path.read_text(encoding="utf-8"))
    value = make()
    with contextlib.suppress(OSError, TypeError, ValueError):
        written = json.dumps(value, ensure_ascii=False, allow_nan=False)
        if json.loads(written) == value:  # not so for dates, or for keys that are no text
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole(path) as part:
                part.write_text(written, encoding="utf-8")
    return value


def plain_yaml(text: str) -> Any:
    """The plain data of a YAML text, kept.

    Raises
    ------
    ValueError
        It is not YAML; the text says where.
    """
    return kept("plain", text, lambda: _yaml(text))


def _yaml(text: str) -> Any:
    from ruamel.yaml import YAML  # heavy, and seldom needed
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe").load(text)
    except YAMLError as refusal:
        raise ValueError(str(refusal)) from None
