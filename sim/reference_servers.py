"""Disciplines once more, stanza by stanza, as SimPy processes that read like their rules.

Nothing here is shared with the kernels: each server keeps its own queues and makes its own sums,
and only the random draws are the same. At one instant things happen in the order that the kernels
document: arrivals first, then completions in the order of their cores' numbers. The event loop is
in `sim.reference_loop`.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from results import histogram
from sim import draws
from sim.draws import Purpose
from sim.reference_stanzas import Process, Publication, Socket, Surroundings, Target, due
from topologies.profiles import FanoutProcess, Fifo


@dataclass(eq=False)
class _Publisher:
    """A publisher's process: what it has not finished, and how far the first of it is."""

    input: deque[Publication] = field(default_factory=deque)
    copy: int = 0
    setup_s: float | None = None
    queued: bool = False


@dataclass(eq=False)
class _Session:
    """A subscriber's process with its mailbox."""

    socket: Socket
    mailbox: list[tuple[Publication, Target]] = field(default_factory=list)
    written_s: float = -math.inf
    queued: bool = False


_Errand = tuple[Publication, tuple[Socket, Target] | None]  # a copy, or a job that is done


class FanoutProcessServer:
    """A run queue of processes (`fanout-process`)."""

    def __init__(self, costs: FanoutProcess, around: Surroundings) -> None:
        self._costs, self._around, self._env = costs, around, around.clock
        self._publishers: dict[Socket, _Publisher] = {}
        self._sessions: dict[Socket, _Session] = {}
        self._queue: deque[_Publisher | _Session] = deque()
        self._idle = set(range(around.cores))
        self._worked_s = [0.0] * around.cores  # up to when each core has worked

    def slow_down(self, factor: float) -> None:
        """What is left of set-ups takes so many times as long."""
        for publisher in self._publishers.values():
            if publisher.setup_s is not None:
                publisher.setup_s *= factor

    def hang_up(self, socket: Socket) -> None:
        """No connection is paused."""

    def receive(self, publication: Publication) -> None:
        """A publication arrives at its publisher's process."""
        publisher = self._publishers.setdefault(publication.socket, _Publisher())
        publisher.input.append(publication)
        if not publisher.queued:
            self._enqueue(publisher)
            if self._idle:
                core = min(self._idle)
                self._idle.remove(core)
                self._env.process(self._wake(core))

    def _enqueue(self, process: _Publisher | _Session) -> None:
        process.queued = True
        self._queue.append(process)

    def _wake(self, core: int) -> Process:
        yield due(self._env, self._costs.wake, core)
        self._release(core)

    def _release(self, core: int) -> None:
        """The core is idle; all idle cores look for work."""
        self._idle.add(core)
        while self._queue and self._idle:
            taker = min(self._idle)
            self._idle.remove(taker)
            process = self._queue.popleft()
            if isinstance(process, _Session):
                self._env.process(self._serve_session(taker, process))
            else:
                self._env.process(self._serve_publisher(taker, process))

    def _serve_session(self, core: int, session: _Session) -> Process:
        taken, session.mailbox = session.mailbox, []
        unwarmed_s, begin_s = 0.0, self._begin_s(core)
        for publication, _ in taken:
            per_byte = self._costs.write_per_byte * publication.payload_bytes
            unwarmed_s += self._around.speed * (self._costs.write + per_byte)
        write_s = unwarmed_s * self._warmth(self._env.now - session.written_s)
        yield from self._spend(core, begin_s + write_s)
        for publication, target in taken:
            self._around.hold(publication, -1)
            self._around.write(publication, session.socket, target)
        session.written_s, session.queued = self._env.now, False
        if session.mailbox:
            self._enqueue(session)
        self._release(core)

    def _serve_publisher(self, core: int, publisher: _Publisher) -> Process:
        copies, slice_s = self._plan_slice(publisher)
        yield from self._spend(core, self._begin_s(core) + slice_s)
        for publication, receiver in copies:
            if receiver is None:
                assert publication.job is not None
                publication.job.done()
                continue
            socket, target = receiver
            if not self._around.takes(socket, publication):
                self._around.miss(publication, socket)
                continue
            session = self._sessions.setdefault(socket, _Session(socket))
            self._around.hold(publication, 1)
            session.mailbox.append((publication, target))
            if not session.queued:
                self._enqueue(session)
        publisher.queued = False
        if publisher.input:
            self._enqueue(publisher)
        self._release(core)

    def _plan_slice(self, publisher: _Publisher) -> tuple[list[_Errand], float]:
        """What the process gets done of what is there, and how long that takes. [s]"""
        costs, speed = self._costs, self._around.speed
        room, slice_s = float(costs.slice_recipients), 0.0
        copies: list[_Errand] = []
        while publisher.input and room >= 1.0:
            publication = publisher.input[0]
            payload, receivers = publication.payload_bytes, publication.copies
            if publisher.setup_s is None:
                publisher.setup_s = self._setup_s(publication)
            if publisher.setup_s > 0.0:
                done_s = self._set_up(publisher, room)
                slice_s += done_s * publication.factor
                if publisher.setup_s > 0.0:
                    break
                if costs.route > 0.0:
                    room = float(math.floor(room - done_s / (speed * costs.route) + 1e-9))
                if room < 1.0:
                    break
            chosen = receivers[publisher.copy : publisher.copy + int(room)]
            copies += [(publication, receiver) for receiver in chosen]
            route_s = speed * (costs.route + costs.route_per_byte * payload)
            slice_s += len(chosen) * route_s * publication.factor
            room -= len(chosen)
            publisher.copy += len(chosen)
            if publisher.copy == len(receivers):
                if publication.job is not None:
                    copies.append((publication, None))
                elif publication.published and publication.answer is None:
                    slice_s += speed * costs.finish * publication.factor
                publisher.input.popleft()
                publisher.copy, publisher.setup_s = 0, None
        return copies, slice_s

    def _setup_s(self, publication: Publication) -> float:
        """How long it takes until the first copy can be routed. [s]"""
        if publication.job is not None:
            return publication.job.work_s()
        if publication.answer is not None and publication.published:
            return self._around.pace.factor * publication.answer.work_s
        if not publication.published:
            return self._around.intake_s(publication)
        setup_s = self._costs.setup + self._costs.setup_per_subscriber * len(publication.copies)
        per_byte = self._costs.setup_per_byte * publication.payload_bytes
        return self._around.speed * (setup_s + per_byte)

    def _set_up(self, publisher: _Publisher, room: float) -> float:
        """Do as much of the set-up as fits into `room` copies; how much that was. [s]"""
        assert publisher.setup_s is not None
        route_s = self._around.speed * self._costs.route
        done_s = publisher.setup_s
        if route_s > 0.0:
            done_s = min(done_s, room * route_s)
        left_s = publisher.setup_s - done_s
        publisher.setup_s = left_s if left_s > 1e-9 * route_s else 0.0
        return done_s

    def _warmth(self, age_s: float) -> float:
        """Relative cost of a write, linear in the logarithm of the age as the histogram sees it."""
        if not self._costs.warmth_after:
            return 1.0
        age_s = histogram.representative_s()[int(histogram.bin_index(age_s))]
        log_age, log_ages = (
            math.log(max(age_s, histogram.LOWEST_S)),
            np.log(self._costs.warmth_after),
        )
        return float(np.interp(log_age, log_ages, self._costs.warmth_factor))

    def _begin_s(self, core: int) -> float:
        """What a core takes to begin again if it has rested. [s]"""
        return self._around.cold_s(self._costs, self._env.rest_s(self._worked_s[core]))

    def _spend(self, core: int, slice_s: float) -> Process:
        started_s = self._env.now
        yield due(self._env, slice_s, core)
        self._worked_s[core] = self._env.now
        self._around.worked(started_s, self._env.now)


