"""Platforms that turn to another Controller: where each is, and where Brokers send its copies.

A population has a ring of Controllers (`controller`, then `failover`). An attempt goes to the next
one of the ring after a failed attempt, or after the Controller of the session died; after a power
cut a Platform comes back where it was. Which one an attempt goes to follows from its number alone.

From the instant at which a Platform knows that it is online its publications go there, and Brokers
send its copies there: of publications that come to them from then on. That Brokers know it at that
very instant, wherever they are, is an assumption.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from sim.intake import Census
from sim.jobs import Jobs
from sim.platforms import Residents
from sim.routes import FAN_OUT, Routes, fan_out_to
from sim.state import Floats, Indices, Integers, Server
from sim.stations import Graph


class Whereabouts:
    """At which station each Platform is, or was last.

    Parameters
    ----------
    graph : Graph
        The stations.
    """

    def __init__(self, graph: Graph) -> None:
        people = graph.topology.platforms
        numbers = {each.name: each.number for each in graph.stations}
        self.moves = any(each.failover for each in people)
        self._lengths = np.array([len(each.ring) for each in people])
        self._rings = np.zeros((len(people), int(self._lengths.max())), np.int64)
        for row, each in zip(self._rings, people, strict=True):
            row[: len(each.ring)] = [numbers[name] for name in each.ring]
        counts = [each.count for each in people] if self.moves else []
        self.station = np.repeat(self._rings[:, 0] if self.moves else [], counts).astype(np.int64)
        self._graph = graph
        self._pending: list[tuple[Floats, Integers, Integers]] = []
        self.next_s = np.inf

    def turns(self, population: npt.NDArray[np.uint16]) -> Integers:
        """How many attempts it takes to come round to the same Controller."""
        return np.asarray(self._lengths[population])

    def of_attempt(
        self, platform: Integers, population: npt.NDArray[np.uint16], attempt: Integers
    ) -> Integers:
        """Station that an attempt goes to."""
        if not self.moves:
            return self._graph.station(platform.astype(np.uint32))
        place = np.mod(attempt, self._lengths[population])
        return np.asarray(self._rings[population, place])

    def of(self, platform: npt.NDArray[np.uint32]) -> Integers:
        """Where Platforms are."""
        return self.station[platform] if self.moves else self._graph.station(platform)

    def note(self, platform: Integers, station: Integers, instant_s: Floats) -> None:
        """Platforms will be online there from these instants on, if nothing happens to them."""
        away = self.station[platform] != station
        if away.any():
            self._pending.append((instant_s[away], platform[away], station[away]))
            self.next_s = min(self.next_s, float(instant_s[away].min()))

    def passed(self, now_s: float, online_s: Floats) -> Integers | None:
        """Platforms that have moved by `now_s`, if any have; `next_s` is when the next ones do.

        `online_s` is since when each Platform is online: one whose session was lost before it
        knew of it has not moved. [s]
        """
        if self.next_s > now_s:
            return None
        instant_s, platform, station = (
            np.concatenate(column) for column in zip(*self._pending, strict=True)
        )
        due = instant_s <= now_s
        self._pending = [(instant_s[~due], platform[~due], station[~due])]
        self.next_s = float(instant_s[~due].min(initial=np.inf))
        moved = due & (online_s[platform] == instant_s)
        self.station[platform[moved]] = station[moved]
        return platform[moved] if moved.any() else None


class Detours:
    """The lists of one station's Topics, as Platforms move from Controller to Controller.

    A publication that was begun keeps its list; a list may be written anew once all publications
    that had it are done with.

    Parameters
    ----------
    graph : Graph
        The stations.
    station : int
        Which one it is.
    home : Residents
        Who can be there.
    routes : Routes
        Its lists, which are changed.
    seed : int
        Of the subscriptions.
    """

    def __init__(
        self, graph: Graph, station: int, home: Residents, routes: Routes, seed: int
    ) -> None:
        self._graph, self._station, self._home = graph, station, home
        self._routes, self._seed = routes, seed
        self._stale = np.zeros(len(routes.published), np.bool_)
        self._slots: dict[int, list[tuple[int, int]]] = {}  # first entry, unused from which job on
        self._displaced: dict[int, list[tuple[int, int, int, int]]] = {}
        self.turned = False

    def turn(self, where: Whereabouts, platform: Integers) -> None:
        """These Platforms have moved."""
        self._where, self.turned = where, True
        moved = np.unique(self._home.population(platform)).tolist()
        people = [self._graph.topology.platforms[each] for each in moved]
        for number, topic in enumerate(self._graph.topology.topics):
            if self._routes.published[number]:
                self._stale[number] |= any(each.subscriber_count(topic.name) for each in people)

    def booked(self, server: Server, jobs: Jobs, census: Census) -> Server:
        """The server with lists of now for these jobs; whose copies go elsewhere is booked."""
        fans_out = (jobs.target == FAN_OUT) & self._routes.published[jobs.topic]
        for topic in np.unique(jobs.topic[fans_out]).tolist():
            if self._stale[topic]:
                server = self._renewed(server, topic)
            moved = self._displaced.get(topic, ())
            census.displace(jobs.kind[fans_out & (jobs.topic == topic)], topic, moved)
        return server

    def _renewed(self, server: Server, topic: int) -> Server:
        """The server with a list of now for a Topic."""
        now, first, entries = server.ledger[0], self._routes.fan_out[0], len(server.subscribers)
        slots = self._slots.setdefault(topic, [])
        if topic in self._displaced:
            slots.append((int(first[topic]), int(now["fed"])))
        sessions, targets, self._routes.fan_out_here[topic] = self._list(topic)
        self._stale[topic] = False
        place = next((each for each in slots if each[1] <= now["oldest"]), None)
        if place is not None:
            slots.remove(place)
        else:
            more = np.zeros(len(sessions), np.uint32)
            server = replace(
                server,
                subscribers=np.concatenate([server.subscribers, more]),
                span_ends=np.concatenate([server.span_ends, more]),
                targets=np.concatenate([server.targets, more[: len(server.targets)]]),
            )
        first[topic] = start = entries if place is None else place[0]
        server.subscribers[start : start + len(sessions)] = sessions
        server.span_ends[start : start + len(sessions)] = start + self._home.span_ends(sessions)
        if len(server.targets):
            server.targets[start : start + len(sessions)] = targets
        return server

    def _list(self, topic: int) -> tuple[Indices, Indices, int]:
        """Sessions and targets of a Topic's copies as of now, and how many of them are here."""
        chosen, sessions, targets = fan_out_to(
            self._graph, self._station, self._home, topic, self._seed, self._where.of
        )
        now, at_home = self._where.of(chosen), self._graph.station(chosen)
        away = now != at_home
        population = self._home.population(chosen[away].astype(np.int64))
        rows = np.stack([at_home[away], now[away], population], axis=1)
        groups, counts = np.unique(rows, axis=0, return_counts=True)
        self._displaced[topic] = [
            (*row, count) for row, count in zip(groups.tolist(), counts.tolist(), strict=True)
        ]
        here = int((now == self._station).sum())
        return sessions.astype(np.uint32), targets.astype(np.uint32), here
