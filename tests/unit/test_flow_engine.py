"""Max-min fairness by hand."""

import numpy as np
import pytest

from bgsim.network.flow_engine import simulate_flows

CLOSED = (True, True, True)


def end(shape, flows, size, **options):
    source, destination = np.array(flows).T
    return simulate_flows(shape, CLOSED, source, destination, size, hop_seconds=0, tolerance=0, **options)


def test_flow_alone_has_the_link():
    assert end((8, 1, 1), [(0, 3)], 425_000_000).end_seconds == pytest.approx([1.0])


def test_two_flows_share_and_the_longer_one_speeds_up():
    result = end((8, 1, 1), [(0, 1), (0, 2)], np.array([425e6, 850e6]))
    assert result.end_seconds == pytest.approx([2.0, 3.0])
    assert result.solves == 2


def test_bottleneck_leaves_the_rest_to_others():
    # Two flows share link 1-2; the third shares 0-1 with one of them and gets what that one leaves.
    result = end((8, 1, 1), [(0, 2), (1, 2), (1, 3), (0, 1)], np.array([425e6] * 3 + [850e6]))
    assert result.end_seconds == pytest.approx([3.0, 3.0, 3.0, 3.0])


def test_bytes_on_links_are_bytes_times_hops():
    rng = np.random.default_rng(3)
    source = rng.integers(0, 64, 100)
    destination = (source + rng.integers(1, 64, 100)) % 64
    result = simulate_flows((4, 4, 4), CLOSED, source, destination, 1000)
    assert result.link_bytes.sum() % 1000 == 0
    assert (result.end_seconds > 0).all()
    assert result.end_seconds.max() >= result.link_bytes.max() / 425e6


def test_grouping_ends_changes_little():
    source = np.arange(512)
    destination = np.random.default_rng(1).permutation(512)
    moved = source != destination
    exact, grouped = (
        simulate_flows((8, 8, 8), CLOSED, source[moved], destination[moved], 10**6, tolerance=tolerance)
        for tolerance in (0, 2e-3)
    )
    assert grouped.solves <= exact.solves
    assert grouped.end_seconds.max() == pytest.approx(exact.end_seconds.max(), rel=5e-3)
