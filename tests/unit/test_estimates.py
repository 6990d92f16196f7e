"""Warm-up, histograms, intervals: known answers, and coverage with fixed seeds.

The coverage tests draw a fixed sequence, so they do not fail by chance; their bounds are those that a correct
method misses for one sequence in a thousand.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import lfilter
from scipy.stats import ttest_ind

from bgsim.experiment import samples, statistics
from bgsim.histogram import Histogram
from bgsim.steady import mser, steady_mean

DRAWS = 300


def covered(intervals, truth):
    return sum(low <= truth <= high for low, high in intervals) / DRAWS


def test_a_warm_up_is_cut_and_a_steady_series_is_not():
    random = np.random.default_rng(1)
    noise = random.normal(0, 1, 400)
    assert mser((100 + noise).tolist()) <= 60
    warm = 100 + noise + 50 * np.exp(-np.arange(400) / 20)
    cut = mser(warm.tolist())
    assert 40 <= cut <= 150
    assert steady_mean(warm.tolist()).mean == pytest.approx(100, abs=0.5)
    assert steady_mean(warm.tolist()).settled


def test_a_series_that_grows_has_not_settled():
    random = np.random.default_rng(2)
    assert not steady_mean((np.arange(400) + random.normal(0, 5, 400)).tolist()).settled


def test_rare_events_are_not_a_warm_up():
    ticks = [10.0 if index % 40 == 39 else 1.0 for index in range(400)]
    found = steady_mean(ticks)
    assert found.settled
    assert found.mean == pytest.approx(1.225, abs=0.05)


def test_short_series_have_no_interval():
    found = steady_mean([1.0, 2.0])
    assert (found.mean, found.low, found.warmup, found.settled) == (1.5, None, 0, True)
    assert mser([5.0] * 19) == 0


def test_batch_means_cover_a_dependent_series():
    random = np.random.default_rng(3)
    intervals = []
    for _ in range(DRAWS):
        found = steady_mean(lfilter([1], [1, -0.5], random.normal(0, 1, 1000)).tolist())
        intervals.append((found.low, found.high))
    assert 0.89 <= covered(intervals, 0) <= 0.99


VALUES = st.lists(st.floats(1e-6, 1e6), max_size=30)


@given(VALUES, VALUES)
def test_histograms_merge_by_addition(one, other):
    merged = Histogram.of(one, 10) + Histogram.of(other, 10)
    assert merged.rows() == Histogram.of([*one, *other], 10).rows()
    assert Histogram.from_rows(merged.rows(), 10).rows() == merged.rows()
    assert merged.total == len(one) + len(other)


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=50), st.floats(0.01, 1))
def test_the_bin_of_a_quantile_holds_it(values, share):
    low, high = Histogram.of(values, 10).quantile(share)
    exact = np.quantile(values, share, method="inverted_cdf")
    assert low * (1 - 1e-9) <= exact <= high * (1 + 1e-9)


def test_histograms_that_do_not_fit():
    with pytest.raises(ValueError, match="different bins"):
        Histogram(10) + Histogram(5)
    with pytest.raises(ValueError, match="no bin of 10"):
        Histogram.from_rows([[1.0, 2.0, 3]], 10)
    with pytest.raises(ValueError, match="a quantile needs values"):
        Histogram(10).quantile(0.5)


def test_shares_count_for_as_long_as_they_took():
    found = statistics.weighted_interval([0.2, 0.6, 0.4], [1.0, 3.0, 2.0])
    assert found.mean == pytest.approx((0.2 + 1.8 + 0.8) / 6)
    assert found.low < found.mean < found.high
    equal = statistics.weighted_interval([0.2, 0.6, 0.4], [2.0, 2.0, 2.0])
    assert equal == statistics.mean_interval([0.2, 0.6, 0.4])
    assert statistics.weighted_interval([0.5], [2.0]).low is None


def test_a_paired_difference_is_narrow_where_both_share_their_noise():
    random = np.random.default_rng(4)
    shared = random.normal(0, 10, 20)
    native, other = 100 + shared, 300 + shared + random.normal(0, 0.1, 20)
    paired = samples.paired(samples.Sample(other), samples.Sample(native)).interval()
    assert paired.half_width < 0.1
    assert paired.low <= 200 <= paired.high
    assert paired == statistics.mean_interval(list(other - native))


def test_independent_samples_are_compared_by_welch_with_one_verdict():
    random = np.random.default_rng(8)
    significant = 0
    for one, other in ((3, 3), (3, 3), (3, 3), (5, 12), (2, 9)) * 20:
        before, after = random.normal(0, 1, one), random.normal(2, 2, other)
        found = samples.independent(samples.Sample(after), samples.Sample(before))
        wanted = ttest_ind(after, before, equal_var=False)
        ends = wanted.confidence_interval(0.95)
        interval = found.interval()
        assert (interval.low, interval.high) == pytest.approx((ends.low, ends.high))
        assert found.p == pytest.approx(wanted.pvalue)
        assert (found.p < 0.05) == (not interval.low <= 0 <= interval.high)
        significant += found.p < 0.05
    assert 10 < significant < 90


def test_differences_of_shares_of_time_have_the_weights_of_the_means():
    random = np.random.default_rng(9)
    right = {"paired": 0, "independent": 0}
    for _ in range(DRAWS):
        shared = random.normal(0, 0.05, 12)
        sides = []
        for share in (0.3, 0.5):
            times = random.uniform(1, 3, 12)
            busy = share + shared + random.normal(0, 0.02, 12) + 0.1 * (times - 2)
            sides.append(samples.sample_of("cpu_utilisation", {"cpu_utilisation": busy, "elapsed_s": times}))
        for name, find in (("paired", samples.paired), ("independent", samples.independent)):
            interval = find(sides[1], sides[0]).interval()
            assert interval.mean == pytest.approx(sides[1].interval().mean - sides[0].interval().mean)
            right[name] += interval.low <= 0.2 <= interval.high
    assert 0.9 * DRAWS <= right["paired"] <= right["independent"]
    ratio = samples.ratio(sides[1], sides[0])
    assert ratio.mean == pytest.approx(sides[1].mean / sides[0].mean)
    assert ratio.low < ratio.mean < ratio.high
    alike = {"cpu_utilisation": [0.2, 0.4], "elapsed_s": [2.0, 2.0]}
    assert samples.sample_of("cpu_utilisation", alike).weights is None
    assert samples.sample_of("latency_us", {"latency_us": [1, 2], "elapsed_s": [2.0, 3.0]}).weights is None


def test_the_bootstrap_covers_ratios_and_quantiles():
    random = np.random.default_rng(5)
    ratios = medians = 0
    for _ in range(25):
        below = random.gamma(4, 1, 20)
        above = 3 * below + random.normal(0, 1, 20)
        ratio = statistics.ratio_interval(above, below)
        ratios += ratio.low <= 3 <= ratio.high
        median = statistics.quantile_interval(random.normal(7, 1, 25), 0.5)
        medians += median.low <= 7 <= median.high
    assert ratios >= 20
    assert medians >= 20


def test_the_bootstrap_repeats_itself_and_knows_its_limits():
    values, others = [3.0, 4.0, 5.0, 6.0, 7.5], [1.0, 2.0, 1.5, 2.5, 2.0]
    assert statistics.ratio_interval(values, others) == statistics.ratio_interval(values, others)
    assert statistics.ratio_interval(values[:4], others[:4]).low is None
    twice = statistics.ratio_interval([2 * each for each in others], others)
    assert (twice.mean, twice.low, twice.high) == (2.0, 2.0, 2.0)
    assert statistics.quantile_interval([5.0] * 8, 0.9).high == 5.0
    with pytest.raises(ValueError, match="equally many"):
        statistics.ratio_interval([1.0], [1.0, 2.0])


def test_t_quantiles_are_students():
    expected = {1: 12.7062, 4: 2.7764, 30: 2.0423}
    for degrees, value in expected.items():
        assert statistics.t_quantile(degrees) == pytest.approx(value, abs=1e-4)
