"""Sessions once more: every Platform a SimPy process that connects, logs in, fails and waits.

Shares no code with `sim.sessions` but the draws, the waits of the retry policies and the steps of a
login. At one instant faults come first, then jobs in the order of their Platforms' numbers, then
the rest; a deadline comes last.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Generator, Mapping
from typing import Any, Protocol

import numpy as np
import simpy

from results import histogram
from sim import draws
from sim.draws import Purpose
from sim.logins import ROUNDS_OF_CONNECT, Step, proof_of, steps
from sim.reference_books import Directory
from sim.reference_clocks import StoppedClock
from sim.reference_gates import ReferenceGate
from sim.reference_stanzas import Job, Pace, Publication, Socket
from sim.retries import waits_s
from sim.session_books import SessionTally, logging_in, online_at_start
from sim.study import Study
from topologies import schema
from topologies.profiles import Profile

FIRST_PRIORITY, LAST_PRIORITY = 0, 100
Process = Generator[simpy.Event, Any, None]


class Receiver(Protocol):
    """A server as a Platform sees it."""

    def receive(self, publication: Publication) -> None:
        """Something arrives."""


def event_in(env: simpy.Environment, delay_s: float, priority: int) -> simpy.Event:
    """An event after a delay, of this priority among those of its instant."""
    event = simpy.Event(env)
    event._ok, event._value = True, None
    env.schedule(event, priority, delay_s)
    return event


class ReferenceSessions:
    """The sessions of one Controller's Platforms, and of guests from elsewhere."""

    def __init__(
        self, env: simpy.Environment, study: Study, node: schema.Controller, profile: Profile
    ) -> None:
        self.env, self.study, self.node, self.profile = env, study, node, profile
        self.log: list[tuple[str, int, float, float]] = []  # what, population, when, latency
        self._doors: dict[float, list[tuple[int, Publication]]] = {}
        self._platforms: dict[int, ReferencePlatform] = {}
        self._guests: dict[int, ReferencePlatform] = {}
        first = 0
        for number, population in enumerate(study.topology.platforms):
            if population.controller == node.name and population.login is not None:
                for platform in range(first, first + population.count):
                    place = (platform - first) % (population.addresses or population.count)
                    address = f"{population.name} {place}"
                    self._platforms[platform] = ReferencePlatform(self, number, platform, address)
            first += population.count
        self.down_until_s, self.silent = -math.inf, False
        self.gate = ReferenceGate(node)
        self.tell: Callable[[int, float], None] | None = None  # who knows that it is online
        self.clock, self.pace = StoppedClock(env, ()), Pace(profile.speed)

    def crash(self, until_s: float, notice_s: float) -> None:
        """The server has lost all sessions and messages, and takes none until then."""
        self.down_until_s, self.silent = until_s, notice_s > 0.0
        self.gate = ReferenceGate(self.node)
        for platform in (*self._platforms.values(), *self._guests.values()):
            platform.hang_up(self, notice_s)

    def meet(self, others: Mapping[str, ReferenceSessions], people: Directory) -> None:
        """Get to know the other Controllers, to which its Platforms may turn."""
        for number, platform in self._platforms.items():
            names = self.study.topology.platforms[platform.population].ring
            platform.ring, platform.people = [others[name] for name in names], people
            for other in platform.ring[1:]:
                other._guests[number] = platform

    def connect(self, server: Receiver) -> None:
        """The server that jobs go to."""
        self._server = server

    def arrive(self, publication: Publication, platform: int, delay_s: float) -> None:
        """A job will reach the server after a delay; those of one instant by Platform."""
        self._knock(self.env.now + delay_s, publication, platform)

    def _knock(self, instant_s: float, publication: Publication, platform: int) -> None:
        if instant_s not in self._doors:
            self._doors[instant_s] = []
            door = at(self.env, instant_s, FIRST_PRIORITY)
            door.callbacks.append(lambda _: self._open(instant_s))
        self._doors[instant_s].append((platform, publication))

    def _open(self, instant_s: float) -> None:
        for platform, publication in sorted(self._doors.pop(instant_s), key=lambda each: each[0]):
            if publication.lost_s < math.inf:
                continue
            if (until_s := self.clock.stands_until()) is not None:
                self._knock(until_s, publication, platform)
                continue
            if publication.job is not None:
                publication.job.came()
            self._server.receive(publication)

    def has_session(self, socket: Socket) -> bool:
        """Whether the server has a session of the Platform; with peers it always has."""
        found = self._platform(socket) if isinstance(socket, int) else None
        return found is None or (found.session and found.there is self)

    def _platform(self, number: int) -> ReferencePlatform | None:
        return self._platforms.get(number) or self._guests.get(number)

    def online_s(self, platform: int) -> float:
        """Since when a Platform knows that it is online; infinite if it is not. [s]"""
        return self._platforms[platform].online_s

    def sent(self, publication: Publication) -> bool:
        """Whether its Platform was online to send it."""
        found = self._platform(publication.publisher)
        return found is None or found.online_s <= publication.intended_s

    def tally(self) -> SessionTally:
        """The books of `sim.session_books`, from the list of all that happened."""
        table, topology = self.study.timetable, self.study.topology
        counts = np.array([each.count for each in topology.platforms])
        tables = {
            what: np.zeros((len(table.edges_s), len(counts)), np.int64)
            for what in ("attempt", "login", "given up", "refused", "lost")
        }
        latencies: list[list[float]] = [[] for _ in counts]
        for what, population, instant_s, latency_s in self.log:
            tables[what][int(table.intervals(np.array([instant_s]))[0]), population] += 1
            if what == "login":
                latencies[population].append(latency_s)
        away = np.zeros(len(counts), np.int64)
        for platform in self._platforms.values():
            away[platform.population] += platform.away
        return SessionTally(
            populations=tuple(each.name for each in topology.platforms),
            attempts=tables["attempt"],
            logins=tables["login"],
            given_up=tables["given up"],
            refused=tables["refused"],
            online=online_at_start(topology) + np.cumsum(tables["login"] - tables["lost"], axis=0),
            away=away,
            latency=tuple(histogram.count(each) for each in latencies),
        ).of(logging_in(topology, self.node.name))

    def strike(self, fault: schema.Outage) -> None:
        """A population's power fails."""
        names = [population.name for population in self.study.topology.platforms]
        for platform in self._platforms.values():
            if platform.population == names.index(fault.population):
                platform.lose(fault.start + fault.duration, fault.spread)


