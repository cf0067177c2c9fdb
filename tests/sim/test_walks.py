"""Walks through all pages of a Topic: late joiners that ask for the next page when one has come."""

from dataclasses import replace

import numpy as np
import pytest
import worlds
from hypothesis import given, settings
from hypothesis import strategies as st
from test_offline import COSTS
from test_oracle import FANOUT_PROCESS, FIFO, LOOP_TURNS
from test_sessions import LOGINS, SETTINGS

from results import histogram
from sim.grid import Grid
from topologies.plan import Plan
from topologies.query_rules import query_problems

SOURCE = {"kind": "assumed", "source": "chosen for a test"}
DELAY = st.sampled_from(["1.013 ms", "0.3137 ms", "5.171 ms"])
OUTAGES = st.lists(
    st.fixed_dictionaries(
        {
            "kind": st.just("outage"),
            "population": st.sampled_from(["near", "far"]),
            "start": st.sampled_from(["0.1 s", "0.23 s", "0.31 s"]),
            "duration": st.sampled_from(["50 ms", "0.2 s"]),
            "spread": st.sampled_from(["0 s", "30 ms"]),
        }
    ),
    min_size=1, max_size=3,
)  # fmt: skip


@st.composite
def grids_that_walk(draw):
    """Two populations that lose power and walk through a Topic as they are back."""

    def population(name, **more):
        return {
            "name": name, "count": draw(st.integers(1, 5)), "subscribes": ["t"],
            "network": {"delay": draw(DELAY)}, "login": {},
            "retry": {"first": "20 ms", "base": "10 ms"},
        } | more  # fmt: skip

    queries = [
        {"kind": "pages", "page": draw(st.sampled_from([1, 3, 20])), "by": name, "topic": "t"}
        for name in ("near", "far")
    ]
    faults = draw(OUTAGES)
    for number, fault in enumerate(faults):
        fault["name"] = f"dark-{number}"
    topology = worlds.topology(
        [{"name": "pub", "count": 1, "publishes": ["t"], "network": {"delay": "1 ms"}},
         population("near"), population("far", read_rate="300/s")],
        [{"topic": "t", "by": "pub", "process": "poisson", "rate": "30/s"}],
        topics={"t": {"size": "250 B", "cv": 0.7, "max": "5 kB"}},
        cores=draw(st.integers(1, 2)),
        nic=draw(st.sampled_from(["1 GB/s", "60 kB/s"])),
        faults=faults,
        queries=queries,
        keeping={"max_items": draw(st.sampled_from([2, 7])),
                 "last_item": draw(st.sampled_from(["never", "on-login", "on-subscribe"]))},
    )  # fmt: skip
    costs = draw(st.one_of(FIFO, LOOP_TURNS, FANOUT_PROCESS))
    return topology, worlds.profile(
        logins=draw(LOGINS), speed=0.3, notification="55 B",
        queries={"provenance": SOURCE, "base": "1.1 ms", "per_item": "0.37 ms"}, **costs,
    )  # fmt: skip


@settings(SETTINGS, max_examples=12)
@given(grids_that_walk(), st.integers(0, 3), st.sampled_from([None, 0.037]))
def test_both_engines_walk_alike(world, seed, window_s):
    topology, profile = world
    plan = Plan(topology, seed)
    fast = worlds.compiled(topology, plan, profile, window_s)
    worlds.assert_agree(fast, worlds.stanza_by_stanza(topology, plan, profile))


DELAY_S, COPY_S, BASE_S, ITEM_S = 10e-3, 1e-3, 2e-3, 0.5e-3


def joining(server="none", page=4, kind="pages", **query):
    """One Platform that comes late to ten items of 1000 B, and nothing else."""
    topology = worlds.topology(
        [
            {"name": "pub", "count": 1, "publishes": ["t"]},
            {"name": "late", "count": 1, "subscribes": ["t"], "network": {"delay": "10 ms"},
             "login": {"mechanism": "plain"}},
        ],
        [{"topic": "t", "by": "pub", "process": "deterministic", "rate": "0.1/s"}],
        duration="4 s",
        faults=[{"kind": "outage", "name": "out", "population": "late", "start": "1 s",
                 "duration": "1 s"}],
        queries=[{"kind": kind, "page": page, "by": "late", "topic": "t", **query}],
        keeping={"max_items": 10, "persist": True},
    )  # fmt: skip
    queries = {"provenance": SOURCE, "base": "2 ms", "per_item": "0.5 ms"}
    profile = worlds.profile("fifo", copy="1 ms", logins=COSTS, queries=queries, server=server)
    return topology, profile


@pytest.mark.parametrize(
    ("server", "page", "pages"),
    [("none", 4, 3), ("none", 5, 2), ("none", 10, 1), ("ejabberd", 1, 10), ("prosody", 4, 1)],
)
def test_a_walk_lasts_a_round_trip_and_a_pages_work_for_each_page(server, page, pages):
    topology, profile = joining(server, page)
    tally = worlds.compiled(topology, Plan(topology, 1), profile)
    whole = [key for key in tally.histograms if key[1] == "all pages of t"]
    (key,) = whole
    assert tally.histograms[key][1].sum() == 1
    in_sync_s = pages * (2 * DELAY_S + BASE_S + COPY_S) + 10 * ITEM_S
    (found,) = tally.histograms[key][0]
    assert found in histogram.bin_index(np.array([in_sync_s - 1e-9, in_sync_s + 1e-6]))
    between = [key for key in tally.histograms if key[1] == "page of t"]
    assert sum(tally.histograms[key][1].sum() for key in between) == pages - 1


def test_walks_go_alike_whether_deliveries_stay_in_the_trace_or_not():
    topology, profile = joining()
    plan = Plan(topology, 1)
    study = replace(worlds.study_of(topology, plan), traced=False)
    (tally,) = Grid(study, plan, {"c": profile}).run()
    kept = worlds.compiled(topology, plan, profile)
    assert len(tally.trace) < len(kept.trace) == 4
    assert tally.histograms.keys() == kept.histograms.keys()
    for key, (bins, counts) in tally.histograms.items():
        assert (bins.tolist(), counts.tolist()) == tuple(
            each.tolist() for each in kept.histograms[key]
        )


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"page": None}, "workload.queries[0].page: a page needs its length; write for example "
         "page: 50"),
        ({"rate": "1/s"}, 'workload.queries[0].rate: "1/s": pages are walked through after logins, '
         "not at random; leave it out, or write kind: page"),
    ],
)  # fmt: skip
def test_walks_that_make_no_sense_are_refused(change, line):
    topology, profile = joining(**change)
    assert line in [each.line("") for each in query_problems(topology, lambda _: profile)]
