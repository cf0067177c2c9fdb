"""Servers that rest: their caches are cold as they begin again, and the first work costs more.

Other programs, and the kernel's own work, take the place of what a server had in the caches of its
core. Right after work nothing is lost; after some `cold_after` all is: the first work costs
`cold` (1 - exp(-rest / `cold_after`)) more CPU time. An event loop rests from when nobody is ready
until somebody is, or timers run: what these resume is not cold, and a new rest begins. Of a run
queue each core rests by itself, from the end of a slice to the begin of the next. A server that
stood still, or was down, rests from when it goes on.
"""

from __future__ import annotations

import numpy as np

from sim.delivery import inlined
from sim.state import Server


@inlined
def rest_s(server: Server, since_s: float, time_s: float) -> float:
    """How long a rest is that began at `since_s` and ends at `time_s`. [s]"""
    return max(time_s - max(since_s, server.ledger[0].frozen_s), 0.0)


@inlined
def cold_s(server: Server, rested_s: float) -> float:
    """What the first work after such a rest costs more. [s]"""
    setting = server.setting[0]
    if setting.cold_s == 0.0:
        return 0.0
    return setting.cold_s * -np.expm1(-rested_s / setting.cold_after_s)


@inlined
def wake(server: Server, time_s: float) -> None:
    """A loop that rests wakes as somebody is ready at this instant."""
    now = server.ledger[0]
    now.timers_s = time_s
    now.rest_s = rest_s(server, now.time_s, time_s)
    awake_s = time_s + server.setting[0].wake_s
    now.idle_s += awake_s - now.time_s
    now.time_s = now.busy_since_s = awake_s


@inlined
def warm_up(server: Server) -> None:
    """A loop that has woken begins to work."""
    now = server.ledger[0]
    now.time_s += cold_s(server, now.rest_s)
    now.rest_s = 0.0
