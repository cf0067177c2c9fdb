"""Topics with priorities: who waits goes by rank, whoever is served is finished; both engines."""

import absences
import federations
import pytest
import test_links
import worlds
from hypothesis import given, settings
from hypothesis import strategies as st
from test_oracle import FIFO
from test_requests import COSTS, KINDS, changed
from test_sessions import LOGINS, SETTINGS

from sim.platforms import require_supported
from sim.stations import Graph
from topologies.plan import Plan
from topologies.problems import TopologyError

PRIORITY = st.sampled_from([0, 0, 3, -2, 9])
PAYLOAD = {"size": "250 B", "cv": 0.7}


@st.composite
def grids_with_priorities(draw):
    """Two Controllers that serve Topics by priority, one perhaps in a component; some log in."""
    component = draw(st.booleans())
    topics = {
        name: (home, {"priority": draw(PRIORITY), "payload": {"size": "250 B", "cv": 0.7}})
        for name, home in (("t", "c"), ("v", "c"), ("w", "d"))
    }
    broker = {"name": "at-c", "controller": "c"}
    if component:
        broker |= {"kind": "component", "costs": {"publish": "1 ms", "copy": "1.3 ms"}}
    near = {"name": "near", "count": draw(st.integers(1, 5)), "controller": "c",
            "network": {"delay": draw(absences.DELAY)}, "subscribes": ["t", "v"]}  # fmt: skip
    faults = []
    if not component:
        near |= {"login": {"mechanism": "plain"}, "retry": {"first": "20 ms", "base": "10 ms"}}
        faults = absences.losses(draw, ["crash", "freeze", "slow-down"])
        for fault in faults:
            if fault["kind"] == "slow-down":
                fault["factor"] = 2.5
    people = [
        {"name": "pub", "count": 2, "controller": "c", "publishes": ["t", "v"]},
        {"name": "far", "count": 3, "controller": "d", "publishes": ["w"],
         "subscribes": ["w", *([] if component else ["t", "v"])]}, near,
    ]  # fmt: skip
    rate = draw(st.sampled_from(["40/s", "150/s"]))
    cores = draw(st.integers(1, 3))
    topology = federations.topology(
        {"c": {"cores": cores}, "d": {"cores": cores}}, topics, people,
        [{"topic": name, "by": by, "process": "poisson", "rate": rate}
         for name, by in (("t", "pub"), ("v", "pub"), ("w", "far"))],
        brokers=[broker, {"name": "at-d", "controller": "d"}], faults=faults,
    )  # fmt: skip
    profile = worlds.profile(
        logins=draw(LOGINS), speed=0.5, relay=draw(test_links.RELAY), **draw(FIFO)
    )
    return topology, {"c": profile, "d": profile}


@settings(SETTINGS, max_examples=12)
@given(grids_with_priorities(), st.integers(0, 3), st.sampled_from([None, 0.037]))
def test_both_engines_serve_by_priority_alike(world, seed, window_s):
    topology, profiles = world
    federations.assert_alike(topology, Plan(topology, seed), profiles, window_s)


