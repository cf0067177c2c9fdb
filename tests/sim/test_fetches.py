"""Direct flow: items refer to payloads that subscribers fetch from the Publisher."""

import numpy as np
import pytest
import worlds
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from test_oracle import ARRIVALS, FANOUT_PROCESS, FIFO, LOOP_TURNS

import sim
import topologies
from sim.platforms import require_supported
from sim.sharing import shared
from topologies.plan import Plan
from topologies.schema import Topology


def pulled(people, topics, arrivals=None, **fetch):
    """Controller c; Topics with direct flow where their payload says so."""
    topology = worlds.topology(people, arrivals, topics={n: p for n, (p, _) in topics.items()})
    section = topology.model_dump(mode="json", by_alias=True)
    for topic in section["topics"]:
        if topics[topic["name"]][1]:
            topic |= {"flow": "direct", "fetch": fetch}
    return Topology.model_validate(section)


@st.composite
def grids_with_direct_flow(draw):
    """One Topic by reference and one whose items hold their payload."""
    network = {"uplink": draw(st.sampled_from(["70 kB/s", "1 MB/s"])),
               "delay": draw(st.sampled_from(["0 s", "3.1 ms"]))}  # fmt: skip
    people = [
        {"name": "pub", "count": draw(st.integers(1, 3)), "publishes": ["large", "small"],
         "network": draw(st.sampled_from([network, network, {}]))},
        {"name": "near", "count": draw(st.integers(1, 6)), "subscribes": ["large", "small"],
         "network": {"delay": "1.1 ms"}},
        {"name": "far", "count": draw(st.integers(1, 4)), "subscribes": ["large"],
         "network": {"delay": "23 ms"}, "read_rate": "333/s"},
    ]  # fmt: skip
    arrivals = [{"topic": each, "by": "pub", **draw(ARRIVALS)} for each in ("large", "small")]
    fetch = {"overhead": "300 B", "spread": draw(st.sampled_from(["0 s", "70 ms"])),
             "round_trips": draw(st.integers(1, 3)),
             "connections": draw(st.sampled_from([None, 1, 2]))}  # fmt: skip
    sizes = {"large": ({"size": "900 B", "cv": 0.6}, True), "small": ({"size": "250 B"}, False)}
    topology = pulled(people, sizes, arrivals, **fetch)
    discipline = draw(st.one_of(FIFO, LOOP_TURNS, FANOUT_PROCESS))
    return topology, worlds.profile(notification="55 B", **discipline)


@settings(
    max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)  # fmt: skip
@given(grids_with_direct_flow(), st.integers(0, 3), st.sampled_from([None, 0.037]))
def test_both_engines_deliver_at_the_same_instants(world, seed, window_s):
    topology, profile = world
    require_supported(topology)
    plan = Plan(topology, seed)
    fast = worlds.compiled(topology, plan, profile, window_s)
    slow = worlds.stanza_by_stanza(topology, plan, profile)
    worlds.assert_agree(fast, slow)
    assert fast.expected == fast.delivered + fast.lost
    assert int(fast.intervals["received"].sum()) == fast.delivered
    for key, (bins, counts) in fast.histograms.items():
        assert counts.tolist() == slow.histograms[key][1].tolist()
        assert bins.tolist() == slow.histograms[key][0].tolist()


HERD = [
    {"name": "pub", "count": 1, "publishes": ["t"], "network": {"uplink": "1 MB/s",
                                                                "delay": "5 ms"}},
    {"name": "sub", "count": 50, "subscribes": ["t"], "network": {"delay": "15 ms"}},
]  # fmt: skip
FREE = worlds.profile("fifo")
BOTH = pytest.mark.parametrize("engine", [worlds.compiled, worlds.stanza_by_stanza])


@BOTH
@pytest.mark.parametrize(
    ("connections", "first_s"),
    [
        # All ask at once: 5 ms up, 15 ms down, then three round trips of 40 ms but for the answer's
        # way; 50 fetches of 20 kB share 1 MB/s, or come one after another, or ten at a time.
        (None, 0.02 + 0.12 + 1.0),
        (1, 0.02 + 0.12 + 0.02),
        (10, 0.02 + 0.12 + 0.2),
    ],
)
def test_a_herd_drains_in_its_bytes_over_the_uplink(engine, connections, first_s):
    topology = pulled(HERD, {"t": ({"size": "19 kB"}, True)}, overhead="1 kB",
                      connections=connections)  # fmt: skip
    plan = worlds.GivenPlan(topology, [(0.0, 0, 0, 19_000)])
    # The reference itself takes 400 B of the Publisher's uplink, and what is around it.
    up_s = (400.0 + FREE.publication_bytes) / 1e6
    tally = engine(topology, plan, FREE)
    received_s = np.sort(tally.trace["received_s"])
    # All but at once: the link takes 0.4 ns for each item.
    assert received_s[0] == pytest.approx(up_s + first_s, abs=1e-6)
    assert received_s[-1] == pytest.approx(up_s + 0.02 + 0.12 + 50 * 20e3 / 1e6, abs=1e-6)
    assert tally.delivered == 50
    assert tally.intervals["egress_bytes"].sum() == 50 * 400.0


def test_a_late_comer_gets_its_share():
    """1 s of work from 0 s on, 0.25 s from 0.5 s on, which is done at 1 s, then the rest."""
    done_s = np.empty(2)
    shared(np.array([0.0, 0.5]), np.array([1.0, 0.25]), 2, done_s)
    assert done_s.tolist() == [1.25, 1.0]


def test_what_is_not_fetched_in_ten_run_lengths_is_lost():
    people = [HERD[0] | {"network": {"uplink": "10 kB/s"}}, HERD[1]]
    topology = pulled(people, {"t": ({"size": "19 kB"}, True)}, overhead="1 kB", connections=1)
    plan = worlds.GivenPlan(topology, [(0.0, 0, 0, 19_000)])
    for engine in (worlds.compiled, worlds.stanza_by_stanza):
        tally = engine(topology, plan, FREE)
        assert (tally.delivered, tally.lost) == (4, 46)  # 2 s each, within 10 s


def test_a_run_with_direct_flow_is_valid_and_cheap_for_the_broker():
    sizes = {"t": ({"size": "19 kB"}, True)}
    runs = {
        flow: sim.simulate(
            pulled(HERD, {"t": (sizes["t"][0], flow)}), replications=2, profiles={"c": FREE},
            processes=1,
        )
        for flow in (True, False)
    }  # fmt: skip
    for run in runs.values():
        assert run.header.verdict.valid
        assert run.header.counts.delivered == run.header.counts.expected > 0


REFUSED = [
    ({"last_item": "on-login"}, {}, r'topics\[0\].last_item: "on-login"'),
    ({}, {"downlink": "1 MB/s"}, r"platforms\[1\].network.downlink: sub fetches"),
]


@pytest.mark.parametrize(("more", "network", "message"), REFUSED)
def test_what_direct_flow_cannot_do_yet_is_refused(more, network, message):
    people = [HERD[0], HERD[1] | {"network": network}]
    topology = pulled(people, {"t": ({"size": "19 kB"}, True)})
    section = topology.model_dump(mode="json", by_alias=True)
    section["topics"][0] |= more
    with pytest.raises(topologies.TopologyError, match=message):
        require_supported(Topology.model_validate(section))
