"""Swept values in a few words, for progress lines, tables and figures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

NAMING_KEYS = ("operation", "program", "test", "pattern", "scaling")
"""Keys that say, beside its kind, which workload a section is."""


def told_apart(values: Sequence[Any]) -> list[str]:
    """Swept values in a few words each; sections that would read the same also say what they differ in.

    Examples
    --------
    >>> told_apart([{"kind": "io", "tier": "machine"}, {"kind": "io", "tier": "detailed"}, {"kind": "noise"}])
    ['io tier=machine', 'io tier=detailed', 'noise']
    """
    texts = [brief(value) for value in values]
    told = list(texts)
    for text in set(texts):
        alike = [place for place, other in enumerate(texts) if other == text]
        sections = [values[place] for place in alike]
        if not all(isinstance(section, Mapping) and "kind" in section for section in sections):
            continue
        keys = list(dict.fromkeys(key for section in sections for key in section))
        differ = [key for key in keys if any(s.get(key) != sections[0].get(key) for s in sections)]
        for place in alike:
            more = [f"{key}={brief(values[place][key])}" for key in differ if key in values[place]]
            told[place] = " ".join([text, *more])
    return told


def brief(value: Any) -> str:
    """A swept value as text: a workload by its kind and operation, a partition by its name, others as JSON.

    Examples
    --------
    >>> brief({"kind": "collectives", "operation": "barrier", "iterations": 100})
    'collectives barrier'
    >>> brief("8 B"), brief([3, 3, 1]), brief({"topology": "rack"})
    ('8 B', '[3, 3, 1]', 'rack')
    """
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping) and "kind" in value:
        return " ".join(str(value[key]) for key in ("kind", *NAMING_KEYS) if key in value)
    if isinstance(value, Mapping) and list(value) == ["topology"]:
        return str(value["topology"])
    if isinstance(value, Mapping | Sequence):
        return json.dumps(value, sort_keys=True)
    return str(value)


def spelled(value: Any) -> str:
    """A swept value as a figure writes it: extents, noise and other sections in words instead of JSON.

    Examples
    --------
    >>> spelled([16, 16, 32]), spelled("8 us")
    ('16×16×32', '8 µs')
    >>> spelled({"period": "1 ms", "durations": ["10 us", "100 us"], "jitter": 0.5})
    '10 µs or 100 µs every 1 ms, jitter 0.5'
    """
    if isinstance(value, str):
        return value.replace(" us", " µs")
    if isinstance(value, Mapping) and value.keys() >= {"period", "durations"}:
        times = " or ".join(map(spelled, value["durations"]))
        rest = [f"{key} {spelled(more)}" for key, more in value.items() if key not in ("period", "durations")]
        return ", ".join([f"{times} every {spelled(value['period'])}", *rest])
    if isinstance(value, Mapping):
        short = brief(value)
        return ", ".join(f"{k} {spelled(v)}" for k, v in value.items()) if short.startswith("{") else short
    if isinstance(value, Sequence):
        numbers = value and all(isinstance(each, int) for each in value)
        return ("×" if numbers else " + ").join(map(spelled, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
