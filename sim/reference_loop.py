"""`loop-turns` once more, stanza by stanza: one event loop as a SimPy process, like its rules.

No code here is shared with the kernels; the understanding of Prosody is, so that agreement with
them shows the same rules and not the right ones. `sim.reference_servers` has the other disciplines.
"""

from __future__ import annotations

import math
from collections import deque

import simpy

from sim.reference_clocks import LAST_PRIORITY, at
from sim.reference_collector import Collector
from sim.reference_stanzas import Job, Process, Publication, Socket, Surroundings, Target, due
from sim.requests import RETRACT
from topologies import schema
from topologies.profiles import LoopTurns

MIN_WAIT_S = 1e-3  # neither pauses nor sleeps for timers are shorter
LISTENING = "the listening socket"  # the one at which new connections queue up


class LoopTurnsServer:
    """One event loop (`loop-turns`)."""

    def __init__(
        self, costs: LoopTurns, around: Surroundings, rate: schema.ByteRate | None = None
    ) -> None:
        self._costs, self._around, self._env = costs, around, around.env
        self._clock = around.clock
        self._rate = rate  # what one Platform's connection may send
        self._ready: deque[Socket] = deque()
        self._until_s: dict[Socket, float] = {}  # connections are not read before
        self._aside: list[Socket] = []  # those of them where something waits
        self._timers_s = -math.inf  # when pauses were over at last in which nothing waits
        self._run_s, self._ran = -math.inf, False  # when timers ran; if nobody was ready since
        self._over: deque[Socket] = deque()  # of those aside whose pauses end with that run
        self._input: dict[Socket, deque[Publication]] = {}
        self._begun_bytes: dict[Socket, float] = {}  # read of the first publication there
        self._output: dict[Socket, list[tuple[Publication, Target]]] = {}
        self._results: dict[Socket, int] = {}
        self._answers: dict[Socket, list[Job]] = {}
        self._sleeping: simpy.Event | None = None
        self._rest_s = 0.0  # before what it begins now
        self._collector = Collector(costs, around)
        self._env.process(self._loop())

    def slow_down(self, factor: float) -> None:
        """What is left of a collection takes so many times as long."""
        self._collector.slow_down(factor)

    def receive(self, publication: Publication) -> None:
        """A publication arrives at its publisher's socket."""
        socket = publication.socket
        if publication.job is not None and publication.job.first and self._costs.accepts:
            socket = LISTENING
        self._input.setdefault(socket, deque()).append(publication)
        if self._sleeping is not None:
            self._timers_s = self._env.now
        if socket in self._aside:
            return
        if self._until_s.get(socket, -math.inf) > self._timers_s:
            self._aside.append(socket)
        else:
            self._link(socket)
        self._awake()

    def hang_up(self, socket: Socket) -> None:
        """A connection is lost: its pause is over, and what waits there can be read."""
        self._until_s.pop(socket, None)
        if socket in self._aside:
            self._aside.remove(socket)
            self._over = deque(each for each in self._over if each != socket)
            self._link(socket)
            self._awake()

    def _awake(self) -> None:
        """Somebody is ready, or waits for a pause to end: if the loop sleeps, it is told."""
        if self._sleeping is not None:
            sleeping, self._sleeping = self._sleeping, None
            self._timers_s = self._env.now
            sleeping.succeed()

    def _link(self, socket: Socket) -> None:
        if socket not in self._ready:
            self._ready.append(socket)

    def _loop(self) -> Process:
        while True:
            if not self._over and not self._ready:
                yield from self._sleep()
                continue
            events = self._resume() if self._over else self._poll()
            if self._rest_s > 0.0 and self._costs.cold > 0.0:
                yield from self._warm_up()
            for socket, readable, writable in events:
                started_s = self._env.now
                if readable:
                    yield from self._read(socket)
                if writable:
                    begun_s = self._env.now
                    yield from self._write(socket)  # what has begun is made, then it stands still
                    if (pause_s := self._clock.pause_s(begun_s, self._env.now)) > 0.0:
                        yield self._env.timeout(pause_s)
                self._around.worked(started_s, self._env.now)

    def _warm_up(self) -> Process:
        """Caches are cold after a rest."""
        started_s, rest_s = self._env.now, self._rest_s
        self._rest_s = 0.0
        yield self._clock.timeout(self._around.cold_s(self._costs, rest_s))
        self._around.worked(started_s, self._env.now)

    def _resumed_s(self) -> float:
        """When the first pause of a connection where something waits ends. [s]"""
        return min((self._until_s[socket] for socket in self._aside), default=math.inf)

    def _sleep(self) -> Process:
        """Until somebody is ready, or until timers run."""
        began_s = self._timers_s = self._env.now
        if not self._ran:
            self._run_s = began_s
        while self._ran or self._resumed_s() > self._env.now:
            self._sleeping = come = self._env.event()
            run_s = self._resumed_s() + (began_s - self._run_s)
            run_s = self._clock.thawed_s(max(run_s, began_s + MIN_WAIT_S))
            if run_s < math.inf:
                yield come | at(self._env, run_s, LAST_PRIORITY)
            else:
                yield come
            if self._ready:  # what else comes at the instant of waking has come then
                self._rest_s = self._clock.rest_s(began_s)
                yield due(self._clock, self._costs.wake, 0)
                return
            self._ran &= come.triggered
        self._sleeping, self._ran = None, True
        self._run_s = self._timers_s = self._env.now
        ripe = [socket for socket in self._aside if self._until_s[socket] <= self._env.now]
        ripe.sort(key=self._until_s.__getitem__)  # at one instant: who waited first
        self._over.extend(ripe)

    def _poll(self) -> list[tuple[Socket, bool, bool]]:
        found: list[tuple[Socket, bool, bool]] = []
        while self._ready and len(found) < self._costs.events_max:
            socket = self._ready.popleft()
            readable = bool(self._input.get(socket)) and socket not in self._aside
            writable = bool(self._output.get(socket) or self._results.get(socket))
            if readable or writable:
                found.append((socket, readable, writable))
        self._ready.extend(socket for socket, _, _ in found)
        self._ran &= not found
        return found[::-1]

    def _resume(self) -> list[tuple[Socket, bool, bool]]:
        """End the next pause that is over; what is left of a read is read at once."""
        socket = self._over.popleft()
        self._aside.remove(socket)
        self._link(socket)
        return [(socket, True, False)] if self._begun_bytes.get(socket) else []

    def _read(self, socket: Socket) -> Process:
        """Read a connection once, and leave it alone for as long as what was read is worth."""
        waiting = self._input[socket]
        taken, pause_s = self._take(socket)
        yield from self._handle(socket, taken)
        if pause_s is not None and self._around.online(socket):
            self._until_s[socket] = self._env.now + pause_s
            if waiting:
                self._aside.append(socket)

    def _take(self, socket: Socket) -> tuple[list[Publication], float | None]:
        """What one read takes, and the pause after it: none, or 0 for more than a read. [s]"""
        waiting, room = self._input[socket], float(self._costs.read_bytes)
        taken: list[Publication] = []
        if socket == LISTENING:
            return list(waiting)[: self._costs.accepts], None
        begun = self._begun_bytes.pop(socket, 0.0)
        for publication in waiting:
            left = self._counted_bytes(publication) - begun
            if left > room:
                self._begun_bytes[socket], room = begun + room, 0.0
                break
            begun, room = 0.0, room - left
            taken.append(publication)
        if self._rate is not None and isinstance(socket, int):
            pause_s = (self._costs.read_bytes - room) / self._rate.rate
            if pause_s > MIN_WAIT_S:
                return taken, pause_s
        return taken, 0.0 if self._begun_bytes.get(socket) else None

    def _counted_bytes(self, publication: Publication) -> float:
        """What its Platform sent: not a step of a login, nor what the server itself makes. [B]"""
        answer = publication.answer
        if publication.job is not None or publication.resumed:
            return 0.0
        if answer is not None:
            return 0.0 if answer.role == RETRACT else self._costs.publish_envelope
        return publication.payload_bytes + self._costs.publish_envelope

    def _handle(self, socket: Socket, taken: list[Publication]) -> Process:
        waiting = self._input[socket]
        for publication in taken:
            yield from self._publish(publication)
            waiting.popleft()
            owner = publication.socket
            if publication.published and publication.answer is None:
                self._results[owner] = self._results.get(owner, 0) + 1
            if publication.job is not None:
                self._answers.setdefault(owner, []).append(publication.job)
                self._link(owner)

    def _publish(self, publication: Publication) -> Process:
        """Read a publication with its first copy in one go, then build each further copy."""
        costs, around, payload = self._costs, self._around, publication.payload_bytes
        intake_s = around.intake_s(publication)
        if publication.published:
            intake_s = around.speed * (costs.publish + costs.publish_per_byte * payload)
        if publication.job is not None:
            intake_s = publication.job.work_s()
        if publication.answer is not None and publication.published:
            intake_s = around.pace.factor * publication.answer.work_s
        spans_s = [
            intake_s * publication.factor, self._collector.collect_s(costs.allocation_publish)
        ]  # fmt: skip
        allocation = 1.0 + costs.allocation_per_byte * max(payload - 400.0, 0.0)
        for session, target in publication.copies:
            copy_s = around.speed * (costs.build + costs.build_per_byte * payload)
            spans_s += [copy_s * publication.factor, self._collector.collect_s(allocation)]
            for span_s in spans_s:
                yield self._clock.timeout(span_s)
            spans_s = []
            if not around.takes(session, publication):
                around.miss(publication, session)
                continue
            around.hold(publication, 1)
            self._output.setdefault(session, []).append((publication, target))
            self._link(session)
        for span_s in spans_s:
            yield self._clock.timeout(span_s)

    def _write(self, socket: Socket) -> Process:
        costs, speed, online = self._costs, self._around.speed, self._around.online(socket)
        pending = self._output.pop(socket, [])
        collect_s = self._collector.collect_s(costs.allocation_write) if pending else 0.0
        if self._results.pop(socket, 0):
            yield self._env.timeout(speed * costs.acknowledge)
            for job in self._answers.pop(socket, []):
                job.done()
        if not pending:
            return
        bytes_s = 0.0
        for publication, _ in pending:
            bytes_s += speed * costs.write_per_byte * publication.payload_bytes
        further_s = speed * costs.coalesced * (len(pending) - 1)
        yield self._env.timeout(speed * costs.write + further_s + bytes_s)
        yield self._env.timeout(collect_s)
        for publication, target in pending:
            self._around.hold(publication, -1)
            if online and not self._around.holds_back(socket, publication):
                self._around.send(publication, socket, target)
            else:
                self._around.miss(publication, socket)