class ReferencePlatform:
    """One Platform."""

    def __init__(
        self, sessions: ReferenceSessions, population: int, platform: int, address: str
    ) -> None:
        self.sessions, self.population, self.platform = sessions, population, platform
        self._address = address
        description = sessions.study.topology.platforms[population]
        assert description.login is not None
        self._retry, self._delay_s = description.retry, description.network.delay
        self._right, self.ring = description.login.password == "right", [sessions]
        self._login, self._description = description.login, description
        self._proof = proof_of(steps(description, description.login, sessions.profile))
        self.people: Directory | None = None
        self.session, self.online_s = self._right, -math.inf if self._right else math.inf
        self._losses = self._attempts = self._failures = 0
        self._life: simpy.Process | None = None
        self._attempt: object = None
        self._deadline_s, self._wait_s = math.inf, description.retry.base
        self._under_way: list[tuple[ReferenceSessions, Publication]] = []
        self._began_s, self.away = 0.0, not self._right

    @property
    def there(self) -> ReferenceSessions:
        """The Controller that its present or next attempt, or its session, is at."""
        return self.ring[self._attempts % len(self.ring)]

    def lose(self, first_s: float, spread_s: float) -> None:
        """The Platform loses whatever it has, and comes back later."""
        env = self.sessions.env
        if self.session:
            self._note("lost", env.now)
        if self._life is not None and self._life.is_alive:
            self._life.interrupt()
        self.session, self.online_s, self._attempt = False, math.inf, None
        self._losses += 1
        self._attempts += len(self.ring)  # where it was
        self._failures, self._wait_s = 0, self._retry.base
        start_s = first_s + self._draw(Purpose.RETURN, self._losses) * spread_s
        self._life = env.process(self._come_back(start_s))

    def hang_up(self, server: ReferenceSessions, notice_s: float) -> None:
        """A server is gone: a session is lost, an attempt fails, messages find nobody."""
        env = self.sessions.env
        noticed_s = env.now + self._delay_s + notice_s
        for goal, message in self._under_way:
            if goal is server:
                message.lost_s = env.now
        if self.there is not server:
            return
        if self._attempt is not None:
            self._note("refused", env.now)
            assert self._life is not None
            self._life.interrupt()
            self._attempt = None
            start_s = self._next_start_s(min(self._deadline_s, noticed_s))
            self._life = env.process(self._try_until_online(start_s))
        elif self.session:
            self._note("lost", env.now)
            if self._life is not None and self._life.is_alive:
                self._life.interrupt()
            self.session, self.online_s = False, math.inf
            self._losses += 1
            self._attempts += 1
            self._failures, self._wait_s = 0, self._retry.base
            start_s = noticed_s + self._draw(Purpose.RETURN, self._losses) * self._retry.first
            self._life = env.process(self._come_back(start_s))

    def _come_back(self, start_s: float) -> Process:
        """Begin anew after a loss."""
        self._began_s, self.away = start_s, False
        return self._try_until_online(start_s)

    def _try_until_online(self, start_s: float) -> Process:
        """Try from `start_s` on until it succeeds."""
        env = self.sessions.env
        try:
            while start_s <= self.sessions.study.timetable.duration_s:
                yield at(env, start_s)
                self._note("attempt", env.now)
                failed_s = yield from self._try()
                self._attempt = None
                if failed_s is None:
                    self.online_s = env.now
                    if self.people is not None:
                        self.people.move(self.platform, self.there.node.name)
                    if self.sessions.tell is not None:
                        self.sessions.tell(self.platform, self._delay_s)
                    return
                start_s = self._next_start_s(failed_s)
        except simpy.Interrupt:
            return

    def _next_start_s(self, failed_s: float) -> float:
        """When it tries again; never, if it has used up its attempts. [s]"""
        self._failures += 1
        if self._failures >= self._retry.attempts:
            self.away = True
            return math.inf
        self._wait_s = float(
            waits_s(
                self._retry,
                np.array([self._failures]),
                np.array([self._wait_s]),
                np.array([self._draw(Purpose.RETRY, self._attempts)]),
            )[0]
        )
        self._attempts += 1
        return failed_s + self._wait_s

    def _try(self) -> Generator[simpy.Event, Any, float | None]:
        """One attempt, from the connection to the session (none) or to when it fails. [s]"""
        env = self.sessions.env
        self._deadline_s = deadline_s = env.now + self._retry.timeout
        there = self.there
        if env.now < there.down_until_s:
            if there.silent:
                yield at(env, deadline_s, LAST_PRIORITY)
                self._note("given up", env.now)
                return float(env.now)
            self._note("refused", env.now)
            return float(min(env.now + self._delay_s + self._delay_s, deadline_s))
        deadline = at(env, deadline_s, LAST_PRIORITY)
        self._attempt = attempt = object()
        ladder = steps(self._description, self._login, there.profile)
        for number, step in enumerate(ladder):
            rounds = ROUNDS_OF_CONNECT - 1 if number == 0 else 0
            for _ in range(rounds):
                way = env.timeout(self._delay_s)
                yield way | deadline
                if not way.processed:
                    self._note("given up", env.now)
                    return float(env.now)
            last = number == len(ladder) - 1
            answer = self._send(step, (number, last), attempt, deadline_s)
            yield answer | deadline
            if not answer.processed:
                self._note("given up", env.now)
                return float(env.now)
            if answer.value:
                return float(env.now)
        return None

    def _send(
        self, step: Step, place: tuple[int, bool], attempt: object, deadline_s: float
    ) -> simpy.Event:
        """Send a step's message; the event is its answer, whose value says if it was a refusal.

        Its place is its number, and whether it is the last.
        """
        there, (number, last) = self.there, place
        env, study, profile = there.env, there.study, there.profile
        answer, delay_s = env.event(), self._delay_s
        costs, admission = profile.logins, there.node.admission
        assert costs is not None
        queue_wait_s = math.inf
        if admission is not None and admission.queue_wait is not None:
            queue_wait_s = admission.queue_wait
        index = self._attempts * 16 + number
        notices = costs.noticed > 0.0 and self._draw(Purpose.NOTICE, index) < costs.noticed
        refused = False
        entered_s = env.now + delay_s

        def came() -> None:
            nonlocal refused, entered_s
            entered_s = env.now
            refused = number == 0 and not there.gate.admits(self._address, env.now)

        def work_s() -> float:
            nonlocal refused
            if notices and env.now > deadline_s + delay_s:
                return 0.0
            if refused or (number == 0 and env.now - entered_s > queue_wait_s):
                refused = True
                return there.pace.factor * profile.speed * costs.refuse
            return there.pace.factor * step.work_s

        def done() -> None:
            nonlocal refused
            if attempt is self._attempt and env.now + delay_s <= deadline_s:
                refused = refused or self._denied(number)
                if refused:
                    self._attempt = None  # the server has decided: its end changes nothing now
                    self._note("refused", env.now)
                elif last:
                    self._attempt, self.session = None, True
                    self._note("login", env.now, env.now + delay_s - self._began_s)
            back = env.timeout(delay_s)
            back.callbacks.append(lambda _: answer.succeed(refused))

        key = (study.seed, Purpose.LOGIN, study.replication, np.array([self.platform]))
        factor = draws.lognormals_at(*key, np.array([index]), costs.cv)
        publication = Publication(
            row=-1, reached_s=entered_s, arrival_s=entered_s, intended_s=entered_s,
            socket=self.platform, publisher=self.platform, topic=-1, payload_bytes=0.0,
            spread=float(factor[0]), published=True, copies=[], job=Job(came, work_s, done),
        )  # fmt: skip
        self._under_way = [each for each in self._under_way if each[1].arrival_s > env.now]
        self._under_way.append((there, publication))
        there.arrive(publication, self.platform, delay_s)
        return answer

    def _denied(self, number: int) -> bool:
        """Whether the server turns it away as it answers this step."""
        gate, now_s = self.there.gate, self.sessions.env.now
        if number == self._proof:
            gate.judge(self._address, now_s, self._right)
            return not self._right
        return number == 0 and gate.closes(self._address, now_s)

    def _draw(self, purpose: Purpose, index: int) -> float:
        study = self.sessions.study
        key = (study.seed, int(purpose), study.replication)  # numba is slow to tell enums
        return float(draws.uniform_at(*key, self.platform, index))

    def _note(self, what: str, instant_s: float, latency_s: float = 0.0) -> None:
        self.sessions.log.append((what, self.population, instant_s, latency_s))


def at(env: simpy.Environment, instant_s: float, priority: int = 1) -> simpy.Event:
    """An event at exactly this instant."""
    event = simpy.Event(env)
    event._ok, event._value = True, None
    heapq.heappush(env._queue, (instant_s, priority, next(env._eid), event))
    return event
