"""Platforms that lose their sessions on a real server, and come back by their retry policy.

What takes their sessions is the topology's faults: a server that is killed and started again, or a
population that loses its connections. Then each waits as its policy says, tries, gives up, waits
longer, tries again; those with wrong passwords try for ever. Nothing holds them back but the
server's own rate, and the caps of the rails on connections in a second: a wait for those is no part
of an attempt, and is kept in the books.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from loadtest import rails
from loadtest.caller import Account, Caller, Door
from loadtest.membership import GIVEN_UP, Books, Member, Turnstile
from loadtest.problems import DeploymentError, LoadError
from topologies.draws import generator
from topologies.schema import Crash, Outage

if TYPE_CHECKING:
    import numpy as np

    from loadtest.grid import Grid
    from topologies.schema import AnyFault

Done = TypeVar("Done")
CONCURRENT: Final = 24  # sessions that log in at a time, before all is lost
ENTER_WITHIN_S: Final = 30.0
CONNECTIONS_SHARE: Final = 0.95  # of the rails' cap, which counts what else we dial as well
WATCH_S: Final = 0.2
CANCEL_S: Final = 0.05
RESTARTED_WITHIN_S: Final = 30.0


class Herd:
    """The Platforms of one grid.

    Parameters
    ----------
    grid : Grid
        Where their sessions are; stopping it stops them.
    door : Door
        Where they log in.
    members : sequence of Member
        Who they are.
    hostile_per_s : float
        Most connections of adversaries, taken off the others' where there are any. [1/s]
    seed : int
        Of their waits.

    Attributes
    ----------
    door, members
        As given.
    books : Books
        What became of them.
    """

    def __init__(
        self,
        grid: Grid,
        door: Door,
        members: Sequence[Member],
        *,
        hostile_per_s: float = 1.0,
        seed: int = 1,
    ) -> None:
        self._grid, self._seed = grid, seed
        self.door, self.members = door, tuple(members)
        most = int(CONNECTIONS_SHARE * rails.CAPS.connections_per_s)
        if any(each.hostile for each in members):
            most -= int(hostile_per_s)
        self._turnstiles = {False: Turnstile(most), True: Turnstile(int(hostile_per_s))}
        self._sessions: dict[Member, Caller] = {}
        self._returning: list[asyncio.Task[None]] = []
        self._origin_s = 0.0
        self.books = Books()

    @property
    def online(self) -> int:
        """How many are online."""
        return len(self._sessions)

    async def enter(self, members: Sequence[Member], concurrent: int = CONCURRENT) -> None:
        """Bring some online, so many at a time.

        Raises
        ------
        LoadError
            One of them does not get in.
        """
        turns = asyncio.Semaphore(concurrent)

        async def bring(member: Member) -> None:
            async with turns:
                apart = replace(member, account=_apart(member))
                await self._turnstiles[member.hostile].pass_through()
                self._sessions[member] = await self._attempt(apart, ENTER_WITHIN_S, lambda _: None)

        tasks = [asyncio.ensure_future(bring(member)) for member in members]
        await self._while_up(tasks)

    def leave(self) -> None:
        """Close all connections."""
        for caller in self._sessions.values():
            caller.close()
        self._sessions.clear()

    async def play(
        self,
        faults: Sequence[AnyFault],
        duration_s: float,
        tell: Callable[[float, int], None] = lambda elapsed_s, online: None,
    ) -> None:
        """Let the faults happen, and all come back until so long after the beginning. [s]

        Raises
        ------
        LoadError
            It was stopped, or a fault cannot be driven.
        """
        self._origin_s = time.monotonic()
        stories: Mapping[type, Callable[..., object]] = {Crash: self._crash, Outage: self._outage}
        tasks = []
        for fault in faults:
            if type(fault) not in stories:
                raise LoadError(f"faults[{fault.name}]: {fault.kind} is not driven on real grids")
            tasks.append(asyncio.ensure_future(stories[type(fault)](fault)))  # type: ignore[call-overload]
        telling = asyncio.ensure_future(self._tell(tell))
        try:
            await self._while_up(tasks, duration_s)
        finally:
            telling.cancel()

    async def _tell(self, tell: Callable[[float, int], None]) -> None:
        while True:
            tell(time.monotonic() - self._origin_s, self.online)
            await asyncio.sleep(0.5)

    async def _while_up(
        self, tasks: Sequence[asyncio.Task[None]], within_s: float | None = None
    ) -> None:
        """Wait for tasks, or until the time is up; end them all if somebody asks for it. [s]"""
        watching: asyncio.Future[Any] = asyncio.ensure_future(watch(self._grid))
        all_of_them: asyncio.Future[Any] = asyncio.gather(*tasks)
        try:
            await asyncio.wait(
                [all_of_them, watching], timeout=within_s, return_when=asyncio.FIRST_COMPLETED
            )
            for done in (watching, all_of_them):
                if done.done():
                    done.result()  # raises what went wrong
        finally:
            await ended([*tasks, watching, *self._returning])
            self._returning.clear()
            await asyncio.gather(all_of_them, return_exceptions=True)

    # What happens to them.

    async def _crash(self, fault: Crash) -> None:
        """The server is killed and started again; who had a session finds it closed."""
        await self._until(fault.start)
        sessions, self._sessions = self._sessions, {}
        before = self._grid.restarted()
        self._grid.restart(fault.controller, fault.duration)
        await asyncio.wait([caller.lost for caller in sessions.values()], timeout=10.0)
        if not all(caller.lost.done() for caller in sessions.values()):
            raise LoadError("the server was to be killed, and sessions are still there")
        lost_s = time.monotonic()
        self._lose(sessions, lost_s)
        await asyncio.gather(
            self._restarted(before),
            self._all_return(
                list(sessions), lambda member, draws: lost_s + member.retry.first_wait_s(draws)
            ),
        )

    async def _restarted(self, before: dict[str, float] | None) -> None:
        deadline_s = time.monotonic() + RESTARTED_WITHIN_S
        while (times := self._grid.restarted()) is None or times == before:
            if time.monotonic() > deadline_s:
                raise LoadError(f"the server is not back after {RESTARTED_WITHIN_S:g} s")
            await asyncio.sleep(0.05)
        self.books.back_s = times["answered_s"] - self._origin_s
        self.books.down_s = times["answered_s"] - times["killed_s"]

    async def _outage(self, fault: Outage) -> None:
        """A population loses its connections; it is back within the fault's spread of its end."""
        await self._until(fault.start)
        own = [each for each in self.members if each.population == fault.population]
        cut = {each: self._sessions.pop(each) for each in own if each in self._sessions}
        self._lose(cut, time.monotonic())
        end_s = self._origin_s + fault.start + fault.duration
        await self._all_return(own, lambda _, draws: end_s + draws.uniform(0.0, fault.spread))

    def _lose(self, sessions: Mapping[Member, Caller], instant_s: float) -> None:
        for member, caller in sessions.items():
            caller.close()
            self.books.lost.append((member.population, instant_s - self._origin_s))

    async def _until(self, after_s: float) -> None:
        await asyncio.sleep(self._origin_s + after_s - time.monotonic())

    async def _all_return(self, members: Sequence[Member], begins: Callable[..., float]) -> None:
        own = []
        for member in members:
            draws = generator(self._seed, f"return {member.population}", member.number)
            returning = self._return(member, begins(member, draws), draws)
            own.append(asyncio.ensure_future(returning))
        self._returning += own
        await asyncio.gather(*own)

    async def _return(self, member: Member, began_s: float, draws: np.random.Generator) -> None:
        """Try again and again until it is in."""
        waits_s, due_s, origin_s = member.retry.waits_s(draws), began_s, self._origin_s
        while True:
            await asyncio.sleep(due_s - time.monotonic())
            waited_s = await self._turnstiles[member.hostile].pass_through()
            start_s = time.monotonic()
            held_s = self.books.held_hostile_s if member.hostile else self.books.held_s
            held_s.append((start_s - origin_s, waited_s))
            try:
                caller = await self._attempt(member, member.retry.timeout_s, self.books.came_to)
            except LoadError as problem:
                ended_s = time.monotonic()
                self.books.attempts.append(
                    (member.population, start_s - origin_s, ended_s - origin_s, str(problem))
                )
                wait_s = next(waits_s, None)
                if wait_s is None:
                    return
                due_s = ended_s + wait_s
                continue
            now_s = time.monotonic() - origin_s
            self.books.attempts.append((member.population, start_s - origin_s, now_s, "ok"))
            self.books.online.append((member.population, began_s - origin_s, now_s))
            self._sessions[member] = caller
            return

    async def _attempt(
        self, member: Member, timeout_s: float, note: Callable[[int], None]
    ) -> Caller:
        """One attempt; given up in time, it closes its connection as any client does."""
        caller = Caller(self.door, member.account)
        try:
            async with asyncio.timeout(timeout_s):
                await caller.log_in()
        except TimeoutError:
            caller.close()
            raise LoadError(GIVEN_UP) from None
        except BaseException:
            caller.close()
            raise
        finally:
            note(caller.sent)
        return caller


