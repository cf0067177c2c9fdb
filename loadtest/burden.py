"""A server held to a stated share of a core: halted and woken as its CPU clock says (SIGSTOP).

Its allowance grows at the share, up to a few milliseconds; what it uses is taken off, and while the
allowance is used up it is halted. Its own CPU clock is read for that, so that it makes no
difference how many threads it has: busy loops beside a server, which share a core evenly among
processes, lose against Erlang's virtual machine. A server so held is full at a load that the caps
of the rails allow.
Run as `python -m loadtest.burden PID SHARE SECONDS PARENT`; ends by itself and with its parent.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from loadtest.observation import cpu_s
from loadtest.problems import LoadError

LIMIT_S: Final = 600.0
SHARE_MIN: Final = 0.05
TICK_S: Final = 2e-3  # how often it is looked at
ALLOWANCE_S: Final = 4e-3  # CPU time that a server at rest saves up
_PRIORITY: Final = -10  # what looks is to look in time, where that is allowed


@contextmanager
def held(
    share: float, pid: int, cores: Sequence[int] = (), limit_s: float = LIMIT_S
) -> Iterator[None]:
    """Give a server this share of one core, and no more. [1]

    Parameters
    ----------
    share : float
        Of a core; 1 is left alone.
    pid : int
        The server, which must be the caller's to signal.
    cores : sequence of int
        Processors for the process that looks after it; empty: any.
    limit_s : float
        It is let go after this. [s]

    Raises
    ------
    LoadError
        The share is no share, or too small.
    """
    if not SHARE_MIN <= share <= 1.0:
        raise LoadError(f"share: {share:g}: must be {SHARE_MIN:g} to 1")
    if share == 1.0:
        yield
        return
    command = [sys.executable, "-m", "loadtest.burden"]
    arguments = [str(pid), str(share), str(limit_s), str(os.getpid()), *map(str, cores)]
    holding = subprocess.Popen([*command, *arguments], stdin=subprocess.PIPE)
    try:
        yield
    finally:
        assert holding.stdin is not None
        holding.stdin.close()  # it wakes the server and ends
        try:
            holding.wait(2.0)
        except subprocess.TimeoutExpired:
            holding.kill()
            holding.wait()
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


class Allowance:
    """CPU time that a server may use: it grows at the share, and is saved up to a bound.

    Parameters
    ----------
    share : float
        Of a core. [1]
    now_s, used_s : float
        Clock, and the server's CPU clock. [s]
    """

    def __init__(self, share: float, now_s: float, used_s: float) -> None:
        self._share, self._now_s, self._used_s = share, now_s, used_s
        self.left_s = 0.0

    def spent(self, now_s: float, used_s: float) -> bool:
        """Whether nothing is left by now, after what it has used. [s]"""
        grown_s = self.left_s + self._share * (now_s - self._now_s)
        self.left_s = min(grown_s, ALLOWANCE_S) - (used_s - self._used_s)
        self._now_s, self._used_s = now_s, used_s
        return self.left_s <= 0.0


def hold(pid: int, share: float, end_s: float, goes_on: Callable[[], bool]) -> None:
    """Halt and wake a server until the time is up or it is not wanted any more; then let it go."""
    halted = False
    try:
        allowance = Allowance(share, time.monotonic(), cpu_s(pid))
        while time.monotonic() < end_s and goes_on():
            spent = allowance.spent(time.monotonic(), cpu_s(pid))
            if spent != halted:
                os.kill(pid, signal.SIGSTOP if spent else signal.SIGCONT)
                halted = spent
            time.sleep(TICK_S)
    except ProcessLookupError:
        return  # it has ended
    finally:
        if halted:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def main(pid: int, share: float, limit_s: float, parent: int, cores: Sequence[int]) -> None:
    """Hold a server as long as the parent wants it; a parent that is gone wants nothing."""
    if cores:
        os.sched_setaffinity(0, cores)
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, _PRIORITY)
    os.set_blocking(0, False)

    def wanted() -> bool:
        try:
            return os.getppid() == parent and os.read(0, 1) != b""
        except BlockingIOError:
            return True

    hold(pid, share, time.monotonic() + limit_s, wanted)


if __name__ == "__main__":
    _pid, _share, _limit_s, _parent, *_cores = sys.argv[1:]
    main(int(_pid), float(_share), float(_limit_s), int(_parent), [int(each) for each in _cores])
