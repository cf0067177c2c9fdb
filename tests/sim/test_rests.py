"""The first work after a rest costs more: by how long the rest was, and not for work that follows.

A publication to one subscriber costs 3 ms here, and up to 10 ms more after a rest, with 20 ms as
the rest after which that is 1 - 1/e.
"""

import numpy as np
import pytest
import worlds

from topologies.schema import Topology

COLD = {"cold": "10 ms", "cold_after": "20 ms", "wake": "0.5 ms"}
COSTS = {
    "loop-turns": {"publish": "1 ms", "build": "0 s", "write": "2 ms", **COLD},
    "fanout-process": {"setup": "1 ms", "route": "0 s", "write": "2 ms", **COLD},
}
# A loop rests until it is woken, a core until it has woken.
WAKING_S = {"loop-turns": 0.0, "fanout-process": 0.5e-3}
ENGINES = [worlds.compiled, worlds.stanza_by_stanza]
each_way = pytest.mark.parametrize("engine", ENGINES)
each_discipline = pytest.mark.parametrize("discipline", sorted(COSTS))


def colder_s(rest_s):
    return 10e-3 * (1.0 - np.exp(-rest_s / 20e-3))


def grid(faults=(), subscribers=1, cores=1) -> Topology:
    people = [
        {"name": "pub", "count": 1, "publishes": ["t"]},
        {"name": "sub", "count": subscribers, "subscribes": ["t"]},
    ]
    return worlds.topology(people, duration="3 s", cores=cores, faults=list(faults))


def run(engine, topology, instants_s, discipline, **costs):
    plan = worlds.GivenPlan(topology, [(instant_s, 0, 0, 0) for instant_s in instants_s])
    return engine(topology, plan, worlds.profile(discipline, **COSTS[discipline], **costs))


def own_s(tally, instants_s):
    """What each publication took from its instant to its last copy. [s]"""
    return tally.publications["last_s"] - np.array(instants_s)


@each_way
@each_discipline
def test_the_first_work_costs_more_the_longer_the_rest(engine, discipline):
    rests_s, instants_s, ended_s = [0.5, 0.001, 0.01, 0.022, 0.045, 0.3], [], 0.0
    for rest_s in rests_s:
        instants_s.append(ended_s + rest_s)
        ended_s += rest_s + 3.5e-3 + colder_s(rest_s + WAKING_S[discipline])
    tally = run(engine, grid(), instants_s, discipline)
    expected_s = 3.5e-3 + colder_s(np.array(rests_s) + WAKING_S[discipline])
    np.testing.assert_allclose(own_s(tally, instants_s), expected_s, rtol=1e-9)
    busy_s = tally.intervals["busy_s"].sum()
    assert busy_s == pytest.approx(expected_s.sum() - 0.5e-3 * len(rests_s), rel=1e-9)


@each_way
@each_discipline
def test_work_that_follows_at_once_costs_nothing_more(engine, discipline):
    instants_s = [1.0, 1.0, 1.001, 1.002, 1.004]
    together = {"coalesced": "2 ms"} if discipline == "loop-turns" else {}
    tally = run(engine, grid(), instants_s, discipline, **together)
    expected_s = 5 * 3e-3 + colder_s(1.0 + WAKING_S[discipline])
    assert tally.intervals["busy_s"].sum() == pytest.approx(expected_s, rel=1e-9)


@each_way
def test_each_core_rests_by_itself(engine):
    """The first goes on from the publisher's slice to the first subscriber, the second begins."""
    instants_s = [0.04]
    tally = run(engine, grid(subscribers=2, cores=2), instants_s, "fanout-process")
    routed_s = 0.0405 + colder_s(0.0405) + 1e-3
    received_s = sorted(tally.trace["received_s"])
    assert received_s == pytest.approx([routed_s + 2e-3, routed_s + 2e-3 + colder_s(routed_s)])


@each_way
@each_discipline
@pytest.mark.parametrize("kind", ["crash", "freeze"])
def test_a_server_rests_from_when_it_goes_on(engine, discipline, kind):
    fault = {"kind": kind, "name": "f", "controller": "c", "start": "0.5 s", "duration": "1 s"}
    tally = run(engine, grid([fault]), [1.507], discipline)
    expected_s = 3e-3 + colder_s(7e-3 + WAKING_S[discipline])
    assert tally.intervals["busy_s"].sum() == pytest.approx(expected_s, rel=1e-9)


@each_way
@each_discipline
def test_a_slow_server_warms_up_slowly(engine, discipline):
    fault = {"kind": "slow-down", "name": "f", "controller": "c", "start": "0.5 s",
             "duration": "1 s", "factor": 3.0}  # fmt: skip
    tally = run(engine, grid([fault]), [0.4, 1.0], discipline, speed=2.0)
    rests_s = np.array([0.4, 0.6 - 6.5e-3 - 2.0 * colder_s(0.4 + WAKING_S[discipline])])
    expected_s = np.array([2.0, 6.0]) * (3e-3 + colder_s(rests_s + WAKING_S[discipline]))
    assert tally.intervals["busy_s"].sum() == pytest.approx(expected_s.sum(), rel=1e-9)
