"""Estimates against tables, hand calculation and seeded coverage."""

import numpy as np
import pytest

from results import histogram, statistics
from results.statistics import Sample


def test_the_mean_of_three_has_the_t_interval_of_the_tables():
    # 1, 2, 3: s = 1, t(2; 0.975) = 4.3027, half-width 4.3027 / sqrt(3)
    assert statistics.mean([1.0, 2.0, 3.0]) == {
        "value": 2.0,
        "low": pytest.approx(2.0 - 2.48414, abs=1e-5),
        "high": pytest.approx(2.0 + 2.48414, abs=1e-5),
        "n": 3,
    }


def test_one_value_has_no_interval_and_says_so():
    assert statistics.mean([5.0]) == {
        "value": 5.0, "low": None, "high": None, "n": 1, "reason": "one replication",
    }  # fmt: skip


def test_no_value_is_null_with_a_reason():
    estimate = statistics.mean([])
    assert (estimate["value"], estimate["reason"]) == (None, "no data")


def test_sectioning_spreads_about_the_whole_not_about_the_parts_mean():
    # parts 1 and 3 about the whole 3: (4 + 0) / 1 / 2 = 2, t(1; 0.975) = 12.7062
    estimate = Sample(3.0, np.array([1.0, 3.0])).estimate()
    assert estimate["high"] - 3.0 == pytest.approx(12.7062 * np.sqrt(2.0), rel=1e-5)


def test_an_interval_stops_where_the_figure_must():
    estimate = Sample(1.0, np.array([0.0, 2.0]), lowest=0.0).estimate()
    assert estimate["low"] == 0.0
    assert estimate["high"] > 2.0


def test_the_quantile_is_of_the_merged_histogram_never_an_average():
    parts = [histogram.count([1.0] * 900 + [100.0] * 100), histogram.count([1.0] * 1000)]
    sample = statistics.quantile(parts, 0.96)
    assert sample.value == pytest.approx(100.0, rel=1 / 512)
    assert sample.parts == pytest.approx([100.0, 1.0], rel=1 / 512)


def test_the_interval_of_a_quantile_is_never_narrower_than_its_bin():
    estimate = statistics.quantile([histogram.count(np.full(1000, 0.003))] * 8, 0.99).estimate()
    assert estimate["low"] <= 0.003 <= estimate["high"]
    assert (estimate["high"] - estimate["low"]) / estimate["value"] == pytest.approx(1 / 256)
    same = statistics.quantile([histogram.count(np.full(1000, 0.003))] * 8, 0.99)
    assert statistics.difference(same, same, paired=True)["high"] == pytest.approx(
        0.003 / 256, rel=0.01
    )
    assert statistics.ratio(same, same, paired=False)["high"] == pytest.approx(1 + 1 / 256)


def test_more_undelivered_than_the_quantile_leaves_out_make_it_unbounded():
    parts = [histogram.count([1.0] * 980 + [np.inf] * 20)] * 8
    estimate = statistics.quantile(parts, 0.99).estimate()
    assert estimate["value"] is None
    assert estimate["reason"] == "unbounded: 2 % of the deliveries never arrive"
    assert statistics.quantile(parts, 0.5).estimate()["value"] == pytest.approx(1.0, rel=1 / 512)


def test_a_part_without_a_bound_leaves_the_value_but_no_interval():
    parts = [histogram.count([1.0] * 1000)] * 7 + [histogram.count([1.0] * 980 + [np.inf] * 20)]
    estimate = statistics.quantile(parts, 0.99).estimate()
    assert estimate["value"] == pytest.approx(1.0, rel=1 / 512)
    assert (estimate["low"], estimate["high"]) == (None, None)
    assert estimate["reason"] == "unbounded in 1 of 8 parts"


def test_a_quantile_needs_enough_deliveries():
    estimate = statistics.quantile([histogram.count(np.ones(999))], 0.999).estimate()
    assert estimate["reason"] == "p999 needs 1000 deliveries; there are 999"
    assert statistics.quantile([histogram.count(np.ones(1000))], 0.999).value > 0.9


@pytest.mark.parametrize(
    ("q", "name"), [(0.5, "p50"), (0.95, "p95"), (0.99, "p99"), (0.999, "p999")]
)
def test_quantiles_have_names(q, name):
    assert statistics.name(q) == name


def test_pairs_show_a_difference_that_their_spread_would_hide():
    base = np.array([10.0, 20.0, 30.0, 40.0])
    a, b = (Sample(float(x.mean()), x) for x in (base, base + np.array([0.9, 1.0, 1.1, 1.0])))
    paired = statistics.difference(a, b, paired=True)
    unpaired = statistics.difference(a, b, paired=False)
    assert paired["value"] == unpaired["value"] == pytest.approx(1.0)
    assert paired["low"] > 0.0
    assert unpaired["low"] < 0.0 < unpaired["high"]


