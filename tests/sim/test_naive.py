"""Kernels that work on many copies at once do what the plainest SimPy model does."""

import numpy as np
import pytest
import worlds

from sim.naive import NaiveGrid
from topologies import TopologyError
from topologies.plan import Plan

PEOPLE = [
    {"name": "pub", "count": 2, "publishes": ["t"], "network": {"delay": "3 ms"}},
    {"name": "quick", "count": 700, "subscribes": ["t"], "network": {"delay": "1 ms"}},
    {"name": "slow", "count": 900, "subscribes": [{"topic": "t", "fraction": 0.6}],
     "read_rate": "9/s"},
    {"name": "reader", "count": 800, "subscribes": ["t"], "read_rate": "12/s"},
]  # fmt: skip
ARRIVALS = [{"topic": "t", "by": "pub", "process": "poisson", "rate": "8/s"}]


@pytest.mark.parametrize("distribution", ["constant", "exponential"])
@pytest.mark.parametrize("cores", [1, 3])
@pytest.mark.parametrize("nic", ["1 GB/s", "25 MB/s"])
def test_wide_fan_outs_arrive_as_in_the_naive_model(distribution, cores, nic):
    """Fan-outs over many blocks of copies, readers that queue, a link faster or slower than that.

    Constant services on several cores would leave two copies at the same instant now and then, and
    which of them goes first is another question.
    """
    profile = worlds.profile(
        "fifo", publish="2 ms", copy="43.7 us" if cores == 1 else "131.1 us", cv=0.3,
        copy_distribution=distribution, notification="380 B",
    )  # fmt: skip
    topology = worlds.topology(PEOPLE, ARRIVALS, duration="2 s", cores=cores, nic=nic)
    plan = Plan(topology, 1)
    fast = worlds.compiled(topology, plan, profile)
    intended_s = plan.columns().intended_s
    got_s = np.sort(fast.trace["received_s"] - intended_s[fast.trace["row"]])
    want_s = np.sort(NaiveGrid(topology, plan.columns(), profile, 1, 0).run())
    assert len(got_s) == len(want_s) == 2040 * plan.rows > 10_000
    np.testing.assert_allclose(got_s, want_s, rtol=1e-9)


def test_the_naive_model_knows_one_discipline():
    profile = worlds.profile("loop-turns", publish="1 ms", build="1 ms", write="1 ms")
    topology = worlds.topology(PEOPLE, ARRIVALS)
    with pytest.raises(TopologyError, match="the naive model has one Controller"):
        NaiveGrid(topology, Plan(topology, 1).columns(), profile, 1, 0)
