"""Publications reach their Controller in order of arrival, however they were planned."""

import numpy as np
import worlds

from sim.network import Uplink
from sim.platforms import residents
from sim.stations import Graph
from topologies.plan import Plan

PEOPLE = [
    {"name": "near", "count": 1, "publishes": ["t"]},
    {"name": "far", "count": 1, "publishes": ["t"], "network": {"delay": "100 ms"}},
    {"name": "sub", "count": 3, "subscribes": ["t"]},
]
PROFILES = {"c": worlds.profile("fifo")}


def taken(uplink, *ends_s):
    """Row and instant of what arrives before each of these ends."""
    windows = []
    for end_s in ends_s:
        pieces = [piece for piece, _ in uplink.windows(end_s)]
        windows.append(
            [
                (int(row), round(float(arrival_s), 6))
                for piece in pieces
                for row, arrival_s in zip(piece.row, piece.arrival_s, strict=True)
            ]
        )
    return windows


def test_a_near_publication_overtakes_a_far_one():
    topology = worlds.topology(PEOPLE)
    plan = worlds.GivenPlan(topology, [(0.0, 1, 0, 9), (0.05, 0, 0, 9), (0.2, 0, 0, 9)])
    assert taken(Uplink(plan, PROFILES), 1.0) == [[(1, 0.05), (0, 0.1), (2, 0.2)]]
    assert taken(Uplink(plan, PROFILES), 0.1, 0.15, 1.0) == [[(1, 0.05)], [(0, 0.1)], [(2, 0.2)]]


def test_at_one_instant_the_plan_decides():
    topology = worlds.topology(PEOPLE)
    plan = worlds.GivenPlan(topology, [(0.0, 1, 0, 9), (0.1, 0, 0, 9)])
    assert taken(Uplink(plan, PROFILES), 1.0) == [[(0, 0.1), (1, 0.1)]]


def test_a_platforms_own_uplink_sends_one_publication_after_the_other():
    slow = [{**PEOPLE[0], "network": {"delay": "10 ms", "uplink": "10 kB/s"}}, *PEOPLE[1:]]
    plan = worlds.GivenPlan(
        worlds.topology(slow),
        [(0.0, 0, 0, 807), (0.05, 0, 0, 807), (0.06, 1, 0, 9), (1, 0, 0, 807)],
    )
    # 807 B and the stanza around them are 1,000 B: 100 ms each, then 10 ms of way.
    uplink = Uplink(plan, {"c": worlds.profile("fifo")})
    assert taken(uplink, 2.0) == [[(0, 0.11), (2, 0.16), (1, 0.21), (3, 1.11)]]


def test_windows_together_are_the_plan_and_its_hash():
    arrivals = [{"topic": "t", "by": "far", "process": "poisson", "rate": "90000/s"}]
    topology = worlds.topology(PEOPLE, arrivals, duration="2 s")
    plan = Plan(topology, 1)
    uplink = Uplink(plan, PROFILES)
    pieces = [piece for end_s in (0.5, 0.9, 5.0) for piece, _ in uplink.windows(end_s)]
    assert max(map(len, pieces)) < 70_000
    arrival_s = np.concatenate([piece.arrival_s for piece in pieces])
    assert (np.diff(arrival_s) >= 0).all()
    rows = np.concatenate([piece.row for piece in pieces])
    assert sorted(rows.tolist()) == list(range(plan.rows))
    assert uplink.sha256 == plan.sha256


def test_residents_are_numbered_without_those_who_do_nothing():
    idle = {"name": "idle", "count": 1000}
    topology = worlds.topology([idle, *PEOPLE])
    home = residents(Graph(topology, {"c": worlds.profile("fifo")}), 0, 1)
    assert home.count == 5
    assert home.subscribers[0].tolist() == [1002, 1003, 1004]
    assert home.number(home.subscribers[0]).tolist() == [2, 3, 4]
    assert home.number(np.array([1000, 1001, 1004], np.uint32)).tolist() == [0, 1, 4]
    assert home.pair_names == (("t", "sub"),)