def test_welch_gives_the_interval_that_scipy_gives():
    from scipy import stats

    draws = np.random.default_rng(3)
    x, y = draws.normal(5.0, 1.0, 8), draws.normal(6.0, 4.0, 12)
    want = stats.ttest_ind(y, x, equal_var=False).confidence_interval(0.95)
    got = statistics.difference(Sample(x.mean(), x), Sample(y.mean(), y), paired=False)
    assert (got["low"], got["high"]) == pytest.approx((want.low, want.high))


@pytest.mark.parametrize("degrees", [*range(1, 34), 0.5, 6.5, 400.0])
def test_points_of_student_are_those_of_scipy(degrees):
    from scipy.special import stdtrit

    assert statistics._t(degrees) == pytest.approx(stdtrit(degrees, 0.975), rel=1e-13)


def test_a_ratio_to_zero_is_not_available():
    zero, one = Sample(0.0, np.zeros(4)), Sample(1.0, np.ones(4))
    assert statistics.ratio(zero, one, paired=True)["reason"] == "the first is zero"
    assert statistics.ratio(one, zero, paired=False)["value"] == 0.0


def test_an_unbounded_side_makes_the_difference_unavailable():
    lost = Sample(
        np.inf, np.full(4, np.inf), reason="unbounded: 2 % of the deliveries never arrive"
    )
    for paired in (True, False):
        estimate = statistics.difference(Sample(1.0, np.ones(4)), lost, paired=paired)
        assert (estimate["value"], estimate["reason"]) == (None, lost.reason)
        for a, b in ((lost, Sample(1.0, np.ones(4))), (Sample(1.0, np.ones(4)), lost)):
            estimate = statistics.ratio(a, b, paired=paired)
            assert (estimate["value"], estimate["reason"]) == (None, lost.reason)


def test_sides_of_unequal_length_do_not_pair():
    estimate = statistics.difference(Sample(1.0, np.ones(3)), Sample(2.0, np.ones(4)), paired=True)
    assert (estimate["value"], estimate["low"]) == (1.0, None)


TRIALS, REPLICATIONS = 1000, 8


def coverage(figure, truth):
    """Share of seeded trials whose interval holds the truth, and the mean relative half-width."""
    draws = np.random.default_rng(2)
    estimates = [figure(draws) for _ in range(TRIALS)]
    inside = np.mean([e["low"] <= truth <= e["high"] for e in estimates])
    width = np.mean([(e["high"] - e["value"]) / truth for e in estimates])
    return inside, width


def test_the_interval_of_a_mean_covers_it_in_95_of_100_and_is_narrow():
    inside, width = coverage(
        lambda draws: statistics.mean(draws.exponential(1.0, (REPLICATIONS, 200)).mean(axis=1)), 1.0
    )
    assert 0.93 <= inside <= 0.97
    assert width < 0.07


def test_the_interval_of_p99_covers_it_in_95_of_100_and_is_narrow():
    def p99(draws):
        parts = [histogram.count(draws.exponential(1.0, 2000)) for _ in range(REPLICATIONS)]
        return statistics.quantile(parts, 0.99).estimate()

    inside, width = coverage(p99, np.log(100.0))
    assert 0.93 <= inside <= 0.98
    assert width < 0.05


def test_the_unpaired_ratio_covers_in_95_of_100():
    def ratio(draws):
        x, y = draws.normal(10.0, 1.0, 8), draws.normal(20.0, 1.0, 8)
        return statistics.ratio(Sample(x.mean(), x), Sample(y.mean(), y), paired=False)

    inside, width = coverage(ratio, 2.0)
    assert 0.92 <= inside <= 0.98
    assert width < 0.11


def test_mser5_cuts_a_warm_up_and_keeps_a_level_series():
    draws = np.random.default_rng(4)
    level = draws.normal(1.0, 0.1, 200)
    assert statistics.mser5(np.append(level[:20] + np.linspace(8.0, 0.5, 20), level)) == 20
    assert statistics.mser5(level) < 20


def test_mser5_agrees_with_its_definition():
    series = np.random.default_rng(5).exponential(1.0, 41)
    errors = [((series[d:] - series[d:].mean()) ** 2).sum() / (41 - d) ** 2 for d in range(21)]
    assert statistics.mser5(series) == int(np.argmin(errors))


@pytest.mark.parametrize("series", [[], [1.0]])
def test_mser5_keeps_what_is_too_short_to_cut(series):
    assert statistics.mser5(series) == 0


def test_mser5_of_a_series_that_never_settles_says_too_short():
    assert statistics.mser5(np.arange(40.0)) == 20
