"""A run's record from a small, hand-made harvest."""

import dataclasses
from datetime import UTC, datetime

import numpy as np
import pytest

import topologies
from loadtest import shares
from loadtest.columns import interval_edges
from loadtest.engine import Played, Settings
from loadtest.harvest import Harvest
from loadtest.ledger import NEVER, Received
from loadtest.observation import Observation
from loadtest.recorder import record
from results import histogram
from results.records import INTERVALS_MAX, Phase
from topologies.plan import Block

START_NS = 5_000_000_000
S = 1_000_000_000
# Platform 0 publishes on Topic 0 at 1, 2, 3, 4 and 5 s; Platforms 1, 2 and 3 subscribe.
INTENDED_S = np.array([1.0, 2.0, 3.0, 4.0, 5.0])


@pytest.fixture
def topology(tmp_path):
    text = """
schema: 1
name: story
controllers: [{name: alpha, domain: alpha.test, profile: fifo-sketch}]
brokers: [{name: broker, controller: alpha}]
topics: [{name: news, broker: broker, payload: {size: 100 B}}]
platforms:
  - {name: sensor, count: 1, controller: alpha, publishes: [news]}
  - {name: tool, count: 2, controller: alpha, subscribes: [news]}
  - {name: robot, count: 1, controller: alpha, subscribes: [news]}
workload:
  duration: 10 s
  arrivals: [{topic: news, by: sensor, process: deterministic, rate: 1/s}]
"""
    return topologies.parse(text)


def window(second: int, role: str, **figures: float) -> dict[str, object]:
    calm = {"cpu_s": 0.1, "lag_s": 0.001, "unread_bytes": 0, "unsent_bytes": 0}
    more = (
        {"deliveries": 1, "read_bytes": 500, "delay_s": 0.001}
        if role == "receive"
        else {"lateness_s": 0.0}
    )
    return {"second": second, "role": role, "share": 0, **calm, **more, **figures}


def story(topology, *, missing=(), late_s=0.0, **changes) -> Played:
    """All is sent on time and comes 0.1 s (tools) or 0.3 s (the robot) later, bar the `missing`."""
    n = len(INTENDED_S)
    sent_ns = START_NS + ((INTENDED_S + late_s) * 1e9).astype(np.int64)
    copies = [(p, s) for p in range(n) for s in (1, 2, 3) if (p, s) not in missing]
    delay_s = {1: 0.1, 2: 0.1, 3: 0.3}
    received_ns = [int(sent_ns[p] + delay_s[s] * 1e9) for p, s in copies]
    harvest = Harvest(
        sent_ns=sent_ns,
        answered_ns=sent_ns + S // 100,
        refused=np.zeros(n, dtype=np.bool_),
        received=Received(
            publication=np.array([p for p, _ in copies], dtype=np.uint32),
            session=np.array([s for _, s in copies], dtype=np.uint32),
            received_ns=np.array(received_ns, dtype=np.int64),
            replayed=np.zeros(len(copies), dtype=np.bool_),
        ),
        delay_ns=np.full(len(copies), 1_000_000, dtype=np.int64),
        logins_ns=np.array([[0, 1, 2, 3, 4]]) * S // 1000,
        windows=[window(k, role) for k in range(10) for role in ("receive", "publish")],
        facts=[
            {
                "role": "receive",
                "foreign": 0,
                "checked": 0,
                "mismatches": 0,
                "sessions": 4,
                "lost_sessions": [],
                "peak_rss_bytes": 50_000_000,
            }
        ],
        conditions={},
        scheduling="SCHED_FIFO",
    )
    time_s, spun_s = np.arange(4.0, 17.0, 0.5), np.arange(4.0, 17.0, 0.1)
    played = Played(
        topology=topology,
        plan=topologies.Plan(topology),
        rows=Block(
            0,
            INTENDED_S,
            np.zeros(n, dtype=np.uint32),
            np.zeros(n, dtype=np.uint16),
            np.full(n, 100, dtype=np.uint32),
        ),
        cast=shares.Cast((np.array([1, 2, 3], dtype=np.uint32),), np.zeros(1, dtype=np.uint32)),
        settings=Settings(),
        grid={"controllers": {"alpha": {"server": "prosody", "version": "0.12.3"}}},
        created=datetime(2026, 1, 1, tzinfo=UTC),
        start_ns=START_NS,
        played_s=10.0,
        stopped=None,
        harvest=harvest,
        observations={
            "alpha": Observation(
                time_s,
                0.2 * time_s,
                0.0 * time_s,
                np.full(len(time_s), 9_000_000),
                np.array([spun_s, np.full(len(spun_s), 3.2e6), np.full(len(spun_s), 0.08)]),
                np.empty((2, 0)),
                False,
            )
        },
        wall_s=12.0,
    )
    return dataclasses.replace(played, **changes)


