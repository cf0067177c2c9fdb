"""Neighbours that slow a machine in spells: both engines are slow alike, and as often as said."""

import federations
import numpy as np
import pytest
import worlds
from federations import assert_alike as assert_stations_alike
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from test_clusters import clustered_grids
from test_components import component_grid, grids_with_a_component
from test_oracle import grids_of_any_kind
from test_sessions import assert_alike
from test_slowdowns import slow_grids

import sim
import topologies
from sim import campaigns, reference_controller
from sim.spells import paces
from topologies.plan import Plan
from topologies.schema import Controller, Topology

SOON = settings(
    max_examples=15, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)  # fmt: skip
SPELLS = st.fixed_dictionaries(
    {
        "factor": st.sampled_from([1.3, 2.0, 6.0]),
        "share": st.sampled_from(["10 %", "50 %"]),
        "mean": st.sampled_from(["3 ms", "29 ms", "0.4 s"]),
    }
)


def beside(topology, neighbours):
    """The same grid, each of whose Controllers has such neighbours."""
    section = topology.model_dump(mode="json", by_alias=True)
    for node in section["controllers"]:
        node["neighbours"] = neighbours
    return Topology.model_validate(section)


def slowed(neighbours=None, slowness=None):
    """A Controller with these."""
    machine = {"neighbours": neighbours, "slowness": slowness}
    return Controller(name="c", domain="c.test", profile="fifo-sketch", **machine)


@SOON
@given(grids_of_any_kind(), SPELLS, st.integers(0, 3), st.sampled_from([None, 0.037]))
def test_both_engines_have_the_same_spells(world, spells, seed, window_s):
    topology, profile = world
    topology = beside(topology, spells)
    plan = Plan(topology, seed)
    fast = worlds.compiled(topology, plan, profile, window_s)
    worlds.assert_agree(fast, worlds.stanza_by_stanza(topology, plan, profile))


@SOON
@given(slow_grids(), SPELLS, st.integers(0, 3), st.sampled_from([None, 0.037]))
def test_both_engines_log_in_and_are_slow_alike_beside_neighbours(world, spells, seed, window_s):
    topology, profile = world
    assert_alike(beside(topology, spells), profile, seed, window_s)


@SOON
@given(clustered_grids(), SPELLS, st.integers(0, 3))
def test_each_node_of_a_cluster_has_spells_of_its_own(world, spells, seed):
    topology, profiles = world
    topology = beside(topology, spells)
    asked = machines_asked_for(topology, seed, profiles)
    nodes = sum(each.nodes for each in topology.controllers)
    assert len(asked) == 2 * nodes
    assert len(set(asked)) == nodes
    one, other = (list(paces(slowed(spells), key, 9.0)) for key in asked[:2])
    assert one != other


def machines_asked_for(topology, seed, profiles, window_s=None):
    """Whose spells the engines draw, which agree: seed, replication and machine, one a station."""
    asked = []

    def noted(node, key, duration_s):
        asked.append(key)
        return paces(node, key, duration_s)

    with pytest.MonkeyPatch.context() as patch:
        for engine in (campaigns, reference_controller):
            patch.setattr(engine, "paces", noted)
        assert_stations_alike(topology, Plan(topology, seed), profiles, window_s)
    return asked


@SOON
@given(grids_with_a_component(), SPELLS, st.integers(0, 3), st.sampled_from([None, 0.037]))
def test_a_component_has_the_spells_of_its_controller(world, spells, seed, window_s):
    topology, profiles = world
    asked = machines_asked_for(beside(topology, spells), seed, profiles, window_s)
    assert len(asked) == 4
    assert len(set(asked)) == 1


