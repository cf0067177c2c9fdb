"""A stolen account reads along until somebody notices, decides and takes its rights back.

Honey items are read like others by one who does not know which they are: among n items of which h
are honey, reading without repetition, the first honey item comes at read (n + 1) / (h + 1) on
average, and u reads find none with probability C(n - h, u) / C(n, u). Otherwise somebody sees it in
the logs. Taking rights back is a list of steps; what each ends is as the servers were seen to do
it: an outcast can read no more, but what it subscribed to still comes until the subscription is
ended; who is disconnected comes back while the password holds.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import simpy

from sim.procedures.outcome import Floats, Occasion, Outcome, curve, since
from topologies.procedures import Harvest

AXES: Final = ("time since the theft [s]", "items that the thief has [1]")
REASONS: Final = {"time_to_recover_s": "the traffic of others is not touched"}
RECONNECT_S: Final = 5.0  # a thief whose session is ended is back after this

Process = Generator[simpy.Event, Any, None]


@dataclass
class Theft:
    """What the thief has, may do, and what is known of it."""

    control: simpy.Environment
    may_read: bool = True
    subscribed: bool = True
    password: bool = True
    away_until_s: float = 0.0
    alarm_read: int | None = None
    noticed_s: float | None = None
    decided_s: float | None = None
    reads_s: list[float] = field(default_factory=list)
    listens_s: list[tuple[float, float]] = field(default_factory=list)  # from, until
    alarm: simpy.Event = field(init=False)

    def __post_init__(self) -> None:
        self.alarm = self.control.event()
        self.listens_s.append((0.0, math.inf))

    def notice(self) -> None:
        """Somebody has seen it."""
        if self.noticed_s is None:
            self.noticed_s = self.control.now
            self.alarm.succeed()

    def disconnect(self, until_s: float) -> None:
        """It has no session until then."""
        self.stop_listening()
        self.away_until_s = until_s
        if self.subscribed and until_s < math.inf:
            self.listens_s.append((until_s, math.inf))

    def stop_listening(self) -> None:
        """Nothing comes to it from now on."""
        now_s = self.control.now
        past = [(start_s, min(end_s, now_s)) for start_s, end_s in self.listens_s]
        self.listens_s = [(start_s, end_s) for start_s, end_s in past if start_s < end_s]

    def heard(self, published_s: Floats) -> Floats:
        """Which of the items that are published come to it."""
        came = np.zeros(len(published_s), np.bool_)
        for start_s, end_s in self.listens_s:
            came |= (published_s >= start_s) & (published_s < end_s)
        return published_s[came]


def play(
    procedure: Harvest, occasion: Occasion, honey_reads: frozenset[int] | None = None
) -> Outcome:
    """One replication; where it is known which reads are of honey, counted from 0, with these."""
    control = simpy.Environment()
    theft = Theft(control)
    if honey_reads is None:
        draw = occasion.stream("reads")
        honey = min(round(procedure.breadth * procedure.honeytokens), procedure.readable)
        honey_reads = frozenset(draw.permutation(procedure.readable)[:honey].tolist())
    control.process(_read(theft, procedure, honey_reads))
    control.process(_audit(theft, procedure, occasion.stream("audit")))
    control.process(_respond(theft, procedure, occasion.stream("decision")))
    if procedure.lifetime is not None:
        control.process(_expire(theft, procedure, occasion.stream("expiry")))
    control.run(until=procedure.duration)
    taken_s = np.sort([*theft.reads_s, *theft.heard(_published_s(procedure, occasion))])
    last_s = float(taken_s[-1]) if len(taken_s) else 0.0
    ended = (not (theft.may_read or theft.subscribed) or not theft.password) and bool(
        theft.decided_s is not None or procedure.lifetime is not None
    )
    residual = 0 if theft.decided_s is None else int((taken_s > theft.decided_s).sum())
    struck = procedure.whole_template and theft.decided_s is not None
    return Outcome(
        {
            "exposed_items": float(len(taken_s)),
            "residual_items": float(residual),
            "reads_to_alarm": float(theft.alarm_read) if theft.alarm_read else math.nan,
            "time_to_detect_s": since(0.0, theft.noticed_s),
            "time_to_mitigate_s": last_s if ended else math.inf,
            "collateral": procedure.template_share if struck else 0.0,
        },
        curve=curve([0.0, *taken_s, procedure.duration],
                    [*range(len(taken_s) + 1), len(taken_s)]),
    )  # fmt: skip


def _published_s(procedure: Harvest, occasion: Occasion) -> Floats:
    """When items are published on the Topics that it may read. [s]"""
    draw = occasion.stream("live")
    instants_s = draw.random(draw.poisson(procedure.live * procedure.duration)) * procedure.duration
    kept = draw.random(len(instants_s)) < procedure.breadth
    return np.sort(instants_s[kept])


def _read(theft: Theft, procedure: Harvest, honey_reads: frozenset[int]) -> Process:
    """Reads in random order, each item once; the honey is spread over all items alike."""
    for number in range(procedure.readable):
        yield theft.control.timeout(1.0 / procedure.reads)
        if not theft.may_read or theft.away_until_s == math.inf:
            return
        if theft.control.now < theft.away_until_s:
            yield theft.control.timeout(theft.away_until_s - theft.control.now)
            if not theft.may_read:
                return
        theft.reads_s.append(theft.control.now)
        if number in honey_reads and theft.alarm_read is None:
            theft.alarm_read = number + 1
            theft.notice()


def _audit(theft: Theft, procedure: Harvest, draw: np.random.Generator) -> Process:
    yield theft.control.timeout(draw.exponential(procedure.audit))
    theft.notice()


def _respond(theft: Theft, procedure: Harvest, draw: np.random.Generator) -> Process:
    """Somebody decides, then one step follows the other."""
    waits = draw.exponential(procedure.decide) if procedure.decide else 0.0
    yield theft.alarm
    yield theft.control.timeout(waits)
    theft.decided_s = theft.control.now
    for step in procedure.steps:
        yield theft.control.timeout(procedure.step)
        match step:
            case "affiliation":
                theft.may_read = False
            case "subscription":
                theft.subscribed = False
                theft.stop_listening()
            case "password":
                theft.password = False
            case "session":
                back_s = theft.control.now + RECONNECT_S
                theft.disconnect(back_s if theft.password else math.inf)


def _expire(theft: Theft, procedure: Harvest, draw: np.random.Generator) -> Process:
    """Credentials that end: somewhere in their life they were stolen."""
    assert procedure.lifetime is not None
    yield theft.control.timeout(draw.random() * procedure.lifetime)
    theft.password = False
    theft.disconnect(math.inf)


def undetected(items: int, honeytokens: int, reads: int) -> float:
    """Probability that so many reads without repetition find no honey item. [1]"""
    if reads > items - honeytokens:
        return 0.0
    return math.comb(items - honeytokens, reads) / math.comb(items, reads)
