"""Controllers that federate: both engines carry copies over their links to the same instants."""

import federations
import numpy as np
import pytest
import test_windows
import worlds
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from test_oracle import ARRIVALS, FANOUT_PROCESS, FIFO, LOOP_TURNS

import sim
import sim.controller
import topologies
from topologies.plan import Plan
from topologies.schema import Topology

PROFILE = st.one_of(FIFO, LOOP_TURNS, FANOUT_PROCESS)
RELAY = st.sampled_from(
    [{}, {"receive": "0.9 ms"}, {"receive": "0.3 ms", "receive_per_byte": "1.7 us/B"}]
)
SERVER = st.sampled_from(["none", "prosody", "ejabberd"])
NAMES = ("a", "b", "d")


@st.composite
def linked_controllers(draw):
    """Two or three Controllers with a Topic each, people anywhere, links of all kinds."""
    names = NAMES[: draw(st.integers(2, 3))]
    topics = {f"on-{name}": (name, {"payload": {"size": "250 B", "cv": 0.6}}) for name in names}
    people, arrivals = [], []
    for name in names:
        wanted = draw(st.lists(st.sampled_from(list(topics)), unique=True))
        subscribes = [{"topic": each, "fraction": 0.8} for each in wanted]
        delay = draw(st.sampled_from(["0 s", "1.1 ms", "23 ms"]))
        people.append(
            {"name": f"sub-{name}", "controller": name, "count": draw(st.integers(1, 5)),
             "subscribes": subscribes, "network": {"delay": delay}}
        )  # fmt: skip
        if draw(st.booleans()):
            people[-1]["read_rate"] = "333/s"
    for topic in topics:
        home = draw(st.sampled_from(names))
        people.append(
            {"name": f"pub-{topic}", "controller": home, "count": draw(st.integers(1, 3)),
             "publishes": [topic]}
        )  # fmt: skip
        arrivals.append({"topic": topic, "by": f"pub-{topic}", **draw(ARRIVALS)})
    pairs = [(one, other) for one in names for other in names if one < other]
    links = [
        {"from": one, "to": other, "delay": draw(st.sampled_from(["0.37 ms", "17.3 ms"])),
         "copies": draw(st.sampled_from(["subscriber", "domain"])),
         **draw(st.sampled_from([{}, {"rate": "23 kB/s"}]))}
        for one, other in pairs
        if draw(st.booleans())
    ]  # fmt: skip
    faults = [
        {"kind": "partition", "name": f"cut-{place}", "link": draw(st.permutations(pair)),
         "start": draw(st.sampled_from(["0 s", "0.11 s", "0.4 s"])),
         "duration": draw(st.sampled_from(["30 ms", "0.4 s"])),
         "timeout": draw(st.sampled_from([None, "0 s", "0.2 s"]))}
        for place, pair in enumerate(pairs)
        if draw(st.booleans())
    ]  # fmt: skip
    topology = federations.topology(
        {
            name: {
                "nic": draw(st.sampled_from(["1 GB/s", "61 kB/s"])),
                "limits": draw(st.sampled_from([{}, {"server_stanza": "400 B"},
                                                {"server": {"rate": "9.7 kB/s"},
                                                 "server_stanza": "600 B"},
                                                {"server": {"rate": "3 kB/s", "burst": "2 kB"}}])),
            }
            for name in names
        },
        topics, people, arrivals, links=links, faults=faults,
    )  # fmt: skip
    profiles = {
        name: worlds.profile(
            notification="55 B", relay=draw(RELAY), server=draw(SERVER), **draw(PROFILE)
        )
        for name in names
    }
    return topology, profiles


@settings(
    max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)  # fmt: skip
@given(linked_controllers(), st.integers(0, 3), st.sampled_from([None, 0.37, 0.01]))
def test_both_engines_carry_copies_to_the_same_instants(world, seed, window_s):
    topology, profiles = world
    plan = Plan(topology, seed)
    fast = federations.compiled(topology, plan, profiles, window_s)
    slow = federations.stanza_by_stanza(topology, plan, profiles)
    for one, other in zip(fast, slow, strict=True):
        worlds.assert_agree(one, other)
        assert one.expected == one.delivered + one.lost
        assert one.owed_area_s == pytest.approx(one.sojourn_s, rel=1e-9)


def alert(remote, copies, limit):
    """One 1 KiB alert from Controller a to subscribers on b over a link of 10 ms."""
    return federations.topology(
        {"a": {}, "b": {"limits": {"server": limit} if limit else {}}},
        {"alerts": ("a", {"payload": {"size": "1 KiB"}})},
        [
            {"name": "cert", "controller": "a", "count": 1, "publishes": ["alerts"]},
            {"name": "member", "controller": "b", "count": remote, "subscribes": ["alerts"]},
        ],
        [{"topic": "alerts", "by": "cert", "process": "deterministic", "rate": "0.01/s"}],
        duration="60 s",
        links=[{"from": "a", "to": "b", "delay": "10 ms", "copies": copies}],
    )  # fmt: skip


PROSODY = topologies.read_profile("prosody-0.12")
STOCK = {"rate": "30 KiB/s"}  # `limits.s2sin` of Debian's prosody.cfg.lua


@pytest.mark.parametrize("engine", [federations.compiled, federations.stanza_by_stanza])
def test_an_alert_to_a_thousand_members_is_42_s_old_over_stock_limits(engine):
    def last_s(copies, limit):
        topology = alert(1000, copies, limit)
        plan = worlds.GivenPlan(topology, [(0.0, 0, 0, 1024)])
        tallies = engine(topology, plan, {"a": PROSODY, "b": PROSODY})
        assert tallies[1].delivered == 1000
        return float(tallies[0].publications["last_s"][0])

    # 1,000 copies of 1,024 + 270 B at 30 KiB/s, but for the pause after the last read.
    assert last_s("subscriber", STOCK) == pytest.approx(1294e3 / 30720, abs=0.5)
    assert last_s("domain", STOCK) < 0.3
    assert last_s("subscriber", None) < 1.5


