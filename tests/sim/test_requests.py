"""Queries, and last items upon logins: both engines alike, by hand, and beside closed forms."""

import federations
import numpy as np
import pytest
import worlds
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from test_oracle import FANOUT_PROCESS, FIFO, LIMITS, LOOP_TURNS, PER_BYTE, TIME
from test_sessions import CRASHES, LOGINS, OUTAGES, RETRY

from results import histogram
from sim.platforms import require_supported
from topologies import TopologyError, checks
from topologies.plan import Plan
from topologies.schema import Topology

SOURCE = {"kind": "assumed", "source": "chosen for a test"}
COSTS = st.fixed_dictionaries(
    {
        "provenance": st.just(SOURCE), "base": TIME, "per_item": TIME, "per_byte": PER_BYTE,
        "item_bytes": st.just("61 B"), "listed_bytes": st.just("47 B"),
        "listed_max": st.sampled_from([None, 1]),
    }
)  # fmt: skip
TROUBLES = st.sampled_from(["none", "slow-down", "freeze", "outage", "crash"])
KINDS = st.sampled_from([{"kind": "items"}, {"kind": "page", "page": 2}, {"kind": "disco"}])


@st.composite
def troubles(draw, kind):
    """Faults of a kind."""
    slow = {"kind": "slow-down", "controller": "c", "start": "0.6 s", "duration": "0.2 s",
            "factor": 2.5}  # fmt: skip
    match kind:
        case "slow-down":
            return [slow]
        case "freeze":
            still = {key: slow[key] for key in ("controller", "duration")}
            return [still | {"kind": "freeze", "start": "0.3 s"}]
        case "outage":
            return [draw(OUTAGES)[0] | {"population": "near"}, slow]
        case "crash":
            return [draw(CRASHES)[0] | {"start": draw(st.sampled_from(["0.2 s", "0.31 s"]))}]
    return []


@st.composite
def grids_that_ask(draw, trouble):
    """A grid with up to two Topics whose subscribers and a further population ask for things."""

    def delay():
        return {"delay": draw(st.sampled_from(["1 ms", "0.3 ms", "25 ms"]))}

    people = [
        {"name": "pub", "count": 2, "publishes": ["t", "u"], "network": delay()},
        {"name": "near", "count": draw(st.integers(1, 7)), "network": delay(),
         "subscribes": [{"topic": "t", "fraction": "60 %"}, "u"]},
        {"name": "ask", "count": draw(st.integers(1, 3)), "network": delay(),
         "role": draw(st.sampled_from(["legitimate", "adversary"]))},
    ]  # fmt: skip
    if draw(st.booleans()):
        people[1]["network"]["downlink"] = draw(st.sampled_from(["7.7 kB/s", "91 kB/s"]))
    rate = draw(st.sampled_from(["9/s", "60/s"]))
    asked = [{"by": "ask", "topic": "t", "rate": rate, **draw(KINDS)},
             {"by": "near", "topic": "u", "rate": "7/s", **draw(KINDS)}]  # fmt: skip
    faults = draw(troubles(trouble))
    if trouble in ("outage", "crash"):
        for each in people if trouble == "crash" else people[1:2]:
            each |= {"login": {}, "retry": draw(RETRY)}
        asked.append({"by": "near", "topic": "t", **draw(KINDS)})
    for number, fault in enumerate(faults):
        fault["name"] = f"fault-{number}"
    topology = worlds.topology(
        people,
        [{"topic": each, "by": "pub", "process": "poisson", "rate": "15/s"} for each in "tu"],
        topics={"t": {"size": "250 B", "cv": 0.7, "max": "5 kB"}, "u": {"size": "40 B"}},
        cores=draw(st.integers(1, 2)),
        nic=draw(st.sampled_from(["1 GB/s", "60 kB/s"])),
        faults=faults,
        queries=asked,
        keeping={"max_items": draw(st.sampled_from([1, 3, 20])),
                 "last_item": draw(st.sampled_from(["never", "on-login"])),
                 "notify_retract": draw(st.booleans())},
        limits=draw(st.one_of(st.just({}), LIMITS)) if trouble == "none" else {},
    )  # fmt: skip
    costs = draw(st.one_of(FIFO, LOOP_TURNS, FANOUT_PROCESS))
    return topology, worlds.profile(
        logins=draw(LOGINS), queries=draw(COSTS), notification="55 B", speed=1.3, **costs
    )


@settings(
    max_examples=24, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)  # fmt: skip
