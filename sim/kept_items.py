"""What Brokers keep of their Topics: the last items, in memory."""

from __future__ import annotations

from topologies.schema import Topic, Topology


def item_bytes(topic: Topic) -> float:
    """Mean size of an item. [B]"""
    return min(topic.payload.size, topic.payload.max)


def kept_bytes(topology: Topology, owned: tuple[int, ...]) -> float:
    """Memory of the items of some Topics, each full from the start. [B]"""
    topics = (topology.topics[number] for number in owned)
    return sum(topic.max_items * item_bytes(topic) for topic in topics)
