"""The Platforms of one station as arrays: who they are, what they receive, how fast they read.

Only Platforms that publish or subscribe are kept, numbered from 0 in the topology's order; the
others cost the server a session and nothing else.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim import draws
from sim.backlogs import ABSENT
from sim.cluster_support import cluster_problems
from sim.clusters import session_count
from sim.draws import Purpose
from sim.fetch_support import fetch_problems
from sim.offline_support import offline_problems
from sim.request_support import request_problems
from sim.state import NOBODY, PLATFORM, POPULATION, QUEUE, Indices, Records
from sim.stations import Graph, Station, takes_part
from topologies import support
from topologies.plan import subscribers
from topologies.problems import TopologyError
from topologies.schema import Controller, Crash, Freeze, Population, Topology

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Residents:
    """Platforms at home on one station, or guests there, and who of them receives what.

    `first`, `population_of` and `offset` describe the parts of the topology: their first Platform,
    their population, and what a Platform's number in the topology exceeds its number here by.
    `members` are the Platforms of each population that take part here. `pairs` numbers the (Topic,
    receiving population) pairs that have receivers here, `pair_...` describe them; `pair_roles` are
    those of answers to requests, empty of publications. `subscribers` has the topology's numbers of
    those at home here that get each Topic, `subscriptions` counts them. `guests` are the numbers
    here of those that may come from elsewhere.
    """

    populations: tuple[Population, ...]
    first: Integers
    population_of: Integers
    offset: Integers
    members: Integers
    subscribers: tuple[Indices, ...]
    pairs: Indices
    pair_names: tuple[tuple[str, str], ...]
    pair_roles: tuple[str, ...]
    pair_topics: Integers
    pair_copies: Integers
    guests: Integers

    @property
    def count(self) -> int:
        """Platforms that publish or subscribe."""
        return int(self.members.sum())

    @property
    def subscriptions(self) -> int:
        """Subscriptions of the Platforms here."""
        return sum(map(len, self.subscribers))

    def number(self, platform: npt.NDArray[np.uint32] | Integers) -> Integers:
        """Numbers here of Platforms that live here."""
        if not self.offset.any():  # everybody does
            return platform.astype(np.int64)
        part = np.searchsorted(self.first, platform, side="right") - 1
        return platform.astype(np.int64) - self.offset[part]

    def platforms(self, numbers: Integers) -> Integers:
        """Platforms of the topology that have these numbers here."""
        part = np.searchsorted(self.first - self.offset, numbers, side="right") - 1
        return np.asarray(numbers + self.offset[part], np.int64)

    def population(self, platform: npt.NDArray[np.uint32] | Integers) -> Integers:
        """Index of each Platform's population in the topology."""
        return self.population_of[np.searchsorted(self.first, platform, side="right") - 1]

    def records(self, others: int) -> Records:
        """State of the Platforms at the start, and that of so many other sockets."""
        records = np.zeros(self.count + others, PLATFORM)
        records["offline"][self.guests] = 1
        records["population"][: self.count] = np.repeat(
            np.arange(len(self.members), dtype=np.uint16), self.members
        )
        for chain in ("mail_head", "mail_tail", "input_head"):
            records[chain] = NOBODY
        return records

    def span_ends(self, sessions: Indices) -> Indices:
        """Of each entry of a list of sessions, where those of its population, or of peers, end."""
        group = np.searchsorted(np.cumsum(self.members), sessions, side="right")
        ends = np.append(np.flatnonzero(group[1:] != group[:-1]) + 1, len(sessions))
        return np.repeat(ends.astype(np.uint32), np.diff(ends, prepend=0))

    def population_records(self) -> Records:
        """Delay and reading time of each population of the topology. [s]"""
        records = np.zeros(len(self.populations), POPULATION)
        for record, population in zip(records, self.populations, strict=True):
            record["delay_s"] = population.network.delay
            if population.read_rate is not None:
                record["read_s"] = 1.0 / population.read_rate
            if population.network.downlink is not None:
                record["down_s_per_byte"] = 1.0 / population.network.downlink
            if population.reader is not None:
                record["on_s"], record["off_s"] = population.reader.on, population.reader.off
                record["burst_read_s"], record["read_s"] = record["read_s"], 0.0
        return records

    def queue_records(self, node: Controller, key: tuple[int, int]) -> Records:
        """The sessions' ways out, if any is more than an open pipe.

        Parameters
        ----------
        node : Controller
            The Controller, which may keep queues.
        key : tuple of int
            Seed and replication: the phases of bursty readers are drawn.
        """
        own = any(
            members and (population.network.downlink or population.reader)
            for population, members in zip(self.populations, self.members.tolist(), strict=True)
        )
        records = np.zeros(self.count if own or node.queue is not None else 0, QUEUE)
        for chain in ("flight_head", "flight_tail", "wait_head", "wait_tail"):
            records[chain] = NOBODY
        records["place"] = ABSENT
        edges = np.append(self.first - self.offset, self.count)
        for part, (start, end) in enumerate(itertools.pairwise(edges.tolist())):
            reader = self.populations[self.population_of[part]].reader
            if len(records) and reader is not None:
                numbers = np.arange(start, end) + self.offset[part]
                share = draws.uniforms(key[0], Purpose.READER_PHASE, key[1], numbers)
                records["phase_s"][start:end] = share * (reader.on + reader.off)
        return records


