"""A core that slows down is no wrong cost, and a wrong cost stays one on a core that slows down."""

import io
import json
import re
from types import SimpleNamespace

import jsonschema
import numpy as np
import pytest
from rich.console import Console
from staged_servers import PACE_PER_S, SMALL, answer, as_measured, simulate, validated

import results
import topologies
from loadtest import agreement, paces
from results import evidence, pacing, trust, twin, twin_report, twin_table
from results.figures import Figures

SLOW = (0.62 * PACE_PER_S, 0.85 * PACE_PER_S, 0.7 * PACE_PER_S)
LIGHT = (0.5, 1.0)


@pytest.fixture(scope="module")
def topology():
    return topologies.parse(SMALL)


@pytest.fixture(scope="module")
def model(topology):
    """Costs that hold for a pace that is known."""
    return topologies.profile(topology, "a").model_copy(update={"pace_per_s": PACE_PER_S})


@pytest.fixture(scope="module")
def slowed(topology, model):
    """The server is as the model says; its core is slower than that, and not always alike."""
    return validated(topology, model, model, loads=LIGHT, paces=SLOW)


def named(document):
    return {cause["cause"] for cause in document["summary"]["causes"]}


def test_a_core_that_slows_down_is_not_called_a_wrong_cost(slowed):
    mean = sum(pacing.slowdown(pace, PACE_PER_S) for pace in SLOW) / len(SLOW)
    for point in slowed["points"]:
        assert point["cpu_per_publication"]["error"] < -0.15  # as predicted: shown as it is
        assert abs(point["given_pace"]["cpu_per_publication"]["error"]) < 0.03
        assert point["slowdown"] == pytest.approx(mean, rel=1e-6)
        assert point["verdict_given_pace"]["verdict"] == "agrees"
    assert named(slowed) == {"machine"}
    assert "at equal pace, CPU per publication is off by" in str(slowed["summary"]["causes"])
    assert {each["cause"] for each in slowed["refuted"]} <= {"machine"}
    jsonschema.validate(json.loads(json.dumps(slowed)), results.document_schema("validate"))


def test_what_is_too_noisy_as_it_was_measured_may_be_quiet_at_equal_pace(slowed):
    for point in slowed["points"]:
        raw, paced = point["cpu"], point["given_pace"]["cpu"]
        assert raw["noise_floor"] > raw["bound"] / 2 > paced["noise_floor"]
        assert "such measurements differ" in raw["not_scored"]
        assert paced["not_scored"] == ""
    scored = slowed["summary"]["servers"]["prosody"]
    assert scored["blind"]["cpu"]["points"] == 0
    assert scored["given_pace"]["cpu"]["points"] == len(LIGHT)
    assert scored["given_pace"]["cpu"]["median_error"] < 0.03


@pytest.mark.parametrize("off", [0.8, 1.25])
def test_costs_that_are_off_by_a_fifth_are_caught_at_equal_pace(topology, model, off):
    """Also where the core is just so much slower that the figures agree as they were measured."""
    truth = model.model_copy(update={"speed": off})
    pace = PACE_PER_S * off ** (1.0 / pacing.EXPONENT)  # slower cores hide costs that are too high
    document = validated(
        topology, model, truth, loads=LIGHT, paces=(pace, pace * 0.99, pace * 1.01)
    )
    for point in document["points"]:
        assert abs(point["cpu_per_publication"]["error"]) < 0.03
        assert point["verdict_given_pace"]["verdict"] == "disagrees"
    assert "costs" in named(document)
    side = "more" if off < 1 else "less"
    why = f"at equal pace of the cores, predicted CPU per publication is 2[0-9]% {side}"
    (cause,) = [each for each in document["summary"]["causes"] if each["cause"] == "costs"]
    assert re.search(why, cause["why"])
    assert {
        (each["metric"], each["cause"]) for each in document["refuted"] if each.get("given_pace")
    } >= {("cpu", "costs")}


def test_without_a_pace_there_are_only_the_figures_as_they_were_measured(topology, model):
    shipped = topologies.profile(topology, "a")
    assert shipped.pace_per_s is None
    document = validated(topology, shipped, model, loads=(1.0,), paces=SLOW)
    (point,) = document["points"]
    assert point["given_pace"] == {}
    assert point["slowdown"] is point["verdict_given_pace"] is None
    assert named(document) == {"costs"}
    jsonschema.validate(json.loads(json.dumps(document)), results.document_schema("validate"))


def test_the_pace_of_the_costs_is_hashed_with_the_prediction(slowed):
    point = json.loads(json.dumps(slowed["points"][0]))
    point["evidence"]["begun"] = ["2026-01-02"] * 3
    assert trust.problems(point) == []
    point["evidence"]["predicted"]["pace_per_s"] = [0.9 * PACE_PER_S]
    assert "not the one that was stored" in trust.problems(point)[0]


def test_a_proof_of_a_machine_that_changed_in_nothing_but_its_pace_is_scored_given_that(
    tmp_path, slowed
):
    stored = json.loads(json.dumps(slowed))
    for point in stored["points"]:
        point["evidence"]["begun"] = ["2026-01-02"] * 3
    changed = {"value": 1.4, "low": 1.3, "high": 1.5, "n": 10}
    same = {"value": 1.01, "low": 0.95, "high": 1.07, "n": 10}
    for at_equal_pace, points in ((same, len(LIGHT)), (changed, 0), (None, 0)):
        proof = {**stored, "drift": changed, "drift_given_pace": at_equal_pace}
        (tmp_path / "shaken.json").write_text(json.dumps(proof))
        found = trust.trust([tmp_path])
        assert "cost +40% after the runs" in found["unsteady"][0]["reasons"][0]
        assert found["summary"]["points"] == points
        if points:
            scored = found["summary"]["servers"]["prosody"]
            assert scored["given_pace"]["cpu"]["points"] == points
            assert not any(score["points"] for score in scored["blind"].values())
            assert "| prosody | given pace | CPU | 2 of 2 |" in trust.markdown(found)


