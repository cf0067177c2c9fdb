"""Clusters: both engines carry stanzas from node to node to the same instants."""

import federations
import pytest
import worlds
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from test_oracle import ARRIVALS, FANOUT_PROCESS, FIFO, LOOP_TURNS
from test_requests import COSTS, KINDS, SOURCE, changed

import sim
import topologies
from sim.clusters import runs
from sim.clusters_on_paper import node_loads
from sim.platforms import require_supported
from topologies.plan import Plan


def cluster(people, topics=None, arrivals=None, runs_on="every-node", **controller):
    """Controller a, a cluster, with one Broker."""
    return federations.topology(
        {"a": {"nodes": 3, "hop": "10 ms", **controller}}, topics or {"t": ("a", {})},
        [{"controller": "a", **each} for each in people],
        arrivals or [{"topic": "t", "by": "pub", "process": "deterministic", "rate": "1/s"}],
        brokers=[{"name": "at-a", "controller": "a", "runs_on": runs_on}],
    )  # fmt: skip


@st.composite
def clustered_grids(draw):
    """A cluster with two Topics, beside a Controller that has nothing to do with it."""
    wanted = draw(st.sampled_from([["one"], ["one", "two"]]))
    subscribes = [{"topic": each, "fraction": 0.8} for each in wanted]
    people = [
        {"name": "pub", "count": draw(st.integers(1, 4)), "publishes": ["one", "two"],
         "controller": "a", "network": draw(st.sampled_from([{}, {"delay": "2.3 ms"}]))},
        {"name": "sub", "count": draw(st.integers(1, 9)), "subscribes": subscribes,
         "controller": "a", "network": {"delay": draw(st.sampled_from(["0 s", "23 ms"]))}},
        {"name": "both", "count": draw(st.integers(1, 3)), "subscribes": ["two"],
         "controller": "a", "publishes": ["two"], "read_rate": "333/s"},
        {"name": "ask", "count": 4, "controller": "a", "network": {"delay": "1.7 ms"}},
        {"name": "else", "count": 2, "controller": "b", "publishes": ["own"],
         "subscribes": ["own"]},
    ]  # fmt: skip
    arrivals = [{"topic": each, "by": "pub", **draw(ARRIVALS)} for each in ("one", "two")]
    arrivals.append({"topic": "own", "by": "else", **draw(ARRIVALS)})
    limits = [{}, {"account": {"rate": "19/s"}},
              {"server": {"rate": "3 kB/s"}, "server_stanza": "200 B"},
              {"client": {"rate": "9 kB/s", "burst": "2 kB"}}]  # fmt: skip
    controllers = {
        "a": {"nodes": draw(st.integers(2, 4)), "hop": draw(st.sampled_from(["1.3 ms", "17 ms"])),
              "nic": draw(st.sampled_from(["1 GB/s", "61 kB/s"])),
              "limits": draw(st.sampled_from(limits))},
        "b": {},
    }  # fmt: skip
    faults = []
    if not controllers["a"]["limits"]:
        kind = draw(st.sampled_from([{"kind": "freeze"}, {"kind": "slow-down", "factor": 2.5}]))
        faults = [{"name": "trouble", "controller": draw(st.sampled_from("aab")),
                   "start": "0.2011 s", "duration": "0.2 s", **kind}]  # fmt: skip
    topology = federations.topology(
        controllers,
        {"one": ("a", {"payload": {"size": "250 B", "cv": 0.6}}), "two": ("a", {}),
         "own": ("b", {})},
        people, arrivals, faults=faults,
        brokers=[
            {"name": "at-b", "controller": "b"},
            {"name": "at-a", "controller": "a",
             "runs_on": draw(st.sampled_from(["every-node", "first-node"]))},
        ],
    )  # fmt: skip
    queries = [
        {"by": by, "topic": topic, "rate": "21/s", **draw(KINDS)}
        for by, topic in (("sub", "one"), ("both", "one"), ("ask", "two"), ("else", "own"))
        if draw(st.booleans())
    ]
    topology = changed(topology, lambda data: data["workload"].update(queries=queries))
    relay = draw(st.sampled_from([{}, {"receive": "0.9 ms", "receive_per_byte": "1.7 us/B"}]))
    discipline = draw(st.one_of(FIFO, LOOP_TURNS, FANOUT_PROCESS))
    profile = worlds.profile(
        notification="55 B", relay=relay, server=draw(st.sampled_from(["none", "ejabberd"])),
        queries=draw(COSTS),
        **discipline,
    )  # fmt: skip
    return topology, {"a": profile, "b": profile}


@settings(
    max_examples=10, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)  # fmt: skip
