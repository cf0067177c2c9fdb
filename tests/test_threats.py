"""The table of threats says what is so: every row of the seeds, every claim, every name."""

import re
from pathlib import Path

import jsonschema
import pytest
from pydantic import TypeAdapter

from loadtest import requirements, scenarios
from sim import claims
from topologies import overlays, threats

ROOT = Path(__file__).parent.parent
TABLE = threats.table()
IDS = [
    *(f"N{n}" for n in range(1, 10)),
    *(f"P{n}" for n in range(12)),
    *(f"K{n}" for n in range(11)),
    *(f"A{n}" for n in range(1, 7)),
    *(f"M{n}" for n in range(1, 36)),
]
SAMPLED = ("S-BREACH", "S-CA", "S-CLOCK", "S-DUEL", "S-E2E", "S-FO", "S-LOG", "S-PASS", "S-PULL",
           "S-REVOKE", "S-SPLIT")  # fmt: skip


def test_every_row_of_the_seeds_has_a_verdict():
    assert [row.id for row in TABLE.rows] == IDS
    assert all(row.shown or row.reason for row in TABLE.rows)
    document = threats.document(TABLE)
    assert document["simulated_share"] >= 0.85
    assert document["driven_share"] >= 0.40


def test_the_seventeen_of_the_catalogue_are_there():
    wanted = "HERD FLOOD NAT PASS SLOW BIGQ ACT REVOKE CRL FO PULL E2E ONBOARD ACL SPLIT CLOCK DUEL"
    assert {f"S-{name}" for name in wanted.split()} <= overlays.catalogue().keys()


@pytest.mark.parametrize("row", [row for row in TABLE.rows if row.driven], ids=lambda row: row.id)
def test_what_is_driven_names_what_there_is(row):
    tried = {each.id for each in requirements.requirements() if not each.unobservable}
    for each in row.driven:
        kind, _, name = each.partition(": ")
        if kind == "gridlab conform":
            assert name in tried
        elif each.startswith("gridlab attack "):
            name = each.removesuffix(" --real").rpartition(" ")[2]
            overlay = overlays.read_overlay(overlays.find_overlay(name))
            assert overlay.real is not None
        elif each.startswith("gridlab load --scenario "):
            assert each.rpartition(" ")[2] in scenarios.SCENARIOS
        else:
            path, _, test = each.partition("::")
            text = (ROOT / path).read_text()
            assert not test or re.search(rf"^def {test}\(", text, re.MULTILINE)


def test_countermeasures_are_rows_where_they_look_like_them():
    named = [each for row in TABLE.rows for each in row.countermeasures]
    assert {each for each in named if re.fullmatch(r"[A-Z][0-9]+", each)} <= set(IDS)


def test_toggles_move_their_figures():
    """Procedures of people and programs, a few replications; `gridlab threats --check` has all."""
    rows = [row for row in TABLE.rows if row.shown and row.shown.scenario in SAMPLED]
    assert len(rows) >= 40
    assert claims.broken(claims.try_all(rows, replications=8)) == []


@pytest.mark.parametrize(
    ("low", "high", "direction"),
    [(0.1, 2.0, "more"), (-2.0, -0.1, "less"), (-0.1, 2.0, None), (0.0, 0.0, None),
     (None, None, None)],
)  # fmt: skip
def test_a_claim_holds_if_its_interval_is_on_the_side_that_it_says(low, high, direction):
    difference = {"value": 1.0, "low": low, "high": high, "n": 4}
    for each in ("less", "more"):
        assert claims.moves(difference, each) is (each == direction)


def test_what_came_of_the_claims_is_in_the_document():
    rows = [row for row in TABLE.rows if row.id == "M1"]
    (finding,) = claims.try_all(rows, replications=3)
    document = threats.document(TABLE, claims.verdicts([finding]))
    jsonschema.validate(document, TypeAdapter(threats.ThreatsDocument).json_schema())
    found = {row["id"]: row["found"] for row in document["rows"]}
    assert found["M1"] == {"difference": finding.difference, "holds": True}
    assert found["N1"] is None