@pytest.mark.parametrize("engine", [federations.compiled, federations.stanza_by_stanza])
@pytest.mark.parametrize(("timeout", "received"), [(None, 20), ("4 s", 14), ("0 s", 10)])
def test_a_partition_holds_stanzas_or_loses_those_that_wait_too_long(engine, timeout, received):
    """20 alerts, one a second, on a link that is cut from 4.5 s to 14.5 s."""
    topology = alert(1, "subscriber", None)
    cut = {"kind": "partition", "name": "cut", "link": ["b", "a"], "start": "4.5 s",
           "duration": "10 s", "timeout": timeout}  # fmt: skip
    section = topology.model_dump(mode="json", by_alias=True) | {"faults": [cut]}
    topology = Topology.model_validate(section)
    plan = worlds.GivenPlan(topology, [(float(second), 0, 0, 1024) for second in range(20)])
    here, there = engine(topology, plan, {"a": PROSODY, "b": PROSODY})
    assert (there.delivered, there.lost) == (received, 20 - received)
    rows = here.publications
    received_s = rows["first_s"][rows["delivered"] == 1]
    held = (rows["delivered"] == 1) & (rows["publication"] > 4) & (rows["publication"] < 15)
    assert (np.diff(received_s) > 0.0).all()
    assert (rows["first_s"][held] > 14.51).all()
    assert (rows["first_s"][held] < 14.6).all()


def test_a_controller_without_platforms_crashes_and_loses_what_comes_meanwhile():
    people = [
        {"name": "pub", "count": 1, "controller": "b", "publishes": ["t"]},
        {"name": "sub", "count": 3, "controller": "b", "subscribes": ["t"]},
    ]
    crash = {
        "kind": "crash",
        "name": "dead",
        "controller": "a",
        "start": "3.5 s",
        "duration": "4 s",
    }
    topology = federations.topology(
        {"a": {}, "b": {}}, {"t": ("a", {})}, people,
        [{"topic": "t", "by": "pub", "process": "poisson", "rate": "1/s"}],
        duration="20 s", faults=[crash],
    )  # fmt: skip
    plan = worlds.GivenPlan(topology, [(float(second), 0, 0, 1000) for second in range(10)])
    profile = worlds.profile("fifo", publish="1 ms", copy="10 ms", relay={"receive": "5 ms"})
    fast = federations.compiled(topology, plan, {"a": profile, "b": profile})
    slow = federations.stanza_by_stanza(topology, plan, {"a": profile, "b": profile})
    for one, other in zip(fast, slow, strict=True):
        worlds.assert_agree(one, other)
    assert (fast[1].delivered, fast[1].lost) == (3 * 6, 3 * 4)


def exchange(delay):
    """Two Controllers that publish at each other's Brokers, near their limits."""
    people = [
        {"name": f"{kind}-{name}", "controller": name, "count": 4, **use}
        for name, other in (("a", "b"), ("b", "a"))
        for kind, use in (
            ("pub", {"publishes": [f"on-{other}"], "network": {"delay": "2 ms"}}),
            ("sub", {"subscribes": ["on-a", "on-b"], "read_rate": "900/s"}),
        )
    ]
    arrivals = [
        {"topic": f"on-{name}", "by": f"pub-{other}", "process": "poisson", "rate": "60/s"}
        for name, other in (("a", "b"), ("b", "a"))
    ]
    topics = {"on-a": ("a", {}), "on-b": ("b", {})}
    return federations.topology(
        {"a": {"limits": {"server": {"rate": "200 kB/s"}}}, "b": {}}, topics, people, arrivals,
        duration="3 s", links=[{"from": "a", "to": "b", "delay": delay, "rate": "1 MB/s"}],
    )  # fmt: skip


@pytest.mark.parametrize("delay", ["0.2 ms", "40 ms"])
def test_windows_and_feeding_do_not_matter_to_links(delay, monkeypatch):
    topology = exchange(delay)
    plan = Plan(topology, 1)
    profiles = {
        "a": test_windows.PROFILES["loop-turns"].model_copy(update={"server": "prosody"}),
        "b": test_windows.PROFILES["fanout-process"],
    }
    one = federations.compiled(topology, plan, profiles)
    two = federations.compiled(topology, plan, profiles, 0.0137)
    monkeypatch.setattr(sim.controller, "FEED_ROWS", 7)
    three = federations.compiled(topology, plan, profiles)
    for first, second, third in zip(one, two, three, strict=True):
        assert first.delivered > 500
        test_windows.assert_same(first, second)
        test_windows.assert_same(first, third)


def test_a_federation_simulates_and_says_which_stations_ran_in_windows():
    run = sim.simulate(topologies.load("federation"), replications=2, processes=1)
    assert run.header.verdict.valid
    assert run.header.counts.delivered == run.header.counts.expected > 0
    assert run.header.stations["cert"] == run.header.stations["campus"] == "windowed"
    assert run.header.stations["cert/campus"] == "batched"


def test_one_way_traffic_needs_no_windows():
    topology = alert(10, "subscriber", None)
    profiles = {"a": PROSODY, "b": PROSODY}
    run = sim.simulate(topology, replications=1, profiles=profiles)
    assert run.header.stations["a"] == run.header.stations["b"] == "event"
    assert "b/a" not in run.header.stations
