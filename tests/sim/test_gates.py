"""The door of a server: admission, connections of an address, failed logins."""

import pytest
import worlds
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from test_oracle import FANOUT_PROCESS, FIFO, LOOP_TURNS
from test_sessions import CRASHES, LOGINS, RETRY, assert_alike

from sim.gates import Gate, Windows
from sim.reference_gates import ReferenceGate
from topologies.limits import AddressLimit
from topologies.plan import Plan

ADMISSION = st.fixed_dictionaries(
    {
        "rate": st.sampled_from(["20/s", "150/s"]),
        "burst": st.sampled_from([1, 3]),
        "queue_wait": st.sampled_from([None, "5 ms"]),
    }
)
ADDRESS = st.fixed_dictionaries(
    {"connections": st.integers(1, 4), "per": st.sampled_from(["30 ms", "0.5 s", "2 s"])}
)
FAILED = st.fixed_dictionaries(
    {"count": st.integers(1, 4), "ban": st.sampled_from(["40 ms", "0.3 s"])}
)


@st.composite
def gated_grids(draw):
    """Platforms behind a few addresses, beside some that guess passwords, and a door."""
    delays = st.sampled_from(["1 ms", "0.3 ms", "25 ms"])

    def people(name, **more):
        mechanism = draw(st.sampled_from(["scram-sha-1", "plain"]))
        return {
            "name": name,
            "count": draw(st.integers(2, 9)),
            "retry": draw(RETRY),
            "network": {"delay": draw(delays)},
            "addresses": draw(st.sampled_from([1, 2, None])),
            "login": {"mechanism": mechanism},
        } | more

    guess = people("guess")
    guess["login"]["password"] = "wrong"
    outages = [
        {"kind": "outage", "name": name, "population": name, "start": "0.1 s", "duration": "50 ms",
         "spread": draw(st.sampled_from(["0 s", "20 ms", "0.3 s"]))}
        for name in ("near", "guess")
    ]  # fmt: skip
    struck = zip(draw(CRASHES), ["0.4 s", "0.7 s"], strict=False)
    crashes = [{**each, "name": f"f{start[2]}", "start": start} for each, start in struck]
    topology = worlds.topology(
        [people("pub", publishes=["t"]), people("near", subscribes=["t"]), guess],
        [{"topic": "t", "by": "pub", "process": "poisson", "rate": "20/s"}],
        cores=draw(st.integers(1, 3)),
        faults=[*outages, *crashes],
        admission=draw(st.none() | ADMISSION),
        limits={"address": draw(st.none() | ADDRESS), "failed_logins": draw(st.none() | FAILED)},
    )
    costs = draw(st.one_of(FIFO, LOOP_TURNS, FANOUT_PROCESS))
    server = draw(st.sampled_from(["prosody", "none"]))
    return topology, worlds.profile(logins=draw(LOGINS), server=server, **costs)


@settings(
    max_examples=15, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)  # fmt: skip
@given(gated_grids(), st.integers(0, 3), st.sampled_from([None, 0.037]))
def test_both_engines_keep_a_door_alike(world, seed, window_s):
    assert_alike(*world, seed, window_s)


def cost(server="none", **given):
    logins = {
        "provenance": {"kind": "assumed", "source": "chosen for a test"},
        "tls": [{"version": "1.3", "key": "ecdsa-p256", "cost": "0 s"}],
        "sasl": [{"mechanism": "plain", "storage": "hashed", "first": "0 s"}],
    }
    return worlds.profile("fifo", server=server, publish="0 s", copy="0 s", logins=logins | given)


def herd(count, retry=None, password="right", addresses=None, faults=(), **controller):
    """Platforms that lose their power for a moment and come back all at once, and an idle one."""
    people = {"name": "sub", "count": count, "network": {"delay": "1 ms"}, "addresses": addresses,
              "login": {"mechanism": "plain", "password": password},
              "retry": {"policy": "fixed", "base": "1 s", **(retry or {})}}  # fmt: skip
    if password == "right":
        people["subscribes"] = ["t"]
    outage = {"kind": "outage", "name": "dark", "population": "sub", "start": "1 s",
              "duration": "1 s", "spread": "0 s"}  # fmt: skip
    return worlds.topology(
        [{"name": "pub", "count": 1, "publishes": ["t"]}, people],
        duration="100 s", faults=[outage, *faults], **controller,
    )  # fmt: skip


def sessions(topology, profile):
    return worlds.compiled(topology, Plan(topology, 1), profile).sessions


