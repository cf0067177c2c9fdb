"""A queue without a waiting room: who finds the server busy comes again. M/G/1 with an orbit.

Platforms log in to a server that admits nobody who would have to wait (`queue_wait: 0`); who is
refused tries again after an exponential time of mean 1 / theta (`memoryless`). The server says no
when its turn comes, that is at the end of the service that is going on: the orbit is the same, for
retrials during a service change nothing and exponential times do not age. With lambda = rho / S
and c the coefficient of variation of the service [1]_,

    mean time to the session  W = S + lambda E[S^2] / (2 (1 - rho)) + rho / (theta (1 - rho))

By Little's law it is the mean of N, the number of Platforms that are not online yet, over lambda.
N forgets in 2 (1 + c^2) S / (1 - rho)^2 and more, so that its mean over a run that can be paid for
says little at high load. Most of its chance is that of the dice, and can be taken away. For first
attempts at a_i and services of S_k that begin at b_k, in a window from 0 to T,

    C = sum N(a_i-) - lambda integral N dt + lambda sum N(b_k) (S_k - S) - (N(T)^2 - N(0)^2) / 2

is zero on average whatever the server does with the retries: who comes next and how long he will be
served do not depend on what was before (these are martingales [2]_), and in a steady state N^2
neither grows nor falls. By the balance of N^2, C adds C / (lambda (1 - rho) T) to the mean of N.
What is left when that is subtracted is above all the chance of the retries: at 0.95 a fortieth of
the variance, without a long memory and hardly skew if services are constant, so that Student's
interval over short runs is right (tests/verification/test_retrials_against_theory.py counts how
often).

A run begins with as many Platforms in the orbit as a gamma law says, the orbit's limit at high
load; its first part is cut. All work is in the first step, all delays are a nanosecond; the engine
is the reference, since in windows of a nanosecond the kernels have nothing to batch.

References
----------
.. [1] G. I. Falin and J. G. C. Templeton, "Retrial Queues," 1997: section 1.2, mean of the orbit.
.. [2] S. G. Henderson and P. W. Glynn, "Approximating martingales for variance reduction in Markov
       process simulation," Mathematics of Operations Research 27(2), 2002.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np

from sim import phases, reference
from sim.study import Study
from sim.verification_logins import free_logins, logins_alone
from sim.verification_worlds import SERVICE_S, UTILISATIONS, Effort, Figure, Floats
from sim.workers import cores, pool
from topologies.plan import Plan
from topologies.schema import Topology

ORBIT_S = 5.0 * SERVICE_S  # 1 / theta
DELAY_S = 1e-9
SERVICES = {0.3: 1_500, 0.7: 1_000, 0.9: 700, 0.95: 500}  # constant ones, measured in a run
VARIED = {0.3: 1_500, 0.7: 1_500, 0.9: 1_500, 0.95: 1_500}  # others: long ones are rare
SETTLING = {0.3: 20, 0.7: 50, 0.9: 100, 0.95: 150}  # that go before them
NARROW = {0.3: 0.10, 0.7: 0.08, 0.9: 0.08, 0.95: 0.08}
CLIENTS, SLACK = 2, 60.0  # place of their population; orbits until the last one is online


@dataclass(frozen=True)
class Orbit:
    """A retrial queue: its utilisation, and how its service times vary."""

    rho: float
    cv: float

    @property
    def rate_per_s(self) -> float:
        """Of first attempts. [1/s]"""
        return self.rho / SERVICE_S

    @property
    def mean_s(self) -> float:
        """Mean time from the first attempt to the session. [s]"""
        square = (1.0 + self.cv**2) * SERVICE_S**2
        wait_s = self.rate_per_s * square / (2.0 * (1.0 - self.rho))
        return SERVICE_S + wait_s + self.rho * ORBIT_S / (1.0 - self.rho)

    def at_first(self, dice: np.random.Generator) -> int:
        """Platforms that are not online as a run begins."""
        spread = 1.0 + self.rho * self.cv**2
        shape = 1.0 + 2.0 * ORBIT_S / (SERVICE_S * spread)
        return int(dice.gamma(shape, self.rate_per_s * self.mean_s / shape))


def retrials(effort: Effort) -> Iterator[Figure]:
    """M/D/1 and M/G/1 retrial queues: mean time from the first attempt to the session."""
    kinds = (("M/D/1", 0.0), ("M/G/1, log-normal of cv 1.2,", 1.2))
    queues = [(name, Orbit(rho, cv)) for name, cv in kinds for rho in UTILISATIONS]
    count = effort.replications
    seeds = [effort.seed * 1000 + number for number in range(count)] * len(queues)
    played = [queue for _, queue in queues for _ in range(count)]
    services = [
        round((VARIED if queue.cv else SERVICES)[queue.rho] * effort.jobs) for queue in played
    ]
    with pool(cores()) as workers:
        found = workers.map(controlled_s, played, services, seeds)
        for name, queue in queues:
            yield Figure(
                f"{name} retrial with an orbit: mean", queue.mean_s,
                np.array([*islice(found, count)]),
                effort.widened(NARROW[queue.rho] * (1.0 + 0.35 * queue.cv**2)), queue.rho,
            )  # fmt: skip


def controlled_s(queue: Orbit, services: int, seed: int) -> float:
    """Mean time to the session in one run, the chance of arrivals and services taken away. [s]"""
    settled_s = SETTLING[queue.rho] * SERVICE_S / queue.rho
    end_s = settled_s + services * SERVICE_S / queue.rho
    return without_chance_s(queue, (settled_s, end_s), *_played(queue, end_s, seed))


def without_chance_s(
    queue: Orbit, window_s: tuple[float, float], first_s: Floats, online_s: Floats,
    service_s: Floats,
) -> float:  # fmt: skip
    """Mean of N over lambda in a window, with the share of C taken away.

    Parameters
    ----------
    queue : Orbit
        The queue.
    window_s : (float, float)
        From when to when. [s]
    first_s, online_s : ndarray
        First attempts of the Platforms, -inf of those that are there from the start, and instants
        from when on they are online, each in order of time. [s]
    service_s : ndarray
        Service time of each that is online, in the same order. [s]

    Returns
    -------
    float
        [s]
    """
    (start_s, end_s), rate_per_s = window_s, queue.rate_per_s

    def number(instants_s: Floats, side: Literal["left", "right"]) -> Floats:
        came = np.searchsorted(first_s, instants_s, side)
        return np.asarray(came - np.searchsorted(online_s, instants_s, "left"), np.float64)

    stays_s = np.clip(end_s - np.maximum(first_s, start_s), 0.0, None).sum()
    stays_s -= np.clip(end_s - np.maximum(online_s, start_s), 0.0, None).sum()
    arrivals_s = first_s[(first_s >= start_s) & (first_s < end_s)]
    begun_s = online_s - service_s
    inside = (begun_s >= start_s) & (begun_s < end_s)
    served = number(begun_s[inside] + 2.0 * DELAY_S, "right")
    before, after = number(np.array(window_s), "left")
    chance = number(arrivals_s, "left").sum() - rate_per_s * stays_s
    chance += rate_per_s * (served * (service_s[inside] - SERVICE_S)).sum()
    chance -= 0.5 * (after**2 - before**2)
    mean = (stays_s - chance / (rate_per_s * (1.0 - queue.rho))) / (end_s - start_s)
    return float(mean / rate_per_s)


def _played(queue: Orbit, end_s: float, seed: int) -> tuple[Floats, Floats, Floats]:
    """First attempts, instants of sessions, and service times in the order of these. [s]"""
    dice = np.random.default_rng([seed, round(1000 * queue.rho), round(10 * queue.cv)])
    early, count = queue.at_first(dice), int(dice.poisson(queue.rate_per_s * end_s))
    topology, profile = _topology(max(early, 1), count, end_s), free_logins(queue.cv)
    plan = Plan(topology, seed)
    study = Study(topology, phases.timetable(topology), seed, 0, plan.rows)
    server = reference.play(study, plan, {"c": profile})[0][0]
    logins = [entry for entry in server.logins if entry[0] == "login"]
    online_s = np.array([done_s for _, _, done_s, _ in logins])
    assert len(online_s) == max(early, 1) + count, "everybody logs in before the end"
    first_s = np.array(
        [
            done_s + DELAY_S - latency_s if population == CLIENTS else -np.inf
            for _, population, done_s, latency_s in logins
        ]
    )
    service_s = np.array([stop_s - start_s for start_s, stop_s in server.log.busy])
    service_s = service_s[service_s > 0.0]
    assert len(service_s) == len(online_s), "a login is one piece of work"
    return np.sort(first_s), online_s, service_s


def _topology(early: int, count: int, end_s: float) -> Topology:
    """Some are there from the start; the others come as a Poisson process, given their number."""
    retry = {"policy": "memoryless", "base": f"{ORBIT_S!r} s", "cap": "1000 s", "timeout": "1e6 s"}
    dark = {"kind": "outage", "start": "0 s", "duration": "1 ns"}
    faults = [
        {**dark, "name": "before", "population": "early", "spread": "1 ns"},
        {**dark, "name": "dark", "population": "clients", "spread": f"{end_s!r} s"},
    ]
    door = {"admission": {"queue_wait": "0 s"}}
    counts = {"early": early, "clients": count}
    return logins_alone(counts, "1 ns", retry, faults, end_s + SLACK * ORBIT_S, door)
