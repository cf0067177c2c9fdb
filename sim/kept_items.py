"""What Brokers keep of their Topics: the last items, which take memory, on disk or not."""

from __future__ import annotations

from topologies.query_rules import items_kept
from topologies.schema import Topic, Topology


def item_bytes(topic: Topic) -> float:
    """Mean size of an item. [B]"""
    return topic.item_bytes(min(topic.payload.size, topic.payload.max))


def owned_by(topology: Topology, controller: str) -> tuple[int, ...]:
    """Numbers of the Topics that the Brokers of a Controller keep."""
    hosts = {broker.name: broker.controller for broker in topology.brokers}
    return tuple(
        number for number, topic in enumerate(topology.topics) if hosts[topic.broker] == controller
    )


def kept_bytes(topology: Topology, owned: tuple[int, ...], server: str) -> float:
    """Memory of the items that a server has of some Topics, each full from the start. [B]"""
    topics = (topology.topics[number] for number in owned)
    return sum(items_kept(topic, server) * item_bytes(topic) for topic in topics)
