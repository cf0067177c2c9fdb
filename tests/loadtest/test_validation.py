"""Predict, then measure: the order, the verdicts, and that a wrong model is caught and named."""

import json
from types import SimpleNamespace

import jsonschema
import pytest
from staged_servers import LOADS, SMALL, play, simulate, validated

import results
import topologies
from loadtest import book, calibration, validation
from loadtest.agreement import Outcome, Point
from loadtest.problems import LoadError
from loadtest.terms import Terms, read_points
from results import twin


@pytest.fixture(scope="module")
def topology():
    return topologies.parse(SMALL)


@pytest.fixture(scope="module")
def right(topology, shipped):
    return validated(topology, shipped, shipped)


def named(document):
    return {cause["cause"] for cause in document["summary"]["causes"]}


def test_a_model_that_speaks_of_this_server_agrees(right):
    assert [point["verdict"]["verdict"] for point in right["points"]] == ["agrees"] * len(LOADS)
    assert right["refuted"] == []
    assert named(right) == set()
    jsonschema.validate(json.loads(json.dumps(right)), results.document_schema("validate"))


def test_both_sides_count_the_same_publications(right):
    for point in right["points"]:
        sides = [point["evidence"][side] for side in ("predicted", "measured", "structure")]
        assert len({totals["offered"] for side in sides for totals in side["totals"]}) == 1


def test_the_summary_has_every_score_of_every_server(right):
    assert right["summary"]["points"] == len(LOADS)
    scored = right["summary"]["servers"]["prosody"]
    assert "given_pace" not in scored  # no pace is known
    assert "bracketed" not in scored  # no run had a light load of its own
    for level, metrics in twin.BOUNDS.items():
        if level in ("bracketed", "given_pace"):
            continue
        assert set(scored[level]) == set(metrics)
        for score in scored[level].values():
            assert {"median_error", "p90_error", "worst", "inside_interval", "noise_floor"} <= set(
                score
            )
    assert scored["cost"]["cpu_per_publication"]["points"] == len(LOADS)
    assert scored["cost"]["cpu_per_publication"]["median_error"] < 0.02
    assert scored["structure"]["p50"]["worst"] < 0.05


@pytest.mark.parametrize("off", [0.8, 1.25])
def test_costs_that_are_off_by_a_fifth_are_caught_and_named(topology, shipped, off):
    document = validated(topology, shipped, shipped.model_copy(update={"speed": off}))
    assert "disagrees" in {point["verdict"]["verdict"] for point in document["points"]}
    assert named(document) == {"costs"}
    side = "more" if off < 1 else "less"
    assert f"% {side} than measured" in document["summary"]["causes"][0]["why"]
    assert {each["cause"] for each in document["refuted"] if each["metric"] == "cpu"} == {"costs"}


def test_a_wrong_discipline_is_caught_and_named(topology, shipped):
    """ejabberd's costs, scaled to what a Prosody's publication takes."""
    fanout = topologies.read_profile("ejabberd-23")
    cost = [simulate(topology, each, replications=1).summary() for each in (fanout, shipped)]
    used = [each["controllers"]["a"]["utilisation"]["value"] for each in cost]
    scaled = fanout.model_copy(update={"speed": used[1] / used[0], "server": "prosody"})
    document = validated(topology, scaled, shipped)
    assert "discipline" in named(document)
    light = [each for each in document["refuted"] if each["load"] == LOADS[0]]
    assert {each["cause"] for each in light if each["metric"] == "p50"} == {"discipline"}
    assert "costs" not in named(document)
    assert "disagrees" in {point["verdict"]["verdict"] for point in document["points"]}


def test_a_missing_pause_process_is_caught_and_named(topology, shipped):
    """Garbage collection spread over the copies: the same cost, no pauses.

    Of a heap that is as large for few sessions as for many: rare, long cycles.
    """
    large = {"heap": 0.0, "heap_session": 0.0, "collection": 14.5e-3, "collection_every": 135.0}
    true = shipped.costs.model_copy(update=large)
    per_copy_s = true.collection / true.collection_every
    allocated = 1.0 + true.allocation_per_byte * 1200 + true.allocation_write
    smooth = true.model_copy(
        update={
            "collection": 0.0,
            "build": true.build + per_copy_s * allocated,
            "publish": true.publish + per_copy_s * true.allocation_publish,
        }
    )
    model, server = (shipped.model_copy(update={"costs": each}) for each in (smooth, true))
    document = validated(topology, model, server)
    assert named(document) >= {"pauses"}
    assert not {"costs", "discipline"} & named(document)
    assert "has pauses that the model lacks" in str(document["summary"]["causes"])


