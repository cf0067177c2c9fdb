"""What one Publisher may send in a second, shared evenly by its connections.

Whoever has something to send takes turns, a segment each, and a segment leaves once its last byte
could have: deadlines are absolute, so that a late turn delays none of the following ones. What was
not sent while nobody had anything is not made up for.
"""

from __future__ import annotations

import asyncio
import collections
import math
import time
from collections.abc import Callable
from typing import Final

SEGMENT_BYTES: Final = 1_460  # of Ethernet's 1,500, less the headers of IP and TCP
FULL_S: Final = 1e-3  # until somebody who took nothing is asked again
Write = Callable[[bytes], int]
"""Takes some bytes; how many it took, none where it has no room now. An OSError ends its lane."""


class Lane:
    """One connection's share of an uplink.

    Parameters
    ----------
    uplink : Uplink
        Whose it is.
    write : callable
        Takes what leaves.
    """

    def __init__(self, uplink: Uplink, write: Write) -> None:
        self._uplink, self.write = uplink, write
        self.pending = bytearray()
        self.problem: OSError | None = None
        self._empty = asyncio.Event()
        self._empty.set()

    def put(self, data: bytes) -> None:
        """Send this once it is its turn."""
        if data and self.problem is None:
            waits = bool(self.pending)
            self.pending += data
            self._empty.clear()
            if not waits:
                self._uplink.join(self)

    async def sent(self) -> None:
        """Wait until all has left.

        Raises
        ------
        OSError
            The connection has failed.
        """
        await self._empty.wait()
        if self.problem is not None:
            raise self.problem

    def passed(self) -> None:
        """All has left, or nothing will."""
        self._empty.set()


class Uplink:
    """A way out of so many bytes a second; `run` carries it.

    Parameters
    ----------
    rate_bytes_per_s : float or None
        None: as fast as the connections take it. [B/s]

    Attributes
    ----------
    sent_bytes : int
        What has left. [B]
    busy_s : float
        How long there was something to send, up to now. [s]
    """

    def __init__(self, rate_bytes_per_s: float | None) -> None:
        self._s_per_byte = 0.0 if rate_bytes_per_s is None else 1.0 / rate_bytes_per_s
        self._turns: collections.deque[Lane] = collections.deque()
        self._wanted = asyncio.Event()
        self.sent_bytes, self.busy_s = 0, 0.0

    def lane(self, write: Write) -> Lane:
        """One more connection."""
        return Lane(self, write)

    def join(self, lane: Lane) -> None:
        """A lane has something to send."""
        self._turns.append(lane)
        self._wanted.set()

    @property
    def expected_s(self) -> float:
        """How long what has left takes at the rate. [s]"""
        return self.sent_bytes * self._s_per_byte

    async def run(self) -> None:
        """Let everybody have turns, for ever."""
        while True:
            self._wanted.clear()
            if not self._turns:
                await self._wanted.wait()
            begun_s = due_s = time.monotonic()
            while self._turns:
                due_s = await self._turn(self._turns.popleft(), due_s)
            self.busy_s += time.monotonic() - begun_s

    async def _turn(self, lane: Lane, due_s: float) -> float:
        """A segment of a lane; when its last byte has left. [s]"""
        piece = bytes(lane.pending[:SEGMENT_BYTES])
        left_s = due_s + len(piece) * self._s_per_byte
        await asyncio.sleep(max(left_s - time.monotonic(), 0.0))
        try:
            taken = lane.write(piece)
        except OSError as problem:
            lane.problem, taken = problem, len(lane.pending)
            left_s = due_s
        else:
            self.sent_bytes += taken
            left_s = due_s + taken * self._s_per_byte
        del lane.pending[:taken]
        if not lane.pending:
            lane.passed()
            return left_s
        if not taken:
            await asyncio.sleep(FULL_S)
        self._turns.append(lane)
        return left_s if taken else max(left_s, time.monotonic())


def kept_up(uplink: Uplink) -> float:
    """What it has sent while it was busy, over what it should have; nan without a rate. [1]"""
    known = uplink.expected_s > 0.0 and uplink.busy_s > 0.0
    return uplink.expected_s / uplink.busy_s if known else math.nan
