"""The plan played on a real server: every copy accounted for, through both doors."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import results
import topologies
from loadtest import deployment, engine
from loadtest.problems import LoadError

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def run(topology, grid):
    news = []
    run = engine.play(topology, grid, seed=3, duration_s=5.0, progress=news.append)
    return run, news


def test_every_copy_is_delivered_and_the_books_balance(run, topology, copies):
    header = run[0].header
    plan = topologies.Plan(engine.lasting(topology, 5.0), seed=3)
    assert header.origin == "measured"
    assert header.plan_sha256 == (plan.sha256,)
    assert header.counts.publications == plan.rows > 50
    assert header.counts.expected == copies(plan)
    assert header.counts.delivered == header.counts.expected
    assert header.counts.lost == header.counts.rejected == header.counts.dropped == 0
    assert header.counts.duplicated == header.counts.reordered == header.counts.replayed == 0
    assert header.identities
    assert all(identity.holds for identity in header.identities)
    ledger = header.measurement["ledger"]
    assert ledger["balanced"]
    assert (ledger["unexpected"], ledger["foreign"], ledger["mismatches"]) == (0, 0, 0)


def test_tables_agree_with_the_ledger(run):
    counts, intervals, published = run[0].header.counts, run[0].intervals, run[0].publications
    assert intervals["offered"].sum() == intervals["accepted"].sum() == counts.publications
    assert intervals["latency_count"].sum() == counts.delivered
    assert published["delivered"].sum() == counts.delivered
    assert run[0].latencies.counts().sum() == counts.expected
    assert intervals["backlog_copies_max"].max() >= 9
    assert intervals["busy_s"].sum() == pytest.approx(
        run[0].header.measurement["server"]["cpu_s"]["alpha"], rel=0.2
    )
    # What travelled is at least the payloads, and not twice as much again.
    payloads = (published["payload_bytes"] * published["expected"]).sum()
    assert payloads < intervals["egress_bytes"].sum() < 3 * payloads


def test_order_of_instants_is_kept(run):
    published = run[0].publications
    order = ("intended_s", "sent_s", "first_s", "last_s")
    instants = np.stack([published[name] for name in order])
    assert (np.diff(instants, axis=0) >= 0).all()
    assert (published["accepted_s"] > published["sent_s"]).all()
    assert 0 < run[0].latency.quantile(0.5)["value"] < 1.0


def test_progress_is_told(run):
    states = list(dict.fromkeys(news["state"] for news in run[1]))
    assert states == ["logging in", "playing", "draining"]
    assert run[1][-1]["online"] == run[1][-1]["sessions"] == 20 + 4
    told = sum(w.get("deliveries", 0) for news in run[1] for w in news["windows"])
    assert told > 0.5 * run[0].header.counts.delivered


def test_record_is_stored_and_read_back(run, tmp_path):
    stored = results.open_run(run[0].save(tmp_path))
    assert stored.header.counts == run[0].header.counts
    assert stored.summary()["latency_s"] == run[0].summary()["latency_s"]


def test_fewer_platforms_get_nothing_for_those_who_left(topology, grid, place):
    fewer = topologies.load(place / "two-topics.yaml", ("platforms[tool].count=4",))
    header = engine.play(fewer, grid, duration_s=1.5).header
    assert header.counts.delivered == header.counts.expected > 0
    assert header.measurement["ledger"]["received"] == header.counts.delivered


def test_starttls_plays_as_well(topology, grid):
    settings = engine.Settings(tls="starttls", logins_per_s=500.0, cores=(0,))
    header = engine.play(topology, grid, duration_s=1.0, settings=settings).header
    assert header.counts.delivered == header.counts.expected > 0


def test_platform_without_an_account_is_named(grid, place):
    more = topologies.load(place / "two-topics.yaml", ("platforms[tool].count=19",))
    with pytest.raises(LoadError, match=r'account "tool-18@alpha\.test": is not on the grid'):
        engine.play(more, grid, duration_s=1.0)


def test_caps_hold(topology, grid):
    with pytest.raises(ValueError, match="stanzas_per_s"):
        engine.play(topology, grid, load=2000.0, duration_s=2.0)
    with pytest.raises(ValueError, match="duration"):
        engine.play(topology, grid, duration_s=-1.0)


def test_stop_file_ends_the_run_and_keeps_it(topology, grid):
    asked_s = 0.0

    def progress(news):
        nonlocal asked_s
        if news["elapsed_s"] > 1.0 and not asked_s:
            asked_s = time.monotonic()
            (own.directory / "STOP").touch()

    # The grid's supervisor obeys the file as well, so this grid is one of its own.
    with deployment.ephemeral(topology) as own:
        run = engine.play(topology, own, progress=progress)
        assert time.monotonic() - asked_s < 3.0
    assert 1.0 < run.header.duration_s < 3.0
    assert "were played" in " ".join(run.header.verdict.warnings)
    assert all(identity.holds for identity in run.header.identities)


PLAY = """
import sys, topologies
from loadtest import deployment, engine
topology = topologies.load(sys.argv[1])
def progress(news):
    print(news["state"], flush=True)
run = engine.play(topology, deployment.status("engine-test"), progress=progress)
print(run.header.model_dump_json(), flush=True)
"""


@pytest.fixture
def player(place, grid):
    """Another process that plays, a while into its run."""
    process = subprocess.Popen(
        [sys.executable, "-c", PLAY, str(place / "two-topics.yaml")],
        stdout=subprocess.PIPE,
        text=True,
    )
    while process.stdout.readline() != "playing\n":
        assert process.poll() is None
    time.sleep(1.0)
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def generators() -> list[str]:
    """Command lines of generator processes on this machine that belong to this test's grid."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                parent = re.search(r"PPid:\s+(\d+)", (entry / "status").read_text())[1]
            except (OSError, TypeError):
                continue
            if "loadtest.share" in line:
                found.append(parent)
    return found


def test_ctrl_c_ends_the_run_within_two_seconds_and_keeps_it(player):
    asked_s = time.monotonic()
    player.send_signal(signal.SIGINT)
    *_, last = player.stdout.read().splitlines()
    assert player.wait() == 0
    assert time.monotonic() - asked_s < 3.0
    header = json.loads(last)
    assert header["counts"]["delivered"] == header["counts"]["expected"] > 0
    assert "stopped by hand" in " ".join(header["verdict"]["warnings"])
    assert str(player.pid) not in generators()


def test_generators_die_with_a_killed_parent(player, grid):
    assert generators().count(str(player.pid)) == 2
    before = set(children(player.pid))
    player.kill()
    player.wait()
    deadline_s = time.monotonic() + 2.0
    while any(Path(f"/proc/{pid}").exists() for pid in before):
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    # What it left is in the grid's directory, without a password, and goes with the grid.
    left = [path for path in grid.directory.glob("load-*/*") if path.suffix == ".json"]
    assert left == []


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]