@pytest.mark.parametrize("engine", [federations.compiled, federations.stanza_by_stanza])
@pytest.mark.parametrize("share", [0.01, 0.99])
def test_a_component_takes_as_long_as_its_machine_makes_it(engine, share):
    """Its Controller costs nothing here: 1 ms there, a copy each 10 ms at the usual pace, 1 ms."""
    spells = {"factor": 2.0, "share": share, "mean": "50 s"}
    topology = component_grid(
        {"copy": "10 ms"}, "1 ms",
        [{"name": "pub", "controller": "a", "count": 1, "publishes": ["inside", "outside"]},
         {"name": "sub", "controller": "a", "count": 3, "subscribes": ["outside"]}],
        [{"topic": "outside", "by": "pub", "process": "deterministic", "rate": "1/s"}],
        neighbours=spells,
    )  # fmt: skip
    plan = worlds.GivenPlan(topology, [(0.0, 0, 1, 250)])
    tallies = engine(topology, plan, {"a": worlds.profile("fifo", publish="0 ms", copy="0 ms")})
    (_, factor), *others = paces(slowed(spells), (1, 0, 0), 1.0)
    assert others == []
    assert factor == pytest.approx((2.0 if share > 0.5 else 1.0) / (1.0 + share))
    received = federations.deliveries_ms(tallies)
    assert received == {
        (0, "a", copy): pytest.approx(2.0 + 10.0 * copy * factor) for copy in (1, 2, 3)
    }


@pytest.mark.parametrize(("share", "factor"), [(0.2, 2.0), (0.7, 5.0)])
def test_spells_are_as_long_as_often_and_as_dear_as_said(share, factor):
    node = slowed({"factor": factor, "share": share, "mean": "30 ms"})
    begin_s, paces_ = np.array(list(paces(node, (7, 0, 0), 2000.0))).T
    length_s = np.diff(np.append(begin_s, 2000.0))
    spell = paces_ > 1.0
    calm = 1.0 / (1.0 - share + share * factor)
    assert paces_[spell] == pytest.approx(calm * factor)
    assert paces_[~spell] == pytest.approx(calm)
    assert (np.diff(spell.astype(int)) != 0).all()
    error = 4.0 / np.sqrt(spell.sum())
    assert length_s[spell].mean() == pytest.approx(0.03, rel=error)
    assert length_s[spell].std() == pytest.approx(0.03, rel=2.0 * error)
    assert length_s[spell].sum() / 2000.0 == pytest.approx(share, rel=2.0 * error)
    assert (length_s * paces_).sum() / 2000.0 == pytest.approx(1.0, rel=2.0 * error)
    begins = [next(paces(node, (7, each, 0), 1.0))[1] > 1.0 for each in range(2000)]
    assert np.mean(begins) == pytest.approx(share, abs=4.0 * np.sqrt(share * (1 - share) / 2000))


def test_what_is_left_at_the_end_is_done_at_the_costs_of_the_profile():
    """Always slow but for a moment: 30 publications at the end, of 0.1 s each on average."""
    topology = worlds.topology(
        [{"name": "pub", "count": 1, "publishes": ["t"]},
         {"name": "sub", "count": 1, "subscribes": ["t"]}],
        duration="10 s", neighbours={"factor": 2.0, "share": 0.5, "mean": "50 s"},
    )  # fmt: skip
    plan = worlds.GivenPlan(topology, [(9.999, 0, 0, 1000)] * 30)
    for engine in (worlds.compiled, worlds.stanza_by_stanza):
        tally = engine(topology, plan, worlds.profile("fifo", publish="50 ms", copy="50 ms"))
        between_s = np.diff(tally.publications["first_s"])
        assert between_s == pytest.approx(np.full(29, 0.1))


def test_a_light_load_costs_on_average_what_the_profile_says():
    """And one that a server never rests from what it gets done in and between spells."""
    neighbours = {"factor": 3.0, "share": 0.4, "mean": "30 ms"}
    people = [{"name": "pub", "count": 1, "publishes": ["t"]},
              {"name": "sub", "count": 1, "subscribes": ["t"]}]  # fmt: skip
    profile = worlds.profile("fifo", publish="0.5 ms", copy="0.5 ms")
    dearer = 1.0 - 0.4 + 0.4 * 3.0
    for rate, expected_s in (("50/s", 1e-3), ("4000/s", 1e-3 / dearer / (0.6 + 0.4 / 3.0))):
        arrivals = [{"topic": "t", "by": "pub", "process": "poisson", "rate": rate}]
        topology = worlds.topology(
            people, arrivals, study="steady", duration="10 s", neighbours=neighbours
        )
        run = sim.simulate(topology, seed=3, replications=4, profiles={"c": profile}, processes=1)
        rows = run.intervals
        during = rows["phase"] != "drain"
        each_s = rows["busy_s"][during].sum() / rows["delivered"][during].sum()
        assert each_s == pytest.approx(expected_s, rel=0.08), rate


