"""A Controller that stands still: both engines hold its work and its arrivals alike."""

import federations
import pytest
import worlds
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from test_sessions import assert_alike, grids_with_logins

import topologies
from sim import platforms
from topologies.schema import Topology

FREEZES = st.lists(
    st.fixed_dictionaries(
        {
            "kind": st.just("freeze"),
            "controller": st.just("c"),
            "duration": st.sampled_from(["7.3 ms", "61 ms", "0.19 s"]),
        }
    ),
    min_size=1, max_size=3,
)  # fmt: skip


@st.composite
def freezing_grids(draw):
    """Grids that log in and lose power, and whose Controller stands still at odd instants."""
    topology, profile = draw(grids_with_logins())
    starts = ["0.03137 s", "0.24719 s", "0.53113 s"]
    struck = zip(draw(FREEZES), draw(st.permutations(starts)), strict=False)
    freezes = [{**each, "name": f"still-{start[4]}", "start": start} for each, start in struck]
    section = topology.model_dump(mode="json", by_alias=True)
    section["faults"] = [*freezes, *section["faults"]]
    return Topology.model_validate(section), profile


@settings(
    max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)  # fmt: skip
@given(freezing_grids(), st.integers(0, 3), st.sampled_from([None, 0.037]))
def test_both_engines_stand_still_alike(world, seed, window_s):
    assert_alike(*world, seed, window_s)


FREEZE = {"kind": "freeze", "name": "still", "controller": "c", "start": "2.0 s", "duration": "3 s"}
COSTS = {
    "fifo": {"publish": "100 ms", "copy": "200 ms"},
    "loop-turns": {"publish": "100 ms", "build": "0 s", "write": "200 ms"},
    "fanout-process": {"setup": "100 ms", "route": "0 s", "write": "200 ms"},
}
# 0.05 s of reading are left at 5 s. A run queue reads the next one before it writes both.
AFTER = {"fifo": [5.25, 5.55], "loop-turns": [5.25, 5.55], "fanout-process": [5.55, 5.55]}


@pytest.mark.parametrize("engine", [worlds.compiled, worlds.stanza_by_stanza])
@pytest.mark.parametrize("discipline", sorted(COSTS))
def test_work_and_arrivals_are_held_and_go_on(engine, discipline):
    """A publication takes 0.3 s. One is half read at 2 s, one comes then and waits until 5 s."""
    topology = worlds.topology(
        [{"name": "pub", "count": 2, "publishes": ["t"]},
         {"name": "sub", "count": 1, "subscribes": ["t"]}],
        duration="10 s", faults=[FREEZE],
    )  # fmt: skip
    plan = worlds.GivenPlan(
        topology, [(1.0, 0, 0, 1000), (1.95, 0, 0, 1000), (4.0, 1, 0, 1000), (8.0, 0, 0, 1000)]
    )
    tally = engine(topology, plan, worlds.profile(discipline, **COSTS[discipline]))
    received_s = [round(each, 6) for each in tally.publications["first_s"].tolist()]
    assert received_s == [1.3, *AFTER[discipline], 8.3]
    busy_s = tally.intervals["busy_s"]
    middle = (tally.intervals["start_s"] >= 2.0) & (tally.intervals["end_s"] <= 5.0)
    assert busy_s.sum() == pytest.approx(1.2)
    assert busy_s[middle].sum() == 0.0
    assert busy_s.sum() + tally.idle_s == pytest.approx(tally.drained_s)
    assert tally.owed_area_s == pytest.approx(tally.sojourn_s)


@pytest.mark.parametrize("engine", [federations.compiled, federations.stanza_by_stanza])
def test_what_comes_over_a_link_waits_too(engine):
    people = [
        {"name": "pub", "count": 1, "controller": "a", "publishes": ["t"]},
        {"name": "sub", "count": 1, "controller": "b", "subscribes": ["t"]},
    ]
    topology = federations.topology(
        {"a": {}, "b": {}}, {"t": ("a", {})}, people,
        [{"topic": "t", "by": "pub", "process": "poisson", "rate": "1/s"}],
        duration="10 s", faults=[FREEZE | {"controller": "b"}],
    )  # fmt: skip
    plan = worlds.GivenPlan(topology, [(1.0, 0, 0, 1000), (3.0, 0, 0, 1000), (4.0, 0, 0, 1000)])
    profile = worlds.profile("fifo", publish="0 s", copy="10 ms", relay={"receive": "5 ms"})
    here, _ = engine(topology, plan, {"a": profile, "b": profile})
    received_s = here.publications["first_s"].tolist()
    assert received_s == pytest.approx([1.026, 5.015, 5.030])


def test_a_freeze_beside_limits_is_refused():
    topology = worlds.topology(
        [{"name": "pub", "count": 1, "publishes": ["t"]}], duration="10 s", faults=[FREEZE],
        limits={"client": {"rate": "9 kB/s", "burst": "1 kB"}},
    )  # fmt: skip
    with pytest.raises(topologies.TopologyError) as refused:
        platforms.require_supported(topology)
    assert refused.value.problems == [
        "controllers[0].limits.client: is not supported by the simulation of a freeze yet; "
        "leave one of both out"
    ]
