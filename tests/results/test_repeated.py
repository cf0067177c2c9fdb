"""Medians of plays."""

import math

import numpy as np
import pytest

from results import repeated, statistics
from results.statistics import Sample
from results.variants import Measured


def play(value, *doubts):
    return Measured("none", "on a real server", {"p99_s": Sample(value)}, doubts=doubts)


def test_a_single_play_stays_as_it_is():
    one = play(3.0, "late")
    assert repeated.together([one], [7]) is one
    assert "plays" not in one.document()


def test_plays_in_doubt_are_shown_and_do_not_count():
    found = repeated.together([play(1.0), play(9.0, "late"), play(2.0), play(4.0)], [1, 2, 3, 4])
    document = found.document()
    assert (document["p99_s"]["value"], document["p99_s"]["n"]) == (2.0, 3)
    assert "doubts" not in document
    assert [each["figures"]["p99_s"] for each in document["plays"]] == [1.0, 9.0, 2.0, 4.0]
    assert [each["doubts"] for each in document["plays"]] == [[], ["late"], [], []]


def test_where_all_are_in_doubt_all_count_and_the_median_is_in_doubt():
    found = repeated.together([play(1.0, "late"), play(3.0, "late", "lost")])
    assert found.sample("p99_s").value == 2.0
    assert found.document()["doubts"] == ["late", "lost"]


def test_most_plays_decide_whether_there_is_an_end():
    some = repeated.together([play(1.0), play(math.inf), play(2.0)], [1, 2, 3])
    estimate = some.document()["p99_s"]
    assert (estimate["value"], estimate["low"]) == (2.0, None)
    assert some.document()["plays"][1]["figures"]["p99_s"] is None
    never = repeated.together([play(1.0), play(math.inf), play(math.inf)]).document()["p99_s"]
    assert never["value"] is None
    assert never["reason"].startswith("unbounded in 2 of 3")


def test_a_figure_that_some_plays_lack_is_the_median_of_the_others():
    found = repeated.together([play(1.0), play(math.nan), play(5.0)])
    assert found.sample("p99_s").parts.tolist() == [1.0, 5.0]
    nothing = repeated.together([play(math.nan), play(math.nan)])
    assert nothing.document()["p99_s"]["value"] is None


@pytest.mark.parametrize("count", [3, 5, 9])
def test_the_interval_of_a_median_has_the_true_one_in_it_as_often_as_it_says(count):
    dice = np.random.default_rng(7)
    times, hits = 2_000, 0
    for values in dice.normal(10.0, 1.0, (times, count)):
        estimate = statistics.median(values.tolist()).estimate()
        hits += estimate["low"] <= 10.0 <= estimate["high"]
    assert 0.94 < hits / times < 0.98
