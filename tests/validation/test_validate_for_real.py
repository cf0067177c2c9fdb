"""`gridlab validate` on a real Prosody: the document, the order of things, and nothing left."""

import functools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jsonschema
import psutil
import pytest

import results

pytestmark = pytest.mark.real
ROOT = Path(__file__).parent.parent.parent


def of_ours(mark: str) -> set[int]:
    """Processes with this mark in their environment, or in their command line as servers have."""
    found = set()
    for process in psutil.process_iter():
        try:
            marked = mark in process.environ().values() or mark in " ".join(process.cmdline())
            if marked and process.status() != psutil.STATUS_ZOMBIE:
                found.add(process.pid)
        except (psutil.AccessDenied, psutil.NoSuchProcess):
            continue
    return found


class Command:
    """`gridlab validate` with runtime and temporary directories of its own."""

    def __init__(self, directory: Path) -> None:
        self.mark = str(directory)
        self.places = [directory / "runtime", directory / "temporary"]
        for place in self.places:
            place.mkdir(mode=0o700)
        self.places[1].chmod(0o1777)  # the server's own user writes there
        directory.chmod(0o755)
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "GRIDLAB_TEST": self.mark,
            "XDG_RUNTIME_DIR": str(self.places[0]),
            "TMPDIR": str(self.places[1]),
        }

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        return self.start_command("validate", "single-broker", *arguments)

    def start_command(self, *arguments: object) -> subprocess.Popen[str]:
        """Any command of the front door."""
        return subprocess.Popen(
            [sys.executable, "-m", "gridlab", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
            # A suite that runs in the background passes on that interrupts are ignored.
            preexec_fn=functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )

    def left(self) -> list[str]:
        """Processes and files that are still there."""
        files = [str(path) for place in self.places for path in place.rglob("*") if path.is_file()]
        return [*map(str, of_ours(self.mark)), *files]


@pytest.fixture
def validate():
    # Not pytest's own directory: the server's user must be able to reach it.
    with tempfile.TemporaryDirectory(prefix="gridlab-test-", ignore_cleanup_errors=True) as path:
        command = Command(Path(path))
        yield command
        end_s = time.monotonic() + 5.0
        while command.left() and time.monotonic() < end_s:
            time.sleep(0.1)
        assert command.left() == []


def test_predicts_first_then_measures_the_same_plan(tmp_path, validate):
    process = validate.start(
        "--points", ".5,1", "--duration", 4, "--repeats", 1, "--json", "--out", tmp_path
    )
    output, errors = process.communicate(timeout=240)
    assert process.returncode in (0, 3), errors  # 3: something else kept this machine busy
    document = json.loads(output)
    jsonschema.validate(document, results.document_schema("validate"))
    assert [point["subscribers"] for point in document["points"]] == [200, 200]
    for point in document["points"]:
        played = [*point["runs"]["measured"], *point["runs"]["invalid"]]
        assert 1 <= len(played) <= 2  # once more where the first does not count
        predicted, measured, *_ = (
            results.open_run(tmp_path / run) for run in (point["runs"]["predicted"], *played)
        )
        assert point["evidence"]["stored"] < measured.header.created
        assert predicted.header.plan_sha256[0] == measured.header.plan_sha256[0]
        assert predicted.header.created < measured.header.created
        counts = measured.header.counts
        assert counts.expected == 200 * counts.publications > 0
        assert counts.expected == counts.delivered + counts.lost + counts.rejected
        assert all(identity.holds for identity in measured.header.identities)
        assert point["verdict"]["verdict"] in ("agrees", "disagrees", "invalid")


@pytest.mark.parametrize("delay_s", [1.0, 8.0], ids=["logging in", "playing the pilot"])
def test_an_interrupted_validation_leaves_nothing_running(delay_s, tmp_path, validate):
    process = validate.start("--duration", 30, "--out", tmp_path)
    end_s = time.monotonic() + 30.0
    while of_ours(validate.mark) <= {process.pid} and time.monotonic() < end_s:
        time.sleep(0.1)
    time.sleep(delay_s)
    assert len(of_ours(validate.mark)) > 2
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
