"""Platforms that log in to a cluster: each comes back to its node; both engines alike."""

import absences
import federations
import worlds
from hypothesis import given, settings
from hypothesis import strategies as st
from test_links import RELAY
from test_oracle import FANOUT_PROCESS, FIFO, LOOP_TURNS
from test_requests import COSTS, KINDS, changed
from test_sessions import LOGINS, SETTINGS

from sim.platforms import require_supported
from topologies.plan import Plan

KEEPING = st.sampled_from(
    [{}, {}, {"resumption": {"window": "10 s", "queue": 2}}, {"offline": {"messages": 2}}]
)


@st.composite
def clusters_that_lose_sessions(draw):
    """A cluster whose Platforms are away for a while, alone or with all of its nodes."""
    people = absences.subscribers(draw, ["t", "v"], controller="c")
    keeping = draw(KEEPING)
    last = (
        "never"
        if "resumption" in keeping
        else draw(st.sampled_from(["never", "on-login", "on-subscribe"]))
    )
    kept = {"max_items": 3, "last_item": last, "payload": {"size": "250 B", "cv": 0.7}}
    topology = federations.topology(
        {"c": {"nodes": draw(st.integers(2, 3)), "hop": draw(st.sampled_from(["0.37 ms", "7 ms"])),
               **keeping}},
        {"t": ("c", kept | {"notification": "normal"}), "v": ("c", kept)},
        [absences.publisher(["t", "v"], controller="c", count=2), *people],
        [{"topic": name, "by": "pub", "process": "poisson", "rate": "30/s"} for name in "tv"],
        brokers=[{"name": "at-c", "controller": "c",
                  "runs_on": draw(st.sampled_from(["every-node", "first-node"]))}],
        faults=absences.losses(draw, ["outage", "outage", "disconnect", "crash", "freeze"]),
    )  # fmt: skip
    if "resumption" not in keeping:
        asked = [{"by": "near", "topic": "t", **draw(KINDS)}]
        topology = changed(topology, lambda data: data["workload"].update(queries=asked))
    profile = worlds.profile(
        logins=draw(LOGINS), queries=draw(COSTS), speed=0.3, notification="55 B",
        relay=draw(RELAY), **draw(st.one_of(FIFO, LOOP_TURNS, FANOUT_PROCESS)),
    )  # fmt: skip
    return topology, {"c": profile}


@settings(SETTINGS, max_examples=9)
@given(clusters_that_lose_sessions(), st.integers(0, 3), st.sampled_from([None, 0.037]))
def test_both_engines_log_in_to_clusters_alike(world, seed, window_s):
    topology, profiles = world
    require_supported(topology)
    federations.assert_sessions_alike(topology, Plan(topology, seed), profiles, window_s)


def test_all_nodes_of_a_cluster_die_and_everybody_comes_back():
    people = [
        {"name": name, "count": count, "controller": "c", "network": {"delay": "10 ms"},
         "login": {}, "retry": {"first": "0 s", "policy": "fixed", "base": "0.6 s"}, **use}
        for name, count, use in (("pub", 1, {"publishes": ["t"]}), ("sub", 7, {"subscribes": "t"}))
    ]  # fmt: skip
    people[1]["subscribes"] = ["t"]
    topology = federations.topology(
        {"c": {"nodes": 3, "hop": "1 ms"}}, {"t": ("c", {})}, people,
        [{"topic": "t", "by": "pub", "process": "deterministic", "rate": "10/s"}],
        duration="4 s",
        faults=[{"kind": "crash", "name": "dead", "controller": "c", "start": "1 s",
                 "duration": "0.5 s"}],
    )  # fmt: skip
    costs = {
        "tls": [{"version": "1.3", "key": "ecdsa-p256", "cost": "0 s"}],
        "sasl": [{"mechanism": "scram-sha-1", "storage": "hashed", "first": "0 s"}],
        "provenance": {"kind": "assumed", "source": "chosen for a test"},
    }
    profile = worlds.profile("fifo", publish="0 s", copy="1 ms", logins=costs)
    first, *others = federations.compiled(topology, Plan(topology, 1), {"c": profile})
    assert first.sessions.logins.sum(axis=0).tolist() == [1, 7]
    assert first.sessions.online[-1].tolist() == [1, 7]
    assert [each.sessions.logins.size for each in others] == [0, 0]
    missed = {int(row) for each in (first, *others) for row in each.trace["row"]} ^ {*range(40)}
    assert all(10 <= row < 26 for row in missed)
    assert len(missed) >= 6
