"""Linear axes: one unit for all ticks, sizes in powers of two, no room below zero where nothing can be."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from bgsim.experiment.metrics import METRICS, SIGNED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.ticker import Formatter

_DECIMAL = ((1e12, " T"), (1e9, " G"), (1e6, " M"))
_BINARY = ((2.0**30, " Gi"), (2.0**20, " Mi"), (2.0**10, " Ki"))


def tick_texts(values: Iterable[float], binary: bool = False) -> list[str]:
    """Labels of the ticks of one axis, all in the unit of the largest.

    Parameters
    ----------
    values
        Where the ticks are.
    binary
        In Ki, Mi and Gi from 1,024 on, and not in M, G and T from a million on.

    Examples
    --------
    >>> tick_texts([400_000, 800_000, 1_200_000])
    ['0.4 M', '0.8 M', '1.2 M']
    >>> tick_texts([0, 262144, 524288], binary=True)
    ['0', '256 Ki', '512 Ki']
    """
    places = list(values)
    largest = max(map(abs, places), default=0.0)
    found = (unit for unit in (_BINARY if binary else _DECIMAL) if largest >= unit[0])
    factor, name = next(found, (1.0, ""))
    return [f"{place / factor:,.6g}{name if place else ''}" for place in places]


def plain_linear_ticks(
    axes: Axes, which: Literal["x", "y"], most: int = 5, *, binary: bool = False, from_zero: bool = False
) -> None:
    """A linear axis labelled 60,000 or 15 M at `most` steps or so; call it after drawing.

    Parameters
    ----------
    axes
        The panel.
    which
        Its axis.
    most
        Steps.
    binary
        Of bytes: ticks at multiples of a power of two.
    from_zero
        The axis does not reach below zero: what is drawn there is an interval, and is cut.
    """
    from matplotlib.ticker import MaxNLocator, MultipleLocator

    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = axis.get_view_interval()
    if from_zero and low < 0 < high:
        (axes.set_xlim if which == "x" else axes.set_ylim)(0.0, high)
        low = 0.0
    if binary and high > low:
        axis.set_major_locator(MultipleLocator(2.0 ** max(0, math.ceil(math.log2((high - low) / most)))))
    else:
        axis.set_major_locator(MaxNLocator(nbins=most, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(_one_unit(binary))


def _one_unit(binary: bool) -> Formatter:
    """Labels of an axis's ticks in one unit."""
    from matplotlib.ticker import Formatter

    class OneUnit(Formatter):
        def __call__(self, value: float, pos: int | None = None) -> str:
            return tick_texts([value], binary)[0]

        def format_ticks(self, values: Iterable[float]) -> list[str]:
            return tick_texts(values, binary)

    return OneUnit()


def never_negative(metric: str) -> bool:
    """Whether a metric's values cannot be below zero; of an unknown one it is not known."""
    return metric in METRICS and metric not in SIGNED
