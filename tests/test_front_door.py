"""The front door as its users meet it: answers, exit codes, and one clear message on bad input."""

import functools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import pytest

SMALL = """\
schema: 1
name: small
controllers:
  - {name: a, domain: a.grid.test, profile: prosody-0.12}
brokers:
  - {name: broker, controller: a}
topics:
  - {name: alerts, broker: broker, payload: {kind: iodef, size: 1.6 KB}}
platforms:
  - {name: sensors, count: 2, controller: a, publishes: [alerts]}
  - {name: consoles, count: 50, controller: a, subscribes: [alerts]}
workload:
  duration: 60 s
  arrivals:
    - {topic: alerts, by: sensors, process: poisson, rate: 6/s}
"""
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}


def gridlab(
    *arguments: object, timeout_s: float = 60.0, cwd: Path | None = None, **environment: str
):
    command = [sys.executable, "-m", "gridlab", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=timeout_s, cwd=cwd,
        env=ENVIRONMENT | environment,
    )  # fmt: skip


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    return path


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{n}: &{n} [*{p}, *{p}, *{p}, *{p}, *{p}, *{p}, *{p}, *{p}]\n"
    for p, n in zip("abcdefgh", "bcdefghi", strict=True)
)
BAD_FILES = {
    "an unknown key": (SMALL.replace("count: 50", "cuont: 50"), "count"),
    "a duplicate key": (SMALL.replace("name: small", "name: small\nname: large"), "name"),
    "a wrong unit": (SMALL.replace("6/s", "6 kg"), "rate"),
    "no unit": (SMALL.replace("60 s", "60"), "duration"),
    "a dangling name": (SMALL.replace("subscribes: [alerts]", "subscribes: [alarms]"), "alerts"),
    "a negative rate": (SMALL.replace("6/s", "-6/s"), "rate"),
    "a NaN": (SMALL.replace("6/s", ".nan"), "rate"),
    "an infinite rate": (SMALL.replace("6/s", "1e999/s"), "rate"),
    "an empty file": ("", "empty"),
    "a list": ("- 1\n- 2\n", "list"),
    "a scalar": ("hello", "schema"),
    "binary junk": (bytes(range(256)) * 40, ""),
    "a YAML bomb": (BOMB, "alias"),
    "deep nesting": ("[" * 100_000, ""),
    "50 MB": ("a: " + "x" * 50_000_000, "KiB"),
    "an unknown schema": (SMALL.replace("schema: 1", "schema: 9"), "schema"),
    "an unknown profile": (SMALL.replace("prosody-0.12", "prosody-9"), "prosody-0.12"),
}


@pytest.mark.parametrize("case", BAD_FILES)
@pytest.mark.parametrize("command", ["check", "simulate"])
def test_bad_input_is_one_clear_message(case, command, called, tmp_path):
    content, word = BAD_FILES[case]
    path = tmp_path / "bad.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    arguments = ["--out", tmp_path / "runs"] if command == "simulate" else []
    run = called(command, path, *arguments)
    assert run.returncode == 2, run.stderr
    assert run.stdout == ""
    assert "Traceback" not in run.stderr
    assert word in run.stderr
    assert "bad.yaml" in run.stderr
    assert not (tmp_path / "runs").exists()


def test_all_errors_of_a_file_come_at_once(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text(SMALL.replace("6/s", "6 kg").replace("count: 50", "cuont: 50"))
    run = gridlab("check", path)
    assert ":11:" in run.stderr
    assert ":15:" in run.stderr


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("simulate", "campus-nak"), "campus-nac"),
        (("simulate", "no/such/file.yaml"), "no/such/file.yaml"),
        (("simulate", "single-broker", "--set", "controllers[0].coers=2"), "cores"),
        (("simulate", "single-broker", "--replications", "0"), "replications"),
        (("simulate", "single-broker", "--load", "-1"), "load"),
        (("simulate", "single-broker", "--load", "nan"), "load"),
        (("load", "single-broker", "--name", "never-up"), "gridlab grid up"),
        (("compare", "nowhere", "nowhere"), "nowhere"),
        (("grid", "up", "single-broker", "--name", "n", "--address", "10.0.0.1"), "10.0.0.1"),
    ],
)
def test_bad_usage_ends_with_2(arguments, word, called):
    run = called(*arguments)
    assert run.returncode == 2, run.stderr
    assert "Traceback" not in run.stderr
    assert word in run.stderr


