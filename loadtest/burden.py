"""Busy loops beside a server, so that it gets a stated share of its core and no more.

Linux shares a core evenly among sessions (sched_autogroup, setsid(2)), or among processes where it
does not group them: each loop is a session of its own, so that k of them leave 1 / (k + 1) either
way. A server so held is full at a load that the caps of the rails allow.
Run as `python -m loadtest.burden CORE SECONDS PARENT`; ends by itself and with its parent.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from loadtest.problems import LoadError

LIMIT_S: Final = 600.0
_LOOPS_MAX: Final = 9


@contextmanager
def held(share: float, cores: Sequence[int], limit_s: float = LIMIT_S) -> Iterator[None]:
    """Leave a server this share of each of its cores: one over a whole number. [1]

    Raises
    ------
    LoadError
        The share is no such number, or the cores are not known.
    """
    loops = round(1.0 / share) - 1
    if not 0 <= loops <= _LOOPS_MAX or abs(share * (loops + 1) - 1.0) > 0.01:
        raise LoadError(f"share: {share:g}: must be 1 over a whole number up to {_LOOPS_MAX + 1}")
    if loops and not cores:
        raise LoadError("share: a server can be held to it on a machine of two cores or more")
    command = [sys.executable, "-m", "loadtest.burden"]
    running = [
        subprocess.Popen([*command, str(core), str(limit_s), str(os.getpid())])
        for core in cores
        for _ in range(loops)
    ]
    try:
        yield
    finally:
        for each in running:
            each.kill()
            each.wait()


def burden(core: int, limit_s: float, parent: int) -> None:
    """Loop on one core until the time is up or the parent is gone."""
    os.sched_setaffinity(0, {core})
    os.setsid()
    end_s = time.monotonic() + limit_s
    while time.monotonic() < end_s and os.getppid() == parent:
        for _ in range(100_000):
            pass


if __name__ == "__main__":
    burden(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
