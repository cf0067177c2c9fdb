"""A login as an action: its steps, its failed attempts, and all of it from the intended instant."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator

from loadtest.actions import ActionLog
from loadtest.client import Session
from loadtest.problems import LoadError

STEPS = {
    "tcp": ("began_ns", "connected_ns"),
    "tls": ("connected_ns", "secured_ns"),
    "sasl": ("secured_ns", "authenticated_ns"),
    "bind": ("authenticated_ns", "bound_ns"),
}


async def log_in(
    actions: ActionLog,
    enter: Callable[[], Awaitable[Session]],
    due_ns: int,
    waits_s: Iterator[float],
) -> Session | None:
    """Try to log in until it works or the patience ends.

    Noted are `tcp`, `tls`, `sasl` and `bind` of the attempt that worked, each `attempt`, and
    `login` from `due_ns` to the end of binding, however many attempts that took.

    Parameters
    ----------
    actions : ActionLog
        Where it is noted.
    enter : callable
        One attempt.
    due_ns : int
        When the login was to begin, on the monotonic clock. [ns]
    waits_s : iterator
        Waits before the next attempts. [s]
    """
    while True:
        began_ns = time.monotonic_ns()
        try:
            session = await enter()
        except LoadError as problem:
            why = str(problem).rpartition(": ")[2][:80]
            actions.note("attempt", began_ns, began_ns, time.monotonic_ns(), why)
            wait_s = next(waits_s, None)
            if wait_s is None:
                actions.note("login", due_ns, began_ns, time.monotonic_ns(), why)
                return None
            await asyncio.sleep(wait_s)
            continue
        timeline = session.timeline
        for kind, (start, end) in STEPS.items():
            instants = getattr(timeline, start), getattr(timeline, end)
            actions.note(kind, instants[0], *instants)
        actions.note("attempt", began_ns, began_ns, timeline.bound_ns)
        actions.note("login", due_ns, began_ns, timeline.bound_ns)
        return session
