"""Offline storage: what comes for a Platform without a session is sent when it is back."""

import absences
import federations
import numpy as np
import pytest
import worlds
from hypothesis import given, settings
from hypothesis import strategies as st
from test_links import RELAY
from test_oracle import FANOUT_PROCESS, FIFO, LOOP_TURNS
from test_sessions import LOGINS, SETTINGS, assert_alike, both

from sim.platforms import require_supported
from topologies import TopologyError
from topologies.plan import Plan
from topologies.schema import Resumption
from topologies.session_rules import session_problems

PAYLOAD = {"size": "250 B", "cv": 0.7, "max": "5 kB"}
RATE = st.sampled_from(["30/s", "100/s"])
QUOTA = st.sampled_from([None, 2, 500])
COSTS_OF_ALL = st.one_of(FIFO, LOOP_TURNS, FANOUT_PROCESS)


@st.composite
def grids_that_store(draw):
    """Subscribers that are away for a while, once or twice; one of two Topics is stored."""
    topology = worlds.topology(
        [absences.publisher(["t", "v"]), *absences.subscribers(draw, ["t", "v"])],
        [{"topic": name, "by": "pub", "process": "poisson", "rate": draw(RATE)} for name in "tv"],
        topics={"t": PAYLOAD, "v": PAYLOAD},
        cores=draw(st.integers(1, 3)),
        faults=absences.losses(draw, ["outage", "outage", "disconnect", "crash", "freeze"]),
        offline={"messages": draw(QUOTA)},
    )
    stored = [each.model_copy(update={"notification": "normal"}) for each in topology.topics[:1]]
    topology = topology.model_copy(update={"topics": (*stored, topology.topics[1])})
    return topology, worlds.profile(logins=draw(LOGINS), speed=0.3, **draw(COSTS_OF_ALL))


@settings(SETTINGS, max_examples=12)
@given(grids_that_store(), st.integers(0, 3), st.sampled_from([None, 0.037]))
def test_both_engines_store_and_deliver_alike(world, seed, window_s):
    assert_alike(*world, seed, window_s)
    topology, profile = world
    (fast, _), (slow, _) = both(topology, Plan(topology, seed), profile, window_s)
    assert fast.offline == pytest.approx(slow.offline, rel=1e-9)
    late = [key for key in fast.histograms if key[3] == "delayed"]
    for key in late:
        assert fast.histograms[key][1].tolist() == slow.histograms[key][1].tolist()


@st.composite
def grids_that_store_what_comes_over_a_link(draw):
    """Subscribers of Controller c, which stores; the Broker and the publisher are on d."""
    here = absences.subscribers(draw, ["t", "v"], controller="c")
    link = {"from": "c", "to": "d", "delay": draw(st.sampled_from(["0.371 ms", "17.3 ms"])),
            "copies": draw(st.sampled_from(["subscriber", "domain"])),
            **draw(st.sampled_from([{}, {"rate": "91 kB/s"}]))}  # fmt: skip
    kept = {name: {"payload": PAYLOAD, "notification": notification}
            for name, notification in (("t", "normal"), ("v", "headline"))}  # fmt: skip
    topology = federations.topology(
        {"c": {"offline": {"messages": draw(QUOTA)}}, "d": {}},
        {name: (draw(st.sampled_from("ddc")), each) for name, each in kept.items()},
        [absences.publisher(["t", "v"], controller=draw(st.sampled_from("dc"))), *here],
        [{"topic": name, "by": "pub", "process": "poisson", "rate": draw(RATE)} for name in "tv"],
        links=[link],
        faults=absences.losses(draw, ["outage", "outage", "disconnect", "crash", "freeze"]),
    )
    profiles = {
        name: worlds.profile(logins=draw(LOGINS), speed=0.3, notification="55 B",
                             relay=draw(RELAY), **draw(COSTS_OF_ALL))
        for name in "cd"
    }  # fmt: skip
    return topology, profiles


@settings(SETTINGS, max_examples=7)
@given(grids_that_store_what_comes_over_a_link(), st.integers(0, 3), st.sampled_from([None, 0.037]))
def test_both_engines_store_alike_what_comes_over_a_link(world, seed, window_s):
    topology, profiles = world
    require_supported(topology)
    plan = Plan(topology, seed)
    fast, slow = federations.assert_alike(topology, plan, profiles, window_s)
    assert fast[0].offline == pytest.approx(slow[0].offline, rel=1e-9)


COSTS = {"bind": "1 ms", "resume": "1 ms", "accept": "1 ms",
          "tls": [{"version": "1.3", "key": "ecdsa-p256", "cost": "2 ms"}],
          "sasl": [{"mechanism": "plain", "storage": "hashed", "first": "3 ms"}],
          "provenance": {"kind": "assumed", "source": "chosen for a test"}}  # fmt: skip
DELAY_S, COPY_S = 10e-3, 1e-3


