"""Last items upon subscribing (XEP-0060, `send_last_published_item` of `on_sub`).

A login subscribes to all Topics of its Platform with its last step. As the server has answered
that, the Broker turns to the last items at once: a request for each Topic that sends them stands in
the server's queue from that very instant on, behind what is there. Nobody sends it, so that no
limit of the door applies. A session that is resumed keeps its subscriptions and gets none.

The kernel stops as it completes such a step (`halted`): what follows is put before all that has not
arrived yet, and it goes on.
"""

from __future__ import annotations

import numpy as np

from sim.network import Arrivals
from sim.requests import SUBSCRIPTION, asked_upon, login_row, requested, sources
from sim.state import FINAL, PLATFORM_MASK, Floats, Integers, Server
from sim.stations import Graph


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
        self._wanted: dict[int, list[int]] = {}  # numbers of answers, by Platform
        self._count = self.first_row = 0
        if not any(each.upon == SUBSCRIPTION for each in graph.answers):
            return
        askers = asked_upon(SUBSCRIPTION, graph.topology, graph.answers, seed)
        for topic, platforms in enumerate(askers, len(graph.topology.topics)):
            here = platforms[graph.station(platforms.astype(np.uint32)) == station]
            for platform in here.tolist():
                self._wanted.setdefault(platform, []).append(topic)

    @property
    def any(self) -> bool:
        """Whether there is anybody."""
        return bool(self._wanted)

    def made(self, server: Server) -> Arrivals:
        """The requests that follow from the step with which the kernel stopped."""
        now = server.ledger[0]
        now["halted"] = 0
        log = server.completions[: now["completed"]]
        entry = log[np.flatnonzero(log["flags"] & FINAL)[-1]]
        platform, done_s = int(entry["job"] & PLATFORM_MASK), float(entry["done_s"])
        topics = self._wanted.get(platform, [])
        count = len(topics)
        place: Integers = self._count + np.arange(count)
        self._count += count
        instant_s: Floats = np.full(count, done_s)
        row = login_row(self.first_row, place, np.full(count, self._source), self._sources)
        return requested(row, instant_s, instant_s, np.full(count, platform), np.array(topics))
