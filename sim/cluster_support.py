"""What clusters have no model for yet: said before anything is simulated."""

from __future__ import annotations

from collections.abc import Iterator

from topologies.schema import Topology

YET = "which is not supported by the simulator with clusters yet"


def cluster_problems(topology: Topology) -> Iterator[str]:
    """Where a topology uses something together with a cluster that is simulated only without."""
    clusters = {node.name for node in topology.controllers if node.nodes > 1}
    if clusters:
        yield from _brokers(topology, clusters)
        yield from _people(topology, clusters)
        yield from _topics(topology, clusters)


def _brokers(topology: Topology, clusters: set[str]) -> Iterator[str]:
    for number, broker in enumerate(topology.brokers):
        if broker.kind == "component" and broker.controller in clusters:
            yield f'brokers[{number}].kind: "component": is of a cluster, {YET}; use in-process'


def _people(topology: Topology, clusters: set[str]) -> Iterator[str]:
    hosts = {broker.name: broker.controller for broker in topology.brokers}
    keepers = {topic.name: hosts[topic.broker] for topic in topology.topics}
    for number, people in enumerate(topology.platforms):
        place, home = f"platforms[{number}]", people.controller
        if clusters & {*people.ring} and people.failover:
            yield f"{place}.failover: {people.name} turns to or from a cluster, {YET}; leave it out"
        for topic in dict.fromkeys(
            [*people.publishes, *(each.topic for each in people.subscribes)]
        ):
            keeper = keepers[topic]
            if keeper != home and clusters & {home, keeper}:
                rule = f"uses {topic} of {keeper}, another Controller, {YET}"
                yield f'{place}.controller: "{home}": {rule}; move one of them or write nodes: 1'


def _topics(topology: Topology, clusters: set[str]) -> Iterator[str]:
    hosts = {broker.name: broker.controller for broker in topology.brokers}
    inside = {topic.name for topic in topology.topics if hosts[topic.broker] in clusters}
    for number, topic in enumerate(topology.topics):
        if topic.name in inside and topic.notify_retract:
            yield f"topics[{number}].notify_retract: true: is of a cluster, {YET}; leave it out"
