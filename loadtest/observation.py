"""What a server uses while it runs: CPU time, memory, descriptors.

CPU time comes from the process's own CPU clock (clock_getcpuclockid(3)): nanoseconds, all threads,
those that ended included, and exact at the instant of reading, where `/proc/PID/stat` counts ticks
of 10 ms and `schedstat` lags while a thread runs.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from loadtest import pulse, spinner

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from loadtest import tempo

_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_CPUCLOCK_SCHED: Final = 2


def cpu_s(pid: int) -> float:
    """CPU time that a process has used, user and system, all threads. [s]

    Raises
    ------
    ProcessLookupError
        No such process.
    """
    # The id of another process's clock, as the kernel makes it: MAKE_PROCESS_CPUCLOCK.
    try:
        return time.clock_gettime((~pid << 3) | _CPUCLOCK_SCHED)
    except OSError:
        raise ProcessLookupError(pid) from None


def waited_s(pid: int) -> float:
    """Time that the thread which did most of a process's work was ready to run and had no core. [s]

    What others of its threads wait for is mostly that one: an ejabberd's pollers waited as long as
    its scheduler did, which itself waited 2 to 4 % as long as it ran.

    Raises
    ------
    ProcessLookupError
        No such process.
    """
    most = (0, 0)
    try:
        for task in os.scandir(f"/proc/{pid}/task"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended just now
                ran_ns, waited_ns, _ = map(int, Path(task.path, "schedstat").read_text().split())
                most = max(most, (ran_ns, waited_ns))
    except FileNotFoundError:
        raise ProcessLookupError(pid) from None
    return most[1] / 1e9


def resident_bytes(pid: int) -> int:
    """Memory of a process that is in RAM. [B]

    Raises
    ------
    ProcessLookupError
        No such process.
    """
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES
    except (FileNotFoundError, IndexError):
        raise ProcessLookupError(pid) from None


def descriptors(pid: int) -> int:
    """Open file descriptors of a process: its connections and a few more. [1]

    Raises
    ------
    ProcessLookupError
        No such process.
    """
    place = f"/proc/{pid}/fd"
    try:
        return os.stat(place).st_size or len(os.listdir(place))  # a count since Linux 6.2, else 0
    except FileNotFoundError:
        raise ProcessLookupError(pid) from None


@dataclass(frozen=True)
class Observation:
    """Samples of one process, oldest first; arrays of equal length.

    Attributes
    ----------
    time_s : ndarray
        Monotonic clock (`time.monotonic`, shared by all processes of the machine). [s]
    cpu_s : ndarray
        CPU time used since the process began. [s]
    waited_s : ndarray
        Time ready to run without a core, all threads together. [s]
    rss_bytes : ndarray
        Resident memory. [B]
    spun : ndarray, shape (3, n)
        What the spinners of its cores did between the first sample and the last (`spinner.kept`).
    pulses : ndarray, shape (2, n)
        Pulses of the first of them in that time (`pulse.kept`).
    ended : bool
        Whether the process ended while it was watched.
    """

    time_s: npt.NDArray[np.float64]
    cpu_s: npt.NDArray[np.float64]
    waited_s: npt.NDArray[np.float64]
    rss_bytes: npt.NDArray[np.int64]
    spun: npt.NDArray[np.float64]
    pulses: npt.NDArray[np.float64]
    ended: bool

    def course(self, since_s: float) -> tempo.Course | None:
        """How fast its cores were since then; None where that is not known of half of its work.

        Beside a process that never rests, an idle loop runs for a hundredth of the time.
        """
        from loadtest import tempo

        if len(self.time_s) < 2:
            return None
        begin_s, end_s = max(since_s, float(self.time_s[0])), float(self.time_s[-1])
        told = tempo.steps(self.spun, self.pulses, begin_s, end_s)
        return None if told is None else tempo.course(*told, self.time_s, self.cpu_s)

    def pace_per_s(self, since_s: float) -> float | None:
        """What its cores did in a CPU second of the process, in rounds of spinners. [1/s]"""
        told = self.course(since_s)
        return None if told is None else told.mean_per_s

    def spells(self, since_s: float) -> tempo.Spells | None:
        """Spells since then in which the first of its cores was slow; None where there was none."""
        from loadtest import tempo

        return tempo.spells(self.pulses[:, self.pulses[0] >= since_s])


class Observer:
    """Samples a server from a thread of its own between `start` and `stop`.

    Parameters
    ----------
    pid : int or sequence of int
        Its process; the processes of a cluster are seen as one, their figures added up.
    period_s : float
        Time between samples; a sample costs some 20 microseconds. [s]
    """

    def __init__(self, pid: int | Sequence[int], period_s: float = 0.2) -> None:
        self._pids = (pid,) if isinstance(pid, int) else tuple(pid)
        self._period_s = period_s
        self._cores: frozenset[int] = frozenset()
        # A row of floats after the other: of an hour's samples it is little.
        self._samples = array("d")
        self._ended = False
        self._stopping = threading.Event()
        name = f"observe-{self._pids[0]}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> Self:
        """Take the first sample now and go on until `stop`."""
        with contextlib.suppress(ProcessLookupError):
            self._cores = frozenset().union(*map(os.sched_getaffinity, self._pids))
        self._sample()
        self._thread.start()
        return self

    def stop(self) -> Observation:
        """Take the last sample and hand all of them over."""
        import numpy as np

        self._stopping.set()
        self._thread.join()
        self._sample()
        rows = np.array(self._samples).reshape(-1, 4)
        time_s, used_s, waiting_s, rss_bytes = rows.T.copy()
        ends_s = (time_s[0], time_s[-1]) if len(time_s) else (0.0, 0.0)
        spun, pulses = spinner.kept(self._cores, *ends_s), pulse.kept(self._cores, *ends_s)
        memory = rss_bytes.astype(np.int64)
        return Observation(time_s, used_s, waiting_s, memory, spun, pulses, self._ended)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        begin_s = time.monotonic()
        tick = 1
        while not self._stopping.wait(max(0.0, begin_s + tick * self._period_s - time.monotonic())):
            self._sample()
            # Whole periods that a busy machine swallowed are not made up for.
            tick = max(tick + 1, int((time.monotonic() - begin_s) / self._period_s) + 1)

    def _sample(self) -> None:
        if self._ended:
            return
        try:
            now_s, used_s = time.monotonic(), sum(map(cpu_s, self._pids))
            waiting_s, rss_bytes = (sum(map(of, self._pids)) for of in (waited_s, resident_bytes))
        except ProcessLookupError:
            self._ended = True
            return
        self._samples.extend((now_s, used_s, waiting_s, float(rss_bytes)))
