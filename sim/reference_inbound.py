"""The door of a Controller once more, stanza by stanza: connections and buckets of tokens.

Nothing here is shared with the compiled scan. At one instant all publications arrive before any of
them is read, and those that were read go on in the order of their numbers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import simpy

from sim.reference_stanzas import Publication
from sim.stations import loop_rate
from topologies import schema
from topologies.profiles import Profile

READ_PRIORITY, GATE_PRIORITY = 5, 6  # after arrivals (1), before the servers' cores (10 ...)
Handle = Callable[[Publication], None]


class Connection(Protocol):
    """One client's connection."""

    def arrive(self, publication: Publication, size_bytes: float) -> None:
        """A stanza has come whole."""


def at(env: simpy.Environment, delay_s: float, priority: int, act: Callable[[], None]) -> None:
    """Act after a delay, at a place among the things of that instant."""
    event = simpy.Event(env)
    event._ok, event._value = True, None
    assert event.callbacks is not None
    event.callbacks.append(lambda _: act())
    env.schedule(event, priority, delay_s)


class Door:
    """What stands between the clients of a Controller and its server.

    `refused` and `waiting` hold what was refused and what is not handled yet.
    """

    def __init__(
        self, env: simpy.Environment, node: schema.Controller, profile: Profile, receive: Handle
    ) -> None:
        self._env, self._limits, self._profile, self._receive = env, node.limits, profile, receive
        self._connections: dict[int, Connection] = {}
        self._accounts: dict[int, Bucket] = {}
        self._gate: list[Publication] = []
        self.refused: list[Publication] = []
        self.waiting: set[int] = set()  # rows

    def arrive(self, publication: Publication) -> None:
        """A publication reaches the Controller."""
        size_bytes = publication.payload_bytes + self._profile.publication_bytes
        largest = self._limits.client_stanza
        if largest is not None and size_bytes > largest:
            self.refused.append(publication)
            return
        self.waiting.add(publication.row)
        if publication.publisher not in self._connections:
            self._connections[publication.publisher] = self._connection()
        self._connections[publication.publisher].arrive(publication, size_bytes)

    def _connection(self) -> Connection:
        rate, env = self._limits.client, self._env
        if loop_rate(self._limits, self._profile) is not None:
            return Unlimited(self._handle)
        if rate is not None and self._limits.shape == "drop":
            return Policed(Bucket(env, rate.rate, rate.burst), self._handle, self._refuse)
        server = self._profile.server if self._limits.shape == "server" else "none"
        return connection(env, server, rate, self._handle)

    def _refuse(self, publication: Publication) -> None:
        self.waiting.discard(publication.row)
        self.refused.append(publication)

    def _handle(self, publication: Publication) -> None:
        """A publication has been read whole."""
        account = self._limits.account
        if account.rate is not None:
            fresh = Bucket(self._env, account.rate, account.burst)
            bucket = self._accounts.setdefault(publication.publisher, fresh)
            if not bucket.take(1.0):
                self._refuse(publication)
                return
        if not self._gate:
            at(self._env, 0.0, GATE_PRIORITY, self._open)
        self._gate.append(publication)

    def _open(self) -> None:
        """One at a time, so that the server can turn to each before the next."""
        publication = min(self._gate, key=lambda each: each.row)
        self._gate.remove(publication)
        if self._gate:
            at(self._env, 0.0, GATE_PRIORITY, self._open)
        self.waiting.discard(publication.row)
        publication.arrival_s = self._env.now
        self._receive(publication)


def connection(
    env: simpy.Environment, server: str, rate: schema.ByteRate | None, handle: Handle
) -> Connection:
    """A connection that a server of this kind reads at a rate."""
    if rate is None:
        return Unlimited(handle)
    match server:
        case "prosody":
            return Pausing(env, rate.rate, handle)
        case "ejabberd":
            return Indebted(env, rate.rate, rate.burst, handle)
    return Shaped(env, Bucket(env, rate.rate, rate.burst), handle)


