"""Locust's workers share one run: the same record, histograms that add up, and who was killed."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import results
from loadtest import engine
from results import histogram

pytestmark = pytest.mark.real

LOCUST = [str(Path(sys.executable).parent / "locust"), "-f", "loadtest/locustfile.py"]
ROOT = Path(__file__).parents[2]


def locust(place, *arguments, **environment):
    options = ["--headless", "--only-summary", "--grid", "engine-test", "--processes", "2"]
    return subprocess.Popen(
        [*LOCUST, *options, "--out", str(place / "runs"), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, **environment},
    )


def record_of(process, within_s=60):
    said = process.communicate(timeout=within_s)[1]
    path = re.search(r"record: (\S+)", said)
    assert path, said
    run = results.open_run(path[1])
    assert process.returncode == (0 if run.header.verdict.valid else 3), said
    return run


def merged(files, stage):
    """The workers' own histograms of one stage, added up."""
    counts = histogram.empty()
    for file in files:
        counts += histogram.dense(
            *np.array(json.loads(Path(file).read_text())["histograms"][stage])
        )
    return counts


def in_record(run, stage):
    return run.latencies.counts(stage=stage)


@pytest.mark.parametrize("patched", [True, False], ids=["patched", "unpatched"])
def test_workers_give_the_record_of_one_process_count_for_count(
    topology, grid, place, copies, patched
):
    environment = {} if patched else {"LOCUST_SKIP_MONKEY_PATCH": "1"}
    stats = place / f"stats-{patched}"
    arguments = ("-t", "3s", "-r", "100", "--seed", "3", "--json-file", str(stats))
    run = record_of(locust(place, *arguments, **environment))
    alone = engine.play(topology, grid, seed=3, duration_s=3.0)
    assert run.header.plan_sha256 == alone.header.plan_sha256
    assert run.header.topology.sha256 == alone.header.topology.sha256
    assert run.header.counts == alone.header.counts
    assert run.header.counts.delivered == run.header.counts.expected > 0
    assert run.header.counts.duplicated == run.header.counts.replayed == 0
    assert (run.publications["topic"] == alone.publications["topic"]).all()

    workers = run.header.measurement["generator"]["workers"]
    files = [each["file"] for each in workers]
    assert len(set(files)) == 2
    assert all(each["counted"]["total"] > 0 for each in workers)
    assert (merged(files, "total") == in_record(run, "total")).all()
    assert (merged(files, "lateness") == in_record(run, "lateness")).all()
    rows = {row["method"]: row for row in json.loads(stats.with_suffix(".json").read_text())}
    assert rows["DELIVER"]["num_requests"] == run.header.counts.delivered
    assert rows["PUBLISH"]["num_requests"] == run.header.counts.publications
    assert rows["CONN"]["num_requests"] == 24


def test_killed_worker_is_reported_and_its_sessions_accounted_for(topology, grid, place):
    process = locust(place, "-t", "8s", "-r", "100")
    killed = _worker_of(process.pid)
    os.kill(killed, signal.SIGKILL)
    run = record_of(process)
    ledger, generator = (run.header.measurement[name] for name in ("ledger", "generator"))
    assert not run.header.verdict.valid
    reasons = "\n".join(run.header.verdict.reasons)
    assert f"process {killed}), receive part: was killed after" in reasons
    assert "10 sessions with it" in reasons
    # It had half of the 20 receiving sessions, and half of the 4 publishing ones.
    assert {each["role"]: each["sessions"] for each in generator["ended"]} == {
        "receive": 10,
        "publish": 2,
    }
    assert generator["sessions"] == 12
    assert ledger["balanced"]
    assert ledger["unobserved"] > 0
    assert ledger["delivered"] + ledger["unobserved"] == ledger["expected"]
    assert all(law.holds for law in run.header.identities)
    assert [each["file"] is None for each in generator["workers"]].count(True) == 1


def _worker_of(master):
    """A worker of a Locust that has been playing for a while."""
    deadline_s = time.monotonic() + 50
    while time.monotonic() < deadline_s:
        time.sleep(0.1)
        playing = [pid for pid in _children(master) if _connections(_children(pid)) >= 12]
        if len(playing) == 2:
            time.sleep(2.0)
            return playing[0]
    raise AssertionError("no worker plays")


def _children(pid):
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def _connections(pids):
    """TCP connections of these processes."""
    own = set(Path("/proc/net/tcp").read_text().split())
    links = []
    for pid in pids:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                links.append(os.readlink(descriptor))
    return sum(link.removeprefix("socket:[").rstrip("]") in own for link in links)
