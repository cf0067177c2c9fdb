"""Whether a promise is kept is said of all rounds."""

import pytest

from loadtest.promises import lines, promise


@pytest.mark.parametrize(
    ("bound", "rounds", "verdict", "found"),
    [
        pytest.param("at least", [2.0, 3.0, 2.5], "met", 2.5, id="kept by all, one exactly"),
        pytest.param("at most", [2.0, 3.0, 2.5], "not decided", 2.5, id="kept by one"),
        pytest.param("at most", [3.0, 4.0], "missed", 3.5, id="kept by none"),
        pytest.param("at least", [1.9], "missed", 1.9, id="one round"),
        pytest.param("at most", [], "not measured", None, id="no round"),
    ],
)
def test_every_round_is_to_keep_its_bound(bound, rounds, verdict, found):
    made = promise("memory in bytes", bound, 2.0, rounds)
    assert (made["verdict"], made["found"], made["rounds"]) == (verdict, found, rounds)


def test_people_are_told_the_spread_of_several_rounds():
    several, none = lines(
        {
            "a": promise("Tsung over ours", "at least", 2.2, [2.0, 3.0, 2.5]),
            "b": promise("memory of a session in bytes", "at most", 48_000.0, []),
        }
    )
    assert several == "not decided   Tsung over ours: 2.50 (2.00 to 3.00), at least 2.20"
    assert none == "not measured  memory of a session in bytes: at most 48,000"
