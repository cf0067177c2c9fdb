"""Idle-priority busy loops that keep the cores awake while something is measured.

A virtual core that halts pays for waking up, and that moves the server's own CPU per publication
by 10-30 %. A loop in the SCHED_IDLE class gives way to all other work at once, but leaves no idle
time to halt in. That class counts only among the tasks of one scheduling group, and Linux groups
tasks by session (sched_autogroup): beside a server in a session of its own, a plain idle loop gets
half the core. So each spinner makes a session of its own and gives its group the least weight.

A spinner also tells how fast its core is. On a shared machine another guest on the same physical
core makes a CPU second worth less, from second to second (`gridlab doctor` tells by how much), and
no counter of this guest's kernel shows it. The rounds that the loop makes in a CPU second of its
own do (`kept`). It walks through a ring of small objects as large as the core's own caches, as a
server does all the time: a neighbour takes those, and an empty loop hardly notices (a Prosody's
collector, which walks through the whole heap, took 2.7 times as long where an empty loop lost 1.7
times its pace, and this one 3.2 times; `results.pacing`). A server takes them, too: rounds in which
it had a turn, and those after them, in which the ring comes back, do not count. Else the core would
seem the slower the busier the server is. Spells in which the whole machine is slow are told by
pulses (`pulse`), which beat while cores are kept awake.

Run as `python -m loadtest.spinner CORE SECONDS PARENT DESCRIPTOR`; ends by itself and with its
parent.
"""

from __future__ import annotations

import contextlib
import gc
import mmap
import os
import random
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from loadtest import boards, pulse

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

LIMIT_S = 3600.0
ROUNDS = 10_000  # a few tenths of a millisecond: what a reading may lag behind
ALONE_NS = 60_000  # what an interrupt or a pulse may take; beyond, somebody else had the core
RING = 4_000  # lists of one: with what the allocator adds, half a megabyte
BIN_NS: Final = 2_000_000
# A board's words: the number of the first bin, counted from the beginning of the monotonic clock;
# then by bin the rounds that counted, and the CPU time they took [ns].
BEGIN, BINS = 0, 1
_boards: boards.Boards = {}  # of the spinners that this process keeps


@contextmanager
def awake(limit_s: float = LIMIT_S) -> Iterator[None]:
    """Keep every core that this process may use awake, for `limit_s` at most [s].

    Pulses beat on the first of them, which servers have (`cores`).
    """
    cores, limit_s = sorted(os.sched_getaffinity(0)), min(limit_s, LIMIT_S)
    words = BINS + 2 * (int(limit_s * 1e9) // BIN_NS + 2)
    with contextlib.ExitStack() as held:
        for core in cores:
            held.enter_context(boards.kept(_boards, "loadtest.spinner", core, limit_s, words))
        held.enter_context(pulse.beating(cores[0], limit_s))
        yield


def kept(cores: Iterable[int], since_s: float, until_s: float) -> npt.NDArray[np.float64]:
    """What this process's spinners did on some cores between two instants, by bins of time.

    Parameters
    ----------
    cores : iterable of int
        What they did is added up.
    since_s, until_s : float
        On the monotonic clock. [s]

    Returns
    -------
    ndarray, shape (3, n)
        When each bin begins [s], rounds that counted, and the CPU time they took [s]; of bins in
        which some did, oldest first. None where there are no spinners.
    """
    import numpy as np

    first, last = (int(edge_s * 1e9) // BIN_NS for edge_s in (since_s, until_s))
    counts = np.zeros((max(last + 1 - first, 0), 2))
    for core in cores:
        if core in _boards:
            words = np.frombuffer(_boards[core], np.uint64)
            ahead = int(words[BEGIN]) - first
            own = words[BINS:].reshape(-1, 2)[max(-ahead, 0) :]
            there = counts[max(ahead, 0) :][: len(own)]
            there += own[: len(there)]
    full = np.flatnonzero(counts[:, 0])
    rounds, used_ns = counts[full].T
    return np.array([(first + full) * (BIN_NS / 1e9), rounds, used_ns / 1e9])


def ring() -> list[Any]:
    """A list in a ring of lists, each holding the next, in random order of their places."""
    places: list[list[Any]] = [[None] for _ in range(RING)]
    random.Random(1).shuffle(places)
    for place, following in zip(places, places[1:] + places[:1], strict=True):
        place[0] = following
    return places[0]


class Tally:
    """Which rounds count.

    Parameters
    ----------
    passed_ns, used_ns : int
        The monotonic clock, and CPU time used, as the first rounds begin. [ns]
    """

    def __init__(self, passed_ns: int, used_ns: int) -> None:
        self._passed_ns, self._used_ns, self._alone = passed_ns, used_ns, False

    def add(self, passed_ns: int, used_ns: int) -> bool:
        """`ROUNDS` more have been made by now; whether they count."""
        own_ns = used_ns - self._used_ns
        alone, before = passed_ns - self._passed_ns - own_ns < ALONE_NS, self._alone
        self._passed_ns, self._used_ns, self._alone = passed_ns, used_ns, alone
        return alone and before


def spin(core: int, limit_s: float, parent: int, descriptor: int) -> None:
    """Loop on one core until the time is up or the parent is gone, and count."""
    os.sched_setaffinity(0, {core})
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    with contextlib.suppress(OSError):  # a kernel without automatic groups has no such file
        Path("/proc/self/autogroup").write_text("19")
    board = memoryview(mmap.mmap(descriptor, 0)).cast("Q")
    place = ring()
    gc.disable()  # it would walk the same ring
    passed_ns, used_ns = time.monotonic_ns(), time.process_time_ns()
    end_ns, tally = passed_ns + int(limit_s * 1e9), Tally(passed_ns, used_ns)
    begin = board[BEGIN] = passed_ns // BIN_NS
    while passed_ns < end_ns and os.getppid() == parent:
        for _ in range(ROUNDS):
            place = place[0]
        before_ns, passed_ns, used_ns = used_ns, time.monotonic_ns(), time.process_time_ns()
        if tally.add(passed_ns, used_ns) and passed_ns < end_ns:
            word = BINS + 2 * (passed_ns // BIN_NS - begin)
            board[word] += ROUNDS
            board[word + 1] += used_ns - before_ns


if __name__ == "__main__":
    spin(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
