"""A limit's rate and burst are read from when a train's stanzas are answered."""

import json
import subprocess
import sys

import jsonschema
import numpy as np
import pytest
from pydantic import TypeAdapter

import topologies
from loadtest import limit_probe
from loadtest.documents import LimitFigures
from loadtest.problems import LoadError
from topologies.limits import ByteRate

RATE, STANZA = 100_000.0, limit_probe.PING_BYTES


def answered(burst, chunk, jitter_s=0.0, total=400_000, seed=1):
    """When a bucket that reads in chunks answers each stanza: once its chunk is paid for. [s]"""
    sent = np.arange(STANZA, total + 1, STANZA, dtype=float)
    paid = np.minimum(np.ceil(sent / chunk) * chunk, total)
    at_s = np.maximum(paid - burst, 0.0) / RATE
    draws = np.random.default_rng(seed)
    return sent, np.maximum.accumulate(at_s + jitter_s * draws.random(len(sent)))


@pytest.mark.parametrize("burst", [0.0, 100_000.0])
@pytest.mark.parametrize("chunk", [500, 4096, 16_384])
def test_rate_and_burst_come_back(burst, chunk):
    found = limit_probe.read(*answered(burst, chunk, jitter_s=2e-3))
    assert found.rate_bytes_per_s == pytest.approx(RATE, rel=0.02)
    assert found.burst_bytes == pytest.approx(burst, abs=chunk + 0.01 * RATE)


def test_where_nothing_is_delayed_no_limit_is_seen():
    sent, _ = answered(0.0, 500)
    assert limit_probe.read(sent, np.linspace(0.0, 0.05, len(sent))) is None
    calm = np.full(20, 1e-3)
    probed = limit_probe.Probed([], "delay", len(sent), len(sent), calm, calm)
    found = limit_probe.document("prosody", ByteRate(rate="100 kB/s"), probed)
    assert found["findings"] == ["no limit was seen"]
    jsonschema.validate(found, TypeAdapter(LimitFigures).json_schema(mode="serialization"))


def test_a_rate_that_is_a_tenth_and_a_burst_that_is_ignored_are_found():
    calm = np.full(20, 1e-3)
    trains = [limit_probe.Bucket(10_000.0 + k, 0.0) for k in range(3)]
    probed = limit_probe.Probed(trains, "delay", 800, 800, calm, calm)
    found = limit_probe.document("prosody", ByteRate(rate="100 kB/s", burst="200 kB"), probed)
    assert "the rate is -90% of what is configured" in found["findings"]
    assert "the burst is 0 B where 200,000 B is configured" in found["findings"]
    assert "10,001 [" in limit_probe.render(found)


@pytest.mark.parametrize(
    ("kind", "ping_s", "rate", "burst"),
    [
        # 4,096 B are read, acted on for 8.2 times 0.6 ms, and 41 ms are slept.
        ("prosody", 0.6e-3, 4096 / (4096 / 1e5 + 4096 / 500 * 0.6e-3), 4096.0),
        ("prosody", 0.0, 1e5, 4096.0),
        ("ejabberd", 0.6e-3, 1e5, 2e5),
    ],
)
def test_the_model_of_a_limiter_says_what_a_train_shows(kind, ping_s, rate, burst):
    found = limit_probe.predicted(kind, ByteRate(rate="100 kB/s", burst="200 kB"), ping_s)
    assert found.rate_bytes_per_s == pytest.approx(rate)
    assert found.burst_bytes == burst


def test_a_topology_without_a_limit_is_refused():
    with pytest.raises(LoadError, match="no Controller limits its clients"):
        limit_probe.probe(topologies.load("single-broker"))


@pytest.mark.real
def test_a_prosody_keeps_its_rate_and_saves_nothing_up(topology_file, shelter):
    changes = [
        "controllers[0].limits.client.rate=200 kB/s",
        "controllers[0].limits.client.burst=200 kB",
    ]
    command = [
        sys.executable,
        "-m",
        "gridlab",
        "limits",
        str(topology_file),
        "--json",
        "--trains",
        "1",
    ]
    command += [word for change in changes for word in ("--set", change)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=90)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    jsonschema.validate(found, TypeAdapter(LimitFigures).json_schema(mode="serialization"))
    assert found["shape"] == "delay"
    assert found["answered"] == found["sent"]
    # A busy machine may make it late, nothing makes it early but one read.
    assert 0.6 < 1.0 + found["rate_error"] < 1.1
    assert found["burst_bytes"]["value"] < 100_000
