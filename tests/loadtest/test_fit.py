"""What a light load tells: how slow the machine is, when, and what rests cost its server."""

import json
from types import SimpleNamespace

import pytest
from staged_servers import SMALL, only, simulate

import sim
import topologies
from loadtest import calibration, coldness, paces
from results import pacing
from results.figures import Figures

LIGHT = {"seed": 1, "duration_s": 60.0, "rate_per_s": 12.0}
PACE_PER_S = 4e7


@pytest.fixture(scope="module")
def topology():
    return topologies.parse(SMALL)


def test_the_fit_finds_the_speed_of_the_machine(topology, shipped):
    """A machine that is 1.5 times as slow as the profile's is found to be so, within chance."""

    def predict(played, *, seed, profiles, load, plan_replication, door):
        return simulate(played, shipped, seed=seed, load=load)

    def slow_machine(played, *, seed, load):
        slow = shipped.model_copy(update={"speed": 1.5})
        return simulate(played, slow, seed=seed + 1, load=load)

    fitted = calibration.fit(topology, predict, slow_machine, seed=1, duration_s=30.0)
    assert fitted.profiles["a"].speed == pytest.approx(1.5, rel=0.05)
    assert fitted.speed["low"] < 1.5 < fitted.speed["high"]
    assert fitted.speed["high"] - fitted.speed["low"] < 0.3
    entry = json.loads(json.dumps(fitted.document()))
    again = calibration.recalled(topology, entry, fitted.pilot)
    assert again == fitted


STEPS = [[k * 0.5 + part, pace] for k in range(80) for part, pace in ((0.0, 6e7), (0.46, 6e6))]


def test_a_machine_is_expected_to_go_on_as_it_was_in_the_pilot(topology, shipped):
    """Slowed 4.5 times for a twelfth of the time: costs and tail are those of such a machine."""
    terms = {"pace_per_s": {"a": 4e7}, "paces": {"a": STEPS}, "cpu_s": {"a": 1.0}}
    at_pace = {"a": shipped.model_copy(update={"pace_per_s": 6e7})}

    def predict(played, *, seed, profiles, load, **asked):
        return simulate(played, (profiles or {"a": shipped})["a"], seed=seed, load=load)

    def slow_machine(played, *, seed, load):
        told, costs = paces.told(played, at_pace, stepped(terms))
        run = simulate(told, costs["a"], seed=seed + 1, load=load)
        run.header = run.header.model_copy(update={"measurement": {"server": terms}})
        return run

    asked = {"seed": 1, "duration_s": 40.0, "rate_per_s": 12.0}
    fitted = calibration.fit(topology, predict, slow_machine, **asked)
    expected = fitted.expected(topology).controllers[0].slowness
    assert expected.length_s == pytest.approx(40.0)
    factors = [step.factor for step in expected.steps]
    assert factors[0] * fitted.profiles["a"].speed == pytest.approx(1.0, rel=0.04)
    assert factors[1] / factors[0] == pytest.approx(10.0**pacing.EXPONENT)
    whole, plain = (
        Figures([simulate(grid, fitted.profiles["a"], seed=9, replications=8)])
        for grid in (fitted.expected(topology), topology)
    )
    real = Figures([slow_machine(topology, seed=9, load=1.0)])
    tails_s = [side.latency().sample(0.99).value for side in (whole, real, plain)]
    assert tails_s[0] == pytest.approx(tails_s[1], rel=0.15)
    assert tails_s[2] < 0.7 * tails_s[1]
    entry = json.loads(json.dumps(fitted.document()))
    assert calibration.recalled(topology, entry, fitted.pilot) == fitted


def test_what_is_expected_is_of_the_newest_minute(topology, shipped):
    """Three runs of 25 s: each is known from its beginning, and the oldest is not looked at."""
    profiles = {"a": shipped.model_copy(update={"pace_per_s": 6e7})}
    seen = [stepped({"paces": {"a": [[0.0, 6e7], [20.0, pace]]}}, 25.0) for pace in (3e7, 2e7, 1e7)]
    steps = paces.expected(topology, profiles, [seen[0], *seen]).controllers[0].slowness.steps
    assert [step.lasts for step in steps] == pytest.approx([20.0, 5.0] * 3)
    slower = [(6e7 / pace) ** pacing.EXPONENT for pace in (3e7, 2e7, 1e7)]
    assert [step.factor for step in steps[1::2]] == pytest.approx(slower)


