"""Owner and thief of one account, each of whom throws the other out by logging in.

A second session of the same resource ends the first, or is refused. Who was thrown out comes back
after a time, so that two of them fight at one conflict per retry until somebody locks the account.
A session's id alone helps nobody where servers resume a session for its own account only; guessing
one of 2^b ids succeeds with probability 1 - (1 - 2^-b)^n after n tries.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import simpy

from sim.procedures.outcome import Occasion, Outcome, curve, since
from topologies.procedures import Duel

AXES: Final = ("time [s]", "items that the thief has received [1]")
REASONS: Final = {"p99_s": "items wait for nobody here; what is not delivered is lost"}
OWNER, THIEF, NOBODY = 0, 1, 2

Process = Generator[simpy.Event, Any, None]


@dataclass
class Account:
    """Who holds the account's session, since when, and what has been seen."""

    control: simpy.Environment
    holder: int = OWNER
    since_s: float = 0.0
    held_s: list[tuple[float, float, int]] = field(default_factory=list)
    logins: int = 0
    kicks: int = 0
    recent_s: deque[float] = field(default_factory=deque)
    locked_s: float | None = None
    thief_knows: bool = True
    kicked: list[simpy.Event] = field(init=False)

    def __post_init__(self) -> None:
        self.kicked = [self.control.event(), self.control.event()]

    def change(self, holder: int) -> None:
        """The session goes to somebody else, or to nobody."""
        now_s, before = self.control.now, self.holder
        self.held_s.append((self.since_s, now_s, before))
        self.holder, self.since_s = holder, now_s
        if before in (OWNER, THIEF) and holder != before:
            event, self.kicked[before] = self.kicked[before], self.control.event()
            event.succeed()

    def time_of(self, who: int, start_s: float, end_s: float) -> float:
        """How long somebody held it. [s]"""
        spans = [*self.held_s, (self.since_s, end_s, self.holder)]
        return math.fsum(
            max(min(stop, end_s) - max(begin, start_s), 0.0)
            for begin, stop, holder in spans
            if holder == who
        )


def play(procedure: Duel, occasion: Occasion) -> Outcome:
    """One replication."""
    if procedure.resource == "own":
        return _beside(procedure)
    control = simpy.Environment()
    account = Account(control)
    draw = occasion.stream("thief")
    enters = _enters(procedure, draw)
    if enters is not None:
        control.process(_thief(account, procedure, enters))
    control.process(_owner(account, procedure, occasion.stream("owner")))
    if procedure.rotate is not None:
        control.process(_rotate(account, procedure))
    control.run(until=procedure.duration)
    thief_s = account.time_of(THIEF, 0.0, procedure.duration)
    owner_s = account.time_of(OWNER, procedure.arrival, procedure.duration)
    lasting_s = procedure.duration - procedure.arrival
    ended_s = max((stop for _, stop, who in account.held_s if who == THIEF), default=None)
    ended_s = None if account.holder == THIEF else ended_s
    still_fights = account.locked_s is None and account.thief_knows and enters is not None
    if ended_s is None and enters is None:
        ended_s = procedure.arrival
    login_s = occasion.login_s()
    spans = [(a, b) for a, b, who in account.held_s if who == THIEF]
    return Outcome(
        {
            "goodput_per_s": procedure.rate * owner_s / lasting_s,
            "exposed_items": procedure.rate * thief_s,
            "exposed_s": thief_s,
            "hijacked_share": float(thief_s > 0.0),
            "kicks_per_s": account.kicks / lasting_s,
            "logins_cpu_s": account.logins * login_s,
            "time_to_detect_s": since(procedure.arrival, account.locked_s),
            "time_to_mitigate_s": math.inf if still_fights else since(procedure.arrival, ended_s),
            "collateral": 1.0 - owner_s / lasting_s if account.locked_s is not None else 0.0,
        },
        curve=_received(spans, procedure, account),
    )


