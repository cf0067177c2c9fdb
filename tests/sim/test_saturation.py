"""Curves over load on a queue whose knee and capacity are known."""

import jsonschema
import pytest
from pydantic import TypeAdapter

import topologies
from results import saturations
from sim import saturation, scenarios


@pytest.fixture(scope="module")
def document():
    """M/M/1: one copy of 1 ms, so that 1,000/s are its capacity and its knee is at half of it."""
    topology = topologies.load(
        "single-broker",
        ["controllers[0].profile=fifo-sketch", "platforms[analyst].count=1",
         "platforms[analyst].network.delay=0 s", "workload.arrivals[0].rate=100/s",
         "workload.duration=10 s"],
    )  # fmt: skip
    costs = costs_of(scenarios.base(topology))
    return saturation.saturation(
        scenarios.base(topology, replications=5, profiles=costs), processes=1
    )


def costs_of(base):
    profile = base.profiles["controller"]
    costs = profile.costs.model_copy(update={"publish": 0.0, "copy_": 1e-3})
    return {"controller": profile.model_copy(update={"costs": costs})}


def test_the_document_fits_its_schema(document):
    jsonschema.validate(document, TypeAdapter(saturations.SaturationDocument).json_schema())


def test_the_knee_is_kleinrocks(document):
    """Five times the file's 100/s is half of 1,000/s."""
    knee = document["knee"]
    assert document["saturation"] == pytest.approx(10.0, rel=1e-6)
    assert knee["low"] <= 5.0 <= knee["high"]
    assert knee["high"] - knee["low"] < 3.0


def test_latency_climbs_where_throughput_stops(document):
    first, *_, last = document["points"]
    assert first["latency_p99_s"]["value"] < 0.01
    assert last["utilisation"]["value"] > 0.97
    assert last["latency_p99_s"]["value"] > 50 * first["latency_p99_s"]["value"]


def test_controllers_that_only_repeat_do_not_scale(document):
    """One subscriber cannot be shared out: every Controller does all the work."""
    capacities = document["scaling"]["capacity_per_s"]
    assert capacities == pytest.approx([capacities[0]] * len(capacities))
    assert document["scaling"]["contention"]["value"] == pytest.approx(1.0, abs=0.01)


def test_a_cluster_only_adds_hops_for_one_subscriber(document):
    """A copy of 1 ms is read (1 ms) and written (1 ms) once more where it hops.

    Of two nodes one has the subscriber and one publisher, of more only the subscriber.
    """
    capacities = document["cluster"]["capacity_per_s"]
    several = [500.0] * (len(capacities) - 2)
    assert capacities == pytest.approx([1000.0, 2000.0 / 3.0, *several])