def test_what_the_noise_hides_is_neither_agreement_nor_disagreement(topology, shipped):
    truth = shipped.model_copy(update={"speed": 1.12})
    document = validated(topology, shipped, truth, loads=(1.0,), noise=0.2)
    (point,) = document["points"]
    assert point["cpu"]["noise_floor"] > 0.025
    assert point["verdict"]["verdict"] == "invalid"
    assert any("too noisy" in why for why in point["verdict"]["reasons"])
    assert document["summary"]["servers"]["prosody"]["blind"]["cpu"]["points"] == 0


def test_repeats_that_cost_differently_are_each_told_their_own_cost(topology, shipped):
    """Their tails together are not those of their mean cost, and differ by no more than draws."""
    truth = shipped.model_copy(update={"speed": 1.1})
    document = validated(topology, shipped, truth, loads=(2.5,), repeats=5, noise=0.25)
    (point,) = document["points"]
    assert len(point["evidence"]["structure"]["runs"]) == 5
    blind, told = point["p95"], point["structure"]["p95"]
    assert told["noise_floor"] < 0.5 * blind["noise_floor"]
    assert abs(told["error"]) < 0.10


def test_an_invalid_measurement_is_no_result(topology, shipped):
    predicted = simulate(topology, shipped, load=1.0)
    (run,) = play(topology, shipped.model_copy(update={"speed": 1.25}), 1.0, repeats=1)
    verdict = run.header.verdict.model_copy(
        update={"valid": False, "reasons": ("generator limited",)}
    )
    run.header = run.header.model_copy(update={"verdict": verdict})
    point = Point(1.0, predicted, "2026-01-01T00:00:00.000+00:00", "", [run])
    point.tell(lambda *told: pytest.fail("there is no cost to tell"), topology, {"a": shipped})
    outcome = Outcome(topology, calibration.given(topology, shipped), [point])
    assert not outcome.valid
    document = outcome.document
    assert document["points"][0]["verdict"] == {
        "verdict": "invalid", "reasons": ["generator limited"],
    }  # fmt: skip
    assert document["refuted"] == []
    json.dumps(document, allow_nan=False)


def test_one_run_is_judged_by_the_intervals_of_its_stretches(topology, shipped):
    slow = shipped.model_copy(update={"speed": 1.25})
    off = validated(topology, shipped, slow, loads=(1.0,), repeats=1)["points"][0]
    assert off["cpu"]["noise_floor"] is None
    assert off["verdict"]["verdict"] == "disagrees"
    same = validated(topology, shipped, shipped, loads=(1.0,), repeats=1)["points"][0]
    assert same["verdict"]["verdict"] == "agrees"


@pytest.mark.parametrize(
    ("duration_s", "pilot_s", "bracket_s"), [(4, 20, 8), (20, 40, 40), (90, 60, 60)]
)
def test_costs_are_fitted_for_longer_than_a_run_of_theirs_is(duration_s, pilot_s, bracket_s):
    terms = Terms(duration_s=duration_s)
    assert (terms.pilot_s, terms.bracket_s) == (pilot_s, bracket_s)


def test_a_profile_of_another_server_is_refused(topology):
    with pytest.raises(LoadError, match=r"controllers\[a\] is prosody; use a profile of prosody"):
        calibration.given(topology, topologies.read_profile("ejabberd-23"))


def test_the_pilot_never_plays_a_points_plan(topology):
    pilot = calibration.pilot(topology, 60.0)
    plans = {topologies.Plan(pilot, seed=1 + calibration.PILOT_SEED_SHIFT).sha256}
    plans |= {topologies.Plan(topology, seed=1, load=load).sha256 for load in (1.0, 2.0)}
    assert len(plans) == 3