async def ended(tasks: Sequence[asyncio.Future[Any]]) -> None:
    """Cancel tasks until they have ended.

    Once is not enough where a library on the way waits with `asyncio.wait_for`, which in Python
    3.11 loses a cancellation that comes just as what it waits for is done (bpo-37658). We use
    `asyncio.timeout`, which does not.
    """
    left = {each for each in tasks if not each.done()}
    while left:
        for each in left:
            each.cancel()
        _, left = await asyncio.wait(left, timeout=CANCEL_S)
    await asyncio.gather(*tasks, return_exceptions=True)


async def together(work: Sequence[Coroutine[Any, Any, Any]], limit_s: float) -> None:
    """Do all this at a time, for so long at most; the first that fails ends the others. [s]"""
    running = [asyncio.ensure_future(each) for each in work]
    try:
        done, _ = await asyncio.wait(running, timeout=limit_s, return_when=asyncio.FIRST_EXCEPTION)
        for each in done:
            each.result()
    finally:
        await ended(running)


async def piloted(work: Coroutine[Any, Any, Done], limit_s: float) -> Done:
    """What a pilot returns, which has so much time. [s]

    Raises
    ------
    LoadError
        It was not through.
    """
    try:
        async with asyncio.timeout(limit_s):
            return await work
    except TimeoutError:
        raise LoadError(f"the pilot was not through in {limit_s:g} s") from None