@given(clustered_grids(), st.integers(0, 3), st.sampled_from([None, 0.037]))
def test_both_engines_carry_copies_to_the_same_instants(world, seed, window_s):
    topology, profiles = world
    require_supported(topology)
    plan = Plan(topology, seed)
    fast, _ = federations.assert_alike(topology, plan, profiles, window_s)
    assert len(fast) == 1 + topology.controllers[0].nodes


FIFO_1_MS = worlds.profile("fifo", publish="2 ms", copy="1 ms", relay={"receive": "5 ms"})
PEOPLE = [
    {"name": "pub", "count": 2, "publishes": ["t"]},
    {"name": "sub", "count": 4, "subscribes": ["t"]},
]


def test_platforms_are_dealt_out_evenly():
    topology = cluster(PEOPLE)
    found = [(run.station, run.first, run.count) for run in runs(topology)]
    # Two publishers on the first two nodes; the odd subscriber goes to the third.
    assert found == [
        ("a", 0, 1), ("a node 2", 1, 1), ("a", 2, 1), ("a node 2", 3, 1), ("a node 3", 4, 2),
    ]  # fmt: skip


@pytest.mark.parametrize("engine", [federations.compiled, federations.stanza_by_stanza])
@pytest.mark.parametrize(
    ("runs_on", "received"),
    [
        # 2 ms to take it in, 1 ms a copy; two copies hop for 10 ms to the third node, which
        # takes 5 ms to read each and 1 ms to write it.
        ("every-node", {("a", 1): 3, ("a node 2", 1): 4 + 10 + 6, ("a node 3", 0): 5 + 10 + 6,
                        ("a node 3", 1): 5 + 10 + 12}),
    ],
)  # fmt: skip
def test_a_copy_on_another_node_hops_and_is_read_there(engine, runs_on, received):
    topology = cluster(PEOPLE, runs_on=runs_on)
    plan = worlds.GivenPlan(topology, [(0.0, 0, 0, 1000)])
    found = federations.deliveries_ms(engine(topology, plan, {"a": FIFO_1_MS}))
    assert {key[1:]: instant for key, instant in found.items()} == received


@pytest.mark.parametrize("engine", [federations.compiled, federations.stanza_by_stanza])
def test_publications_elsewhere_hop_to_the_node_that_runs_the_broker(engine):
    topology = cluster(PEOPLE, runs_on="first-node")
    plan = worlds.GivenPlan(topology, [(0.0, 1, 0, 1000)])
    found = federations.deliveries_ms(engine(topology, plan, {"a": FIFO_1_MS}))
    # Node 2 reads (5 ms) and passes on (1 ms); 10 ms; the first makes copies as before.
    assert {key[1:]: instant for key, instant in found.items()} == {
        ("a", 1): 16 + 3, ("a node 2", 1): 16 + 20, ("a node 3", 0): 16 + 21,
        ("a node 3", 1): 16 + 27,
    }  # fmt: skip


@pytest.mark.parametrize("engine", [federations.compiled, federations.stanza_by_stanza])
def test_every_node_has_the_sessions_that_it_was_dealt(engine):
    people = [PEOPLE[0], PEOPLE[1] | {"count": 5}]
    topology = cluster(people, topics={"t": ("a", {"persist": True, "max_items": 7})})
    profile = FIFO_1_MS.model_copy(update={"server": "ejabberd"})
    tallies = engine(topology, worlds.GivenPlan(topology, [(0.0, 0, 0, 1000)]), {"a": profile})
    least = [each.intervals["memory_bytes"].min() for each in tallies]
    # 1 MB, 1 kB a session, and the Topic's items, which all nodes have.
    assert least == [1e6 + sessions * 1e3 + 7 * 1000.0 for sessions in (3, 2, 2)]


def test_the_record_has_every_node():
    run = sim.simulate(cluster(PEOPLE), replications=1, profiles={"a": FIFO_1_MS})
    assert run.header.verdict.valid
    assert run.header.counts.delivered == run.header.counts.expected > 0
    assert list(run.header.controllers) == ["a", "a node 2", "a node 3"]
    assert run.header.stations["a node 2"] == "windowed"
    assert run.header.stations["a/a node 3"] == "batched"