def residents(graph: Graph, station: int, seed: int) -> Residents:
    """The Platforms of one station."""
    populations, topics = graph.topology.platforms, graph.topology.topics
    here = np.array(
        [
            part.count
            if station in part.stations and takes_part(graph.topology, populations[part.population])
            else 0
            for part in graph.parts
        ]
    )
    first = np.array([part.first for part in graph.parts])
    population_of = np.array([part.population for part in graph.parts])
    members = np.bincount(population_of, weights=here, minlength=len(populations))
    lists: list[Indices] = []
    pairs = np.zeros((len(topics) + len(graph.answers), len(populations)), np.uint32)
    names: list[tuple[str, str]] = []
    pair_topics: list[int] = []
    copies: list[int] = []
    for number, topic in enumerate(topics):
        chosen = np.zeros(0, np.uint32)
        if any(_receives(graph, number, place) for place in np.flatnonzero(here).tolist()):
            chosen = subscribers(graph.topology, number, seed)
            if len(graph.stations) > 1:
                chosen = chosen[graph.station(chosen) == station]
        starts = np.searchsorted(chosen, first.astype(np.uint32))  # they ascend
        of_part = np.diff(starts, append=len(chosen))
        of_population = np.bincount(population_of, of_part, len(populations)).astype(np.int64)
        for place in np.flatnonzero(of_population).tolist():
            pairs[number, place] = len(names)
            names.append((topic.name, populations[place].name))
            pair_topics.append(number)
            copies.append(int(of_population[place]))
        for place in _guests(graph, number, station):
            pairs[number, place] = len(names)
            names.append((topic.name, populations[place].name))
            pair_topics.append(number)
            copies.append(0)
        lists.append(chosen)
    roles = [""] * len(names)
    counts = dict(zip(names, copies, strict=True))
    for number, answer in enumerate(graph.answers, len(topics)):
        for place, population in enumerate(populations):
            receivers = counts.get((topics[answer.topic].name, population.name), 0)
            if answer.population is not None:
                receivers = int(answer.population == place and members[place] > 0)
            if receivers:
                pairs[number, place] = len(names)
                names.append((answer.name, population.name))
                pair_topics.append(number)
                copies.append(receivers)
                roles.append(answer.role)
    return Residents(
        populations, first, population_of, first - (np.cumsum(here) - here),
        members.astype(np.int64), tuple(lists), pairs, tuple(names), tuple(roles),
        np.array(pair_topics, np.int64), np.array(copies, np.int64),
        np.flatnonzero(np.repeat([station != part.station for part in graph.parts], here)),
    )  # fmt: skip


def _guests(graph: Graph, topic: int, station: int) -> Iterator[int]:
    """Populations with subscribers of a Topic that are at home elsewhere and may come here."""
    for place, part in enumerate(graph.parts):
        if station in part.refuges and _receives(graph, topic, place):
            yield part.population


def _receives(graph: Graph, topic: int, part: int) -> bool:
    population = graph.topology.platforms[graph.parts[part].population]
    return population.subscriber_count(graph.topology.topics[topic].name) > 0