def test_a_server_is_expected_to_wait_for_its_core_as_it_did(topology, shipped):
    profiles = {"a": shipped.model_copy(update={"pace_per_s": 6e7})}
    terms = {"pace_per_s": {"a": 6e7}, "cpu_s": {"a": 2.0}, "waited_s": {"a": 0.08}}
    assert paces.expected(topology, profiles, [stepped(terms)]).controllers[0].waits == 0.04
    told = paces.told(topology, profiles, stepped(terms))
    assert told is not None
    assert told[0].controllers[0].waits == 0.04
    assert paces.expected(topology, profiles, []).controllers[0].waits == 0.0


@pytest.mark.parametrize(
    "server",
    [{}, {"paces": {"a": []}}, {"paces": {"pubsub.a.test": [[0.0, 6e7]]}}],
    ids=["no paces", "none known", "a component's alone"],
)
def test_without_a_pace_the_machine_is_as_in_the_file(topology, shipped, server):
    profiles = {"a": shipped.model_copy(update={"pace_per_s": 6e7})}
    assert paces.expected(topology, profiles, [stepped(server)]) == topology
    known = stepped({"paces": {"a": STEPS}})
    assert paces.expected(topology, {"a": shipped}, [known]) == topology


def test_beside_a_component_a_mean_pace_is_told():
    """Slow-downs strike Controllers alone; what is expected of its machine, both have."""
    inside = "controller: a}]\ntopics"
    described = topologies.parse(
        SMALL.replace(inside, "controller: a, kind: component, costs: {copy: 40 us}}]\ntopics")
    )
    costs = {name: each.model_copy(update={"pace_per_s": 4e7})
             for name, each in calibration.stations(described).items()}  # fmt: skip
    assert list(costs) == ["a", "broker.a.test"]
    steps = {name: [[0.0, 4e7], [1.0, 1e7]] for name in costs}
    run = stepped({"pace_per_s": dict.fromkeys(costs, 2e7), "paces": steps})
    expected = paces.expected(described, costs, [run])
    assert expected.controllers[0].slowness is not None
    beside = topologies.varied(
        described, ["controllers[0].neighbours={factor: 6, share: 5 %, mean: 30 ms}"]
    )
    told, at_pace = paces.told(beside, costs, run)
    assert told == beside
    for each in at_pace.values():
        assert each.speed == pytest.approx(2.0**pacing.EXPONENT)
    alone, _ = paces.told(beside, {"a": costs["a"]}, run)
    assert alone.controllers[0].neighbours is None
    assert len(alone.faults) == 1


def test_costs_are_for_the_pace_at_which_the_pilot_told_its_own_costs_as_much(topology, shipped):
    """Slow spells count by what is done in them: less than their share of the time."""
    terms = {"pace_per_s": {"a": 4e7}, "paces": {"a": STEPS}, "cpu_s": {"a": 1.0}}

    def predict(played, *, seed, profiles, load, **asked):
        return simulate(played, (profiles or {"a": shipped})["a"], seed=seed, load=load)

    def slowed(played, *, seed, load):
        told, costs = paces.told(
            played, {"a": shipped.model_copy(update={"pace_per_s": 6e7})}, stepped(terms)
        )
        run = simulate(told, costs["a"], seed=seed + 1, load=load)
        run.header = run.header.model_copy(update={"measurement": {"server": terms}})
        return run

    fitted = calibration.fit(
        topology, predict, slowed, seed=1, duration_s=40.0, rate_per_s=12.0
    ).profiles["a"]
    calm = fitted.speed * pacing.slowdown(6e7, fitted.pace_per_s)
    assert calm == pytest.approx(1.0, rel=0.04)


def stepped(server, duration_s=40.0):
    header = SimpleNamespace(measurement={"server": server}, duration_s=duration_s)
    return SimpleNamespace(header=header)


