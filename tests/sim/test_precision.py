"""Replications are added until p99 is known well enough, and A against B plays with common dice."""

import numpy as np
import pytest
import worlds

import sim
import topologies
from sim import precision

PEOPLE = [
    {"name": "pub", "count": 1, "publishes": ["t"]},
    {"name": "sub", "count": 5, "subscribes": ["t"]},
]
SERVER = worlds.profile("fifo", copy="2 ms", copy_distribution="exponential")


def world(study="steady", duration="60 s"):
    arrivals = [{"topic": "t", "by": "pub", "process": "poisson", "rate": "70/s"}]
    return worlds.topology(PEOPLE, arrivals, study=study, duration=duration)


def simulate(topology, server=SERVER, **more):
    return sim.simulate(topology, profiles={"c": server}, processes=1, **more)


def test_replications_are_added_until_the_interval_is_narrow():
    first = simulate(world(), replications=4)
    run = simulate(world(), replications=4, precision=0.03)
    assert precision.half_width(first) > 0.03 >= precision.half_width(run)
    count = run.header.replications
    assert 4 < count <= precision.REPLICATIONS_MAX
    again = simulate(world(), replications=count)
    assert run.summary()["latency_s"] == again.summary()["latency_s"]
    assert run.header.verdict.warnings == again.header.verdict.warnings


def test_what_is_precise_at_once_is_left_at_that():
    assert simulate(world(), replications=4, precision=0.9).header.replications == 4


def test_what_cannot_be_reached_is_said(monkeypatch):
    monkeypatch.setattr("sim.precision.REPLICATIONS_MAX", 6)
    monkeypatch.setattr("sim.replications.REPLICATIONS_MAX", 6)
    run = simulate(world(), replications=3, precision=0.0001)
    assert run.header.replications == 6
    assert "not 0.01 %, after 6 replications" in run.header.verdict.warnings[-1]


@pytest.mark.parametrize(
    ("topology", "asked", "message"),
    [
        (world(study="campaign"), 0.02, "replications are added to a steady study only"),
        (world(), 2.0, "must be between 0 and 1; write for example 2 %"),
    ],
)
def test_precision_that_makes_no_sense_is_refused(topology, asked, message):
    with pytest.raises(topologies.TopologyError, match=message):
        simulate(topology, precision=asked)


def test_a_against_b_is_played_with_common_random_numbers():
    """A server 5 % faster on the same plan and draws: the difference is far surer than each."""
    faster = SERVER.model_copy(update={"speed": 0.95})
    sides = []
    for server in (SERVER, faster):
        rows = simulate(world(study="campaign"), server, replications=8).publications
        order = np.lexsort((rows["publication"], rows["replication"]))
        latency_s = (rows["last_s"] - rows["intended_s"])[order]
        of = rows["replication"][order]
        sides.append(np.array([latency_s[of == r].mean() for r in range(8)]))
    slow, fast = sides
    assert np.corrcoef(slow, fast)[0, 1] > 0.95
    assert (slow - fast).std(ddof=1) < 0.4 * slow.std(ddof=1)
    assert (slow > fast).all()
