"""Sensitivity: what is known to decide a figure is found, with intervals that hold it."""

import jsonschema
import pytest
import worlds
from pydantic import TypeAdapter

import topologies
from results import influences
from sim import scenarios
from sim.inputs import inputs, strongest
from sim.sensitivity import Effort, sensitivity
from sim.trials import windowed

EFFORT = Effort(screened=8, trajectories=4, indexed=2, points=32)


@pytest.fixture(scope="module")
def document():
    topology = topologies.load("single-broker")
    return sensitivity(scenarios.base(topology), figure="utilisation", effort=EFFORT, processes=1)


def test_the_document_fits_its_schema(document):
    jsonschema.validate(document, TypeAdapter(influences.SensitivityDocument).json_schema())
    assert document["runs"] == 4 * 9 + 32 * 4
    assert len(document["screened"]) == 8


def test_every_index_has_an_interval(document):
    for index in document["indices"]:
        for name in ("first", "total"):
            assert index[name]["low"] < index[name]["value"] < index[name]["high"]
            assert index[name]["high"] - index[name]["low"] < 1.5
    for each in document["screened"]:
        assert each["effect"]["low"] <= each["effect"]["value"] <= each["effect"]["high"]


def test_utilisation_hangs_on_load_subscribers_and_speed(document):
    """It is their product, each known to 30 or 35 %; what a byte costs hardly matters."""
    order = [each["input"] for each in document["screened"]]
    assert set(order[:4]) == {
        "load", "workload.arrivals[0].rate", "platforms[analyst].count",
        "profile[prosody-0.12].speed",
    }  # fmt: skip
    assert (
        document["screened"][0]["effect"]["value"] > 5 * document["screened"][-1]["effect"]["value"]
    )


def test_two_equal_factors_share_the_variance():
    """Utilisation = rate x service: equal spreads on both give equal first-order indices."""
    topology = topologies.load("single-broker")
    found = sensitivity(
        scenarios.base(topology), figure="utilisation", processes=1,
        effort=Effort(screened=2, trajectories=4, indexed=2, points=64),
    )  # fmt: skip
    one, two = (each["first"] for each in found["indices"])
    assert one["low"] < two["high"]
    assert two["low"] < one["high"]
    assert 0.8 < one["value"] + two["value"] < 1.1


def test_inputs_come_with_their_provenance():
    topology = topologies.load("campus-nac")
    profiles = {c.name: topologies.profile(topology, c.name) for c in topology.controllers}
    known = {each.path: each for each in inputs(topology, profiles)}
    assert known["workload.arrivals[0].rate"].kind == "derived"
    assert known["topics[session].payload.size"].spread == 1.1
    assert known["platforms[siem].count"].text(1.0) == "20"
    assert known["platforms[siem].count"].text(0.0) == "5"
    assert "platforms[stolen].count" not in known
    assert len(strongest(scenarios.base(topology), list(known.values()), 8)) == 8


def test_a_window_keeps_the_rates_and_cuts_the_time():
    topology = topologies.load("campus-nac", ["attacks=[]"])
    short = windowed(topology, 1e5, (5.0, 60.0))
    assert short.workload.duration == 5.0
    assert short.workload.study == "steady"
    assert topologies.offered(short) == pytest.approx(topologies.offered(topology), rel=0.1)
    ramp = worlds.topology(
        [{"name": "pub", "count": 1, "publishes": ["t"]},
         {"name": "sub", "count": 5, "subscribes": ["t"]}],
        [{"topic": "t", "by": "pub", "process": "ramp", "rate": "1/s", "final_rate": "2/s"}],
        duration="1 h",
    )  # fmt: skip
    assert windowed(ramp, 10.0, (1.0, 2.0)).workload.duration == 3600.0


@pytest.mark.parametrize(
    ("process", "peak"),
    [
        ({"process": "sine", "amplitude": 0.5}, 1.5),
        ({"process": "diurnal", "shape": [0.5, 1.0, 2.0, 0.5]}, 2.0),
    ],
)
def test_a_window_lies_at_the_peak_of_a_day(process, peak):
    day = worlds.topology(
        [{"name": "pub", "count": 1, "publishes": ["t"]},
         {"name": "sub", "count": 5, "subscribes": ["t"]}],
        [{"topic": "t", "by": "pub", "rate": "10/s", "period": "24 h", **process}],
        duration="24 h",
    )  # fmt: skip
    window = windowed(day, 1000.0, (1.0, 100.0))
    assert window.workload.duration < 100.0
    assert topologies.offered(window)["t"] == pytest.approx(10.0 * peak, rel=0.01)
    assert topologies.offered(day)["t"] == pytest.approx(10.0, rel=0.01)
