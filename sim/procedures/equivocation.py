"""A Controller that shows a group other items, and Platforms that compare what they have seen.

Gossip is push gossip in rounds: each Platform sends the digests of what it has seen to `fan_out`
others at random. Whoever hears of another view than its own raises the alarm and passes it on with
its next digests; from one who knows to all takes about log2 N + ln N rounds [1]_. Numbered items
show a gap with the next item that comes; signed items cannot be altered at all, only left out.

References
----------
.. [1] B. Pittel, "On spreading a rumor," SIAM J. Appl. Math. 47(1), 1987.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import simpy

from sim.procedures.outcome import Occasion, Outcome, Trace, since
from topologies.procedures import Equivocation

AXES: Final = ("time [s]", "share of the Platforms that know [1]")
REASONS: Final = {"time_to_recover_s": "who knows believes no more: mitigation is the end of it"}
KNOWN: Final = 0.95  # share of the deceived that must know before the deceit is over
DIGEST_BYTES: Final = 120.0  # a message with a SHA-256 over the last ids

Mask = npt.NDArray[np.bool_]


@dataclass
class Views:
    """Who belongs to which group, who differs from the others, and who knows of it."""

    deceived: Mask
    knows: Mask
    differ: bool = False
    pending_gap: bool = False
    first_s: float | None = None
    most_s: float | None = None
    false_items: int = 0
    kept_back: int = 0
    items: int = 0
    messages: int = 0
    trace: Trace = field(default_factory=Trace)

    def learn(self, who: Mask, now_s: float) -> None:
        """Platforms find out."""
        if not who.any():
            return
        self.knows |= who
        if self.first_s is None:
            self.first_s = now_s
        self.trace.add(now_s, float(self.knows.mean()))
        if self.knows[self.deceived].mean() >= KNOWN and self.most_s is None:
            self.most_s = now_s


def push(knows: Mask, fan_out: int, draw: np.random.Generator) -> tuple[Any, Any]:
    """Who tells whom in one round: senders and receivers, nobody himself."""
    n = len(knows)
    sender = np.repeat(np.arange(n), fan_out)
    receiver = draw.integers(0, n - 1, n * fan_out)
    receiver += receiver >= sender
    return sender, receiver


def rounds_to_all(platforms: int, fan_out: int, draw: np.random.Generator) -> int:
    """Rounds of push gossip until all know what one knew at first."""
    knows = np.zeros(platforms, np.bool_)
    knows[0] = True
    rounds = 0
    while not knows.all():
        sender, receiver = push(knows, fan_out, draw)
        knows[receiver[knows[sender]]] = True
        rounds += 1
    return rounds


def play(procedure: Equivocation, occasion: Occasion) -> Outcome:
    """One replication."""
    n, draw = procedure.platforms, occasion.stream("group")
    deceived = np.zeros(n, np.bool_)
    deceived[draw.permutation(n)[: max(1, round(procedure.group * n))]] = True
    if procedure.manner == "omit-for-all":
        deceived[:] = True
    views = Views(deceived, np.zeros(n, np.bool_))
    control = simpy.Environment()
    control.process(_publish(control, procedure, views, occasion.stream("items")))
    if procedure.gossip is not None:
        control.process(_gossip(control, procedure, views, occasion.stream("gossip")))
    control.run(until=procedure.duration)
    views.trace.add(procedure.duration, float(views.knows.mean()))
    lasting_s = procedure.duration - procedure.start
    delivered = views.items * n - views.kept_back
    return Outcome(
        {
            "goodput_per_s": delivered / lasting_s,
            "false_items": views.false_items / n,
            "time_to_detect_s": since(procedure.start, views.first_s),
            "time_to_mitigate_s": since(procedure.start, views.most_s),
            "gossip_messages_per_h": views.messages / n / (procedure.duration / 3600.0),
            "gossip_bytes_per_s": views.messages * DIGEST_BYTES / procedure.duration,
        },
        curve=views.trace.curve(),
    )


Process = Generator[simpy.Event, Any, None]


def _publish(
    control: simpy.Environment, procedure: Equivocation, views: Views, draw: np.random.Generator
) -> Process:
    """Items come; from `start` on the Controller deceives with some of them."""
    while True:
        yield control.timeout(draw.exponential(1.0 / procedure.rate))
        falsified = draw.random() < procedure.chance
        if control.now < procedure.start:
            continue
        views.items += 1
        if views.pending_gap and not falsified:
            views.learn(views.deceived & ~views.knows, control.now)  # the next number is too high
            views.pending_gap = False
        if not falsified:
            continue
        views.kept_back += int(views.deceived.sum())  # whoever knows has no true item either
        if procedure.manner == "alter" and procedure.signatures:
            views.learn(views.deceived & ~views.knows, control.now)
            continue
        views.false_items += int((views.deceived & ~views.knows).sum())
        views.differ = procedure.manner != "omit-for-all"
        if procedure.sequence_numbers and procedure.manner != "alter":
            views.pending_gap = True


def _gossip(
    control: simpy.Environment, procedure: Equivocation, views: Views, draw: np.random.Generator
) -> Process:
    """Rounds in which everybody tells some others."""
    assert procedure.gossip is not None
    yield control.timeout(draw.random() * procedure.gossip)
    while True:
        views.messages += len(views.knows) * procedure.fan_out
        if views.differ and not views.knows.all():
            sender, receiver = push(views.knows, procedure.fan_out, draw)
            hears = views.deceived[sender] != views.deceived[receiver]
            hears |= views.knows[sender]
            told = np.zeros(len(views.knows), np.bool_)
            told[receiver[hears]] = True
            views.learn(told & ~views.knows, control.now)
        yield control.timeout(procedure.gossip)


def rounds_expected(platforms: int) -> float:
    """Rounds until all know, by the closed form log2 N + ln N."""
    return math.log2(platforms) + math.log(platforms)
