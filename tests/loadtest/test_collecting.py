"""What a Prosody's collector takes is told from a load in which it has less to do now and then."""

from dataclasses import replace
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pytest
from staged_servers import SMALL, simulate

import topologies
from loadtest import calibration, collecting, collector, experiment

COPY_S, CYCLE_S, EVERY = 90e-6, 3e-3, 40.0
TURN_S, GAP_S = 1.5, 0.15
UNITS = 50 * 1.08 + 4.0  # allocated by each of these publications of 400 B to fifty


@pytest.fixture(scope="module")
def topology():
    return topologies.parse(SMALL)


def played(cycle_s=CYCLE_S, count=160, rarer=5.0, seed=1):
    """Publications of 400 B to fifty, of which half meet a collector that has less to do."""
    draws = np.random.default_rng(seed)
    begin_s = 100.0 + GAP_S * np.arange(count + 1)
    turn = ((begin_s[:-1] - 100.0) // TURN_S).astype(int)
    due = np.cumsum(np.where(turn % 2, UNITS / rarer, UNITS) / EVERY)
    cycles = np.diff(np.floor(due), prepend=0.0).astype(int)
    at_s = np.concatenate(
        [begin + 0.01 + 1e-3 * np.arange(n) for begin, n in zip(begin_s, cycles, strict=False)]
    )
    cpu_s = 50 * COPY_S * (1.0 + 0.05 * draws.standard_normal(count)) + cycle_s * cycles
    n, ones = np.full(count, 50.0), np.ones(count)
    unknown = np.full((2, count), np.nan)
    work = experiment.Work(
        ones, n, 400.0 * ones, 400.0 * n, cpu_s, n, 400.0 * ones, ones, ones, unknown, [],
        begin_s[:-1], begin_s[1:],
    )  # fmt: skip
    switches = 100.0 + TURN_S * np.arange(1, turn[-1] + 1)
    none = np.zeros(0)
    log = collector.Log(at_s, none, none, own_s=switches[1::2], other_s=switches[::2])
    usual = turn % 2 == 0
    return work, log, float((cycle_s * cycles)[usual].sum() / cpu_s[usual].sum())


def test_the_share_of_collections_comes_back(shipped):
    work, log, share = played()
    found = collecting.look(work, log, shipped.costs, 52)
    assert found.share["value"] == pytest.approx(share, rel=0.1)
    assert found.share["low"] < share < found.share["high"]
    assert found.share["high"] - found.share["low"] < 0.3 * share
    assert found.cycles == pytest.approx(1.0 / EVERY, rel=0.05)
    assert found.cycle["value"] == pytest.approx(CYCLE_S, rel=0.1)


def test_a_collector_that_costs_nothing_is_not_told(shipped):
    work, log, _ = played(cycle_s=0.0)
    assert collecting.look(work, log, shipped.costs, 52) is None
    work, log, _ = played()
    few = replace(log, cycle_s=log.cycle_s[:10])
    assert collecting.look(work, few, shipped.costs, 52) is None
    always = replace(log, other_s=np.zeros(0), own_s=np.zeros(0))
    assert collecting.look(work, always, shipped.costs, 52) is None


def test_a_light_load_costs_as_much_as_it_did_and_the_collector_its_share(topology, shipped):
    """A server whose collector is dear, and which is 1.4 times as slow as the profile's."""
    changes = {"collection": 0.02, "collection_every": 50.0, "collection_sessions": 52}
    dear = shipped.costs.model_copy(update=changes)
    truth = shipped.model_copy(update={"speed": 1.4, "costs": dear})

    def predict(light, *, seed, profiles, load, plan_replication, door):
        return simulate(light, (profiles or {"a": shipped})["a"], seed=seed, load=load)

    def machine(light, *, seed, load):
        return simulate(light, truth, seed=seed, load=load)

    light = calibration.pilot(topology, 60.0, 6.0)
    free = truth.model_copy(update={"costs": dear.model_copy(update={"collection": 0.0})})
    busy = [
        simulate(light, each, seed=7).summary()["controllers"]["a"]["utilisation"]["value"]
        for each in (truth, free)
    ]
    known = {"value": 1.0 - busy[1] / busy[0], "low": 0.1, "high": 0.9, "n": 100}
    seen = {"a": collecting.Seen(known, 1.0 / 50.0, 52)}
    asked = {"seed": 1, "duration_s": 60.0, "rate_per_s": 6.0}
    fitted = calibration.fit(topology, predict, machine, seen=seen, **asked)
    profile = fitted.profiles["a"]
    assert profile.speed * profile.costs.collection == pytest.approx(1.4 * 0.02, rel=0.1)
    assert profile.speed * profile.costs.build == pytest.approx(1.4 * dear.build, rel=0.05)
    one = calibration.fit(topology, predict, machine, **asked).profiles["a"]  # by one factor
    assert one.speed * one.costs.build > 1.1 * profile.speed * profile.costs.build
    again = calibration.recalled(topology, fitted.document(), fitted.pilot)
    assert again == fitted


def test_only_a_lone_prosody_as_it_is_by_default_is_looked_at(topology):
    assert collecting.watched(topology) == "a"
    for change in ("controllers[0].profile=ejabberd-23", "controllers[0].collection.growth=50 %"):
        assert collecting.watched(topologies.varied(topology, [change])) is None
    assert collecting.watched(topologies.load("federation")) is None


def test_a_run_that_does_not_count_tells_nothing(topology, tmp_path, monkeypatch):
    """What other work spoiled is left out; the server's threshold is its own again."""
    directory = tmp_path / "server"
    directory.mkdir()
    grid = SimpleNamespace(
        document=lambda: {"controllers": {"a": {"server_directory": str(directory)}}},
        server_pid=lambda name: 1,
    )
    monkeypatch.setattr(collecting, "Observer", MagicMock())
    other = directory / "collector.log.other"

    def play(light, tell):
        assert float(other.read_text()) == collecting.OTHER_PERCENT
        tell({"elapsed_s": 1.0})
        return SimpleNamespace(header=SimpleNamespace(verdict=SimpleNamespace(valid=False)))

    assert collecting.seen(grid, topology, play) == {}
    assert not other.exists()
