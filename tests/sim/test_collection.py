"""A Prosody's collector: how rare and how long its cycles are, by sessions and by its settings."""

import pytest
import worlds

import sim
import topologies
from sim.stations import Graph
from topologies.plan import Plan

COSTS = {
    "publish": "0.5 ms", "build": "20 us", "write": "10 us", "collection": "10 ms",
    "collection_every": 100, "collection_sweep": 0.4, "collection_sessions": 100,
    "heap": "10 MB", "heap_session": "100 kB",
}  # fmt: skip


@pytest.fixture(scope="module")
def profile():
    return worlds.profile("loop-turns", server="prosody", **COSTS)


def grid(subscribers=199, **controller):
    people = [
        {"name": "pub", "count": 1, "publishes": ["t"]},
        {"name": "sub", "count": subscribers, "subscribes": ["t"]},
    ]
    arrivals = [{"topic": "t", "by": "pub", "process": "poisson", "rate": "20/s"}]
    return worlds.topology(people, arrivals, duration="20 s", study="steady", **controller)


@pytest.mark.parametrize(
    ("growth", "sessions", "every", "collection_s"),
    [
        (None, None, 100.0, 10e-3),
        (0.05, 100, 100.0, 10e-3),  # Lua keeps 4 % of it, as it did when this was measured
        (0.04, 100, 100.0, 10e-3),
        (0.2, None, 500.0, 10e-3 * (0.6 + 0.4 * 1.2 / 1.04)),
        (0.5, None, 1200.0, 10e-3 * (0.6 + 0.4 * 1.48 / 1.04)),  # and 48 % of it
        (None, 400, 250.0, 25e-3),  # the heap is 50 MB where it was 20 MB
        (0.2, 400, 1250.0, 25e-3 * (0.6 + 0.4 * 1.2 / 1.04)),
    ],
)
def test_cycles_are_as_rare_and_as_long_as_heap_and_growth_make_them(
    profile, growth, sessions, every, collection_s
):
    found = profile.collecting(growth, sessions).costs
    assert found.collection_every == pytest.approx(every, rel=1e-12)
    assert found.collection == pytest.approx(collection_s, rel=1e-12)
    again = profile.collecting(growth, sessions).collecting(growth, sessions).costs
    assert again.collection == pytest.approx(found.collection, rel=1e-12)
    back = profile.collecting(growth, sessions).collecting(0.05, 100).costs
    assert back.collection == pytest.approx(10e-3, rel=1e-12)
    assert back.collection_every == pytest.approx(100.0, rel=1e-12)
    assert back.collection_sweep == pytest.approx(0.4, rel=1e-12)


def test_garbage_takes_the_memory_that_the_heap_may_grow_by(profile):
    told = profile.collecting(0.5).memory
    assert told.base == pytest.approx(profile.memory.base + 0.44 * 10e6)
    assert told.session == pytest.approx(profile.memory.session + 0.44 * 100e3)
    assert profile.collecting(None, 7).memory == profile.memory


def test_without_a_heap_cycles_are_the_same_for_any_number_of_sessions():
    plain = worlds.profile("loop-turns", **{**COSTS, "heap": "0 B", "heap_session": "0 B"})
    assert plain.collecting(None, 7).costs.collection == plain.costs.collection
    assert plain.collecting(None, 7).costs.collection_every == plain.costs.collection_every


def test_both_engines_collect_alike(profile):
    topology = grid(subscribers=30, collection={"growth": 0.3})
    plan = Plan(topology, 3)
    fast = worlds.compiled(topology, plan, profile)
    slow = worlds.stanza_by_stanza(topology, plan, profile)
    worlds.assert_agree(fast, slow)
    plain = worlds.compiled(grid(subscribers=30), plan, profile)
    assert fast.intervals["busy_s"].sum() < 0.8 * plain.intervals["busy_s"].sum()


@pytest.mark.parametrize("growth", [0.05, 0.5])
def test_the_closed_form_has_what_the_simulation_pays(profile, growth):
    topology = grid(collection={"growth": growth})
    told = {"c": profile.collecting(growth)}
    paper = sim.estimate(topology, profiles=told)["controllers"]["c"]["utilisation"]["value"]
    run = sim.simulate(topology, replications=2, processes=1, profiles={"c": profile})
    used = run.summary()["phases"][0]["controllers"]["c"]["utilisation"]
    assert used["value"] == pytest.approx(paper, rel=0.04)


def test_a_growth_in_the_file_is_in_the_profile_of_its_controller():
    topology = topologies.load("single-broker", ["controllers[0].collection.growth=50 %"])
    shipped = topologies.read_profile("prosody-0.12")
    assert topologies.profile(topology, "controller") == shipped.collecting(0.5)
    same = topologies.load("single-broker")
    assert topologies.profile(same, "controller") == shipped


def test_a_server_with_another_collector_is_refused():
    change = ["controllers[0].collection.growth=0.5", "controllers[0].profile=ejabberd-23"]
    topology = topologies.load("single-broker", change)
    rule = r"controllers\[0\].collection: is Prosody's, and ejabberd-23 is another"
    with pytest.raises(topologies.TopologyError, match=rule):
        Graph(topology, {"controller": topologies.profile(topology, "controller")})


@pytest.mark.parametrize("growth", ["0", "-1", "3 %", "950 %", "5 ms"])
def test_a_growth_that_is_none_is_refused(growth):
    with pytest.raises(topologies.TopologyError, match=r"0\.5 or 50 %"):
        topologies.load("single-broker", [f"controllers[0].collection.growth={growth}"])
