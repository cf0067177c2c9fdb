"""Bins of 0.4 %, the same for every process and origin."""

import numpy as np
import pytest

from results import histogram


def test_a_bin_holds_its_latencies_within_two_tenths_of_a_percent():
    latency_s = np.exp(np.random.default_rng(1).uniform(np.log(1e-8), np.log(1e5), 10_000))
    shown_s = histogram.representative_s()[histogram.bin_index(latency_s)]
    assert np.abs(shown_s / latency_s - 1.0).max() <= 1 / 512


def test_every_value_has_its_bin():
    edges_s = histogram.edges_s()
    rows = [
        (-1e-3, histogram.NEGATIVE),
        (-0.0, histogram.ZERO),
        (0.0, histogram.ZERO),
        (1e-12, histogram.ZERO),
        (edges_s[0], 2),
        (np.nextafter(edges_s[1], 0.0), 2),
        (edges_s[1], 3),
        (np.nextafter(edges_s[-1], 0.0), histogram.ABOVE - 1),
        (edges_s[-1], histogram.ABOVE),
        (np.inf, histogram.UNDELIVERED),
    ]
    for latency_s, expected in rows:
        assert histogram.bin_index(np.array([latency_s]))[0] == expected, latency_s


def test_the_quantile_is_the_smallest_value_with_enough_at_or_below_it():
    counts = histogram.count([1.0, 2.0, 3.0, 4.0])
    for q, expected in [(0.0, 1.0), (0.25, 1.0), (0.26, 2.0), (0.5, 2.0), (0.75, 3.0), (1.0, 4.0)]:
        assert histogram.quantile(counts, q) == pytest.approx(expected, rel=1 / 512), q


def test_the_undelivered_are_infinitely_late_and_no_part_of_the_mean():
    counts = histogram.count([1.0] * 98 + [np.inf] * 2)
    assert histogram.quantile(counts, 0.98) == pytest.approx(1.0, rel=1 / 512)
    assert histogram.quantile(counts, 0.99) == np.inf
    assert histogram.mean(counts) == pytest.approx(1.0, rel=1 / 512)


def test_an_empty_histogram_has_no_figures():
    assert np.isnan(histogram.quantile(histogram.empty(), 0.5))
    assert np.isnan(histogram.mean(histogram.empty()))


def test_sparse_and_dense_are_inverse_and_counts_add_up():
    counts = histogram.count([1e-3, 1e-3, 5.0, np.inf])
    bins, numbers = histogram.sparse(counts)
    assert numbers.sum() == 4
    assert (histogram.dense(bins, numbers) == counts).all()
    index = histogram.bin_index([np.inf, 5.0, 1e-3, 1e-3])
    for mine, other in zip(histogram.tally(index), (bins, numbers), strict=True):
        assert mine.dtype == other.dtype
        assert (mine == other).all()
    twice = histogram.dense(np.append(bins, bins), np.append(numbers, numbers))
    assert (twice == 2 * counts).all()
