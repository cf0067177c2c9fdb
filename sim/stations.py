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

from topologies.profiles import Profile
from topologies.schema import Controller, Population, Topology

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Station:
    """One server: a Controller with its Brokers."""

    number: int
    name: str
    controller: int
    node: Controller
    profile: Profile


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
    """A run of Platforms of one population with one home, from number `first` of the topology."""

    population: int
    station: int
    first: int
    count: int


class Graph:
    """Stations and lines of a topology.

    Parameters
    ----------
    topology : Topology
        The grid.
    profiles : mapping of str to Profile
        Cost profile by Controller.
    """

    def __init__(self, topology: Topology, profiles: Mapping[str, Profile]) -> None:
        self.topology = topology
        self.stations = tuple(
            Station(number, node.name, number, node, profiles[node.name])
            for number, node in enumerate(topology.controllers)
        )
        self.parts = tuple(_parts(topology))
        numbers = {node.name: number for number, node in enumerate(topology.controllers)}
        homes = {broker.name: numbers[broker.controller] for broker in topology.brokers}
        self._owner = [homes[topic.broker] for topic in topology.topics]
        self.lines = tuple(self._lines())
        self._line_of = {(line.source, line.target): line for line in self.lines}

    def fans_out(self, topic: int) -> tuple[int, ...]:
        """Stations on which publications of a Topic become copies."""
        return (self._owner[topic],)

    def toward(self, topic: int) -> int:
        """Station to which publications of a Topic go."""
        return self._owner[topic]

    def line(self, source: int, target: int) -> Line:
        """The line by which `source` sends what is for `target`."""
        return self._line_of[source, target]

    def one_per_domain(self, line: Line) -> bool:
        """Whether copies for all subscribers beyond a line are one, handed out there."""
        ends = (self.stations[end].node.name for end in (line.source, line.target))
        return self.topology.link(*ends).copies == "domain"

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
        return self._stations[self.part(platform)]

    def _lines(self) -> Iterator[Line]:
        """Lines that publications or copies of the topology take."""
        used = dict.fromkeys(
            (source, target)
            for topic in range(len(self.topology.topics))
            for source, target in itertools.chain(self._inward(topic), self._outward(topic))
            if source != target
        )
        for number, (source, target) in enumerate(used):
            ends = (self.stations[end].node.name for end in (source, target))
            link = self.topology.link(*ends)
            rate = np.inf if link.rate is None else link.rate
            yield Line(number, source, target, link.delay, rate)

    def _inward(self, topic: int) -> Iterator[tuple[int, int]]:
        """Steps of publications on their way to the Broker."""
        name = self.topology.topics[topic].name
        for part in self.parts:
            if name in self.topology.platforms[part.population].publishes:
                yield part.station, self._owner[topic]

    def _outward(self, topic: int) -> Iterator[tuple[int, int]]:
        """Steps of copies on their way from the Broker."""
        name = self.topology.topics[topic].name
        for part in self.parts:
            if self.topology.platforms[part.population].subscriber_count(name):
                yield self._owner[topic], part.station

    def cycles(self) -> list[list[int]]:
        """Stations in the order in which traffic can pass them; those on a cycle stand together.

        Tarjan's strongly connected components, iterated in reverse: a component comes after all
        that send to it.
        """
        after: dict[int, list[int]] = {station.number: [] for station in self.stations}
        for line in self.lines:
            after[line.source].append(line.target)
        return _components(after)


def _parts(topology: Topology) -> Iterator[Part]:
    numbers = {node.name: number for number, node in enumerate(topology.controllers)}
    first = 0
    for number, population in enumerate(topology.platforms):
        yield Part(number, numbers[population.controller], first, population.count)
        first += population.count


def takes_part(population: Population) -> bool:
    """Whether Platforms of a population do anything; the others only hold a session."""
    return bool(population.publishes or population.subscribes or population.login)


def _components(after: Mapping[int, list[int]]) -> list[list[int]]:
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
