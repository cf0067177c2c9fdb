"""Platforms lose their sessions at a Controller whose Broker is a component; both engines alike."""

import absences
import federations
import worlds
from hypothesis import given, settings
from hypothesis import strategies as st
from test_cluster_logins import KEEPING
from test_components import COSTS
from test_links import RELAY
from test_oracle import FANOUT_PROCESS, FIFO, LOOP_TURNS
from test_sessions import LOGINS, SETTINGS

from sim.platforms import require_supported
from topologies.plan import Plan


@st.composite
def components_that_go_on(draw):
    """A Topic in the server and one in a component; Platforms, or the server, are away at times."""
    people = absences.subscribers(draw, ["t", "v"], controller="c")
    topology = federations.topology(
        {"c": draw(KEEPING)},
        {name: (place, {"notification": "normal", "payload": {"size": "250 B", "cv": 0.7}})
         for name, place in (("t", "c"), ("v", "beside"))},
        [absences.publisher(["t", "v"], controller="c", count=2), *people],
        [{"topic": name, "by": "pub", "process": "poisson", "rate": "30/s"} for name in "tv"],
        brokers=[{"name": "at-c", "controller": "c"},
                 {"name": "at-beside", "controller": "c", "kind": "component",
                  "costs": draw(COSTS), "delay": draw(st.sampled_from(["0.13 ms", "7.7 ms"]))}],
        faults=absences.losses(draw, ["outage", "disconnect", "crash", "freeze"]),
    )  # fmt: skip
    profile = worlds.profile(
        logins=draw(LOGINS), speed=0.3, notification="55 B", relay=draw(RELAY),
        **draw(st.one_of(FIFO, LOOP_TURNS, FANOUT_PROCESS)),
    )  # fmt: skip
    return topology, {"c": profile}


@settings(SETTINGS, max_examples=6)
@given(components_that_go_on(), st.integers(0, 3), st.sampled_from([None, 0.037]))
def test_both_engines_log_in_beside_components_alike(world, seed, window_s):
    topology, profiles = world
    require_supported(topology)
    federations.assert_sessions_alike(topology, Plan(topology, seed), profiles, window_s)
