"""Results do not depend on how long the kernels carry in one go, nor on how much they are fed."""

import numpy as np
import pytest
import worlds

import sim.controller
from sim import phases
from sim.grid import Grid
from sim.jobs import feeds
from sim.study import Study
from topologies.plan import Plan

PROFILES = {
    "fifo": worlds.profile(
        "fifo", publish="0.3 ms", copy="50 us", copy_distribution="exponential", cv=0.4
    ),
    "loop-turns": worlds.profile(
        "loop-turns", publish="0.4 ms", build="30 us", write="17 us", coalesced="4 us",
        acknowledge="30 us", wake="50 us", collection="15 ms", cv=0.2, collection_cv=0.2,
    ),
    "fanout-process": worlds.profile(
        "fanout-process", setup="0.5 ms", route="10 us", write="28 us", finish="40 us",
        wake="150 us", cv=0.2, warmth_after=["1 ms", "100 ms"], warmth_factor=[0.8, 1.0],
        cold="0.3 ms", cold_after="2 ms",
    ),
}  # fmt: skip


def tally(topology, profile, window_s=None, *, traced=False):
    """A replication."""
    plan = Plan(topology, 3)
    study = Study(topology, phases.timetable(topology), 3, 1, plan.rows, 1, traced)
    return Grid(study, plan, {"c": profile}, window_s=window_s).run()[0]


def overloaded(cores=1, **controller):
    """A flood that piles up some 8,000 publications, more than the ring starts with."""
    return worlds.topology(
        [
            {"name": "pub", "count": 6, "publishes": ["t"], "network": {"delay": "3 ms"}},
            {"name": "near", "count": 20, "subscribes": ["t"]},
            {"name": "far", "count": 10, "subscribes": ["t"], "network": {"delay": "40 ms"},
             "read_rate": "5000/s"},
            {"name": "bad", "count": 3, "role": "adversary", "publishes": ["t"]},
        ],
        [{"topic": "t", "by": "pub", "process": "poisson", "rate": "150/s"}],
        duration="12 s",
        cores=cores,
        nic="20 MB/s",
        attacks=[{"kind": "publish-flood", "name": "f", "by": "bad", "topic": "t", "start": "2 s",
                  "duration": "4 s", "rate": "2500/s"}],
        **controller,
    )  # fmt: skip


def assert_same(one, other):
    assert one.intervals.tobytes() == other.intervals.tobytes()
    assert one.histograms.keys() == other.histograms.keys()
    for key, (bins, counts) in one.histograms.items():
        assert bins.tolist() == other.histograms[key][0].tolist()
        assert counts.tolist() == other.histograms[key][1].tolist()
    for name, column in one.publications.items():
        np.testing.assert_array_equal(column, other.publications[name], err_msg=name)
    for name in (
        "delivered",
        "rejected",
        "lost",
        "drained_s",
        "idle_s",
        "owed_area_s",
        "sojourn_s",
    ):
        assert getattr(one, name) == getattr(other, name), name


@pytest.mark.parametrize("cores", [1, 4])
@pytest.mark.parametrize("name", PROFILES)
def test_many_windows_give_what_one_gives_to_the_bit(name, cores):
    topology = overloaded(cores)
    one = tally(topology, PROFILES[name])
    assert one.intervals["backlog"].max() > 30 * 4096 or cores > 1
    assert_same(one, tally(topology, PROFILES[name], window_s=0.0137))


@pytest.mark.parametrize("name", PROFILES)
def test_what_is_fed_at_a_time_does_not_matter(name, monkeypatch):
    topology = overloaded()
    one = tally(topology, PROFILES[name])
    monkeypatch.setattr(sim.controller, "FEED_ROWS", 7)
    assert_same(one, tally(topology, PROFILES[name]))


@pytest.mark.parametrize("cores", [1, 4])
@pytest.mark.parametrize("name", PROFILES)
def test_copies_counted_together_are_counted_as_one_by_one(name, cores):
    """Deliveries that are traced are counted each for itself."""
    topology = overloaded(cores)
    assert_same(tally(topology, PROFILES[name]), tally(topology, PROFILES[name], traced=True))


def test_jobs_are_fed_by_rows_and_by_copies():
    copies = np.array([3, 3, 9, 1, 1, 1, 1, 1])
    assert list(feeds(copies, 4, 6)) == [(0, 2), (2, 3), (3, 7), (7, 8)]
    assert list(feeds(copies[:0], 4, 6)) == []


@pytest.mark.parametrize("name", PROFILES)
def test_the_laws_hold_under_overload(name):
    got = tally(overloaded(), PROFILES[name])
    assert got.expected == got.delivered + got.lost
    assert got.delivered == got.intervals["received"].sum()
    assert got.owed_area_s == pytest.approx(got.sojourn_s, rel=1e-9)
    assert got.intervals["busy_s"].sum() + got.idle_s == pytest.approx(got.drained_s, rel=1e-9)
