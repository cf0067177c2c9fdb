"""Where the time goes: the stages of copies, worked out by hand, and their sum."""

from dataclasses import replace

import numpy as np
import pytest
import worlds
from test_windows import PROFILES, overloaded

from results import histogram
from results.records import STAGES
from sim import phases
from sim.grid import Grid
from sim.study import Study
from topologies.plan import Plan


def followed(topology, plan, profile, **strides):
    study = replace(worlds.study_of(topology, plan), stage_stride=1, **strides)
    return Grid(study, plan, {"c": profile}).run()[0]


def stages_ms(tally):
    """Mean of each stage over the copies that were followed. [ms]"""
    return {
        key[-1]: round(float(histogram.mean(histogram.dense(*sparse))) * 1e3, 1)
        for key, sparse in tally.stages.items()
    }


WAY = {"network": {"delay": "7 ms", "uplink": "100 kB/s", "downlink": "50 kB/s"}}
LIMITS = {"client": {"rate": "10 kB/s", "burst": "500 B"}, "shape": "delay"}


def test_every_stage_of_a_lone_copy():
    people = [
        {"name": "p", "count": 1, "publishes": ["t"], **WAY},
        {"name": "s", "count": 1, "subscribes": ["t"], "read_rate": "20/s", **WAY},
    ]
    profile = worlds.profile("fifo", publish="3 ms", copy="2 ms")
    topology = worlds.topology(people, nic="200 kB/s", limits=LIMITS)
    plan = worlds.GivenPlan(topology, [(0.0, 0, 0, 807)])
    got = stages_ms(followed(topology, plan, profile))
    # A stanza of 1,000 B: 10 ms up its link and 7 of way, 50 of waiting for tokens; read, copied;
    # a copy of 807 B takes 4 ms through the egress link, 7 and 16.1 down its own, 50 to read.
    want = {
        "uplink": 17.0, "limiter": 50.0, "controller": 0.0, "broker": 3.0, "fan-out": 2.0,
        "session": 0.0, "link": 4.0, "downlink": 23.1, "reader": 50.0,
    }  # fmt: skip
    assert list(got) == list(STAGES)
    for stage, length_ms in want.items():
        assert got[stage] == pytest.approx(length_ms, abs=0.15, rel=0.005), stage


def test_waiting_in_the_server_and_in_a_session():
    people = [
        {"name": "p", "count": 1, "publishes": ["t"]},
        {"name": "s", "count": 1, "subscribes": ["t"], "read_rate": "10/s"},
    ]
    topology = worlds.topology(people, duration="2 s", queue={"window": "1 kB"})
    profile = worlds.profile("fifo", publish="20 ms", copy="10 ms")
    plan = worlds.GivenPlan(topology, [(0.0, 0, 0, 1000), (0.0, 0, 0, 1000)])
    tally = followed(topology, plan, profile)
    # The second waits 30 ms for the first, is written at 60 and leaves when that is read, at 130.
    got = stages_ms(tally)
    assert got["controller"] == pytest.approx(15.0, abs=0.1)
    assert got["session"] == pytest.approx(35.0, abs=0.2)
    assert got["reader"] == pytest.approx(100.0, abs=0.5)
    assert tally.waterfall["topic"] == "t"


@pytest.mark.parametrize("name", PROFILES)
def test_following_changes_nothing_and_stages_sum_to_latencies(name):
    queue = {"policy": "drop-oldest", "stanzas": 9, "window": "9 kB"}
    topology = overloaded(queue=queue)
    plan, table = Plan(topology, 3), phases.timetable(topology)
    runs = []
    for stride in (0, 101):
        study = Study(topology, table, 3, 0, plan.rows, stage_stride=stride, copy_stride=2)
        runs.append(Grid(study, plan, {"c": PROFILES[name]}).run()[0])
    plain, split = runs
    assert plain.intervals.tobytes() == split.intervals.tobytes()
    assert plain.delivered == split.delivered
    assert plain.stages == {}
    assert {key[-1] for key in split.stages} == set(STAGES), "the sums are asserted on the way"
    copies = {key[:-1]: int(counts.sum()) for key, (_, counts) in split.stages.items()}
    assert sum(copies.values()) > 300


def test_following_a_publication_that_a_lone_core_would_write_in_one_go_changes_nothing():
    people = [
        {"name": "p", "count": 1, "publishes": ["t"]},
        {"name": "s", "count": 900, "subscribes": ["t"]},
    ]
    arrivals = [{"topic": "t", "by": "p", "process": "poisson", "rate": "40/s"}]
    topology = worlds.topology(people, arrivals, duration="3 s")
    plan, table = Plan(topology, 3), phases.timetable(topology)
    runs = [
        Grid(
            Study(topology, table, 3, 0, plan.rows, stage_stride=stride), plan,
            {"c": PROFILES["fifo"]},
        ).run()[0]
        for stride in (0, 3)
    ]  # fmt: skip
    np.testing.assert_allclose(runs[0].owed_area_s, runs[1].owed_area_s, rtol=1e-12)
    for key, (bins, counts) in runs[0].histograms.items():
        assert bins.tolist() == runs[1].histograms[key][0].tolist()
        assert counts.tolist() == runs[1].histograms[key][1].tolist()
