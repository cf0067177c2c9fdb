"""The proof of the gate: counted rightly, and gone on with where it was stopped."""

import json

import prove
import pytest
import regressing
from parts import Parts

COUNTS = {"identical": 4, "slowed": 2}
VERDICT = {"low": 0.9, "high": 1.1, "pairs": 4, "took_s": 50.0}
FIT = {"rounds_tried": 1.5, "ratio": 1.5, "low": 1.46, "high": 1.54, "rounds": 0.3, "n": 8}


def kept(work, verdicts, *, slowed=1.1, fit=FIT):
    """A work directory in which each gate has the verdict that is next for its kind."""
    left, parts = {kind: list(each) for kind, each in verdicts.items()}, at(work)
    parts.keep("fit", fit)
    for gate in regressing.gates(COUNTS):
        if left[gate.kind]:
            verdict = {"kind": gate.kind, "number": gate.number, "verdict": left[gate.kind].pop(0)}
            ratio = slowed if gate.kind == "slowed" else 1.0
            parts.keep(gate.name, {**VERDICT, "ratio": ratio, **verdict})
    return regressing.document(parts, COUNTS)


def at(work):
    return Parts(work, "regress")


def test_both_kinds_come_in_every_part_of_the_proof():
    kinds = [gate.kind for gate in regressing.gates(regressing.KINDS)]
    assert [kinds.count(kind) for kind in ("identical", "slowed")] == [20, 10]
    assert all(kinds[at : at + 3].count("slowed") == 1 for at in range(0, 30, 3))


def test_what_is_missing_makes_it_not_whole(tmp_path):
    found = kept(tmp_path, {"identical": ["pass"] * 3, "slowed": ["fail"]})
    assert not found["whole"]
    assert "not whole yet" in regressing.table(found)


def test_it_holds_if_the_gate_keeps_its_word(tmp_path):
    found = kept(tmp_path, {"identical": ["pass"] * 3 + ["invalid"], "slowed": ["fail"] * 2})
    assert found["holds"]
    assert found["identical"]["invalid"] == 1


def test_it_does_not_hold_if_a_slower_server_passes(tmp_path):
    found = kept(tmp_path, {"identical": ["pass"] * 4, "slowed": ["fail", "pass"]})
    assert found["whole"]
    assert not found["holds"]
    assert "DOES NOT HOLD" in regressing.table(found)


@pytest.mark.parametrize("wrong", [
    {"slowed": 1.3}, {"slowed": 1.05}, {"fit": {**FIT, "low": 1.30}}, {"fit": {**FIT, "high": 1.7}},
])  # fmt: skip
def test_it_does_not_hold_if_the_server_was_not_slowed_by_a_tenth(tmp_path, wrong):
    found = kept(tmp_path, {"identical": ["pass"] * 4, "slowed": ["fail"] * 2}, **wrong)
    assert found["whole"]
    assert not found["slowed_as_asked"]
    assert not found["holds"]


def test_verdicts_count_while_the_code_of_the_play_is_as_it_was():
    spoken = {str(path.relative_to(prove.ROOT)) for path in prove.named("regress").files()}
    assert {"results/regression.py", "loadtest/pairs.py", "loadtest/engine.py"} < spoken


def test_verdicts_of_other_code_are_made_anew(tmp_path):
    kept(tmp_path, {"identical": ["pass"] * 4, "slowed": ["fail"] * 2})
    one = tmp_path / "slowed-01.json"
    one.write_text(json.dumps({**json.loads(one.read_text()), "made_by": "other code"}))
    names = [gate.name for gate in regressing.gates(COUNTS)]
    assert [name for name in names if at(tmp_path).read(name) is None] == ["slowed-01"]
