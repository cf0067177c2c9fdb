"""One Controller of the oracle: its server, egress link, lines and its Platforms' readers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import simpy

from sim import draws
from sim.draws import Purpose
from sim.reference_books import Books, Directory, Log
from sim.reference_clocks import FIRST_PRIORITY, StoppedClock, at, cut_between, event_in, freezes_of
from sim.reference_fetches import ReferenceFetches
from sim.reference_inbound import Connection, Door, connection
from sim.reference_logins import ReferenceSessions
from sim.reference_loop import LoopTurnsServer
from sim.reference_requests import Presences, retract
from sim.reference_servers import FanoutProcessServer, FifoServer
from sim.reference_sessions import Session, read_in_bursts
from sim.reference_stanzas import Life, Pace, Publication, Socket, Surroundings, Target
from sim.requests import first_row
from sim.spells import paces
from sim.stations import Graph, Station, loop_rate
from sim.study import Study
from topologies import schema
from topologies.profiles import FanoutProcess, Fifo, LoopTurns

Floats = npt.NDArray[np.float64]
Received = tuple[Publication, int, float]  # stanza, Platform, instant
FAN_OUT, EVERYBODY = "a publication", "everybody"


class ReferenceController:
    """One Controller, its egress link, lines and its Platforms' readers, as SimPy processes."""

    def __init__(
        self, study: Study, env: simpy.Environment, graph: Graph, station: Station,
        people: Directory, fetches: ReferenceFetches,
    ) -> None:  # fmt: skip
        self._study, self._env, self._graph, self._fetches = study, env, graph, fetches
        self._node, self._profile = node, profile = station.node, station.profile
        self.log = Log()
        self._topology, self._people = study.topology, people
        self._names = [each.name for each in graph.stations]
        self._link = simpy.Resource(env)
        self._readers: dict[int, simpy.Resource] = {}
        self._own_links: dict[int, simpy.Resource] = {}
        self._sessions: dict[int, Session] = {}
        self._grid: Mapping[str, ReferenceController] = {}
        self._lines: dict[str, simpy.Resource] = {}
        self._connections: dict[str, Connection] = {}
        self._targets: dict[int, Target] = {}  # of stanzas that wait to be read
        self._held, self._held_bytes = 0, 0.0
        self._held_of = Counter[int]()  # copies by id of what the log keeps
        self._cores = 1 if isinstance(profile.costs, LoopTurns) else node.cores
        self._logins = ReferenceSessions(env, study, node, profile)
        self._unread: list[tuple[Publication, Target]] = []  # came while it stands still
        self._down_until_s, self._kept = -math.inf, 0
        self._clock = StoppedClock(env, freezes_of(self._topology, node.name))
        self._pace, self._spell = Pace(profile.speed), 1.0
        self._logins.clock, self._logins.pace = self._clock, self._pace
        self._start()
        if not node.steady:
            key = study.seed, study.replication, station.machine
            end_s = study.timetable.duration_s
            for instant_s, factor in (*paces(node, key, end_s), (end_s, 1.0)):
                begin = at(env, instant_s, FIRST_PRIORITY)
                begin.callbacks.append(lambda _, factor=factor: self._slow_in_spells(factor))
        for fault in self._topology.faults:
            begin = event_in(env, fault.start, FIRST_PRIORITY)
            begin.callbacks.append(lambda _, fault=fault: self._strike(fault))

    def _start(self) -> None:
        """A server without a past."""
        self._life = life = Life()
        self._server = self._serving(life)
        self._logins.connect(self._server, self.take)
        self._door = Door(
            self._env, self._node, self._profile,
            lambda stanza: self.take(stanza, FAN_OUT) if life is self._life else None,
        )  # fmt: skip

    def _strike(self, fault: schema.AnyFault) -> None:
        controller = self._node.name.partition(" node ")[0]  # all nodes of a cluster
        match fault:
            case schema.Outage():
                self._logins.strike(fault)
            case schema.Crash() if fault.controller == controller:
                self._crash(fault)
            case schema.SlowDown() if fault.controller == controller:
                self._slow_down(fault.factor)
                end = at(self._env, fault.start + fault.duration, FIRST_PRIORITY)
                end.callbacks.append(lambda _: self._slow_down(1.0 / fault.factor))

    def _slow_down(self, factor: float) -> None:
        """Whatever begins from now on takes so many times as long."""
        self._pace.factor *= factor
        self._server.slow_down(factor)

    def _slow_in_spells(self, factor: float) -> None:
        """Whatever begins from now on takes so many times as long as the profile says."""
        self._slow_down(factor / self._spell)
        self._spell = factor

    def _crash(self, fault: schema.Crash) -> None:
        """All that the server has is lost; what it has written is on its way."""
        self._life.end_s = self._env.now
        self._down_until_s = self._clock.up_s = fault.start + fault.duration
        for stanza in self.log.stanzas[self._kept :]:
            stanza.lost_s = self._env.now
        self._kept = len(self.log.stanzas)
        self.log.refused += self._door.refused
        self.log.unread |= self._door.waiting
        self._held, self._held_bytes = 0, 0.0
        self._held_of.clear()
        self.log.levels.append((self._env.now, 0, 0.0))
        self._logins.crash(self._down_until_s, fault.notice)
        self._start()

    def _serving(self, life: Life) -> LoopTurnsServer | FanoutProcessServer | FifoServer:
        number = self._names.index(self._node.name)
        receive_s, per_byte = self._profile.receive_s()
        around = Surroundings(
            self._env, self._clock, self._cores, self._pace,
            (self._study.seed, self._study.replication, number),
            self._send, lambda start_s, stop_s: self._worked(life, start_s, stop_s),
            lambda stanza, copies: self._hold(stanza, copies) if life is self._life else None,
            lambda payload_bytes: self._pace.factor * (receive_s + per_byte * payload_bytes),
            lambda socket: life is self._life and self._logins.has_session(socket),
            self._logins.holds_back,
            lambda stanza, socket: self._miss(life, stanza, socket),
            self._priority,
        )  # fmt: skip
        match self._profile.costs:
            case LoopTurns() as costs:
                rate = loop_rate(self._node.limits, self._profile)
                return LoopTurnsServer(costs, around, rate)
            case FanoutProcess() as costs:
                return FanoutProcessServer(costs, around)
            case Fifo() as costs:
                return FifoServer(costs, around)

    def _priority(self, stanza: Publication) -> int:
        if stanza.job is not None:
            return 0
        topic = stanza.topic if stanza.answer is None else stanza.answer.topic
        return self._study.topology.topics[topic].priority

    def _worked(self, life: Life, start_s: float, stop_s: float) -> None:
        if start_s < life.end_s:
            self.log.busy += self._clock.worked(start_s, min(stop_s, life.end_s))

    def _miss(self, life: Life, stanza: Publication, socket: Socket) -> None:
        if life is self._life:
            self.log.missed.append((self._env.now, stanza))
            self._logins.keep(socket, stanza)

    def connect(self, grid: Mapping[str, ReferenceController]) -> None:
        """Get to know the others."""
        self._grid = grid
        self._lines = {name: simpy.Resource(self._env) for name in grid}
        self._logins.meet({name: each._logins for name, each in grid.items()}, self._people)

    def meet(self, number: int, published: list[Publication], rows: int) -> None:
        """Its Platforms ask for things as they log in; their requests join those published."""
        begin = first_row(rows, self._graph.answers)
        begin += sum(each.answer is not None for each in published)
        self._published = published

        def enter(stanza: Publication) -> None:
            published.append(stanza)
            self.enter(stanza)

        def ask(stanza: Publication) -> None:
            published.append(stanza)
            self.log.own.append(stanza)
            self.take(stanza, FAN_OUT)

        self._presences = presences = Presences(
            self._study, self._env, self._graph, number, begin, self._logins.online_s, enter, ask
        )
        self._logins.tell, self._logins.subscribed = presences.log_in, presences.subscribe
        if isinstance(self._server, LoopTurnsServer):
            # Its last items are in the queue as the loop looks for more after that step, so that
            # it does not go to sleep.
            self._logins.subscribed = presences.remind

    def enter(self, stanza: Publication) -> None:
        """A publication of a Platform that is here reaches it, if that could send it."""
        self.log.own.append(stanza)
        if not self._logins.sent(stanza):
            self.log.dropped.append(stanza)
            return
        limits = self._node.limits
        limited = limits.client or limits.client_stanza or limits.account.rate
        if limited:
            self._door.arrive(stanza)
        else:
            self.take(stanza, FAN_OUT)

    def take(self, stanza: Publication, target: Target) -> None:
        """A stanza for somebody has come; a retract may follow it."""
        self._take(stanza, target)
        if target == FAN_OUT and (more := retract(self._study, self._graph, stanza)) is not None:
            self._published.append(more)
            self._take(more, target)

    def _take(self, stanza: Publication, target: Target) -> None:
        """Decide who gets copies of a stanza, and hand it to the server."""
        if self._env.now < self._down_until_s:
            return
        if (until_s := self._clock.stands_until()) is not None:
            if not self._unread:
                at(self._env, until_s).callbacks.append(lambda _: self._read_all())
            self._unread.append((stanza, target))
            return
        topic = stanza.topic if stanza.answer is None else stanza.answer.topic
        kept = self._people.keeps(self._node.name, topic)
        published = target == FAN_OUT and kept
        copies: list[tuple[Socket, Target]]
        if published and stanza.answer is not None:
            copies = self._fan_out(self._people.receivers(stanza), alone=True)
            stanza = replace(stanza, payload_bytes=stanza.answer.result_bytes)
        elif published:
            chosen = self._people.subscribers(stanza.topic)
            self._people.direct(stanza.row, chosen)
            copies = self._fan_out(chosen)
        elif target == FAN_OUT:
            copies = [(self._people.owner(topic), FAN_OUT)]
        elif target == EVERYBODY:
            chosen = self._people.subscribers(stanza.topic)
            here = [each for each in chosen if self._people.place(each) == self._node.name]
            copies = [(each, each) for each in here]
        else:
            assert isinstance(target, int)
            copies = [(target, target)]
        stanza = replace(stanza, published=published, copies=copies)
        self.log.resent += stanza.resumed
        self.log.stanzas.append(stanza)
        self._server.receive(stanza)

    def _read_all(self) -> None:
        """Take what has come while it stood still."""
        unread, self._unread = self._unread, []
        for stanza, target in unread:
            self._take(replace(stanza, arrival_s=self._env.now), target)

    def _fan_out(self, chosen: list[int], alone: bool = False) -> list[tuple[Socket, Target]]:
        """Each subscriber's copy, or one for all that live beyond a link which has it so."""
        copies: list[tuple[Socket, Target]] = []
        for platform in chosen:
            home = self._people.place(platform)
            if home == self._node.name:
                copies.append((platform, platform))
            elif alone or self._graph.link(self._node.name, home).copies == "subscriber":
                copies.append((home, platform))
            elif (home, EVERYBODY) not in copies:
                copies.append((home, EVERYBODY))
        return copies

    def _hold(self, publication: Publication, copies: int) -> None:
        self._held += copies
        if self._profile.memory.shared:
            others = self._held_of[id(publication)] > 0
            self._held_of[id(publication)] += copies
            copies = (self._held_of[id(publication)] > 0) - others
        self._held_bytes += copies * publication.payload_bytes
        self.log.levels.append((self._env.now, self._held, self._held_bytes))

    def _send(self, stanza: Publication, socket: Socket, target: Target) -> None:
        self.log.written.append((self._env.now, stanza))
        if isinstance(socket, str):
            self._env.process(self._pass_on(stanza, socket, target))
        elif self._node.queue is None:
            self._env.process(self._travel(stanza, socket))
        else:
            self._session(socket, self._node.queue).offer(stanza)

    def _session(self, platform: int, queue: schema.SessionQueue) -> Session:
        """A Platform's session, which keeps a queue."""
        if platform not in self._sessions:
            delay_s = self._people.population(platform).network.delay
            self._sessions[platform] = Session(
                self._env, platform, queue, delay_s, self._profile.envelope.notification,
                self._travel, self._hold, self.log,
            )  # fmt: skip
        return self._sessions[platform]

    def _leave(self, wire_bytes: float) -> Generator[simpy.Event, Any, None]:
        """A copy's way through the egress link."""
        with self._link.request() as turn:
            yield turn
            yield self._env.timeout(wire_bytes / self._node.nic)
        self.log.sent.append((self._env.now, wire_bytes))

    def _travel(self, publication: Publication, platform: int) -> Generator[simpy.Event, Any, None]:
        """A copy's way from the server's write to the end of its Platform's reading."""
        population = self._people.population(platform)
        wire_bytes = publication.payload_bytes + self._profile.envelope.notification
        yield from self._leave(wire_bytes)
        yield self._env.timeout(population.network.delay)
        if population.network.downlink is not None:
            own = self._own_links.setdefault(platform, simpy.Resource(self._env))
            with own.request() as turn:
                yield turn
                yield self._env.timeout(wire_bytes / population.network.downlink)
        yield from self._read(platform, population)
        yield from self._fetches.fetch(publication, platform)
        self.log.received.append((publication, platform, self._env.now))
        if publication.answer is not None:
            self._presences.read(publication, population.network.delay)

    def _read(self, platform: int, population: schema.Population) -> Generator[Any, Any, None]:
        """A Platform takes an item in, after those before it."""
        if population.read_rate is None and population.reader is None:
            return
        work_s = 1.0 / population.read_rate if population.read_rate else 0.0
        reader = self._readers.setdefault(platform, simpy.Resource(self._env))
        with reader.request() as turn:
            yield turn
            if population.reader is None:
                yield self._env.timeout(work_s)
                return
            cycle_s = population.reader.on + population.reader.off
            seed, replication = self._study.seed, self._study.replication
            share = draws.uniform_at(seed, Purpose.READER_PHASE, replication, platform, 0)
            phase_s = float(share) * cycle_s
            yield from read_in_bursts(self._env, population.reader, phase_s, work_s)

    def _pass_on(
        self, stanza: Publication, peer: str, target: Target
    ) -> Generator[simpy.Event, Any, None]:
        """A copy's way to another Controller; it is there before what else happens then."""
        link = self._graph.link(self._node.name, peer)
        wire_bytes = stanza.payload_bytes + self._profile.envelope.notification
        yield from self._leave(wire_bytes)
        ready_s = self._env.now
        with self._lines[peer].request() as turn:
            yield turn
            cut = cut_between(self._topology, self._node.name, peer, self._env.now)
            if cut is not None:
                end_s = cut.start + cut.duration
                if cut.timeout is not None and end_s - ready_s > cut.timeout:
                    return
                yield at(self._env, end_s)
            yield self._env.timeout(0.0 if link.rate is None else wire_bytes / link.rate)
        arrived = simpy.Event(self._env)
        arrived._ok, arrived._value = True, None
        first = self._names.index(self._node.name) - len(self._names)
        self._env.schedule(arrived, first, link.delay)
        yield arrived
        size_bytes = stanza.payload_bytes + self._profile.envelope.relayed
        come = replace(stanza, socket=f"from {self._node.name}")
        self._grid[peer].read(come, target, size_bytes)

    def read(self, stanza: Publication, target: Target, size_bytes: float) -> None:
        """A stanza of another Controller has come; it is read as that connection's limit has it."""
        peer = str(stanza.socket)
        beside = self._graph.beside(self._node.name, peer.removeprefix("from "))
        largest = self._node.limits.server_stanza
        if largest is not None and size_bytes > largest and not beside:
            return
        if peer not in self._connections:
            server, rate = self._profile.server, self._node.limits.server
            rate = None if beside else rate
            self._connections[peer] = connection(self._env, server, rate, self._handle)
        self._targets[id(stanza)] = target
        self._connections[peer].arrive(stanza, size_bytes)

    def _handle(self, stanza: Publication) -> None:
        stanza.arrival_s = self._env.now
        self.take(stanza, self._targets.pop(id(stanza)))

    def closed_log(self) -> Log:
        """All that happened here, when the run is over."""
        self.log.refused += self._door.refused
        self.log.unread |= self._door.waiting
        self.log.sessions = self._logins.tally()
        self.log.store = self._logins.store
        return self.log

    @property
    def logins(self) -> list[tuple[str, int, float, float]]:
        """What has happened to sessions: what, to whose population, when, after how long. [s, s]"""
        return self._logins.log

    @property
    def books(self) -> Books:
        """Its log, to be counted."""
        return Books(self._study, self._node, self._profile, self._cores, self.log, self._people)