IDLE = "controllers:\n  - {name: b, domain: b.grid.test, profile: prosody-0.12}\n"


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("simulate", "FILE", "--out", "/proc/none"), "/proc/none"),
        (("simulate", "FILE", "--report", "/none/here.html"), "/none/here.html"),
        (("validate", "FILE", "--report", "/none/here.html"), "/none/here.html"),
        (("estimate", "FILE", "--load", "nan"), "load"),
        (("estimate", "FILE", "--load", "inf"), "load"),
        (("simulate", "FILE", "--load", "1e9"), "publications"),
        (("report", "x", "x"), "twice"),
        (("init", "mine.yaml", "--publishers", "0"), "publishers"),
    ],
)
def test_what_cannot_end_well_is_refused_before_any_work(
    arguments, word, called, small, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.iterdir())
    run = called(*(str(small) if a == "FILE" else a for a in arguments))
    assert run.returncode == 2, run.stderr
    assert run.stdout == ""
    assert "Traceback" not in run.stderr
    assert word in run.stderr
    assert {path for path in tmp_path.rglob("*") if path.is_file()} <= before


@pytest.mark.parametrize("command", ["check", "estimate", "simulate"])
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda text: text.replace("controllers:\n", IDLE), id="an idle Controller"),
        pytest.param(lambda text: text.replace("6/s", "1e-9/s"), id="no publication at all"),
    ],
)
def test_a_quiet_grid_is_answered(command, change, called, tmp_path):
    path = tmp_path / "quiet.yaml"
    path.write_text(change(SMALL))
    arguments = ["--out", tmp_path / "runs"] if command == "simulate" else []
    run = called(command, path, "--json", *arguments)
    assert run.returncode == 0, run.stderr
    json.loads(run.stdout)


def test_simulate_prints_one_document_and_keeps_the_run(small, called, tmp_path):
    run = gridlab("simulate", small, "--json", "--replications", 3, "--out", tmp_path / "runs")
    assert run.returncode == 0, run.stderr
    document = json.loads(run.stdout)
    schema = json.loads(called("schema", "simulate").stdout)
    jsonschema.validate(document, schema)
    deliveries = document["deliveries"]
    assert deliveries["expected"] == 50 * document["publications"]
    assert deliveries["delivered"] == deliveries["expected"]
    kept = tmp_path / "runs" / document["run_id"]
    page = tmp_path / "page.html"
    assert called("report", kept, "--to", page).returncode == 0
    assert "<svg" in page.read_text()
    again = called("compare", kept, kept, "--json")
    assert again.returncode == 0, again.stderr


def test_a_dearer_head_fails_the_gate(small, called, tmp_path):
    """Twice the cores' cost on paper is a failure whose document, page and exit code agree."""
    profile = Path(__file__).parent.parent / "topologies" / "profiles" / "prosody-0.12.yaml"
    text = profile.read_text().replace("name: prosody-0.12", "name: slow")
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "slow.yaml").write_text(text + "speed: 1.3\n")
    arguments = (
        "--simulated",
        "--quick",
        "--json",
        "--out",
        tmp_path,
        "--junit",
        tmp_path / "g.xml",
    )
    changes = ("--set", "workload.duration=40 s", "--set-head", "controllers[a].profile=slow")
    run = called("regress", "--base", small, *changes, *arguments)
    assert run.returncode == 1, run.stderr
    document = json.loads(run.stdout)
    jsonschema.validate(document, json.loads(called("schema", "regress").stdout))
    assert document["verdict"] == "fail"
    assert document["metrics"][0]["ratio"] == pytest.approx(1.3, rel=0.01)
    assert "failure" in (tmp_path / "g.xml").read_text()
    same = called("regress", "--base", small, "--head", small, *arguments)
    assert same.returncode == 0, same.stderr
    assert {each["ratio"] for each in json.loads(same.stdout)["metrics"]} == {1.0}


