"""Last items upon subscribing: both engines alike, and each instant by hand."""

import numpy as np
import pytest
import worlds
from hypothesis import given, settings
from hypothesis import strategies as st
from test_offline import COSTS, grids_that_store
from test_requests import grids_that_ask, latencies_s
from test_sessions import SETTINGS

from results import histogram
from sim.platforms import require_supported
from topologies.plan import Plan

SOURCE = {"kind": "assumed", "source": "chosen for a test"}
LOSSES = st.sampled_from(["outage", "outage", "crash"])


def reminding(topology, place=slice(None)):
    """The topology with Topics that send their last items to whoever subscribes."""
    topics = list(topology.topics)
    topics[place] = [
        each.model_copy(update={"last_item": "on-subscribe"}) for each in topics[place]
    ]
    return topology.model_copy(update={"topics": tuple(topics)})


@settings(SETTINGS, max_examples=8)
@given(
    LOSSES.flatmap(grids_that_ask), st.integers(0, 3), st.sampled_from([None, 0.037]),
    st.sampled_from([slice(None), slice(1, 2)]),
)  # fmt: skip
def test_both_engines_remind_alike(world, seed, window_s, place):
    topology, profile = reminding(world[0], place), world[1]
    require_supported(topology)
    plan = Plan(topology, seed)
    fast = worlds.compiled(topology, plan, profile, window_s)
    worlds.assert_agree(fast, worlds.stanza_by_stanza(topology, plan, profile))
    assert fast.expected == fast.delivered + fast.lost + fast.rejected


@settings(SETTINGS, max_examples=10)
@given(grids_that_store(), st.integers(0, 3), st.sampled_from([None, 0.037]))
def test_both_engines_remind_alike_whoever_was_away(world, seed, window_s):
    """Outages, disconnects, crashes and freezes, what was stored meanwhile among the last items."""
    topology, queries = reminding(world[0]), {"provenance": SOURCE, "base": "0.9 ms"}
    asking = worlds.profile("fifo", queries=queries | {"per_item": "0.31 ms"})
    profile = world[1].model_copy(update={"queries": asking.queries})
    require_supported(topology)
    plan = Plan(topology, seed)
    fast = worlds.compiled(topology, plan, profile, window_s)
    worlds.assert_agree(fast, worlds.stanza_by_stanza(topology, plan, profile))


DELAY_S, COPY_S, BASE_S, ITEM_S = 10e-3, 1e-3, 2e-3, 0.5e-3


def returning(count=1, cores=1, last_item="on-subscribe", kind="outage", **more):
    """Subscribers of three Topics, of which two remind, that are away from 1 s to 2 s."""
    topology = worlds.topology(
        [
            {"name": "pub", "count": 1, "publishes": ["t", "u", "v"]},
            {"name": "sub", "count": count, "subscribes": ["t", "u", "v"],
             "network": {"delay": "10 ms"}, "login": {"mechanism": "plain"},
             "retry": {"timeout": "100 s"}},
        ],
        [{"topic": "t", "by": "pub", "process": "deterministic", "rate": "0.1/s"}],
        topics={name: {"size": "1000 B"} for name in "tuv"},
        duration="8 s",
        faults=[{"kind": kind, "name": "gone", "population": "sub", "start": "1 s",
                 "duration": "1 s"}],
        keeping={"last_item": last_item},
        cores=cores,
        **more,
    )  # fmt: skip
    queries = {"provenance": SOURCE, "base": "2 ms", "per_item": "0.5 ms"}
    profile = worlds.profile("fifo", copy="1 ms", logins=COSTS, queries=queries)
    never = topology.topics[2].model_copy(update={"last_item": "never"})
    return topology.model_copy(update={"topics": (*topology.topics[:2], never)}), profile


def received_s(**more):
    """When each last item was received."""
    topology, profile = returning(**more)
    tally = worlds.compiled(topology, Plan(topology, 1), profile)
    return np.sort(tally.trace["received_s"][tally.trace["received_s"] > 2.0]), tally


@pytest.mark.parametrize("cores", [1, 3])
def test_last_items_follow_the_subscription_at_once(cores):
    instants_s, tally = received_s(cores=cores)
    subscribed_s = 2.0 + (2 * 8 + 1) * DELAY_S + 7e-3  # a connection, then eight messages
    work_s = BASE_S + ITEM_S + COPY_S
    first_s = subscribed_s + work_s + DELAY_S
    second_s = first_s if cores > 1 else first_s + work_s
    assert instants_s == pytest.approx([first_s, second_s], abs=1e-8)
    found = np.flatnonzero(latencies_s(tally, "last-item"))
    expected_s = np.array([first_s, second_s]) - subscribed_s
    np.testing.assert_allclose(histogram.representative_s()[found[-1]], expected_s[-1], rtol=0.01)


def test_upon_a_login_they_come_a_round_trip_later():
    early_s, _ = received_s()
    late_s, _ = received_s(last_item="on-login")
    assert late_s - early_s == pytest.approx([2 * DELAY_S] * 2, abs=1e-8)


def test_whoever_subscribes_gets_each_last_item_once():
    instants_s, tally = received_s(count=40, cores=2)
    assert len(instants_s) == tally.sessions.logins.sum() * 2 == 80
    assert tally.expected == tally.delivered + tally.lost
