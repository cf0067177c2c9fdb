"""Every process of a grid is watched: the component beside a server, the collector within it."""

import time
from pathlib import Path

import pytest

import topologies
from loadtest import collecting, collector, deployment, engine
from loadtest.server import COLLECTOR_FILE, Options

BESIDE = """\
schema: 1
name: beside
controllers: [{name: a, domain: a.test, profile: prosody-0.12, collection: {growth: 20 %}}]
brokers: [{name: broker, controller: a, kind: component, costs: {copy: 20 us}}]
topics: [{name: alerts, broker: broker, payload: {size: 1.6 KB}}]
platforms:
  - {name: sensors, count: 1, controller: a, publishes: [alerts]}
  - {name: consoles, count: 20, controller: a, subscribes: [alerts]}
workload:
  duration: 3 s
  arrivals: [{topic: alerts, by: sensors, process: deterministic, rate: 20/s}]
"""


@pytest.mark.real
def test_a_component_has_rows_of_its_own_and_the_collector_is_counted(shelter):
    topology = topologies.parse(BESIDE)
    with deployment.ephemeral(topology, options=Options(collector=True)) as grid:
        assert list(grid.components()) == ["broker.a.test"]
        directory = Path(grid.document()["controllers"]["a"]["server_directory"])
        assert "threshold = 120" in (directory / "prosody.cfg.lua").read_text()
        idle = collector.asked(directory / COLLECTOR_FILE)
        run = engine.play(topology, grid, seed=1)
        log = collector.read(directory / COLLECTOR_FILE)
    assert len(idle.whole_s) == len(idle.live_bytes) == collector.WHOLES
    assert 0.5e6 < idle.live_bytes[-1] < 10e6
    assert (idle.whole_s > 0.0).all()
    assert len(log.cycle_s) > len(idle.cycle_s)
    assert list(run.header.controllers) == ["a", "broker.a.test"]
    assert run.header.controllers["broker.a.test"].discipline == "fifo"
    rows = run.intervals
    of_broker = rows["controller"] == "broker.a.test"
    assert rows["busy_s"][of_broker].sum() > 0.0
    assert rows["memory_bytes_max"][of_broker].max() > 5e6
    assert rows["offered"][of_broker].sum() == rows["delivered"][of_broker].sum() == 0
    assert rows["delivered"][~of_broker].sum() == run.header.counts.delivered > 0
    assert run.header.measurement["server"]["cpu_s"]["broker.a.test"] > 0.0


@pytest.mark.real
def test_a_real_prosody_takes_turns_with_another_threshold_and_ends_with_its_own(shelter):
    topology = topologies.load("single-broker", ["platforms[1].count=10"])
    with deployment.ephemeral(topology, options=Options(collector=True)) as grid:
        name = collecting.watched(topology)
        log = Path(grid.document()["controllers"][name]["server_directory"]) / COLLECTOR_FILE
        with collecting.alternating(log):
            deadline_s = time.monotonic() + 10.0
            while not len(collector.read(log).other_s) and time.monotonic() < deadline_s:
                time.sleep(0.1)
        deadline_s = time.monotonic() + 10.0
        while not len(collector.read(log).own_s) and time.monotonic() < deadline_s:
            time.sleep(0.1)
        time.sleep(2.0)  # a turn and some more
        seen = collector.read(log)
    assert len(seen.other_s) == len(seen.own_s) == 1
    assert 1.0 < seen.own_s[0] - seen.other_s[0] < 3.0
