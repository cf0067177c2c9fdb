"""Small grids for tests: profiles and topologies from a few figures, plans from given instants."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import pytest

from sim import phases, reference
from sim.grid import Grid
from sim.platforms import residents
from sim.stations import Graph
from sim.study import Study
from topologies.plan import Block
from topologies.profiles import Profile
from topologies.schema import Topology


def profile(
    discipline: str,
    speed: float = 1.0,
    notification: str = "0 B",
    server: str = "none",
    relay: dict | None = None,
    logins: dict | None = None,
    queries: dict | None = None,
    **costs,
) -> Profile:
    """A profile with little memory, which `fanout-process` shares; `costs` are its discipline's."""
    return Profile.model_validate(
        {
            "schema": 1,
            "name": "test",
            "server": server,
            "version": "1",
            "machine": "paper",
            "measured": "2026-11-22",
            "provenance": {"kind": "assumed", "source": "chosen for a test"},
            "costs": {"discipline": discipline, **costs},
            "memory": {
                "base": "1 MB", "session": "1 KB", "queued_copy": "100 B",
                "shared": discipline == "fanout-process",
            },
            "envelope": {"notification": notification},
            "speed": speed,
            "relay": relay or {},
            "logins": logins,
            "queries": queries,
        }
    )  # fmt: skip


def topology(
    platforms: list[dict],
    arrivals: list[dict] | None = None,
    *,
    topics: dict[str, dict] | None = None,
    duration: str = "1 s",
    study: str = "campaign",
    cores: int = 1,
    nic: str = "1 TB/s",
    deadline: str = "1 s",
    attacks: list[dict] | None = None,
    faults: list[dict] | None = None,
    queries: list[dict] | None = None,
    keeping: dict | None = None,
    **controller: dict | None,
) -> Topology:
    """One Controller `c` (with these further fields), Topic `t` or those given, populations.

    All Topics have the fields of `keeping`.
    """
    topics = topics or {"t": {"size": "1000 B"}}
    return Topology.model_validate(
        {
            "schema": 1,
            "name": "test",
            "controllers": [
                {"name": "c", "domain": "c.test", "profile": "test", "cores": cores, "nic": nic}
                | controller
            ],
            "brokers": [{"name": "b", "controller": "c"}],
            "topics": [
                {"name": name, "broker": "b", "payload": payload, **(keeping or {})}
                for name, payload in topics.items()
            ],
            "platforms": [{"controller": "c", **each} for each in platforms],
            "workload": {
                "study": study,
                "duration": duration,
                "queries": queries or [],
                "arrivals": arrivals
                or [
                    {"topic": "t", "by": platforms[0]["name"], "process": "poisson", "rate": "1/s"}
                ],
            },
            "attacks": attacks or [],
            "faults": faults or [],
            "slo": {"deadline": deadline},
        }
    )


@dataclass
class GivenPlan:
    """A plan with the given rows (intended instant, publisher, Topic, payload)."""

    topology: Topology
    given: list[tuple[float, int, int, int]]

    rows = property(lambda self: len(self.given))
    blocks = property(lambda self: len(self.given))
    sha256 = property(lambda self: hashlib.sha256(repr(self.given).encode()).hexdigest())

    def block(self, number: int) -> Block:
        """A block of one row: every row alone."""
        return self._rows(number, number + 1)

    def columns(self) -> Block:
        """All rows."""
        return self._rows(0, self.rows)

    def _rows(self, first: int, last: int) -> Block:
        instants, publishers, topics, sizes = zip(*self.given[first:last], strict=True)
        return Block(
            first,
            np.array(instants, np.float64),
            np.array(publishers, np.uint32),
            np.array(topics, np.uint16),
            np.array(sizes, np.uint32),
        )


def study_of(topology: Topology, plan, replication: int = 0, seed: int = 1) -> Study:
    """A traced replication."""
    table = phases.timetable(topology)
    return Study(topology, table, seed, replication, plan.rows, 1, True)


def compiled(topology: Topology, plan, profile: Profile, window_s: float | None = None):
    """What the kernels count."""
    grid = Grid(study_of(topology, plan), plan, {"c": profile}, window_s=window_s)
    return grid.run()[0]


def stanza_by_stanza(topology: Topology, plan, profile: Profile):
    """What the oracle counts."""
    tally = reference.run(study_of(topology, plan), plan, {"c": profile})[0]
    home = residents(Graph(topology, {"c": profile}), 0, 1)
    tally.trace["platform"] = home.number(tally.trace["platform"].astype(np.uint32))
    return tally


def deliveries_ms(tally) -> dict[tuple[int, int], float]:
    """When each (publication, Platform) was received, in milliseconds."""
    return {
        (int(entry["row"]), int(entry["platform"])): round(float(entry["received_s"]) * 1e3, 5)
        for entry in tally.trace
    }


def assert_agree(fast, slow) -> None:
    """What both engines counted on one Controller is the same to 1e-9."""
    fast_trace, slow_trace = (
        np.sort(each.trace, order=["row", "platform"]) for each in (fast, slow)
    )
    assert fast_trace["row"].tolist() == slow_trace["row"].tolist()
    assert fast_trace["platform"].tolist() == slow_trace["platform"].tolist()
    received_s = slow_trace["received_s"]
    np.testing.assert_allclose(fast_trace["received_s"], received_s, rtol=1e-9, atol=0)
    for count in ("expected", "delivered", "rejected", "lost"):
        assert getattr(fast, count) == getattr(slow, count)
    for column in ("busy_s", "egress_bytes", "received", "timely", "latencies", "latency_s"):
        np.testing.assert_allclose(
            fast.intervals[column], slow.intervals[column], rtol=1e-9, atol=1e-9, err_msg=column
        )
    assert fast.discarded == slow.discarded
    np.testing.assert_allclose(fast.cuts[:, 0], slow.cuts[:, 0], rtol=1e-9)
    for column in ("offered", "legitimate", "accepted", "refused"):
        assert getattr(fast, column).tolist() == getattr(slow, column).tolist()
    for law in ("owed_area_s", "sojourn_s", "idle_s", "drained_s"):
        assert getattr(fast, law) == pytest.approx(getattr(slow, law), rel=1e-9, abs=1e-9), law
    assert fast.histograms.keys() == slow.histograms.keys()
    for column in ("accepted_s", "first_s", "last_s", "delivered", "expected"):
        np.testing.assert_allclose(
            fast.publications[column], slow.publications[column], rtol=1e-9, err_msg=column
        )
