"""A generator process with sessions of its own that act a part beside the plan.

What the parts are is in `acts_access`, `acts_topics` and `acts_items`: asynchronous generators that
get the `Stage`. They use accounts of the grid's Platforms under a resource of their own, Topics
that they create and delete, and never send presence, so that the plan's deliveries do not come to
them.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
import xml.etree.ElementTree as ET
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from loadtest import pubsub
from loadtest.actions import OK
from loadtest.client import Session
from loadtest.problems import LoadError
from loadtest.receiver import columns
from loadtest.share import Share, tell
from loadtest.shares import Login, Spec
from loadtest.subscriptions import end_others
from loadtest.transport import TimedTransport
from topologies.draws import generator

Act = Callable[["Stage"], AsyncGenerator[None]]
"""Prepares until its one `yield`, then acts; one that ends before has said what is unsupported."""

WIND_UP_S = 10.0


class Stage(Share):
    """What an act works with.

    Attributes
    ----------
    parameters : mapping
        Of the scenario.
    users : tuple of Login
        Accounts that it may use.
    unsupported : dict
        What the server does not do, and how it said so.
    """

    def __init__(self, spec: Spec, act: Act) -> None:
        super().__init__(spec)
        assert self.script is not None
        self._act = act
        self.parameters: Mapping[str, Any] = self.script.parameters
        self.users = spec.logins
        self.unsupported: dict[str, str] = {}
        self.draws = generator(self.script.seed, self.script.scenario, "act")
        self._open: set[Session] = set()
        self._owner: Session | None = None
        self._arrived: dict[int, int] = {}
        self._created: list[str] = []

    async def _log_in(self) -> None:
        """Prepare; who acts comes online later."""
        self._acting = self._act(self)
        self._prepared = await anext(self._acting, _OVER) is not _OVER

    async def play(self) -> None:
        """Act from the script's beginning to its end."""
        assert self.script is not None
        await self.until(self.script.start_s)
        try:
            async with asyncio.timeout_at(self.loop_s(self.script.end_s)):
                if self._prepared:
                    await anext(self._acting, _OVER)
        except* TimeoutError:
            pass  # what was not done by then is not part of it
        except* LoadError as problems:
            self.problems.append(str(first(problems)))
        tell(event="played")

    def facts(self) -> dict[str, Any]:
        """What the record says of it."""
        return {"unsupported": self.unsupported}

    def loop_s(self, after_s: float) -> float:
        """An instant of the run on the event loop's clock. [s]"""
        return self.start_ns / 1e9 + after_s  # both are CLOCK_MONOTONIC

    async def until(self, after_s: float) -> None:
        """Wait for an instant of the run. [s]"""
        await asyncio.sleep(self.loop_s(after_s) - asyncio.get_running_loop().time())

    @property
    def end_ns(self) -> int:
        """When the act ends. [ns]"""
        assert self.script is not None
        return self.start_ns + int(self.script.end_s * 1e9)

    # Sessions.

    async def enter(self, login: Login) -> Session:
        """A session of an account, online, without presence."""
        session = self.open(login)
        self._open.add(session)
        try:
            await session.login()
        except BaseException:
            self.leave(session)
            raise
        return session

    def leave(self, session: Session) -> None:
        """Close a session."""
        self._open.discard(session)
        session.leave()

    async def owner(self) -> Session:
        """The owner of the first Broker's Topics, online."""
        if self._owner is None:
            self._owner = await self.enter(self.owner_login("act"))
            assert isinstance(self._owner.transport, TimedTransport)
            self._owner.transport.quick = True  # it prepares with many small requests
        return self._owner

    def owner_login(self, resource: str) -> Login:
        """The owner's account under a resource of its own."""
        login = self.spec.prunes[0].owner
        return replace(login, jid=f"{login.jid.partition('/')[0]}/grid-{resource}")

    def arrivals(self) -> dict[int, int]:
        """By Platform, when its session got its first item of this run's. [ns]"""
        _, session, received_ns, _, _ = columns(self.log.take())
        for number, instant_ns in zip(session.tolist(), received_ns.tolist(), strict=True):
            self._arrived.setdefault(number, instant_ns)
        return self._arrived

    @property
    def broker(self) -> str:
        """Address of the first Broker."""
        return self.spec.nodes[self.spec.prunes[0].expected[0][0]].broker

    # Requests.

    async def ask(self, session: Session, kind: str, content: str) -> ET.Element:
        """The Broker's answer to a request."""
        return await session.ask(kind, self.broker, ET.fromstring(content))

    async def timed(self, kind: str, due_ns: int, doing: Awaitable[object]) -> bool:
        """Do something and note how long it took; whether it went well."""
        began_ns = time.monotonic_ns()
        try:
            await doing
        except LoadError as problem:
            self.actions.note(kind, due_ns, began_ns, time.monotonic_ns(), reason(problem))
            return False
        self.actions.note(kind, due_ns, began_ns, time.monotonic_ns(), OK)
        return True

    async def topic(self, **configuration: object) -> str | None:
        """A new Topic, deleted when the run is over; None where the server refuses it."""
        owner, node = await self.owner(), f"act-{secrets.token_hex(6)}"
        try:
            await self.ask(owner, "set", pubsub.create(node, configuration))
        except LoadError as problem:
            named = ", ".join(f"{name}={value}" for name, value in configuration.items())
            self.unsupported[f"a Topic with {named}"] = reason(problem)
            return None
        self._created.append(node)
        return node

    async def crowd(self, act: Callable[[int, Login], Awaitable[None]]) -> None:
        """Have all users do something at the same time."""
        async with asyncio.TaskGroup() as group:
            for place, login in enumerate(self.users):
                group.create_task(_coroutine(act(place, login)))

    async def think(self, mean_s: float, draws: np.random.Generator) -> None:
        """Wait as a user does before the next request: exponentially. [s]"""
        await asyncio.sleep(draws.exponential(mean_s) if mean_s > 0 else 0.0)

    @contextlib.asynccontextmanager
    async def session(self, login: Login) -> AsyncIterator[Session]:
        """A session for as long as the block runs."""
        session = await self.enter(login)
        try:
            yield session
        finally:
            self.leave(session)

    async def wind_up(self) -> None:
        """Remove what was made, and go."""
        await self._acting.aclose()
        try:
            async with asyncio.timeout(WIND_UP_S):
                for node in self._created:
                    await self._remove(await self.owner(), node)
        except (LoadError, TimeoutError) as problem:
            self.problems.append(f"its Topics could not be removed: {problem}")
        for session in list(self._open):
            self.leave(session)

    async def _remove(self, owner: Session, node: str) -> None:
        # Prosody 0.12.3 never again answers who asks for subscriptions and still has one to a
        # Topic that was deleted.
        await end_others(owner, self.broker, node, ())
        await self.ask(owner, "set", pubsub.delete(node))


def first(problems: BaseExceptionGroup[LoadError]) -> BaseException:
    """The first of the exceptions in a group of groups."""
    found: BaseException = problems
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found


_OVER = object()


async def _coroutine(doing: Awaitable[None]) -> None:
    await doing


def reason(problem: LoadError) -> str:
    """The last part of what is wrong: a condition, or a few words, without the account."""
    return str(problem).rpartition(": ")[2][:80]
