"""What was measured on the real machine and stands beside predictions in tables and figures.

Stoess, Steinberg, Uhlig, Appavoo, Waterland and Kehne, "A light-weight virtual machine monitor for
Blue Gene/P", ROSS 2011 (extended in IJHPCA 26(2), 2012, doi 10.1177/1094342011434815): an
unmodified Kittyhawk Linux compiles a small project in 3 s natively and in 126 s in a VM. The two
times are known here through the summary by C. M. Flores González (Instituto Tecnológico de Costa
Rica). They are compared with, never fitted to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bgsim.report.results import amount
from bgsim.validation_data import COMPILE_ELAPSED_S

__all__ = ["COMPILE_ELAPSED_S", "SOURCE", "compile_is_comparable"]

SOURCE = "measured, Stoess et al. 2011"


def compile_is_comparable(workload: Mapping[str, Any]) -> bool:
    """Whether a compile run is of the measured job: one that takes 3 s on the bare machine."""
    native_s = amount(workload.get("native_time", "3 s"), "time")
    return native_s == COMPILE_ELAPSED_S["bare-metal"]