RECORDS = st.lists(
    st.fixed_dictionaries(
        {"lasts": st.sampled_from(["3 ms", "29 ms", "0.4 s"]),
         "factor": st.sampled_from([0.7, 1.0, 2.5, 6.0])}
    ), min_size=1, max_size=5,
)  # fmt: skip


@SOON
@given(grids_of_any_kind(), RECORDS, st.integers(0, 3), st.sampled_from([None, 0.037]))
def test_both_engines_are_as_slow_as_was_recorded(world, steps, seed, window_s):
    topology, profile = world
    section = topology.model_dump(mode="json", by_alias=True)
    for node in section["controllers"]:
        node["slowness"] = {"steps": steps}
    topology = Topology.model_validate(section)
    plan = Plan(topology, seed)
    fast = worlds.compiled(topology, plan, profile, window_s)
    worlds.assert_agree(fast, worlds.stanza_by_stanza(topology, plan, profile))


def test_a_record_is_played_over_and_over_from_an_instant_that_is_drawn():
    lasts_s, factors = [0.5, 0.3, 0.2], [1.0, 4.0, 0.5]
    steps = [{"lasts": f"{s} s", "factor": f} for s, f in zip(lasts_s, factors, strict=True)]
    node, begins = slowed(slowness={"steps": steps}), []
    for replication in range(400):
        begin_s, found = np.array(list(paces(node, (7, replication, 3), 10.0))).T
        begins.append(found[0])
        assert begin_s[0] == 0.0
        number = factors.index(found[0])
        assert found.tolist() == [factors[(number + k) % 3] for k in range(len(found))]
        length_s = np.diff(begin_s)
        assert length_s[0] <= lasts_s[number] + 1e-12
        assert length_s[1:] == pytest.approx(
            [lasts_s[(number + 1 + k) % 3] for k in range(len(length_s) - 1)]
        )
        assert begin_s[-1] < 10.0 <= begin_s[-1] + lasts_s[(number + len(found) - 1) % 3] + 1e-9
        assert list(paces(node, (7, replication, 4), 10.0)) == list(
            zip(begin_s, found, strict=True)
        )
    for factor, share in zip(factors, lasts_s, strict=True):
        assert begins.count(factor) / 400 == pytest.approx(
            share, abs=4 * (share * (1 - share) / 400) ** 0.5
        )


MACHINES = {
    "neighbours": {"factor": 2.0, "share": 0.5, "mean": "50 ms"},
    "slowness": {"steps": [{"lasts": "50 ms", "factor": 2.0}]},
}


@pytest.mark.parametrize("part", MACHINES)
@pytest.mark.parametrize("kind", ["crash", "freeze"])
def test_a_controller_that_fails_has_no_spells(kind, part):
    fault = {"kind": kind, "name": "f", "controller": "c", "start": "0.2 s", "duration": "0.1 s"}
    topology = worlds.topology(
        [{"name": "pub", "count": 1, "publishes": ["t"]}], faults=[fault],
        **{part: MACHINES[part]},
    )  # fmt: skip
    with pytest.raises(topologies.TopologyError, match=rf"controllers\[0\].{part}: .* crash or"):
        sim.simulate(topology, profiles={"c": worlds.profile("fifo", copy="1 ms")})


@pytest.mark.parametrize("part", MACHINES)
def test_closed_forms_refuse_spells(part):
    people = [{"name": "pub", "count": 1, "publishes": ["t"]}]
    topology = worlds.topology(people, **{part: MACHINES[part]})
    with pytest.raises(topologies.TopologyError, match=rf"controllers\[0\].{part}"):
        sim.estimate(topology, profiles={"c": worlds.profile("fifo", copy="1 ms")})
