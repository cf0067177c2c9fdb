"""What is cut from a run's figures: the seconds in which the generator was the limit."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from loadtest import figures
from loadtest.phases import CUTS_MAX, without_limited
from loadtest.verdict import Second
from results.records import Phase

WHOLE = (
    Phase(name="warm-up", start_s=0, end_s=2, measured=False),
    Phase(name="steady", start_s=2, end_s=20),
    Phase(name="drain", start_s=20, end_s=20.4, measured=False),
)


def parts(*limited: int, latency_s: float = 0.25, whole: tuple[Phase, ...] = WHOLE):
    judged = [Second(k, {}, ("lag_s",) if k in limited else ()) for k in range(20)]
    kept = without_limited(whole, judged, latency_s)
    assert all(a.end_s == b.start_s for a, b in itertools.pairwise(kept))
    assert (kept[0].start_s, kept[-1].end_s) == (whole[0].start_s, whole[-1].end_s)
    return [(each.name, each.start_s, each.end_s, each.measured) for each in kept]


def test_calm_run_is_left_whole():
    assert without_limited(WHOLE, [Second(k, {}, ()) for k in range(20)], 0.1) == WHOLE


def test_limited_second_is_cut_with_what_was_on_its_way():
    assert parts(10) == [
        ("warm-up", 0, 2, False),
        ("steady", 2, 9.75, True),
        ("limited", 9.75, 11, False),
        ("steady", 11, 20, True),
        ("drain", 20, 20.4, False),
    ]


def test_neighbours_are_one_cut_and_the_warm_up_is_not_cut():
    assert [each for each in parts(1, 7, 8) if each[0] != "steady"] == [
        ("warm-up", 0, 2, False),
        ("limited", 6.75, 9, False),
        ("drain", 20, 20.4, False),
    ]


def test_at_most_a_second_is_cut_before_a_limited_one():
    assert ("limited", 9, 11, False) in parts(10, latency_s=30.0)


def test_where_nothing_would_be_left_nothing_is_cut():
    assert parts(*range(20)) == [(e.name, e.start_s, e.end_s, e.measured) for e in WHOLE]


def test_many_cuts_are_joined():
    whole = (Phase(name="steady", start_s=0, end_s=200),)
    judged = [Second(k, {}, ("lag_s",) if k % 3 == 0 else ()) for k in range(200)]
    kept = without_limited(whole, judged, 0.1)
    assert sum(each.name == "limited" for each in kept) <= CUTS_MAX
    cut_s = [(each.start_s, each.end_s) for each in kept if not each.measured]
    for k in range(0, 200, 3):
        assert any(start_s <= k and k + 1 <= end_s for start_s, end_s in cut_s)
    assert sum(each.end_s - each.start_s for each in kept) == pytest.approx(200)


def test_knee_takes_a_cut_step_as_one_and_what_was_cut_as_none():
    """Step "load 1" was cut in two by a second in which nothing came in time."""
    names = ("load 1", "limited", "load 1", "load 2")
    limits = [0.0, 2.0, 3.0, 5.0, 9.0]
    phases = tuple(
        Phase(name=name, start_s=start_s, end_s=end_s, measured=name != "limited")
        for name, start_s, end_s in zip(names, limits, limits[1:], strict=False)
    )
    phase_of = np.array([0, 0, 1, 2, 2, 3, 3, 3])
    tables = SimpleNamespace(
        phases=phases,
        phase_of=phase_of,
        publication=np.array([0, 1, 3, 4, 5, 6, 7]),  # the one in the limited second never came
        latency_s=np.full(7, 0.1),
        ledger=SimpleNamespace(expected_of=np.ones(8, dtype=np.int64)),
    )
    rows = {row["phase"]: row for row in figures._phases(tables)}
    assert [*rows] == ["load 1", "limited", "load 2"]
    assert rows["load 1"]["offered_per_s"] == pytest.approx(4 / 4.0)
    assert rows["load 1"]["delivered_share"] == 1.0
    assert rows["limited"]["delivered_share"] == 0.0
    played = SimpleNamespace(topology=SimpleNamespace(slo=SimpleNamespace(deadline=1.0)))
    knee = figures._knee(played, tables)
    assert [step["phase"] for step in knee["steps"]] == ["load 1", "load 2"]
    assert knee["highest_followed"] == "load 2"
