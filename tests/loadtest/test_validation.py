"""Predict, then measure: the order, the verdicts, and that a wrong model is caught."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest

import results
import sim
import topologies
from loadtest import calibration, validation
from loadtest.agreement import BOUNDS, Outcome, Point
from loadtest.problems import LoadError

SMALL = """\
schema: 1
name: small
controllers: [{name: a, domain: a.test, profile: prosody-0.12}]
brokers: [{name: broker, controller: a}]
topics: [{name: alerts, broker: broker, payload: {kind: iodef, size: 1.6 KB}}]
platforms:
  - {name: sensors, count: 2, controller: a, publishes: [alerts]}
  - {name: consoles, count: 50, controller: a, subscribes: [alerts]}
workload:
  duration: 60 s
  arrivals: [{topic: alerts, by: sensors, process: poisson, rate: 12/s}]
"""


@pytest.fixture(scope="module")
def topology():
    return topologies.parse(SMALL)


def simulate(topology, *, speed=1.0, replications=8, **arguments):
    """The model on a machine whose costs are `speed` times the profile's."""
    shipped = topologies.profile(topology, "a")
    arguments["profiles"] = arguments.get("profiles") or {
        "a": shipped.model_copy(update={"speed": speed})
    }
    arguments.setdefault("door", "test")
    return sim.simulate(topology, processes=1, replications=replications, **arguments)


def test_the_fit_finds_the_speed_of_the_machine(topology):
    """A machine that is 1.5 times as slow as the profile's is found to be so, within chance."""

    def slow_machine(played, *, seed, load):
        return simulate(played, speed=1.5, seed=seed + 1, load=load, plan_replication=0)

    fitted = calibration.fit(topology, simulate, slow_machine, seed=1, duration_s=30.0)
    assert fitted.profiles["a"].speed == pytest.approx(1.5, rel=0.05)
    assert fitted.speed["low"] < 1.5 < fitted.speed["high"]
    assert fitted.speed["high"] - fitted.speed["low"] < 0.3


def test_the_pilot_never_plays_a_points_plan(topology):
    pilot = calibration.pilot(topology, 60.0)
    plans = {topologies.Plan(pilot, seed=1 + calibration.PILOT_SEED_SHIFT).sha256}
    plans |= {topologies.Plan(topology, seed=1, load=load).sha256 for load in (1.0, 2.0)}
    assert len(plans) == 3


def point(topology, speed):
    predicted = simulate(topology, seed=1, plan_replication=0, load=1.0)
    measured = simulate(topology, seed=1, plan_replication=0, load=1.0, speed=speed)
    return Point(1.0, predicted, measured, results.prediction_error(predicted, measured))


def test_a_model_that_speaks_of_this_machine_agrees(topology):
    same = point(topology, 1.0)
    assert same.refuted == []
    assert same.verdict["verdict"] == "agrees"


@pytest.mark.parametrize("speed", [0.8, 1.25])
def test_costs_that_are_off_by_a_fifth_are_caught(topology, speed):
    off = point(topology, speed)
    assert "cpu" in off.refuted
    assert off.verdict["verdict"] == "disagrees"


def test_an_invalid_measurement_is_no_result(topology):
    good = point(topology, 1.25)
    header = good.measured.header
    verdict = header.verdict.model_copy(update={"valid": False, "reasons": ("generator limited",)})
    invalid = SimpleNamespace(header=header.model_copy(update={"verdict": verdict}))
    bad = replace(good, measured=invalid)
    fit = calibration.Fit({}, {"value": 1.0, "low": 0.9, "high": 1.1, "n": 8}, good.predicted)
    outcome = Outcome(topology, fit, [bad])
    assert bad.verdict == {"verdict": "invalid", "reasons": ["generator limited"]}
    assert not outcome.valid
    assert outcome._refuted() == []


def test_every_bound_is_of_a_metric_that_is_compared(topology):
    comparison = point(topology, 1.0).comparison
    assert set(BOUNDS) <= set(comparison)
    assert all(0.0 < bound < 0.5 and math.isfinite(bound) for bound in BOUNDS.values())


@pytest.mark.parametrize("text", ["", "1,", "0", "-1", "nan", "inf", "one"])
def test_points_that_are_no_loads_are_refused(text):
    with pytest.raises(LoadError, match="write for example"):
        validation.read_points(text)


def test_points_are_read_in_their_order():
    assert validation.read_points("0.5, 2,1") == [0.5, 2.0, 1.0]
    assert validation.read_points(None) is None