@st.composite
def grids_with_priorities_that_keep(draw):
    """The same where Platforms lose their connections, are kept copies for, and ask for items."""
    kept = draw(st.sampled_from(["resumption", "offline", "queries"]))
    queue = draw(st.sampled_from([2, 500]))
    keeping = {
        "resumption": {"resumption": {"window": "10 s", "queue": queue}},
        "offline": {"offline": {"messages": queue}},
        "queries": {},
    }[kept]
    topics = {
        name: (home, {"priority": draw(PRIORITY), "payload": PAYLOAD, "max_items": 5,
                      "notification": draw(st.sampled_from(["normal", "headline"]))})
        for name, home in (("t", "c"), ("v", "c"), ("w", "d"))
    }  # fmt: skip
    near, far = absences.subscribers(draw, ["t", "v", "w"], controller="c")
    people = [
        near, far, absences.publisher(["t", "v"], controller="c"),
        absences.publisher(["w"], controller="d") | {"name": "other"},
    ]  # fmt: skip
    rate, cores = draw(st.sampled_from(["40/s", "150/s"])), draw(st.integers(1, 3))
    topology = federations.topology(
        {"c": {"cores": cores, **keeping}, "d": {"cores": cores}}, topics, people,
        [{"topic": name, "by": by, "process": "poisson", "rate": rate}
         for name, by in (("t", "pub"), ("v", "pub"), ("w", "other"))],
        faults=absences.losses(draw, ["outage", "disconnect", "disconnect", "crash", "freeze"]),
    )  # fmt: skip
    if kept == "queries":
        asked = [{"by": by, "topic": topic, "rate": "25/s", **draw(KINDS)}
                 for by, topic in (("near", "t"), ("far", "v"), ("far", "w"))]  # fmt: skip
        topology = changed(topology, lambda data: data["workload"].update(queries=asked))
    profile = worlds.profile(  # no two cores are done at one instant, also after a freeze
        "fifo", publish=draw(st.sampled_from(["0.3 ms", "1.7 ms"])), cv=0.5,
        copy=draw(st.sampled_from(["0.2 ms", "0.7 ms"])), copy_distribution="exponential",
        logins=draw(LOGINS), relay={"receive": "0.3 ms", "receive_per_byte": "900 ns/B"},
        queries=draw(COSTS),
    )  # fmt: skip
    return topology, {"c": profile, "d": profile}


@settings(SETTINGS, max_examples=15)
@given(grids_with_priorities_that_keep(), st.integers(0, 3), st.sampled_from([None, 0.037]))
def test_both_engines_keep_and_answer_by_priority_alike(world, seed, window_s):
    topology, profiles = world
    require_supported(topology)
    federations.assert_sessions_alike(topology, Plan(topology, seed), profiles, window_s)


def test_who_waits_goes_by_priority_and_nobody_is_interrupted():
    """Copies of 10 ms: bulk is begun at 0, of what comes meanwhile the alert goes first."""
    topology = worlds.topology(
        [{"name": "pub", "count": 1, "publishes": ["bulk", "alert"]},
         {"name": "sub", "count": 2, "subscribes": ["bulk", "alert"]}],
        [{"topic": "bulk", "by": "pub", "process": "poisson", "rate": "1/s"}],
        topics={"bulk": {"size": "9 B"}, "alert": {"size": "9 B"}},
    )  # fmt: skip
    bulk, alert = topology.topics
    topology = topology.model_copy(
        update={"topics": (bulk, alert.model_copy(update={"priority": 1}))}
    )
    plan = worlds.GivenPlan(
        topology, [(0.0, 0, 0, 9), (0.001, 0, 0, 9), (0.002, 0, 0, 9), (0.003, 0, 1, 9)]
    )
    profile = worlds.profile("fifo", copy="10 ms")
    got = worlds.deliveries_ms(worlds.compiled(topology, plan, profile))
    assert got == worlds.deliveries_ms(worlds.stanza_by_stanza(topology, plan, profile))
    last = {row: round(ms) for (row, platform), ms in got.items() if platform == 2}
    assert last == {0: 20, 3: 40, 1: 60, 2: 80}


def test_a_server_that_heeds_no_priority_is_told():
    topology = federations.topology(
        {"c": {}}, {"t": ("c", {"priority": 1})},
        [{"name": "pub", "count": 1, "controller": "c", "publishes": ["t"]}],
        [{"topic": "t", "by": "pub", "process": "poisson", "rate": "1/s"}],
    )  # fmt: skip
    profile = worlds.profile("loop-turns", publish="1 ms", build="1 ms", write="1 ms")
    with pytest.raises(TopologyError, match=r"topics\[0\].priority: 1: is kept by c, whose test"):
        Graph(topology, {"c": profile})
