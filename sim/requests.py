"""Requests: what a Platform asks of its Broker, and the answer that only it gets.

Queries (items, pages, lists of Topics) and, as a Platform logs in, the last item of each of its
Topics. A request travels like a publication on a Topic of its own whose one subscriber is the
Platform that asks: it passes the same limits and queues, its work is the query's, its one copy is
as large as the result. To a Broker on another Controller its own one passes it on, and the answer
comes back the same way. So numbers of Topics from the topology's count on are numbers of answers.

A retract tells all subscribers of the item that a full Topic drops as it takes a new one: a
publication of the Broker's own, right after the one that made it.

Topics are full from the start, of items of the mean size. A request is as large as an empty
publication. Presence is what a Platform sends as soon as it knows that it is online; what it asks
for after a login, and the last items, are answers to that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sim.kept_items import item_bytes
from sim.network import Arrivals, delays
from topologies import requests
from topologies.plan import Plan, subscribers
from topologies.problems import TopologyError
from topologies.profiles import Profile, Queries
from topologies.schema import Query, Topology

if TYPE_CHECKING:
    from sim.stations import Graph
    from sim.walks import Walks

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

Wanted = tuple[Arrivals, Floats, Integers]  # requests, their sessions' begins, numbers of pages

QUERY, LAST_ITEM, RETRACT = "query", "last-item", "retract"
LOGIN, SUBSCRIPTION = "login", "subscription"
TOPICS_MAX = 65_535


@dataclass(frozen=True)
class Answer:
    """What the Platforms of one population get upon one kind of request.

    `role` stands in the record where publications have that of their publisher. `query` is its
    number in the workload, none of last items. `work_s` is CPU time before the answer is written,
    `result_bytes` what the answer carries. A retract is for all subscribers, of no `population`. Of
    a walk through several `pages` this is each but the last, which the next kind is. It may follow
    `upon` a login or a subscription. [s, B]
    """

    name: str
    role: str
    topic: int
    population: int | None
    query: int | None
    result_bytes: float
    work_s: float
    upon: str | None
    pages: int = 1


def answers(topology: Topology, profiles: Mapping[str, Profile]) -> tuple[Answer, ...]:
    """All kinds of answers of a topology: its queries in order, then last items.

    Raises
    ------
    TopologyError
        There are more Topics and kinds of answers than numbers for them.
    """
    found = (
        *_to_queries(topology, profiles), *_last_items(topology, profiles),
        *_retracts(topology, profiles),
    )  # fmt: skip
    if len(topology.topics) + len(found) > TOPICS_MAX:
        rule = f"has more than {TOPICS_MAX:,} Topics and kinds of answers"
        raise TopologyError([f"topics: {rule}; leave queries or last_item out"])
    return found


def _to_queries(topology: Topology, profiles: Mapping[str, Profile]) -> Iterator[Answer]:
    names = {each.name: number for number, each in enumerate(topology.topics)}
    people = {each.name: number for number, each in enumerate(topology.platforms)}
    for number, query in enumerate(topology.workload.queries):
        population = people[query.by]
        costs = _costs(topology, profiles, names[query.topic])
        if query.kind == "pages":
            place = (names[query.topic], population, number)
            yield from _walk(topology, query, profiles, place)
            continue
        items, size_bytes = _result(topology, query, costs[0])
        yield Answer(
            f"{query.kind} of {query.topic}", QUERY, names[query.topic], population, number,
            size_bytes, _work_s(costs, items, size_bytes), LOGIN if query.rate is None else None,
        )  # fmt: skip


def _walk(
    topology: Topology, query: Query, profiles: Mapping[str, Profile], place: tuple[int, int, int]
) -> Iterator[Answer]:
    """Pages of a Topic one after another: those before the last, and the last.

    Prosody takes no notice of pages (its `mod_pubsub` sends all items at once).
    """
    topic, population, number = place
    costs, kept = _costs(topology, profiles, topic), topology.topics[topic].max_items
    silent = profiles[host(topology, topic)].server == "prosody"
    page = kept if silent else min(query.page or kept, kept)
    pages = -(-kept // page)
    size_bytes = item_bytes(topology.topics[topic]) + costs[0].item_bytes
    lengths = [(page, pages)] * (pages > 1) + [(kept - (pages - 1) * page, 1)]
    for length, left in lengths:
        name = f"page of {query.topic}" if left > 1 else f"all pages of {query.topic}"
        result_bytes = length * size_bytes
        yield Answer(
            name, QUERY, topic, population, number, result_bytes,
            _work_s(costs, length, result_bytes), LOGIN if left == pages else None, left,
        )  # fmt: skip


def _last_items(topology: Topology, profiles: Mapping[str, Profile]) -> Iterator[Answer]:
    for number, topic in enumerate(topology.topics):
        if topic.last_item == "never":
            continue
        upon = LOGIN if topic.last_item == "on-login" else SUBSCRIPTION
        size_bytes = item_bytes(topic)
        for place, population in enumerate(topology.platforms):
            if population.login is not None and population.subscriber_count(topic.name):
                work_s = _work_s(_costs(topology, profiles, number), 1, size_bytes)
                yield Answer(
                    f"last item of {topic.name}", LAST_ITEM, number, place, None, size_bytes,
                    work_s, upon,
                )  # fmt: skip


def _retracts(topology: Topology, profiles: Mapping[str, Profile]) -> Iterator[Answer]:
    for number, topic in enumerate(topology.topics):
        if topic.notify_retract:
            profile = profiles[host(topology, number)]
            assert profile.queries is not None
            yield Answer(
                f"retract of {topic.name}", RETRACT, number, None, None,
                profile.queries.item_bytes, profile.speed * profile.queries.per_item, None,
            )  # fmt: skip


def first_row(rows: int, kinds: tuple[Answer, ...]) -> int:
    """Row of the first request: retracts have those after the plan's, in the plan's order."""
    return rows * (2 if any(each.role == RETRACT for each in kinds) else 1)


def host(topology: Topology, topic: int) -> str:
    """The Controller whose Broker keeps a Topic."""
    name = topology.topics[topic].broker
    return next(each.controller for each in topology.brokers if each.name == name)


def _costs(
    topology: Topology, profiles: Mapping[str, Profile], topic: int
) -> tuple[Queries, float]:
    profile = profiles[host(topology, topic)]
    assert profile.queries is not None
    return profile.queries, profile.speed


def _work_s(costs: tuple[Queries, float], items: int, size_bytes: float) -> float:
    own, speed = costs
    return speed * (own.base + own.per_item * items + own.per_byte * size_bytes)


def _result(topology: Topology, query: Query, costs: Queries) -> tuple[int, float]:
    """Items, or names of Topics, in an answer, and its size. [B]"""
    topic = next(each for each in topology.topics if each.name == query.topic)
    if query.kind == "disco":
        listed = sum(each.broker == topic.broker for each in topology.topics)
        listed = min(listed, costs.listed_max or listed)
        return listed, listed * costs.listed_bytes
    items = topic.max_items if query.page is None else min(query.page, topic.max_items)
    return items, items * (item_bytes(topic) + costs.item_bytes)


def scheduled(topology: Topology, plan: Plan, kinds: tuple[Answer, ...]) -> Arrivals:
    """Requests at random, in the order in which they are sent; rows follow those of the plan."""
    if not any(query.rate is not None for query in topology.workload.queries):
        return requested(np.zeros(0, np.int64), np.zeros(0), np.zeros(0), np.zeros(0), np.zeros(0))
    intended_s, platform, query = requests.asked(topology, plan.seed, plan.replication, plan.load)
    number = {each.query: place for place, each in enumerate(kinds) if each.query is not None}
    answer = np.array([number[each] for each in range(len(topology.workload.queries))])[query]
    first, delay_s = delays(topology)
    own_delay_s = delay_s[np.searchsorted(first, platform, side="right") - 1]
    row = first_row(plan.rows, kinds) + np.arange(len(platform))
    topic = len(topology.topics) + answer
    return requested(row, intended_s, intended_s + own_delay_s, platform, topic)


def requested(
    row: Integers, intended_s: Floats, arrival_s: Floats, platform: npt.NDArray[np.generic],
    topic: npt.NDArray[np.generic],
) -> Arrivals:  # fmt: skip
    """Requests as they reach a Controller."""
    return Arrivals(
        row, arrival_s, intended_s, platform.astype(np.uint32), topic.astype(np.uint16),
        np.zeros(len(row)), arrival_s,
    )  # fmt: skip


def asked_upon(
    upon: str, topology: Topology, kinds: tuple[Answer, ...], seed: int
) -> list[Integers]:
    """Platforms that get each kind of answer upon such an event, ascending; none of the others."""
    offsets = list(topology.platform_offsets().values())
    found = []
    for each in kinds:
        own = np.zeros(0, np.int64)
        if each.upon == upon and each.population is not None:
            first = offsets[each.population]
            own = np.arange(first, first + topology.platforms[each.population].count)
        if each.role == LAST_ITEM:
            own = own[np.isin(own, subscribers(topology, each.topic, seed))]
        found.append(own)
    return found


def among(ascending: Integers, platform: Integers) -> npt.NDArray[np.bool_]:
    """Which Platforms are among these."""
    if not len(ascending):
        return np.zeros(len(platform), np.bool_)
    place = np.searchsorted(ascending, platform)
    return np.asarray(ascending[np.minimum(place, len(ascending) - 1)] == platform)


class Requests:
    """All requests of a grid on their way, for the compiled engine.

    Parameters
    ----------
    plan : Plan
        The publications: requests have the rows after theirs.
    graph : Graph
        The stations.
    seed : int
        Key of the choice of subscribers.
    walks : Walks
        What follows from pages.
    """

    def __init__(self, plan: Plan, graph: Graph, seed: int, walks: Walks) -> None:
        self._graph, self._seed = graph, seed
        topology = graph.topology
        self._topics, self.any = len(topology.topics), bool(graph.answers)
        self._waiting = requested(np.zeros(0, np.int64), *np.zeros((4, 0)))
        self.first_row = first_row(plan.rows, graph.answers)
        if self.any:
            waiting = scheduled(topology, plan, graph.answers)
            self.first_row += len(waiting)
            self._waiting = waiting[np.argsort(waiting.arrival_s, kind="stable")]
        self._counted = np.zeros(len(graph.stations), np.int64)
        self._at_login: list[Wanted] = []
        self.walks = walks

    @cached_property
    def _askers(self) -> list[Integers]:
        return asked_upon(LOGIN, self._graph.topology, self._graph.answers, self._seed)

    def log_in(self, platform: Integers, online_s: Floats, delay_s: Floats) -> None:
        """Platforms know at these instants that they are online, and send their presence."""
        for number, askers in enumerate(self._askers if self.any else []):
            own = among(askers, platform)
            if own.any():
                topic = np.full(own.sum(), self._topics + number)
                when_s = online_s[own]
                row = np.zeros(len(topic), np.int64)
                first = requested(row, when_s, when_s + delay_s[own], platform[own], topic)
                self._at_login.append((first, when_s, np.ones(len(row), np.int64)))

    def want(self, wanted: Wanted | None) -> None:
        """Platforms ask for further pages."""
        if wanted is not None:
            self._at_login.append(wanted)

    @property
    def next_s(self) -> float:
        """When the next request upon a login, or for a further page, arrives. [s]"""
        return min((each.arrival_s.min() for each, *_ in self._at_login), default=np.inf)

    def take(self, end_s: float, online_s: Floats | None = None) -> Arrivals:
        """What arrives before `end_s`; of requests upon logins those whose session still is."""
        due = int(np.searchsorted(self._waiting.arrival_s, end_s, side="left"))
        taken, self._waiting = self._waiting[:due], self._waiting[due:]
        if self._at_login and online_s is not None:
            taken = taken.followed_by(self._take_logins(end_s, online_s))
        return taken

    def _take_logins(self, end_s: float, online_s: Floats) -> Arrivals:
        waiting, began_s, page = self._at_login[0]
        for more, more_s, further in self._at_login[1:]:
            waiting = waiting.followed_by(more)
            began_s, page = np.append(began_s, more_s), np.append(page, further)
        later = waiting.arrival_s >= end_s
        self._at_login = [(waiting[later], began_s[later], page[later])] if later.any() else []
        chosen = np.flatnonzero(~later & (online_s[waiting.publisher] == began_s))
        taken = waiting[chosen]
        order = np.lexsort((taken.topic, taken.publisher, taken.arrival_s))
        taken, chosen = taken[order], chosen[order]
        taken.row[:] = self._numbered(self._graph.station(taken.publisher))
        self.walks.ask(taken, page[chosen], began_s[chosen])
        return taken

    def _numbered(self, station: Integers) -> Integers:
        """Rows of further requests: each station counts its own."""
        place = np.zeros(len(station), np.int64)
        for number in np.unique(station).tolist():
            own = station == number
            place[own] = self._counted[number] + np.arange(own.sum())
            self._counted[number] += own.sum()
        return login_row(self.first_row, place, station, sources(self._graph))


def sources(graph: Graph) -> int:
    """How many count requests: stations those upon logins, each once more those upon subscribing.

    Station k has the number k among them, and its number of stations more.
    """
    subscribing = any(each.upon == SUBSCRIPTION for each in graph.answers)
    return len(graph.stations) * (2 if subscribing else 1)


def login_row(first_row: int, place: Integers, source: Integers, of_sources: int) -> Integers:
    """Row of a request that follows from a login, from its place among those of its source."""
    return np.asarray(first_row + place * of_sources + source)


def merged(arrivals: Arrivals, requests: Arrivals) -> Arrivals:
    """Publications and requests by arrival; at one instant publications come first."""
    if not len(requests):
        return arrivals
    both = arrivals.followed_by(requests)
    return both[np.argsort(both.arrival_s, kind="stable")]
