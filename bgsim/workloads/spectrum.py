"""Spectrum of equally spaced samples, and its peaks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def spectrum(samples: Sequence[float], interval_s: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Amplitude by frequency, the mean taken out.

    A Hann window keeps a strong line from covering its surroundings; amplitudes are those of a sine wave of
    the line's frequency, in the unit of the samples.

    Parameters
    ----------
    samples
        At least two.
    interval_s
        Time between two of them.

    Returns
    -------
    tuple
        Frequencies in hertz, ascending, without zero; amplitudes.
    """
    values = np.asarray(samples, dtype=np.float64)
    window = np.hanning(len(values))
    weight = window.sum() or 1.0
    lines = np.fft.rfft((values - values.mean()) * window)
    amplitude: NDArray[np.float64] = 2 * np.abs(lines[1:]) / weight
    hertz: NDArray[np.float64] = np.fft.rfftfreq(len(values), interval_s)[1:].astype(np.float64)
    return hertz, amplitude


def peaks(hertz: NDArray[np.float64], amplitude: NDArray[np.float64], most: int) -> list[tuple[float, float]]:
    """The largest local maxima, frequency and amplitude, the largest first."""
    if not len(amplitude):
        return []
    padded = np.concatenate(([0.0], amplitude, [0.0]))
    tops = np.flatnonzero((amplitude > padded[:-2]) & (amplitude >= padded[2:]))
    order = tops[np.argsort(-amplitude[tops], kind="stable")][:most]
    return [(float(hertz[at]), float(amplitude[at])) for at in order]
