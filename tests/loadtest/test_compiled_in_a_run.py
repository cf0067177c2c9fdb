"""Whole runs whose publications and deliveries are compiled code's, on all kinds of servers."""

from contextlib import ExitStack

import pytest

import topologies
from loadtest import deployment, engine, nullgrid
from loadtest.engine import Settings
from loadtest.shares import COMPILED_FROM

PUBLISHERS, SUBSCRIBERS = 4, 2
TEXT = """
schema: 1
name: compiled
controllers: [{{name: alpha, domain: grid.test, profile: {profile}}}]
brokers: [{{name: broker, controller: alpha}}]
topics:
  - {{name: news, broker: broker, payload: {{kind: iodef, size: 700 B}}}}
  - {{name: noise, broker: broker, payload: {{kind: opaque, size: 200 B}}}}
platforms:
  - {{name: sensor, count: {publishers}, controller: alpha, publishes: [news, noise]}}
  - {{name: tool, count: {subscribers}, controller: alpha, subscribes: [news, noise]}}
workload:
  duration: {duration} s
  arrivals:
    - {{topic: news, by: sensor, process: poisson, rate: {each}/s}}
    - {{topic: noise, by: sensor, process: deterministic, rate: {each}/s}}
"""
PROFILES = {"null": "prosody-0.12", "prosody": "prosody-0.12", "ejabberd": "ejabberd-23"}
RATES_PER_S = {"null": 4_000, "prosody": 700, "ejabberd": 700}


@pytest.mark.real
@pytest.mark.parametrize("server", PROFILES)
def test_all_that_compiled_code_sends_and_reads_is_accounted_for(server):
    each = RATES_PER_S[server] // 2
    described = topologies.parse(
        TEXT.format(
            profile=PROFILES[server],
            publishers=PUBLISHERS,
            subscribers=SUBSCRIBERS,
            each=each,
            duration=round(1.1 * COMPILED_FROM / 2 / each),
        ),
        "compiled",
    )
    deploy = nullgrid if server == "null" else deployment
    with ExitStack() as stack:
        grid = stack.enter_context(deploy.ephemeral(described))
        run = engine.play(described, grid, settings=Settings(logins_per_s=20.0), door="test")
    counts, measured = run.header.counts, run.header.measurement
    assert counts.publications >= COMPILED_FROM
    assert counts.expected == SUBSCRIBERS * counts.publications
    assert (counts.delivered, counts.lost) == (counts.expected, 0)
    assert (counts.duplicated, counts.reordered, counts.dropped, counts.rejected) == (0, 0, 0, 0)
    assert measured["ledger"]["balanced"]
    generator = measured["generator"]
    accounts = {"publish_path": counts.publications, "receive_path": counts.delivered}
    for path, count in accounts.items():
        assert generator[path]["because"] == []
        assert generator[path]["compiled"] + generator[path]["interpreted"] == count
    assert generator["publish_path"]["compiled"] > 0.9 * counts.publications
    # A server in a hurry writes what it has at once: then the interpreter has stanzas that lie in
    # two TLS records, and all that follow them in one go.
    assert generator["receive_path"]["compiled"] > 0
    assert generator["lost_sessions"] == []
