"""Clusters: servers that share one domain, and which of its Platforms have their sessions where.

The Platforms of a Controller are dealt out evenly: each node gets as many of each population, and
who is left over goes to the nodes in turn, going on where the population before it ended. The share
of a node is a run of consecutive Platforms.

What is published becomes copies on the node where it comes in, if every node runs the Broker, as
ejabberd does: a stanza for a local domain is routed by the node that has it [1]_, from tables that
all nodes hold. Otherwise the first node alone runs it, and publications hop there. A copy for a
session on another node hops to that, is read there and written there.

References
----------
.. [1] ejabberd, `src/ejabberd_router.erl`: of several routes to a domain those of the own node are
   taken, if there are any.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from topologies.schema import Topology


@dataclass(frozen=True)
class Run:
    """Platforms of one population with their sessions on one station, from number `first` on."""

    population: int
    station: str
    first: int
    count: int


def node_name(controller: str, place: int) -> str:
    """How a node of a cluster is called: the first one has the Controller's own name."""
    return f"{controller} node {place + 1}" if place else controller


def controller_of(station: str) -> str:
    """The Controller that a station is a node of, by its name."""
    return station.partition(" node ")[0]


def runs(topology: Topology) -> Iterator[Run]:
    """Where the Platforms of a topology are at home, in the order of their numbers."""
    nodes = {node.name: node.nodes for node in topology.controllers}
    turns = dict.fromkeys(nodes, 0)
    first = 0
    for number, population in enumerate(topology.platforms):
        name = population.controller
        share, over = divmod(population.count, nodes[name])
        for place in range(nodes[name]):
            count = share + ((place - turns[name]) % nodes[name] < over)
            if count:
                yield Run(number, node_name(name, place), first, count)
            first += count
        turns[name] = (turns[name] + over) % nodes[name]


def session_count(topology: Topology, station: str) -> int:
    """Platforms that are logged in on a station, whether they do anything or not."""
    return sum(run.count for run in runs(topology) if run.station == station)
