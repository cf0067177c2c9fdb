"""Knee and scaling law against closed forms, with intervals that hold the truth."""

import numpy as np
import pytest

from results.knee import knee, knee_of_curve, law, scaling

SIZES = np.array([1, 2, 4, 8, 12, 16, 24, 32.0])


def test_the_law_is_gunthers():
    """Guerrilla Capacity Planning, eq. 4.31, at N = 1 and at its peak sqrt((1 - s) / k)."""
    assert law(np.array([1.0]), 7.0, 0.1, 0.01)[0] == 7.0
    around = law(np.array([8.0, 9.4868, 11.0]), 1.0, 0.1, 0.01)
    assert np.argmax(around) == 1


@pytest.mark.parametrize(
    ("one", "contention", "coherency"), [(1000, 0.02, 0.0005), (95, 0.1, 0.002)]
)
def test_a_noisy_law_is_found_again(one, contention, coherency):
    """Of 100 fits to 2 % noise, at least 85 intervals hold each coefficient."""
    generator = np.random.default_rng(5)
    held = np.zeros(3)
    for _ in range(100):
        noise = 1.0 + 0.02 * generator.standard_normal(len(SIZES))
        fit = scaling(SIZES, law(SIZES, one, contention, coherency) * noise)
        truths = (one, contention, coherency)
        for k, name in enumerate(("one", "contention", "coherency")):
            estimate = getattr(fit, name)
            held[k] += estimate["low"] <= truths[k] <= estimate["high"]
    assert (held >= 85).all(), held


def test_the_peak_is_where_more_machines_do_less():
    fit = scaling(SIZES, law(SIZES, 100.0, 0.05, 0.002))
    assert fit.peak["value"] == pytest.approx(np.sqrt(0.95 / 0.002), rel=1e-3)


def test_what_scales_without_end_has_no_peak():
    fit = scaling(SIZES, 50.0 * SIZES)
    assert fit.peak["value"] is None
    assert fit.contention["value"] == pytest.approx(0.0, abs=1e-4)


def test_three_sizes_are_too_few():
    with pytest.raises(ValueError, match="four sizes"):
        scaling([1, 2, 4], [1, 2, 4])


def test_the_knee_of_mm1_is_at_half_its_capacity():
    """Kleinrock 1979: power rho (1 - rho) is greatest at 1/2."""
    rho = np.array([0.1, 0.2, 0.3, 0.4, 0.45, 0.55, 0.6, 0.7, 0.8, 0.9])
    throughput, latency_s = 100.0 * rho[:, None], 0.01 / (1.0 - rho[:, None])
    generator = np.random.default_rng(3)
    noise = 1.0 + 0.01 * generator.standard_normal((len(rho), 8))
    found = knee(rho, throughput * np.ones(8), latency_s * noise).estimate()
    assert found["low"] < 0.5 < found["high"]
    assert found["high"] - found["low"] < 0.1


def test_unbounded_latency_is_no_knee():
    latency_s = np.array([[1.0], [1.1], [np.inf]])
    assert knee([1.0, 2.0, 4.0], np.array([[1.0], [2.0], [4.0]]), latency_s).value < 4.0


@pytest.mark.parametrize("growth", [0.5, 1.0, 3.0])
def test_the_knee_of_a_curve_through_few_noisy_points(growth):
    """M/G/1 of capacity 8, four points that tell, 10 % noise: within 10 %, and without bias.

    Power rho / (1 + growth rho / (1 - rho)) is greatest where (1 - rho)^2 = growth rho^2.
    """
    loads, generator = np.array([0.8, 2.4, 4.0, 5.6, 7.6, 9.6]), np.random.default_rng(7)
    used = np.minimum(loads / 8.0, 1.0)
    truth = 8.0 / (1.0 + np.sqrt(growth))
    found = []
    for _ in range(200):
        noise = 1.0 + 0.1 * generator.standard_normal(len(loads))
        with np.errstate(divide="ignore"):
            latency_s = 0.01 * (1.0 + growth * used / (1.0 - used)) * noise
        found.append(knee_of_curve(loads, used, latency_s))
    error_of_mean = np.std(found) / np.sqrt(len(found))
    assert np.mean(found) == pytest.approx(truth, abs=4 * error_of_mean + 0.01 * truth)
    assert np.std(found) < 0.1 * truth


def test_two_points_are_no_curve():
    assert np.isnan(knee_of_curve([1, 2, 3], [0.2, 0.4, 0.97], [0.01, 0.02, 1.0]))
