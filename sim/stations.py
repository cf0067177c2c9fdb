"""The graph of a grid: its stations, who is at home where, and which way copies take.

A station is a server with a queue of its own. Platforms are numbered through the topology; a *part*
is a run of Platforms of one population that are at home on one station.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from sim.clusters import node_name, runs
from sim.priorities import require_heeded
from sim.requests import Answer, answers
from topologies.problems import TopologyError
from topologies.profiles import Fifo, LoopTurns, Memory, Profile, Relay
from topologies.schema import Broker, ByteRate, Controller, Limits, Link, Population, Topology
from topologies.services import ComponentCosts

Integers = npt.NDArray[np.int64]
LOCAL_BYTES_PER_S = 1e12  # between processes of one machine: no limit


@dataclass(frozen=True)
class Station:
    """One server: a Controller with its Brokers, a further node of it, or a component of it.

    `controller` is the Controller's number; `place` the node's in its cluster, None of a component.
    """

    number: int
    name: str
    controller: int
    node: Controller
    profile: Profile
    place: int | None = 0

    @property
    def machine(self) -> int:
        """Number of the station on whose machine it runs: its own, of a component its server's."""
        return self.controller if self.place is None else self.number


@dataclass(frozen=True)
class Line:
    """One direction of a link between two stations: it is serial, then takes `delay_s`. [s, B/s]"""

    number: int
    source: int
    target: int
    delay_s: float
    bytes_per_s: float


@dataclass(frozen=True)
class Part:
    """A run of Platforms of one population with one home, from number `first` of the topology.

    `refuges` are further stations at which they may log in.
    """

    population: int
    station: int
    first: int
    count: int
    refuges: tuple[int, ...] = ()

    @property
    def stations(self) -> tuple[int, ...]:
        """All stations at which they can be."""
        return (self.station, *self.refuges)


