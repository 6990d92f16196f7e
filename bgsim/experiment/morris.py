"""Elementary effects of a Morris design, each by the step that was really made.

A trajectory moves one factor after the other; the change of the result over the share of the factor's range
that it was moved by is an effect of that factor (Morris 1991). Whole numbers are rounded and choices are
taken from a list, so a step may be longer or shorter than the one drawn: two thirds of 1 to 5 cycles are 3
cycles, three quarters of the range. What was drawn says only which factor a step belongs to.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Final

from bgsim.experiment.statistics import CONFIDENCE

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESAMPLES: Final = 100


@dataclass(frozen=True)
class Effects:
    """What the steps of one factor did, from the low to the high end of its range.

    Attributes
    ----------
    mu_star, mu
        Mean of the effects' absolute values, and of the effects, in the unit of the result.
    mu_star_conf
        Half-width of the interval of ``mu_star`` at 95 %, from resampled effects.
    sigma
        Standard deviation of the effects; 0 where there are fewer than two.
    steps
        How many steps the means are over.
    steps_lost
        Steps that rounding left nothing of. They are in no mean.
    """

    mu_star: float
    mu_star_conf: float
    mu: float
    sigma: float
    steps: int
    steps_lost: int


def effects(drawn: NDArray[Any], made: NDArray[Any], answers: NDArray[Any], seed: int) -> list[Effects]:
    """The effects of every factor of a design.

    Parameters
    ----------
    drawn
        Shares of the factors' ranges as drawn, shape (trajectories x (factors + 1), factors).
    made
        The same as the runs had them.
    answers
        The result of each run, of the length of a column.
    seed
        Of the resampling.
    """
    import numpy as np

    factors = drawn.shape[1]
    within = np.arange(1, len(drawn)) % (factors + 1) != 0  # the others lead to the next trajectory
    stepped = np.diff(drawn, axis=0) != 0
    step, change = np.diff(made, axis=0), np.diff(answers)
    generator = np.random.default_rng(seed)
    normal = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
    found = []
    for factor in range(factors):
        own = within & stepped[:, factor]
        real = own & (step[:, factor] != 0)
        each = change[real] / step[real, factor]
        n = len(each)
        if n == 0:
            found.append(Effects(0.0, 0.0, 0.0, 0.0, 0, int(own.sum())))
            continue
        resampled = np.abs(each[generator.integers(n, size=(RESAMPLES, n))]).mean(axis=1)
        found.append(
            Effects(
                float(np.abs(each).mean()),
                float(normal * resampled.std(ddof=1)),
                float(each.mean()),
                float(each.std(ddof=1)) if n > 1 else 0.0,
                n,
                int(own.sum()) - n,
            )
        )
    return found