def _apart(member: Member) -> Account:
    """Its account from an address of its own, where it shares one: who enters meets no limit."""
    account = member.account
    if account.source is None:
        return account
    return replace(account, source=f"127.91.{member.number // 250}.{member.number % 250 + 1}")


async def unless_stopped(grid: Grid, work: Coroutine[Any, Any, Done]) -> Done:
    """What work returns; it is ended at once if somebody asks the grid to stop.

    Raises
    ------
    LoadError
        It was stopped, or the grid has ended.
    """
    working: asyncio.Future[Done] = asyncio.ensure_future(work)
    watching: asyncio.Future[None] = asyncio.ensure_future(watch(grid))
    both: list[asyncio.Future[Any]] = [working, watching]
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if watching.done():
            watching.result()  # raises why
        return working.result()
    finally:
        await ended(both)


async def watch(grid: Grid) -> None:
    """Raise LoadError once somebody asks the grid to stop, or it has ended; never return."""
    while True:
        await asyncio.sleep(WATCH_S)
        if stop := rails.stop_file(grid.directory):
            raise LoadError(f"{stop} asked for it")
        try:
            state = grid.document()
        except DeploymentError as problem:
            raise LoadError(str(problem)) from None
        if state["state"] not in ("up", "restarting"):
            raise LoadError(str(state["problem"]))
