"""Sessions: the compiled engine logs Platforms in as the plain SimPy Platforms do."""

import numpy as np
import pytest
import worlds
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from test_oracle import FANOUT_PROCESS, FIFO, LOOP_TURNS, ordered

from sim.grid import Grid
from sim.platforms import require_supported
from topologies.plan import Plan

TIME = st.sampled_from(["0 ms", "1 ms", "2 ms", "0.7 ms", "3.1 ms"])
LOGINS = st.fixed_dictionaries(
    {
        "provenance": st.just({"kind": "assumed", "source": "chosen for a test"}),
        "accept": TIME, "starttls": TIME, "stream": TIME, "bind": TIME, "subscribe": TIME,
        "tls": st.just([{"version": "1.3", "key": "ecdsa-p256", "cost": "1.7 ms"},
                        {"version": "1.2", "key": "ecdsa-p256", "cost": "2 ms"}]),
        "sasl": st.just([{"mechanism": "scram-sha-1", "storage": "hashed", "first": "0.3 ms",
                          "final": "0.2 ms"},
                         {"mechanism": "plain", "storage": "hashed", "first": "3.4 ms"}]),
        "resume": TIME, "refuse": TIME, "deny": TIME, "noticed": st.sampled_from([0.0, 0.5, 1.0]),
        "cv": st.sampled_from([0.0, 0.4]),
    }
)  # fmt: skip
RETRY = st.fixed_dictionaries(
    {
        "policy": st.sampled_from(
            ["fixed", "exponential", "full-jitter", "equal-jitter", "decorrelated", "memoryless"]
        ),
        "base": st.sampled_from(["10 ms", "30 ms"]),
        "cap": st.sampled_from(["30 ms", "200 ms"]),
        "timeout": st.sampled_from(["25 ms", "60 ms", "10 s"]),
        "attempts": st.sampled_from([2, 1000]),
        "first": st.just("0 s"),
    }
)
OUTAGES = st.lists(
    st.fixed_dictionaries(
        {
            "kind": st.just("outage"),
            "population": st.sampled_from(["pub", "near"]),
            "start": st.sampled_from(["0 s", "0.2 s", "0.31 s"]),
            "duration": st.sampled_from(["50 ms", "0.2 s"]),
            "spread": st.sampled_from(["0 s", "20 ms", "0.3 s"]),
        }
    ),
    min_size=1, max_size=3,
)  # fmt: skip

CRASHES = st.lists(
    st.fixed_dictionaries(
        {
            "kind": st.sampled_from(["crash", "restart"]),
            "controller": st.just("c"),
            "duration": st.sampled_from(["5 ms", "60 ms", "0.15 s"]),
            "notice": st.sampled_from(["0 s", "0 s", "90 ms"]),
        }
    ),
    min_size=1, max_size=2,
)  # fmt: skip


@st.composite
def grids_with_logins(draw, crashing=False):
    """A grid whose publishers and subscribers lose their sessions and log in again."""

    def login():
        return {
            "mechanism": draw(st.sampled_from(["scram-sha-1", "plain"])),
            "tls": draw(st.sampled_from(["1.2", "1.3"])),
        }

    def delay():
        return {"delay": draw(st.sampled_from(["1 ms", "0.3 ms", "25 ms"]))}

    people = [
        {"name": "pub", "count": draw(st.integers(1, 3)), "publishes": ["t"], "login": login(),
         "network": delay(), "retry": draw(RETRY)},
        {"name": "near", "count": draw(st.integers(1, 12)), "subscribes": ["t"],
         "login": login(), "network": delay(), "retry": draw(RETRY)},
        {"name": "far", "count": 3, "subscribes": ["t"], "network": delay()},
    ]  # fmt: skip
    faults = draw(OUTAGES)
    if crashing:
        people[2] |= {"login": login(), "retry": draw(RETRY)}
        starts = ["0.2 s", "0.4 s"]
        struck = zip(draw(CRASHES), starts, strict=False)
        crashes = [{**each, "start": start} for each, start in struck]
        faults = draw(st.permutations([*faults, *crashes]))
    faults = [{"name": f"f{i}", **each} for i, each in enumerate(faults)]
    topology = worlds.topology(
        people,
        [{"topic": "t", "by": "pub", "process": "poisson", "rate": "20/s"}],
        topics={"t": {"size": "250 B", "cv": 0.7, "max": "5 kB"}},
        cores=draw(st.integers(1, 3)),
        faults=faults,
        admission=draw(st.sampled_from([None, {"queue_wait": "5 ms"}])),
    )
    costs = draw(st.one_of(FIFO, LOOP_TURNS, FANOUT_PROCESS))
    return topology, worlds.profile(logins=draw(LOGINS), **costs)


def both(topology, plan, profile, window_s=None):
    """Tallies of the Controller and of the sessions, by either engine."""
    grid = Grid(worlds.study_of(topology, plan), plan, {"c": profile}, window_s=window_s)
    fast = grid.run()[0]
    slow = worlds.stanza_by_stanza(topology, plan, profile)
    return (fast, fast.sessions), (slow, slow.sessions)


SETTINGS = settings(
    max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)  # fmt: skip


