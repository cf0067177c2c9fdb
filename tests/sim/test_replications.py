"""A simulation as its user meets it: one record, the same however the work was shared."""

import json

import numpy as np
import pytest
import worlds

import sim
import topologies
from results.histogram import quantile

SLOW = worlds.profile("fifo", publish="2 ms", copy="0.5 ms", copy_distribution="exponential")
PEOPLE = [
    {"name": "pub", "count": 2, "publishes": ["t"]},
    {"name": "sub", "count": 10, "subscribes": ["t"], "read_rate": "400/s"},
]


def world(rate="40/s", **more):
    arrivals = [{"topic": "t", "by": "pub", "process": "poisson", "rate": rate}]
    return worlds.topology(PEOPLE, arrivals, duration="20 s", **more)


def simulate(topology, **more):
    settings = {"profiles": {"c": SLOW}, "processes": 1, "replications": 3} | more
    return sim.simulate(topology, **settings)


def document(run):
    summary = run.summary()
    return json.dumps({k: v for k, v in summary.items() if k not in VARY}, sort_keys=True)


VARY = ("run_id", "wall_s", "peak_rss_bytes")


def test_two_processes_give_what_one_gives():
    topology = topologies.load("single-broker", ["workload.duration=20 s"])
    one = sim.simulate(topology, seed=4, replications=3, processes=1)
    two = sim.simulate(topology, seed=4, replications=3, processes=2)
    assert document(one) == document(two)
    for table in ("intervals", "latency", "publications"):
        for name, column in one.columns(table).items():
            np.testing.assert_array_equal(column, two.columns(table)[name], err_msg=name)
    assert one.header.run_id != two.header.run_id


def test_a_record_counts_every_copy_and_its_laws_hold():
    run = simulate(world())
    counts = run.header.counts
    assert counts.expected == 10 * counts.publications == counts.delivered
    assert counts.lost == 0
    assert run.header.verdict.valid
    assert {law.name.split()[0] for law in run.header.identities} == {"copies", "Little:", "busy"}
    assert all(law.holds for law in run.header.identities)
    latency = run.columns("latency")
    assert latency["count"][latency["stage"] == "total"].sum() == counts.expected
    assert run.header.stations == {"c": "batched", "c/egress": "batched", "c/readers": "batched"}
    assert run.header.plan_sha256[2] == topologies.Plan(world(), 1, 2).sha256


def test_the_reference_engine_gives_the_same_record():
    fast, slow = simulate(world()), simulate(world(), engine="reference", replications=3)
    for key in ("publications", "deliveries", "latency_s", "goodput_per_s", "topics"):
        assert fast.summary()[key] == slow.summary()[key], key
    assert slow.header.stations["c"] == "event"


def test_overload_is_lost_and_said_so():
    run = simulate(world("4000/s"), replications=2)
    assert run.header.counts.lost > 0
    assert run.header.verdict.valid
    assert "more is offered than the grid can carry" in run.header.verdict.warnings[0]
    assert np.isinf(quantile(run.latency.counts, 0.99))


def test_load_scales_what_is_offered_and_the_reader_is_seen_to_be_busy():
    run = simulate(world(), load=2.0)
    offered = run.summary()["phases"][0]["offered_load_per_s"]
    assert offered["low"] < 80 < offered["high"] + 4
    assert run.header.measurement["readers"]["sub"]["whole"] == pytest.approx(0.2, rel=0.1)


def test_one_plan_for_all_replications():
    run = simulate(world(), plan_replication=7)
    rows = run.publications
    plans = [rows["intended_s"][rows["replication"] == r].tolist() for r in range(3)]
    assert plans[0] == plans[1] == plans[2]
    assert plans[0] == topologies.Plan(world(), 1, 7).columns().intended_s.tolist()
    assert len(set(rows["last_s"][rows["publication"] == 5].tolist())) == 3


def test_of_many_publications_every_nth_is_kept(monkeypatch):
    monkeypatch.setattr("sim.replications.PUBLICATION_ROWS_MAX", 500)
    run = simulate(world())
    rows = run.publications["publication"]
    assert len(rows) <= 500
    assert run.header.publication_stride > 1
    assert set(rows % run.header.publication_stride) == {0}
    whole = simulate(world()).header.counts
    assert run.header.counts == whole


