"""Copies at even instants: by arithmetic the same, to the bit, as one by one."""

import numpy as np
import pytest
import worlds
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_windows import assert_same

from sim import phases
from sim.grid import Grid
from sim.progressions import deliver_evenly
from sim.study import Study
from topologies.plan import Plan

FAULT = st.sampled_from(
    [
        [],
        [{"kind": "slow-down", "name": "slow", "controller": "c", "start": "0.2713 s",
          "duration": "0.31 s", "factor": 2.7}],
        [{"kind": "freeze", "name": "still", "controller": "c", "start": "0.2713 s",
          "duration": "0.17 s"}],
    ]
)  # fmt: skip


def played(topology, profile, window_s=None, *, traced):
    """A replication; what is traced is worked copy by copy."""
    plan = Plan(topology, 3)
    study = Study(topology, phases.timetable(topology), 3, 1, plan.rows, 1, traced)
    return Grid(study, plan, {"c": profile}, window_s=window_s).run()[0]


@st.composite
def even_worlds(draw):
    """Subscribers by the hundred in three populations, one with readers where drawn."""
    readers = {"read_rate": "13000/s"} if draw(st.booleans()) else {}
    topology = worlds.topology(
        [
            {"name": "pub", "count": 2, "publishes": ["t"]},
            {"name": "near", "count": draw(st.integers(1, 300)), "subscribes": ["t"],
             "network": {"delay": draw(st.sampled_from(["0 s", "1.3 ms", "90 ms"]))}},
            {"name": "far", "count": draw(st.integers(1, 90)), "subscribes": ["t"],
             "network": {"delay": "35 ms"}, **readers},
            {"name": "wide", "count": draw(st.integers(1, 5)), "subscribes": ["t"]},
        ],
        [{"topic": "t", "by": "pub", "process": "poisson", "rate": draw(
            st.sampled_from(["4/s", "30/s"]))}],
        duration="1 s",
        nic=draw(st.sampled_from(["1 GB/s", "33 MB/s", "6 MB/s"])),
        deadline=draw(st.sampled_from(["20 ms", "170 ms"])),
        faults=draw(FAULT),
    )  # fmt: skip
    costs = {"publish": draw(st.sampled_from(["0 s", "0.4 ms"])),
             "copy": draw(st.sampled_from(["33 us", "220 us", "2.7 ms"])),
             "copy_distribution": draw(st.sampled_from(["constant", "constant", "exponential"])),
             "cv": draw(st.sampled_from([0.0, 0.5]))}  # fmt: skip
    return topology, worlds.profile("fifo", **costs)


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(even_worlds(), st.sampled_from([None, 0.0137]))
def test_arithmetic_and_single_copies_are_the_same_to_the_bit(world, window_s):
    one_by_one = played(*world, traced=True)
    assert_same(played(*world, window_s, traced=False), one_by_one)


def test_even_instants_do_not_drift():
    """Copy k of a publication is done k services after the first, however many there are."""
    topology = worlds.topology(
        [{"name": "pub", "count": 1, "publishes": ["t"]},
         {"name": "sub", "count": 50_000, "subscribes": ["t"]}],
        [{"topic": "t", "by": "pub", "process": "deterministic", "rate": "1/s"}],
    )  # fmt: skip
    tally = played(topology, worlds.profile("fifo", publish="1 ms", copy="7 us"), traced=False)
    first_s, last_s = (tally.publications[name][0] for name in ("first_s", "last_s"))
    assert last_s - first_s == pytest.approx(49_999 * 7e-6, rel=1e-12)
    latency_s = tally.intervals["latency_s"].sum() / tally.delivered
    assert latency_s == pytest.approx(1e-3 + 7e-6 * 25_000.5, rel=1e-6)
    assert np.sum([counts.sum() for _, counts in tally.histograms.values()]) == 50_000


@pytest.mark.parametrize(
    ("costs", "readers", "evenly"),
    [
        ({"copy": "1 ms"}, {}, True),
        ({"copy": "1 ms", "copy_distribution": "exponential"}, {}, False),
        ({"copy": "1 ms"}, {"read_rate": "9000/s"}, False),
    ],
)
def test_arithmetic_is_used_where_it_can_be(costs, readers, evenly):
    """In the middle of a publication, the copies of an interval at a stroke."""
    topology = worlds.topology(
        [{"name": "pub", "count": 1, "publishes": ["t"]},
         {"name": "sub", "count": 900, "subscribes": ["t"], **readers}],
        [{"topic": "t", "by": "pub", "process": "deterministic", "rate": "1/s"}],
    )  # fmt: skip
    plan = worlds.GivenPlan(topology, [(0.0, 0, 0, 1000)])
    study = Study(topology, phases.timetable(topology), 3, 1, plan.rows)
    grid = Grid(study, plan, {"c": worlds.profile("fifo", **costs)})
    grid._carry(0.3051)
    server = grid._traffic.stations[0].server
    before = int(server.cores["copy"][0])
    end_s = float(server.intervals["end_s"][server.ledger["interval"][0]])
    assert deliver_evenly(server, min(0.5, end_s)) == evenly
    assert (int(server.cores["copy"][0]) > before) == evenly