@given(TROUBLES.flatmap(grids_that_ask), st.integers(0, 3), st.sampled_from([None, 0.037]))
def test_both_engines_answer_alike(world, seed, window_s):
    topology, profile = world
    plan = Plan(topology, seed)
    fast = worlds.compiled(topology, plan, profile, window_s)
    worlds.assert_agree(fast, worlds.stanza_by_stanza(topology, plan, profile))
    assert fast.expected == fast.delivered + fast.lost + fast.rejected


@pytest.mark.parametrize("discipline", ["fifo", "loop-turns", "fanout-process"])
def test_both_engines_answer_alike_beside_links(discipline):
    people = [
        {"name": "pub", "count": 2, "controller": "b", "publishes": ["t", "u"]},
        {"name": "near", "count": 4, "controller": "a", "subscribes": ["t", "u"],
         "network": {"delay": "1 ms"}},
        {"name": "far", "count": 3, "controller": "b", "subscribes": ["t"]},
    ]  # fmt: skip
    topology = federations.topology(
        {"a": {}, "b": {}},
        {"t": ("a", {"max_items": 3}), "u": ("b", {"max_items": 2})},
        people,
        [{"topic": each, "by": "pub", "process": "poisson", "rate": "20/s"} for each in "tu"],
        links=[{"from": "a", "to": "b", "delay": "3 ms", "rate": "90 kB/s"}],
    )  # fmt: skip

    def ask(data):
        data["workload"]["queries"] = [
            {"kind": "items", "by": "near", "topic": "t", "rate": "30/s"},
            {"kind": "disco", "by": "far", "topic": "u", "rate": "30/s"},
        ]

    topology = changed(topology, ask)
    require_supported(topology)
    costs = {
        "fifo": {"publish": "1 ms", "copy": "0.7 ms", "copy_distribution": "exponential"},
        "loop-turns": {"publish": "1 ms", "build": "0.3 ms", "write": "0.5 ms", "cv": 0.3},
        "fanout-process": {"setup": "1 ms", "route": "0.3 ms", "write": "0.5 ms", "cv": 0.3},
    }[discipline]
    queries = {"provenance": SOURCE, "base": "1 ms", "per_item": "0.3 ms"}
    profiles = dict.fromkeys("ab", worlds.profile(discipline, queries=queries, **costs))
    plan = Plan(topology, 1)
    fast = federations.compiled(topology, plan, profiles)
    slow = federations.stanza_by_stanza(topology, plan, profiles)
    for one, other in zip(fast, slow, strict=True):
        worlds.assert_agree(one, other)
        assert latencies_s(one, "query").sum() > 20


def asking(rate, *, duration="400 s", **costs):
    """A Platform far away that asks one Controller for three items of 940 B, and nothing else."""
    topology = worlds.topology(
        [{"name": "pub", "count": 1, "publishes": ["t"]},
         {"name": "ask", "count": 50, "network": {"delay": "10 ms"}}],
        [{"topic": "t", "by": "pub", "process": "deterministic", "rate": "0.001/s"}],
        topics={"t": {"size": "940 B"}},
        keeping={"max_items": 3},
        duration=duration,
        queries=[{"kind": "items", "by": "ask", "topic": "t", "rate": f"{rate}/s"}],
    )  # fmt: skip
    queries = {"provenance": SOURCE, "base": "1 ms", "per_item": "0.5 ms", "per_byte": "1 us/B",
               "item_bytes": "60 B"}  # fmt: skip
    return topology, worlds.profile("fifo", copy="0.5 ms", queries=queries, **costs)


def latencies_s(tally, role):
    """The histogram of all answers of a role."""
    found = histogram.empty()
    for key, (bins, counts) in tally.histograms.items():
        if key[3] == role:
            np.add.at(found, bins, counts)
    return found


def test_a_query_takes_its_round_trip_and_its_work():
    topology, profile = asking(0.5)
    tally = worlds.compiled(topology, Plan(topology, 1), profile)
    work_s = 1e-3 + 3 * 0.5e-3 + 3000e-6 + 0.5e-3
    shortest = np.flatnonzero(latencies_s(tally, "query"))[0]
    assert shortest == histogram.bin_index(0.02 + work_s + 3000 / 1e12)
    assert tally.intervals["busy_s"].sum() == pytest.approx(work_s * tally.delivered, rel=1e-9)
    assert tally.intervals["egress_bytes"].sum() == pytest.approx(3000 * tally.delivered)


