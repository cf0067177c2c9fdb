"""Open-loop pacing: every publication at its absolute deadline, whatever the server does.

The schedule is the plan's and never waits for a reply. A publication that is late is sent late, at
once; one that is never sent keeps `NEVER`. Both are the generator's doing and are reported.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import numpy as np
import numpy.typing as npt

from loadtest.spool import NEVER

# An event loop wakes up to 1 ms late: it is left early, the rest is slept exactly, the end is spun.
EARLY_NS = 1_500_000
SPIN_NS = 80_000
TOGETHER = 32  # publications that are noted as sent at one instant, at most


class Pacer:
    """Sends publications at their deadlines.

    Parameters
    ----------
    due_ns : ndarray of int64, shape (n,)
        Deadlines on the clock, non-decreasing. [ns]
    send : callable
        `send(first, last)` sends the publications first .. last - 1, which are all due, without
        waiting. Publications that are due together come in one call, `TOGETHER` of them at most:
        of a larger burst the last are sent later than the first, and noted so.
    clock : callable
        The instant now. [ns]
    sleep : callable
        `await sleep(seconds)`: lets others run; may wake a little late. [s]
    nap : callable
        `nap(seconds)`: waits exactly, while nothing else runs. [s]
    sent_ns : ndarray of int64, shape (n,), optional
        Where to note when each was sent; its own by default. [ns]
    """

    def __init__(
        self,
        due_ns: npt.NDArray[np.int64],
        send: Callable[[int, int], None],
        *,
        clock: Callable[[], int],
        sleep: Callable[[float], Awaitable[None]],
        nap: Callable[[float], None],
        sent_ns: npt.NDArray[np.int64] | None = None,
    ) -> None:
        self._due_ns = due_ns
        self._send = send
        self._clock = clock
        self._sleep = sleep
        self._nap = nap
        self.sent_ns = np.empty(len(due_ns), dtype=np.int64) if sent_ns is None else sent_ns
        self.sent_ns[:] = NEVER

    async def run(self) -> None:
        """Send all; cancelling it leaves the rest `NEVER`."""
        first, count = 0, len(self._due_ns)
        while first < count:
            await self._wait_until(int(self._due_ns[first]))
            due = int(np.searchsorted(self._due_ns, self._clock(), side="right"))
            while first < due:
                last = min(due, first + TOGETHER)
                self.sent_ns[first:last] = self._clock()
                self._send(first, last)
                first = last

    async def _wait_until(self, due_ns: int) -> None:
        await self._sleep(max(0, due_ns - EARLY_NS - self._clock()) / 1e9)
        left_ns = due_ns - self._clock()
        if left_ns > SPIN_NS:
            self._nap((left_ns - SPIN_NS) / 1e9)
        while self._clock() < due_ns:
            pass
