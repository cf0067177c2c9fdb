"""Who takes part in a run, and which process has whom."""

import dataclasses
import json
import stat

import numpy as np
import pytest

import topologies
from loadtest import shares
from loadtest.problems import LoadError
from topologies.plan import Block

TEXT = """
schema: 1
name: story
controllers:
  - {name: alpha, domain: alpha.test, profile: fifo-sketch}
brokers: [{name: broker, controller: alpha}]
topics:
  - {name: news, broker: broker, payload: {size: 100 B, kind: json}}
  - {name: gossip, broker: broker, payload: {size: 100 B}}
platforms:
  - {name: sensor, count: 2, controller: alpha, publishes: [news]}
  - {name: tool, count: 3, controller: alpha, subscribes: [news, gossip]}
  - {name: both, count: 1, controller: alpha, publishes: [gossip], subscribes: [news]}
workload:
  duration: 10 s
  arrivals: [{topic: news, by: sensor, process: deterministic, rate: 1/s}]
"""
GRID = {
    "controllers": {
        "alpha": {
            "domain": "alpha.test",
            "address": "127.0.0.9",
            "addresses": ["127.0.0.9"],
            "port": 5222,
            "direct_tls_port": 5223,
            "ca_file": "/ca.pem",
        }
    },
    "brokers": {"broker": "broker.alpha.test"},
}
JIDS = ["admin", "sensor-0", "sensor-1", "tool-0", "tool-1", "tool-2", "both-0"]
PASSWORDS = {f"{name}@alpha.test": f"secret of {name}" for name in JIDS}


@pytest.fixture
def topology():
    return topologies.parse(TEXT)


def rows(*publishers: int) -> Block:
    n = len(publishers)
    return Block(
        0,
        np.arange(n, dtype=np.float64),
        np.array(publishers, dtype=np.uint32),
        np.zeros(n, dtype=np.uint16),
        np.full(n, 100, dtype=np.uint32),
    )


def terms(directory) -> shares.Terms:
    return shares.Terms("r1", 60.0, 12, (1,), "direct", "counting", str(directory), "plan.npz")


@pytest.fixture
def specs(topology, tmp_path):
    cast = shares.cast(topology, rows(0, 5, 5), 1)
    return shares.specs(topology, cast, GRID, PASSWORDS, terms(tmp_path))


def test_cast_is_all_subscribers_and_whoever_publishes(topology):
    cast = shares.cast(topology, rows(0, 5, 0), 1)
    assert [each.tolist() for each in cast.subscribers] == [[2, 3, 4, 5], [2, 3, 4]]
    assert cast.receivers.tolist() == [2, 3, 4, 5]
    assert cast.publishers.tolist() == [0, 5]
    assert cast.sessions == 6


def test_receiving_and_publishing_are_apart(specs):
    assert [spec.role for spec in specs] == ["receive", "publish"]
    receiving, publishing = specs
    jids = [login.jid for login in receiving.logins]
    assert jids == [f"{name}@alpha.test/grid" for name in ("tool-0", "tool-1", "tool-2", "both-0")]
    assert receiving.topics_of == ((0, 1), (0, 1), (0, 1), (0,))
    assert [login.jid for login in publishing.logins] == [
        "sensor-0@alpha.test/grid-publish",
        "both-0@alpha.test/grid-publish",
    ]
    assert publishing.logins[0].password == "secret of sensor-0"


def test_all_together_keep_the_login_rate(specs):
    assert sum(spec.logins_per_s for spec in specs) == pytest.approx(60.0)
    assert [spec.concurrent_logins for spec in specs] == [8, 4]


def test_owner_ends_what_the_run_does_not_expect(specs):
    (prune,) = specs[0].prunes
    assert specs[1].prunes == ()
    assert prune.owner.jid == "admin@alpha.test/grid"
    names = [jid.partition("@")[0] for jid in prune.expected[0][1]]
    assert (prune.expected[0][0], names) == (0, ["tool-0", "tool-1", "tool-2", "both-0"])


def test_many_sessions_take_several_processes(topology, tmp_path, monkeypatch):
    monkeypatch.setattr(shares, "SESSIONS_PER_PROCESS", 3)
    cast = shares.cast(topology, rows(0), 1)
    receiving = shares.specs(topology, cast, GRID, PASSWORDS, terms(tmp_path))[:-1]
    assert [[login.platform for login in spec.logins] for spec in receiving] == [[2, 4], [3, 5]]
    assert len({spec.result for spec in receiving}) == 2


def test_spec_survives_its_private_file(specs, tmp_path):
    path = tmp_path / "spec.json"
    specs[0].write(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert shares.Spec.read(path) == specs[0]
    assert json.loads(path.read_text())["nodes"][0] == {
        "name": "news",
        "broker": "broker.alpha.test",
        "kind": "json",
    }


def test_platform_without_an_account_is_named(topology, tmp_path):
    fewer = {jid: secret for jid, secret in PASSWORDS.items() if not jid.startswith("tool-2")}
    cast = shares.cast(topology, rows(0), 1)
    with pytest.raises(LoadError, match=r'account "tool-2@alpha\.test": is not on the grid'):
        shares.specs(topology, cast, GRID, fewer, terms(tmp_path))


@pytest.mark.parametrize(("tls", "port"), [("direct", 5223), ("starttls", 5222)])
def test_door_has_one_kind_of_tls(topology, tmp_path, tls, port):
    cast = shares.cast(topology, rows(0), 1)
    wanted = dataclasses.replace(terms(tmp_path), tls=tls)
    door = shares.specs(topology, cast, GRID, PASSWORDS, wanted)[0].doors["alpha"]
    assert (door.tls, door.port) == (tls, port)


def test_sessions_are_dealt_out_to_the_nodes_of_a_cluster(topology, tmp_path):
    cluster = GRID["controllers"]["alpha"] | {"addresses": ["127.0.0.9", "127.0.0.10"]}
    grid = GRID | {"controllers": {"alpha": cluster}}
    cast = shares.cast(topology, rows(0, 1, 5), 1)
    for spec in shares.specs(topology, cast, grid, PASSWORDS, terms(tmp_path)):
        assert {name: door.address for name, door in spec.doors.items()} == {
            "alpha": "127.0.0.9",
            "alpha 1": "127.0.0.10",
        }
        for login in spec.logins:
            assert login.door == ("alpha", "alpha 1")[login.platform % 2]
