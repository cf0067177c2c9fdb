"""Small grids of several stations for tests, played by both engines."""

from __future__ import annotations

import numpy as np
import pytest
import worlds

from sim import reference
from sim.grid import Grid
from sim.platforms import residents
from sim.stations import Graph
from topologies.schema import Topology


def topology(controllers, topics, platforms, arrivals, **more) -> Topology:
    """Controllers and Topics by name: `topics` says on which Controller each is kept."""
    return Topology.model_validate(
        {
            "schema": 1,
            "name": "test",
            "controllers": [
                {
                    "name": name,
                    "domain": f"{name}.test",
                    "profile": "test",
                    "nic": "1 TB/s",
                    **given,
                }
                for name, given in controllers.items()
            ],
            "brokers": more.pop("brokers", None)
            or [{"name": f"at-{name}", "controller": name} for name in controllers],
            "topics": [
                {"name": name, "payload": {"size": "1000 B"}, "broker": f"at-{place}", **given}
                for name, (place, given) in topics.items()
            ],
            "platforms": platforms,
            "workload": {
                "study": "campaign",
                "duration": more.pop("duration", "1 s"),
                "arrivals": arrivals,
            },
            **more,
        }
    )


def compiled(topology, plan, profiles, window_s=None, replication=0):
    """What the kernels count, Controller by Controller."""
    study = worlds.study_of(topology, plan, replication)
    return Grid(study, plan, profiles, window_s=window_s).run()


def stanza_by_stanza(topology, plan, profiles):
    """What the oracle counts; Platforms have the numbers that they have on their station."""
    tallies = reference.run(worlds.study_of(topology, plan), plan, profiles)
    graph = Graph(topology, profiles)
    for station, tally in enumerate(tallies):
        home = residents(graph, station, 1)
        tally.trace["platform"] = home.number(tally.trace["platform"].astype(np.uint32))
    return tallies


def assert_alike(topology, plan, profiles, window_s=None):
    """Both engines agree at every station, and no copy is lost from the books; their tallies."""
    fast = compiled(topology, plan, profiles, window_s)
    slow = stanza_by_stanza(topology, plan, profiles)
    for one, other in zip(fast, slow, strict=True):
        worlds.assert_agree(one, other)
        assert one.expected == one.delivered + one.lost + one.rejected
        np.testing.assert_allclose(one.owed_area_s, one.sojourn_s, rtol=1e-9)
    return fast, slow


def assert_sessions_alike(topology, plan, profiles, window_s=None):
    """Both engines agree in deliveries, in every attempt and in what is kept for who is away."""
    fast = compiled(topology, plan, profiles, window_s)
    slow = stanza_by_stanza(topology, plan, profiles)
    for one, other in zip(fast, slow, strict=True):
        worlds.assert_agree(one, other)
        assert one.expected == one.delivered + one.lost + one.rejected
        assert one.offline == pytest.approx(other.offline, rel=1e-9)
        for name in ("attempts", "logins", "given_up", "refused", "online", "away"):
            mine, theirs = (getattr(each.sessions, name) for each in (one, other))
            assert mine.tolist() == theirs.tolist(), name


def deliveries_ms(tallies) -> dict[tuple[int, str, int], float]:
    """When each (publication, station, Platform there) was received, in milliseconds."""
    return {
        (int(entry["row"]), tally.controller, int(entry["platform"])): round(
            float(entry["received_s"]) * 1e3, 5
        )
        for tally in tallies
        for entry in tally.trace
    }