class Told:
    """A run as far as its pace goes."""

    def __init__(self, paces_per_s, steps=None):
        server = {"pace_per_s": paces_per_s, "paces": steps or {}}
        self.header = SimpleNamespace(measurement={"server": server})


def test_each_server_has_a_pace_and_one_that_is_not_known_tells_nothing(topology, model):
    profiles = {"a": model, "b": model.model_copy(update={"speed": 2.0})}
    grid, told = paces.told(topology, profiles, Told({"a": PACE_PER_S / 2, "b": PACE_PER_S}))
    assert told["a"].speed == pytest.approx(2.0**pacing.EXPONENT)
    assert told["b"].speed == 2.0
    assert grid.faults == ()
    assert paces.told(topology, profiles, Told({"a": PACE_PER_S, "b": None})) is None
    assert paces.told(topology, profiles, Told({"a": PACE_PER_S})) is None
    other = {**profiles, "b": model.model_copy(update={"pace_per_s": None})}
    assert paces.told(topology, other, Told({"a": PACE_PER_S, "b": PACE_PER_S})) is None


def test_a_core_that_is_slow_for_a_while_slows_down_the_controller_for_that_while(topology, model):
    steps = {"a": [[0.004, PACE_PER_S], [10.0, PACE_PER_S / 2], [16.0, PACE_PER_S]]}
    grid, told = paces.told(topology, {"a": model}, Told({"a": 0.9 * PACE_PER_S}, steps))
    (slow,) = grid.faults
    assert told["a"].speed == model.speed
    assert (slow.controller, slow.start, slow.duration) == ("a", 10.0, 6.0)
    assert slow.factor == pytest.approx(2.0**pacing.EXPONENT)
    run = simulate(grid, told["a"], load=2.0)
    columns = run.publications
    late_s = columns["last_s"] - columns["intended_s"]
    slowly = (columns["intended_s"] >= 10.0) & (columns["intended_s"] < 16.0)
    assert np.median(late_s[slowly]) > 1.4 * np.median(late_s[~slowly])
    assert {phase.name for phase in run.header.phases} <= {"warm-up", "steady"}


def test_tails_that_slow_stretches_make_are_predicted_given_when_they_were(topology, model):
    """The same pace on average, once as it was and once as a mean: the mean knows no queue."""
    pace = [PACE_PER_S if place % 2 else 0.45 * PACE_PER_S for place in range(20)]
    steps = {"a": [[2.0 * place, each] for place, each in enumerate(pace)]}
    run = Told({"a": sum(pace) / len(pace)}, steps)
    grid, costs = paces.told(topology, {"a": model}, run)
    measured = as_measured(simulate(grid, costs["a"], load=2.4), 0)
    server = {**run.header.measurement["server"], "cpu_s": {"a": 1.0}}
    errors = []
    for known in (steps, {}):
        measurement = {"server": {**server, "paces": known}}
        measured.header = measured.header.model_copy(update={"measurement": measurement})
        point = agreement.Point(2.4, simulate(topology, model, load=2.4), "", "", [measured])
        point.tell_pace(answer, topology, {"a": model})
        sides = [Figures([each]).latency().sample(0.95).value
                 for each in (*point.given_pace, measured)]  # fmt: skip
        errors.append(abs(sides[0] / sides[1] - 1.0))
    assert errors[0] < 0.05
    assert errors[1] > 3.0 * errors[0]


def test_the_page_of_a_validation_has_both_ways(slowed):
    section = twin_report.section(slowed)
    assert "error given the pace of the cores" in str(section.rows)
    assert "given the pace of its cores: CPU" in section.headline
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(twin_table.render(slowed))
    shown = console.export_text()
    assert f"its cores took {slowed['points'][0]['slowdown']:.2f} times as long" in " ".join(
        shown.split()
    )
    assert "prosody given pace" in shown


def test_one_pace_for_several_servers_is_that_of_the_busier():
    assert pacing.reference_per_s({"a": 4e7, "b": 2e7}, {"a": 0.6, "b": 0.2}) == pytest.approx(
        3.5e7
    )
    assert pacing.reference_per_s({"a": 4e7, "b": None}, {"a": 0.6, "b": 0.2}) is None
    assert pacing.reference_per_s({"a": 4e7}, {}) is None


def test_sides_put_together_have_a_part_for_each(slowed):
    side = slowed["points"][0]["evidence"]["given_pace"]
    assert len(side["parts"]["p50"]) == len(side["parts"]["cpu_per_publication"]) == len(SLOW)
    figures = evidence.samples(side)
    for name in ("cpu_per_publication", "p50"):
        assert figures[name].parts.min() <= figures[name].value <= figures[name].parts.max()
    costs_s = side["parts"]["cpu_per_publication"]
    paces = sorted(zip(SLOW, costs_s, strict=True))
    assert [cost_s for _, cost_s in paces] == sorted(costs_s, reverse=True)
    assert twin.noise_floor(figures["cpu"]) > 0.05
    with pytest.raises(ValueError, match="no side"):
        evidence.together([])