def test_queries_wait_as_in_m_d_1():
    rate, work_s = 100.0, 6e-3
    topology, profile = asking(rate)
    tallies = [worlds.compiled(topology, Plan(topology, seed), profile) for seed in range(4)]
    means_s = [tally.sojourn_s / tally.delivered for tally in tallies]
    load = rate * work_s
    expected_s = work_s + load * work_s / (2 * (1 - load))
    error_s = np.std(means_s, ddof=1) / 2
    assert error_s < 0.01 * expected_s
    assert np.mean(means_s) == pytest.approx(expected_s, abs=4.5 * error_s)


def test_a_last_item_storm_drains_as_platforms_times_topics_times_cost():
    platforms, topics, work_s = 500, 4, 5e-3
    names = [f"t{number}" for number in range(topics)]
    topology = worlds.topology(
        [{"name": "pub", "count": 1, "publishes": names},
         {"name": "near", "count": platforms, "subscribes": names, "login": {},
          "network": {"delay": "1 ms"}, "retry": {"timeout": "100 s"}}],
        [{"topic": names[0], "by": "pub", "process": "deterministic", "rate": "0.01/s"}],
        topics={name: {"size": "1000 B"} for name in names},
        duration="30 s",
        faults=[{"kind": "outage", "name": "dark", "population": "near", "start": "1 s",
                 "duration": "1 s", "spread": "0 s"}],
        keeping={"last_item": "on-login"},
        cores=2,
    )  # fmt: skip
    tls = [{"version": "1.3", "key": "ecdsa-p256", "cost": "0 s"}]
    sasl = [{"mechanism": "scram-sha-1", "storage": "hashed", "first": "0 s"}]
    logins = {"provenance": SOURCE, "tls": tls, "sasl": sasl}
    queries = {"provenance": SOURCE, "base": "2 ms", "per_item": "1 ms", "per_byte": "1 us/B"}
    profile = worlds.profile("fifo", copy="1 ms", logins=logins, queries=queries)
    tally = worlds.compiled(topology, Plan(topology, 1), profile)
    storm = latencies_s(tally, "last-item")
    assert storm.sum() == platforms * topics
    drained_s = platforms * topics * work_s / 2
    assert histogram.quantile(storm, 1.0) == pytest.approx(drained_s, rel=0.01)


def test_a_full_topic_tells_its_subscribers_of_each_item_that_it_drops():
    topology = worlds.topology(
        [{"name": "pub", "count": 1, "publishes": ["t"]},
         {"name": "near", "count": 20, "subscribes": ["t"], "network": {"delay": "2 ms"}}],
        [{"topic": "t", "by": "pub", "process": "deterministic", "rate": "4/s"}],
        keeping={"notify_retract": True, "max_items": 7},
    )  # fmt: skip
    queries = {"provenance": SOURCE, "per_item": "3 ms", "item_bytes": "80 B"}
    profile = worlds.profile("fifo", publish="1 ms", copy="1 ms", queries=queries)
    tally = worlds.compiled(topology, Plan(topology, 1), profile)
    assert tally.expected == tally.delivered == 4 * 2 * 20
    assert tally.intervals["busy_s"].sum() == pytest.approx(4 * (21e-3 + 23e-3), rel=1e-9)
    assert tally.intervals["egress_bytes"].sum() == pytest.approx(4 * 20 * 1080)
    assert tally.intervals["timely"].sum() == 4 * 20
    last = np.flatnonzero(latencies_s(tally, "retract"))[-1]
    assert last == histogram.bin_index(44e-3 + 2e-3 + 20 * 1080 / 1e12)
    idle_bytes = tally.intervals["memory_bytes"][-1]
    assert idle_bytes == pytest.approx(1e6 + 21 * 1e3 + 7 * 1000)


def test_prosody_drops_items_silently():
    topology, profile = asking(1.0)
    silent = profile.model_copy(update={"server": "prosody"})
    kept = {"persist": True, "notify_retract": True}
    telling = changed(topology, lambda data: data["topics"][0].update(kept))
    (found,) = checks.topology_problems(telling, lambda _: silent)
    assert found.line("").startswith("topics[0].notify_retract: ")


@pytest.mark.parametrize(
    ("server", "change", "kept"),
    [
        ("prosody", {}, "no item"),
        ("prosody", {"persist": True}, None),
        ("prosody", {"last_item": "on-login", "max_items": 1}, "no item"),
        ("ejabberd", {}, "no item"),
        ("ejabberd", {"last_item": "on-login"}, "one item"),
        ("ejabberd", {"last_item": "on-login", "max_items": 1}, None),
        ("ejabberd", {"notify_retract": True, "persist": True}, None),
        ("none", {}, None),
    ],
)
@pytest.mark.parametrize("kind", [{"kind": "items"}, {"kind": "page", "page": 2}])
def test_items_that_no_server_keeps_cannot_be_asked_for(server, change, kept, kind):
    topology, profile = asking(1.0)

    def ask(data):
        data["topics"][0].update(change)
        data["workload"]["queries"][0].update(kind)

    profile = profile.model_copy(update={"server": server})
    lines = [each.line("") for each in checks.topology_problems(changed(topology, ask),
                                                                lambda _: profile)]  # fmt: skip
    assert lines == ([] if kept is None else [
        f'topics[0].persist: "false": the server of profile test keeps {kept} of t without it; '
        "write persist: true, or ask for nothing that was kept"
    ])  # fmt: skip


