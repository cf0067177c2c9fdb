"""Sessions of the Platforms: offline, waiting, logging in step by step, online; for all at once.

The conductor's half of a login. A Platform sends a message, the server works on it like on any
other job, the answer travels back, the Platform sends the next one; it gives up after a time, waits
as its retry policy says, and tries again. What a Platform does depends on what the server has done,
so traffic is carried in look-ahead windows: if nothing of a login can be completed before E, then
nothing that follows from it reaches a server before E + the shortest round trip, and all arrivals
until then are known. E is the present while jobs are in the servers, else the next arrival.

Rules: an attempt is given up at its deadline, unless the last answer is there at that instant or
before. A Platform sends a publication if it knows at the intended instant that it is online. What
the server completed before a loss counts. Attempts begin until the end of the run.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sim import draws
from sim.calendar import Calendar, Events
from sim.draws import Purpose
from sim.failovers import Whereabouts
from sim.freezes import Sockets
from sim.keeping import keeps
from sim.ladders import STEP_BITS, STEP_MASK, Ladder
from sim.logins import ROUNDS_OF_CONNECT
from sim.messages import Messages, nothing
from sim.retries import Waits
from sim.session_books import SessionBooks, SessionTally
from sim.state import (
    FINAL,
    PLATFORM_MASK,
    REFUSED,
    STAMP_SHIFT,
    Floats,
    Integers,
    Records,
)
from sim.stations import Graph
from sim.study import Study
from topologies.quantities import DELAY_S_MIN

OFFLINE, WAITING, CONNECTING, ONLINE, UNHEARD = range(5)  # unheard: nothing answers an attempt
CAUTION = 1.0 - 1e-12  # windows are shorter than the look-ahead by more than roundings

Mask = npt.NDArray[np.bool_]


class Sessions:
    """The sessions of all Platforms of a grid.

    Parameters
    ----------
    study : Study
        The replication.
    graph : Graph
        Its stations.
    where : Whereabouts
        At which of them Platforms are.
    """

    def __init__(self, study: Study, graph: Graph, where: Whereabouts) -> None:
        topology = graph.topology
        self._topology, self._study, self._graph = topology, study, graph
        self._where = where
        self._key = (study.seed, study.replication)
        self.ladder = Ladder(graph, self._key)
        self._doors, self._tickets = self.ladder.doors, self.ladder.tickets
        self._delay_s = np.array([each.network.delay for each in topology.platforms])
        self._timeout_s = np.array([each.retry.timeout for each in topology.platforms])
        counts = [each.count for each in topology.platforms]
        self.population = np.repeat(np.arange(len(counts), dtype=np.uint16), counts)
        self._status = np.where(self._doors.wrong, OFFLINE, ONLINE).astype(np.uint8)[
            self.population
        ]
        self._failures, self._losses = np.zeros((2, len(self.population)), np.uint32)
        self._attempt, self._cut = np.zeros((2, len(self.population)), np.int64)
        self._deadline_s, self._began_s = np.zeros((2, len(self.population)))
        self._cut_s = np.full(len(self.population), -np.inf)
        self._waits = Waits(topology.platforms, len(self.population))
        self.online_s = np.where(self._doors.wrong, np.inf, -np.inf)[self.population]
        self._starts, self._arrivals, self._timeouts = Calendar(), Calendar(), Calendar()
        self.sockets = Sockets(len(graph.stations))
        self._in_flight = np.zeros(len(graph.stations), np.int64)
        self._down_until_s = np.full(len(graph.stations), -np.inf)
        self._silent = np.zeros(len(graph.stations), np.bool_)
        logging_in = [each.network.delay for each in topology.platforms if each.login is not None]
        self._delay_min_s = min(logging_in)
        assert self._delay_min_s >= DELAY_S_MIN, "windows need a length; the file's check says so"
        kept = any(keeps(each.node) for each in graph.stations)
        self.plain = self._doors.open and not (kept or where.moves)
        self.books = SessionBooks(study.timetable, topology)

    def horizon(self, now_s: float) -> tuple[float, float]:
        """From when on servers may complete jobs, and until when all their arrivals are known."""
        first_s = now_s
        if not self._in_flight.any():
            connect_s = ROUNDS_OF_CONNECT * self._delay_min_s * CAUTION
            starts_s = min(self._starts.next_s, self._timeouts.next_s)
            next_s = min(self._arrivals.next_s, self.sockets.next_s, starts_s + connect_s)
            first_s = max(now_s, next_s)
        ways = 1.0 if self._where.moves else 2.0  # who is online at once is at the next station
        return first_s, first_s + ways * self._delay_min_s * CAUTION

    @property
    def waiting(self) -> int:
        """Messages on their way and attempts to come."""
        return len(self._starts) + len(self._arrivals)

    @property
    def quiet(self) -> bool:
        """Whether servers have nothing to do for Platforms."""
        return not self._in_flight.any()

    def expected(self, before_s: float) -> Events:
        """Messages that arrive before that instant, those of attempts that begin before too."""
        self._begin(*self._starts.take(before_s))
        return self._sent(*self._arrivals.take(before_s))

    def current(self, platform: Integers, stamp: Integers) -> Mask:
        """Which messages are of their Platforms' present attempts."""
        return np.asarray(stamp >> STEP_BITS == self._attempt[platform])

    def put_back(self, *events: Any) -> None:
        """Messages will arrive after all."""
        self._arrivals.add(*events)

    def complete(self, platform: Integers, done_s: Floats) -> None:
        """Servers have answered the last steps of logins, in time."""
        self._log_in(platform, done_s, done_s + self._delay_s[self.population[platform]])

    def _sent(
        self, arrival_s: Floats, platform: Integers, stamp: Integers, deadline_s: Floats
    ) -> Events:
        """Of these messages those that were sent before their Platforms lost power."""
        sent = stamp >= self._cut[platform]
        if sent.all():
            return arrival_s, platform, stamp, deadline_s
        sent |= arrival_s < self._cut_s[platform] + self._delay_s[self.population[platform]]
        return arrival_s[sent], platform[sent], stamp[sent], deadline_s[sent]

    def messages(self, decided_s: float, until_s: float, end_s: float) -> list[Messages]:
        """Messages that arrive before `until_s`, by station.

        No server completes a job before `decided_s` that is not completed yet; until `end_s`
        nothing but traffic happens.
        """
        self._give_up(decided_s, end_s)
        self._begin(*self._starts.take(until_s))
        steps = self._sent(*self._arrivals.take(until_s))
        steps = self.sockets.read(steps, self._station(steps[1], steps[2]), until_s)
        order = np.lexsort((steps[1], steps[0]))
        arrival_s, platform = steps[0][order], steps[1][order]
        stamp, deadline_s = steps[2][order], steps[3][order]
        home = self._station(platform, stamp)
        self._in_flight += np.bincount(home, minlength=len(self._in_flight))
        found = [nothing()] * len(self._graph.stations)
        for number in np.unique(home).tolist():
            own = home == number
            found[number] = self.ladder.messages(
                number, self.population[platform[own]], arrival_s[own], platform[own],
                stamp[own], deadline_s[own],
            )  # fmt: skip
        return found

    def answered(self, station: int, completions: Records) -> None:
        """A server has answered messages: what the Platforms do then."""
        if not len(completions):
            return
        self._in_flight[station] -= len(completions)
        platform = completions["job"] & PLATFORM_MASK
        delay_s = self._delay_s[self.population[platform]]
        answer_s = completions["done_s"] + delay_s
        stamp, deadline_s = completions["job"] >> STAMP_SHIFT, self._deadline_s[platform]
        population, step = self.population[platform], stamp & STEP_MASK
        heard = stamp >> STEP_BITS == self._attempt[platform]
        heard &= (self._status[platform] == CONNECTING) & (answer_s <= deadline_s)
        refused = heard & (completions["flags"] & REFUSED != 0)
        refused |= self._doors.denied(
            station, heard & ~refused, platform, population, step, completions["done_s"]
        )
        final = heard & ~refused & (completions["flags"] & FINAL != 0)
        going_on = heard & ~refused & ~final
        self.books.refuse(self.population[platform[refused]], completions["done_s"][refused])
        self._fail(platform[refused], answer_s[refused])
        following = self._tickets.following(
            platform[going_on], population[going_on], step[going_on]
        )
        self._arrivals.add(
            (answer_s + delay_s)[going_on], platform[going_on],
            stamp[going_on] - step[going_on] + following, deadline_s[going_on],
        )  # fmt: skip
        self._log_in(platform[final], completions["done_s"][final], answer_s[final])
        if self._where.moves:
            who = platform[final]
            self._where.note(who, np.full(len(who), station), answer_s[final])

    def cut_off(
        self, chosen: Mask, instant_s: float, first_s: float, spread_s: float,
        remember: bool = False,
    ) -> Integers:  # fmt: skip
        """Platforms lose whatever they have at `instant_s`; who they are.

        Their first attempts come uniformly within `spread_s` after `first_s`. They may `remember`
        their sessions, if they knew of them.
        """
        self._settle_until(instant_s)
        platform = np.flatnonzero(chosen)
        if remember:
            known = (self._status[platform] == ONLINE) & (self.online_s[platform] <= instant_s)
            self._tickets.break_off(platform, self.population[platform], known)
        else:
            self._tickets.forget(platform)
        online = platform[self._status[platform] == ONLINE]
        self.books.lose(self.population[online], instant_s)
        self._losses[platform] += 1
        self._failures[platform] = 0
        self.online_s[platform] = np.inf
        self._status[platform] = WAITING
        start_s = first_s + self._shares(platform) * spread_s
        self._began_s[platform] = start_s
        self._waits.forget(platform, self.population[platform])
        self._schedule(platform, start_s, self._where.turns(self.population[platform]))
        self._cut[platform] = self._attempt[platform] << STEP_BITS
        self._cut_s[platform] = instant_s
        return np.asarray(platform)

    def crash(self, station: int, instant_s: float, until_s: float, notice_s: float) -> Integers:
        """A server forgets its sessions and takes nothing in until then; whose sessions they are.

        Platforms that were online notice after their delay and `notice_s`, and come back as after
        any loss; attempts under way fail then, or at their deadline.
        """
        self._settle_until(instant_s)
        self._in_flight[station] = 0
        self._doors.forget(station)
        self._down_until_s[station], self._silent[station] = until_s, notice_s > 0.0
        everybody = np.arange(len(self.population))
        logs_in = np.array([each.login is not None for each in self._topology.platforms])
        own = logs_in[self.population]
        own &= self.station(everybody) == station
        platform = everybody[own]
        status = self._status[platform]
        noticed_s = instant_s + self._delay_s[self.population[platform]] + notice_s
        online, connecting = status == ONLINE, status == CONNECTING
        self._lose(platform[online], instant_s, noticed_s[online])
        trying = platform[connecting]
        self.books.refuse(self.population[trying], np.full(len(trying), instant_s))
        self._fail(trying, np.minimum(self._deadline_s[trying], noticed_s[connecting]))
        on_their_way = self._arrivals.take(np.inf)
        elsewhere = self._station(*on_their_way[1:3]) != station
        self._arrivals.add(*(column[elsewhere] for column in on_their_way))
        return np.asarray(platform)

    def _lose(self, platform: Integers, instant_s: float, noticed_s: Floats) -> None:
        """Sessions are lost; their Platforms come back within their policy's first spread."""
        population = self.population[platform]
        self._tickets.break_off(platform, population, self.online_s[platform] <= instant_s)
        self.books.lose(population, instant_s)
        self._losses[platform] += 1
        self._failures[platform] = 0
        self.online_s[platform] = np.inf
        self._status[platform] = WAITING
        first_s = np.array([each.retry.first for each in self._topology.platforms])[population]
        self._began_s[platform] = start_s = noticed_s + self._shares(platform) * first_s
        self._waits.forget(platform, self.population[platform])
        self._schedule(platform, start_s)

    def _shares(self, platform: Integers) -> Floats:
        """Where in the spread of a return Platforms begin after their present loss. [1]"""
        (seed, replication), losses = self._key, self._losses[platform].astype(np.int64)
        return draws.uniforms_at(seed, Purpose.RETURN, replication, platform, losses)

    def station(self, platform: Integers) -> Integers:
        """Station that each Platform's present or next attempt, or its session, is at."""
        population = self.population[platform]
        return self._where.of_attempt(platform, population, self._attempt[platform])

    def _station(self, platform: Integers, stamp: Integers) -> Integers:
        """Station that messages with these stamps go to."""
        return self._where.of_attempt(platform, self.population[platform], stamp >> STEP_BITS)

    def resumes(self, platform: Integers) -> Mask:
        """Which Platforms will try to resume a session."""
        return self._tickets.holding(platform)

    def stamps(self, platform: Integers) -> Integers:
        """Jobs with an earlier stamp belong to a session that is no more."""
        away = self._status[platform] == OFFLINE
        return np.asarray((self._attempt[platform] + away) << STEP_BITS)

    def sent(self, publisher: npt.NDArray[np.uint32], intended_s: Floats) -> Mask:
        """Which publications their Platforms send: those that are online then."""
        return np.asarray(self.online_s[publisher] <= intended_s)

    def latency_s(self) -> Floats:
        """How long the last login of each Platform took that is online after one. [s]"""
        known = np.isfinite(self.online_s)
        return np.asarray(self.online_s[known] - self._began_s[known])

    def close(self) -> SessionTally:
        """What happened to sessions in the run."""
        away = np.bincount(
            self.population[self._status == OFFLINE], minlength=len(self._topology.platforms)
        )
        return self.books.close(away)

    def _settle_until(self, instant_s: float) -> None:
        """Do what the Platforms have done before a control event."""
        self._give_up(instant_s, instant_s)
        while self._starts.next_s < instant_s:
            self._begin(*self._starts.take(instant_s))
            self._give_up(instant_s, instant_s)

    def _give_up(self, decided_s: float, end_s: float) -> None:
        """Attempts that cannot succeed any more fail at their deadline, if it is before `end_s`."""
        key_s, platform, stamp, deadline_s = self._timeouts.take(decided_s)
        if not len(key_s):
            return
        pending = stamp >> STEP_BITS == self._attempt[platform]
        status = self._status[platform]
        pending &= (status == CONNECTING) | (status == UNHEARD)
        later = pending & (deadline_s >= end_s)
        self._timeouts.add(key_s[later], platform[later], stamp[later], deadline_s[later])
        now = pending & ~later
        platform, deadline_s = platform[now], deadline_s[now]
        self.books.give_up(self.population[platform], deadline_s)
        self._fail(platform, deadline_s)

    def _begin(self, start_s: Floats, platform: Integers, stamp: Integers, *_: Floats) -> None:
        """Attempts begin: Platforms connect."""
        current = stamp >> STEP_BITS == self._attempt[platform]
        if not current.all():
            start_s, platform, stamp = start_s[current], platform[current], stamp[current]
        population = self.population[platform]
        delay_s = self._delay_s[population]
        self._status[platform] = CONNECTING
        self._deadline_s[platform] = deadline_s = start_s + self._timeout_s[population]
        self.books.attempt(population, start_s)
        up = self._refused(platform, start_s, deadline_s)
        if not up.all():
            platform, stamp, start_s, deadline_s, delay_s = (
                platform[up], stamp[up], start_s[up], deadline_s[up], delay_s[up],
            )  # fmt: skip
        send_s = start_s
        for _way in range(ROUNDS_OF_CONNECT - 1):
            send_s = send_s + delay_s
        sends = send_s <= deadline_s
        silence = start_s < self._down_until_s[self._station(platform, stamp)]
        self._status[platform[silence]] = UNHEARD
        sends &= ~silence
        self._arrivals.add_those(sends, send_s + delay_s, platform, stamp, deadline_s)
        key_s = np.nextafter(np.nextafter(deadline_s - delay_s, np.inf), np.inf)
        self._timeouts.add(key_s, platform, stamp, deadline_s)

    def _refused(self, platform: Integers, start_s: Floats, deadline_s: Floats) -> Mask:
        """Fail attempts at servers whose host says that nobody listens; which ones go on."""
        home = self.station(platform)
        refused = (start_s < self._down_until_s[home]) & ~self._silent[home]
        if refused.any():
            who, population = platform[refused], self.population[platform[refused]]
            self.books.refuse(population, start_s[refused])
            back_s = start_s[refused] + self._delay_s[population] + self._delay_s[population]
            self._fail(who, np.minimum(back_s, deadline_s[refused]))
        return ~refused

    def _log_in(self, platform: Integers, done_s: Floats, instant_s: Floats) -> None:
        assert (self._status[platform] != ONLINE).all(), "an account has one session at a time"
        population = self.population[platform]
        self._status[platform] = ONLINE
        self.online_s[platform] = instant_s
        self._failures[platform] = 0
        self._waits.forget(platform, population)
        self._tickets.forget(platform)
        self.books.log_in(population, done_s, instant_s - self._began_s[platform])

    def _fail(self, platform: Integers, instant_s: Floats) -> None:
        """Attempts have failed: their Platforms wait, or stay away."""
        if not len(platform):
            return
        self._failures[platform] += 1
        self._status[platform] = WAITING
        seed, replication = self._key
        uniform = draws.uniforms_at(
            seed, Purpose.RETRY, replication, platform, self._attempt[platform]
        )
        population, failures = self.population[platform], self._failures[platform].astype(np.int64)
        wait_s, again = self._waits.after(platform, population, failures, uniform)
        self._status[platform[~again]] = OFFLINE
        self._schedule(platform[again], (instant_s + wait_s)[again])

    def _schedule(self, platform: Integers, start_s: Floats, turns: Integers | int = 1) -> None:
        """The next attempts begin then, if the run lasts so long, so many turns of the ring on."""
        self._attempt[platform] += turns
        due = start_s <= self._study.timetable.duration_s
        stamp = self._attempt[platform] << STEP_BITS
        self._starts.add_those(due, start_s, platform, stamp, start_s)
