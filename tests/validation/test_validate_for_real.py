"""`gridlab validate` on a real Prosody: the document, the order of things, and nothing left."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import psutil
import pytest

import results

pytestmark = pytest.mark.real
ROOT = Path(__file__).parent.parent.parent


def servers() -> set[int]:
    """Processes of any server or part of the lab's grids."""
    names = ("prosody", "beam.smp", "epmd", "loadtest.")
    return {
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if any(name in " ".join(process.info["cmdline"] or []) for name in names)
    }


def listening() -> set[tuple[str, int]]:
    return {
        (connection.laddr.ip, connection.laddr.port)
        for connection in psutil.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }


def start(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "gridlab", "validate", "single-broker"]
    return subprocess.Popen(
        [*command, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@pytest.fixture
def nothing_left():
    before = servers(), listening()
    yield
    end_s = time.monotonic() + 5.0
    while (servers() - before[0] or listening() - before[1]) and time.monotonic() < end_s:
        time.sleep(0.1)
    assert servers() - before[0] == set()
    assert listening() - before[1] == set()


def test_predicts_first_then_measures_the_same_plan(tmp_path, nothing_left):
    process = start("--points", "1,2", "--duration", 5, "--json", "--out", tmp_path)
    output, errors = process.communicate(timeout=150)
    assert process.returncode in (0, 3), errors  # 3: something else kept this machine busy
    document = json.loads(output)
    jsonschema.validate(document, results.document_schema("validate"))
    assert [point["subscribers"] for point in document["points"]] == [200, 200]
    for point in document["points"]:
        predicted, measured = (results.open_run(tmp_path / run) for run in point["runs"].values())
        assert predicted.header.plan_sha256[0] == measured.header.plan_sha256[0]
        assert predicted.header.created < measured.header.created
        counts = measured.header.counts
        assert counts.expected == 200 * counts.publications
        assert counts.expected == counts.delivered + counts.lost + counts.rejected
        assert all(identity.holds for identity in measured.header.identities)
        assert point["verdict"]["verdict"] in ("agrees", "disagrees", "invalid")


def test_an_interrupted_validation_leaves_nothing_running(tmp_path, nothing_left):
    process = start("--duration", 30, "--out", tmp_path)
    before = servers()
    end_s = time.monotonic() + 30.0
    while not servers() - before - {process.pid} and time.monotonic() < end_s:
        time.sleep(0.1)
    time.sleep(3.0)  # into the logins or the pilot
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in errors