@pytest.mark.parametrize("field", ["last_item", "notify_retract"])
def test_what_is_sent_of_kept_items_needs_them_to_be_kept(field):
    topology, profile = asking(1.0)

    def no_queries(data):
        data["workload"]["queries"] = []
        data["topics"][0][field] = {"last_item": "on-login", "notify_retract": True}[field]

    topology = changed(topology, no_queries)
    found = {
        server: [each.path[-1] for each in checks.topology_problems(
            topology, lambda _, server=server: profile.model_copy(update={"server": server}))]
        for server in ("prosody", "ejabberd", "none")
    }  # fmt: skip
    told = {"last_item": [["persist"], []], "notify_retract": [["notify_retract", "persist"],
                                                               ["persist"]]}[field]  # fmt: skip
    assert found == {"prosody": told[0], "ejabberd": told[1], "none": []}


def test_items_on_disk_cost_nothing_more():
    topology, profile = asking(5.0, duration="10 s")
    stored = changed(topology, lambda data: data["topics"][0].update(persist=True))
    require_supported(stored)
    tallies = [worlds.compiled(each, Plan(each, 1), profile) for each in (topology, stored)]
    worlds.assert_agree(*tallies)
    worlds.assert_agree(tallies[1], worlds.stanza_by_stanza(stored, Plan(stored, 1), profile))


def test_answers_are_no_publications():
    topology, profile = asking(5.0, duration="10 s")
    tally = worlds.compiled(topology, Plan(topology, 1), profile)
    assert tally.offered.sum() == len(tally.publications["publication"]) == 1
    assert tally.intervals["timely"].sum() == 0
    assert tally.intervals["received"].sum() == tally.delivered == tally.expected > 20


def elsewhere(data):
    """Let a subscriber live on another Controller."""
    data["controllers"].append({"name": "d", "domain": "d.test", "profile": "test"})
    data["platforms"].append({"name": "far", "count": 1, "controller": "d", "subscribes": ["t"]})


def changed(topology, change):
    """The topology as a file's data with a change made to it."""
    data = topology.model_dump(mode="json", by_alias=True, exclude_none=True)
    change(data)
    return Topology.model_validate(data)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda data: data["workload"]["queries"][0].update(page=3), "workload.queries[0].page"),
        (lambda data: data["workload"]["queries"][0].update(kind="page"),
         "workload.queries[0].page"),
        (lambda data: data["workload"]["queries"][0].pop("rate"), "workload.queries[0].rate"),
        (lambda data: data["workload"]["queries"][0].update(start="500 s"),
         "workload.queries[0].start"),
        (lambda data: data["workload"]["queries"][0].update(end="500 s"),
         "workload.queries[0].end"),
        (lambda data: data["workload"]["queries"][0].update(rate="1000000/s"), "workload.queries"),
    ],
)  # fmt: skip
def test_a_query_that_makes_no_sense_is_refused(change, place):
    topology, profile = asking(1.0)
    found = checks.topology_problems(changed(topology, change), lambda _: profile)
    assert [each.line("").split(":")[0] for each in found] == [place]


def test_a_profile_without_costs_of_queries_is_refused():
    topology, profile = asking(1.0)
    silent = profile.model_copy(update={"queries": None})
    (found,) = checks.topology_problems(topology, lambda _: silent)
    assert found.line("").startswith('platforms[1].controller: "c": ask gets answers, and profile')


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda data: data["platforms"][1]["network"].update(uplink="1 kB/s"),
         "platforms[1].network.uplink"),
        (lambda data: data["brokers"][0].update(kind="component", costs={}),
         "platforms[1].controller"),
        (lambda data: data["topics"][0].update(notify_retract=True) or elsewhere(data),
         "topics[0].notify_retract"),
    ],
)  # fmt: skip
def test_what_has_no_model_is_refused(change, place):
    with pytest.raises(TopologyError) as refused:
        require_supported(changed(asking(1.0)[0], change))
    assert [each.split(":")[0] for each in refused.value.problems] == [place]
