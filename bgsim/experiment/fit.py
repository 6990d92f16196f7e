"""What a least-squares fit found, and what its Jacobian says of how well the data know the parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNKNOWN: Final = 0.02
"""A singular value below this share of the largest: its direction is not identified."""


@dataclass(frozen=True)
class Fit:
    """What a calibration found.

    Attributes
    ----------
    shares
        Fitted values as shares of their ranges, shape (parameters,).
    start
        The same at the datasheet's values.
    jacobian
        Of the residuals by the shares, at the fitted values, shape (data, parameters); of the data alone.
    before, after
        Predictions of the data at the start and at the end, shape (data,).
    evaluations
        Steps of the search.
    message
        Why the search ended.
    """

    shares: NDArray[Any]
    start: NDArray[Any]
    jacobian: NDArray[Any]
    before: NDArray[Any]
    after: NDArray[Any]
    evaluations: int
    message: str


def identifiability(fit: Fit, names: Sequence[str]) -> dict[str, Any]:
    """What the data know about the parameters.

    Returns
    -------
    dict
        ``moving``, parameters that the data move with, and ``without_effect``, the others; of the former
        ``singular_values``, descending, ``directions``, each a mapping of parameter to its part of the unit
        vector, ``identified``, how many of them the data determine, and ``correlations`` of the estimates, or
        None; ``errors`` of the shares of all, None where they are not determined.
    """
    import numpy as np

    sizes = np.abs(fit.jacobian).max(axis=0)
    moving = [column for column, size in enumerate(sizes) if size > UNKNOWN * sizes.max()]
    kept = [names[column] for column in moving]
    jacobian = fit.jacobian[:, moving]
    errors: list[float | None] = [None] * len(names)
    correlations: list[list[float]] | None = None
    singular, directions, identified = np.zeros(0), np.zeros((0, 0)), 0
    if moving:
        _, few, directions = np.linalg.svd(jacobian, full_matrices=True)
        singular = np.concatenate([few, np.zeros(len(moving) - len(few))])
        identified = int((singular > UNKNOWN * singular[0]).sum())
    if moving and identified == len(moving):
        covariance = np.linalg.inv(jacobian.T @ jacobian)
        deviation = np.sqrt(np.diag(covariance))
        for place, column in enumerate(moving):
            errors[column] = float(deviation[place])
        correlations = (covariance / np.outer(deviation, deviation)).tolist()
    return {
        "moving": kept,
        "singular_values": [float(each) for each in singular],
        "directions": [dict(zip(kept, map(float, row), strict=True)) for row in directions],
        "identified": identified,
        "errors": errors,
        "correlations": correlations,
        "without_effect": [name for name in names if name not in kept],
    }
