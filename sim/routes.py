"""Who gets the copies of a job on one station: lists of sessions, its Platforms' and its peers'.

A job says what it is by its `target`: a publication that still has to become copies (`FAN_OUT`), a
copy for all subscribers here (`EVERYBODY`), or a copy for one Platform, by its number in the
topology.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim.jobs import Jobs
from sim.keeping import keeps
from sim.platforms import Residents
from sim.requests import RETRACT, Answer
from sim.state import Indices, Integers
from sim.stations import Graph, Line
from topologies.plan import subscribers

Where = Callable[[npt.NDArray[np.uint32]], Integers]
FAN_OUT = 2**32 - 1
EVERYBODY = 2**32 - 2


@dataclass(frozen=True)
class Routes:
    """Lists of receivers, one after another, and where each begins.

    `sessions` are Platforms by their numbers here, then peers: one for each line that leaves (in
    the order of `outward`), one for each that comes in (`inward`). `targets` says whom a copy is
    for that a peer gets. `fan_out` and `everybody` have first entry and length by Topic; entry
    `single + k` is the one of Platform k here. The last `answers` numbers of Topics are requests:
    of those that pass from Controller to Controller, `asked` has the first entry (else -1) and the
    first Platform, whose requests and answers go on by that entry and those after it.
    """

    outward: tuple[Line, ...]
    inward: tuple[Line, ...]
    sessions: Indices
    targets: Indices
    published: npt.NDArray[np.bool_]
    fan_out: tuple[Integers, Integers]
    fan_out_here: Integers
    everybody: tuple[Integers, Integers]
    single: int
    answers: int
    asked: tuple[Integers, Integers]

    def entries(self, home: Residents, jobs: Jobs) -> tuple[Integers, Integers, Integers]:
        """First entry and number of entries of each job, and how many of these are here."""
        topic, target = jobs.topic, jobs.target
        start, count = (column[topic] for column in self.fan_out)
        if (target == FAN_OUT).all():
            return start, count, self.fan_out_here[topic]
        all_start, all_count = (column[topic] for column in self.everybody)
        start = np.where(target == EVERYBODY, all_start, start)
        count = np.where(target == EVERYBODY, all_count, count)
        alone = target < EVERYBODY
        start[alone] = self.single + home.number(target[alone])
        count[alone] = 1
        here = np.where(target == FAN_OUT, self.fan_out_here[topic], count)
        if self.answers:
            first, platform = self.asked
            asks = (first[topic] >= 0) & (self.published[topic] | (jobs.socket < home.count))
            start[asks] = (first - platform)[topic[asks]] + target[asks]
            here[asks] = self.sessions[start[asks]] < home.count
        return start, count, here

    @property
    def owned(self) -> tuple[int, ...]:
        """Topics that the Brokers here keep."""
        topics = len(self.published) - self.answers
        return tuple(np.flatnonzero(self.published[:topics]).tolist())

    @property
    def subscriptions(self) -> int:
        """Subscriptions that the Brokers here keep."""
        return int(self.fan_out[1][list(self.owned)].sum())


class _Lists:
    """Entries that are appended list by list."""

    def __init__(self) -> None:
        self._sessions: list[Integers | Indices] = []
        self._targets: list[Integers | Indices] = []
        self.length = 0

    def append(self, sessions: Integers | Indices, targets: Integers | Indices) -> tuple[int, int]:
        """Where a list begins and how long it is."""
        self._sessions.append(sessions)
        self._targets.append(targets)
        start, self.length = self.length, self.length + len(sessions)
        return start, len(sessions)

    def columns(self) -> tuple[Indices, Indices]:
        """All lists one after another."""
        return (
            np.concatenate(self._sessions).astype(np.uint32),
            np.concatenate(self._targets).astype(np.uint32),
        )


def routes(graph: Graph, station: int, home: Residents, seed: int) -> Routes:
    """The lists of one station."""
    outward = tuple(line for line in graph.lines if line.source == station)
    inward = tuple(line for line in graph.lines if line.target == station)
    peer = {line.target: home.count + number for number, line in enumerate(outward)}
    lists, count = _Lists(), len(graph.topology.topics)
    numbers = count + len(graph.answers)
    fan_out, everybody = np.zeros((2, numbers), np.int64), np.zeros((2, numbers), np.int64)
    fan_out_here = np.zeros(numbers, np.int64)
    published = np.arange(numbers) >= count
    for topic in range(count):
        here = home.subscribers[topic]
        if station in graph.fans_out(topic):
            published[topic] = True
            _, sessions, targets = fan_out_to(graph, station, home, topic, seed, graph.station)
            fan_out[:, topic] = lists.append(sessions, targets)
            fan_out_here[topic] = len(here)
        elif graph.toward(topic) in peer:
            step = np.array([peer[graph.toward(topic)]])
            fan_out[:, topic] = lists.append(step, np.array([FAN_OUT]))
        if inward:
            everybody[:, topic] = lists.append(home.number(here), here)
    asked = np.full((2, numbers), -1)
    for number, answer in enumerate(graph.answers, count):
        published[number] = station in graph.fans_out(answer.topic)
        if (onward := _asking(graph, answer, station, home, peer)) is not None:
            askers = graph.askers(answer)
            asked[:, number] = lists.append(onward, askers)[0], askers[0]
        if answer.role == RETRACT:
            fan_out[:, number] = fan_out[:, answer.topic]
            fan_out_here[number] = fan_out_here[answer.topic]
            published[number] = published[answer.topic]
    single = lists.length
    again = keeps(graph.stations[station].node)
    alone = np.arange(home.count if inward or graph.answers or again else 0)
    lists.append(alone, alone)
    every_session, every_target = lists.columns()
    if not outward:
        every_target = np.zeros(0, np.uint32)
    return Routes(
        outward, inward, every_session, every_target, published, (fan_out[0], fan_out[1]),
        fan_out_here, (everybody[0], everybody[1]), single,
        len(graph.answers), (asked[0], asked[1]),
    )  # fmt: skip


def _asking(
    graph: Graph, answer: Answer, station: int, home: Residents, peer: Mapping[int, int]
) -> Integers | None:
    """By which sessions requests or their answers go on from a station, one for each who asks.

    None where none do.
    """
    homes = {part.station for part in graph.parts if part.population == answer.population}
    if homes <= {*graph.fans_out(answer.topic)}:
        return None
    askers, owner = graph.askers(answer), graph.toward(answer.topic)
    at = graph.station(askers.astype(np.uint32))
    if station != owner:
        return np.full(len(askers), peer[owner]) if (at == station).any() else None
    sessions = np.array([peer.get(each, 0) for each in at.tolist()])
    sessions[at == station] = home.number(askers[at == station])
    return sessions


def fan_out_to(
    graph: Graph, station: int, home: Residents, topic: int, seed: int, where: Where
) -> tuple[Indices, Integers | Indices, Integers | Indices]:
    """A Topic's subscribers, with sessions and targets of its copies in the order of their numbers.

    `where` says at which station Platforms are.
    """
    peer = {
        line.target: home.count + number
        for number, line in enumerate(line for line in graph.lines if line.source == station)
    }
    chosen = subscribers(graph.topology, topic, seed)
    if len(graph.stations) == 1:  # of a million Platforms no more is kept than there is to say
        return chosen, home.number(chosen).astype(np.uint32), chosen
    at = where(chosen)
    sessions, targets = np.zeros(len(chosen), np.int64), chosen.astype(np.int64)
    kept = np.ones(len(chosen), np.bool_)
    for target in np.unique(at).tolist():
        there = at == target
        if target == station:
            sessions[there] = home.number(chosen[there])
            continue
        sessions[there] = peer[target]
        if graph.one_per_domain(graph.line(station, target)):
            kept[np.flatnonzero(there)[1:]] = False
            targets[there] = EVERYBODY
    return chosen, sessions[kept], targets[kept]
