"""Stored validations are computed again, and refused where they prove nothing."""

import copy
import functools
import json
import random

import jsonschema
import pytest
import synthetic
from pydantic import TypeAdapter

from results import RecordError, Run, evidence, trust, twin

STORED = "2026-01-01T00:00:00.000+00:00"
BEGUN = "2026-01-01T00:01:00.000+00:00"


def run(**changes):
    return Run(synthetic.steady(**changes))


@functools.cache
def point(speed=1.0, repeats=3, load=1.0):
    """A prediction, and repeats on a server that is `speed` times as slow."""
    predicted = evidence.gather([run()], apart=False)
    measured = [
        run(seed=2 + number, replications=1, speed=speed, run_id=f"measured-{number}")
        for number in range(repeats)
    ]
    kept = {
        "predicted": predicted,
        "stored": STORED,
        "sha256": evidence.digest(predicted),
        "measured": evidence.gather(measured, apart=True),
        "begun": [BEGUN] * repeats,
        "structure": predicted,
    }
    facts = {
        "load": load, "offered_load_per_s": 20.0, "subscribers": 40, "payload_bytes": 1e3,
        "server": "prosody", "ledger": {}, "generator": {}, "invalid": [],
        "runs": {"predicted": "p", "measured": [], "invalid": [], "structure": None},
    }  # fmt: skip
    return twin.point(kept, facts)


def document(*points):
    points = copy.deepcopy(points or (point(),))
    return {
        "kind": "validation", "topology": "synthetic", "points": list(points),
        "summary": twin.summary(points), "refuted": twin.refutations(points),
    }  # fmt: skip


def kept(tmp_path, stored, name="proof"):
    (tmp_path / f"{name}.json").write_text(json.dumps(stored))
    return [tmp_path]


def test_a_stored_proof_gives_the_figures_that_it_was_stored_with(tmp_path):
    good = document(point(), point(speed=1.2, load=2.0))
    found = trust.trust(kept(tmp_path, {"command": "gridlab validate x", "document": good}))
    jsonschema.validate(found, TypeAdapter(trust.Trust).json_schema(mode="serialization"))
    assert found["summary"] == good["summary"]
    assert [{k: v for k, v in each.items() if k != "proof"} for each in found["refuted"]] == good[
        "refuted"
    ]
    assert found["refused"] == []
    assert {each["metric"] for each in found["refuted"]} >= {"p50"}


def test_what_a_proof_says_of_its_own_errors_is_not_believed(tmp_path):
    good = document(point(speed=1.2))
    boast = copy.deepcopy(good)
    boast["points"][0]["p50"]["error"] = 0.0
    boast["summary"]["servers"]["prosody"]["blind"]["p50"]["median_error"] = 0.0
    assert trust.trust(kept(tmp_path, boast))["summary"] == good["summary"]


def _early(proof):
    proof["points"][0]["evidence"]["begun"][1] = STORED


def _altered(proof):
    proof["points"][0]["evidence"]["predicted"]["totals"][0]["busy_s"] *= 1.01


def _improved(proof):
    measured = proof["points"][0]["evidence"]["measured"]
    measured["latency"][0] = measured["latency"][0].rsplit(" ", 200)[0]


def _unreadable(proof):
    del proof["points"][0]["evidence"]["measured"]["totals"]


def _empty(proof):
    proof["points"] = []


def _no_drift(proof):
    proof["drift"] = 5


def _nowhere(proof):
    del proof["topology"]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_early, "not older than the measurement"),
        (_altered, "not the one that was stored"),
        (_improved, "not those of their histograms"),
        (_unreadable, "cannot be read as a validation"),
        (_empty, "has no points"),
        (_no_drift, "cannot be read as a validation"),
        (_nowhere, "cannot be read as a validation"),
    ],
)
def test_a_proof_that_proves_nothing_is_refused(tmp_path, change, why):
    bad = document()
    change(bad)
    kept(tmp_path, document(), "good")
    found = trust.trust(kept(tmp_path, bad, "bad"))
    assert [each["name"] for each in found["refused"]] == ["bad"]
    assert why in found["refused"][0]["reasons"][0]
    assert [each["name"] for each in found["proofs"]] == ["good"]
    assert found["summary"]["points"] == 1


def test_a_proof_of_a_machine_that_changed_is_not_scored(tmp_path):
    shaken = {**document(), "drift": {"value": 1.83, "low": 1.5, "high": 2.1, "n": 10}}
    kept(tmp_path, document(), "good")
    found = trust.trust(kept(tmp_path, shaken, "shaken"))
    assert [each["name"] for each in found["unsteady"]] == ["shaken"]
    assert "cost +83% after the runs" in found["unsteady"][0]["reasons"][0]
    assert found["summary"]["points"] == 1
    assert "Not scored: shaken" in trust.markdown(found)


@pytest.mark.parametrize("stored", [None, {"kind": "history"}, {"document": {}}])
def test_where_nothing_is_stored_it_says_so(tmp_path, stored):
    if stored is not None:
        kept(tmp_path, stored)
    with pytest.raises(RecordError, match="holds no validation"):
        trust.trust([tmp_path])


def test_a_place_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(RecordError, match="is not there"):
        trust.trust([tmp_path / "none"])


def test_histograms_come_back_from_their_text():
    side = evidence.gather([run()], apart=False)
    counts = evidence.counts_of(json.loads(json.dumps(side)), "latency")
    assert (counts == run().latency.counts).all()


def test_figures_of_the_evidence_are_those_of_the_run():
    whole = run()
    figures = evidence.samples(evidence.gather([whole], apart=False))
    summary = whole.summary()
    assert figures["p50"].value == pytest.approx(summary["latency_s"]["p50"]["value"])
    assert figures["p99"].estimate()["high"] == pytest.approx(summary["latency_s"]["p99"]["high"])
    assert figures["throughput"].value == pytest.approx(
        summary["phases"][0]["throughput_per_s"]["value"], rel=1e-3
    )


@pytest.mark.parametrize("repeats", [2, 4, 9])
def test_the_noise_floor_is_the_mean_difference_of_two_measurements_of_all_repeats(repeats):
    """Of independent normal means it is 2 / sqrt(pi) times their standard deviation."""
    draws = random.Random(1)
    floors, apart = [], []
    for _ in range(400):
        both = [[1.0 + 0.05 * draws.gauss(0.0, 1.0) for _ in range(repeats)] for _ in range(2)]
        floors.append(twin.noise_floor(twin.Sample(1.0, twin.np.array(both[0]))))
        apart.append(abs(sum(both[0]) - sum(both[1])) / repeats)
    mean = sum(floors) / len(floors)
    assert mean == pytest.approx(0.05 * 1.1284 / repeats**0.5, rel=0.1)
    assert mean == pytest.approx(sum(apart) / len(apart), rel=0.15)


def test_the_page_of_the_docs_has_every_score_and_failure(tmp_path):
    found = trust.trust(kept(tmp_path, document(point(speed=1.2))))
    page = trust.markdown(found)
    assert "| prosody | cost | CPU/publication | 1 of 1 |" in page
    assert page.count("| proof | 1 |") == len(found["refuted"]) > 0
