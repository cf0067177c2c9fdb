"""Requests upon logins once more: a dictionary of doors, one request after another.

Shares with `sim.requests` what a request asks for and costs, not how it travels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import simpy

from sim import draws
from sim.draws import Purpose
from sim.reference_clocks import at
from sim.reference_stanzas import Publication
from sim.requests import LAST_ITEM, LOGIN, RETRACT, SUBSCRIPTION, Answer, scheduled, sources
from sim.stations import Graph
from sim.study import Study
from topologies.plan import Plan, subscribers

LATE_PRIORITY = 2  # at one instant publications come first


def queries(study: Study, plan: Plan, graph: Graph) -> Iterator[Publication]:
    """The requests at random of a grid."""
    if not graph.answers:
        return
    rows = scheduled(study.topology, plan, graph.answers)
    for place in range(len(rows)):
        answer = graph.answer(int(rows.topic[place]))
        assert answer is not None
        yield request(
            study, graph, answer, int(rows.row[place]), int(rows.publisher[place]),
            float(rows.intended_s[place]), float(rows.arrival_s[place]),
        )  # fmt: skip


def request(
    study: Study, graph: Graph, answer: Answer, row: int, platform: int, intended_s: float,
    reached_s: float,
) -> Publication:  # fmt: skip
    """One request on its way."""
    assert answer.population is not None
    costs = graph.stations[graph.toward(answer.topic)].profile.costs
    key = (study.seed, Purpose.SERVICE, study.replication)
    spread = float(draws.lognormals(*key, np.array([row]), costs.cv)[0])
    topic = len(study.topology.topics) + graph.answers.index(answer)
    return Publication(
        row=row, reached_s=reached_s, arrival_s=reached_s, intended_s=intended_s, socket=platform,
        publisher=platform, topic=topic, payload_bytes=0.0, spread=spread, published=True,
        copies=[], answer=answer,
    )  # fmt: skip


def retract(study: Study, graph: Graph, stanza: Publication) -> Publication | None:
    """What follows a publication on a full Topic whose Broker tells of dropped items."""
    for number, answer in enumerate(graph.answers, len(study.topology.topics)):
        if stanza.answer is None and answer.role == RETRACT and answer.topic == stanza.topic:
            row = stanza.row + study.rows
            host = graph.stations[graph.toward(stanza.topic)]
            key = (study.seed, Purpose.SERVICE, study.replication)
            spread = float(draws.lognormals(*key, np.array([row]), host.profile.costs.cv)[0])
            return replace(stanza, row=row, topic=number, spread=spread, answer=answer)
    return None


@dataclass(frozen=True)
class _Wish:
    """A presence, or a request for the page of a kind of answers with this number."""

    platform: int
    number: int | None
    intended_s: float
    begun_s: float
    page: int


class Presences:
    """The Platforms of one Controller that have just logged in, on their way to it."""

    def __init__(
        self, study: Study, env: simpy.Environment, graph: Graph, station: int, first_row: int,
        still_s: Callable[[int], float], enter: Callable[[Publication], None],
        ask: Callable[[Publication], None],
    ) -> None:  # fmt: skip
        self._study, self._env, self._graph = study, env, graph
        self._still_s, self._enter, self._ask = still_s, enter, ask
        before = first_row + station - sources(graph)
        self._rows = {LOGIN: before, SUBSCRIPTION: before + len(graph.stations)}
        self._doors: dict[float, list[_Wish]] = {}
        self._chosen: dict[int, set[int]] = {}

    def log_in(self, platform: int, delay_s: float) -> None:
        """A Platform knows that it is online."""
        self._knock(_Wish(platform, None, self._env.now, self._env.now, 1), delay_s)

    def subscribe(self, platform: int) -> None:
        """The server has answered a Platform's subscriptions: the last items are asked for."""
        at(self._env, self._env.now, LATE_PRIORITY).callbacks.append(
            lambda _: self.remind(platform)
        )

    def remind(self, platform: int) -> None:
        """The last items are asked for now."""
        for answer in self._graph.answers:
            if answer.upon == SUBSCRIPTION and self._gets(platform, answer):
                row, now_s = self._next_row(SUBSCRIPTION), self._env.now
                self._ask(request(self._study, self._graph, answer, row, platform, now_s, now_s))

    def _next_row(self, upon: str) -> int:
        self._rows[upon] += sources(self._graph)
        return self._rows[upon]

    def read(self, stanza: Publication, delay_s: float) -> None:
        """A Platform has read an answer: it may ask for the next page."""
        if stanza.answer is None or stanza.page >= stanza.answer.pages:
            return
        number, page = self._graph.answers.index(stanza.answer), stanza.page + 1
        intended_s = self._env.now
        if page == stanza.answer.pages:
            number, intended_s = number + 1, stanza.begun_s
        self._knock(_Wish(stanza.publisher, number, intended_s, stanza.begun_s, page), delay_s)

    def _knock(self, wish: _Wish, delay_s: float) -> None:
        instant_s = self._env.now + delay_s
        if instant_s not in self._doors:
            self._doors[instant_s] = []
            door = at(self._env, instant_s, LATE_PRIORITY)
            door.callbacks.append(lambda _: self._open(instant_s))
        self._doors[instant_s].append(wish)

    def _open(self, instant_s: float) -> None:
        wishes = self._doors.pop(instant_s)
        for wish in sorted(wishes, key=lambda each: (each.platform, each.number or 0)):
            if self._still_s(wish.platform) != wish.begun_s:
                continue
            for number, answer in enumerate(self._graph.answers):
                first = wish.number is None and answer.upon == LOGIN
                if number == wish.number or (first and self._gets(wish.platform, answer)):
                    asked = request(self._study, self._graph, answer, self._next_row(LOGIN),
                                    wish.platform, wish.intended_s, instant_s)  # fmt: skip
                    self._enter(replace(asked, page=wish.page, begun_s=wish.begun_s))

    def _gets(self, platform: int, answer: Answer) -> bool:
        topology = self._study.topology
        assert answer.population is not None
        population = topology.platforms[answer.population]
        first = topology.platform_offsets()[population.name]
        if not first <= platform < first + population.count:
            return False
        if answer.role != LAST_ITEM:
            return True
        if answer.topic not in self._chosen:
            chosen = subscribers(topology, answer.topic, self._study.seed)
            self._chosen[answer.topic] = {int(each) for each in chosen}
        return platform in self._chosen[answer.topic]
