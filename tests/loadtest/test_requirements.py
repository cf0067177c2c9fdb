"""The list of requirements is whole: every normative sentence has a row, every row a probe."""

import csv
from pathlib import Path

import pytest

from loadtest import conformance
from loadtest.requirements import requirements

NORMATIVE = Path(__file__).parent / "normative.csv"
LEVELS = {"MUST", "SHOULD", "SHOULD NOT", "MAY", "trusted"}


@pytest.fixture(scope="module")
def rows():
    return {each.id: each for each in requirements()}


@pytest.mark.parametrize(
    "sentence",
    list(csv.DictReader(NORMATIVE.open(newline=""))),
    ids=lambda s: f"{s['document']} {s['section']} {s['what']}",
)
def test_each_normative_word_of_the_rfc_and_its_draft_has_a_requirement(rows, sentence):
    row = rows[sentence["requirement"]]
    assert f"{sentence['document']} {sentence['section']}" in row.reference.split("; ")
    assert row.level == sentence["level"]


def test_ids_are_unique_and_levels_known(rows):
    assert len(rows) == len(requirements())
    assert {each.level for each in rows.values()} <= LEVELS


def test_each_requirement_has_either_a_probe_or_a_reason(rows):
    tried = set(conformance.probes())
    assert {name for name, each in rows.items() if not each.unobservable} == tried


def test_there_is_enough_of_it(rows):
    assert len(rows) >= 60
    assert len(conformance.probes()) >= 35
    for extension in ("0004", "0030", "0059", "0060", "0160", "0203"):
        assert any(f"XEP-{extension} " in each.reference for each in rows.values()), extension


def test_the_readme_counts_right():
    readme = (Path(conformance.__file__).parent / "README.md").read_text()
    assert f"{len(conformance.probes())} of {len(requirements())} are tried" in readme


def test_each_probe_says_what_it_tries():
    assert all(probe.__doc__ for probe in conformance.probes().values())
