"""Damaged files, full disks and kills: one clear error each, and nothing half-written.

The short version of `tests/hardening.py`, with examples that are the same each time.
"""

import contextlib
import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import fuzzing
import hardening
import pytest
from click.testing import CliRunner

import gridlab
import results
from results import RecordError, gate, open_run, pictures
from sim import scenarios, sweeps
from topologies import TopologyError, load, starter

ROOT = Path(__file__).parent.parent
PYTHON = [sys.executable, "-c", "import gridlab; gridlab.main()"]
QUICK = ("--engine", "reference", "--replications", "1", "--set", "workload.duration=2 s")


@pytest.fixture(scope="module")
def run():
    return hardening.small_run()


def program(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [*PYTHON, *map(str, arguments)],
        capture_output=True, text=True, timeout=120, cwd=cwd, env=environment,
    )  # fmt: skip


def test_any_topology_file_loads_or_is_refused():
    tally = hardening.examine(
        fuzzing.files(fuzzing.TOPOLOGIES[:3]), hardening.topology, 120, seed=1
    )
    assert min(tally.counts.values()) > 0, "both verdicts occur, or the files teach nothing"


def test_any_profile_loads_or_is_refused():
    tally = hardening.examine(fuzzing.files(hardening.PROFILES), hardening.profile, 100, seed=1)
    assert min(tally.counts.values()) > 0


def test_any_damage_to_a_run_is_found(run):
    tally = hardening.damaged_records(run, 100, seed=2)
    assert tally.counts["refused"] > 90


def test_the_program_says_so_and_ends_with_2(run, tmp_path):
    damaged = run.save(tmp_path)
    table = damaged / "latency.parquet"
    table.write_bytes(table.read_bytes()[:-1])
    told = program("report", damaged, cwd=tmp_path)
    assert told.returncode == 2
    assert "Traceback" not in told.stderr
    assert "latency.parquet" in told.stderr
    assert not list(tmp_path.glob("report.html*"))


@contextlib.contextmanager
def files_of_at_most(size: int):
    """Writes past so many bytes of a file fail, as on a full disk, whoever the user is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


WRITERS = {
    "a run": lambda run, place: run.save(place),
    "a page": lambda run, place: results.write_report([run], place / "page.html"),
    "pictures": results.write_pictures,
    "one picture": lambda run, place: pictures.write_figure(run.plot.load(), place / "load.svg"),
    "text": lambda run, place: results.write_text(place / "a.txt", "word " * 10_000),
    "JUnit": lambda run, place: gate.write_junit(GATE, place / "gate.xml"),
    "a topology": lambda run, place: starter.write(place / "mine.yaml"),
}
GATE = {
    "verdict": "invalid", "metrics": [], "invariants": {}, "pairs": 0, "discarded": 0,
    "reasons": ["no pairs " * 500],
}  # fmt: skip


@pytest.mark.parametrize("what", WRITERS)
@pytest.mark.parametrize("room", [0, 100])
def test_a_full_disk_is_said_and_leaves_nothing(what, room, run, tmp_path):
    with files_of_at_most(room), pytest.raises((RecordError, TopologyError)) as caught:
        WRITERS[what](run, tmp_path)
    assert "File too large" in str(caught.value)
    assert "another" in str(caught.value)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_what_was_there_stays_when_the_disk_is_full(tmp_path):
    page = tmp_path / "page.html"
    page.write_text("the old one")
    with files_of_at_most(100), pytest.raises(RecordError):
        results.write_text(page, "x" * 1000)
    assert page.read_text() == "the old one"


def test_a_directory_that_cannot_be_written_is_refused_before_any_work(tmp_path):
    """/proc takes no files, not even root's."""
    for place in ("/proc", "/proc/self/fd"):
        told = CliRunner().invoke(
            gridlab.cli, ["simulate", "single-broker", *QUICK, "--out", place]
        )
        assert isinstance(told.exception, RecordError), told.output
        assert place in str(told.exception)


def test_a_damaged_outcome_of_a_sweep_is_worked_anew(tmp_path):
    base = scenarios.base(load("single-broker", ["workload.duration=2 s"]), replications=1)
    axes = [sweeps.Axis("load", ("1", "2"))]
    first = sweeps.sweep(base, axes, tmp_path, processes=1)
    assert first.worked == 2
    one, other = sorted((first.directory / sweeps.OUTCOMES).glob("*.json"))
    forged = re.sub(r'"offered":\d+', '"offered":99999', one.read_text())
    assert forged != one.read_text()
    for made in ((b"", b"\xff\xfe{"), (b"[]", b"{}"), (forged.encode(), other.read_bytes())):
        one.write_bytes(made[0])
        other.write_bytes(made[1])
        again = sweeps.sweep(base, axes, tmp_path, processes=1)
        assert again.worked == 1 + (made[0] != forged.encode())
        assert again.outcomes == first.outcomes


def test_a_kill_leaves_a_run_whole_or_none_at_all(run, tmp_path):
    """SIGKILL while it is written: a directory of that name is whole, or absent."""
    writer = (
        "import sys, hardening, os\n"
        "run = hardening.small_run()\n"
        "print('ready', flush=True)\n"
        "number = 0\n"
        "while True:\n"
        "    header = run.header.model_copy(update={'run_id': f'run-{number}'})\n"
        "    run.header = header\n"
        "    run.save(sys.argv[1])\n"
        "    number += 1\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    child = subprocess.Popen(
        [sys.executable, "-c", writer, str(tmp_path)], stdout=subprocess.PIPE, env=environment
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    limit_s = time.monotonic() + 60.0
    while not list(tmp_path.glob("run-*.partial")) and time.monotonic() < limit_s:
        pass  # the kill shall come while something is being written
    child.send_signal(signal.SIGKILL)
    child.wait(timeout=60)
    child.stdout.close()
    for path in tmp_path.iterdir():
        if path.name.endswith(".partial"):
            with pytest.raises(RecordError, match="did not finish"):
                open_run(path)
        else:
            assert open_run(path).header.counts == run.header.counts
    assert list(tmp_path.iterdir())
