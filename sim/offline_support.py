"""What the simulator has no model for beside offline storage."""

from __future__ import annotations

from collections.abc import Iterator

from topologies.schema import Topology


def offline_problems(topology: Topology) -> Iterator[str]:
    """Place, value, rule and repair of each."""
    storing = {each.name for each in topology.controllers if each.offline is not None}
    for number, node in enumerate(topology.controllers):
        if node.name in storing and node.resumption is not None:
            rule = (
                "keeps copies for who is away, and so does resumption: which of both takes one is "
                "a matter of each server that has no model; leave one of both out"
            )
            yield f"controllers[{number}].offline: {rule}"
    for number, people in enumerate(topology.platforms):
        for name in sorted(storing & {*people.ring}) if people.failover else ():
            rule = (
                f"{name} stores for an account of its own, and who turns elsewhere has another one "
                "there, so that what is stored would have two owners"
            )
            yield f"platforms[{number}].failover: {rule}; leave one of both out"
    for number, topic in enumerate(topology.topics):
        if storing and topic.notification == "normal" and topic.flow == "direct":
            rule = (
                "of notifications that are stored: nobody says when what they refer to is fetched"
            )
            yield f'topics[{number}].flow: "direct": {rule}; write flow: broker'
