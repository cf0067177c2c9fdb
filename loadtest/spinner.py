"""Idle-priority busy loops that keep the cores awake while something is measured.

A virtual core that halts pays for waking up, and that moves the server's own CPU per publication
by 10-30 %. A loop in the SCHED_IDLE class gives way to all other work at once, but leaves no idle
time to halt in. That class counts only among the tasks of one scheduling group, and Linux groups
tasks by session (sched_autogroup): beside a server in a session of its own, a plain idle loop gets
half the core. So each spinner makes a session of its own and gives its group the least weight.
Run as `python -m loadtest.spinner CORE SECONDS PARENT`; ends by itself and with its parent.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LIMIT_S = 3600.0


@contextmanager
def awake(limit_s: float = 600.0) -> Iterator[None]:
    """Keep every core that this process may use awake, for `limit_s` at most [s]."""
    command = [sys.executable, "-m", "loadtest.spinner"]
    spinners = [
        subprocess.Popen([*command, str(core), str(min(limit_s, LIMIT_S)), str(os.getpid())])
        for core in sorted(os.sched_getaffinity(0))
    ]
    try:
        yield
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.wait()


def spin(core: int, limit_s: float, parent: int) -> None:
    """Loop on one core until the time is up or the parent is gone."""
    os.sched_setaffinity(0, {core})
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    os.setsid()
    with contextlib.suppress(OSError):  # a kernel without automatic groups has no such file
        Path("/proc/self/autogroup").write_text("19")
    end_s = time.monotonic() + limit_s
    while time.monotonic() < end_s and os.getppid() == parent:
        for _ in range(200_000):
            pass


if __name__ == "__main__":
    spin(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