def away(server="none", notification="normal", kind="outage", more=(), **offline):
    """A subscriber that is away from 1 s to 2 s, and a hundred publications a second."""
    topology = worlds.topology(
        [
            {"name": "pub", "count": 1, "publishes": ["t"]},
            {"name": "sub", "count": 1, "subscribes": ["t"], "network": {"delay": f"{DELAY_S} s"},
             "login": {"mechanism": "plain"}},
        ],
        [{"topic": "t", "by": "pub", "process": "deterministic", "rate": "100/s"}],
        duration="4 s",
        faults=[{"kind": kind, "name": "gone", "population": "sub", "start": "1 s",
                 "duration": "1 s"}, *more],
        keeping={"notification": notification},
        offline=offline,
    )  # fmt: skip
    profile = worlds.profile("fifo", publish="0 s", copy=f"{COPY_S} s", logins=COSTS, server=server)
    return topology, worlds.compiled(topology, Plan(topology, 1), profile)


def test_what_was_stored_comes_in_order_as_one_burst_before_anything_new():
    _, tally = away()
    assert tally.delivered == tally.expected == 400
    assert tally.missed == tally.lost == tally.offline["waiting"] == tally.offline["bounced"] == 0
    rows = tally.trace["row"].tolist()
    assert rows == sorted(rows)
    login_s = 1.0 + 1.0 + 9 * 2 * DELAY_S + 7e-3  # nine round trips, the last one half way back
    presence_s = login_s + DELAY_S  # ... to who knows then that it is online
    stored = round(tally.offline["stored"])
    assert stored == pytest.approx((presence_s - 1.0) * 100.0, abs=3)
    last_s = sorted(tally.trace["received_s"].tolist())[100 + stored - 1]
    assert last_s == pytest.approx(presence_s + stored * COPY_S + DELAY_S, abs=20e-3)


@pytest.mark.parametrize(
    ("server", "messages", "most"),
    [("none", {"messages": 7}, 7), ("ejabberd", {}, 100), ("prosody", {}, None)],
)
def test_as_many_are_stored_as_the_server_takes_and_the_oldest_of_them(server, messages, most):
    _, tally = away(server, **messages)
    everything = away()[1].offline["stored"]
    stored = most or everything
    assert tally.offline["stored"] == tally.offline["delayed"] == stored
    assert tally.offline["bounced"] == tally.missed == tally.lost == everything - stored
    assert tally.offline["bytes_max"] == 1000.0 * stored
    late = [key for key in tally.histograms if key[3] == "delayed"]
    assert sum(int(tally.histograms[key][1].sum()) for key in late) == stored
    missed = sorted({*range(400)} - {*tally.trace["row"].tolist()})
    assert missed == [*range(100 + stored, 100 + everything)]


def test_headlines_are_not_stored():
    _, tally = away(notification="headline")
    assert tally.offline["stored"] == 0
    assert 100 < tally.lost == tally.missed < 125


def test_a_crash_loses_nothing_of_what_is_stored():
    crash = {"kind": "crash", "name": "dead", "controller": "c", "start": "1.5 s",
             "duration": "10 ms"}  # fmt: skip
    _, tally = away(more=[crash])
    assert tally.offline["delayed"] == tally.offline["stored"] > 100
    assert {*range(100, 150)} <= {*tally.trace["row"].tolist()}


def test_what_is_stored_goes_out_as_a_server_goes_on_that_stood_still():
    freeze = {"kind": "freeze", "name": "still", "controller": "c", "start": "2.19 s",
              "duration": "0.3 s"}  # fmt: skip
    _, tally = away(more=[freeze])
    assert tally.delivered == tally.expected == 400
    instants_s, stored = np.sort(tally.trace["received_s"]), round(tally.offline["stored"])
    assert instants_s[100] > 2.49 + DELAY_S
    assert instants_s[99 + stored] == pytest.approx(2.49 + stored * COPY_S + DELAY_S, abs=3e-3)


def test_beside_resumption_it_is_refused():
    topology, _ = away()
    node = topology.controllers[0]
    both_kept = node.model_copy(update={"resumption": Resumption(window="1 s")})
    with pytest.raises(TopologyError) as refused:
        require_supported(topology.model_copy(update={"controllers": (both_kept,)}))
    assert refused.value.problems == [
        "controllers[0].offline: keeps copies for who is away, and so does resumption: which of "
        "both takes one is a matter of each server that has no model; leave one of both out"
    ]


def test_storage_without_anything_to_store_is_a_mistake():
    topology, _ = away(notification="headline")
    (found,) = session_problems(topology, lambda name: worlds.profile("fifo", logins=COSTS))
    assert found.line("") == (
        "controllers[0].offline: stores nothing: no Topic of Platforms that log in there has "
        "notifications to store; write notification: normal at one, or leave it out"
    )
