"""A server that waits for its core takes longer for all that it does, and uses no more CPU time."""

import numpy as np
import pytest
import worlds

import sim
import topologies

PROFILES = {
    "fifo": worlds.profile("fifo", publish="2 ms", copy="1 ms"),
    "prosody": topologies.profile(topologies.load("single-broker"), "controller"),
    "ejabberd": topologies.profile(
        topologies.load("single-broker", ["controllers[0].profile=ejabberd-23"]), "controller"
    ),
}


def played(server, engine, waits, speed):
    topology = worlds.topology(
        [{"name": "pub", "count": 2, "publishes": ["t"]},
         {"name": "sub", "count": 5, "subscribes": ["t"]}],
        [{"topic": "t", "by": "pub", "process": "poisson", "rate": "40/s"}],
        duration="2 s", study="campaign", waits=waits,
    )  # fmt: skip
    profile = PROFILES[server].model_copy(update={"speed": speed})
    return sim.simulate(topology, seed=3, engine=engine, profiles={"c": profile}, processes=1)


@pytest.mark.parametrize("engine", ["compiled", "reference"])
@pytest.mark.parametrize("server", PROFILES)
def test_work_takes_longer_and_costs_the_same(server, engine):
    waiting, slower = played(server, engine, 0.25, 1.0), played(server, engine, 0.0, 1.25)
    for name in ("first_s", "last_s"):
        assert np.array_equal(waiting.publications[name], slower.publications[name])
    assert waiting.intervals["busy_s"] == pytest.approx(slower.intervals["busy_s"] / 1.25)
    assert waiting.header.controllers["c"].speed == pytest.approx(1.0)
    assert waiting.header.verdict.valid


def test_closed_forms_refuse_waits():
    topology = worlds.topology([{"name": "pub", "count": 1, "publishes": ["t"]}], waits=0.1)
    with pytest.raises(topologies.TopologyError, match=r"controllers\[0\].waits"):
        sim.estimate(topology, profiles={"c": PROFILES["fifo"]})