def _beside(procedure: Duel) -> Outcome:
    """A thief who throws nobody out and whom nobody sees, until the password is changed."""
    begins_s = math.inf if procedure.external else procedure.arrival
    ends_s = math.inf
    if procedure.rotate is not None and not procedure.survives:
        ends_s = max(procedure.rotate, procedure.arrival)
    if procedure.rotate is not None and begins_s >= procedure.rotate:
        begins_s = math.inf
    held_s = max(min(ends_s, procedure.duration) - min(begins_s, procedure.duration), 0.0)
    instants = np.linspace(0.0, procedure.duration, 200)
    received = procedure.rate * (np.clip(instants, begins_s, ends_s) - begins_s)
    if begins_s == math.inf:
        received = np.zeros(len(instants))
    return Outcome(
        {
            "goodput_per_s": procedure.rate,
            "exposed_items": procedure.rate * held_s,
            "exposed_s": held_s,
            "hijacked_share": float(held_s > 0.0),
            "kicks_per_s": 0.0,
            "logins_cpu_s": 0.0,
            "time_to_detect_s": math.inf,
            "time_to_mitigate_s": ends_s - procedure.arrival,
            "collateral": 0.0,
        },
        curve=curve(instants, received),
    )


def _received(spans: list[tuple[float, float]], procedure: Duel, account: Account) -> Any:
    """Items that the thief has received over time."""
    instants = np.linspace(0.0, procedure.duration, 200)
    held = np.zeros(len(instants))
    last = [(account.since_s, procedure.duration)] if account.holder == THIEF else []
    for begin, stop in [*spans, *last]:
        held += np.clip(instants, begin, stop) - begin
    return curve(instants, procedure.rate * held)


def guessed_after_s(procedure: Duel, draw: np.random.Generator) -> float:
    """When guessing finds the id: geometric, tried `guesses` times a second. [s]"""
    assert procedure.guesses is not None
    chance = 2.0 ** -min(procedure.id_bits, 1000)
    return float(-math.log1p(-draw.random()) / -math.log1p(-chance) / procedure.guesses)


def _enters(procedure: Duel, draw: np.random.Generator) -> float | None:
    """When the thief has what lets him in; none if nothing does. [s]"""
    if procedure.guesses is not None:
        found_s = procedure.arrival + guessed_after_s(procedure, draw)
        return found_s if found_s < procedure.duration and not procedure.bound_session_id else None
    if procedure.stolen_session_id:
        return None if procedure.bound_session_id else procedure.arrival
    return None if procedure.external else procedure.arrival


def _try(account: Account, procedure: Duel, who: int) -> None:
    """One login attempt of somebody who has no session."""
    account.logins += 1
    if account.locked_s is not None:
        return
    if account.holder in (OWNER, THIEF) and account.holder != who:
        account.kicks += 1
        _count(account, procedure)
        if account.locked_s is not None or procedure.conflict == "refuse-new":
            return
    account.change(who)


def _count(account: Account, procedure: Duel) -> None:
    """Conflicts within the window; so many lock the account, which ends its session."""
    now_s = account.control.now
    account.recent_s.append(now_s)
    while account.recent_s[0] < now_s - procedure.window:
        account.recent_s.popleft()
    if procedure.lock_after is not None and len(account.recent_s) >= procedure.lock_after:
        account.locked_s = now_s
        account.change(NOBODY)


def _thief(account: Account, procedure: Duel, enters_s: float) -> Process:
    yield account.control.timeout(enters_s)
    while account.locked_s is None:
        if account.thief_knows and account.holder != THIEF:
            _try(account, procedure, THIEF)
        if account.holder == THIEF:
            yield account.kicked[THIEF]
        if not account.thief_knows:
            return
        yield account.control.timeout(procedure.retry)


def _owner(account: Account, procedure: Duel, draw: np.random.Generator) -> Process:
    renewal_s = draw.exponential(procedure.unlock)
    jitter = draw.random()
    while True:
        if account.holder == OWNER:
            yield account.kicked[OWNER]
        if account.locked_s is not None:
            yield account.control.timeout(renewal_s)
            account.change(OWNER)  # with credentials that nobody else knows
            return
        yield account.control.timeout(procedure.retry * (0.5 + jitter))
        if account.locked_s is None and account.holder != OWNER:
            _try(account, procedure, OWNER)


def _rotate(account: Account, procedure: Duel) -> Process:
    """The password changes: nobody else logs in any more; open sessions may go on."""
    assert procedure.rotate is not None
    yield account.control.timeout(procedure.rotate)
    account.thief_knows = False
    if account.holder == THIEF and not procedure.survives:
        account.change(NOBODY)
        yield account.control.timeout(procedure.retry)
        account.change(OWNER)
