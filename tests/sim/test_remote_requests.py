"""Requests to Brokers on other Controllers, over links: both engines alike, and by hand."""

import federations
import pytest
import worlds
from hypothesis import given, settings
from hypothesis import strategies as st
from test_links import PROFILE, RELAY, SERVER
from test_requests import COSTS, KINDS, SOURCE, changed
from test_sessions import LOGINS, RETRY, SETTINGS

from results import histogram
from sim.platforms import require_supported
from topologies import TopologyError
from topologies.plan import Plan

DELAY = st.sampled_from(["1.013 ms", "0.3137 ms", "5.171 ms"])
TROUBLES = st.sampled_from(
    [
        {"kind": "outage", "population": "near", "spread": "20 ms"},
        {"kind": "outage", "population": "far", "spread": "20 ms"},
        {"kind": "crash", "controller": "a"},
        {"kind": "crash", "controller": "b"},
        {"kind": "freeze", "controller": "a"},
        {"kind": "slow-down", "controller": "b", "factor": 2.5},
        {"kind": "partition", "link": ["a", "b"], "timeout": "20 ms"},
    ]
)


@st.composite
def grids_that_ask_each_other(draw):
    """Two Controllers with a Topic each, whose people ask both; links of all kinds, troubles."""
    people = [
        {"name": name, "controller": home, "count": draw(st.integers(1, 4)),
         "subscribes": ["on-a", "on-b"], "network": {"delay": draw(DELAY)}, "login": {},
         "retry": draw(RETRY)}
        for name, home in (("near", "a"), ("far", "b"))
    ]  # fmt: skip
    people.append(
        {"name": "pub", "controller": draw(st.sampled_from("ab")), "count": 2,
         "publishes": ["on-a", "on-b"], "network": {"delay": draw(DELAY)}, "login": {}}
    )  # fmt: skip
    last = draw(st.sampled_from(["never", "on-login"]))
    kept = {"max_items": 5, "last_item": last, "payload": {"size": "250 B", "cv": 0.6}}
    faults = [
        {"name": f"fault-{number}", "start": start, "duration": "60 ms", **draw(TROUBLES)}
        for number, start in enumerate(["0.1031 s", "0.4017 s"])
    ]
    limits = st.sampled_from([{}, {}, {"server": {"rate": "9.7 kB/s", "burst": "2 kB"}}])
    link = {"from": "a", "to": "b", "delay": draw(st.sampled_from(["0.371 ms", "17.3 ms"])),
            "copies": draw(st.sampled_from(["subscriber", "domain"])),
            **draw(st.sampled_from([{}, {"rate": "43 kB/s"}]))}  # fmt: skip
    topology = federations.topology(
        {name: {"limits": {} if "freeze" in str(faults) else draw(limits)} for name in "ab"},
        {f"on-{name}": (name, kept) for name in "ab"}, people,
        [{"topic": each, "by": "pub", "process": "poisson", "rate": "15/s"}
         for each in ("on-a", "on-b")],
        links=[link], faults=faults,
    )  # fmt: skip
    queries = [
        {"by": "near", "topic": "on-b", "rate": "30/s", **draw(KINDS)},
        {"by": "far", "topic": draw(st.sampled_from(["on-a", "on-b"])), "rate": "9/s",
         **draw(KINDS)},
        {"by": "far", "topic": "on-a", **draw(st.sampled_from([{"kind": "pages", "page": 2},
                                                              {"kind": "items"}]))},
    ]  # fmt: skip
    topology = changed(topology, lambda data: data["workload"].update(queries=queries))
    profiles = {
        name: worlds.profile(
            notification="55 B", relay=draw(RELAY), server=draw(SERVER), logins=draw(LOGINS),
            queries=draw(COSTS), speed=0.3, **draw(PROFILE),
        )
        for name in "ab"
    }  # fmt: skip
    return topology, profiles


@settings(SETTINGS, max_examples=9)
@given(grids_that_ask_each_other(), st.integers(0, 3), st.sampled_from([None, 0.037]))
def test_both_engines_ask_other_controllers_alike(world, seed, window_s):
    topology, profiles = world
    require_supported(topology)
    plan = Plan(topology, seed)
    federations.assert_alike(topology, plan, profiles, window_s)


def asking_elsewhere(**controller):
    """Platforms on `a` that ask `b` for three items of 1000 B, far apart in time."""
    topology = federations.topology(
        {"a": {}, "b": controller},
        {"t": ("b", {"max_items": 3})},
        [
            {"name": "pub", "controller": "b", "count": 1, "publishes": ["t"]},
            {"name": "ask", "controller": "a", "count": 5, "network": {"delay": "10 ms"}},
        ],
        [{"topic": "t", "by": "pub", "process": "deterministic", "rate": "0.01/s"}],
        links=[{"from": "a", "to": "b", "delay": "30 ms", "rate": "100 kB/s"}],
        duration="60 s",
    )
    asked = [{"kind": "items", "by": "ask", "topic": "t", "rate": "0.5/s"}]
    return changed(topology, lambda data: data["workload"].update(queries=asked))


def profiles():
    """Two `fifo` servers of which each takes 2 ms to take a stanza in and 1 ms to write one."""
    queries = {"provenance": SOURCE, "base": "4 ms", "per_item": "0.5 ms", "item_bytes": "0 B"}
    made = worlds.profile(
        "fifo", copy="1 ms", queries=queries, relay={"receive": "2 ms"}, notification="50 B"
    )
    return dict.fromkeys("ab", made)


def test_an_answer_from_elsewhere_takes_two_ways_and_the_work_of_three_stations():
    topology = asking_elsewhere()
    there, other = federations.compiled(topology, Plan(topology, 1), profiles())
    (key,) = (key for key in there.histograms if key[3] == "query")
    bins, counts = there.histograms[key]
    line_s, passing_s = (50 + 3050) / 100e3, 2 * (2e-3 + 1e-3)
    answer_s = 4e-3 + 3 * 0.5e-3 + 1e-3
    latency_s = 2 * (10e-3 + 30e-3) + line_s + passing_s + answer_s
    assert bins[0] == histogram.bin_index(latency_s + 1e-7)
    assert there.delivered == there.expected == counts.sum() > 15
    assert other.delivered == other.expected == 0
    spent_s = there.intervals["busy_s"].sum()
    assert spent_s == pytest.approx(there.delivered * passing_s, rel=1e-9)
    spent_s = other.intervals["busy_s"].sum()
    assert spent_s == pytest.approx(there.delivered * answer_s, rel=1e-9)


def test_the_brokers_server_says_what_an_answer_costs():
    topology, known = asking_elsewhere(), profiles()
    known["a"] = known["a"].model_copy(update={"queries": None})
    there, _ = federations.compiled(topology, Plan(topology, 1), known)
    assert there.delivered == there.expected > 15


def test_clusters_answer_nobody_elsewhere():
    with pytest.raises(TopologyError) as refused:
        require_supported(asking_elsewhere(nodes=2))
    assert (
        'platforms[1].controller: "a": asks for t of at-b, another Controller, and requests to and '
        "from clusters go to their own server; move one of them"
    ) in refused.value.problems
