"""What Platforms are called on a real grid, and what is wrong where one of each part is played."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from topologies.schema import Population, Topology


def localparts(populations: Iterable[Population]) -> list[str]:
    """What the Platforms of these populations are called, in their order."""
    return [f"{each.name}-{place}" for each in populations for place in range(each.count)]


def subscribers(topology: Topology) -> list[str]:
    """What the Platforms that subscribe to anything are called."""
    return localparts(each for each in topology.platforms if each.subscribes)


def one_of_each(topology: Topology) -> list[str]:
    """What is wrong where one Controller with one Topic is played."""
    if len(topology.controllers) == len(topology.topics) == 1:
        return []
    return ["controllers, topics: one of each is played; leave the others out"]
