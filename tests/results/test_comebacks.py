"""How Platforms came back: a few counts whose figures are plain."""

import numpy as np
import pytest

from results import comebacks

EDGES_S = np.array([1.0, 2.0, 3.0, 4.0])


def entry(online, **counts):
    return {
        "platforms": 100,
        "attempts": 300,
        "logins": 100,
        "given_up": 200,
        "refused": 0,
        "online": online,
        "login_latency": {"bins": [], "counts": []},
        **counts,
    }


@pytest.mark.parametrize(
    ("share", "since_s", "expected_s"),
    [
        ([0.0, 0.495, 0.99, 1.0], 1.0, 2.0),  # reached where an interval ends
        ([0.0, 0.98, 1.0, 1.0], 0.5, 2.0),  # half way through the third
        ([1.0, 1.0, 1.0, 1.0], 0.0, 0.0),
        ([1.0, 0.5, 0.5, 0.98], 0.0, np.inf),
        ([0.0, 1.0, 0.9, 1.0], 0.0, 3.9),  # for good: the first time did not last
    ],
)
def test_makespan_is_interpolated_and_for_good(share, since_s, expected_s):
    assert comebacks.makespan_s(np.array(share), EDGES_S, since_s) == pytest.approx(expected_s)


def test_honest_and_hostile_are_told_apart():
    logins = {
        "analyst": entry([[0, 0, 98, 100], [0, 0, 0, 50]]),
        "guesser": entry([[0, 0, 0, 0], [0, 0, 0, 0]], attempts=900, logins=0, refused=600),
    }
    found = comebacks.figures(logins, EDGES_S, ["guesser"], back_s=1.0, guess_s=1.0)
    assert found["online_share"].value == 0.75
    assert found["attempts_per_login"].value == 3.0
    assert found["guesses_per_s"].value == 600 / 2 / 3.0
    assert found["makespan_s"].estimate()["value"] is None
    assert "in 1 of 2" in found["makespan_s"].estimate()["reason"]
