"""What `make prove` stored is whole, young enough, and quoted rightly by the docs."""

import json
import math
import re
from pathlib import Path

import prove
import pytest

ROOT = Path(__file__).parent.parent
BYTES_MAX = 10_000_000
# A figure of a stored proof in a doc: [1.4 %](results/reference/NAME.json "path.to.figure")
QUOTE = re.compile(r'\[([^\]]+)\]\([./]*(?:results/)?reference/([a-z0-9-]+)\.json "([^"]+)"\)')
SCALES = {"%": 100.0, "ms": 1e3, "us": 1e6, "MB": 1e-6, "M/s": 1e-6, "k/s": 1e-3}
STORED = [proof for proof in prove.proofs() if proof.path.is_file()]
DOCS = [path for path in ROOT.rglob("*.md") if ".venv" not in path.parts]


def quotes():
    for path in DOCS:
        for text, name, place in QUOTE.findall(path.read_text()):
            yield pytest.param(text, name, place, id=f"{path.name}:{name}:{place}")


@pytest.mark.parametrize("proof", STORED, ids=lambda proof: proof.name)
def test_a_stored_proof_is_whole_and_young_enough(proof):
    kept = proof.stored()
    assert kept["command"] == proof.command
    assert kept["document"]
    assert proof.lag() <= proof.may_lag, "run `make prove` and commit what it stores"


def test_nothing_else_is_stored_and_all_of_it_is_small():
    names = {f"{proof.name}.json" for proof in prove.proofs()}
    kept = [path for path in prove.REFERENCE.glob("*") if path.suffix != ".partial"]
    assert {path.name for path in kept if path.suffix == ".json"} <= names
    assert sum(path.stat().st_size for path in kept) < BYTES_MAX


@pytest.mark.parametrize(("text", "name", "place"), list(quotes()))
def test_docs_quote_what_was_stored(text, name, place):
    """The number in the text is the stored one, to the digits that it is given with."""
    figure = json.loads((prove.REFERENCE / f"{name}.json").read_text())["document"]
    for key in place.split("."):
        figure = figure[int(key)] if isinstance(figure, list) else figure[key]
    number, unit = re.match(r"([\d.,]+)\s*(\S*)", text).groups()
    shown = float(number.replace(",", ""))
    value = figure * SCALES.get(unit, 1.0)
    digits = len(number.partition(".")[2])
    significant = 10.0 ** (math.floor(math.log10(abs(value))) - 1) if value else 0.0
    assert abs(shown - value) <= max(0.5 * 10.0**-digits, 0.5 * significant), (shown, value)


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository of two files, in which proofs are made."""
    monkeypatch.setattr(prove, "ROOT", tmp_path)
    monkeypatch.setattr(prove, "REFERENCE", tmp_path / "reference")
    for name in ("code.py", "other.py"):
        (tmp_path / name).write_text("print('{}')\n")
    prove.git("init", "-q")
    prove.git("add", ".")
    who = ("-c", "user.name=a", "-c", "user.email=a@a.test", "-c", "commit.gpgsign=false")
    prove.git(*who, "commit", "-q", "-m", "code")
    return tmp_path


def test_a_proof_of_code_that_is_not_committed_is_not_made(repository, capfd):
    proof = prove.Proof("small", "python code.py", ("code.py", "more/*.py"), 0)
    (repository / "other.py").write_text("print(2)\n")  # it does not speak of this
    assert prove.prove(proof)
    assert proof.stored()["commit"] == prove.git("rev-parse", "HEAD").strip()
    (repository / "code.py").write_text("print(1)\n")
    (repository / "more").mkdir()
    (repository / "more" / "new.py").write_text("")
    assert not prove.prove(proof)
    out = capfd.readouterr().out
    assert "commit first: not as in the last commit: code.py, more/new.py" in out
    assert proof.stored()["document"] == {}
    (repository / "code.py").unlink()
    assert "code.py" in proof.uncommitted()


def test_a_proof_whose_code_changes_meanwhile_is_not_kept(repository, capfd):
    command = "python -c \"print('{}'); open('code.py', 'a').write('# later')\""
    assert not prove.prove(prove.Proof("small", command, ("code.py",), 0))
    assert "has changed meanwhile" in capfd.readouterr().out


def test_there_is_something_to_prove():
    assert STORED
