"""Brokers that are components: both engines carry stanzas to them and back to the same instants."""

import federations
import pytest
import worlds
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from test_oracle import ARRIVALS, FANOUT_PROCESS, FIFO, LOOP_TURNS

import sim
import topologies
from sim.platforms import require_supported
from topologies.plan import Plan

COSTS = st.fixed_dictionaries(
    {
        "publish": st.sampled_from(["0 ms", "1.3 ms"]),
        "publish_per_byte": st.sampled_from(["0 us/B", "0.7 us/B"]),
        "copy": st.sampled_from(["0.9 ms", "3.7 ms"]),
        "copy_per_byte": st.sampled_from(["0 us/B", "1.1 us/B"]),
    }
)


def component_grid(costs, delay, people, arrivals, **controller):
    """Controller a with one Broker of its own and one that is a component."""
    brokers = [
        {"name": "at-a", "controller": "a"},
        {"name": "at-beside", "controller": "a", "kind": "component", "costs": costs,
         "delay": delay},
    ]  # fmt: skip
    topics = {"inside": ("a", {}), "outside": ("beside", {"payload": {"size": "250 B"}})}
    return federations.topology({"a": controller}, topics, people, arrivals, brokers=brokers)


@st.composite
def grids_with_a_component(draw):
    """Publishers and subscribers of a Topic in the server and of one in a component."""
    wanted = draw(st.sampled_from([["outside"], ["inside", "outside"]]))
    people = [
        {"name": "pub", "controller": "a", "count": draw(st.integers(1, 3)),
         "publishes": ["inside", "outside"]},
        {"name": "near", "controller": "a", "count": draw(st.integers(1, 6)),
         "subscribes": wanted, "network": {"delay": "1.1 ms"}},
        {"name": "far", "controller": "a", "count": draw(st.integers(1, 3)),
         "subscribes": ["outside"], "network": {"delay": "23 ms"}, "read_rate": "333/s"},
    ]  # fmt: skip
    arrivals = [{"topic": each, "by": "pub", **draw(ARRIVALS)} for each in ("inside", "outside")]
    topology = component_grid(
        draw(COSTS), draw(st.sampled_from(["0.13 ms", "7.7 ms"])), people, arrivals,
        nic=draw(st.sampled_from(["1 GB/s", "61 kB/s"])), limits={"server": {"rate": "3 kB/s"}},
    )  # fmt: skip
    discipline = draw(st.one_of(FIFO, LOOP_TURNS, FANOUT_PROCESS))
    relay = draw(st.sampled_from([{}, {"receive": "0.9 ms", "receive_per_byte": "1.7 us/B"}]))
    server = draw(st.sampled_from(["none", "prosody", "ejabberd"]))
    profile = worlds.profile(notification="55 B", relay=relay, server=server, **discipline)
    return topology, {"a": profile}


@settings(
    max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)  # fmt: skip
@given(grids_with_a_component(), st.integers(0, 3), st.sampled_from([None, 0.037]))
def test_both_engines_carry_copies_to_the_same_instants(world, seed, window_s):
    topology, profiles = world
    plan = Plan(topology, seed)
    fast = federations.compiled(topology, plan, profiles, window_s)
    slow = federations.stanza_by_stanza(topology, plan, profiles)
    assert [tally.controller for tally in fast] == ["a", "at-beside.a.test"]
    for one, other in zip(fast, slow, strict=True):
        worlds.assert_agree(one, other)
        assert one.expected == one.delivered + one.lost
        assert one.owed_area_s == pytest.approx(one.sojourn_s, rel=1e-9)


ROUND = component_grid(
    {"publish": "2 ms", "copy": "4 ms"}, "10 ms",
    [
        {"name": "pub", "controller": "a", "count": 1, "publishes": ["inside", "outside"]},
        {"name": "sub", "controller": "a", "count": 3, "subscribes": ["outside"]},
    ],
    [{"topic": "outside", "by": "pub", "process": "deterministic", "rate": "1/s"}],
)  # fmt: skip
FIFO_1_MS = worlds.profile("fifo", publish="100 ms", copy="1 ms")


@pytest.mark.parametrize("engine", [federations.compiled, federations.stanza_by_stanza])
def test_a_publish_goes_to_the_component_and_each_copy_comes_back(engine):
    # Controller: 1 ms to take it in and 1 ms to pass it on; 10 ms; the component: 2 ms, then a
    # copy each 4 ms; 10 ms; Controller: 1 ms to take each in and 1 ms to write it.
    plan = worlds.GivenPlan(ROUND, [(0.0, 0, 1, 250)])
    received = federations.deliveries_ms(engine(ROUND, plan, {"a": FIFO_1_MS}))
    assert received == {(0, "a", 1): 30.0, (0, "a", 2): 34.0, (0, "a", 3): 38.0}


def test_the_record_says_how_the_component_ran():
    run = sim.simulate(ROUND, replications=1, profiles={"a": FIFO_1_MS})
    assert run.header.verdict.valid
    assert run.header.counts.delivered == run.header.counts.expected > 0
    assert run.header.stations["a"] == run.header.stations["at-beside.a.test"] == "windowed"
    assert run.header.stations["a/at-beside.a.test"] == "batched"
    assert run.header.controllers["at-beside.a.test"].discipline == "fifo"


def test_a_component_without_costs_is_refused():
    broker = ROUND.brokers[1].model_copy(update={"costs": None})
    topology = ROUND.model_copy(update={"brokers": (ROUND.brokers[0], broker)})
    with pytest.raises(topologies.TopologyError, match=r"brokers\[1\].costs: a component's CPU"):
        require_supported(topology)


def test_a_component_that_others_use_from_elsewhere_is_refused():
    people = ROUND.platforms[1].model_copy(update={"controller": "b"})
    topology = ROUND.model_copy(update={"platforms": (ROUND.platforms[0], people)})
    with pytest.raises(topologies.TopologyError, match=r'platforms\[1\].controller: "b": uses'):
        require_supported(topology)
