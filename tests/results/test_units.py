"""Figures read as people write them."""

import pytest

from results import units


@pytest.mark.parametrize(
    ("value_s", "text"),
    [
        (0.0, "0 s"),
        (3.2e-8, "32.0 ns"),
        (4.213e-3, "4.21 ms"),
        (12.34, "12.3 s"),
        (119.0, "119 s"),
        (180.0, "3.00 min"),
        (7200.0, "2.00 h"),
    ],
)
def test_durations(value_s, text):
    assert units.seconds(value_s) == text


@pytest.mark.parametrize(
    ("value_bytes", "text"),
    [(547, "547 B"), (1600, "1.60 kB"), (80.4e6, "80.4 MB"), (4e9, "4.00 GB")],
)
def test_sizes(value_bytes, text):
    assert units.size(value_bytes) == text


def interval(value, half):
    return {"value": value, "low": value - half, "high": value + half, "n": 8}


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (interval(0.0042134, 0.00005), "4.21 ± 0.05 ms"),
        (interval(0.0042134, 0.0017), "4.2 ± 1.7 ms"),
        (interval(12.3, 0.0), "12.3 s"),
        (interval(12.3, 1e-9), "12.3 s"),
        ({"value": 12.3, "low": None, "high": None, "n": 1, "reason": "one replication"}, "12.3 s"),
        ({"value": None, "reason": "unbounded: 2 % of the deliveries never arrive"}, "∞"),
        ({"value": None, "reason": "no deliveries"}, "–"),
    ],
)
def test_a_latency_shows_as_many_digits_as_it_has(estimate, text):
    assert units.latency(estimate) == text


def test_thousands_are_parted():
    assert units.rate(27_560.0) == "27,560/s"
    assert units.with_interval(interval(27_560.0, 140.0), 1.0, "/s") == "27,560 ± 140/s"
