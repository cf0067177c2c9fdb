"""The phase diagram of reconnect herds: far from the line, each side does what the line says."""

import pytest

from results import herd_phases as drawn
from sim import herd_phases


@pytest.fixture(scope="module")
def diagram():
    """A seventh and a little more than the cap on the line, at 34 s of work, 3 s of patience."""
    return herd_phases.diagram(works_s=(34.0,), caps_s=(8.0, 60.0), seed=2)


def test_a_herd_far_below_the_line_is_stuck_and_one_above_drains(diagram):
    assert drawn.boundary_cap_s(34.0, 3.0) == 56.0
    low, high = diagram["points"]
    assert (low["foretold"], high["foretold"]) == (False, True)
    assert low["online_share"] < 0.15
    assert high["online_share"] > 0.99
    assert diagram["agreement"] == diagram["agreement_above"] == 1.0


def test_who_comes_in_waves_is_let_in_wave_by_wave():
    """Far below the line: retries within a second of each other, of a herd of three patiences."""
    (point,) = herd_phases.diagram(works_s=(10.0,), caps_s=(2.0,), seed=2)["points"]
    assert not point["foretold"]
    assert point["online_share"] > 0.99


def test_a_login_takes_more_than_its_steps_where_garbage_is_collected(diagram):
    """4.9 ms are the steps of Prosody's profile; what it allocates for them costs as well."""
    assert 0.0049 < diagram["login_s"] < 0.02


def test_the_picture_has_both_kinds_of_points_and_the_line(diagram):
    axes = drawn.draw(diagram).axes[0]
    sizes = [len(each.get_offsets()) for each in axes.collections[-2:]]
    assert sizes == [1, 1]
    assert len(axes.lines) == 1


def test_shares_of_no_points_are_null():
    """JSON has no NaN: nobody is a quarter off the line if all points are near it."""
    assert herd_phases._agreement([]) is None
    assert drawn._percent(None) == "–"