@pytest.mark.parametrize("runs_on", ["every-node", "first-node"])
def test_paper_has_the_busy_time_of_the_busiest_node(runs_on):
    """Publications at even intervals: 40 of 2 publishers in turn, all of them done in the run."""
    rate = [{"topic": "t", "by": "pub", "process": "deterministic", "rate": "40/s"}]
    topology = cluster(PEOPLE, arrivals=rate, runs_on=runs_on, hop="1 ms")
    tallies = federations.compiled(topology, Plan(topology, 1), {"a": FIFO_1_MS})
    busy_s = [float(each.intervals["busy_s"].sum()) for each in tallies]
    own = topology.controllers[0]
    on_paper = node_loads(topology, own, FIFO_1_MS, 1.0, attacks=False)
    assert busy_s == pytest.approx(on_paper.cpu.tolist(), rel=1e-9)
    figures = sim.estimate(topology, profiles={"a": FIFO_1_MS})["controllers"]["a"]
    assert figures["utilisation"]["value"] == pytest.approx(max(busy_s), rel=1e-9)
    assert figures["capacity_per_s"]["value"] == pytest.approx(40 / max(busy_s), rel=1e-9)
    sent = [float(each.intervals["egress_bytes"].sum()) for each in tallies]
    assert figures["egress_share"]["value"] == pytest.approx(max(sent) / own.nic, rel=1e-9)


REFUSED = [
    ({"brokers": [{"name": "at-a", "controller": "a", "kind": "component"}]},
     r'brokers\[0\].kind: "component"'),
    ({"platforms": [PEOPLE[0] | {"controller": "a", "failover": ["b"], "login": {}}],
      "controllers": [{"name": name, "domain": f"{name}.test", "profile": "test", "nodes": nodes}
                      for name, nodes in (("a", 2), ("b", 1))]},
     r"platforms\[0\].failover: pub turns to or from a cluster"),
    ({"topics": [{"name": "t", "broker": "at-a", "payload": {"size": "1 kB"},
                  "notify_retract": True}]}, r"topics\[0\].notify_retract: true: is of a cluster"),
]  # fmt: skip


@pytest.mark.parametrize(("section", "message"), REFUSED)
def test_what_clusters_cannot_do_yet_is_refused(section, message):
    described = cluster(PEOPLE).model_dump(mode="json", by_alias=True) | section
    topology = topologies.schema.Topology.model_validate(described)
    with pytest.raises(topologies.TopologyError, match=message):
        require_supported(topology)


@pytest.mark.parametrize("engine", [federations.compiled, federations.stanza_by_stanza])
@pytest.mark.parametrize(
    ("fault", "received"),
    [
        # The third node would have written its first copy 21 ms after the publication.
        ({"kind": "freeze"}, [100 + 3, 100 + 4 + 16, 100 + 21, 100 + 27]),
        # What is begun from 1 ms on takes twice as long: all but the publication's first copy.
        ({"kind": "slow-down", "factor": 2.0}, [3, 3 + 2 + 10 + 12, 3 + 4 + 10 + 12,
                                                3 + 4 + 10 + 24]),
    ],
)  # fmt: skip
def test_a_fault_of_a_cluster_strikes_all_of_its_nodes(engine, fault, received):
    faults = [{"name": "x", "controller": "a", "start": "1 ms", "duration": "100 ms", **fault}]
    topology = cluster(PEOPLE)
    described = topology.model_dump(mode="json", by_alias=True) | {"faults": faults}
    topology = topologies.schema.Topology.model_validate(described)
    require_supported(topology)
    plan = worlds.GivenPlan(topology, [(0.0, 0, 0, 1000)])
    found = federations.deliveries_ms(engine(topology, plan, {"a": FIFO_1_MS}))
    assert sorted(found.values()) == received


@pytest.mark.parametrize("engine", [federations.compiled, federations.stanza_by_stanza])
@pytest.mark.parametrize("runs_on", ["every-node", "first-node"])
def test_whoever_asks_a_cluster_is_answered_by_a_node_that_runs_the_broker(engine, runs_on):
    people = [PEOPLE[0] | {"count": 1}, {"name": "ask", "count": 3}]
    asked = [{"kind": "items", "by": "ask", "topic": "t", "rate": "3/s"}]
    topology = changed(
        cluster(people, runs_on=runs_on),
        lambda data: data["workload"].update(queries=asked, duration="20 s"),
    )
    require_supported(topology)
    costs = {"provenance": SOURCE, "base": "5 ms"}
    profile = worlds.profile("fifo", copy="1 ms", relay={"receive": "5 ms"}, queries=costs)
    tallies = engine(topology, Plan(topology, 1), {"a": profile})
    answered = [each.delivered for each in tallies]
    assert answered == [each.expected for each in tallies]
    assert min(answered) > 5
    busy_s = [float(each.intervals["busy_s"].sum()) for each in tallies]
    # 6 ms for each answer; a node without the Broker takes in and writes what comes and goes.
    expected_s = [6e-3 * each for each in answered]
    if runs_on == "first-node":
        expected_s = [6e-3 * sum(answered), *(2 * each for each in expected_s[1:])]
    assert busy_s == pytest.approx(expected_s, rel=1e-9)
