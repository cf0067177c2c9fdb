"""Storms of logins in which nothing else happens, carried in one go.

Where `fifo` servers have nothing but logins to do until the next publication arrives or a fault
strikes, and all that they do is done by then and in time for its Platform, nothing can change what
follows from what: each message's answer is known as soon as the message is taken up. So the next
arrival is served at once, and its Platform's next message queues up for its own arrival. All
Platforms of one delay stand in one line, which is nearly in order by itself: there is no heap.

If a Platform would give up, or work were left when something else happens, all is as before and
carried in windows. Instants are those of `sim.sessions` and of the kernel.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sim.calendar import Events
from sim.climbs import BLOCK, FINISHED, INTERVAL, LINE, MESSAGE, SETTING, climb, enlist
from sim.controller import Controller
from sim.sessions import Sessions
from sim.state import Floats, Integers, Records, Server
from sim.stations import Graph
from sim.study import Study
from topologies.profiles import Fifo
from topologies.schema import Crash, Outage, Partition

FEW = 2048  # messages under way: fewer are not worth it
LINES_MAX = 16  # different delays, each with a line of its own
STAMPS_MAX = 2**32  # a message has so many bits for its stamp


@dataclass(frozen=True)
class Surge:
    """What has become of the messages of a storm, if that can be known.

    `finished` are the logins that are done, `left` messages of which nothing is known yet; `free_s`
    is when each core is free, `busy_s` core time by interval.
    """

    known: bool
    finished: Records
    left: Records
    free_s: Floats
    busy_s: Floats


class Surges:
    """Decides when a storm can be carried in one go, and carries it.

    Parameters
    ----------
    study : Study
        The replication.
    graph : Graph
        The stations.
    sessions : Sessions
        Of their Platforms.
    stations : sequence of Controller
        The servers, in the graph's order.
    """

    def __init__(
        self, study: Study, graph: Graph, sessions: Sessions, stations: Sequence[Controller]
    ) -> None:
        topology = graph.topology
        self._study, self._sessions, self._stations = study, sessions, stations
        self._faults_s = np.array(
            sorted(
                {t for each in topology.faults for t in (each.start, each.start + each.duration)}
            )
        )
        delays_s = [each.network.delay for each in topology.platforms]
        self._delay_s, line = np.unique(delays_s, return_inverse=True)
        self._line = line.astype(np.int64)
        self._possible = (
            sessions.plain
            and not graph.answers
            and len(self._delay_s) <= LINES_MAX
            and all(isinstance(each.profile.costs, Fifo) for each in graph.stations)
            and all(isinstance(each, Crash | Outage | Partition) for each in topology.faults)
            and all(each.node.steady for each in graph.stations)
        )
        self._not_before_s = -np.inf

    def carry(self, now_s: float, other_s: float, end_s: float) -> None:
        """Carry logins until the next fault, or `other_s`, if there are many and nothing else.

        The run ends at `end_s`.
        """
        if not self._may_begin(now_s) or not all(_rests(each) for each in self._stations):
            return
        place = int(np.searchsorted(self._faults_s, now_s, side="right"))
        until_s = min(other_s, end_s, *self._faults_s[place : place + 1].tolist())
        self._not_before_s = until_s
        events = self._sessions.expected(until_s)
        current = self._sessions.current(events[1], events[2]).all()
        if not current or events[2].max(initial=0) >= STAMPS_MAX:
            self._sessions.put_back(*events)
            return
        found = [
            self._carried(station, own, until_s)
            for station, own in zip(self._stations, self._by_station(events), strict=True)
        ]
        if not all(each.known for each in found):
            self._sessions.put_back(*events)
            return
        for station, surge in zip(self._stations, found, strict=True):
            done, left = surge.finished, surge.left
            self._sessions.complete(done["platform"].copy(), done["done_s"].copy())
            whole = (left[name].astype(np.int64) for name in ("platform", "stamp"))
            self._sessions.put_back(left["due_s"].copy(), *whole, left["deadline_s"].copy())
            station.server.platforms["offline"][station.numbers(done["platform"])] = 0
            _book(station.server, surge)

    def begin_s(self, now_s: float, first_s: float) -> float:
        """When a storm may begin, of which nothing reaches a server before `first_s`. [s]

        Traffic is carried until then, and the storm from its first message on: later there would be
        no instant without work in the servers. Infinite if there is none to wait for.
        """
        return first_s if first_s > now_s and self._may_begin(first_s) else np.inf

    def _may_begin(self, instant_s: float) -> bool:
        """Whether many are on their way, nobody is served, and it was not tried in vain."""
        return (
            self._possible
            and instant_s >= self._not_before_s
            and self._sessions.quiet
            and self._sessions.waiting >= FEW
        )

    def _by_station(self, events: Events) -> Iterator[Events]:
        """Events of each station."""
        if len(self._stations) == 1:
            yield events
            return
        home = self._sessions.station(events[1])
        for number in range(len(self._stations)):
            own = home == number
            yield events[0][own], events[1][own], events[2][own], events[3][own]

    def _carried(self, station: Controller, events: Events, until_s: float) -> Surge:
        """What becomes of the messages to one station."""
        number, server, ladder = station.station.number, station.server, self._sessions.ladder
        newcomers = self._newcomers(*events)
        lines, count = np.zeros(len(self._delay_s), LINE), len(newcomers)
        sizes = np.bincount(self._line[newcomers["population"]], minlength=len(lines))
        lines["delay_s"], lines["size"] = self._delay_s, sizes
        lines["first"] = np.cumsum(sizes) - sizes
        rings, finished = np.empty(count, MESSAGE), np.empty(count, FINISHED)
        intervals = np.zeros(len(server.intervals), INTERVAL)
        intervals["end_s"] = server.intervals["end_s"]
        heads_s = np.full(len(lines) + 1, np.inf)
        heads_s[-1] = newcomers["due_s"][0] if count else np.inf
        free_s, setting = np.sort(server.cores["idle_since_s"]), np.zeros(1, SETTING)
        variance = math.log1p(float(ladder.cv[number]) ** 2)
        setting["seed"], setting["replication"] = self._study.seed, self._study.replication
        setting["sigma"], setting["mean"] = math.sqrt(variance), 0.5 * variance
        setting["until_s"] = until_s
        setting["delay_s"] = self._delay_s.min(where=sizes > 0, initial=np.inf)
        rooms = (np.empty(BLOCK, MESSAGE), heads_s, *np.empty((2, BLOCK)),
                 *np.empty((2, BLOCK), np.uint32))  # fmt: skip
        work = (self._line, ladder.work_s[number], ladder.steps)
        cores = (free_s, intervals)
        known = climb(setting[0], newcomers, (lines, rings), work, cores, finished, rooms)
        left = [newcomers[setting["following"][0] :], *_waiting(lines, rings)]
        done = finished[: setting["finished"][0]]
        return Surge(known, done, np.concatenate(left), free_s, intervals["busy_s"])

    def _newcomers(
        self, arrival_s: Floats, platform: Integers, stamp: Integers, deadline_s: Floats
    ) -> Records:
        """Messages in order of arrival, and of their Platforms at one instant."""
        order, messages = np.argsort(arrival_s), np.empty(len(arrival_s), MESSAGE)
        columns = (arrival_s, platform, stamp, deadline_s, self._sessions.population)
        enlist(messages, order, *columns)
        if (messages["due_s"][1:] == messages["due_s"][:-1]).any():
            enlist(messages, np.lexsort((platform, arrival_s)), *columns)
        return messages


def _waiting(lines: Records, rings: Records) -> Iterator[Records]:
    """Messages that wait in each line."""
    for line in lines:
        places = line["first"] + (line["head"] + np.arange(line["length"])) % max(line["size"], 1)
        yield rings[places]


def _rests(station: Controller) -> bool:
    """Whether a server has nothing to do, and nothing that is known is on its way to it."""
    now, cores = station.server.ledger[0], station.server.cores
    busy = now["owed"] or now["started"] < now["fed"] or now["idle_cores"] < len(cores)
    return not busy and not station.pending


def _book(server: Server, surge: Surge) -> None:
    """A server has worked on a surge: how long, and since when its cores are idle."""
    now, cores = server.ledger[0], server.cores
    now["offline"] = np.count_nonzero(server.platforms["offline"])
    now["idle_s"] += (surge.free_s - np.sort(cores["idle_since_s"])).sum() - surge.busy_s.sum()
    cores["idle_since_s"] = surge.free_s
    server.intervals["busy_s"] += surge.busy_s