def harvested(played: Played, **changes) -> Played:
    return dataclasses.replace(played, harvest=dataclasses.replace(played.harvest, **changes))


def test_whole_run(topology):
    run = record(story(topology), "test")
    header = run.header
    assert header.verdict.valid, header.verdict
    assert (header.counts.publications, header.counts.expected) == (5, 15)
    assert (header.counts.delivered, header.counts.lost) == (15, 0)
    assert [phase.name for phase in header.phases] == ["warm-up", "steady"]
    assert header.controllers["alpha"].server == "prosody 0.12.3"
    assert header.measurement["server"]["cpu_per_delivery_s"] == pytest.approx(0.2 * 11.5 / 15)
    assert header.measurement["generator"]["cpu_per_delivery_s"] == pytest.approx(0.1)
    assert header.measurement["server"]["pace_per_s"]["alpha"] == pytest.approx(4e7)


def test_latency_is_by_receiving_population(topology):
    latencies = record(story(topology), "test").latencies
    by_population = {
        key[3]: key for key in latencies.keys if key[5] == "total" and key[1] == "steady"
    }
    assert set(by_population) == {"tool", "robot"}
    counts = latencies.counts(phases=["steady"])
    assert counts.sum() == 15
    assert histogram.quantile(counts, 0.5) == pytest.approx(0.1, rel=0.005)
    assert histogram.quantile(counts, 0.99) == pytest.approx(0.3, rel=0.005)


def test_latency_starts_at_the_intended_instant(topology):
    run = record(story(topology, late_s=0.2), "test")
    assert run.latency.quantile(0.5)["value"] == pytest.approx(0.3, rel=0.005)
    spread = run.header.measurement["generator"]
    assert spread["lateness_s"]["p50"] == pytest.approx(0.2)
    assert spread["transit_s"]["p50"] == pytest.approx(0.1)


def test_copy_that_did_not_come_is_infinitely_late(topology):
    run = record(story(topology, missing=[(4, 3), (2, 1)]), "test")
    assert run.header.counts.lost == 2
    assert run.latencies.counts()[histogram.UNDELIVERED] == 2
    assert "2 copies were lost by the server" in run.header.verdict.warnings
    published = run.publications
    assert published["delivered"].tolist() == [3, 3, 2, 3, 2]
    assert published["last_s"].tolist() == pytest.approx([1.3, 2.3, 3.3, 4.3, 5.1])


def test_publications_that_were_never_sent_make_the_run_invalid(topology):
    played = story(topology, missing=[(4, 1), (4, 2), (4, 3)])
    sent_ns, answered_ns = played.harvest.sent_ns.copy(), played.harvest.answered_ns.copy()
    sent_ns[4] = answered_ns[4] = NEVER
    run = record(harvested(played, sent_ns=sent_ns, answered_ns=answered_ns), "test")
    assert run.header.counts.dropped == 1
    assert run.header.measurement["ledger"]["dropped"] == 3
    assert run.header.verdict.reasons == ("3 copies were never sent: the generator was too slow",)
    assert np.isnan(run.publications["sent_s"][4])


