"""Logins that ask whether a certificate is revoked, of a service that is a queue and may be down.

Soft-fail lets in whoever nobody can say anything about, hard-fail nobody: the first accepts what
is revoked while the service is down, the second couples the grid's availability to the
authority's. Stapled and cached answers, lists and short lives hold for a time: revocation is seen
that much later, on average half of it. A stapled answer is the server's, one for all, which it
renews at half its life; cached answers are each Platform's, of any age when the herd comes.
"""

from __future__ import annotations

import heapq
import math
from typing import Final

import numpy as np

from results import histogram
from sim.procedures.outcome import Floats, Occasion, Outcome, curve
from topologies.procedures import CertificateChecks

AXES: Final = ("time [s]", "share of the Platforms online [1]")
REASONS: Final = {"time_to_recover_s": "see the share that is online"}
PROBE_S: Final = 10.0  # a revoked Platform tries so often
ASKS: Final = ("soft-fail", "hard-fail", "stapled", "cached")
HOLDS: Final = ("stapled", "cached")


def play(procedure: CertificateChecks, occasion: Occasion) -> Outcome:
    """One replication."""
    login_s = occasion.login_s()
    draw = occasion.stream("logins")
    first_s = np.sort(draw.random(procedure.platforms) * procedure.spread)
    online_s, refused, asked_s = _logins(procedure, first_s, login_s, occasion)
    latency_s = np.where(online_s < procedure.duration, online_s - first_s, np.inf)
    accepted_s = revoked_accepted_s(procedure, occasion.stream("revoked"))
    ends = np.linspace(0.0, procedure.duration, 200)
    restored_s = float(np.quantile(online_s, 0.99, method="higher"))
    return Outcome(
        {
            "goodput_per_s": float((latency_s < math.inf).sum()) / procedure.duration,
            "exposed_s": accepted_s,
            "refused_share": refused / procedure.platforms,
            "collateral": refused / procedure.platforms,
            "asked_per_s": len(asked_s) / max([procedure.spread, *asked_s[-1:]]),
            "restored_s": restored_s if restored_s < procedure.duration else math.inf,
            "time_to_mitigate_s": accepted_s,
        },
        histogram.count(latency_s),
        curve(ends, np.searchsorted(np.sort(online_s), ends) / procedure.platforms),
    )


def _down(procedure: CertificateChecks, instant_s: float) -> bool:
    start_s = procedure.down_from
    return start_s <= instant_s < start_s + procedure.down_for


def _logins(
    procedure: CertificateChecks, first_s: Floats, login_s: float, occasion: Occasion
) -> tuple[Floats, int, list[float]]:
    """When each Platform is online, how many were refused though valid, when was asked."""
    events = [(at_s, who) for who, at_s in enumerate(first_s.tolist())]
    heapq.heapify(events)
    online_s = np.full(procedure.platforms, np.inf)
    refused: set[int] = set()
    free_s = server_s = 0.0
    asked_s: list[float] = []
    wait = occasion.stream("retries")
    held_until_s = _held_until_s(procedure, occasion.stream("held"))
    while events and events[0][0] < procedure.duration:
        now_s, who = heapq.heappop(events)
        allowed, ready_s = True, now_s
        holder = who if procedure.policy == "cached" else 0
        if procedure.policy in ASKS and now_s >= held_until_s[holder]:
            asked_s.append(now_s)
            if _down(procedure, now_s):
                ready_s = now_s + procedure.timeout
                allowed = procedure.policy != "hard-fail"
            else:
                free_s = max(free_s, now_s) + procedure.answer
                ready_s = free_s + procedure.latency
                if ready_s > now_s + procedure.timeout:
                    ready_s, allowed = now_s + procedure.timeout, procedure.policy != "hard-fail"
                elif procedure.policy in HOLDS:
                    held_until_s[holder] = now_s + procedure.kept
        if not allowed:
            refused.add(who)
            heapq.heappush(events, (ready_s + procedure.retry * (0.5 + wait.random()), who))
            continue
        server_s = max(server_s, ready_s) + login_s
        online_s[who] = server_s
    return online_s, len(refused), asked_s


def _held_until_s(procedure: CertificateChecks, draw: np.random.Generator) -> Floats:
    """Until when the answers hold that were there before the herd: one a Platform. [s]"""
    left = draw.random(procedure.platforms) * procedure.kept
    match procedure.policy:
        case "cached":
            return left
        case "stapled":  # the server alone holds one, renewed at half its life
            return np.full(procedure.platforms, 0.5 * procedure.kept + 0.5 * left[0])
        case _:
            return np.full(procedure.platforms, -np.inf)


def revoked_accepted_s(procedure: CertificateChecks, draw: np.random.Generator) -> float:
    """How long after its revocation a certificate still lets its thief in. [s]

    He tries all the time; what holds for a time ends anywhere in it.
    """
    told_s = procedure.revoked_at + procedure.told_after
    end_s = procedure.duration
    phase = draw.random()
    if procedure.policy == "none":
        return end_s - procedure.revoked_at
    if procedure.policy == "short-lived":
        return min(procedure.revoked_at + phase * procedure.kept, end_s) - procedure.revoked_at
    kept_s = procedure.kept if procedure.policy in ("stapled", "cached", "list") else 0.0
    seen_s = min(told_s + phase * kept_s, end_s)
    tries = np.arange(seen_s, end_s, PROBE_S)
    soft = procedure.policy in ("soft-fail", "stapled", "cached")
    later = [at_s for at_s in tries.tolist() if soft and _down(procedure, at_s)]
    return (seen_s - procedure.revoked_at) + PROBE_S * len(later)
