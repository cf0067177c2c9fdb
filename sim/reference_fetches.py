"""Direct flow once more: each Publisher's server a list of fetches with bytes left to send.

Shares with `sim.fetches` who waits how long (the draws) and nothing else: whenever a fetch begins
or ends, what the others have left is written down anew.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import simpy

from sim import draws
from sim.draws import Purpose
from sim.reference_books import Directory
from sim.reference_inbound import at
from sim.reference_stanzas import Publication
from sim.study import Study
from topologies import schema
from topologies.plan import Plan

BEGIN_PRIORITY = 6


@dataclass(eq=False)
class Download:
    """One fetch: who asks for what, what is left of it [B], and its end."""

    order: tuple[int, int]
    left_bytes: float
    done: simpy.Event


class PublisherServer:
    """What answers fetches beside a Publisher: one uplink, evenly shared."""

    def __init__(self, env: simpy.Environment, uplink: float | None, most: int | None) -> None:
        self._env, self._uplink, self._most = env, uplink, most
        self._asking: list[Download] = []
        self._waiting: list[Download] = []
        self._active: list[Download] = []
        self._since_s, self._watch = env.now, 0

    def ask(self, download: Download) -> None:
        """A request is there; those of one instant begin in the order of their numbers."""
        if not self._asking:
            at(self._env, 0.0, BEGIN_PRIORITY, self._take)
        self._asking.append(download)

    def _take(self) -> None:
        self._waiting += sorted(self._asking, key=lambda each: each.order)
        self._asking = []
        self._settle()

    def _settle(self) -> None:
        """Write down what has left, begin what may, and wait for the next end."""
        if self._uplink is not None and self._active:
            sent = (self._env.now - self._since_s) * self._uplink / len(self._active)
            for each in self._active:
                each.left_bytes -= sent
        self._since_s = self._env.now
        while self._waiting and (self._most is None or len(self._active) < self._most):
            self._active.append(self._waiting.pop(0))
        self._watch += 1
        if self._active:
            least = min(each.left_bytes for each in self._active)
            wait_s = 0.0
            if self._uplink is not None:
                wait_s = max(least, 0.0) * len(self._active) / self._uplink
            own = self._watch
            at(self._env, wait_s, BEGIN_PRIORITY, lambda: self._end(own))

    def _end(self, watch: int) -> None:
        """The one with the least left has it all, unless something has come between."""
        if watch != self._watch:
            return
        first = min(self._active, key=lambda each: each.left_bytes)
        self._active.remove(first)
        if self._uplink is not None:
            sent = (self._env.now - self._since_s) * self._uplink / (len(self._active) + 1)
            for each in self._active:
                each.left_bytes -= sent
            self._since_s = self._env.now
        first.done.succeed()
        self._settle()


class ReferenceFetches:
    """All Publishers' servers.

    Parameters
    ----------
    study, env
        The replication and its clock.
    plan : Plan
        What is fetched.
    people : Directory
        Who is how far away.
    """

    def __init__(self, study: Study, env: simpy.Environment, plan: Plan, people: Directory) -> None:
        self._study, self._env, self._people = study, env, people
        self._topics = study.topology.topics
        self._sizes = plan.columns().payload_bytes
        self._servers: dict[int, PublisherServer] = {}

    def fetch(self, stanza: Publication, platform: int) -> Generator[simpy.Event, Any, None]:
        """What a Platform does once it has an item; nothing where that holds its payload."""
        if stanza.answer is not None or self._topics[stanza.topic].flow != "direct":
            return
        how, own = self._topics[stanza.topic].fetch, self._people.population(platform)
        publisher = self._people.population(stanza.publisher)
        way_s = own.network.delay + publisher.network.delay
        seed, replication = self._study.seed, self._study.replication
        share = draws.uniform_at(seed, Purpose.FETCH, replication, platform, stanza.row)
        yield self._env.timeout(how.spread * float(share) + (2 * how.round_trips - 1) * way_s)
        size_bytes = float(self._sizes[stanza.row]) + how.overhead
        download = Download((stanza.row, platform), size_bytes, simpy.Event(self._env))
        self._server(stanza.publisher, publisher).ask(download)
        yield download.done
        yield self._env.timeout(way_s)

    def _server(self, platform: int, population: schema.Population) -> PublisherServer:
        if platform not in self._servers:
            bounds = [
                topic.fetch.connections
                for topic in self._topics
                if topic.name in population.publishes
                and topic.flow == "direct"
                and topic.fetch.connections is not None
            ]
            most = min(bounds) if bounds else None
            self._servers[platform] = PublisherServer(self._env, population.network.uplink, most)
        return self._servers[platform]
