"""What a generator process knows about itself, second by second.

Whether the generator was the limit is judged afterwards (`loadtest.verdict`); here it only measures
itself: CPU time, how late its event loop runs, and what its sessions have left unread.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import struct
import termios
import time
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass

from loadtest.client import Session
from loadtest.counting import CountingSession

TICK_S = 0.02
SAMPLED_SESSIONS = 32


@dataclass(frozen=True)
class Window:
    """One second of a generator process."""

    second: int
    cpu_s: float
    lag_s: float
    unread_bytes: int
    unsent_bytes: int


class Monitor:
    """Closes a window at every full second since the start.

    Parameters
    ----------
    sessions : sequence of Session or CountingSession
        Some of them are looked at: what the kernel holds for them, unread or unsent.
    closed : callable
        Gets each window as it closes.
    slow : set of int
        Platforms that leave deliveries unread on purpose.
    """

    def __init__(
        self,
        sessions: Sequence[Session | CountingSession],
        closed: Callable[[Window], None],
        slow: Set[int] = frozenset(),
    ) -> None:
        self._slow = slow
        stride = max(1, len(sessions) // SAMPLED_SESSIONS)
        self._sampled = sessions[::stride]
        self._closed = closed

    async def run(self, start_ns: int) -> None:
        """Watch from `start_ns` on the monotonic clock until cancelled."""
        second, used_s, lag_s, unread, unsent = 0, time.process_time(), 0.0, 0, 0
        while True:
            before_ns = time.monotonic_ns()
            await asyncio.sleep(TICK_S)
            now_ns = time.monotonic_ns()
            lag_s = max(lag_s, (now_ns - before_ns) / 1e9 - TICK_S)
            if now_ns < start_ns:
                used_s, lag_s = time.process_time(), 0.0
                continue
            if now_ns < start_ns + (second + 1) * 1_000_000_000:
                continue
            ears = [each for each in self._sampled if each.number not in self._slow]
            unread = max(map(_unread_bytes, ears), default=0)
            unsent = max(map(_unsent_bytes, self._sampled), default=0)
            now_used_s = time.process_time()
            now_second = (now_ns - start_ns) // 1_000_000_000
            share_s = (now_used_s - used_s) / (now_second - second)
            for each in range(second, now_second):  # several, where the event loop stood still
                self._closed(Window(each, share_s, lag_s, unread, unsent))
            second, used_s, lag_s = now_second, now_used_s, 0.0


def _unread_bytes(session: Session | CountingSession) -> int:
    """Bytes that the kernel has received and nobody has read (SIOCINQ, tcp(7))."""
    connection = session.transport.get_extra_info("socket") if session.transport else None
    if connection is None or connection.fileno() < 0:
        return 0
    answer = bytearray(4)
    with contextlib.suppress(OSError):
        fcntl.ioctl(connection.fileno(), termios.FIONREAD, answer)
    return int(struct.unpack("i", answer)[0])


def _unsent_bytes(session: Session | CountingSession) -> int:
    return session.transport.get_write_buffer_size() if session.transport else 0
