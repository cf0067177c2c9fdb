"""A run predicted from a light load just before it: the drift is told, all else is not."""

import json
from datetime import datetime, timedelta
from functools import partial

import jsonschema
import pytest
from staged_servers import SMALL, answer, as_measured, only, simulate

import results
import topologies
from loadtest import agreement, brackets, calibration, validation
from loadtest.problems import LoadError
from loadtest.terms import Terms
from results import bracketing, causes, evidence, trust
from topologies.plan import Plan

DRIFTING = (1.0, 1.45, 0.8, 1.3, 1.1, 0.9)  # what the same work costs from repeat to repeat
LOAD = 2.0
LIGHT_S = 20.0


@pytest.fixture(scope="module")
def topology():
    return topologies.parse(SMALL)


@pytest.fixture(scope="module")
def model(topology):
    return topologies.profile(topology, "a")


def predict(played, *, seed, profiles, load, plan_replication, door):
    return simulate(played, profiles["a"], seed=seed, load=load)


def on_machine(profile, speed, played, *, seed, load, number=0):
    """A run of a server of that profile while its machine is so slow."""
    told = profile.model_copy(update={"speed": profile.speed * speed})
    whole = simulate(played, told, seed=seed, load=load, replications=number + 2)
    return as_measured(only(whole, number + 1), number)


def light_load(profile, speed, played, topology, *, seed, load):
    """A light load there, over when it returns."""
    run = on_machine(profile, speed, topology, seed=seed, load=load, number=len(played))
    begun = datetime.fromisoformat(brackets.book.now()) - timedelta(seconds=LIGHT_S)
    run.header = run.header.model_copy(update={"created": begun.isoformat(timespec="milliseconds")})
    played.append(run)
    return run


def bracketed(topology, model, out, after=1.0, load=LOAD):
    """The document of a validation; each run costs `after` times what its light load tells."""
    predicted = simulate(topology, model, load=load)
    sha256 = evidence.digest(agreement.prediction(predicted, None))
    point = agreement.Point(load, predicted, "2026-01-01T00:00:00.000+00:00", sha256)
    light = brackets.Light(topology, rate_per_s=15.0, seed=1)
    fitted, played = calibration.given(topology, model), []
    for number, speed in enumerate(DRIFTING):
        measure = partial(light_load, model, speed, played)
        run, costs, _ = brackets.told(light, measure, predict, fitted, LIGHT_S, number + 1)
        ahead = brackets.kept(answer(topology, costs, load), run, costs, out)
        assert brackets.recalled(brackets.entry(ahead), out).document("") == ahead.document("")
        point.ahead.append(ahead)
        repeat = partial(on_machine, model, speed * after, number=number)
        point.repeats.append(repeat(topology, seed=1, load=load))
    point.tell(answer, topology, {"a": model})
    fit, light_loads = calibration.given(topology, model), tuple(map(agreement.light_load, played))
    return agreement.Outcome(topology, fit, [point], light=light_loads).document


@pytest.fixture(scope="module")
def right(topology, model, tmp_path_factory):
    return bracketed(topology, model, tmp_path_factory.mktemp("right"))


def test_drift_that_hides_what_was_predicted_before_does_not_hide_what_a_light_load_told(right):
    (point,) = right["points"]
    assert "such measurements differ" in point["cpu"]["not_scored"]
    assert point["bracketed"]["cpu"]["not_scored"] == ""
    assert abs(point["bracketed"]["cpu"]["error"]) < 0.03
    assert abs(point["bracketed"]["p50"]["error"]) < 0.08
    assert point["bracketed"]["p50"]["noise_floor"] < 0.3 * point["p50"]["noise_floor"]
    assert point["verdict_bracketed"]["verdict"] == "agrees"
    scored = right["summary"]["servers"]["prosody"]
    assert scored["blind"]["cpu"]["points"] == 0
    assert scored["bracketed"]["cpu"]["points"] == 1
    jsonschema.validate(json.loads(json.dumps(right)), results.document_schema("validate"))


def test_what_a_light_load_cannot_tell_is_not_excused(topology, model, tmp_path):
    """A server whose publications cost a fifth more under load than the model has them."""
    (point,) = bracketed(topology, model, tmp_path, after=1.2)["points"]
    assert point["bracketed"]["cpu"]["error"] == pytest.approx(1 / 1.2 - 1, abs=0.03)
    assert point["verdict_bracketed"]["verdict"] == "disagrees"


def test_the_light_loads_play_plans_of_their_own(topology):
    light, seen = brackets.Light(topology, 15.0, 1), []

    def measure(played, *, seed, load):
        seen.append(Plan(played, seed, 0, load).sha256)
        return simulate(played, topologies.profile(topology, "a"), seed=seed, load=load)

    for number in (0, 1, 2):
        light.play(measure, 20.0, number)
    seen.append(Plan(topology, 1, 0, 1.0).sha256)
    assert len(set(seen)) == 4


