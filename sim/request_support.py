"""What the simulator has no model for among queries and last items."""

from __future__ import annotations

from collections.abc import Iterator

from sim.keeping import keeps
from topologies.schema import Population, Topology

NOT_ON_PAPER = (
    "brokers.kind", "workload.queries", "topics.notify_retract", "topics.flow", "topics.priority",
    "controllers.neighbours", "controllers.slowness", "controllers.waits",
)  # fmt: skip


def request_problems(topology: Topology) -> Iterator[str]:
    """Place, value, rule and repair of each."""
    yield from _retract_problems(topology)
    asking = {each.by for each in topology.workload.queries}
    keeping = {each.name for each in topology.controllers if each.resumption is not None}
    for number, population in enumerate(topology.platforms):
        asked = sorted(_asked(topology, population))
        if not asked:
            continue
        yield from _homes(topology, f"platforms[{number}]", population, asked)
        if population.controller in keeping:
            rule = "lets sessions be resumed, which is not supported for Platforms that ask yet"
            yield f'platforms[{number}].controller: "{population.controller}": {rule}'
        if population.failover:
            rule = "is not supported by the simulator for Platforms that ask; leave it out"
            yield f"platforms[{number}].failover: {rule}"
        if population.name in asking and population.network.uplink is not None:
            rule = "is not supported by the simulator for Platforms that ask; leave it out"
            yield f"platforms[{number}].network.uplink: {population.network.uplink:g}: {rule}"


def _retract_problems(topology: Topology) -> Iterator[str]:
    """Retracts go to subscribers on the Broker's own server."""
    brokers = {each.name: each for each in topology.brokers}
    for number, topic in enumerate(topology.topics):
        if not topic.notify_retract:
            continue
        broker = brokers[topic.broker]
        users = [
            each for each in topology.platforms
            if topic.name in {*each.publishes, *(wish.topic for wish in each.subscribes)}
        ]  # fmt: skip
        alone = all(each.controller == broker.controller and not each.failover for each in users)
        homes = {each.name: each for each in topology.controllers}
        alone &= not keeps(homes[broker.controller])
        if not alone or broker.kind != "in-process":
            rule = (
                "is not supported by the simulator for Platforms on other Controllers, with "
                "failover, resumption or offline storage, or beside a component yet; leave it out"
            )
            yield f"topics[{number}].notify_retract: true: {rule}"


def _homes(
    topology: Topology, place: str, population: Population, asked: list[str]
) -> Iterator[str]:
    """Requests are followed to Brokers in process, on one server or over the link to another."""
    brokers = {each.name: each for each in topology.brokers}
    clusters = {each.name for each in topology.controllers if each.nodes > 1}
    for topic in topology.topics:
        broker, home = brokers[topic.broker], population.controller
        if topic.name not in asked:
            continue
        rule = ""
        if broker.kind != "in-process":
            rule = "a component, and a component's work on requests was never measured"
        elif broker.controller != home and clusters & {broker.controller, home}:
            rule = "another Controller, and requests to and from clusters go to their own server"
        elif broker.controller != home and topic.last_item == "on-subscribe":
            rule = "another Controller, and subscribing there is a step of no login in the model"
        if rule:
            rule = f"asks for {topic.name} of {broker.name}, {rule}; move one of them"
            yield f'{place}.controller: "{home}": {rule}'
            return


def _asked(topology: Topology, population: Population) -> set[str]:
    """Topics of which Platforms get something at their request or upon a login."""
    found = {each.topic for each in topology.workload.queries if each.by == population.name}
    if population.login is not None:
        reminding = {each.name for each in topology.topics if each.last_item != "never"}
        found |= reminding & {each.topic for each in population.subscribes}
    return found
