"""The tab in Locust's web page, looked at by a real browser while a run goes on."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

import sim
from loadtest import engine

pytestmark = pytest.mark.real

ROOT = Path(__file__).parents[2]
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


@pytest.fixture(scope="module")
def prediction(topology, place):
    """A stored prediction of what will be played, but for its duration."""
    # By the reference engine, which needs no compiling.
    run = sim.simulate(engine.lasting(topology, 10.0), replications=2, engine="reference")
    run.save(place / "runs")
    return run


@pytest.fixture(scope="module")
def page(topology, grid, place, prediction):
    """Locust with its web page, its run over; the address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(Path(sys.executable).parent / "locust"), "-f", "loadtest/locustfile.py"]
    options = ["--grid", "engine-test", "--topology", str(place / "two-topics.yaml"), "-t", "4s"]
    process = subprocess.Popen(
        [*command, *options, "--out", str(place / "runs"), "--autostart", "--web-port", str(port)],
        cwd=ROOT,
        env=os.environ.copy(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    yield address, _until_done(address)
    process.terminate()
    process.wait(30)


def _until_done(address):
    """Every document that the page would have shown, until the run is over."""
    seen, deadline_s = [], time.monotonic() + 60
    while time.monotonic() < deadline_s:
        time.sleep(0.3)
        try:
            with urllib.request.urlopen(f"{address}/gridlab/live.json", timeout=5) as answer:
                seen.append(json.load(answer))
        except OSError:
            continue
        if seen[-1]["outcome"]:
            return seen
    raise AssertionError(seen[-1:])


def look(address, place, *arguments):
    """What headless Chromium makes of a page; nobody but this machine can be asked."""
    chromium = shutil.which("chromium")
    assert chromium, "Debian's chromium is needed"
    profile = place / f"profile-{time.monotonic_ns()}"
    shown = subprocess.run(
        [
            *(chromium, *QUIET, f"--user-data-dir={profile}", "--window-size=1400,1000"),
            *("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",),
            *("--virtual-time-budget=8000", *arguments, address),
        ],
        capture_output=True,
        text=True,
        timeout=90,
        check=True,
    )
    return shown.stdout


def test_live_figures_grow_and_end_with_the_record_s(page):
    documents = page[1]
    received = [each["books"]["deliveries"] for each in documents]
    assert received == sorted(received)
    last = documents[-1]
    assert last["books"]["deliveries"] == last["outcome"]["counts"]["delivered"] > 0
    assert last["stages"]["delivery"]["n"] == last["outcome"]["counts"]["delivered"]
    assert last["stages"]["login"]["n"] == 24
    assert last["stages"]["lateness"]["n"] == last["outcome"]["counts"]["publications"]
    quantiles = [last["stages"]["delivery"][name] for name in ("p50", "p90", "p99", "p100")]
    assert quantiles == sorted(quantiles)
    assert {each["state"] for each in documents} >= {"playing", "done"}


def test_prediction_stands_beside_the_measurement(page, prediction):
    last = page[1][-1]
    assert last["predicted"]["run_id"] == prediction.header.run_id
    assert len(last["predicted"]["curve"]) > 10
    assert len(last["measured"]) > 10


def test_page_draws_curves_books_and_verdict(page, place):
    seen = look(f"{page[0]}/gridlab", place, "--dump-dom")
    counts = page[1][-1]["outcome"]["counts"]
    assert 'class="measured"' in seen
    assert 'class="predicted"' in seen
    assert f"<th>delivered</th><td>{counts['delivered']}</td>" in seen
    assert "delivery (DELIVER)" in seen
    valid = page[1][-1]["outcome"]["code"] == 0
    assert ('<p class="">Valid.</p>' if valid else '<p class="bad">Invalid') in seen
    links = re.findall(r"(?:src|href)=[\"']([^\"']+)", seen)
    assert [link for link in links if not link.startswith("data:")] == []


def test_locust_s_own_page_has_the_tab(page, place):
    picture = place / "tab.png"
    seen = look(f"{page[0]}/#gridlab", place, "--dump-dom", f"--screenshot={picture}")
    assert 'id="gridlab-tab"' in seen
    frame = re.search(r"<iframe[^>]*>", seen)
    assert frame
    assert "hidden" not in frame[0]
    assert picture.stat().st_size > 20_000
