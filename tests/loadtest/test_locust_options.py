"""Locust's own options at the Locust door: a described grid, files, a master and its workers."""

import csv
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

import results
from loadtest import deployment

pytestmark = pytest.mark.real

LOCUST = [str(Path(sys.executable).parent / "locust"), "-f", "loadtest/locustfile.py"]
ROOT = Path(__file__).parents[2]
WITHIN_S = 60


def start(place, *arguments):
    return subprocess.Popen(
        [*LOCUST, "--headless", "--only-summary", "--out", str(place / "runs"), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ.copy(),
    )


def ended(process):
    """What it said on standard error; it ends in time."""
    try:
        return process.communicate(timeout=WITHIN_S)[1]
    finally:
        process.kill()


def record_of(process):
    said = ended(process)
    path = re.search(r"record: (\S+)", said)
    assert path, said
    run = results.open_run(path[1])
    assert process.returncode == (0 if run.header.verdict.valid else 3), said
    return run


@pytest.fixture
def described(grid, place):
    """The file of the two Topics as a grid that runs where engine-test is up, address wrong."""
    served = grid.document()["controllers"]["alpha"]
    running = f"running: {{address: 127.90.0.9, ca: {served['ca_file']}, "
    running += f"accounts: {grid.document()['accounts_file']}}}"
    text = (place / "two-topics.yaml").read_text()
    path = place / "described.yaml"
    path.write_text(text.replace("profile: test-prosody}", f"profile: test-prosody, {running}}}"))
    return path, served["address"]


def test_described_grid_is_joined_at_the_host_and_left(grid, place, described):
    file, address = described
    options = ("--host", address, "--topology", str(file), "--grid", "joined", "-t", "2s")
    run = record_of(start(place, *options, "-r", "100"))
    assert run.header.counts.delivered == run.header.counts.expected > 0
    assert deployment.names() == ["engine-test"]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--host", "http://grid.test"), "is not a numeric address; write it out, for example"),
        (("--host", "127.0.0.5"), "add --topology FILE"),
        (("--host", "127.0.0.5", "--topology", "single-broker"), "running: {address, ca, accounts"),
        (("--host", "127.90.0.8", "--topology", "FILE"), r"127.90.0.8:5222: .*is it up\?"),
        (("--host", "192.0.2.1", "--topology", "FILE"), "no consent"),
    ],
)
def test_host_that_cannot_be_driven_is_refused(place, described, options, named):
    arguments = [str(described[0]) if each == "FILE" else each for each in options]
    process = start(place, "--grid", "joined", *arguments, "-t", "2s")
    said = ended(process)
    assert process.returncode == 2, said
    assert re.search(named, said)
    assert "Traceback" not in said
    assert deployment.names() == ["engine-test"]


def test_csv_and_html_hold_the_rows_of_the_record(grid, place):
    table, page = place / "table", place / "page.html"
    options = ("--grid", "engine-test", "-t", "2s", "--csv", str(table), "--html", str(page))
    run = record_of(start(place, *options))
    with (place / "table_stats.csv").open(newline="") as stream:
        count = {row["Type"]: int(row["Request Count"]) for row in csv.DictReader(stream)}
    assert count["PUBLISH"] == run.header.counts.publications
    assert count["DELIVER"] == run.header.counts.delivered
    assert count["CONN"] == 24
    written = page.read_text()
    assert "two-topics" in written
    assert "DELIVER" in written


def test_master_and_workers_started_by_hand_share_one_run(grid, place):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    stats = place / "by-hand"
    master = start(
        place,
        *("--master", "--master-bind-port", port, "--expect-workers", "2"),
        *("--expect-workers-max-wait", "30", "--grid", "engine-test", "-t", "2s"),
        *("--json-file", str(stats)),
    )
    workers = [
        start(place, "--worker", "--master-host", "127.0.0.1", "--master-port", port)
        for _ in range(2)
    ]
    try:
        run = record_of(master)
        shared = run.header.measurement["generator"]["workers"]
        assert {each["pid"] for each in shared} == {each.pid for each in workers}
        assert run.header.counts.delivered == run.header.counts.expected > 0
        rows = {row["method"]: row for row in json.loads(stats.with_suffix(".json").read_text())}
        assert rows["DELIVER"]["num_requests"] == run.header.counts.delivered
    finally:
        for worker in workers:
            ended(worker)


def seconds_told(grid):
    """How many seconds the first process of a run that is played has told of."""
    told = "".join(path.read_text() for path in grid.directory.glob("load-*/windows.jsonl"))
    return sum(json.loads(line)["place"] == 0 for line in told.split("\n")[:-1])


def test_terminated_locust_keeps_what_was_measured(grid, place):
    process = start(place, "--grid", "engine-test", "-t", "40s", "-r", "100")
    deadline_s = time.monotonic() + WITHIN_S
    while seconds_told(grid) < 3 and time.monotonic() < deadline_s:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    run = record_of(process)
    assert run.header.measurement["stopped"] == "stopped by hand"
    assert 0.0 < run.header.duration_s < 20.0
