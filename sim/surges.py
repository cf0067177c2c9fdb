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
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim.compiling import compiled, inlined
from sim.controller import Controller
from sim.draws import Purpose, normal_at
from sim.ladders import STEP_MASK
from sim.sessions import Sessions
from sim.state import Floats, Records, Server
from sim.stations import Graph
from sim.study import Study
from topologies.profiles import Fifo
from topologies.schema import Crash, Outage, Partition

FEW = 2048  # messages under way: fewer are not worth it
LINES_MAX = 16  # different delays, each with a line of its own
LOGIN = int(Purpose.LOGIN)

# A Platform's message: when it arrives, its next one after that, or when the last was answered.
MESSAGE = np.dtype(
    [
        ("next_s", "f8"),
        ("deadline_s", "f8"),
        ("done_s", "f8"),
        ("platform", "i8"),
        ("stamp", "i8"),
        ("population", "i4"),
        ("line", "i4"),
        ("final", "i8"),
    ],
    align=True,
)
# Messages of Platforms with one delay, in order of arrival: a ring of `places` from `first` on.
LINE = np.dtype(
    [
        ("delay_s", "f8"),
        ("head_s", "f8"),
        ("first", "i8"),
        ("size", "i8"),
        ("head", "i8"),
        ("length", "i8"),
    ]
)
PLACE = np.dtype([("due_s", "f8"), ("message", "i8")])
INTERVAL = np.dtype([("end_s", "f8"), ("busy_s", "f8")])
SETTING = np.dtype(
    [("seed", "u8"), ("replication", "i8"), ("sigma", "f8"), ("mean", "f8"), ("until_s", "f8")]
)


@dataclass(frozen=True)
class Surge:
    """Messages of a storm and what has become of them, if that can be known.

    `free_s` is when each core is free, `busy_s` core time by interval.
    """

    known: bool
    messages: Records
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
        )
        self._not_before_s = -np.inf

    def carry(self, now_s: float, other_s: float, end_s: float) -> None:
        """Carry logins until the next fault, or `other_s`, if there are many and nothing else.

        The run ends at `end_s`.
        """
        if not self._possible or now_s < self._not_before_s or self._sessions.waiting < FEW:
            return
        place = int(np.searchsorted(self._faults_s, now_s, side="right"))
        until_s = min(other_s, end_s, *self._faults_s[place : place + 1].tolist())
        self._not_before_s = until_s
        if not self._sessions.quiet or not all(_rests(each) for each in self._stations):
            return
        events = self._sessions.expected(until_s)
        if not self._sessions.current(events[1], events[2]).all():
            self._sessions.put_back(*events)
            return
        home = self._sessions.station(events[1])
        found = [
            self._carried(station, [column[home == number] for column in events], until_s)
            for number, station in enumerate(self._stations)
        ]
        if not all(each.known for each in found):
            self._sessions.put_back(*events)
            return
        for station, surge in zip(self._stations, found, strict=True):
            final = surge.messages["final"] == 1
            done, left = surge.messages[final], surge.messages[~final]
            self._sessions.complete(done["platform"].copy(), done["done_s"].copy())
            names = ("next_s", "platform", "stamp", "deadline_s")
            self._sessions.put_back(*(left[name].copy() for name in names))
            station.server.platforms["offline"][station.numbers(done["platform"])] = 0
            _book(station.server, surge)

    def _carried(self, station: Controller, events: Sequence[Any], until_s: float) -> Surge:
        """What becomes of the messages to one station."""
        order, count = np.lexsort((events[1], events[0])), len(events[0])
        messages, number = np.zeros(count, MESSAGE), station.station.number
        for name, column in zip(("next_s", "platform", "stamp", "deadline_s"), events, strict=True):
            messages[name] = column[order]
        messages["population"] = self._sessions.population[messages["platform"]]
        messages["line"] = self._line[messages["population"]]
        lines, server = np.zeros(len(self._delay_s), LINE), station.server
        sizes = np.bincount(messages["line"], minlength=len(lines))
        lines["delay_s"], lines["size"], lines["head_s"] = self._delay_s, sizes, np.inf
        lines["first"] = np.cumsum(sizes) - sizes
        intervals = np.zeros(len(server.intervals), INTERVAL)
        intervals["end_s"] = server.intervals["end_s"]
        free_s, ladder = np.sort(server.cores["idle_since_s"]), self._sessions.ladder
        setting, variance = np.zeros(1, SETTING), math.log1p(float(ladder.cv[number]) ** 2)
        setting["seed"], setting["replication"] = self._study.seed, self._study.replication
        setting["sigma"], setting["mean"] = math.sqrt(variance), 0.5 * variance
        setting["until_s"] = until_s
        known = _carry(
            setting[0], messages, lines, np.zeros(count, PLACE), ladder.work_s[number],
            ladder.steps, free_s, intervals,
        )  # fmt: skip
        return Surge(known, messages, free_s, intervals["busy_s"])


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


