"""Subscriptions that somebody must approve: a queue with people in it.

Requests wait for one of c approvers, first come, first served, an exponential time each (M/M/c
while they come at random). Spam waits with the rest, unless an account may have only so many
waiting. Who asks for a Topic of a wrong name asks again once that is set right, unless somebody
else has made a Topic of that name: then it is granted at once, and nothing true ever comes.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

import numpy as np
import simpy

from results import histogram
from sim.procedures.outcome import Occasion, Outcome, Trace
from topologies.procedures import Approvals
from topologies.procedures_load import Request

AXES: Final = ("time [s]", "requests that wait [1]")
REASONS: Final = {"time_to_recover_s": "see the time to subscribe"}
PEOPLE_MAX: Final = 10_000  # a program answers all that wait at the same time

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
        self.people = simpy.Resource(control, procedure.approvers or PEOPLE_MAX)
        self.waiting: dict[tuple[bool, int], int] = {}
        self.granted_s: list[float] = []
        self.made = self.met = self.lured = self.turned_away = self.waiting_max = 0
        self.trace = Trace()

    def ask(self, request: Request) -> Process:
        """One request from when it is made until it is granted."""
        yield self.control.timeout(request.at_s)
        if request.prepared:
            self.met += 1  # on a whitelist: granted as it comes
            return
        self.made += request.honest
        if request.lured:
            self.lured += 1
            return
        yield self.control.timeout(request.delay_s)
        who = request.honest, request.account
        limit = self.procedure.pending
        if limit is not None and self.waiting.get(who, 0) >= limit:
            self.turned_away += 1
            return
        self.waiting[who] = self.waiting.get(who, 0) + 1
        with self.people.request() as turn:
            self._look()
            yield turn
            yield self.control.timeout(request.work_s)
        self.waiting[who] -= 1
        self._look()
        if request.honest:
            self.granted_s.append(self.control.now - request.at_s)

    def _look(self) -> None:
        waiting = len(self.people.queue)
        self.waiting_max = max(self.waiting_max, waiting)
        self.trace.add(self.control.now, float(waiting))


def play(procedure: Approvals, occasion: Occasion) -> Outcome:
    """One replication."""
    control = simpy.Environment()
    desk = Desk(control, procedure)
    for request in procedure.requests(occasion.seed, occasion.replication):
        control.process(desk.ask(request))
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
            "lured_share": desk.lured / max(desk.made + prepared, 1),
            "turned_away": float(desk.turned_away),
        },
        latency,
        desk.trace.curve(),
    )
