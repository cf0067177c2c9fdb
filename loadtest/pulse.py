"""Pulses: the same short piece of work every four milliseconds, to see a whole machine slow down.

A shared machine is slowed as a whole, again and again: on 2026-11-27 all work on both cores of a
virtual machine took three to twelve times as long, at the same instants, for 20 to 40 ms twice a
second, loops that touch no memory no less than others, and no counter of its kernel showed it. What
queues at a server in such a spell makes the tail of its latencies. The idle loop beside it
(`spinner`) hardly sees one: the server is at work then. So the pulses beat in the real-time class,
on the server's core; who may not use that class has none. They take a fiftieth of it. What they
told was the same with half the work, but for how slow a spell is: a first pulse after a sleep finds
cold caches, and a short one is nothing but first (`tempo.SPELL_EXPONENT`).

Run as `python -m loadtest.pulse CORE SECONDS PARENT DESCRIPTOR`; ends by itself and with its
parent.
"""

from __future__ import annotations

import mmap
import os
import sys
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Final

from loadtest import boards

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

EVERY_S: Final = 0.004
WORK: Final = 500  # turns of an empty loop: about twenty microseconds
# Words of a board: how many pulses there were, then instant and CPU time of each [ns].
_boards: boards.Boards = {}  # of the pulses that this process keeps


def beating(core: int, limit_s: float) -> AbstractContextManager[None]:
    """Let pulses beat on a core, for `limit_s` at most [s]."""
    return boards.kept(
        _boards, "loadtest.pulse", core, limit_s, 1 + 2 * (int(limit_s / EVERY_S) + 1)
    )


def kept(cores: Iterable[int], since_s: float, until_s: float) -> npt.NDArray[np.float64]:
    """Pulses between two instants.

    Parameters
    ----------
    cores : iterable of int
        Of the first of them.
    since_s, until_s : float
        On the monotonic clock. [s]

    Returns
    -------
    ndarray, shape (2, n)
        When each was over, and the CPU time that it took, oldest first; none where no pulses beat.
        [s]
    """
    import numpy as np

    beaten = sorted(set(cores) & set(_boards))
    if not beaten:
        return np.empty((2, 0))
    words = np.frombuffer(_boards[beaten[0]], np.uint64)
    pulses = words[1:].reshape(-1, 2)[: int(words[0])].T / 1e9
    inside: npt.NDArray[np.float64] = pulses[:, (pulses[0] >= since_s) & (pulses[0] < until_s)]
    return inside


def beat(core: int, limit_s: float, parent: int, descriptor: int) -> None:
    """Work a little, write down how long it took, and sleep, until the time or the parent ends."""
    os.sched_setaffinity(0, {core})
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:  # beside a busy server it would beat late, with cold caches
        return
    board = memoryview(mmap.mmap(descriptor, 0)).cast("Q")
    most = len(board) // 2
    begin_s = time.monotonic()
    for number in range(most):
        late_s = time.monotonic() - begin_s - number * EVERY_S
        if late_s > 10.0 * EVERY_S:  # what was missed is not made up for
            begin_s += late_s
        time.sleep(max(-late_s, 0.0))
        if time.monotonic() - begin_s >= limit_s or os.getppid() != parent:
            return
        used_ns = time.process_time_ns()
        for _ in range(WORK):
            pass
        took_ns = time.process_time_ns() - used_ns
        board[1 + 2 * number], board[2 + 2 * number] = time.monotonic_ns(), took_ns
        board[0] = number + 1


if __name__ == "__main__":
    beat(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
