"""The Platforms of one Controller as arrays: who they are, what they receive, how fast they read.

Only Platforms that publish or subscribe are kept, numbered from 0 in the topology's order; the
others cost the server a session and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim.state import NOBODY, PLATFORM, POPULATION, UNTOUCHED, Indices, Records
from topologies import TopologyError, support
from topologies.plan import subscribers
from topologies.schema import Population, Topology

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Residents:
    """Platforms at home on one Controller, and the Topics that its Broker keeps.

    `offset` is what a Platform's number in the topology exceeds its number here by, per population
    of the topology. `starts` and `subscribers` list the receivers of each Topic of the topology.
    `pairs` numbers the (Topic, receiving population) pairs that have receivers, `pair_...` describe
    them.
    """

    populations: tuple[Population, ...]
    first: Integers
    offset: Integers
    sizes: Integers
    starts: Integers
    subscribers: Indices
    topics: npt.NDArray[np.bool_]
    pairs: Indices
    pair_names: tuple[tuple[str, str], ...]
    pair_topics: Integers
    pair_copies: Integers

    @property
    def count(self) -> int:
        """Platforms that publish or subscribe."""
        return int(self.sizes.sum())

    def number(self, platform: npt.NDArray[np.uint32]) -> Integers:
        """Numbers here of Platforms that live here."""
        population = np.searchsorted(self.first, platform, side="right") - 1
        return platform.astype(np.int64) - self.offset[population]

    def population(self, platform: npt.NDArray[np.uint32]) -> Integers:
        """Index of each Platform's population in the topology."""
        return np.searchsorted(self.first, platform, side="right") - 1

    def records(self) -> Records:
        """State of the Platforms at the start."""
        records = np.zeros(self.count, PLATFORM)
        records["population"] = np.repeat(np.arange(len(self.sizes)), self.sizes)
        for chain in ("mail_head", "mail_tail", "input_head", "input_tail"):
            records[chain] = NOBODY
        records["setup_s"] = UNTOUCHED
        records["written_s"] = -np.inf
        return records

    def span_ends(self) -> Indices:
        """Of each entry of `subscribers`, where the entries of its Topic and population end."""
        group = np.searchsorted(np.cumsum(self.sizes), self.subscribers, side="right")
        changes = np.flatnonzero(np.diff(group)) + 1
        ends = np.unique(np.concatenate([changes, self.starts[1:]]))
        ends = ends[ends > 0]
        return np.repeat(ends, np.diff(ends, prepend=0)).astype(np.uint32)

    def population_records(self) -> Records:
        """Delay and reading time of each population of the topology. [s]"""
        records = np.zeros(len(self.populations), POPULATION)
        for record, population in zip(records, self.populations, strict=True):
            record["delay_s"] = population.network.delay
            if population.read_rate is not None:
                record["read_s"] = 1.0 / population.read_rate
        return records


def residents(topology: Topology, controller: str, seed: int) -> Residents:
    """The Platforms of one Controller of a topology that `require_local` accepts."""
    populations = topology.platforms
    counts = np.array([population.count for population in populations])
    sizes = np.array(
        [
            population.count if _takes_part(population, controller) else 0
            for population in populations
        ]
    )
    first = np.cumsum(counts) - counts
    offset = first - (np.cumsum(sizes) - sizes)
    homes = {broker.name: broker.controller for broker in topology.brokers}
    local = np.array([homes[topic.broker] == controller for topic in topology.topics])
    lists: list[npt.NDArray[np.int64]] = []
    pairs = np.zeros((len(local), len(populations)), np.uint32)
    names: list[tuple[str, str]] = []
    pair_topics: list[int] = []
    copies: list[int] = []
    for number, topic in enumerate(topology.topics):
        chosen = np.zeros(0, np.int64)
        if local[number]:
            chosen = subscribers(topology, number, seed).astype(np.int64)
        group = np.searchsorted(first, chosen, side="right") - 1
        for population, members in zip(*np.unique(group, return_counts=True), strict=True):
            pairs[number, population] = len(names)
            names.append((topic.name, populations[population].name))
            pair_topics.append(number)
            copies.append(int(members))
        lists.append(chosen - offset[group])
    starts = np.cumsum([0, *(len(each) for each in lists)])
    return Residents(
        populations, first, offset, sizes, starts, np.concatenate(lists).astype(np.uint32), local,
        pairs, tuple(names), np.array(pair_topics, np.int64), np.array(copies, np.int64),
    )  # fmt: skip


def _takes_part(population: Population, controller: str) -> bool:
    return population.controller == controller and bool(
        population.publishes or population.subscribes
    )


UNSUPPORTED = (
    "controllers.limits.server",
    "controllers.limits.server_stanza",
    "controllers.limits.address",
    "controllers.limits.account.sessions",
    "controllers.limits.failed_logins",
    "controllers.queue",
    "controllers.nodes",
    "brokers.kind",
    "platforms.network.downlink",
)


def require_local(topology: Topology) -> None:
    """Links between Controllers are not modelled: Platforms must use Topics of their own.

    Neither are logins nor what limits them.

    Raises
    ------
    TopologyError
        One line for each Topic that is on another Controller, or each field without a model.
    """
    support.refuse(topology, UNSUPPORTED, "the simulator")
    hosts = {broker.name: broker.controller for broker in topology.brokers}
    homes = {topic.name: hosts[topic.broker] for topic in topology.topics}
    problems = []
    for number, population in enumerate(topology.platforms):
        used = [*population.publishes, *(each.topic for each in population.subscribes)]
        for topic in dict.fromkeys(used):
            if homes[topic] != population.controller:
                problems.append(
                    f'platforms[{number}].controller: "{population.controller}": Topic {topic} is '
                    f"on Controller {homes[topic]}, and links between Controllers are not "
                    f"simulated yet; use Topics of {population.controller}"
                )
    if problems:
        raise TopologyError(problems)


def session_count(topology: Topology, controller: str) -> int:
    """Platforms that are logged in on a Controller, whether they do anything or not."""
    return sum(p.count for p in topology.platforms if p.controller == controller)
