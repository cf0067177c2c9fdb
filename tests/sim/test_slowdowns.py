"""A Controller that is slow for a while: both engines slow down what it begins then, alike."""

import pytest
import worlds
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from test_sessions import assert_alike, grids_with_logins

from topologies.schema import Topology

SLOW = st.fixed_dictionaries(
    {
        "kind": st.just("slow-down"),
        "controller": st.just("c"),
        "duration": st.sampled_from(["7.3 ms", "61 ms", "0.19 s"]),
        "factor": st.sampled_from([1.7, 2.0, 8.0]),
    }
)


@st.composite
def slow_grids(draw):
    """Grids that log in and lose power, and whose Controller is slow at odd instants."""
    topology, profile = draw(grids_with_logins())
    starts = draw(
        st.lists(st.sampled_from(["0.03137 s", "0.24719 s", "0.53113 s"]), min_size=1, unique=True)
    )
    slow = [{"name": f"slow-{place}", "start": start} | draw(SLOW)
            for place, start in enumerate(starts)]  # fmt: skip
    section = topology.model_dump(mode="json", by_alias=True)
    section["faults"] = [*slow, *section["faults"]]
    return Topology.model_validate(section), profile


@settings(
    max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)  # fmt: skip
@given(slow_grids(), st.integers(0, 3), st.sampled_from([None, 0.037]))
def test_both_engines_are_slow_alike(world, seed, window_s):
    assert_alike(*world, seed, window_s)


SLOWER = {"kind": "slow-down", "name": "slow", "controller": "c", "start": "2 s",
          "duration": "3 s", "factor": 4.0}  # fmt: skip
COSTS = {
    "fifo": {"publish": "100 ms", "copy": "100 ms"},
    "loop-turns": {"publish": "100 ms", "build": "0 s", "write": "100 ms"},
    "fanout-process": {"setup": "100 ms", "route": "0 s", "write": "100 ms"},
}


@pytest.mark.parametrize("engine", [worlds.compiled, worlds.stanza_by_stanza])
@pytest.mark.parametrize("discipline", sorted(COSTS))
def test_what_begins_meanwhile_takes_longer(engine, discipline):
    """0.2 s for a publication; four times as much in between; what had begun keeps its pace."""
    topology = worlds.topology(
        [{"name": "pub", "count": 1, "publishes": ["t"]},
         {"name": "sub", "count": 1, "subscribes": ["t"]}],
        duration="10 s", faults=[SLOWER],
    )  # fmt: skip
    plan = worlds.GivenPlan(topology, [(at_s, 0, 0, 1000) for at_s in (1.0, 1.95, 3.0, 4.9, 8.0)])
    tally = engine(topology, plan, worlds.profile(discipline, **COSTS[discipline]))
    # `fifo` begins with a publication and its first copy at once, the others with one of both.
    begun, ends = {"fifo": (0.2, 0.8)}.get(discipline, (0.5, 0.5))
    expected_s = [1.2, 1.95 + begun, 3.8, 4.9 + ends, 8.2]
    assert tally.publications["first_s"].tolist() == pytest.approx(expected_s)
    assert tally.intervals["busy_s"].sum() + tally.idle_s == pytest.approx(tally.drained_s)
