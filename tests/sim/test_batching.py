"""Collected events: counted against a play of the rule itself; plans that propose them."""

import numpy as np
import pytest
import worlds

from results import plan_words
from sim import answers
from sim.batching import batched, collected, events_per_item
from sim.designs import Collecting
from sim.planning import Budget, plan
from topologies import offered
from topologies.plan import Plan

RATE_PER_S, PUBLISHERS, SUBSCRIBERS = 200.0, 5, 50


def grid():
    """Five publishers of 200 events a second together, of 1 kB each, to fifty subscribers."""
    topology = worlds.topology(
        [
            {"name": "source", "count": PUBLISHERS, "publishes": ["t"]},
            {"name": "sink", "count": SUBSCRIBERS, "subscribes": ["t"]},
        ],
        [{"topic": "t", "by": "source", "process": "poisson", "rate": f"{RATE_PER_S}/s"}],
        topics={"t": {"size": "1 kB", "cv": 0.5}},
        duration="20 s",
    )
    return topology, {"c": worlds.profile("fifo", publish="1 ms", copy="0.3 ms")}


def items(rate_per_s, hold_s, events, seed):
    """Events in each item that one collector makes of a Poisson process; when it ended. [s]"""
    draws = np.random.default_rng(seed)
    arrival_s = np.cumsum(draws.exponential(1.0 / rate_per_s, events))
    sizes, place = [], 0
    while place < events:
        after = int(np.searchsorted(arrival_s, arrival_s[place] + hold_s, side="right"))
        sizes.append(after - place)
        place = after
    return np.array(sizes[:-1]), arrival_s[-1]


@pytest.mark.parametrize("place", ["publishers", "broker"])
@pytest.mark.parametrize("hold_s", [0.01, 0.1])
def test_items_and_their_sizes_are_those_of_the_rule(place, hold_s):
    topology, _ = grid()
    collectors = PUBLISHERS if place == "publishers" else 1
    sizes, span_s = items(RATE_PER_S / collectors, hold_s, 20_000, seed=3)
    collecting = Collecting(hold_s, place)
    events = events_per_item(topology, collecting)["t"]
    error = sizes.std() / np.sqrt(len(sizes))
    assert events == pytest.approx(sizes.mean(), abs=4.0 * error)
    found = collected(topology, collecting)
    rate_per_s = offered(found)["t"]
    per_collector = len(sizes) / span_s
    assert rate_per_s == pytest.approx(collectors * per_collector, rel=4.0 * error / events)
    payload = found.topics[0].payload
    cv = np.sqrt(0.5**2 / events + sizes.var() / events**2)  # a sum of `sizes` sizes of cv 0.5
    assert payload.size == pytest.approx(1000.0 * events)
    assert payload.cv == pytest.approx(cv, rel=0.05)


def test_a_broker_that_collects_still_takes_in_every_event():
    topology, _ = grid()
    found = collected(topology, Collecting(0.1, "broker"))
    rates, fan_out = offered(found), found.fan_out()
    assert len(found.topics) == 2
    intake = next(name for name in rates if name != "t")
    assert rates[intake] == pytest.approx(RATE_PER_S)
    assert (fan_out["t"], fan_out[intake]) == (SUBSCRIBERS, 0)


POISSON = {"topic": "t", "by": "source", "process": "poisson", "rate": "80/s"}
MIXED = [
    POISSON,
    POISSON | {"process": "ramp", "rate": "40/s", "final_rate": "80/s"},
    POISSON | {"further_topics": ["u"], "exponent": 0, "by": "other"},
    POISSON | {"process": "batch", "rate": "2/s", "mean_size": 500, "by": "other"},
]


@pytest.mark.parametrize("place", ["publishers", "broker"])
def test_batches_beside_other_processes_stay_as_they_are_and_count_for_nothing(place):
    """Of `t` 140 events a second of five and 40 of three are collected; 1,000 come in batches."""
    topology = worlds.topology(
        [
            {"name": "source", "count": 5, "publishes": ["t"]},
            {"name": "other", "count": 3, "publishes": ["t", "u"]},
            {"name": "sink", "count": 50, "subscribes": ["t", {"topic": "u", "fraction": "50 %"}]},
        ],
        MIXED,
        topics={"t": {"size": "1 kB", "cv": 0.5}, "u": {"size": "2 kB"}},
        duration="20 s",
    )
    hold_s = 0.1
    per_s = [(140.0, 5), (40.0, 3)] if place == "publishers" else [(180.0, 1)]
    items_per_s = sum(m / (hold_s + m / rate) for rate, m in per_s)
    found = collected(topology, Collecting(hold_s, place))
    rates, sizes = offered(found), {each.name: each.payload.size for each in found.topics}
    assert rates["t"] == pytest.approx(items_per_s)
    assert sizes["t"] == pytest.approx(1000.0 * 180.0 / items_per_s)
    assert rates["t as it comes"] == pytest.approx(1000.0)
    assert sizes["t as it comes"] == 1000.0
    fan_out = found.fan_out()
    assert fan_out["t as it comes"] == fan_out["t"] == 50
    bytes_per_s = sum(rates[name] * fan_out[name] * sizes[name] for name in rates)
    assert bytes_per_s == pytest.approx(1000.0 * 50 * 1180.0 + 2000.0 * 25 * 40.0)
    few = batched(topology, 4)
    assert offered(few) == pytest.approx({"t": 45.0, "u": 10.0, "t as it comes": 1000.0})
    assert [each.payload.size for each in few.topics] == [4000.0, 8000.0, 1000.0]
    assert Plan(found, 1).rows == pytest.approx(20.0 * sum(rates.values()), rel=0.2)


def test_a_plan_proposes_to_collect_and_says_the_same_for_every_seed():
    """One by one 3.2 cores' worth of work; six events in an item leave 0.53, and 0.46 + 0.2."""
    topology, costs = grid()
    seen = set()
    for seed in (1, 2):
        found = plan(topology, slo=["p99 < 250 ms"], profiles=costs, budget=Budget(4, 8),
                     processes=1, seed=seed)  # fmt: skip
        document = answers.document(found, 0.0)
        proposed = document["collected"]
        seen.add((document["answer"]["cores"], *((p["by"], p["cores"]) for p in proposed)))
        for each in proposed:
            assert each["p99_s"]["value"] > each["hold_s"]
            assert each["p99_s"]["high"] < 0.25
            assert each["saves_cores"] == document["answer"]["cores"] - each["cores"]
    ((alone, *proposed),) = seen
    assert alone == 4
    assert dict(proposed) == {"publishers": 1, "broker": 1}
    assert "Batching: if its publishers collected" in " ".join(plan_words.remarks(document))


def test_what_no_size_can_do_collecting_may():
    topology, costs = grid()
    found = plan(topology, slo=["p99 < 200 ms"], profiles=costs, budget=Budget(1, 2), processes=1)
    document = answers.document(found, 0.0)
    assert document["answer"] is None
    assert {each["by"] for each in document["collected"]} == {"publishers", "broker"}
    assert all(each["saves_cores"] is None for each in document["collected"])