def test_a_steady_study_is_cut_and_a_campaign_is_not():
    steady = simulate(world(study="steady"))
    assert steady.header.phases[0].name in ("warm-up", "steady")
    campaign = simulate(world())
    assert campaign.header.phases[0].name == "whole"
    for run in (steady, campaign):
        last = run.header.phases[-1]
        assert (last.name, last.measured) == ("drain", False)
        assert last.start_s == 20.0


def test_progress_is_told_and_reaches_the_end():
    told = []
    simulate(world(), progress=lambda share, remark: told.append(share))
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert len(told) > 100


@pytest.mark.parametrize("study", ["campaign", "steady"])
@pytest.mark.parametrize(
    ("people", "rate", "publications"), [(PEOPLE[:1], "50/s", True), (PEOPLE, "1e-9/s", False)]
)
@pytest.mark.parametrize("discipline", ["fifo", "loop-turns", "fanout-process"])
def test_nobody_listens_or_nobody_speaks(discipline, people, rate, publications, study):
    costs = {
        "fifo": {"publish": "1 ms"},
        "loop-turns": {"publish": "1 ms", "build": "0 ms", "write": "0 ms"},
        "fanout-process": {"setup": "1 ms", "route": "0 ms", "write": "0 ms"},
    }
    arrivals = [{"topic": "t", "by": "pub", "process": "poisson", "rate": rate}]
    topology = worlds.topology(people, arrivals, study=study)
    profile = worlds.profile(discipline, **costs[discipline])
    run = simulate(topology, profiles={"c": profile})
    assert (run.header.counts.publications > 0) == publications
    assert run.header.counts.expected == 0
    assert run.header.verdict.valid
    assert run.summary()["latency_s"]["p50"]["value"] is None


def test_controllers_that_do_not_talk_are_independent():
    alone = world()
    other = {
        "controllers": alone.controllers[0].model_copy(update={"name": "d", "domain": "d.test"}),
        "brokers": alone.brokers[0].model_copy(update={"name": "b2", "controller": "d"}),
        "topics": alone.topics[0].model_copy(update={"name": "u", "broker": "b2"}),
    }
    people = worlds.topology(
        [
            {"name": "pub2", "count": 2, "publishes": ["u"]},
            {"name": "sub2", "count": 4, "subscribes": ["u"]},
        ],
        [{"topic": "u", "by": "pub2", "process": "poisson", "rate": "30/s"}],
    )
    moved = [each.model_copy(update={"controller": "d"}) for each in people.platforms]
    arrivals = (*alone.workload.arrivals, *people.workload.arrivals)
    both = alone.model_copy(
        update={
            **{name: (*getattr(alone, name), each) for name, each in other.items()},
            "platforms": (*alone.platforms, *moved),
            "workload": alone.workload.model_copy(update={"arrivals": arrivals}),
        }
    )
    constant = worlds.profile("fifo", publish="2 ms", copy="0.5 ms")
    loop = worlds.profile("loop-turns", publish="1 ms", build="10 us", write="20 us")
    one = simulate(alone, profiles={"c": constant})
    two = simulate(both, profiles={"c": constant, "d": loop})
    assert two.summary()["topics"]["t"] == one.summary()["topics"]["t"]
    assert two.summary()["controllers"]["c"] == one.summary()["controllers"]["c"]
    assert two.header.counts.expected > one.header.counts.expected
    assert two.header.verdict.valid


def test_a_controller_without_topics_is_idle():
    alone = world()
    idle = alone.controllers[0].model_copy(update={"name": "d", "domain": "d.test"})
    both = alone.model_copy(update={"controllers": (*alone.controllers, idle)})
    run = simulate(both, profiles={"c": SLOW, "d": SLOW})
    figures = run.summary()["phases"][0]["controllers"]
    assert figures["d"]["utilisation"]["value"] == 0.0
    assert figures["c"]["utilisation"]["value"] > 0.1
    assert run.header.verdict.valid


@pytest.mark.parametrize(
    "wrong",
    [{"replications": 0}, {"processes": 0}]
    + [{"load": load} for load in (0.0, -1.0, float("nan"), float("inf"))],
)
def test_figures_out_of_range_are_refused(wrong):
    with pytest.raises(topologies.TopologyError, match=r"must be .*; write for example"):
        simulate(world(), **wrong)