def test_every_server_of_a_grid_has_a_factor_of_its_own():
    """One is as the profile says, one costs twice as much, and so is the component beside it."""
    described = topologies.load("federation", [
        "brokers[0].kind=component", "brokers[0].costs={copy: 40 us, publish: 0.2 ms}",
        "platforms[3].subscribes=[sightings]", "platforms[1].subscribes=[incidents]",
        "workload.duration=40 s",
    ])  # fmt: skip
    stations = calibration.stations(described)
    assert list(stations) == ["cert", "campus", "advisories.cert.test"]
    slow = {"cert": 1.0, "campus": 2.0, "advisories.cert.test": 1.5}

    def predict(played, *, seed, profiles, load, plan_replication, door):
        return sim.simulate(
            played, seed=seed, load=load, replications=1, processes=1, profiles=profiles,
            plan_replication=plan_replication, door=door,
        )  # fmt: skip

    def machine(played, *, seed, load):
        told = {name: each.model_copy(update={"speed": slow[name]})
                for name, each in stations.items()}  # fmt: skip
        return predict(played, seed=seed, profiles=told, load=load, plan_replication=0, door="test")

    fitted = calibration.fit(described, predict, machine, seed=1, duration_s=40.0)
    assert fitted.speeds() == pytest.approx(slow, rel=0.03)


def fitted(topology, shipped, cold_s, speed=1.0, profile=None):
    """A fit on a machine of one pace whose server's first work after a rest costs so much more."""

    def predict(played, *, seed, profiles, load, **asked):
        return simulate(played, (profiles or {"a": shipped})["a"], seed=seed, load=load)

    def machine(played, *, seed, load):
        real = coldness.put(profile or shipped, cold_s).model_copy(update={"speed": speed})
        run = only(simulate(played, real, seed=seed, load=load, replications=2), 1)
        told = {"pace_per_s": {"a": PACE_PER_S}, "paces": {"a": [[0.0, PACE_PER_S]]}}
        run.header = run.header.model_copy(update={"measurement": {"server": told}})
        return run

    return calibration.fit(topology, predict, machine, **LIGHT)


@pytest.mark.parametrize(("cold_s", "speed"), [(2e-3, 1.0), (2e-3, 1.6)])
def test_it_is_found_apart_from_how_slow_the_machine_is(topology, shipped, cold_s, speed):
    fit = fitted(topology, shipped, cold_s, speed)
    profile = fit.profiles["a"]
    slower = profile.speed * (profile.pace_per_s / PACE_PER_S) ** 0.65
    assert coldness.of(profile) * slower == pytest.approx(cold_s * speed, rel=0.3)
    assert slower == pytest.approx(speed, rel=0.05)
    entry = json.loads(json.dumps(fit.document()))
    assert calibration.recalled(topology, entry, fit.pilot) == fit


def test_a_server_that_does_not_go_cold_is_not_said_to(topology, shipped):
    profile = fitted(topology, shipped, 0.0).profiles["a"]
    assert coldness.of(profile) < 2e-4


def test_too_few_publications_and_other_plans_tell_nothing(topology, shipped):
    few, other = (
        only(simulate(calibration.pilot(topology, 5.0, rate), shipped, replications=2), 1)
        for rate in (12.0, 3.0)
    )
    assert coldness.excess_s(few, few, 0.02) == 0.0
    assert coldness.excess_s(other, few, 0.02) == 0.0
    assert coldness.further({"a": shipped, "b": shipped}, few, few) == {"a": shipped, "b": shipped}


def test_a_publication_that_reached_nobody_hides_no_others(topology, shipped):
    told = only(simulate(calibration.pilot(topology, 60.0, 12.0), shipped, replications=2), 1)
    cold = only(
        simulate(calibration.pilot(topology, 60.0, 12.0), coldness.put(shipped, 2e-3),
                 replications=2), 1,
    )  # fmt: skip
    whole_s = coldness.excess_s(told, cold, 0.02)
    assert whole_s > 1e-3
    cold.publications["last_s"][3] = float("nan")
    assert coldness.excess_s(told, cold, 0.02) == pytest.approx(whole_s, rel=0.05)
