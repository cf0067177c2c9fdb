"""Sessions once more: every Platform a SimPy process that connects, logs in, fails and waits.

Shares no code with `sim.sessions` but the draws, the waits of the retry policies and the steps of a
login. At one instant faults come first, then jobs in the order of their Platforms' numbers, then
the rest; a deadline comes last.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

import numpy as np
import simpy

from results import histogram
from sim.reference_books import Directory
from sim.reference_clocks import FIRST_PRIORITY, StoppedClock, at
from sim.reference_gates import ReferenceGate
from sim.reference_offline import LEAST_PRIORITY, ReferenceStore
from sim.reference_platforms import ReferencePlatform
from sim.reference_resumptions import SleepingSessions
from sim.reference_stanzas import Pace, Publication, Socket, Target
from sim.session_books import SessionTally, logging_in, online_at_start
from sim.study import Study
from topologies import schema
from topologies.profiles import Profile


class Receiver(Protocol):
    """A server as a Platform sees it."""

    def receive(self, publication: Publication) -> None:
        """Something arrives."""

    def hang_up(self, socket: Socket) -> None:
        """A connection is lost."""


class ReferenceSessions:
    """The sessions of one Controller's Platforms, and of guests from elsewhere."""

    def __init__(
        self, env: simpy.Environment, study: Study, node: schema.Controller, profile: Profile
    ) -> None:
        self.env, self.study, self.node, self.profile = env, study, node, profile
        self.log: list[tuple[str, int, float, float]] = []  # what, population, when, latency
        self._doors: dict[float, list[tuple[int, Publication]]] = {}
        self._presences: dict[float, list[tuple[int, Callable[[], bool]]]] = {}
        self._platforms: dict[int, ReferencePlatform] = {}
        self._guests: dict[int, ReferencePlatform] = {}
        first, people = 0, Directory(study.topology, study.seed)
        self._cluster = [self]
        for number, population in enumerate(study.topology.platforms):
            for platform in range(first, first + population.count):
                if people.home(platform) == node.name and population.login is not None:
                    place = (platform - first) % (population.addresses or population.count)
                    address = f"{population.name} {place}"
                    self._platforms[platform] = ReferencePlatform(self, number, platform, address)
            first += population.count
        self.down_until_s, self.silent = -math.inf, False
        self.asleep = SleepingSessions(node.resumption)
        self.store = ReferenceStore(node, study.topology, profile.server)
        self.gate = ReferenceGate(node, profile.server)
        self.tell: Callable[[int, float], None] | None = None  # who knows that it is online
        self.subscribed: Callable[[int], None] | None = None  # whose subscriptions are answered
        self.clock, self.pace = StoppedClock(env, ()), Pace(profile.speed)

    def crash(self, until_s: float, notice_s: float) -> None:
        """The server has lost all sessions and messages, and takes none until then."""
        self.down_until_s, self.silent = until_s, notice_s > 0.0
        self.asleep = SleepingSessions(self.node.resumption)
        self.gate = ReferenceGate(self.node, self.profile.server)
        for platform in (*self._platforms.values(), *self._guests.values()):
            platform.hang_up(self, notice_s)

    def meet(self, others: Mapping[str, ReferenceSessions], people: Directory) -> None:
        """Get to know the other Controllers, to which its Platforms may turn, and nodes."""
        self._cluster = [
            each for name, each in others.items() if name.partition(" node ")[0] == self.node.name
        ]
        for number, platform in self._platforms.items():
            names = self.study.topology.platforms[platform.population].failover
            platform.ring, platform.people = [self, *(others[name] for name in names)], people
            for other in platform.ring[1:]:
                other._guests[number] = platform

    def connect(self, server: Receiver, take: Callable[[Publication, Target], None]) -> None:
        """The server that jobs go to, and what takes stanzas for a Platform."""
        self._server, self._take = server, take

    def hang_up(self, platform: int) -> None:
        """The server loses the connection of a Platform."""
        self._server.hang_up(platform)

    def keep(self, socket: Socket, stanza: Publication) -> None:
        """A copy is for a Platform without a session."""
        if isinstance(socket, int):
            self.asleep.keep(socket, stanza, self.env.now)
            self.store.keep(socket, stanza, self.env.now)

    def expect(self, platform: int, delay_s: float, logged_in: Callable[[], bool]) -> None:
        """Somebody has logged in: what is stored goes out when the presence comes."""
        presence_s = self.env.now + 2.0 * delay_s
        if not self.store.possible:
            return
        self.store.expect(platform, presence_s)
        if presence_s not in self._presences:
            self._presences[presence_s] = []
            come = at(self.env, presence_s, LEAST_PRIORITY)
            come.callbacks.append(lambda _: self._send_stored(presence_s))
        self._presences[presence_s].append((platform, logged_in))

    def _send_stored(self, presence_s: float) -> None:
        for platform, logged_in in sorted(
            self._presences.pop(presence_s), key=lambda each: each[0]
        ):
            for stanza in self.store.send(platform, presence_s) if logged_in() else ():
                again = replace(stanza, arrival_s=presence_s, socket=platform, resumed=True)
                self._take(again, platform)

    def wake(self, platform: int, delay_s: float) -> None:
        """A session is resumed: what was kept goes out as the Platform's next message comes."""
        copies, life = self.asleep.end(platform), self.asleep

        def resend(_: object) -> None:
            for stanza in copies if life is self.asleep else ():
                again = replace(stanza, arrival_s=self.env.now, socket=platform, resumed=True)
                self._take(again, platform)

        at(self.env, self.env.now + 2.0 * delay_s).callbacks.append(resend)

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

    def holds_back(self, socket: Socket, stanza: Publication) -> bool:
        """Whether a copy is stored although there is a session."""
        return isinstance(socket, int) and self.store.holds_back(socket, stanza, self.env.now)

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
        log = [entry for each in self._cluster for entry in each.log]
        for what, population, instant_s, latency_s in log:
            tables[what][int(table.intervals(np.array([instant_s]))[0]), population] += 1
            if what == "login":
                latencies[population].append(latency_s)
        away = np.zeros(len(counts), np.int64)
        for platform in (one for each in self._cluster for one in each._platforms.values()):
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
                remember = fault.kind == "disconnect"
                platform.lose(fault.start + fault.duration, fault.spread, remember)