class Graph:
    """Stations and lines of a topology.

    Parameters
    ----------
    topology : Topology
        The grid.
    profiles : mapping of str to Profile
        Cost profile by Controller; of a Broker that is a component, by its address, only the speed
        counts (its Controller's by default).
    """

    def __init__(self, topology: Topology, profiles: Mapping[str, Profile]) -> None:
        self.topology = topology
        self.answers = answers(topology, profiles)
        nodes = [
            Station(number, node.name, number, node, _collecting(number, topology, profiles))
            for number, node in enumerate(topology.controllers)
        ]
        hosts = (*nodes, *_components(topology, nodes, profiles))
        self.stations = (*hosts, *_mates(nodes, len(hosts)))
        self._numbers = {station.name: station.number for station in self.stations}
        self.parts = tuple(_parts(topology, self._numbers))
        brokers = {broker.name: self._runs_on(broker) for broker in topology.brokers}
        self._fans_out = [brokers[topic.broker] for topic in topology.topics]
        require_heeded(self)
        self.lines = tuple(self._lines())
        self._line_of = {(line.source, line.target): line for line in self.lines}

    def _runs_on(self, broker: Broker) -> tuple[int, ...]:
        """Stations that make copies of what is published with a Broker, the first one first."""
        first = self.stations[self._numbers[keeper(self.topology, broker)]]
        if first.place is None or broker.runs_on == "first-node":
            return (first.number,)
        return tuple(
            each.number
            for each in self.stations
            if each.controller == first.controller and each.place is not None
        )

    def fans_out(self, topic: int) -> tuple[int, ...]:
        """Stations on which publications of a Topic become copies."""
        return self._fans_out[topic]

    def toward(self, topic: int) -> int:
        """Station to which publications of a Topic go from where they do not become copies."""
        return self._fans_out[topic][0]

    def line(self, source: int, target: int) -> Line:
        """The line by which `source` sends what is for `target`."""
        return self._line_of[source, target]

    def one_per_domain(self, line: Line) -> bool:
        """Whether copies for all subscribers beyond a line are one, handed out there."""
        ends = (self.stations[end].node.name for end in (line.source, line.target))
        return self.link(*ends).copies == "domain"

    def link(self, one: str, other: str) -> Link:
        """The link between two stations, by their names."""
        for broker in self.topology.brokers:
            if broker.kind == "component" and keeper(self.topology, broker) in (one, other):
                return _inside(one, other, broker.delay)
        if self.beside(one, other):
            return _inside(one, other, self.stations[self.number(one)].node.hop)
        return self.topology.link(one, other)

    def answer(self, topic: int) -> Answer | None:
        """What a number of a Topic stands for that is none of the topology's."""
        place = topic - len(self.topology.topics)
        return self.answers[place] if place >= 0 else None

    def askers(self, answer: Answer) -> Integers:
        """Platforms of the population that gets an answer."""
        runs = [
            np.arange(part.first, part.first + part.count)
            for part in self.parts
            if part.population == answer.population
        ]
        return np.concatenate(runs) if runs else np.zeros(0, np.int64)

    def number(self, name: str) -> int:
        """A station's number."""
        return self._numbers[name]

    def beside(self, one: str, other: str) -> bool:
        """Whether two stations are a component and its Controller, or nodes of one cluster."""
        return len({self.stations[self.number(each)].controller for each in (one, other)}) == 1

    @cached_property
    def _firsts(self) -> Integers:
        return np.array([part.first for part in self.parts])

    @cached_property
    def _stations(self) -> Integers:
        return np.array([part.station for part in self.parts])

    def part(self, platform: npt.NDArray[np.uint32]) -> Integers:
        """Part of each Platform."""
        return np.searchsorted(self._firsts, platform, side="right") - 1

    def station(self, platform: npt.NDArray[np.uint32]) -> Integers:
        """Home of each Platform."""
        if len(self.stations) == 1:
            return np.zeros(len(platform), np.int64)
        return self._stations[self.part(platform)]

    def _lines(self) -> Iterator[Line]:
        """Lines that publications or copies of the topology take."""
        used = dict.fromkeys(
            (source, target)
            for source, target in itertools.chain(
                *(
                    itertools.chain(self._inward(topic), self._outward(topic))
                    for topic in range(len(self.topology.topics))
                ),
                self._asked(),
            )
            if source != target
        )
        for number, (source, target) in enumerate(used):
            ends = (self.stations[end].node.name for end in (source, target))
            link = self.link(*ends)
            rate = np.inf if link.rate is None else link.rate
            yield Line(number, source, target, link.delay, rate)

    def _inward(self, topic: int) -> Iterator[tuple[int, int]]:
        """Steps of publications on their way to the Broker."""
        name = self.topology.topics[topic].name
        for part in self.parts:
            if name in self.topology.platforms[part.population].publishes:
                away = (each for each in part.stations if each not in self.fans_out(topic))
                yield from ((each, self.toward(topic)) for each in away)

    def _outward(self, topic: int) -> Iterator[tuple[int, int]]:
        """Steps of copies on their way from the Broker."""
        name = self.topology.topics[topic].name
        for source, part in itertools.product(self.fans_out(topic), self.parts):
            if self.topology.platforms[part.population].subscriber_count(name):
                yield from ((source, each) for each in part.stations)

    def _asked(self) -> Iterator[tuple[int, int]]:
        """Steps of requests to Brokers elsewhere, and of their answers."""
        for answer, part in itertools.product(self.answers, self.parts):
            away = part.station not in self.fans_out(answer.topic)
            if part.population == answer.population and away:
                yield part.station, self.toward(answer.topic)
                yield self.toward(answer.topic), part.station

    def cycles(self) -> list[list[int]]:
        """Stations in the order in which traffic can pass them; those on a cycle stand together.

        Tarjan's strongly connected components, iterated in reverse: a component comes after all
        that send to it.
        """
        after: dict[int, list[int]] = {station.number: [] for station in self.stations}
        for line in self.lines:
            after[line.source].append(line.target)
        return _connected(after)


def _inside(one: str, other: str, delay_s: float) -> Link:
    """A link between two stations of one Controller, whatever they are called. [s]"""
    plain = Link.model_validate({"from": "one", "to": "other"})
    return plain.model_copy(update={"from_": one, "to": other, "delay": delay_s})


def keeper(topology: Topology, broker: Broker) -> str:
    """Name of the station at which a Broker's publications become copies."""
    if broker.kind == "in-process":
        return broker.controller
    domains = {node.name: node.domain for node in topology.controllers}
    return f"{broker.name}.{domains[broker.controller]}"


