"""The interval of a mean operation, from the times of a run's iterations."""

import numpy as np
import pytest
import scipy.stats

from bgsim.machine.timeline import BATCHES, Timeline

FREQUENCY_HZ = 850_000_000


def timeline(cycles: np.ndarray) -> Timeline:
    found = Timeline.empty(len(cycles))
    found.mean[:] = cycles
    return found


@pytest.mark.parametrize("iterations", [4, 5, 40, 41, 45, 59, 100, 1013])
def test_the_intervals_mean_is_the_latency(iterations: int) -> None:
    times = timeline(np.arange(iterations, dtype=float) ** 2)
    found = times.interval(FREQUENCY_HZ)
    assert found is not None
    latency_us = times.metrics(FREQUENCY_HZ)["latency_us"]
    assert found["mean_us"] == latency_us
    assert (found["low_us"] + found["high_us"]) / 2 == pytest.approx(latency_us)


def test_of_equal_batches_it_is_students_interval_of_their_means() -> None:
    cycles = np.random.default_rng(3).exponential(1000, 5 * BATCHES)
    found = timeline(cycles).interval(FREQUENCY_HZ)
    assert found is not None
    means = cycles.reshape(BATCHES, 5).mean(axis=1) / (FREQUENCY_HZ / 1e6)
    low, high = scipy.stats.t.interval(0.95, BATCHES - 1, means.mean(), scipy.stats.sem(means))
    assert (found["low_us"], found["high_us"]) == (pytest.approx(low), pytest.approx(high))


def test_unequal_batches_cover_the_mean_as_often_as_they_say() -> None:
    """1,500 series of 59 independent times, batches of 2 and 3; false alarm below 1 in 10,000."""
    series = np.random.default_rng(4).normal(850, 85, (1500, 59))
    covered = 0
    for cycles in series:
        found = timeline(cycles).interval(FREQUENCY_HZ)
        assert found is not None
        covered += found["low_us"] <= 1.0 <= found["high_us"]
    assert covered / len(series) == pytest.approx(0.95, abs=4 * (0.95 * 0.05 / len(series)) ** 0.5)


def test_of_too_few_iterations_there_is_no_interval() -> None:
    assert timeline(np.ones(3)).interval(FREQUENCY_HZ) is None
