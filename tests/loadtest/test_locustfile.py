"""The Locust door: the same plan and the same record, however Locust was started."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import results
import topologies
from loadtest import deployment, engine

pytestmark = pytest.mark.real

LOCUST = [str(Path(sys.executable).parent / "locust"), "-f", "loadtest/locustfile.py"]
ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


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


def test_locust_plays_the_same_plan(topology, grid, place, copies):
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
    assert run.header.counts.delivered == run.header.counts.expected == copies(plan)
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


@pytest.mark.parametrize("more", [(), ("--processes", "2")], ids=["alone", "two workers"])
def test_what_the_readme_says_works_as_it_is_typed(default_grid, place, monkeypatch, more):
    """All but the run time: users as Locust's own documentation asks for them, no grid named."""
    typed = re.findall(r"locust (-f loadtest/locustfile\.py .*) -t 20s", README)
    assert typed == ["-f loadtest/locustfile.py --headless -u 50 -r 10"]
    monkeypatch.setenv("GRIDLAB_RUNS", str(place / "typed"))
    outcome = subprocess.run(
        [LOCUST[0], *typed[0].split(), "-t", "4s", *more],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        check=False,
    )
    run = record_of(outcome)
    played = topologies.parse(run.header.topology.text, "typed")
    assert played.platform_count == 50
    assert run.header.topology.name == default_grid
    assert run.header.counts.delivered == run.header.counts.expected > 0
    assert str(place / "typed") in outcome.stderr


@pytest.fixture(scope="module")
def default_grid(place):
    """What `gridlab grid up single-broker` brings up; the name of its topology."""
    deployment.up(topologies.load("single-broker"))
    yield "single-broker"
    deployment.down()


def test_locust_without_a_grid_says_how_to_get_one(place):
    outcome = locust(place, "--grid", "nowhere")
    assert outcome.returncode == 2
    assert "gridlab grid up" in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_web_page_stays_on_loopback():
    program = (
        "import loadtest.locustfile; from locust.argument_parser import get_parser; "
        "options = get_parser().parse_args([]); print(options.web_host, options.master_bind_host)"
    )
    asked = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert asked.stdout.split() == ["127.0.0.1", "127.0.0.1"]
