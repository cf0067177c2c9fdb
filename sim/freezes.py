"""A server stands still: it neither works nor reads for a while, then goes on as if nothing was.

What it is at lasts as much longer, what it has written is on its way, and what comes waits in its
sockets and is there when it goes on. A write of `loop-turns` that has begun is still made. Time at
a standstill counts as idle.
"""

from __future__ import annotations

import numpy as np

from sim.loop_turns import POLL
from sim.state import Floats, Integers, Records, Server

Steps = tuple[Floats, Integers, Integers, Floats]  # of logins: instant, Platform, stamp, deadline


def freeze(server: Server, start_s: float, pause_s: float) -> None:
    """Put off all that a server has to do, which has worked until `start_s`, by `pause_s`."""
    now, cores = server.ledger[0], server.cores
    now["frozen_s"] = start_s + pause_s
    if now["time_s"] >= start_s:  # an event loop at the end of a step, or about to wake
        if now["stage"] != POLL:
            _put_off(server.intervals, start_s, float(now["time_s"]), pause_s)
        now["time_s"] += pause_s
        now["idle_s"] += pause_s
        now["busy_since_s"] = cores["idle_since_s"][0] = now["time_s"]
    for core in cores:
        if core["ready_s"] == np.inf:
            continue
        if core["idle_since_s"] == core["ready_s"]:  # at work, not about to wake
            _put_off(server.intervals, start_s, float(core["ready_s"]), pause_s)
            core["idle_since_s"] += pause_s
            now["idle_s"] += pause_s
        core["ready_s"] += pause_s


def _put_off(intervals: Records, start_s: float, stop_s: float, pause_s: float) -> None:
    """Core time from `start_s` to `stop_s`, which was booked, is worked later."""
    intervals["busy_s"] += _overlap_s(intervals, start_s + pause_s, stop_s + pause_s)
    intervals["busy_s"] -= _overlap_s(intervals, start_s, stop_s)


def _overlap_s(intervals: Records, start_s: float, stop_s: float) -> Floats:
    within_s = np.minimum(stop_s, intervals["end_s"]) - np.maximum(start_s, intervals["start_s"])
    return np.asarray(within_s.clip(0.0))


class Sockets:
    """Steps of logins that wait in the sockets of servers which stand still.

    Parameters
    ----------
    stations : int
        How many servers there are.
    """

    def __init__(self, stations: int) -> None:
        self._until_s = np.full(stations, -np.inf)
        none = np.zeros(0, np.int64)
        self._waiting: Steps = (np.zeros(0), none, none, np.zeros(0))

    @property
    def next_s(self) -> float:
        """When the first of them is read; infinite if none waits. [s]"""
        return float(self._waiting[0].min(initial=np.inf))

    def close(self, station: int, until_s: float) -> None:
        """A server reads nothing until then."""
        self._until_s[station] = until_s

    def read(self, steps: Steps, home: Integers, end_s: float) -> Steps:
        """What is read before `end_s` of steps that arrive before, at these stations."""
        if not len(self._waiting[0]) and (steps[0] >= self._until_s[home]).all():
            return steps
        known = (np.maximum(steps[0], self._until_s[home]), *steps[1:])
        instants_s, platforms, stamps, deadlines_s = (
            np.concatenate(pair) for pair in zip(self._waiting, known, strict=True)
        )
        due = instants_s < end_s
        self._waiting = instants_s[~due], platforms[~due], stamps[~due], deadlines_s[~due]
        return instants_s[due], platforms[due], stamps[due], deadlines_s[due]