def test_an_unsteady_machine_bars_all_but_what_light_loads_told(tmp_path, right):
    drift = {"value": 1.4, "low": 1.3, "high": 1.5, "n": 10}
    proof = {**right, "drift": drift, "drift_given_pace": None}
    (tmp_path / "shaken.json").write_text(json.dumps(proof))
    found = trust.trust([tmp_path])
    assert "scored bracketed alone" in found["unsteady"][0]["reasons"][0]
    scored = found["summary"]["servers"]["prosody"]
    assert scored["bracketed"]["cpu"]["points"] == 1
    for level in ("cost", "structure", "blind"):
        assert not any(score["points"] for score in scored[level].values())
    assert "| prosody | bracketed | CPU | 1 of 1 |" in trust.markdown(found)


def late(kept):
    kept["bracketed"][2]["stored"] = kept["bracketed"][2]["begun"]


def altered(kept):
    kept["bracketed"][0]["predicted"]["totals"][0]["busy_s"] *= 1.1


def of_others(kept):
    kept["bracketed"][1]["begun"] = "2099-01-01T00:00:00.000+00:00"


def spoilt(kept):
    kept["bracketed"][1]["light"]["valid"] = False


def few(kept):
    kept["bracketed"][1]["light"]["publications"] = 29


def not_over(kept):
    kept["bracketed"][1]["light"]["seconds"] += 60.0


def shared(kept):
    kept["bracketed"][1]["light"] = kept["bracketed"][0]["light"]


def unlisted(kept):
    kept["bracketed"][1]["light"]["run"] = "unheard-of"


def measured(kept):
    kept["bracketed"][1]["light"]["run"] = kept["measured"]["runs"][0]


def of_other_costs(kept):
    kept["bracketed"][1]["light"]["speeds"]["a"] *= 0.99


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (late, "is not older than its run"),
        (altered, "is not the one stored"),
        (of_others, "is not of its runs"),
        (spoilt, "does not count"),
        (few, "29 publications, 30 needed"),
        (not_over, "was not over when its prediction was stored"),
        (shared, "from the same light load"),
        (unlisted, "none of the light loads that count"),
        (measured, "is a measured run"),
        (of_other_costs, "do not follow from what it used"),
    ],
)
def test_a_proof_whose_light_loads_prove_nothing_is_refused(tmp_path, right, change, why):
    stored = json.loads(json.dumps(right))
    assert trust.problems(stored["points"][0]) == bracketing.problems(stored) == []
    change(stored["points"][0]["evidence"])
    (tmp_path / "wrong.json").write_text(json.dumps(stored))
    (refusal,) = trust.trust([tmp_path])["refused"]
    assert any(why in reason for reason in refusal["reasons"])


def test_a_light_load_on_a_changed_grid_would_tell_the_change(topology, tmp_path):
    terms = Terms(changes=("topics[0].payload.size=6 kB",), ahead_s=3.0)
    with pytest.raises(LoadError, match="--ahead"):
        validation.validate(topology, terms, predict=predict, out=tmp_path)


def test_a_light_load_that_does_not_count_predicts_nothing(topology, model):
    light = brackets.Light(topology, rate_per_s=15.0, seed=1)

    def disturbed(played, *, seed, load):
        run = on_machine(model, 1.0, played, seed=seed, load=load)
        verdict = run.header.verdict.model_copy(update={"valid": False, "reasons": ["disturbed"]})
        run.header = run.header.model_copy(update={"verdict": verdict})
        return run

    calm, fitted = partial(on_machine, model, 1.0), calibration.given(topology, model)
    assert brackets.told(light, disturbed, predict, fitted, LIGHT_S, 1) is None
    assert brackets.told(light, calm, predict, fitted, LIGHT_S, 1) is not None
    assert brackets.told(light, calm, predict, fitted, 0.5, 1) is None  # some seven publications


def test_runs_without_a_prediction_of_their_own_leave_the_others_theirs(right):
    stored = json.loads(json.dumps(right))
    whole = trust.again(stored["points"][0])
    del stored["points"][0]["evidence"]["bracketed"][1]
    assert bracketing.problems(stored) == []
    rest = trust.again(stored["points"][0])
    assert rest["repeats"] == whole["repeats"] == len(DRIFTING)
    assert rest["bracketed"]["cpu"]["measured"]["n"] == len(DRIFTING) - 1
    assert rest["bracketed"]["cpu"]["measured"]["value"] != whole["cpu"]["measured"]["value"]
    assert abs(rest["bracketed"]["cpu"]["error"]) < 0.03  # of the very runs, not of all


@pytest.mark.parametrize(
    ("ahead_s", "rate_per_s", "why"),
    [(0.05, 600.0, "at least 2 s"), (3.0, 6.0, "fewer than 30 publications.*give 8 s")],
)
def test_light_loads_that_tell_nothing_are_refused(ahead_s, rate_per_s, why):
    with pytest.raises(LoadError, match=why):
        brackets.check(ahead_s, rate_per_s)
    brackets.check(8.0, 6.0)


def test_a_miss_is_the_machines_only_where_the_bracketed_figure_is_scored():
    ahead = {"error": 0.04, "bound": 0.05, "not_scored": ""}
    point = {
        "given_pace": {}, "structure": {}, "bracketed": {"cpu": ahead}, "utilisation": 0.3,
    }  # fmt: skip
    assert causes.of_metric(point, "cpu") == "machine"
    ahead["not_scored"] = "such measurements differ by 6.0%, more than half the bound"
    assert causes.of_metric(point, "cpu") == "costs"
