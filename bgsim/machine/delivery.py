"""Waits until software notices an arrival: drawn from a histogram, by core and number of the wait."""

# The compiled functions take arrays by position.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bgsim.compiled import compiled, compiled_inner
from bgsim.machine.cost_model import Delivery
from bgsim.network.detours import draw

_BITS = 32
_SHIFT = np.uint64(_BITS)


class Waits(NamedTuple):
    """A histogram of waits as the compiled functions take it.

    Attributes
    ----------
    seed
        Key of all drawings.
    values
        Waits in cycles, int64, shape (n,).
    thresholds
        Drawings of 32 bits below which each holds, shape (n,).
    """

    seed: np.uint64
    values: NDArray[np.int64]
    thresholds: NDArray[np.int64]


def waits(delivery: Delivery, seed: int) -> Waits:
    """Make the table of a cost model's histogram; waits are rounded to whole cycles."""
    key = hashlib.sha256(f"bgsim/delivery/seed={seed}".encode()).digest()[:8]
    below = np.cumsum(np.array(delivery.weights, np.float64))
    thresholds = np.rint(below / below[-1] * 2**_BITS).astype(np.int64)
    thresholds[-1] = 2**_BITS
    values = np.rint(np.array(delivery.values_cycles, np.float64)).astype(np.int64)
    return Waits(np.uint64(int.from_bytes(key, "big")), values, thresholds)


@compiled_inner
def wait_cycles(table, core, number):
    """A core's wait with some number; the same whenever it is asked for."""
    if len(table.values) == 1:
        return table.values[0]
    drawn = np.int64(draw(table, core, 0, number) >> _SHIFT)
    place = 0
    while drawn >= table.thresholds[place]:
        place += 1
    return table.values[place]


@compiled
def fill_waits(table, cores, number, cycles):
    """The waits of some cores with one number, into an array."""
    for place in range(len(cores)):
        cycles[place] = wait_cycles(table, cores[place], number)