@pytest.mark.parametrize("text", ["", "1,", "0", "-1", "nan", "inf", "one", "1,2,1"])
def test_points_that_are_no_loads_are_refused(text):
    with pytest.raises(LoadError, match=r"write for example|is there twice"):
        read_points(text)


@pytest.mark.parametrize(("spoilt", "played"), [(0, 1), (2, 3), (9, calibration.PILOTS_MAX)])
def test_a_light_load_that_does_not_count_is_played_again(topology, spoilt, played):
    runs = []

    def measure(light, *, seed, load):
        valid = len(runs) >= spoilt
        runs.append(SimpleNamespace(header=SimpleNamespace(verdict=SimpleNamespace(valid=valid))))
        return runs[-1]

    assert calibration.counted(measure, topology, 1) is runs[-1]
    assert len(runs) == played


def test_the_light_load_is_a_fifth_of_what_the_server_can_do_or_six_a_second(topology, shipped):
    def asked(profile):
        def predict(light, *, seed, load, **asked):
            return simulate(light, profile, seed=seed, load=load)

        rate_per_s = calibration.light_rate_per_s(topology, predict, 1)
        light = calibration.pilot(topology, 60.0, rate_per_s)
        return rate_per_s, max(simulate(light, profile).utilisation().values())

    quick = shipped.model_copy(update={"speed": 0.1})
    rate_per_s, used = asked(quick)
    assert rate_per_s > 2.0 * calibration.PILOT_RATE_PER_S
    assert used == pytest.approx(calibration.PILOT_SHARE, rel=0.2)
    assert asked(shipped.model_copy(update={"speed": 4.0}))[0] == calibration.PILOT_RATE_PER_S
    rate_per_s, used = asked(shipped.model_copy(update={"speed": 100.0}))
    assert 0.1 < rate_per_s < 0.7 * calibration.PILOT_RATE_PER_S  # which it cannot do
    assert used == pytest.approx(calibration.PILOT_SHARE_MOST, rel=0.3)


class Booked:
    """Points whose repeats count or not, as they are said to."""

    def __init__(self, counts):
        self.counts, self.valid = counts, []


def test_every_point_is_played_once_a_round_and_again_what_did_not_count():
    """Three points; of the second no repeat counts, of the third the second one does not."""
    sweep = validation._Sweep.__new__(validation._Sweep)
    sweep._terms = Terms(repeats=3, seed=5)
    points = [Booked([True] * 9), Booked([False] * 9), Booked([True, False, True, True])]
    rounds = {}
    for k, repeat in sweep._turns(points):
        rounds.setdefault(repeat, []).append(k)
        points[k].valid += [repeat] * points[k].counts[repeat]
    assert [sorted(rounds[repeat]) for repeat in range(3)] == [[0, 1, 2]] * 3
    assert sorted(rounds[3]) == [1, 2]
    assert rounds[4] == [1]
    assert list(rounds) == [0, 1, 2, 3, 4]
    assert len({tuple(order) for order in list(rounds.values())[:3]}) > 1


def test_points_are_read_in_their_order():
    assert read_points("0.5, 2,1") == [0.5, 2.0, 1.0]
    assert read_points(None) is None


def test_a_book_is_found_again_by_its_terms_until_it_is_closed(tmp_path):
    terms = {"topology": "x", "points": [1.0]}
    first = book.Book(tmp_path, terms)
    assert not first.resumed
    first.enter(1.0, 0, "run-0")
    again = book.Book(tmp_path, terms)
    assert again.resumed
    assert again.played(1.0, 0) == "run-0"
    assert again.played(1.0, 1) is None
    assert not book.Book(tmp_path, {**terms, "points": [2.0]}).resumed
    kept = again.close({"kind": "validation"})
    assert json.loads(kept.read_text()) == {"kind": "validation"}
    assert not book.Book(tmp_path, terms).resumed


def test_a_damaged_book_is_refused(tmp_path):
    terms = {"topology": "x"}
    (tmp_path / f"validation-{book.key(terms)}.open.json").write_text("{")
    with pytest.raises(LoadError, match="cannot be read"):
        book.Book(tmp_path, terms)
