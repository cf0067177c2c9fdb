"""The wheel: what `pip install` gives is the whole lab, wherever it is called from."""

import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("loadtest", "results", "sim", "topologies")
FOR_READERS = {"README.md"}  # what lies in a package's folder for those who read the repository

ANSWER = """\
import json, sys
import loadtest, results, sim, topologies
from loadtest import requirements
from topologies import overlays

campus = topologies.load("campus-nac")
topology = topologies.load("single-broker", ["workload.duration=2 s"])
run = sim.simulate(topology, replications=1, engine="reference")
kept = run.save("runs")
page = results.write_report([results.open_run(kept)], "page.html")
print(json.dumps({
    "places": [module.__file__ for module in (loadtest, results, sim, topologies)],
    "topologies": sorted(topologies.shipped()),
    "profile": topologies.profile(campus, "controller").name,
    "attacks": sorted(overlays.catalogue()),
    "requirements": len(requirements.document_schema()),
    "lost": run.header.counts.lost,
    "delivered": run.header.counts.delivered,
    "estimated": sim.estimate(campus)["topology"],
}))
"""


def tracked() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy of what is committed: a checkout's own build/ may hold what was removed."""
    source, out = (tmp_path_factory.mktemp(name) for name in ("source", "wheels"))
    for name in tracked():
        if name.split("/")[0] in PACKAGES or "/" not in name:
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, source / name)
    pip("wheel", source, "--no-deps", "--no-build-isolation", "--wheel-dir", out)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def home(wheel, tmp_path_factory) -> Path:
    """A new environment with the wheel in it, which sees this one's packages but not the checkout.

    A path in a .pth file gets its directory onto sys.path, not what .pth files there name: so an
    editable installation of the lab stays out.
    """
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin" / "python"
    pip("--python", python, "install", "--no-deps", "--no-index", wheel)
    (packages,) = home.glob("lib/python*/site-packages")
    shared = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "shared.pth").write_text("\n".join(shared) + "\n")
    return home


def pip(*arguments: object) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    run = subprocess.run(
        [*command, *map(str, arguments)], capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stderr


def in_clean_home(command: list[object], cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command far from the checkout, with no word of it in its environment."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GRIDLAB") and name != "PYTHONPATH"
    }
    return subprocess.run(
        [*map(str, command)], capture_output=True, text=True, timeout=120, cwd=cwd, env=environment
    )


def test_every_file_of_the_packages_is_in_the_wheel(wheel):
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    wanted = {
        name
        for name in tracked()
        if name.split("/")[0] in PACKAGES and Path(name).name not in FOR_READERS
    }
    assert held == wanted | {"gridlab.py"}


def test_the_installed_lab_answers_from_any_directory(home, tmp_path):
    run = in_clean_home([home / "bin" / "python", "-c", ANSWER], tmp_path)
    assert run.returncode == 0, run.stderr
    answer = json.loads(run.stdout)
    assert all(Path(place).is_relative_to(home) for place in answer["places"])
    assert answer["topologies"] == sorted(p.stem for p in (ROOT / "topologies").glob("*.yaml"))
    assert answer["profile"] == "ejabberd-23"
    assert answer["attacks"] == sorted(
        p.stem for p in (ROOT / "topologies/attacks").glob("S-*.yaml")
    )
    assert answer["delivered"] > 0
    assert answer["lost"] == 0
    assert "<svg" in (tmp_path / "page.html").read_text()


def test_its_program_is_there(home, tmp_path):
    run = in_clean_home([home / "bin" / "gridlab", "list", "--json"], tmp_path)
    assert run.returncode == 0, run.stderr
    assert "campus-nac" in {each["name"] for each in json.loads(run.stdout)["topologies"]}
    assert list(tmp_path.iterdir()) == []
