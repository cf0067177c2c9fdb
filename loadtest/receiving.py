"""What a scenario does to the receiving sessions: cut them off, send them away, slow them down."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from loadtest import reading
from loadtest.act import first
from loadtest.client import Session
from loadtest.logins import log_in
from loadtest.problems import LoadError
from loadtest.retries import policy_of
from loadtest.share import ReceiveShare, tell
from loadtest.shares import Spec
from loadtest.transport import TimedTransport
from topologies.draws import generator

_NEVER_NS = 1 << 62


class ActingReceivers(ReceiveShare):
    """Receiving sessions to which something happens in mid-run."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        assert self.script is not None
        self._parameters = self.script.parameters
        self._away: list[tuple[int, int, int]] = []  # Platform, from, until [ns]

    async def play(self) -> None:
        """Let it happen, from the script's beginning to its end."""
        assert self.script is not None
        happening = {
            "reconnect-storm": self._reconnect,
            "offline-online": self._go_offline,
            "slow-readers": self._slow_down,
            reading.NAME: self._read_in_bursts,
        }[str(self.script.receivers)]
        await asyncio.sleep(self.start_ns / 1e9 + self.script.start_s - time.monotonic())
        try:
            async with asyncio.timeout_at(self.start_ns / 1e9 + self.script.end_s):
                await happening()
        except* TimeoutError:
            pass  # what was not done by then is not part of it
        except* LoadError as problems:
            self.problems.append(str(first(problems)))
        tell(event="played")

    def _chosen(self) -> list[int]:
        """Places of the sessions to which it happens: a share of them, evenly spread."""
        wanted = round(float(self._parameters["share"]) * len(self.sessions))
        return [place * len(self.sessions) // wanted for place in range(wanted)] if wanted else []

    async def _reconnect(self) -> None:
        """All lose their connections at one instant, and log in again when the policy says so."""
        await self._return_of(self._chosen(), time.monotonic_ns(), away_s=0.0)

    async def _go_offline(self) -> None:
        """Some go away for a while and come back: what was published meanwhile is owed to them."""
        assert self.script is not None
        lasting_s = self.script.end_s - self.script.start_s
        away_s = float(self._parameters["away"]) * lasting_s
        await self._return_of(self._chosen(), time.monotonic_ns(), away_s)

    async def _return_of(self, places: list[int], cut_ns: int, away_s: float) -> None:
        assert self.script is not None
        for place in places:
            self.sessions[place].leave()
            self._away.append((self.sessions[place].number, cut_ns, _NEVER_NS))
        due_ns = cut_ns + int(away_s * 1e9)
        async with asyncio.TaskGroup() as group:
            for entry, place in enumerate(places, len(self._away) - len(places)):
                group.create_task(self._come_back(place, entry, due_ns))

    async def _come_back(self, place: int, entry: int, due_ns: int) -> None:
        assert self.script is not None
        login = self.spec.logins[self._login_of(place)]
        retry = policy_of(login.jid, self._parameters, self.script.retries)
        draws = generator(self.script.seed, "come back", login.platform)
        await asyncio.sleep((due_ns - time.monotonic_ns()) / 1e9)
        # The first attempt waits as well: a crowd that was cut off together is to spread out.
        await asyncio.sleep(retry.first_wait_s(draws))

        async def enter() -> Session:
            session = self.open(login)
            try:
                await session.login()
            except BaseException:
                session.leave()
                raise
            return session

        session = await log_in(
            self.actions, lambda: retry.attempt(enter), due_ns, retry.waits_s(draws)
        )
        if session is None:
            return
        number, cut_ns, _ = self._away[entry]
        self._away[entry] = number, cut_ns, time.monotonic_ns()
        session.transport.write(b"<presence/>")
        self.sessions[place] = self.online(session)

    def _login_of(self, place: int) -> int:
        """Sessions are in the order in which they came online; logins in that of the spec."""
        number = self.sessions[place].number
        return next(k for k, login in enumerate(self.spec.logins) if login.platform == number)

    async def _slow_down(self) -> None:
        """Some read only now and then: for a moment in each period, as a busy application does."""
        period_s, reading_s = (float(self._parameters[name]) for name in ("period", "reading"))
        chosen = [self.sessions[place] for place in self._chosen()]
        self.slow.update(session.number for session in chosen)
        transports = [each.transport for each in chosen if each.transport is not None]
        paused = False
        try:
            while True:
                for transport in transports:
                    transport.resume_reading() if paused else transport.pause_reading()
                paused = not paused
                await asyncio.sleep(period_s - reading_s if paused else reading_s)
        finally:
            for transport in transports if paused else ():
                transport.resume_reading()

    async def _read_in_bursts(self) -> None:
        """Those whom the topology says so read for a while and rest for a while, each by itself."""
        async with asyncio.TaskGroup() as group:
            for first_number, count, on_s, off_s in self._parameters["readers"]:
                mine = range(first_number, first_number + count)
                for session in self.sessions:
                    if session.number in mine and isinstance(session.transport, TimedTransport):
                        self.slow.add(session.number)
                        bursts = self._bursts(session.number, session.transport, on_s, off_s)
                        group.create_task(bursts)

    async def _bursts(
        self, number: int, transport: TimedTransport, on_s: float, off_s: float
    ) -> None:
        assert self.script is not None
        cycle_s = on_s + off_s
        since_s = generator(self.script.seed, "reader", number).random() * cycle_s
        resting = False
        try:
            while True:
                if since_s < on_s:
                    await asyncio.sleep(on_s - since_s)
                    since_s = on_s
                transport.pause_reading()
                resting = True
                await asyncio.sleep(cycle_s - since_s)
                transport.resume_reading()
                resting, since_s = False, 0.0
        finally:
            if resting:
                transport.resume_reading()

    def facts(self) -> dict[str, Any]:
        """Who was away and when, and who was slow."""
        missing = {number for number, _, until_ns in self._away if until_ns == _NEVER_NS}
        if missing:
            self.problems.append(f"{len(missing)} Platforms had not come back by its end")
        return {**super().facts(), "away": self._away, "slow": sorted(self.slow)}
