"""What first work after a rest costs more is found on a light load; nothing where it does not."""

import json

import pytest
from staged_servers import SMALL, only, simulate

import topologies
from loadtest import calibration, coldness

LIGHT = {"seed": 1, "duration_s": 60.0, "rate_per_s": 12.0}
PACE_PER_S = 4e7


@pytest.fixture(scope="module")
def topology():
    return topologies.parse(SMALL)


@pytest.fixture(scope="module")
def shipped(topology):
    return topologies.profile(topology, "a")


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
    assert coldness.excess_s(few, few) == 0.0
    assert coldness.excess_s(other, few) == 0.0
    assert coldness.further({"a": shipped, "b": shipped}, few, few) == {"a": shipped, "b": shipped}
