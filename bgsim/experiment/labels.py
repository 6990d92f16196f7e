"""Swept values in a few words, for progress lines, tables and figures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

NAMING_KEYS = ("operation", "program", "test", "pattern", "scaling")
"""Keys that say, beside its kind, which workload a section is."""


def brief(value: Any) -> str:
    """A swept value as text: a workload section by its kind and operation, other sections as JSON.

    Examples
    --------
    >>> brief({"kind": "collectives", "operation": "barrier", "iterations": 100})
    'collectives barrier'
    >>> brief("8 B"), brief([3, 3, 1])
    ('8 B', '[3, 3, 1]')
    """
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping) and "kind" in value:
        return " ".join(str(value[key]) for key in ("kind", *NAMING_KEYS) if key in value)
    if isinstance(value, Mapping | Sequence):
        return json.dumps(value, sort_keys=True)
    return str(value)
