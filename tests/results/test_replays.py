"""The table of stored replays: what holds, what does not, and what the docs say of that."""

import json
from pathlib import Path

import jsonschema
import pytest
import quoting
from pydantic import TypeAdapter

from results import replays

PAGE = Path(__file__).parents[2] / "docs" / "attacks.md"
COMMAND = "gridlab threats --real --markdown"


def estimate(value, reason=""):
    return {"value": value, "low": value, "high": value, "n": 1, "reason": reason}


def stored(place, name, scenario, rows, **more):
    """A stored replay; rows are (defence, predicted, measured)."""
    sides = [
        {"defence": defence, "figure": "p99_s",
         "predicted": one if isinstance(one, dict) else estimate(one),
         "measured": other if isinstance(other, dict) else estimate(other)}
        for defence, one, other in rows
    ]  # fmt: skip
    document = {
        "id": scenario, "headline": "p99_s", "agreement": sides,
        "measured": [{"defence": defence} for defence, *_ in rows], **more,
    }  # fmt: skip
    (place / f"attack-{name}-real.json").write_text(json.dumps({"document": document}))


def verdicts(place):
    return {each["defence"]: each["holds"] for each in replays.replays(place)["rows"]}


def test_a_figure_holds_within_the_bound_of_its_scenario(tmp_path):
    rows = [("none", 1.19, 1.0), ("defended", 1.21, 1.0), ("other", 0.79, 1.0)]
    stored(tmp_path, "flood", "S-FLOOD", rows)
    assert verdicts(tmp_path) == {"none": True, "defended": False, "other": False}
    stored(tmp_path, "flood", "S-PULL", rows)
    assert verdicts(tmp_path) == {"none": True, "defended": True, "other": True}
    found = replays.replays(tmp_path)
    assert (found["held"], found["count"]) == (3, 3)
    assert found["rows"][0]["error"] == pytest.approx(0.19)


def test_nothing_predicted_is_refuted_by_what_is_measured(tmp_path):
    rows = [("none", 0.0, 0.0), ("work", 0.0, 0.009), ("thief", 0.0, 9.0), ("late", 9.0, 0.0)]
    stored(tmp_path, "duel", "S-DUEL", rows)
    assert verdicts(tmp_path) == {"none": True, "work": True, "thief": False, "late": False}


def test_what_never_ends_on_one_side_alone_does_not_hold(tmp_path):
    never = estimate(None, "unbounded: never")
    rows = [("none", never, 9.0), ("worse", never, never), ("unknown", 1.0, estimate(None))]
    stored(tmp_path, "herd", "S-HERD", rows)
    assert verdicts(tmp_path) == {"none": False, "worse": True, "unknown": None}


def test_a_play_in_doubt_does_not_count(tmp_path):
    stored(tmp_path, "slow", "S-SLOW", [("none", 1.0, 3.0)],
           measured=[{"defence": "none", "doubts": ["it was disturbed"]}])  # fmt: skip
    found = replays.replays(tmp_path)
    assert (found["held"], found["count"]) == (0, 0)
    assert "in doubt" in replays.markdown(found)


@pytest.mark.parametrize(
    ("predicted", "measured", "same"),
    [
        ((4.0, 1.0), (3.0, 1.5), True),  # both less
        ((4.0, 1.0), (3.0, 3.5), False),  # less, and more
        ((4.0, 3.9), (4.0, 4.2), True),  # neither moves it by much
        ((4.0, 4.0), (4.0, 8.0), False),  # not at all, and much more
        ((4.0, 0.04), (4.0, 3.99), False),  # to a hundredth, and hardly
        ((4.0, 3.0), (4.0, 3.3), True),  # about the same, one of them by just more than the bound
        ((4.0, 0.0), (3.0, 0.0), True),  # it is gone on both sides
    ],
)
def test_a_defence_is_to_move_the_figure_as_predicted(tmp_path, predicted, measured, same):
    rows = [("none", predicted[0], measured[0]), ("defended", predicted[1], measured[1])]
    stored(tmp_path, "pull", "S-PULL", rows)
    first, second = replays.replays(tmp_path)["rows"]
    assert (first["same_direction"], second["same_direction"]) == (None, same)


def test_the_error_of_a_model_that_was_told_the_cost_stands_beside(tmp_path):
    told = [{"defence": "none", "figure": "p99_s", "predicted": estimate(2.0),
             "measured": estimate(2.1)}]  # fmt: skip
    stored(tmp_path, "flood", "S-FLOOD", [("none", 1.0, 2.1)], given_cost=told)
    (row,) = replays.replays(tmp_path)["rows"]
    assert (row["cost_error"], row["pace_error"]) == (pytest.approx(2.0 / 2.1 - 1), None)
    slower = [{**told[0], "predicted": estimate(2.3)}]
    rows = [("none", 1.0, 2.1)]
    stored(tmp_path, "flood", "S-FLOOD", rows, given_cost=told, given_pace=slower)
    found = replays.replays(tmp_path)
    assert found["rows"][0]["pace_error"] == pytest.approx(2.3 / 2.1 - 1)
    assert "| −4.8 %, +9.5 % (its pace) |" in replays.markdown(found)


def herds(place, **real):
    real = {"points": [{}] * 10, "doubts": [], "line_right": 0.9, "model_right": 0.8} | real
    document = {"points": [], "real": real}
    (place / "attack-phases-real.json").write_text(json.dumps({"document": document}))
    return replays.replays(place)["rows"]


def test_of_real_herds_those_are_counted_that_do_what_was_said(tmp_path):
    line, model = herds(tmp_path, given_cost_right=1.0, given_pace_right=0.8)
    assert (line["predicted"], line["measured"], line["holds"]) == (10, 9, True)
    assert (model["measured"], model["holds"]) == (8, False)
    assert model["cost_error"] == 0.0
    assert model["pace_error"] == model["error"] == pytest.approx(0.25)
    assert line["cost_error"] is line["pace_error"] is None
    assert [each["holds"] for each in herds(tmp_path, doubts=["held back"])] == [None, None]
    (tmp_path / "attack-phases-real.json").write_text(json.dumps({"document": {"points": []}}))
    assert replays.replays(tmp_path)["rows"] == []


@pytest.fixture(scope="module")
def found():
    return replays.replays()


def test_the_document_is_of_its_schema(found):
    jsonschema.validate(found, TypeAdapter(replays.Replays).json_schema())
    assert {row["scenario"] for row in found["rows"]} >= {"S-FLOOD", "S-HERD", "S-PASS", "S-BIGQ"}


def test_the_page_shows_the_stored_replays(found):
    shown = quoting.between(PAGE.read_text(), COMMAND)
    assert shown.strip() == replays.markdown(found).strip(), "make quotes"


def test_the_page_says_why_of_each_that_does_not_hold(found):
    said = " ".join(PAGE.read_text().partition(quoting.END)[2].split())
    for row in found["rows"]:
        errors = (row["cost_error"], row["pace_error"])
        told = any(abs(error or 0.0) > row["bound"] for error in errors)
        if row["holds"] is not True or row["same_direction"] is False or told:
            assert f"**{row['scenario']} {row['defence']}**" in said