def _collecting(number: int, topology: Topology, profiles: Mapping[str, Profile]) -> Profile:
    """A Controller's profile as garbage is collected with its settings and its sessions.

    Its speed is that of its work, with what it waits for its core.

    Raises
    ------
    TopologyError
        It has settings of a collector that it has not.
    """
    node = topology.controllers[number]
    profile = profiles[node.name]
    if node.collection is not None and not isinstance(profile.costs, LoopTurns):
        raise TopologyError(
            [f"controllers[{number}].collection: is Prosody's, and {profile.name} is another "
             "server; leave it out"]
        )  # fmt: skip
    sessions = sum(each.count for each in topology.platforms if each.ring[0] == node.name)
    growth = node.collection.growth if node.collection else None
    working = profile.model_copy(update={"speed": profile.speed * (1.0 + node.waits)})
    return working.collecting(growth, max(sessions, 1))


def _components(
    topology: Topology, nodes: list[Station], profiles: Mapping[str, Profile]
) -> Iterator[Station]:
    """Brokers that are processes of their own, each a `fifo` server beside its Controller."""
    hosts = {station.name: station for station in nodes}
    number = len(nodes)
    for broker in topology.brokers:
        if broker.kind == "component":
            host, name = hosts[broker.controller], keeper(topology, broker)
            given = broker.costs or ComponentCosts()
            costs = Fifo(discipline="fifo").model_copy(update=given.__dict__)
            queued = host.profile.memory.queued_copy
            memory = Memory.model_validate({"base": "0 B", "session": "0 B"})
            speed = host.profile.speed
            if name in profiles:
                speed = profiles[name].speed * (1.0 + host.node.waits)
            own = {"name": "component", "server": "none", "version": name, "costs": costs,
                   "relay": Relay(), "logins": None, "speed": speed,
                   "memory": memory.model_copy(update={"queued_copy": queued})}  # fmt: skip
            plain = {"name": name, "cores": 1, "nic": LOCAL_BYTES_PER_S, "limits": Limits(),
                     "queue": None, "admission": None}  # fmt: skip
            node, profile = host.node.model_copy(update=plain), host.profile.model_copy(update=own)
            yield Station(number, name, host.number, node, profile, None)
            number += 1


def _mates(nodes: list[Station], number: int) -> Iterator[Station]:
    """Further nodes of clusters; each has cores, memory and a network link of its own."""
    for first in nodes:
        for place in range(1, first.node.nodes):
            name = node_name(first.name, place)
            node = first.node.model_copy(update={"name": name})
            yield Station(number, name, first.number, node, first.profile, place)
            number += 1


def _parts(topology: Topology, numbers: Mapping[str, int]) -> Iterator[Part]:
    for run in runs(topology):
        refuges = (numbers[name] for name in topology.platforms[run.population].failover)
        yield Part(run.population, numbers[run.station], run.first, run.count, tuple(refuges))


def takes_part(topology: Topology, population: Population) -> bool:
    """Whether Platforms of a population do anything; the others only hold a session."""
    asks = any(query.by == population.name for query in topology.workload.queries)
    return bool(asks or population.publishes or population.subscribes or population.login)


def _connected(after: Mapping[int, list[int]]) -> list[list[int]]:
    """Strongly connected components, sources first (Tarjan 1972)."""
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    found: list[list[int]] = []

    def visit(node: int) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for target in after[node]:
            if target not in index:
                visit(target)
            if target in stack:
                low[node] = min(low[node], low[target])
        if low[node] == index[node]:
            place = stack.index(node)
            found.append(sorted(stack[place:]))
            del stack[place:]

    for node in after:
        if node not in index:
            visit(node)
    return found[::-1]


def loop_rate(limits: Limits, profile: Profile) -> ByteRate | None:
    """A client's rate where no door keeps it but an event loop, by Prosody's pauses (`pauses`).

    Not beside a limit on an account's publications, which no server has.
    """
    loops = profile.server == "prosody" and isinstance(profile.costs, LoopTurns)
    if not loops or limits.shape != "server" or limits.account.rate is not None:
        return None
    return limits.client
