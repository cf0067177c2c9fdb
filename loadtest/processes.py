"""Processes of a grid: their identity, their ties to a parent, their end.

A process id alone may be reused; with the start time of `/proc/PID/stat` and the boot it names one
process for ever. Signals go through a pidfd that was checked against that identity.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Identity:
    """One process: its id, its start in clock ticks since boot, and the boot."""

    pid: int
    started_ticks: int
    boot: str

    @classmethod
    def of(cls, pid: int) -> Identity:
        """The process that has this id now; ProcessLookupError where none lives."""
        state, started_ticks = _stat(pid)
        if state in "ZX":
            raise ProcessLookupError(pid)
        return cls(pid, started_ticks, _boot())

    @property
    def alive(self) -> bool:
        """Whether this very process lives; one that ended but was not yet reaped does not."""
        try:
            return Identity.of(self.pid) == self
        except ProcessLookupError:
            return False


def _stat(pid: int) -> tuple[str, int]:
    """State and start time of a process: fields 3 and 22 of proc_pid_stat(5)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        raise ProcessLookupError(pid) from None
    after_name = text.rpartition(")")[2].split()  # the name may hold spaces and brackets
    return after_name[0], int(after_name[19])


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def open_pidfd(identity: Identity) -> int | None:
    """A pidfd of exactly this process; None where it has ended."""
    try:
        descriptor = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return None
    if identity.alive:
        return descriptor
    os.close(descriptor)
    return None


def end(identity: Identity, grace_s: float) -> None:
    """End a process: SIGTERM, then SIGKILL after `grace_s` [s]; returns when it is gone.

    Raises
    ------
    TimeoutError
        The kernel did not end it within five seconds of SIGKILL.
    """
    descriptor = open_pidfd(identity)
    try:
        if descriptor is None:
            return
        for number, wait_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, 5.0)):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, number)
            if _ended_within(descriptor, wait_s):
                return
        raise TimeoutError(f"process {identity.pid} did not end")
    finally:
        if descriptor is not None:
            os.close(descriptor)
        reap(identity.pid)


def _ended_within(descriptor: int, wait_s: float) -> bool:
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    return bool(poller.poll(wait_s * 1e3))


def reap(pid: int) -> None:
    """Collect the process if it is a child of ours that has ended, so that no zombie stays."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def die_with_parent(parent_pid: int) -> None:
    """Let the kernel kill the calling process when its parent ends; for use after fork.

    Changing the user clears this setting, so call it afterwards (prctl(2), PR_SET_PDEATHSIG).
    """
    if _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent_pid:  # it had ended before the request
        os._exit(1)


def adopt_orphans() -> None:
    """Make the calling process the parent of what its children leave behind when they end.

    See prctl(2), PR_SET_CHILD_SUBREAPER.
    """
    if _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def reap_adopted(own: Collection[int]) -> None:
    """Collect adopted processes that have ended; `own` children are collected elsewhere."""
    with contextlib.suppress(ChildProcessError):
        while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if ended.si_pid in own:
                return
            os.waitpid(ended.si_pid, 0)


def reap_orphans(grace_s: float) -> None:
    """Wait until all children have ended, adopted ones included, `grace_s` at most. [s]

    A server's own helpers end by themselves once it has ended; this leaves no zombies of them.
    """
    deadline_s = time.monotonic() + grace_s
    with contextlib.suppress(ChildProcessError):
        while time.monotonic() < deadline_s:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.005)


@contextlib.contextmanager
def pinned(cores: Sequence[int]) -> Iterator[None]:
    """Let this thread use these processors only; empty: as it is."""
    before = os.sched_getaffinity(0)
    if cores:
        os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
