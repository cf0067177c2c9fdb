"""A server that waits for its core takes longer for all that it does, and uses no more CPU time."""

import numpy as np
import pytest
import worlds

import sim
import topologies
from topologies import overlays

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


@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_logins_take_longer_and_cost_the_same(engine):
    """A herd of 40 that a Prosody lets in again: whoever gives up does so alike."""
    laid = overlays.scenario("S-HERD", None, ["none"], [], real=True).attacked["none"]
    people = [each.model_copy(update={"count": min(each.count, 40)}) for each in laid.platforms]
    runs = []
    for waits, speed in ((0.25, 8.0), (0.0, 10.0)):
        (node,) = laid.controllers
        nodes = (node.model_copy(update={"waits": waits}),)
        grid = laid.model_copy(update={"controllers": nodes, "platforms": tuple(people)})
        profile = topologies.profile(grid, node.name).model_copy(update={"speed": speed})
        asked = {"replications": 1, "processes": 1, "profiles": {node.name: profile}}
        runs.append(sim.simulate(grid, seed=1, engine=engine, **asked))
    waiting, slower = runs
    busy_s = [run.intervals["busy_s"].sum() for run in runs]
    assert busy_s[0] == pytest.approx(busy_s[1] / 1.25)
    assert busy_s[0] > 1.0
    assert waiting.publications["last_s"] == pytest.approx(
        slower.publications["last_s"], nan_ok=True
    )


def test_closed_forms_refuse_waits():
    topology = worlds.topology([{"name": "pub", "count": 1, "publishes": ["t"]}], waits=0.1)
    with pytest.raises(topologies.TopologyError, match=r"controllers\[0\].waits"):
        sim.estimate(topology, profiles={"c": PROFILES["fifo"]})
