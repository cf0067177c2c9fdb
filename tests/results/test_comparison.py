"""Differences are the system's: paired where the plans pair, refused where nothing compares."""

import io
import json

import jsonschema
import pytest
import synthetic

import results
from results import RecordError, Run, compare, prediction_error


@pytest.fixture(scope="module")
def base():
    return Run(synthetic.campaign())


def certain(change):
    return change["difference"]["low"] > 0.0 or change["difference"]["high"] < 0.0


def test_the_document_meets_its_schema(base):
    document = compare(base, Run(synthetic.campaign(seed=2)))
    jsonschema.validate(json.loads(json.dumps(document)), results.document_schema("compare"))


def test_equal_plans_pair_and_show_a_two_percent_faster_server(base):
    document = compare(base, Run(synthetic.campaign(speed=0.98)))
    before = document["phases"][0]
    assert document["paired"]
    assert certain(before["utilisation"]["nac"])
    assert before["utilisation"]["nac"]["ratio"]["value"] == pytest.approx(0.98, abs=1e-3)
    assert before["offered_load_per_s"]["difference"] == {
        "value": 0.0, "low": 0.0, "high": 0.0, "n": 8,
    }  # fmt: skip


def test_other_plans_do_not_pair_and_hide_it(base):
    document = compare(base, Run(synthetic.campaign(seed=2, speed=0.98)))
    assert not document["paired"]
    assert not certain(document["phases"][0]["utilisation"]["nac"])


def test_a_run_against_itself_differs_in_nothing(base):
    for phase in compare(base, base)["phases"]:
        for change in (*phase["latency_s"].values(), *phase["utilisation"].values()):
            assert change["difference"]["value"] == 0.0
            assert change["ratio"]["value"] == 1.0


def test_only_the_common_plans_are_compared(base):
    shorter = Run(synthetic.campaign(replications=3))
    document = compare(base, shorter)
    assert (document["a"]["replications"], document["b"]["replications"]) == (3, 3)
    assert document["phases"][1]["latency_s"]["p99"]["difference"]["value"] == 0.0


def test_runs_of_one_side_are_pooled():
    runs = [Run(synthetic.steady(replications=2, seed=seed)) for seed in (1, 2, 3)]
    document = compare(runs, Run(synthetic.steady(replications=6, seed=4)))
    assert document["a"]["replications"] == 6
    assert document["phases"][0]["goodput_per_s"]["a"]["n"] == 6


def test_an_invalid_run_is_compared_with_a_warning(base):
    verdict = results.records.Verdict(valid=False, reasons=("the generator was late",))
    document = compare(base, Run(synthetic.campaign(verdict=verdict)))
    assert document["warnings"] == ["synthetic-campaign-1 is not valid: the generator was late"]


@pytest.mark.parametrize(
    ("other", "rule"),
    [
        (synthetic.steady(replications=1), "campaign and steady studies do not compare"),
        (synthetic.campaign(replications=1, deadline_s=2.0), "set slo.deadline alike"),
        (
            synthetic.draft(
                tuple(p.model_copy(update={"name": f"x-{p.name}"}) for p in synthetic.CAMPAIGN),
                40.0,
                "campaign",
                replications=1,
            ),
            "no phase in common",
        ),
    ],
)
def test_what_does_not_compare_is_refused(base, other, rule):
    with pytest.raises(RecordError, match=rule):
        compare(base, Run(other))


def test_a_side_of_two_systems_is_refused(base):
    with pytest.raises(RecordError, match="one topology and origin"):
        compare([base, Run(synthetic.campaign(origin="measured"))], base)
    with pytest.raises(RecordError, match="on both sides"):
        compare([], base)


def measured(**changes):
    return Run(synthetic.steady(replications=1, origin="measured", **changes))


def test_a_prediction_of_the_very_same_run_is_right():
    document = prediction_error(Run(synthetic.steady()), measured())
    for name, pair in document.items():
        assert pair["error"] == 0.0, name
        assert pair["measured"]["low"] < pair["measured"]["value"] < pair["measured"]["high"], name


def test_a_prediction_five_percent_too_cheap_shows_it_in_cpu_and_more_so_in_latency():
    document = prediction_error(Run(synthetic.steady(speed=0.95)), measured())
    assert document["cpu"]["error"] == pytest.approx(-0.05, abs=1e-3)
    assert document["cpu_per_publication"]["error"] == pytest.approx(-0.05, abs=1e-3)
    assert document["throughput"]["error"] == pytest.approx(0.0, abs=1e-3)
    assert -0.2 < document["p99"]["error"] < -0.05
    assert document["cpu"]["predicted"]["value"] == document["utilisation"]["predicted"]["value"]


def test_an_unbounded_side_has_no_error():
    document = prediction_error(Run(synthetic.steady()), measured(lost_share=0.02))
    assert document["p99"]["error"] is None
    assert document["p99"]["measured"]["reason"].startswith("unbounded")
    assert document["p50"]["error"] is not None


def test_comparisons_and_summaries_print(base):
    from rich.console import Console

    console = Console(width=100, record=True, file=io.StringIO())
    console.print(results.render(base.summary()))
    console.print(results.render_comparison(compare(base, Run(synthetic.campaign(speed=0.98)))))
    text = console.export_text()
    assert "the CPU of nac" in text
    assert "8 replications in pairs" in text
    assert max(map(len, text.splitlines())) <= 100
