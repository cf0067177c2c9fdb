"""What `make prove` stored is whole, young enough, and quoted rightly by the docs."""

import json
from pathlib import Path

import prove
import pytest
import quoting

ROOT = Path(__file__).parent.parent
BYTES_MAX = 10_000_000
STORED = [proof for proof in prove.proofs() if proof.path.is_file()]
QUOTES = [
    pytest.param(quote, id=f"{page.name}:{quote.name}:{quote.place}")
    for page in quoting.pages()
    for quote in quoting.quotes(page)
]


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


@pytest.mark.parametrize("quote", QUOTES)
def test_docs_quote_what_was_stored(quote):
    """The number in the text is the stored one, to the digits that it is given with."""
    assert quote.holds(), f"{quote.value()} is stored: make quotes"


def test_quotes_and_tables_are_renewed_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr(quoting, "REFERENCE", tmp_path)
    quoting.document.cache_clear()
    stored = {"error": 0.0342, "gates": [9], "took_s": 1234.5}
    (tmp_path / "some.json").write_text(json.dumps({"document": stored}))
    link = '({}results/reference/some.json "{}")'
    page = (
        f"off by [18 %]{link.format('../', 'error')}, that is [3.42 %]{link.format('', 'error')}; "
        f"[20]{link.format('', 'gates.0')} gates in [99.5 s]{link.format('', 'took_s')}\n\n"
        "<!-- printed by table -->\n\n| old |\n\n<!-- end -->\n18 % of others\n"
    )
    text, changes = quoting.renew(page, {"table": lambda: "| new |\n"})
    quoting.document.cache_clear()
    expected = (
        page.replace("[18 %]", "[3.4 %]").replace("[20]", "[9]").replace("| old |", "| new |")
    )
    assert text == expected.replace("[99.5 s]", "[1,234.5 s]")
    assert len(changes) == 4
    assert changes[0] == "18 % -> 3.4 %  (some: error)"
    assert quoting.renew(text, {"table": lambda: "| new |"}) == (text, [])
    with pytest.raises(ValueError, match="printed by table -->: has no <!-- end -->"):
        quoting.renew(page.replace("<!-- end -->", ""), {"table": lambda: ""})


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
