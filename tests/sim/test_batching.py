"""Collected events: counted against a play of the rule itself; plans that propose them."""

import numpy as np
import pytest
import worlds

from results import plans
from sim import answers
from sim.batching import collected, events_per_item
from sim.designs import Collecting
from sim.planning import Budget, plan
from topologies import offered

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
    assert "Batching: if its publishers collected" in " ".join(plans.remarks(document))


def test_what_no_size_can_do_collecting_may():
    topology, costs = grid()
    found = plan(topology, slo=["p99 < 200 ms"], profiles=costs, budget=Budget(1, 2), processes=1)
    document = answers.document(found, 0.0)
    assert document["answer"] is None
    assert {each["by"] for each in document["collected"]} == {"publishers", "broker"}
    assert all(each["saves_cores"] is None for each in document["collected"])