@pytest.mark.parametrize("addresses", [1, 3])
def test_a_limit_of_connections_holds_up_all_who_share_an_address(addresses):
    """3 a minute for 12 Platforms behind one address: they need 3 minutes; behind 3, a third."""
    limit = {"address": {"connections": 3, "per": "60 s"}}
    topology = herd(12, addresses=addresses, limits=limit)
    found = sessions(topology, cost())
    online = found.online[:, list(found.populations).index("sub")]
    expected = {1: 3 + 98 // 20, 3: 12}[addresses]
    assert online[-2] == expected
    assert found.attempts.sum() == found.logins.sum() + found.refused.sum()


def test_prosody_counts_in_windows_and_forgets_all_when_one_is_over():
    """3 in 60 s: all who are still out get in within the second in which a minute has passed."""
    limit = {"address": {"connections": 3, "per": "60 s"}}
    topology = herd(12, addresses=1, limits=limit)
    found = worlds.compiled(topology, Plan(topology, 1), cost(server="prosody"))
    ends_s, online = found.intervals["start_s"], found.sessions.online
    mine = online[:, list(found.sessions.populations).index("sub")]
    assert mine[ends_s < 61.0].max(where=ends_s[ends_s < 61.0] > 3.0, initial=0) == 3
    assert mine[ends_s > 64.0].min() == 12


@pytest.mark.parametrize(
    ("instants_s", "let_in"),
    [
        ([0.9, 1.1, 1.2], [True, True, False]),
        ([0.9, 1.1, 1.2, 2.0, 2.0, 2.9], [True, True, False, True, True, True]),
        ([0.9, 1.1, 3.0, 3.1, 3.2, 3.3], [True, True, True, True, True, False]),  # one more
    ],
)
def test_a_window_is_in_whole_seconds_and_its_opener_is_not_counted_again(instants_s, let_in):
    limit = {"connections": 2, "per": "1.5 s"}
    windows = Windows(AddressLimit.model_validate(limit))
    assert [windows.lets_in(7, now_s) for now_s in instants_s] == let_in
    oracle = ReferenceGate(limited(address=limit), "prosody")
    assert [oracle.admits("7", now_s) for now_s in instants_s] == let_in


def test_both_engines_keep_windows_alike_over_several_of_them():
    limit = {"address": {"connections": 2, "per": "1 s"}}
    topology = herd(9, {"base": "0.3 s", "policy": "full-jitter"}, addresses=2, limits=limit)
    assert_alike(topology, cost(server="prosody"), 1, 0.37)


def limited(**limits):
    people = [{"name": "pub", "count": 1, "publishes": ["t"]}]
    return worlds.topology(people, limits=limits).controllers[0]


def test_admission_lets_in_what_its_rate_says():
    """A burst of 5, then 0.1/s: after 98 s those 5 and 9 more are there."""
    topology = herd(40, admission={"rate": "0.1/s", "burst": 5})
    found = sessions(topology, cost())
    assert found.online[-2].tolist() == [5 + 9]


def test_a_refusal_costs_what_the_profile_says():
    topology = herd(10, retry={"attempts": 1}, admission={"rate": "0.001/s", "burst": 4})
    tally = worlds.compiled(topology, Plan(topology, 1), cost(refuse="3 ms", bind="1 s"))
    assert tally.intervals["busy_s"].sum() == pytest.approx(4 * 1.0 + 6 * 0.003, rel=1e-12)
    assert tally.sessions.away.tolist() == [6]


def test_wrong_passwords_shut_an_address_out():
    """Each second an attempt fails; after the third of one address it is shut out for 20 s."""
    limit = {"failed_logins": {"count": 3, "ban": "20 s"}}
    paid = {}
    for name, limits in (("free", {}), ("banned", limit)):
        topology = herd(1, password="wrong", limits=limits)
        plan = Plan(topology, 1)
        tally = worlds.compiled(topology, plan, cost(sasl=[
            {"mechanism": "plain", "storage": "hashed", "first": "10 ms"}]))  # fmt: skip
        assert tally.sessions.logins.sum() == 0
        assert (tally.sessions.online == 0).all()
        assert tally.sessions.refused.sum() == tally.sessions.attempts.sum()
        paid[name] = round(tally.intervals["busy_s"].sum() / 0.010)
    cycle_s = 1.0 + 0.014 + 0.010  # the wait, seven round trips, the work
    assert paid["free"] == 1 + int((100.0 - 2.0) / cycle_s)
    rounds = 98.0 / (3 * cycle_s + 20.0)
    assert 3 * int(rounds) <= paid["banned"] <= 3 * (int(rounds) + 1)


def test_a_right_password_is_no_failure_and_forgives_the_address():
    node = worlds.topology(
        [{"name": "pub", "count": 1, "publishes": ["t"]}],
        limits={"failed_logins": {"count": 2, "ban": "10 s"}},
    ).controllers[0]
    gate = Gate(node)
    gate.fail(7, 0.0)
    gate.succeed(7)
    gate.fail(7, 1.0)
    assert not gate.shuts_out(7, 1.0)
    gate.fail(7, 2.0)
    assert gate.shuts_out(7, 12.0)
    assert not gate.shuts_out(7, 12.1)
    assert not gate.shuts_out(8, 2.0)
