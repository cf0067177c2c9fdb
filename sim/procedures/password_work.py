"""Login attempts with wrong passwords on a server of one core, beside publications and logins.

An attempt costs what the steps up to the answer to the password cost, taken as one job: with plain
storage the server derives the key anew for each first message of SCRAM. The server is full at
(1 - rho) / c attempts a second, where rho is what it does besides.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from sim.procedures.outcome import Floats, Occasion, Outcome, curve
from sim.procedures.waiting import departures_s, merged, poisson_s, weighted
from topologies.procedures import PasswordWork

AXES: Final = ("attempts per second [1/s]", "goodput while they last [1/s]")
POINTS: Final = 12


def attempt_s(procedure: PasswordWork, occasion: Occasion) -> float:
    """CPU time of one attempt, until the password is found wrong. [s]"""
    total_s = 0.0
    for name, work_s in occasion.login_steps_s(procedure.login):
        if name in ("bind", "subscribe"):
            break
        total_s += work_s
    streams = [work_s for name, work_s in occasion.login_steps_s(procedure.login)
               if name == "stream"]  # fmt: skip
    return total_s - streams[-1]  # the stream after SASL is never opened


def play(procedure: PasswordWork, occasion: Occasion) -> Outcome:
    """One replication."""
    latency_s, done_s, published_s, passed = _traffic(procedure, occasion, 1.0)
    end_s = procedure.start + procedure.attack
    within = (published_s >= procedure.start) & (published_s < end_s)
    per_attempt_s = attempt_s(procedure, occasion)
    fan_out_s = occasion.fan_out_s(procedure.receivers, occasion.topology.topics[0].payload.size)
    besides = procedure.rate * fan_out_s + procedure.logins * occasion.login_s(procedure.login)
    backlog_s = float((done_s - published_s)[published_s < end_s][-1:].sum())
    slow = latency_s > 2.0 * fan_out_s + 0.05
    after = published_s >= end_s
    recovered_s = _recovered_s(published_s[after], slow[after], end_s)
    rates = np.linspace(0.0, 2.0, POINTS)
    goodputs = (
        [_goodput(procedure, occasion, each) for each in rates]
        if occasion.replication == 0
        else [np.nan] * POINTS
    )
    return Outcome(
        {
            "goodput_per_s": _timely(procedure, latency_s[within]),
            "attempt_cpu_s": per_attempt_s,
            "attempts_at_saturation_per_s": max(1.0 - besides, 0.0) / per_attempt_s,
            "passed_per_s": passed / procedure.attack,
            "backlog_s": backlog_s,
            "time_to_recover_s": recovered_s,
            "amplification_cpu_s": per_attempt_s,
            "amplification_bytes": 1.0,
        },
        weighted(latency_s[within], procedure.receivers),
        curve(rates * procedure.attempts, goodputs),
    )


def _recovered_s(published_s: Floats, slow: npt.NDArray[np.bool_], end_s: float) -> float:
    """From the end of the attempts until the first publication after the last slow one. [s]

    Infinite if the last publication of the run is slow itself.
    """
    numbers = np.flatnonzero(slow)
    if not len(numbers):
        return 0.0
    last = int(numbers[-1]) + 1
    return float(published_s[last] - end_s) if last < len(published_s) else math.inf


def _timely(procedure: PasswordWork, latency_s: Floats) -> float:
    count = float((latency_s <= procedure.deadline).sum()) * procedure.receivers
    return count / procedure.attack


def _goodput(procedure: PasswordWork, occasion: Occasion, factor: float) -> float:
    latency_s, _, published_s, _ = _traffic(procedure, occasion, factor)
    end_s = procedure.start + procedure.attack
    within = (published_s >= procedure.start) & (published_s < end_s)
    return _timely(procedure, latency_s[within])


def _traffic(
    procedure: PasswordWork, occasion: Occasion, factor: float
) -> tuple[Floats, Floats, Floats, int]:
    """Latency and end of each publication, when it was published, attempts that went through."""
    fan_out_s = occasion.fan_out_s(procedure.receivers, occasion.topology.topics[0].payload.size)
    published_s = poisson_s(
        occasion.stream("publications"), procedure.rate, 0.0, procedure.duration
    )
    logins_s = poisson_s(occasion.stream("logins"), procedure.logins, 0.0, procedure.duration)
    tried_s = _attempts_s(procedure, occasion, factor)
    streams = [
        (published_s, np.full(len(published_s), fan_out_s)),
        (logins_s, np.full(len(logins_s), occasion.login_s(procedure.login))),
        (tried_s, np.full(len(tried_s), attempt_s(procedure, occasion))),
    ]
    arrival_s, service_s, stream = merged(*streams)
    done_s = departures_s(arrival_s, service_s)[stream == 0]
    return done_s - published_s, done_s, published_s, len(tried_s)


def _attempts_s(procedure: PasswordWork, occasion: Occasion, factor: float) -> Floats:
    """Attempts that no ban stops: each address has so many failures, then waits. [s]"""
    end_s = procedure.start + procedure.attack
    tried_s = poisson_s(
        occasion.stream("attempts"), factor * procedure.attempts, procedure.start, end_s
    )
    if procedure.ban_after is None:
        return tried_s
    address = occasion.stream("addresses").integers(0, procedure.addresses, len(tried_s))
    failures = np.zeros(procedure.addresses, np.int64)
    shut_until_s = np.full(procedure.addresses, -np.inf)
    kept = np.zeros(len(tried_s), np.bool_)
    for number, (at_s, who) in enumerate(zip(tried_s.tolist(), address.tolist(), strict=True)):
        if at_s < shut_until_s[who]:
            continue
        kept[number] = True
        failures[who] += 1
        if failures[who] >= procedure.ban_after:
            failures[who], shut_until_s[who] = 0, at_s + procedure.ban
    return tried_s[kept]
