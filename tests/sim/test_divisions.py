"""Sessions, requests, last items, clusters and links: no matter how the work on them is divided."""

import federations
import numpy as np
import pytest
import test_windows
import worlds
from test_replications import document
from test_requests import changed

import sim
import sim.controller
from topologies.plan import Plan

LOGINS = {
    "tls": [{"version": "1.3", "key": "ecdsa-p256", "cost": "1 ms"}], "cv": 0.4,
    "sasl": [{"mechanism": "scram-sha-1", "storage": "hashed", "first": "2 ms"}],
    "provenance": {"kind": "assumed", "source": "chosen for a test"},
}  # fmt: skip
QUERIES = {
    "base": "0.4 ms", "per_item": "0.1 ms", "item_bytes": "80 B",
    "provenance": {"kind": "assumed", "source": "chosen for a test"},
}  # fmt: skip
WORLDS = {"cluster": "on-subscribe", "federation": "on-login"}


def world(name):
    """Platforms that lose their sessions and ask, on a cluster or on two Controllers."""
    cluster = name == "cluster"
    homes = "aa" if cluster else "ab"
    kept = {"max_items": 4, "last_item": WORLDS[name], "payload": {"size": "900 B", "cv": 0.5}}
    people = [
        {"name": f"sub-{place}", "controller": home, "count": 20, "subscribes": ["t", "v"],
         "login": {}, "network": {"delay": f"{3 + place} ms"},
         "retry": {"policy": "full-jitter", "first": "30 ms", "base": "20 ms", "timeout": "90 ms"}}
        for place, home in enumerate(homes)
    ]  # fmt: skip
    people.append({"name": "pub", "controller": "a", "count": 3, "publishes": ["t", "v"]})
    topology = federations.topology(
        {"a": {"nodes": 3} if cluster else {}, **({} if cluster else {"b": {}})},
        {"t": ("a", kept), "v": (homes[1], kept)}, people,
        [{"topic": each, "by": "pub", "process": "poisson", "rate": "40/s"} for each in "tv"],
        duration="2 s",
        links=[] if cluster else [{"from": "a", "to": "b", "copies": "domain", "rate": "90 kB/s"}],
        faults=[{"kind": "outage", "name": "dark", "population": "sub-0", "start": "0.4 s",
                 "duration": "0.1 s", "spread": "0.1 s"},
                {"kind": "crash", "name": "dead", "controller": "a", "start": "1.1 s",
                 "duration": "0.2 s"}],
    )  # fmt: skip
    queries = [{"kind": "items", "by": "sub-1", "topic": "t", "rate": "20/s"}]
    topology = changed(topology, lambda data: data["workload"].update(queries=queries))
    costs = {"publish": "1 ms", "copy": "0.2 ms", "cv": 0.3, "copy_distribution": "exponential"}
    profile = worlds.profile("fifo", logins=LOGINS, queries=QUERIES, **costs)
    return topology, {"a": profile, "b": profile}


@pytest.mark.parametrize("name", WORLDS)
def test_neither_windows_nor_feeding_matter(name, monkeypatch):
    topology, profiles = world(name)
    plan = Plan(topology, 1)
    one = federations.compiled(topology, plan, profiles)
    two = federations.compiled(topology, plan, profiles, 0.0137)
    monkeypatch.setattr(sim.controller, "FEED_ROWS", 7)
    three = federations.compiled(topology, plan, profiles)
    assert one[0].sessions.logins.sum() > 20
    for first, second, third in zip(one, two, three, strict=True):
        test_windows.assert_same(first, second)
        test_windows.assert_same(first, third)
        for figure in ("attempts", "logins", "given_up", "refused", "online"):
            mine, *others = (getattr(each.sessions, figure) for each in (first, second, third))
            assert all(np.array_equal(mine, other) for other in others), figure


@pytest.mark.parametrize("name", WORLDS)
def test_neither_does_the_number_of_processes_and_the_laws_hold(name):
    topology, profiles = world(name)
    profiles = {each.name: profiles[each.name] for each in topology.controllers}
    one, two = (
        sim.simulate(topology, profiles=profiles, replications=2, processes=each) for each in (1, 2)
    )
    assert document(one) == document(two)
    assert one.header.verdict.valid
    assert {law.name.split()[0] for law in one.header.identities} == {"copies", "Little:", "busy"}
