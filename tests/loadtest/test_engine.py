"""The plan played on a real server: every copy accounted for, through both doors."""

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
import topologies
from loadtest import deployment, engine
from loadtest.problems import LoadError

PROFILE = """
schema: 1
name: test-prosody
server: prosody
version: "0.12"
machine: any
measured: "2026-01-01"
provenance: {kind: assumed, source: a test}
costs: {discipline: fifo, publish: 1 ms, copy: 0.1 ms}
memory: {base: 20 MB, session: 40 KB}
"""

TOPOLOGY = """
schema: 1
name: two-topics
controllers:
  - {name: alpha, domain: alpha.test, profile: test-prosody}
brokers:
  - {name: broker, controller: alpha}
topics:
  - {name: incidents, broker: broker, payload: {kind: iodef, size: 700 B}}
  - {name: sessions, broker: broker, payload: {kind: json, size: 300 B, cv: 0.5}}
platforms:
  - {name: sensor, count: 2, controller: alpha, publishes: [incidents]}
  - {name: tool, count: 18, controller: alpha,
     subscribes: [incidents, {topic: sessions, fraction: 0.5}]}
  - {name: nac, count: 2, controller: alpha, publishes: [sessions], subscribes: [incidents]}
workload:
  duration: 1 min
  arrivals:
    - {topic: incidents, by: sensor, process: poisson, rate: 8/s}
    - {topic: sessions, by: nac, process: poisson, rate: 12/s}
"""
SUBSCRIBERS = {0: 20, 1: 9}

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    directory = tmp_path_factory.mktemp("engine")
    (directory / "test-prosody.yaml").write_text(PROFILE)
    (directory / "two-topics.yaml").write_text(TOPOLOGY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(directory / "state"))
        patch.setenv("XDG_RUNTIME_DIR", str(directory))
        yield directory


@pytest.fixture(scope="module")
def topology(place):
    return topologies.load(place / "two-topics.yaml")


@pytest.fixture(scope="module")
def grid(place, topology):
    grid = deployment.up(topology, "engine-test")
    yield grid
    deployment.down("engine-test")


def expected_copies(plan: topologies.Plan) -> int:
    topic = plan.columns().topic
    return sum(int(np.count_nonzero(topic == t)) * n for t, n in SUBSCRIBERS.items())


@pytest.fixture(scope="module")
def run(topology, grid):
    news = []
    run = engine.play(topology, grid, seed=3, duration_s=5.0, progress=news.append)
    return run, news


def test_every_copy_is_delivered_and_the_books_balance(run, topology):
    header = run[0].header
    plan = topologies.Plan(engine.lasting(topology, 5.0), seed=3)
    assert header.origin == "measured"
    assert header.plan_sha256 == (plan.sha256,)
    assert header.counts.publications == plan.rows > 50
    assert header.counts.expected == expected_copies(plan)
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
    assert "stopped by hand" in header["verdict"]["warnings"][0]
    assert str(player.pid) not in generators()


def test_generators_die_with_a_killed_parent(player):
    assert generators().count(str(player.pid)) == 2
    before = set(children(player.pid))
    player.kill()
    player.wait()
    deadline_s = time.monotonic() + 2.0
    while any(Path(f"/proc/{pid}").exists() for pid in before):
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


LOCUST = [str(Path(sys.executable).parent / "locust"), "-f", "loadtest/locustfile.py"]
ROOT = Path(__file__).parents[2]


def locust(place: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*LOCUST, "--headless", "--only-summary", "--out", str(place / "runs"), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        env={**os.environ, **environment},
        check=False,
    )


def record_of(outcome: subprocess.CompletedProcess[str]) -> results.Run:
    path = re.search(r"record: (\S+)", outcome.stderr)
    assert path, outcome.stderr
    run = results.open_run(path[1])
    assert outcome.returncode == (0 if run.header.verdict.valid else 3)
    return run


def test_locust_plays_the_same_plan(topology, grid, place):
    outcome = locust(
        place,
        *("--grid", "engine-test", "-t", "2s", "-r", "100", "--seed", "3"),
        *("--json-file", str(place / "stats")),
    )
    run = record_of(outcome)
    plan = topologies.Plan(engine.lasting(topology, 2.0), seed=3)
    assert run.header.door == "locust"
    assert run.header.plan_sha256 == (plan.sha256,)
    assert run.header.counts.publications == plan.rows
    assert run.header.counts.delivered == run.header.counts.expected == expected_copies(plan)
    rows = {row["method"]: row for row in json.loads((place / "stats.json").read_text())}
    assert rows["CONN"]["num_requests"] == 24
    assert rows["PUBLISH"]["num_requests"] == plan.rows
    assert rows["DELIVER"]["num_requests"] == run.header.counts.delivered
    assert all(row["num_failures"] == 0 for row in rows.values())


def test_unpatched_locust_deals_its_users_out_by_the_file_s_shares(grid, place):
    outcome = locust(
        place,
        *("--grid", "engine-test", "-u", "11", "-t", "1s", "--load", "2"),
        LOCUST_SKIP_MONKEY_PATCH="1",
    )
    counts = {"sensor": 1, "tool": 9, "nac": 1}
    overrides = [f"platforms[{name}].count={count}" for name, count in counts.items()]
    fewer = topologies.load(place / "two-topics.yaml", [*overrides, "workload.duration=1 s"])
    assert record_of(outcome).header.plan_sha256 == (topologies.Plan(fewer, load=2.0).sha256,)


def test_locust_without_a_grid_says_how_to_get_one(place):
    outcome = locust(place, "--grid", "nowhere")
    assert outcome.returncode == 2
    assert "gridlab grid up" in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_locust_refuses_several_engines(grid, place):
    outcome = locust(place, "--grid", "engine-test", "--master")
    assert outcome.returncode == 2
    assert "one engine plays the whole plan" in outcome.stderr