@inlined
def _work_s(setting: Any, message: Any, mean_s: float) -> float:
    """Work of a message, as `draws.lognormals_at` draws it. [s]"""
    if setting.sigma == 0.0:
        return mean_s
    normal = normal_at(setting.seed, LOGIN, setting.replication, message.platform, message.stamp)
    return mean_s * math.exp(setting.sigma * normal - setting.mean)


@inlined
def _serve(begun_s: float, work_s: float, free_s: Any, intervals: Any, interval: int) -> Any:
    """The core that is free first works; when it is done [s], and in which interval it began."""
    ended_s, core = begun_s + work_s, 1
    while core < free_s.size and free_s[core] < ended_s:
        free_s[core - 1] = free_s[core]
        core += 1
    free_s[core - 1] = ended_s
    while begun_s >= intervals[interval].end_s:
        interval += 1
    i = interval
    while ended_s > intervals[i].end_s:
        intervals[i].busy_s += intervals[i].end_s - begun_s
        begun_s = intervals[i].end_s
        i += 1
    intervals[i].busy_s += ended_s - begun_s
    return ended_s, interval


@inlined
def _queue_up(messages: Any, number: int, line: Any, places: Any) -> None:
    """A Platform's next message queues up in its line, which is in order of arrival."""
    message, k = messages[number], line.length
    to = (line.head + k) % line.size
    while k > 0:
        before = to - 1 if to > 0 else line.size - 1
        other = places[line.first + before]
        if other.due_s < message.next_s or (
            other.due_s == message.next_s and messages[other.message].platform < message.platform
        ):
            break
        places[line.first + to].due_s = other.due_s
        places[line.first + to].message = other.message
        to, k = before, k - 1
    places[line.first + to].due_s = message.next_s
    places[line.first + to].message = number
    line.length += 1
    line.head_s = places[line.first + line.head].due_s


@inlined
def _first(messages: Any, lines: Any, places: Any, following: int) -> Any:
    """The message that arrives next, and its line: -1 if it is of those known from the start.

    At one instant the lower Platform is first. Nothing more arrives if its instant is infinite.
    """
    chosen, number, now_s = -1, following, np.inf
    if following < messages.size:
        now_s = messages[following].next_s
    for i in range(lines.size):
        head_s = lines[i].head_s
        if head_s < now_s or (head_s == now_s and head_s < np.inf):
            other = places[lines[i].first + lines[i].head].message
            if head_s < now_s or messages[other].platform < messages[number].platform:
                chosen, number, now_s = i, other, head_s
    return chosen, number, now_s


@compiled
def _carry(
    setting: Any, messages: Any, lines: Any, places: Any, work_s: Any, steps: Any, free_s: Any,
    intervals: Any,
) -> bool:  # fmt: skip
    """Serve messages in order of arrival, and those that follow from them.

    False if somebody would give up, or a core be at work when something else happens.
    """
    following, interval = 0, 0
    while True:
        chosen, number, now_s = _first(messages, lines, places, following)
        if now_s >= setting.until_s:
            return True
        if chosen < 0:
            following += 1
        else:
            line = lines[chosen]
            line.head, line.length = (line.head + 1) % line.size, line.length - 1
            line.head_s = np.inf
            if line.length > 0:
                line.head_s = places[line.first + line.head].due_s
        message = messages[number]
        step, line = message.stamp & STEP_MASK, lines[message.line]
        spent_s = _work_s(setting, message, work_s[message.population, step])
        begun_s = max(now_s, free_s[0])
        ended_s, interval = _serve(begun_s, spent_s, free_s, intervals, interval)
        answer_s = ended_s + line.delay_s
        if ended_s >= setting.until_s or answer_s > message.deadline_s:
            return False
        if step + 1 == steps[message.population]:
            message.done_s, message.final = ended_s, 1
        else:
            message.next_s = answer_s + line.delay_s
            message.stamp += 1
            _queue_up(messages, number, line, places)
