"""A queue without a waiting room: who finds the server busy comes again. M/G/1 with an orbit.

Platforms log in to a server that admits nobody who would have to wait (`queue_wait: 0`); who is
refused tries again after an exponential time of mean 1 / theta (`memoryless`). The server says no
when its turn comes, that is at the end of the service that is going on: the orbit is the same, for
retrials during a service change nothing and exponential times do not age. With lambda = rho / S,

    mean time to the session  S + lambda E[S^2] / (2 (1 - rho)) + rho / (theta (1 - rho))

All work is in the first step, all delays are a nanosecond; the engine is the reference, since in
windows of a nanosecond the kernels have nothing to batch.

References
----------
.. [1] G. I. Falin and J. G. C. Templeton, "Retrial Queues," 1997: section 1.2, mean of the orbit.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from results import histogram
from sim import phases, reference
from sim.study import Study
from sim.verification_logins import free_logins, logins_alone
from sim.verification_worlds import SERVICE_S, Effort, Figure
from topologies.plan import Plan
from topologies.schema import Topology

ORBIT_S = 5.0 * SERVICE_S  # 1 / theta
LOGINS, LOGINS_MIN = 4_500, 450  # with fewer both ends weigh: it begins and ends without an orbit
END = 0.98  # of the run: the first attempts; the rest drains


def retrials(effort: Effort) -> Iterator[Figure]:
    """M/D/1 and M/G/1 retrial queues: mean time from the first attempt to the session."""
    general = "M/G/1, log-normal of cv 1.2,"
    for name, cv, rho, narrow in (
        ("M/D/1", 0.0, 0.3, 0.10), ("M/D/1", 0.0, 0.6, 0.10), (general, 1.2, 0.6, 0.20),
    ):  # fmt: skip
        square = (1.0 + cv**2) * SERVICE_S**2
        wait_s = rho / SERVICE_S * square / (2.0 * (1.0 - rho))
        theory_s = SERVICE_S + wait_s + rho * ORBIT_S / (1.0 - rho)
        count = max(LOGINS_MIN, round(LOGINS * effort.jobs))
        seeds = effort.seed * 1000 + np.arange(effort.replications)
        found = np.array([_mean_s(count, rho, cv, int(seed)) for seed in seeds])
        yield Figure(
            f"{name} retrial with an orbit: mean", theory_s, found, effort.widened(narrow), rho,
            fluid_error=0.005,
        )  # fmt: skip


def _mean_s(count: int, rho: float, cv: float, seed: int) -> float:
    """Mean time from the first attempt to the session in one run. [s]"""
    topology, profile = _topology(count, rho), free_logins(cv)
    plan = Plan(topology, seed)
    study = Study(topology, phases.timetable(topology), seed, 0, plan.rows)
    tally = reference.run(study, plan, {"c": profile})[0].sessions
    assert tally is not None
    return histogram.mean(tally.latency[-1])


def _topology(count: int, rho: float) -> Topology:
    """Platforms that come as a Poisson process would, given their number."""
    spread_s = count * SERVICE_S / rho
    retry = {"policy": "memoryless", "base": f"{ORBIT_S!r} s", "cap": "1000 s", "timeout": "1e6 s"}
    fault = {"kind": "outage", "name": "dark", "population": "clients", "start": "0 s",
             "duration": "1 ns", "spread": f"{spread_s!r} s"}  # fmt: skip
    door = {"admission": {"queue_wait": "0 s"}}
    return logins_alone(count, "1 ns", retry, fault, spread_s / END, door)