def test_refused_publication_is_counted(topology):
    played = story(topology, missing=[(1, 1), (1, 2), (1, 3)])
    refused = np.array([False, True, False, False, False])
    run = record(harvested(played, refused=refused, conditions={"forbidden": 1}), "test")
    assert (run.header.counts.rejected, run.header.counts.lost) == (3, 0)
    assert run.header.measurement["ledger"]["refused_because"] == {"forbidden": 1}
    assert (run.intervals["rejected"].sum(), run.intervals["accepted"].sum()) == (1, 4)


def test_stopped_run_is_a_record_of_what_was_played(topology):
    run = record(story(topology, played_s=5.2, stopped="stopped by hand"), "test")
    assert run.header.duration_s == 5.2
    assert run.header.verdict.valid
    assert run.header.verdict.warnings[0] == "stopped by hand: 5.2 s of 10 s were played"
    assert [phase.name for phase in run.header.phases] == ["warm-up", "steady", "drain"]
    assert run.header.phases[2].end_s == pytest.approx(5.3)
    assert run.intervals["delivered"].sum() == 15


def test_late_seconds_make_the_run_invalid(topology):
    played = story(topology)
    windows = played.harvest.windows + [window(k, "publish", lateness_s=0.5) for k in (3, 4)]
    verdict = record(harvested(played, windows=windows), "test").header.verdict
    assert not verdict.valid
    assert "lateness_s up to 0.5" in verdict.reasons[0]


def test_limited_second_is_cut_from_the_figures(topology):
    played = story(topology)
    whole = record(played, "test")
    windows = [*played.harvest.windows, window(4, "publish", lateness_s=0.5)]
    run = record(harvested(played, windows=windows), "test")
    assert run.header.verdict.valid
    assert "is cut from the figures" in " ".join(run.header.verdict.warnings)
    limited = next(phase for phase in run.header.phases if phase.name == "limited")
    assert limited.start_s == pytest.approx(3.7, abs=0.01)  # a p99 of latency before
    assert (limited.end_s, limited.measured) == (5.0, False)
    inside = [s for s in INTENDED_S if limited.start_s <= s < limited.end_s]
    assert inside
    left = run.latencies.counts(phases=("steady",)).sum()
    assert left == whole.latencies.counts(phases=("steady",)).sum() - 3 * len(inside)
    assert run.latencies.counts().sum() == whole.latencies.counts().sum()
    assert run.summary()["latency_s"]["p50"]["value"] is not None


def test_lost_session_makes_the_run_invalid(topology):
    played = story(topology)
    facts = [{**played.harvest.facts[0], "lost_sessions": [[2, "reset by peer"]]}]
    reasons = record(harvested(played, facts=facts), "test").header.verdict.reasons
    assert reasons == ("1 sessions were lost, the first because: reset by peer",)


def test_intervals_follow_the_run(topology):
    intervals = record(story(topology), "test").intervals
    assert intervals["offered"].sum() == 5
    at = dict(zip(intervals["start_s"].tolist(), range(len(intervals["start_s"])), strict=True))
    # Publication 0 at 1.0 s: three copies wait, then the robot's alone.
    assert intervals["backlog_copies_max"][at[1.0]] == 3
    assert intervals["backlog_copies_max"][at[1.5]] == 0
    assert intervals["busy_s"].sum() == pytest.approx(0.2 * 10)
    assert intervals["latency_sum_s"].sum() == pytest.approx(5 * 0.5)
    assert (intervals["memory_bytes_max"] == 9_000_000).all()
    assert intervals["egress_bytes"].sum() == pytest.approx(5000)


@pytest.mark.parametrize("end_s", [0.4, 5.0, 59.3, 600.0, 3600.0, 86_400.0])
def test_intervals_are_few_and_keep_the_phases_edges(end_s):
    phases = [
        Phase(name="warm-up", start_s=0.0, end_s=0.1 * end_s, measured=False),
        Phase(name="steady", start_s=0.1 * end_s, end_s=end_s),
        Phase(name="drain", start_s=end_s, end_s=end_s + 0.07, measured=False),
    ]
    edges = interval_edges(phases)
    assert len(edges) <= INTERVALS_MAX + 1
    assert (np.diff(edges) > 0).all()
    for phase in phases:
        assert phase.start_s in edges
        assert phase.end_s in edges
