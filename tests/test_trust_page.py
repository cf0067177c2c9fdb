"""What the docs say about trust is what the stored validations give."""

import json
from pathlib import Path

import prove
import pytest
import quoting

from results import trust

PAGE = Path(__file__).parent.parent / "docs" / "trust.md"
COMMAND = "gridlab trust --markdown"


@pytest.fixture(scope="module")
def computed():
    return trust.trust()


def test_no_stored_proof_is_refused(computed):
    assert computed["refused"] == []
    assert computed["proofs"]


def test_the_page_shows_what_the_proofs_give(computed):
    shown = quoting.between(PAGE.read_text(), COMMAND)
    assert shown.strip() == trust.markdown(computed).strip(), "make quotes"


def test_the_stored_scores_are_those_of_the_stored_proofs(computed):
    stored = json.loads((prove.REFERENCE / "trust.json").read_text())["document"]
    assert stored == json.loads(json.dumps(computed)), "make prove ONLY=trust"
