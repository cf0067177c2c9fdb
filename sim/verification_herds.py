"""The metastable boundary of a reconnect herd: back-offs just long enough for it to come back.

N Platforms lose their sessions at one instant and log in again. A login is one piece of work S, who
is not online after the time tau gives up, and the work for him is done all the same. If N S is
more than tau, nobody gets in at first. From then on each tries once in B + tau, where B = cap / 2
is the mean back-off of full jitter with a constant bound; the server is busy with what was given
up, and its backlog changes by N S / (B + tau) - 1 seconds of work a second. Where that is more than
nothing the herd keeps itself out for ever; else the backlog is worked off and all get in [1]_. The
boundary is

    cap = 2 (N S - tau).

Each replication plays a herd on either side of it, so near that neither is back by the end; the
growth of the backlog is a line in the rate 1 / (B + tau), whose zero is the boundary that the
simulation has. What becomes of herds farther away is in tests/verification.

References
----------
.. [1] N. Bronson, A. Aghayev, A. Charapko, T. Zhu, "Metastable failures in distributed systems,"
       HotOS 2021: what sustains the failure is the work of retries.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sim.grid import Grid
from sim.phases import Timetable
from sim.study import Study
from sim.verification_logins import free_logins, logins_alone
from sim.verification_worlds import SERVICE_S, Effort, Figure
from topologies.plan import Plan

# All round trips of a login fit in the patience.
PLATFORMS, PATIENCE_S, DELAY_S = 10_000, 30.0, 1.0
BOUNDARY_S = 2.0 * (PLATFORMS * SERVICE_S - PATIENCE_S)
SIDES = (0.95, 1.05)
SETTLED_S, MEASURED_S = 600.0, 500.0  # after three rounds attempts still come in waves: 0.5 %


def herds_for_ever(effort: Effort) -> Iterator[Figure]:
    """The cap below which a herd of 10,000 that fails at once keeps itself out, over theory."""
    near, far = (1.0 / (0.5 * side * BOUNDARY_S + PATIENCE_S) for side in SIDES)  # rates
    found = []
    for number in range(effort.replications):
        seed = 1000 * effort.seed + number
        more, less = (_growth(side * BOUNDARY_S, MEASURED_S * effort.jobs, seed) for side in SIDES)
        round_s = (more - less) / (more * far - less * near)  # of the line's zero
        found.append(2.0 * (round_s - PATIENCE_S) / BOUNDARY_S)
    name = f"herd of {PLATFORMS:,}: cap at the metastable boundary over 2 (N S - tau)"
    yield Figure(name, 1.0, np.array(found), effort.widened(0.004))


def _growth(cap_s: float, measured_s: float, seed: int) -> float:
    """Work that the backlog of one herd grows by in a second. [1]"""
    end_s = SETTLED_S + measured_s
    retry = {
        "policy": "full-jitter", "base": f"{cap_s!r} s", "cap": f"{cap_s!r} s", "first": "0 s",
        "timeout": f"{PATIENCE_S!r} s",
    }  # fmt: skip
    fault = {"kind": "outage", "name": "dark", "population": "clients", "start": "0 s",
             "duration": "1 ns", "spread": "1 ns"}  # fmt: skip
    topology = logins_alone({"clients": PLATFORMS}, f"{DELAY_S!r} s", retry, [fault], end_s)
    edges_s = np.array([0.0, SETTLED_S, end_s])
    table, plan = Timetable("campaign", edges_s, edges_s[[0, -1]], ("whole",)), Plan(topology, seed)
    study = Study(topology, table, seed, 0, plan.rows)
    tally = Grid(study, plan, {"c": free_logins(0.0)}).run()[0]
    assert tally.sessions is not None
    assert tally.sessions.logins[:2].sum() == 0, "nobody is back while it is measured"
    came_s = float(tally.sessions.attempts[1].sum()) * SERVICE_S
    return (came_s - float(tally.intervals["busy_s"][1])) / measured_s
