"""What direct flow has no model for yet: said before anything is simulated."""

from __future__ import annotations

from collections.abc import Iterator

from topologies.schema import Topology


def fetch_problems(topology: Topology) -> Iterator[str]:
    """Place, value, rule and repair of each."""
    direct = {topic.name for topic in topology.topics if topic.flow == "direct"}
    for number, people in enumerate(topology.platforms):
        used = sorted(direct & {each.topic for each in people.subscribes})
        if used and people.network.downlink is not None:
            rule = (
                f"{people.name} fetches what {used[0]} refers to, and downlinks are not supported "
                "by the simulator with direct flow yet; leave it out"
            )
            yield f"platforms[{number}].network.downlink: {rule}"
    for number, topic in enumerate(topology.topics):
        if topic.flow == "direct" and topic.last_item != "never":
            rule = (
                "is of direct flow: an item of before the run has no Publisher whom it could be "
                "fetched from; write never"
            )
            yield f'topics[{number}].last_item: "{topic.last_item}": {rule}'
    for number, query in enumerate(topology.workload.queries):
        if query.topic in direct and query.kind != "disco":
            rule = (
                "has direct flow: items of before the run have no Publishers whom they could be "
                "fetched from"
            )
            yield f'workload.queries[{number}].topic: "{query.topic}": {rule}; leave the query out'
