"""Last items upon subscribing (XEP-0060, `send_last_published_item` of `on_sub`).

A login subscribes to all Topics of its Platform with its last step. As the server has answered
that, the Broker turns to the last items at once: a request for each Topic that sends them stands in
the server's queue from that very instant on, behind what is there. Nobody sends it, so that no
limit of the door applies. A session that is resumed keeps its subscriptions and gets none.

The kernel stops as it completes such a step of somebody who gets any (`halted`): what follows is
put before all that arrives later, and it goes on. An answer whose writing ends only after the
kernel is to pause waits until it works again: what happens to the server or to the session
meanwhile holds for it, too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.network import Arrivals
from sim.platforms import Residents
from sim.requests import SUBSCRIPTION, among, asked_upon, login_row, requested, sources
from sim.state import (
    FINAL,
    PLATFORM_MASK,
    REMINDED,
    STAMP_SHIFT,
    Floats,
    Integers,
    Records,
    Server,
)
from sim.stations import Graph


@dataclass(frozen=True)
class _Subscribed:
    """A Platform whose last step was answered, the attempt's stamp, and when it was."""

    platform: int
    stamp: int
    done_s: float


class Subscriptions:
    """Who gets which last items from one server as it subscribes.

    Parameters
    ----------
    graph : Graph
        The stations.
    station : int
        Which one it is.
    seed : int
        Of the choice of subscribers.
    """

    def __init__(self, graph: Graph, station: int, seed: int) -> None:
        self._source, self._sources = station + len(graph.stations), sources(graph)
        self._wanted: list[tuple[int, Integers]] = []  # numbers of answers, with who gets them
        self._reminded = np.zeros(0, np.int64)  # who gets any
        self._count = self.first_row = 0
        self._due: list[_Subscribed] = []
        self._closed_s = 0.0
        if not any(each.upon == SUBSCRIPTION for each in graph.answers):
            return
        askers = asked_upon(SUBSCRIPTION, graph.topology, graph.answers, seed)
        for topic, platforms in enumerate(askers, len(graph.topology.topics)):
            here = platforms[graph.station(platforms.astype(np.uint32)) == station]
            if len(here):
                self._wanted.append((topic, here))
                self._reminded = np.union1d(self._reminded, here)

    def mark(self, records: Records, platform: Integers) -> None:
        """Have the kernel stop with those last steps of these Platforms that something follows."""
        reminded = among(self._reminded, platform) & (records["job"] & FINAL != 0)
        records["job"][reminded] |= REMINDED

    @property
    def next_s(self) -> float:
        """When the next of them that is known subscribes. [s]"""
        return min((each.done_s for each in self._due), default=np.inf)

    def halted(self, server: Server) -> bool:
        """Whether the kernel has stopped with the last step of a login, which is noted."""
        now = server.ledger[0]
        if not now["halted"]:
            return False
        now["halted"] = 0
        log = server.completions[: now["completed"]]
        entry = log[np.flatnonzero(log["flags"] & REMINDED)[-1]]
        job = int(entry["job"])
        step = job & PLATFORM_MASK, job >> STAMP_SHIFT, float(entry["done_s"])
        self._due.append(_Subscribed(*step))
        return True

    def forget(self) -> None:
        """The server has crashed."""
        self._due.clear()

    def close(self, until_s: float) -> None:
        """The server takes nothing in until then."""
        self._closed_s = until_s

    def made(self, server: Server, home: Residents, until_s: float) -> Arrivals | None:
        """The requests of one who subscribes before `until_s`; None if there is nobody."""
        ripe = [each for each in self._due if each.done_s < until_s]
        for each in ripe:
            self._due.remove(each)
            local = int(home.number(np.array([each.platform], np.uint32))[0])
            if each.stamp >= server.processes[local]["cut"]:  # its session lives
                return self._requests(each.platform, each.done_s)
        return None

    def _requests(self, platform: int, done_s: float) -> Arrivals:
        own = np.array([platform])
        topics = [topic for topic, askers in self._wanted if among(askers, own)[0]]
        count = len(topics)
        place: Integers = self._count + np.arange(count)
        self._count += count
        intended_s: Floats = np.full(count, done_s)
        row = login_row(self.first_row, place, np.full(count, self._source), self._sources)
        arrival_s = np.maximum(intended_s, self._closed_s)
        return requested(row, intended_s, arrival_s, np.full(count, platform), np.array(topics))
