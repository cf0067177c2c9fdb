"""Resumption: sessions outlive broken connections for a while, and what came meanwhile is late."""

import absences
import pytest
import worlds
from hypothesis import given, settings
from hypothesis import strategies as st
from test_oracle import FANOUT_PROCESS, FIFO, LOOP_TURNS
from test_sessions import LOGINS, SETTINGS, assert_alike

from sim.platforms import require_supported
from topologies import TopologyError
from topologies.plan import Plan


@st.composite
def grids_that_resume(draw):
    """Subscribers whose connections break, for a while or with their Controller; much to miss."""
    kinds = ["disconnect", "disconnect", "disconnect", "outage", "crash"]
    topology = worlds.topology(
        [absences.publisher(["t"]), *absences.subscribers(draw, ["t"])],
        [{"topic": "t", "by": "pub", "process": "poisson", "rate": "50/s"}],
        topics={"t": {"size": "250 B", "cv": 0.7, "max": "5 kB"}},
        cores=draw(st.integers(1, 3)),
        faults=absences.losses(draw, kinds),
        resumption={"window": draw(st.sampled_from(["0.15 s", "10 s", "10 s"])),
                    "queue": draw(st.sampled_from([2, 500, 500]))},
    )  # fmt: skip
    costs = draw(st.one_of(FIFO, LOOP_TURNS, FANOUT_PROCESS))
    return topology, worlds.profile(logins=draw(LOGINS), speed=0.3, **costs)


@settings(SETTINGS, max_examples=20)
@given(grids_that_resume(), st.integers(0, 3), st.sampled_from([None, 0.037]))
def test_both_engines_resume_alike(world, seed, window_s):
    assert_alike(*world, seed, window_s)


COSTS = {"bind": "100 ms", "resume": "1 ms", "accept": "1 ms",
          "tls": [{"version": "1.3", "key": "ecdsa-p256", "cost": "2 ms"}],
          "sasl": [{"mechanism": "plain", "storage": "hashed", "first": "3 ms"}],
          "provenance": {"kind": "assumed", "source": "chosen for a test"}}  # fmt: skip
PROFILE = worlds.profile("fifo", publish="1 ms", copy="1 ms", logins=COSTS)


def broken(kind="disconnect", **resumption):
    """A subscriber whose connection is gone from 1 s to 2 s, and ten publications a second."""
    return worlds.topology(
        [
            {"name": "pub", "count": 1, "publishes": ["t"]},
            {"name": "sub", "count": 1, "subscribes": ["t"], "network": {"delay": "10 ms"},
             "login": {"mechanism": "plain"}},
        ],
        [{"topic": "t", "by": "pub", "process": "deterministic", "rate": "10/s"}],
        duration="4 s",
        faults=[{"kind": kind, "name": "gone", "population": "sub", "start": "1 s",
                 "duration": "1 s"}],
        resumption=resumption or None,
    )  # fmt: skip


def played(topology):
    return worlds.compiled(topology, Plan(topology, 1), PROFILE)


def test_a_resumed_session_gets_what_was_kept_in_order():
    tally = played(broken(window="10 s"))
    assert tally.delivered == tally.expected == 40
    rows = tally.trace["row"].tolist()
    assert rows == sorted(rows)
    assert tally.missed == 0
    late_s = [float(instant) for instant in tally.trace["received_s"] if 1.1 < instant < 2.3]
    assert len(late_s) >= 10
    assert late_s[0] > 2.15  # seven steps of 20 ms and a round trip


@pytest.mark.parametrize(
    "topology",
    [
        broken(),
        broken(window="1 s"),
        broken(window="10 s", queue=5),
        broken("outage", window="10 s"),
    ],
    ids=["no resumption", "too late", "too much", "a power cut"],
)
def test_what_cannot_be_resumed_is_lost_and_costs_a_full_login(topology):
    tally, resumed = played(topology), played(broken(window="10 s"))
    assert tally.delivered < 30
    assert tally.missed == tally.lost == 40 - tally.delivered
    assert tally.sessions.logins.sum() == resumed.sessions.logins.sum() == 1
    spent_s = sum(tally.intervals["busy_s"]) - tally.delivered * 1e-3
    assert spent_s > sum(resumed.intervals["busy_s"]) - resumed.delivered * 1e-3 + 0.09


def test_resumption_beside_failover_is_refused():
    topology = broken(window="10 s")
    node = topology.controllers[0]
    people = topology.platforms[1].model_copy(update={"failover": ("c2",)})
    both = topology.model_copy(
        update={
            "controllers": (node, node.model_copy(update={"name": "c2", "resumption": None})),
            "platforms": (topology.platforms[0], people),
        }
    )
    with pytest.raises(TopologyError) as refused:
        require_supported(both)
    assert refused.value.problems == [
        "platforms[1].failover: c lets sessions be resumed, which is not supported with failover "
        "yet; leave one of both out"
    ]
