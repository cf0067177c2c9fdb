"""Every notebook runs from top to bottom, and is committed with the outputs of such a run."""

import re

import execution
import nbformat
import pytest

NOTEBOOKS = execution.notebooks()
EACH = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
NUMBER = re.compile(r"-?\d[\d,]*\.?\d*(?:e[-+]?\d+)?")
# Shows stored proofs, which are made anew and checked without it (tests/test_proofs.py).
STORED = [path for path in NOTEBOOKS if "trust.REFERENCE" in path.read_text()]
ALIKE = 0.02  # relative; the last printed digit may be rounded the other way on another machine
SPOKEN = re.compile(r"Took .*|wall.*|\x1b\[[\d;]*m")  # what a machine's speed decides, and colours


@pytest.fixture(scope="module")
def played():
    """All of them, run anew."""
    return execution.play(NOTEBOOKS)


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.timeout(900)
@EACH
def test_it_runs_from_top_to_bottom(path, played):
    assert execution.errors(played[path]) == []


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "path", [path for path in NOTEBOOKS if path not in STORED], ids=lambda path: path.stem
)
def test_its_figures_are_those_of_the_code_as_it_is(path, played):
    """Words are the same and numbers nearly; `python tests/execution.py NAME` writes them anew."""
    kept, now = (said(n) for n in (nbformat.read(path, as_version=4), played[path]))
    assert [NUMBER.sub("#", text) for text in kept] == [NUMBER.sub("#", text) for text in now]
    for before, after in zip(kept, now, strict=True):
        for one, other in zip(NUMBER.findall(before), NUMBER.findall(after), strict=True):
            shown, wanted = (float(text.replace(",", "")) for text in (one, other))
            assert shown == pytest.approx(wanted, rel=ALIKE, abs=last_digit(one))


def said(notebook):
    """The text of each cell's outputs; how it came in pieces is a matter of time."""
    texts = []
    for cell in notebook.cells:
        pieces = [
            output.get("text") or output.get("data", {}).get("text/plain", "")
            for output in cell.get("outputs", ())
        ]
        texts.append(" ".join(SPOKEN.sub("", "\n".join(pieces)).split()))
    return texts


def last_digit(number: str) -> float:
    """What one more in the last place is worth."""
    return 1.01 * 10.0 ** -len(number.partition("e")[0].partition(".")[2])


@EACH
def test_it_is_committed_as_it_ran(path):
    notebook = nbformat.read(path, as_version=4)
    cells = [c for c in notebook.cells if c.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = "\n".join(str(cell.outputs) for cell in cells)
    assert "'output_type': 'error'" not in outputs
    assert not re.search(r"simulated-\d{8}T\d+|/tmp/|/home/", outputs)  # no run ids, no paths
    assert set(notebook.metadata) <= set(execution.KEPT)
    assert path.stat().st_size < 300_000


@EACH
def test_it_asks_one_question_and_answers_it(path):
    prose = [c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "markdown"]
    assert prose[0].startswith("# ")
    assert "?" in "".join(prose[0].split("\n\n")[:2])
    assert path.stem == "01-first-run" or any(text.startswith("**Answer.**") for text in prose)
