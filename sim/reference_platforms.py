"""A Platform of the oracle that logs in: a SimPy process that connects, fails and waits."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import simpy

from sim import draws
from sim.draws import Purpose
from sim.logins import ROUNDS_OF_CONNECT, Step, proof_of, resume_s, steps
from sim.reference_books import Directory
from sim.reference_clocks import LAST_PRIORITY, at
from sim.reference_stanzas import Job, Publication
from sim.retries import waits_s

if TYPE_CHECKING:
    from sim.reference_logins import ReferenceSessions

REFUSED, GO_ON, ONLINE = range(3)  # what a server says to a step
Process = Generator[simpy.Event, Any, None]


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
        self._began_s, self.away, self._ticket = 0.0, not self._right, False
        self._turned_away = False  # by an answer that is on its way

    @property
    def there(self) -> ReferenceSessions:
        """The Controller that its present or next attempt, or its session, is at."""
        return self.ring[self._attempts % len(self.ring)]

    def lose(self, first_s: float, spread_s: float, remember: bool) -> None:
        """The Platform loses whatever it has but, perhaps, its memory, and comes back later."""
        env, asleep = self.sessions.env, self.there.asleep
        known = self.session and self.online_s <= env.now and asleep.possible
        self._ticket = remember and (self._ticket or known)
        if not self._ticket:
            asleep.end(self.platform)
        elif self.session:
            asleep.begin(self.platform, env.now)
        if self.session:
            self._note("lost", env.now)
        self.there.hang_up(self.platform)
        if self._life is not None and self._life.is_alive:
            self._life.interrupt()
        self.session, self.online_s, self._attempt = False, math.inf, None
        self._losses += 1
        # Where it was. What the server has decided counts, though its answer finds nobody.
        self._attempts += len(self.ring) + self._turned_away
        self._turned_away = False
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
            self._ticket |= self.online_s <= env.now and self.there.asleep.possible
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
        self._failures, self._turned_away = self._failures + 1, False
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
        number = 0
        while True:
            rounds = ROUNDS_OF_CONNECT - 1 if number == 0 else 0
            for _ in range(rounds):
                way = env.timeout(self._delay_s)
                yield way | deadline
                if not way.processed:
                    self._note("given up", env.now)
                    return float(env.now)
            answer = self._send(ladder, number, attempt, deadline_s)
            yield answer | deadline
            if not answer.processed:
                self._note("given up", env.now)
                return float(env.now)
            if answer.value == REFUSED:
                return float(env.now)
            if answer.value == ONLINE:
                return None
            number = self._following(ladder, number)

    def _following(self, ladder: Sequence[Step], number: int) -> int:
        """Number of the step after this one; that to resume a session comes after all others."""
        bind = [step.name for step in ladder].index("bind")
        if number == len(ladder):
            return bind
        return len(ladder) if number + 1 == bind and self._ticket else number + 1

    def _send(
        self, ladder: Sequence[Step], number: int, attempt: object, deadline_s: float
    ) -> simpy.Event:
        """Send a step's message; the event is its answer, whose value says what that is."""
        there = self.there
        work = resume_s(there.profile) if number == len(ladder) else ladder[number].work_s
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
            return there.pace.factor * work

        def done() -> None:
            said = REFUSED if refused else GO_ON
            if attempt is self._attempt and env.now + delay_s <= deadline_s:
                said = self._told(ladder, number, refused)
            back = env.timeout(delay_s)
            back.callbacks.append(lambda _: answer.succeed(said))

        key = (study.seed, Purpose.LOGIN, study.replication, np.array([self.platform]))
        factor = draws.lognormals_at(*key, np.array([index]), costs.cv)
        publication = Publication(
            row=-1, reached_s=entered_s, arrival_s=entered_s, intended_s=entered_s,
            socket=self.platform, publisher=self.platform, topic=-1, payload_bytes=0.0,
            spread=float(factor[0]), published=True, copies=[],
            job=Job(came, work_s, done, number == 0),
        )  # fmt: skip
        self._under_way = [each for each in self._under_way if each[1].arrival_s > env.now]
        self._under_way.append((there, publication))
        there.arrive(publication, self.platform, delay_s)
        return answer

    def _told(self, ladder: Sequence[Step], number: int, refused: bool) -> int:
        """What the server says to a step of the attempt that is under way."""
        there, now_s, asks = self.there, self.sessions.env.now, number == len(ladder)
        if refused or self._denied(number):
            # The server has decided: its end changes nothing now.
            self._attempt, self._turned_away = None, True
            self._note("refused", now_s)
            return REFUSED
        resumes = asks and there.asleep.can_wake(self.platform, now_s)
        if number == len(ladder) - 1 or resumes:
            assert not self.session  # an account has one at a time
            self._attempt, self.session, self._ticket = None, True, False
            self._note("login", now_s, now_s + self._delay_s - self._began_s)
            if resumes:
                there.wake(self.platform, self._delay_s)
            else:
                there.asleep.end(self.platform)
                if there.subscribed is not None:
                    there.subscribed(self.platform)
                losses = self._losses
                there.expect(self.platform, self._delay_s, lambda: self._losses == losses)
            return ONLINE
        self._ticket &= not asks
        return GO_ON

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
