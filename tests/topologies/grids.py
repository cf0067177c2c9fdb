"""Small topologies for the tests: one Controller, two Topics, three populations."""

from copy import deepcopy

from topologies.schema import Topology

BASE = {
    "schema": 1,
    "name": "small",
    "controllers": [{"name": "controller", "domain": "grid.test", "profile": "fifo-sketch"}],
    "brokers": [{"name": "broker", "controller": "controller"}],
    "topics": [
        {"name": "alerts", "broker": "broker", "payload": {"size": "1 KB"}},
        {"name": "health", "broker": "broker", "payload": {"size": "100 B"}},
    ],
    "platforms": [
        {
            "name": "sensor",
            "count": 4,
            "controller": "controller",
            "publishes": ["alerts", "health"],
        },
        {
            "name": "analyst",
            "count": 100,
            "controller": "controller",
            "subscribes": ["alerts", {"topic": "health", "fraction": 0.25}],
        },
        {
            "name": "rogue",
            "count": 3,
            "controller": "controller",
            "role": "adversary",
            "publishes": ["alerts"],
        },
    ],
    "workload": {
        "study": "campaign",
        "duration": "100 s",
        "arrivals": [{"topic": "alerts", "by": "sensor", "process": "poisson", "rate": "10/s"}],
    },
}
FLOOD = {
    "kind": "publish-flood",
    "name": "flood",
    "by": "rogue",
    "topic": "alerts",
    "start": "40 s",
    "duration": "20 s",
    "rate": "50/s",
}


def data(*arrivals, duration="100 s", attacks=(), **changes):
    """The plain data of a small topology; arrivals are given without topic and publisher."""
    whole = deepcopy({**BASE, **changes})
    whole["workload"]["duration"] = duration
    whole["attacks"] = [{**FLOOD, **attack} for attack in attacks]
    if arrivals:
        whole["workload"]["arrivals"] = [
            {"topic": "alerts", "by": "sensor", **each} for each in arrivals
        ]
    return whole


def grid(*arrivals, duration="100 s", attacks=(), **changes):
    """A small topology."""
    return Topology.model_validate(data(*arrivals, duration=duration, attacks=attacks, **changes))
