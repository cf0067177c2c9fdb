"""A Controller that falls silent on a real grid, and Platforms that must find another.

Each Platform has an account at both Controllers and is online at the first. That is halted
(SIGSTOP) and woken after the procedure's silence, or killed and started again where its connections
are to be reset. Who asks whether it is there (XEP-0199) gives it up once answers are missing, waits
its jitter and logs in at the second. Items are published at both at the same instants.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import re
import secrets
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from loadtest import pubsub
from loadtest.caller import Account, Caller, Door
from loadtest.dialogue import Dialogue
from loadtest.dialogue import Door as Talk
from loadtest.herd import RESTARTED_WITHIN_S, together
from loadtest.notice import settled_s
from loadtest.problems import LoadError
from loadtest.provisioning import OWNER
from results.statistics import Sample
from results.variants import Measured, thinned
from topologies.draws import generator

if TYPE_CHECKING:
    from loadtest.grid import Grid
    from topologies.procedures import SilentController

LOGIN_WITHIN_S: Final = 30.0
LATE_S: Final = 0.02
_FOUND: Final = re.compile(rb"id=['\"](live|beat)-(\d+)['\"]")


@dataclass
class Watch:
    """What one Platform met with. Instants since the beginning. [s]"""

    noticed_s: float = math.inf
    online_s: float = math.inf
    items_s: dict[int, float] = field(default_factory=dict)


class Watcher(Caller):
    """A session that notes items and answers to its heartbeats."""

    def __init__(self, door: Door, account: Account, watch: Watch, begun_s: list[float]) -> None:
        super().__init__(door, account)
        self._watch, self._begun_s, self._left = watch, begun_s, b""
        self.listens, self.answered = False, -1

    def bytes_received(self, data: bytes, received_ns: int, delay_ns: int) -> None:
        """Whole tags are looked at; an error is an answer to a heartbeat as well."""
        if not self.listens:
            super().bytes_received(data, received_ns, delay_ns)
            return
        head, end, self._left = (self._left + data).rpartition(b">")
        for kind, number in _FOUND.findall(head + end):
            if kind == b"beat":
                self.answered = max(self.answered, int(number))
            else:
                instant_s = received_ns / 1e9 - self._begun_s[0]
                self._watch.items_s.setdefault(int(number), instant_s)


class Failover:
    """Two Controllers and Platforms that have accounts at both.

    Parameters
    ----------
    grid : Grid
        Its first two Controllers are played, each with a Broker.
    procedure : SilentController
        What happens.
    accounts : sequence of (Account, Account)
        Of each Platform, at the first and at the second.
    doors : (Door, Door)
        Where they log in.
    seed : int
        Of heartbeats and jitter.
    """

    def __init__(
        self,
        grid: Grid,
        procedure: SilentController,
        accounts: Sequence[tuple[Account, Account]],
        doors: tuple[Door, Door],
        seed: int,
    ) -> None:
        problems = []
        if procedure.alerts:
            problems.append("alerts: are not played")
        if not procedure.second:
            problems.append("second: there are two Controllers")
        if procedure.idle < procedure.duration:
            problems.append("idle: nobody gives up a silent connection within the run")
        if len(accounts) < procedure.platforms:
            problems.append("platforms: there are fewer accounts; raise platforms.count")
        if problems:
            raise LoadError("\n".join(f"procedure.{each}" for each in problems))
        self._grid, self._procedure, self._seed, self._doors = grid, procedure, seed, doors
        self._accounts = accounts[: procedure.platforms]
        self._names = list(grid.document()["controllers"])[:2]
        self._topic = f"heard-{secrets.token_hex(4)}"
        self._begun_s = [math.inf]
        self.watches = [Watch() for _ in self._accounts]
        self.start_s, self.back_s, self.late_s = procedure.start, math.inf, 0.0
        self.due_s: list[float] = []

    async def pilot(self) -> float:
        """CPU time of a login at the second Controller, in a crowd. [s]"""
        pid = self._grid.server_pid(self._names[1])
        await self._crowd()
        begun_s = await settled_s(pid)
        await self._crowd()
        return (await settled_s(pid) - begun_s) / len(self._accounts)

    async def _crowd(self) -> None:
        """All log in at the second Controller at once, and leave.

        A server's first logins cost more, and a client's more than those: it derives its keys.
        """
        callers = [Caller(self._doors[1], each[1]) for each in self._accounts]
        try:
            await asyncio.gather(*(caller.log_in() for caller in callers))
        finally:
            for caller in callers:
                caller.close()

    async def play(self) -> None:
        """All of it, from the beginning to the procedure's end."""
        async with contextlib.AsyncExitStack() as stack:
            self._stack = stack
            owners = [await self._furnish(number) for number in range(2)]
            await self._crowd()
            sessions = []
            for pair, watch in zip(self._accounts, self.watches, strict=True):
                sessions.append(await self._enter(0, pair[0], watch))
            self._begun_s[0] = time.monotonic()
            work = [self._publish(owners), self._fail()]
            work += [self._live(place, each) for place, each in enumerate(sessions)]
            await together(work, self._procedure.duration)

    @property
    def _now_s(self) -> float:
        return time.monotonic() - self._begun_s[0]

    async def _furnish(self, number: int) -> Dialogue:
        """The Topic at one Controller's Broker, with all its Platforms subscribed; its owner."""
        document, door = self._grid.document(), self._doors[number]
        place = document["controllers"][self._names[number]]
        ports = place["port"], place["direct_tls_port"]
        owner = await Dialogue.open(Talk(door.address, *ports, door.domain, door.context))
        self._stack.push_async_callback(owner.leave)
        await owner.authenticate(OWNER, self._grid.credentials()[f"{OWNER}@{door.domain}"])
        await owner.bind("failover")
        requests = [pubsub.create(self._topic, {"access_model": "open"})]
        requests += [
            pubsub.set_subscription(
                self._topic, f"{pair[number].localpart}@{door.domain}", "subscribed"
            )
            for pair in self._accounts
        ]
        for request in requests:
            reply = await owner.ask("set", self._broker(number), request)
            if not reply.ok:
                raise LoadError(f"{self._broker(number)}: {reply.text[:200]}")
        return owner

    def _broker(self, number: int) -> str:
        domain = self._doors[number].domain
        brokers: list[str] = list(self._grid.document()["brokers"].values())
        return next(each for each in brokers if each.endswith(f".{domain}"))

    async def _enter(self, number: int, account: Account, watch: Watch) -> Watcher:
        session = Watcher(self._doors[number], account, watch, self._begun_s)
        self._stack.callback(session.close)
        async with asyncio.timeout(LOGIN_WITHIN_S):
            await session.log_in()
        session.listens = True
        return session

    async def _publish(self, owners: Sequence[Dialogue]) -> None:
        """The same item at both Brokers, evenly spaced."""
        while True:
            number = len(self.due_s)
            due_s = number / self._procedure.rate
            await asyncio.sleep(due_s - self._now_s)
            self.due_s.append(due_s)
            self.late_s = max(self.late_s, self._now_s - due_s)
            for place, owner in enumerate(owners):
                if owner.closed is None:
                    request = pubsub.publish(self._topic, f"live-{number}")
                    to = self._broker(place)
                    owner.say(f"<iq type='set' id='p{number}' to='{to}'>{request}</iq>")
                    owner.forget()

    async def _fail(self) -> None:
        """Halt the first Controller and wake it, or have it killed and started again."""
        procedure, name = self._procedure, self._names[0]
        await asyncio.sleep(procedure.start - self._now_s)
        if procedure.closes:
            self._grid.restart(name, procedure.silence)
            deadline_s = time.monotonic() + procedure.silence + RESTARTED_WITHIN_S
            while (times := self._grid.restarted()) is None:
                if time.monotonic() > deadline_s:
                    raise LoadError(f"{name} is not back")
                await asyncio.sleep(0.05)
            self.start_s = times["killed_s"] - self._begun_s[0]
            self.back_s = times["answered_s"] - self._begun_s[0]
            return
        pid = self._grid.server_pid(name)
        os.kill(pid, signal.SIGSTOP)
        self.start_s = self._now_s
        try:
            await asyncio.sleep(procedure.silence)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self.back_s = self._now_s

    async def _live(self, place: int, session: Watcher) -> None:
        """Heartbeats until it is given up, then the second Controller."""
        watch, draws = self.watches[place], generator(self._seed, "heartbeats", place)
        beating = asyncio.ensure_future(self._beats(session, draws.random()))
        try:
            either: list[asyncio.Future[Any]] = [session.lost, beating]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            beating.cancel()
        watch.noticed_s = self._now_s
        session.close()
        await asyncio.sleep(self._procedure.jitter * draws.random())
        await self._enter(1, self._accounts[place][1], watch)
        watch.online_s = self._now_s

    async def _beats(self, session: Watcher, phase: float) -> None:
        """Ask again and again; return once as many answers in a row are missing as it takes."""
        procedure, missed = self._procedure, 0
        if procedure.heartbeat is None:
            await asyncio.Event().wait()
            return
        due_s = phase * procedure.heartbeat
        domain = self._doors[0].domain
        for number in range(2**31):
            await asyncio.sleep(due_s - self._now_s)
            ping = "<ping xmlns='urn:xmpp:ping'/>"
            session.say(f"<iq type='get' id='beat-{number}' to='{domain}'>{ping}</iq>")
            await asyncio.sleep(procedure.answer_within)
            missed = 0 if session.answered >= number else missed + 1
            if missed == procedure.misses:
                return
            due_s += procedure.heartbeat