class FifoServer:
    """First come, first served (`fifo`)."""

    def __init__(self, costs: Fifo, around: Surroundings) -> None:
        self._costs, self._around, self._env = costs, around, around.clock
        self._waiting: deque[Publication] = deque()
        self._idle = set(range(around.cores))

    def slow_down(self, factor: float) -> None:
        """Nothing is half begun but what a core is at."""

    def hang_up(self, socket: Socket) -> None:
        """No connection is paused."""

    def receive(self, publication: Publication) -> None:
        """A publication arrives."""
        self._waiting.append(publication)
        if self._idle:
            core = min(self._idle)
            self._idle.remove(core)
            self._env.process(self._serve(core, self._next()))

    def _serve(self, core: int, publication: Publication | None) -> Process:
        costs = self._costs
        while publication is not None:
            speed = self._around.speed
            payload, started_s = publication.payload_bytes, self._env.now
            intake_s = self._around.intake_s(publication)
            if publication.published:
                intake_s = speed * (costs.publish + costs.publish_per_byte * payload)
            if publication.job is not None:
                intake_s = publication.job.work_s()
            if publication.answer is not None and publication.published:
                intake_s = self._around.pace.factor * publication.answer.work_s
            yield due(self._env, intake_s * publication.factor, core)
            for place, (session, target) in enumerate(publication.copies):
                if place > 0:  # the first belongs to what was begun with the publication
                    speed = self._around.speed
                copy_s = speed * (costs.copy_ + costs.copy_per_byte * payload)
                yield due(self._env, copy_s * self._draw(publication, place), core)
                self._around.write(publication, session, target)
            self._around.worked(started_s, self._env.now)
            if publication.job is not None:
                publication.job.done()
            publication = self._next()
        self._idle.add(core)

    def _next(self) -> Publication | None:
        """The first that came of those that wait with the highest priority."""
        if not self._waiting:
            return None
        found = max(self._waiting, key=self._around.priority)
        self._waiting.remove(found)
        return found

    def _draw(self, publication: Publication, place: int) -> float:
        if self._costs.copy_distribution == "constant":
            return 1.0
        seed, replication, _ = self._around.draw_key
        return float(draws.exponential_at(seed, Purpose.COPY, replication, publication.row, place))