class Bucket:
    """Tokens that come at a rate, up to so many; full at the start."""

    def __init__(self, env: simpy.Environment, rate: float, most: float) -> None:
        self._env, self.rate, self._most = env, rate, most
        self.tokens, self._time_s = most, env.now

    def fill(self) -> None:
        """The tokens of the time since it was last filled."""
        earned = (self._env.now - self._time_s) * self.rate
        self.tokens, self._time_s = min(self._most, self.tokens + earned), self._env.now

    def take(self, amount: float) -> bool:
        """Take so many tokens if they are there."""
        self.fill()
        if amount > self.tokens + 1e-9:
            return False
        self.tokens -= amount
        return True

    def borrow(self, amount: float) -> float:
        """Take tokens, of those that are missing the next to come; when these are there. [s]"""
        self.fill()
        missing = max(0.0, amount - self.tokens)
        self.tokens = max(0.0, self.tokens - amount)
        self._time_s = self._env.now + missing / self.rate
        return missing / self.rate


@dataclass
class Unlimited:
    """No limit on bytes."""

    handle: Handle

    def arrive(self, publication: Publication, size_bytes: float) -> None:
        """It is handled at once."""
        self.handle(publication)


@dataclass
class Policed:
    """What the bucket has no tokens for is refused."""

    bucket: Bucket
    handle: Handle
    refuse: Handle

    def arrive(self, publication: Publication, size_bytes: float) -> None:
        """It is handled at once or never."""
        (self.handle if self.bucket.take(size_bytes) else self.refuse)(publication)


@dataclass
class Shaped:
    """One after another waits for its tokens."""

    env: simpy.Environment
    bucket: Bucket
    handle: Handle
    queue: deque[tuple[Publication, float]] = field(default_factory=deque)

    def arrive(self, publication: Publication, size_bytes: float) -> None:
        """It waits for those before it, then for its tokens."""
        self.queue.append((publication, size_bytes))
        if len(self.queue) == 1:
            self._next()

    def _next(self) -> None:
        wait_s = self.bucket.borrow(self.queue[0][1])
        at(self.env, wait_s, READ_PRIORITY, self._leave)

    def _leave(self) -> None:
        self.handle(self.queue.popleft()[0])
        if self.queue:
            self._next()


class Reading:
    """A connection that is read in pieces; `pause_s` tells how long after a read the next is."""

    def __init__(self, env: simpy.Environment, most_bytes: float, handle: Handle) -> None:
        self._env, self._most_bytes, self._handle = env, most_bytes, handle
        self._unread: deque[list[float]] = deque()  # bytes left
        self._stanzas: deque[Publication] = deque()
        self._next_s, self._planned = 0.0, False

    def arrive(self, publication: Publication, size_bytes: float) -> None:
        """It is read as soon as the server reads again."""
        self._unread.append([size_bytes])
        self._stanzas.append(publication)
        self._plan()

    def _plan(self) -> None:
        if self._unread and not self._planned:
            self._planned = True
            at(self._env, max(0.0, self._next_s - self._env.now), READ_PRIORITY, self._read)

    def _read(self) -> None:
        self._planned, room = False, self._most_bytes
        while self._unread and room > 0.0:
            piece = min(room, self._unread[0][0])
            self._unread[0][0] -= piece
            room -= piece
            if self._unread[0][0] == 0.0:
                self._unread.popleft()
                self._handle(self._stanzas.popleft())
        self._next_s = self._env.now + self.pause_s(self._most_bytes - room)
        self._plan()

    def pause_s(self, size_bytes: float) -> float:
        """How long nothing is read after a read of this size. [s]"""
        raise NotImplementedError


class Pausing(Reading):
    """Prosody's: the pause is worth what was read, unless that is next to nothing."""

    def __init__(self, env: simpy.Environment, rate: float, handle: Handle) -> None:
        super().__init__(env, 4096.0, handle)
        self._rate = rate

    def pause_s(self, size_bytes: float) -> float:
        """What was read over the rate."""
        return size_bytes / self._rate if size_bytes / self._rate > 1e-3 else 0.0


class Indebted(Reading):
    """ejabberd's: a bucket that may be overdrawn, and is then waited for."""

    def __init__(self, env: simpy.Environment, rate: float, burst: float, handle: Handle) -> None:
        super().__init__(env, 1460.0, handle)
        self._rate, self._burst = rate, burst
        self._credit, self._time_s = burst, 0.0

    def pause_s(self, size_bytes: float) -> float:
        """The debt over the rate."""
        earned = self._rate * (self._env.now - self._time_s)
        self._credit = min(self._burst, self._credit + earned - size_bytes)
        self._time_s = self._env.now
        return max(0.0, -self._credit) / self._rate