def test_the_same_seed_gives_the_same_document_for_any_number_of_processes(small, tmp_path):
    documents = []
    for processes in (1, 2):
        arguments = ("--json", "--replications", 4, "--processes", processes)
        run = gridlab("simulate", small, *arguments, "--seed", 5, "--out", tmp_path)
        document = json.loads(run.stdout)
        documents.append(
            {k: v for k, v in document.items() if k not in {"run_id", "wall_s", "peak_rss_bytes"}}
        )
    assert documents[0] == documents[1]


def test_init_writes_a_topology_that_checks_and_never_overwrites(called, tmp_path):
    path = tmp_path / "mine.yaml"
    flags = ("--platforms", 300, "--publishers", 3, "--rate", "2/s", "--payload", "4 KB")
    assert called("init", path, *flags).returncode == 0
    description = called("check", path, "--json")
    assert description.returncode == 0, description.stderr
    second = called("init", path)
    assert second.returncode == 2
    assert "mine.yaml" in second.stderr


def test_set_changes_a_field(small, called):
    one = json.loads(called("estimate", small, "--json").stdout)
    two = json.loads(called("estimate", small, "--load", 2, "--json").stdout)
    utilisation = [d["controllers"]["a"]["utilisation"]["value"] for d in (one, two)]
    assert utilisation[1] == pytest.approx(2 * utilisation[0], rel=1e-9)


@pytest.mark.parametrize(
    "command",
    ["", "init", "check", "list", "schema", "estimate", "simulate", "compare", "report", "grid",
     "grid up", "grid status", "grid down", "load", "validate", "conform",
     "calibrate", "trust", "limits",
     "regress", "history", "doctor"],
)  # fmt: skip
def test_every_command_has_help(command, called):
    run = called(*command.split(), "--help")
    assert run.returncode == 0
    assert "Usage" in run.stdout


def test_an_interrupt_while_workers_start_is_told_in_one_line(small, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "gridlab", "sweep", str(small), "--vary", "load=1,2,3"]
    command += ["--set", "workload.duration=1 h", "--replications", "8", "--out", str(out)]
    program = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, start_new_session=True,
        # A suite that runs in the background passes on that interrupts are ignored.
        preexec_fn=functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    deadline_s = time.monotonic() + 60.0
    while program.poll() is None and not list(out.glob("sweep-*")):
        if time.monotonic() > deadline_s:
            os.killpg(program.pid, signal.SIGKILL)
            pytest.fail(f"no scenario was begun within a minute: {program.communicate()[1]}")
        time.sleep(0.02)
    os.killpg(program.pid, signal.SIGINT)
    said = program.communicate(timeout=60.0)[1].strip()
    assert program.returncode == 130, said
    assert [line[:13] for line in said.splitlines()] == ["Interrupted: "]


def test_a_package_that_is_missing_is_told_with_what_installs_it(tmp_path):
    """As after `make run` alone, which installs no extras."""
    raising = "raise ModuleNotFoundError('it is not there', name='cryptography')"
    (tmp_path / "cryptography.py").write_text(raising)
    path = os.pathsep.join((str(tmp_path), ENVIRONMENT["PYTHONPATH"]))
    run = gridlab("bench", "load", "--quick", PYTHONPATH=path)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr == (
        "gridlab: the Python package cryptography is not installed; install it with: make extras\n"
    )
