"""The generator knows its own limit, and what was measured survives whoever is killed."""

import os
import signal
from pathlib import Path

import pytest

from loadtest import deployment, engine, nullgrid, processes
from loadtest.bout import topology as bench_topology

SUBSCRIBERS = 100


@pytest.fixture(scope="module")
def fan_out():
    return bench_topology(SUBSCRIBERS)


@pytest.fixture(scope="module")
def grid(fan_out):
    with nullgrid.ephemeral(fan_out) as grid:
        yield grid


def played(topology, grid, rate_per_s, receivers, progress=None, duration_s=3.0):
    settings = engine.Settings(receivers=receivers, logins_per_s=400.0, warm_up_s=0.0)
    return engine.play(
        topology,
        grid,
        load=rate_per_s,
        duration_s=duration_s,
        settings=settings,
        progress=progress,
    )


def test_stock_handlers_are_caught_where_counting_sessions_are_not(fan_out, grid):
    """At 3,000 deliveries/s slixmpp's handlers keep up, and distort what is measured."""
    stock = played(fan_out, grid, 30.0, "stock").header
    reasons = "\n".join(stock.verdict.reasons)
    assert not stock.verdict.valid
    assert "would be the limit" in reasons
    assert stock.counts.delivered == stock.counts.expected
    assert "handler" in stock.clock["received"]
    lean = played(fan_out, grid, 30.0, "counting").header
    assert "would be the limit" not in "\n".join(lean.verdict.reasons)
    generator = lean.measurement["generator"]
    stock_cost = stock.measurement["generator"]["cpu_per_delivery_s"]
    assert stock_cost > 2.0 * generator["cpu_per_delivery_s"]


def test_every_second_past_the_limit_is_marked_and_the_run_is_invalid(fan_out, grid):
    # Twice what stock handlers can take on a whole processor.
    header = played(fan_out, grid, 250.0, "stock").header
    assert not header.verdict.valid
    assert "generator limited in" in "\n".join(header.verdict.reasons)
    marked = {each["second"] for each in header.measurement["generator"]["limited_seconds"]}
    assert {1, 2} <= marked
    assert header.measurement["ledger"]["balanced"]


@pytest.mark.parametrize(
    ("profile", "said"),
    [
        ("null", "ended with code -9"),
        pytest.param("prosody-0.12", "ended with signal 9", marks=pytest.mark.real),
        pytest.param("ejabberd-23", "ended with signal 9", marks=pytest.mark.real),
    ],
)
def test_killed_server_leaves_a_record_of_what_was_measured(profile, said):
    real = profile != "null"
    topology = bench_topology(SUBSCRIBERS, profile=profile if real else "prosody-0.12")
    with deployment.ephemeral(topology) if real else nullgrid.ephemeral(topology) as own:
        server, told = processes.Identity.of(own.server_pid("alpha")), []

        def kill(news):
            if news["elapsed_s"] > 1.5 and server.alive:
                os.kill(server.pid, signal.SIGKILL)
            told.extend(window.get("deliveries", 0) for window in news["windows"])

        run = played(topology, own, 20.0, "counting", kill, duration_s=20.0)
    header = run.header
    assert 1.0 < header.duration_s < 6.0
    assert not header.verdict.valid
    assert "sessions were lost" in "\n".join(header.verdict.reasons)
    assert said in "\n".join(header.verdict.warnings)
    # All that came in the first second and a half is there, and all that was told meanwhile.
    assert header.counts.delivered >= 1.2 * 20 * SUBSCRIBERS
    assert header.counts.delivered == sum(told)
    assert header.measurement["ledger"]["balanced"]
    assert all(law.holds for law in header.identities)
    assert run.latency.quantile(0.5)["value"] > 0


@pytest.mark.parametrize("role", ["receive", "publish"])
def test_killed_generator_process_leaves_what_it_had_measured(fan_out, grid, role):
    killed = []

    def kill(news):
        if news["elapsed_s"] > 2.6 and not killed:
            killed.append(process(role))
            os.kill(killed[0], signal.SIGKILL)

    header = played(fan_out, grid, 20.0, "counting", kill, duration_s=4.0).header
    reasons, ledger = "\n".join(header.verdict.reasons), header.measurement["ledger"]
    sessions = SUBSCRIBERS if role == "receive" else 1
    assert f"({role}) ended with code -9 after" in reasons
    assert f"{sessions} sessions with it" in reasons
    assert ledger["balanced"]
    assert all(law.holds for law in header.identities)
    # The first two whole seconds are on disk, and nothing is passed off as lost by the server.
    assert ledger["delivered"] >= 1.8 * 20 * SUBSCRIBERS
    assert ledger["unobserved"] == ledger["expected"] - ledger["delivered"] > 0


def process(role):
    """The generator process of this run that has a role; the receiving one is started first."""
    tasks = Path(f"/proc/{os.getpid()}/task").iterdir()
    children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    shares = [pid for pid in children if b"loadtest.share" in command_line(pid)]
    return min(shares) if role == "receive" else max(shares)


def command_line(pid):
    return Path(f"/proc/{pid}/cmdline").read_bytes()
