"""Which jobs go before others on a station: those of Topics with a higher priority."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sim.state import Indices
from topologies.problems import TopologyError
from topologies.profiles import Fifo

if TYPE_CHECKING:
    from sim.stations import Graph


def require_heeded(graph: Graph) -> None:
    """Refuse Topics with a priority where their Broker runs on a server that heeds none.

    Raises
    ------
    TopologyError
        One line for each.
    """
    problems = []
    for number, topic in enumerate(graph.topology.topics):
        here = graph.stations[graph.toward(number)]
        if topic.priority and not isinstance(here.profile.costs, Fifo):
            problems.append(
                f"topics[{number}].priority: {topic.priority}: is kept by {here.name}, whose "
                f"{here.profile.name} serves what comes as it comes; leave it out, or take a "
                "Broker of kind: component or a profile of discipline: fifo"
            )
    if problems:
        raise TopologyError(problems)


def ranks(graph: Graph, station: int) -> Indices:
    """Rank on a station of each number of a Topic, and of steps of logins as the last; 0 is first.

    Steps of logins have priority 0, requests that of the Topic which they ask of. All are alike on
    a server that heeds none.
    """
    found = [each.priority for each in graph.topology.topics]
    found += [found[answer.topic] for answer in graph.answers] + [0]
    if not isinstance(graph.stations[station].profile.costs, Fifo):
        found = [0] * len(found)
    levels = np.unique(found)
    return (len(levels) - 1 - np.searchsorted(levels, found)).astype(np.uint32)