def require_supported(topology: Topology) -> None:
    """Refuse what has no model yet, such as some of what clusters could do.

    Raises
    ------
    TopologyError
        One line for each field without a model.
    """
    if any(population.login is not None for population in topology.platforms):
        support.refuse(topology, ("controllers.queue",), "the simulation of logins")
    problems = [
        *_component_problems(topology), *_freeze_problems(topology), *_failover_problems(topology),
        *_neighbour_problems(topology),
        *request_problems(topology), *cluster_problems(topology),
        *fetch_problems(topology), *offline_problems(topology),
    ]  # fmt: skip
    if problems:
        raise TopologyError(problems)


def _component_problems(topology: Topology) -> Iterator[str]:
    """What a Broker that is a component has no model for."""
    for number, broker in enumerate(topology.brokers):
        if broker.kind != "component":
            continue
        if broker.costs is None:
            rule = "a component's CPU times are needed; write for example costs: {copy: 60 us}"
            yield f"brokers[{number}].costs: {rule}"
        kept = {topic.name for topic in topology.topics if topic.broker == broker.name}
        for place, people in enumerate(topology.platforms):
            used = kept & {*people.publishes, *(each.topic for each in people.subscribes)}
            if used and people.controller != broker.controller:
                rule = (
                    f"uses {min(used)} of a component on {broker.controller}, which is not "
                    "supported by the simulator yet; move it there or use kind: in-process"
                )
                yield f'platforms[{place}].controller: "{people.controller}": {rule}'


def _freeze_problems(topology: Topology) -> Iterator[str]:
    """What a Controller that stands still has no model for."""
    struck = {each.controller for each in topology.faults if isinstance(each, Freeze)}
    for number, node in enumerate(topology.controllers):
        limits = node.limits
        parts = {
            "limits.client": limits.client,
            "limits.client_stanza": limits.client_stanza,
            "limits.server": limits.server,
            "limits.account.rate": limits.account.rate,
            "queue": node.queue,
        }
        for name, part in parts.items():
            if node.name in struck and part is not None:
                rule = "is not supported by the simulation of a freeze yet; leave one of both out"
                yield f"controllers[{number}].{name}: {rule}"


def _neighbour_problems(topology: Topology) -> Iterator[str]:
    """A Controller that is slowed in spells and dies or stands still has no model."""
    struck = {each.controller for each in topology.faults if isinstance(each, Crash | Freeze)}
    for number, node in enumerate(topology.controllers):
        for part in ("neighbours", "slowness"):
            if node.name in struck and getattr(node, part) is not None:
                rule = "is not supported by the simulation of a crash or freeze yet; leave one out"
                yield f"controllers[{number}].{part}: {rule}"


def _failover_problems(topology: Topology) -> Iterator[str]:
    """Links that carry one copy for a whole domain, and Controllers that keep sessions."""
    keeping = {each.name for each in topology.controllers if each.resumption is not None}
    hosts = {broker.name: broker.controller for broker in topology.brokers}
    keepers = {topic.name: hosts[topic.broker] for topic in topology.topics}
    for number, people in enumerate(topology.platforms):
        if not people.failover:
            continue
        for name in sorted(keeping & {*people.ring}):
            rule = (
                f"{name} lets sessions be resumed, which is not supported with failover yet; "
                "leave one of both out"
            )
            yield f"platforms[{number}].failover: {rule}"
        kept = {keepers[each.topic] for each in people.subscribes}
        for name, keeper in itertools.product(people.ring, sorted(kept)):
            if name != keeper and topology.link(name, keeper).copies == "domain":
                rule = (
                    f"the link of {name} to {keeper} carries one copy for all, which is not "
                    "supported with failover yet; write copies: subscriber"
                )
                yield f"platforms[{number}].failover: {rule}"


def resting_bytes(topology: Topology, station: Station, subscriptions: int) -> float:
    """Memory of a server with its sessions and so many subscriptions, at rest. [B]"""
    memory = station.profile.memory
    sessions = session_count(topology, station.name)
    return memory.base + memory.session * sessions + memory.subscription * subscriptions
