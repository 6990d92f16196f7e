"""Measurements and reference answers that simulations are compared with; see ``measured/README.md``."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Literal

TWO_NODE_COLUMNS = {
    ("get", "local", "latency"): "dcmf_get_us",
    ("put", "local", "latency"): "dcmf_put_local_us",
    ("put", "remote", "latency"): "dcmf_put_remote_us",
    ("get", "local", "bandwidth"): "a1_get_MiBps",
    ("put", "local", "bandwidth"): "a1_put_MiBps",
}
"""Column of the two-node tables by operation, completion and measure of the dcmf workload."""

COMPILE_ELAPSED_S: Mapping[str, float] = {"bare-metal": 3.0, "virtual-machine": 126.0}
"""The paper's compile job, in seconds by platform: Stoess et al., "A light-weight virtual machine monitor for
Blue Gene/P", ROSS 2011, known here through the summary by C. M. Flores González."""

STARTUP_PYTHON_S: Mapping[int, float] = {
    1: 5, 128: 50, 512: 55, 1024: 100, 2048: 376, 4096: 321, 8192: 803, 16384: 1817,
}  # fmt: skip
"""Seconds until a Python program that says hello over MPI had started, by cores: J. Meinke, SciPy
proceedings, table 1, measured on JUGENE. What stood behind the I/O nodes, and how often it was repeated, is
not said; with rank 0 alone writing, 2,048 cores took 195 s."""

STARTUP_IMAGE_S: Mapping[int, float] = {4096: 5, 16384: 25}
"""The same for a C++ program, on one rack (read as 4,096 cores) and on 16,384 cores."""


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
    column = TWO_NODE_COLUMNS.get((operation, completion, measure))
    if column is None:
        return None
    for row in table(f"two_node_{measure}"):
        if int(row["bytes"]) == size_bytes:
            return float(row[column]) if row[column] else None
    return None
