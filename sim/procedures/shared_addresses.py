"""Limits that go by source address, with offices behind one address each, and an adversary.

After an outage all Platforms log in again; who is refused tries again with full jitter. So many
connections are let through in any stretch of the limit's length: n Platforms behind one address are
back after (n / connections) lengths at the earliest, while A hostile addresses pass A times the
limit. Prosody counts otherwise: it forgets all once a window is over (`sim.gates.Windows`), and
lets in whoever comes in that one second, so that they are back sooner. What passes is work for one
server, first come, first served; so is what a limit on accounts refuses, for it must check the
password first. The accounts that are tried are nobody's: no honest Platform is locked out with
them.
"""

from __future__ import annotations

import heapq
from collections import deque
from typing import Final

import numpy as np

from sim.gates import WINDOWED, Windows
from sim.procedures.outcome import Occasion, Outcome, curve
from topologies.limits import AddressLimit
from topologies.procedures import SharedAddresses

AXES: Final = ("time [s]", "share of the Platforms online [1]")
BASE_S: Final = 1.0
HOSTILE: Final = -1
REASONS: Final = {"p99_s": "what is published waits for nobody here"}


class Gate:
    """Lets so many through for each key in any stretch of a length."""

    def __init__(self, connections: int, per_s: float) -> None:
        self._connections, self._per_s = connections, per_s
        self._passed: dict[int, deque[float]] = {}

    def lets_in(self, key: int, now_s: float) -> bool:
        """Whether one more may pass now; instants must not decrease."""
        passed = self._passed.setdefault(key, deque())
        while passed and passed[0] <= now_s - self._per_s:
            passed.popleft()
        if len(passed) >= self._connections:
            return False
        passed.append(now_s)
        return True


def play(procedure: SharedAddresses, occasion: Occasion) -> Outcome:
    """One replication."""
    platforms = procedure.offices * procedure.behind
    steps = occasion.login_steps_s(procedure.login)
    login_s = sum(work_s for _, work_s in steps)
    hostile_s = sum(work_s for name, work_s in steps if name not in ("bind", "subscribe"))
    gate = _gate(procedure, occasion)
    first, wait = occasion.stream("first"), occasion.stream("waits")
    events = [
        (float(at), who, 0) for who, at in enumerate(first.random(platforms) * procedure.first)
    ]
    if procedure.attackers:
        total = procedure.attackers * procedure.attempts
        count = int(total * procedure.duration)
        at_s = np.sort(occasion.stream("attack").random(count)) * procedure.duration
        events += [(float(at), HOSTILE, number) for number, at in enumerate(at_s)]
    heapq.heapify(events)
    online_s, refused, passed, free_s = np.full(platforms, np.inf), set[int](), 0, 0.0
    checked = 0  # hostile attempts that came as far as the password
    while events and events[0][0] < procedure.duration:
        now_s, who, attempt = heapq.heappop(events)
        if not _let_in(procedure, gate, who, attempt, now_s):
            if who == HOSTILE:
                if procedure.key == "account":  # only the answer to the password says who it was
                    free_s = max(free_s, now_s) + hostile_s
                    checked += 1
                continue
            refused.add(who)
            top_s = min(procedure.cap, BASE_S * 2.0 ** min(attempt + 1, 60))
            heapq.heappush(events, (now_s + wait.random() * top_s, who, attempt + 1))
            continue
        free_s = max(free_s, now_s) + (hostile_s if who == HOSTILE else login_s)
        if who == HOSTILE:
            passed += 1
            checked += 1
        else:
            online_s[who] = free_s
    ends = np.linspace(0.0, procedure.duration, 200)
    share = np.searchsorted(np.sort(online_s), ends, side="right") / platforms
    whole_s = float(np.quantile(online_s, 0.99, method="higher"))
    return Outcome(
        {
            "goodput_per_s": procedure.rate
            * float(np.clip(procedure.duration - online_s, 0.0, None).sum())
            / procedure.duration,
            "collateral": len(refused) / platforms,
            "passed_per_s": passed / procedure.duration,
            "hostile_cpu_share": checked * hostile_s / procedure.duration,
            "online_share": float((online_s < procedure.duration).mean()),
            "time_to_recover_s": whole_s if whole_s < procedure.duration else np.inf,
        },
        curve=curve(ends, share),
    )


def _gate(procedure: SharedAddresses, occasion: Occasion) -> Gate | Windows:
    """The limit as it is counted: of addresses as the first Controller's server does it."""
    if procedure.key == "address" and occasion.profile.server == WINDOWED:
        limit = {"connections": procedure.connections, "per": f"{procedure.per:.9g} s"}
        return Windows(AddressLimit.model_validate(limit))
    return Gate(procedure.connections, procedure.per)


def _let_in(
    procedure: SharedAddresses, gate: Gate | Windows, who: int, attempt: int, now_s: float
) -> bool:  # fmt: skip
    """Whether a connection passes the limit. Hostile attempts go round their addresses."""
    match procedure.key:
        case "none":
            return True
        case "server":
            return gate.lets_in(0, now_s)
        case "account":
            return who != HOSTILE or gate.lets_in(-1 - attempt % procedure.accounts, now_s)
        case "address":
            if who == HOSTILE:
                return gate.lets_in(-1 - attempt % procedure.attackers, now_s)
            return procedure.allow_listed or gate.lets_in(who // procedure.behind, now_s)
