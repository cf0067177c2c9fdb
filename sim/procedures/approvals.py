"""Subscriptions that somebody must approve: a queue with people in it.

Requests wait for one of c approvers, first come, first served, an exponential time each (M/M/c
while they come at random). Spam waits with the rest, unless an account may have only so many
waiting.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

import numpy as np
import simpy

from results import histogram
from sim.procedures.outcome import Occasion, Outcome, Trace
from topologies.procedures import Approvals

AXES: Final = ("time [s]", "requests that wait [1]")
REASONS: Final = {"time_to_recover_s": "see the time to subscribe"}
PROGRAM_S: Final = 0.05  # a program answers within this

Process = Generator[simpy.Event, Any, None]


class Desk:
    """Who approves, what waits, and when each honest request was granted.

    Parameters
    ----------
    control : simpy.Environment
        The control plane.
    procedure : Approvals
        What is asked for.
    """

    def __init__(self, control: simpy.Environment, procedure: Approvals) -> None:
        self.control, self.procedure = control, procedure
        self.people = simpy.Resource(control, procedure.approvers or 1_000)
        self.waiting: dict[int, int] = {}
        self.granted_s: list[float] = []
        self.made = self.met = self.turned_away = self.waiting_max = 0
        self.trace = Trace()

    def ask(self, account: int, honest: bool, work_s: float, delay_s: float) -> Process:
        """One request from when it is made until it is granted."""
        began_s = self.control.now
        self.made += honest
        yield self.control.timeout(delay_s)
        limit = self.procedure.pending
        if limit is not None and self.waiting.get(account, 0) >= limit:
            self.turned_away += 1
            return
        self.waiting[account] = self.waiting.get(account, 0) + 1
        self._look()
        with self.people.request() as turn:
            yield turn
            yield self.control.timeout(work_s)
        self.waiting[account] -= 1
        self._look()
        if honest:
            self.granted_s.append(self.control.now - began_s)

    def _look(self) -> None:
        waiting = len(self.people.queue)
        self.waiting_max = max(self.waiting_max, waiting)
        self.trace.add(self.control.now, float(waiting))


def play(procedure: Approvals, occasion: Occasion) -> Outcome:
    """One replication."""
    control = simpy.Environment()
    desk = Desk(control, procedure)
    draw = occasion.stream("requests")
    control.process(_arrive(desk, draw, procedure.platforms, procedure.topics, honest=True))
    spam = occasion.stream("spam")
    control.process(_arrive(desk, spam, procedure.spammers, procedure.spam, honest=False))
    control.run(until=procedure.duration)
    prepared = desk.met
    granted_s = np.array(desk.granted_s)
    missing = desk.made - len(granted_s)
    latency = histogram.count(np.array([*granted_s, *[0.0] * prepared, *[np.inf] * missing]))
    return Outcome(
        {
            "goodput_per_s": (len(granted_s) + prepared) / procedure.duration,
            "subscribe_p50_s": float(histogram.quantile(latency, 0.5)),
            "waiting_max": float(desk.waiting_max),
            "never_share": missing / max(desk.made + prepared, 1),
            "turned_away": float(desk.turned_away),
        },
        latency,
        desk.trace.curve(),
    )


def _arrive(
    desk: Desk, draw: np.random.Generator, accounts: int, each: int, *, honest: bool
) -> Process:
    """Accounts come one by one within the spread; each makes all its requests at once."""
    procedure, control = desk.procedure, desk.control
    instants_s = np.sort(draw.random(accounts) * procedure.spread)
    for account, at_s in enumerate(instants_s.tolist()):
        yield control.timeout(at_s - control.now)
        chances = draw.random((each, 2))
        works_s = draw.exponential(procedure.approval, each)
        delays_s = draw.exponential(procedure.correction, each)
        for request in range(each):
            if honest and chances[request, 0] < procedure.prepared:
                desk.met += 1  # on a whitelist: granted as it comes
                continue
            wrong = honest and chances[request, 1] < procedure.misnamed
            work_s = PROGRAM_S if procedure.approvers is None else works_s[request]
            key = account if honest else -1 - account
            control.process(desk.ask(key, honest, work_s, delays_s[request] if wrong else 0.0))