@SETTINGS
@given(grids_with_logins(), st.integers(0, 3), st.sampled_from([None, 0.037]))
def test_both_engines_log_in_and_deliver_alike(world, seed, window_s):
    assert_alike(*world, seed, window_s)


@SETTINGS
@given(grids_with_logins(crashing=True), st.integers(0, 3), st.sampled_from([None, 0.037]))
def test_both_engines_lose_the_same_when_a_controller_dies(world, seed, window_s):
    assert_alike(*world, seed, window_s)


def assert_alike(topology, profile, seed, window_s):
    """Both engines count the same of a grid on a plan."""
    plan = Plan(topology, seed)
    (fast, quick), (slow, plain) = both(topology, plan, profile, window_s)
    for name in ("attempts", "logins", "given_up", "refused", "online", "away"):
        assert getattr(quick, name).tolist() == getattr(plain, name).tolist(), name
    for one, other in zip(quick.latency, plain.latency, strict=True):
        assert one.tolist() == other.tolist()
    fast_trace, slow_trace = ordered(fast.trace), ordered(slow.trace)
    assert fast_trace["row"].tolist() == slow_trace["row"].tolist()
    assert fast_trace["platform"].tolist() == slow_trace["platform"].tolist()
    np.testing.assert_allclose(
        fast_trace["received_s"], slow_trace["received_s"], rtol=1e-9, atol=0
    )
    for count in ("expected", "delivered", "lost", "missed", "dropped"):
        assert getattr(fast, count) == getattr(slow, count), count
    for column in ("busy_s", "egress_bytes", "received", "timely", "latencies", "latency_s"):
        np.testing.assert_allclose(
            fast.intervals[column], slow.intervals[column], rtol=1e-9, atol=1e-9, err_msg=column
        )
    for law in ("owed_area_s", "sojourn_s", "idle_s"):
        assert getattr(fast, law) == pytest.approx(getattr(slow, law), rel=1e-9, abs=1e-9), law
    assert fast.expected == fast.delivered + fast.lost
    assert fast.histograms.keys() == slow.histograms.keys()


def test_a_refusal_counts_that_finds_its_platform_without_power():
    """Answers are on their way for 25 ms; the second loss of power comes in that time."""
    power = [
        {"kind": "outage", "name": name, "population": "near", "start": start, "duration": "50 ms"}
        for name, start in (("first", "0 s"), ("second", "0.16 s"))
    ]
    topology = worlds.topology(
        [{"name": "pub", "count": 1, "publishes": ["t"]},
         {"name": "near", "count": 9, "login": {}, "network": {"delay": "25 ms"},
          "subscribes": ["t"],
          "retry": {"policy": "fixed", "base": "10 ms", "timeout": "10 s", "first": "0 s"}}],
        [{"topic": "t", "by": "pub", "process": "poisson", "rate": "20/s"}],
        faults=power, admission={"queue_wait": "5 ms"},
    )  # fmt: skip
    costs = {
        "provenance": {"kind": "assumed", "source": "chosen for a test"}, "cv": 0.4,
        "accept": "20 ms", "refuse": "1 ms",
        "tls": [{"version": "1.3", "key": "ecdsa-p256", "cost": "1 ms"}],
        "sasl": [{"mechanism": "scram-sha-1", "storage": "hashed", "first": "1 ms"}],
    }  # fmt: skip
    profile = worlds.profile("fifo", logins=costs)
    assert_alike(topology, profile, 1, None)
    (_, quick), _ = both(topology, Plan(topology, 1), profile)
    assert quick.refused.sum() > 0
    assert quick.logins.sum() > 0


def test_a_login_without_a_way_ends_at_once_in_an_error():
    people = [
        {"name": "pub", "count": 1, "publishes": ["t"]},
        {"name": "near", "count": 1, "subscribes": ["t"], "login": {}},
    ]
    costs = {
        "tls": [{"version": "1.3", "key": "ecdsa-p256", "cost": "0 s"}],
        "sasl": [{"mechanism": "scram-sha-1", "storage": "hashed", "first": "0 s"}],
        "provenance": {"kind": "assumed", "source": "chosen for a test"},
    }
    topology = worlds.topology(people)
    with pytest.raises(AssertionError, match="windows need a length"):
        worlds.compiled(topology, Plan(topology, 1), worlds.profile("fifo", logins=costs))


@settings(SETTINGS, max_examples=3)
@given(grids_with_logins(crashing=True), st.integers(0, 3))
def test_a_limit_of_sessions_is_taken_as_accounts_of_one_platform_never_reach_it(world, seed):
    """The engines assert that no Platform has two sessions at a time."""
    topology, profile = world
    (node,) = topology.controllers
    account = node.limits.account.model_copy(update={"sessions": 1})
    limits = node.limits.model_copy(update={"account": account})
    limited = topology.model_copy(
        update={"controllers": (node.model_copy(update={"limits": limits}),)}
    )
    require_supported(limited)
    plan = Plan(topology, seed)
    (fast, quick), (slow, plain) = both(limited, plan, profile)
    assert quick.logins.tolist() == plain.logins.tolist()
    assert fast.delivered == slow.delivered
