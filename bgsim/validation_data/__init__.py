"""Measurements and reference answers that simulations are compared with; see ``measured/README.md``."""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files
from typing import Literal


@cache
def table(name: str) -> tuple[dict[str, str], ...]:
    """The rows of a measured table, as text by column.

    Parameters
    ----------
    name
        File name without ``.csv``.
    """
    text = (files("bgsim.validation_data") / "measured" / f"{name}.csv").read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines()))


def two_node(
    operation: Literal["put", "get"],
    completion: Literal["local", "remote"],
    measure: Literal["latency", "bandwidth"],
    size_bytes: int,
) -> float | None:
    """What was measured between two neighbours, if it was.

    Parameters
    ----------
    operation, completion, measure
        As in the dcmf workload; a get has no completion to choose.
    size_bytes
        Bytes per operation.

    Returns
    -------
    float or None
        Microseconds per operation (DCMF), or MiB/s (A1); None where the tables have no value.
    """
    if measure == "latency":
        column = "dcmf_get_us" if operation == "get" else f"dcmf_put_{completion}_us"
    elif operation == "put" and completion == "remote":
        return None
    else:
        column = f"a1_{operation}_MiBps"
    for row in table(f"two_node_{measure}"):
        if int(row["bytes"]) == size_bytes:
            return float(row[column]) if row[column] else None
    return None
