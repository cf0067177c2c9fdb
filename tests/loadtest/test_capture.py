"""Receipt by the kernel is what a packet capture of the same port says, in short."""

import numpy as np
import pytest

from loadtest import capture
from loadtest.problems import LoadError


def test_receipts_agree_with_a_capture():
    found = capture.compare(sessions=20, deliveries_per_s=400.0, duration_s=2.0)
    assert found["deliveries"] == 800
    # The median, for on a busy machine two copies may be read at once, and share one stamp.
    assert found["difference_p50_s"] < 0.2e-3
    assert abs(found["latency_p50_s"] - found["captured_latency_p50_s"]) < 0.2e-3
    assert found["reading_p50_s"] >= 0
    told = capture.render(found)
    assert "from the kernel to the application" in told
    assert found["claims"]["difference_p50"]["verdict"] == "met"
    assert "p99 in ms" in told


def test_stamps_that_are_off_miss_what_is_promised():
    difference_s = np.full(1_000, 0.3e-3)
    difference_s[-5:] = 9e-3
    found = capture._claims(difference_s, 97.0, 100.0)
    assert {name: each["verdict"] for name, each in found.items()} == {
        "rate": "missed",
        "difference_p50": "missed",
        "difference_p99": "met",
    }


def test_connections_and_sessions_are_matched_by_their_first_instant():
    captured = {5001: np.array([100, 300]), 5000: np.array([110, 320])}
    received = {7: np.array([61, 271]), 3: np.array([52, 253])}
    found = capture.agreement(captured, received, 50)
    assert found.tolist() == [1, 1, 2, 3]


def test_several_copies_in_one_packet_passed_at_its_instant():
    whole = [[10, 930], [20, 931], [30, 932], [90, 5 * 931], [95, 931]]
    assert capture._apart(np.array(whole)).tolist() == [10, 20, 30, *[90] * 5, 95]
    cut = [[10, 931], [20, 931], [30, 931], [40, 2 * 931 + 500], [50, 431 + 931], [60, 931]]
    assert capture._apart(np.array(cut)).tolist() == [10, 20, 30, 40, 40, 50, 50, 60]


def test_another_number_of_deliveries_is_refused():
    with pytest.raises(LoadError, match="the capture has 1 copies"):
        capture.agreement({1: np.array([5])}, {1: np.array([5, 6])}, 0)
