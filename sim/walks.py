"""Walks through the items of a Topic, page after page (XEP-0059): what is asked after which.

A Platform asks for the first page as for anything upon its login, for the next one as it has read
the last, a delay each way between them, if its session is still the same. The answer to the last
page counts from the walk's begin: its latency is the time until a late joiner is in sync. What was
received is read from the kernels' traces, and traffic goes in windows of the shortest round trip
while anybody walks, so that every request is known before it arrives.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sim.network import Arrivals
from sim.requests import requested
from sim.sessions import CAUTION
from sim.state import Floats, Integers, Server
from sim.stations import Graph

PRUNED_EVERY = 256  # windows after which walks of lost sessions are forgotten


class Walks:
    """The walks of a grid.

    Parameters
    ----------
    graph : Graph
        The stations, and the kinds of answers.
    traced : bool
        Whether deliveries stay in the traces.
    """

    def __init__(self, graph: Graph, traced: bool) -> None:
        topology = graph.topology
        self._topics, self._traced = len(topology.topics), traced
        self._pages = [each.pages for each in graph.answers]
        self.any = any(pages > 1 for pages in self._pages)
        delays_s = [each.network.delay for each in topology.platforms]
        self._round_trip_s = 2.0 * CAUTION * min(
            (delays_s[each.population] for each in graph.answers
             if each.pages > 1 and each.population is not None), default=np.inf,
        )  # fmt: skip
        counts = [each.count for each in topology.platforms]
        self._delay_s = np.repeat(delays_s, counts) if self.any else np.zeros(0)
        self._asked: dict[int, tuple[int, int, int, float]] = {}
        self._known = [0] * len(graph.stations)
        self._windows = 0

    def horizon_s(self, now_s: float, next_s: float) -> float:
        """Before this nothing arrives that follows from what arrives now, or at `next_s`. [s]"""
        return (now_s if self._asked else max(now_s, next_s)) + self._round_trip_s

    def ask(self, requests: Arrivals, page: Integers, began_s: Floats) -> None:
        """These pages are asked for, in sessions that began then."""
        columns = (requests.row, requests.publisher, requests.topic, page, began_s)
        for row, platform, topic, number, since_s in zip(
            *(c.tolist() for c in columns), strict=True
        ):
            if number < self._pages[topic - self._topics]:
                self._asked[row] = (platform, topic, number, since_s)

    def following(
        self, servers: Sequence[Server], online_s: Floats
    ) -> tuple[Arrivals, Floats, Integers] | None:
        """What is asked next, with the sessions' begins and the pages' numbers."""
        found = []
        for place, server in enumerate(servers):
            now = server.ledger[0]
            new = server.trace[self._known[place] : now["traced"]]
            for row, at_s in zip(new["row"].tolist(), new["received_s"].tolist(), strict=True):
                if (asked := self._asked.pop(row, None)) is not None:
                    found.append((*asked, at_s))
            if not self._traced:
                now["traced"] = 0
            self._known[place] = int(now["traced"])
        self._prune(online_s)
        if not found:
            return None
        columns = zip(*found, strict=True)
        platform, topic, number, began_s, at_s = (np.array(column) for column in columns)
        pages = np.array(self._pages)[topic - self._topics]
        last = number + 1 == pages
        intended_s = np.where(last, began_s, at_s)
        arrivals = requested(
            np.zeros(len(topic), np.int64), intended_s, at_s + self._delay_s[platform], platform,
            topic + last,
        )  # fmt: skip
        return arrivals, began_s, number + 1

    def _prune(self, online_s: Floats) -> None:
        self._windows += 1
        if self._windows % PRUNED_EVERY == 0:
            self._asked = {
                row: asked for row, asked in self._asked.items() if online_s[asked[0]] == asked[3]
            }
