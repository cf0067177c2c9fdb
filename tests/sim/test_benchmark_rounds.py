"""A benchmark goes on from what it kept, if that is of the same code on the same machine."""

import json
import re
from pathlib import Path

import pytest

import sim
from sim.benchmark_rounds import Rounds
from topologies import TopologyError
from topologies.loading import SHIPPED


def test_rounds_of_another_benchmark_are_not_gone_on_from(tmp_path):
    path = tmp_path / "kept.json"
    Rounds(path, quick=True).keep("storm 9", 0, {})
    assert Rounds(path, quick=True).found("storm 9", 0) == {}
    with pytest.raises(TopologyError, match=r"of --quick and whole .other: benchmark.; start anew"):
        Rounds(path, quick=False)
    path.write_text(json.dumps({"rounds": {}}))
    with pytest.raises(TopologyError, match="holds no rounds of a benchmark"):
        Rounds(path, quick=True)


def changed_campus(monkeypatch, home):
    text = Path(SHIPPED, "campus-nac.yaml").read_text()
    Path(home, "campus-nac.yaml").write_text(text + "# another\n")
    monkeypatch.setenv("GRIDLAB_HOME", str(home))


def changed_profile(monkeypatch, home):
    text = Path(SHIPPED, "profiles", "prosody-0.12.yaml").read_text()
    Path(home, "prosody-0.12.yaml").write_text(re.sub("measured: .*", "measured: 2020-01-01", text))
    monkeypatch.setenv("GRIDLAB_HOME", str(home))


def changed_code(monkeypatch, home):
    """A single line of a kernel."""
    root, module = Path(sim.__file__).parents[1], Path(home, "code", "sim", "benchmark_rounds.py")
    module.parent.mkdir(parents=True)
    for name in ("gridlab.py", "topologies", "results"):
        Path(home, "code", name).symlink_to(root / name)
    for path in Path(root, "sim").glob("*.py"):
        more = "# another\n" if path.name == "fifo.py" else ""
        module.with_name(path.name).write_text(path.read_text() + more)
    monkeypatch.setattr("sim.benchmark_rounds.__file__", str(module))


def changed_processor(monkeypatch, home):
    monkeypatch.setattr("sim.benchmark_rounds.environment.machine", lambda: {"processor": "Z80"})


def changed_python(monkeypatch, home):
    monkeypatch.setattr("sim.benchmark_rounds.platform.python_version", lambda: "2.7")


def changed_numba(monkeypatch, home):
    monkeypatch.setattr("sim.benchmark_rounds.metadata.version", lambda name: f"0 of {name}")


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        (changed_campus, "code"),
        (changed_profile, "code"),
        (changed_code, "code"),
        (changed_processor, "processor"),
        (changed_python, "python"),
        (changed_numba, "numba, numpy, simpy"),
    ],
)
def test_rounds_of_other_code_or_another_machine_are_refused(
    change, differs, monkeypatch, tmp_path
):
    path = tmp_path / "kept.json"
    Rounds(path, quick=True).keep("storm 9", 0, {})
    begun, without = Rounds(path, quick=True), Rounds(None, quick=True)
    before = path.read_text()
    change(monkeypatch, tmp_path)
    with pytest.raises(TopologyError, match="other code or on another machine than begun"):
        begun.keep("storm 9", 1, {})
    with pytest.raises(TopologyError, match=r"^the benchmark: is being measured with other code"):
        without.keep("storm 9", 1, {})
    with pytest.raises(TopologyError, match=rf"or on another machine.*other: {differs}.; start"):
        Rounds(path, quick=True)
    assert path.read_text() == before