def measured(
    played: Failover, procedure: SilentController, defence: str, deadline_s: float
) -> Measured:
    """The figures, as the model has them; who had not noticed goes on with the first new item."""
    start_s, lasting_s = played.start_s, procedure.duration - played.start_s
    online_s = np.array([_online_s(played, each) for each in played.watches])
    noticed_s = np.array([each.noticed_s for each in played.watches])
    away_s = online_s - start_s
    due_s = np.array(played.due_s)
    missed = [((due_s >= start_s) & (due_s < until_s)).sum() for until_s in online_s]
    timely = sum(
        due >= start_s and instant_s - due <= deadline_s
        for each in played.watches
        for number, instant_s in each.items_s.items()
        for due in (played.due_s[number],)
    )
    gone_s = float(np.quantile(away_s, 0.95))
    figures = {
        "goodput_per_s": timely / lasting_s,
        "lost_items": float(np.mean(missed)),
        "age_p99_s": float(np.quantile(away_s, 0.99)),
        "time_to_mitigate_s": gone_s if gone_s < lasting_s else math.inf,
        "time_to_recover_s": max(float(np.quantile(online_s, 0.99)) - played.back_s, 0.0),
    }
    if np.isfinite(noticed_s).any():
        figures["time_to_detect_s"] = float(noticed_s.min()) - start_s
    samples = {name: Sample(value, reason="one run") for name, value in figures.items()}
    ends = np.linspace(0.0, procedure.duration, 200)
    back = np.searchsorted(np.sort(online_s), ends, side="right") / len(online_s)
    receiving = np.where(ends < start_s, 1.0, back)
    return Measured(
        defence, "on a real server", samples, thinned(ends.tolist(), receiving.tolist()),
        {"time_to_detect_s": "nobody noticed"}, doubts=tuple(_doubts(played)),
    )  # fmt: skip


def _online_s(played: Failover, watch: Watch) -> float:
    """When it receives again: at the second Controller, or at the first once that speaks. [s]"""
    if math.isfinite(watch.noticed_s):
        return watch.online_s
    later = [each for each in watch.items_s.values() if each >= played.back_s]
    return min(later, default=math.inf)


def _doubts(played: Failover) -> Iterator[str]:
    if played.late_s > LATE_S:
        yield f"a publication was late by {played.late_s:.3g} s: the generator was the limit"
