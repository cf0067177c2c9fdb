"""Sensors report what they see, some lie, and consumers act when enough of them agree.

With n honest sensors of which each sees an event with chance r, the k-th report of an event comes
or does not come within the consumers' patience. Lies that differ never agree; liars who tell the
same lie do when there are k of them. Where people approve each action they are a queue: with
service times S and alerts at rate a there must be more than a S of them (Erlang).
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import simpy

from results import histogram
from sim.procedures.outcome import Occasion, Outcome, curve
from sim.procedures.waiting import poisson_s
from topologies.procedures import FalseAlarms

AXES: Final = ("time [s]", "wrong actions so far [1]")
REASONS: Final = {"collateral": "wrong actions are counted by themselves"}

Process = Generator[simpy.Event, Any, None]


@dataclass
class Actions:
    """What was done about true and false alarms."""

    wrong_s: list[float] = field(default_factory=list)
    response_s: list[float] = field(default_factory=list)
    missed: int = 0
    true_events: int = 0
    asked: int = 0


def play(procedure: FalseAlarms, occasion: Occasion) -> Outcome:
    """One replication."""
    control, actions = simpy.Environment(), Actions()
    people = None
    if procedure.approvers is not None:
        people = simpy.Resource(control, procedure.approvers)
    honest = procedure.sensors - procedure.liars
    agreed = [
        *_true_alarms(procedure, honest, actions, occasion.stream("events")),
        *_false_alarms(procedure, occasion.stream("lies")),
    ]
    judge = occasion.stream("judgement")
    for instant_s, happened_s in sorted(agreed):
        draws = judge.exponential(procedure.approval), judge.random()
        control.process(_act(control, procedure, people, actions, (instant_s, happened_s, *draws)))
    control.run(until=procedure.duration)
    waiting = actions.true_events - actions.missed - len(actions.response_s)
    latency = histogram.count(
        np.array([*actions.response_s, *[math.inf] * (actions.missed + waiting)])
    )
    hours = procedure.duration / 3600.0
    wrong = actions.wrong_s
    responses = np.array([*actions.response_s, *[np.inf] * (actions.missed + waiting)])
    return Outcome(
        {
            "wrong_actions_per_h": len(wrong) / hours,
            "missed_share": (actions.missed + waiting) / max(actions.true_events, 1),
            "response_p50_s": float(np.median(responses)) if len(responses) else math.nan,
            "alarms_per_h": (len(agreed)) / hours,
            "goodput_per_s": len(actions.response_s) / procedure.duration,
        },
        latency,
        curve([0.0, *wrong, procedure.duration], [*range(len(wrong) + 1), len(wrong)]),
    )


def _true_alarms(
    procedure: FalseAlarms, honest: int, actions: Actions, draw: np.random.Generator
) -> list[tuple[float, float]]:
    """When enough sensors have reported each true event, and when it happened. [s]"""
    found = []
    reporting = honest + (0 if procedure.silent else procedure.liars)
    for happened_s in poisson_s(draw, procedure.events, 0.0, procedure.duration).tolist():
        actions.true_events += 1
        chances, delays_s = draw.random(procedure.sensors), draw.exponential(
            procedure.delay, procedure.sensors
        )  # fmt: skip
        seeing = np.sort(delays_s[:reporting][chances[:reporting] < procedure.seen])
        k = procedure.agree
        if len(seeing) >= k and seeing[k - 1] - seeing[0] <= procedure.patience:
            found.append((happened_s + float(seeing[k - 1]), happened_s))
        else:
            actions.missed += 1
    return found


def _false_alarms(
    procedure: FalseAlarms, draw: np.random.Generator
) -> list[tuple[float, float]]:  # fmt: skip
    """Instants at which lies have convinced; they happened never. [s]"""
    if procedure.liars == 0 or procedure.silent:
        return []
    until_s = min(procedure.dismissed_after or math.inf, procedure.duration)
    together = procedure.liars if procedure.collude else 1
    if together < procedure.agree:
        return []
    lies_per_s = procedure.lies / together
    return [(at_s, math.nan) for at_s in poisson_s(draw, lies_per_s, 0.0, until_s).tolist()]


def _act(
    control: simpy.Environment, procedure: FalseAlarms, people: simpy.Resource | None,
    actions: Actions, alarm: tuple[float, float, float, float],
) -> Process:  # fmt: skip
    """One alarm: approved if somebody must, then acted on."""
    instant_s, happened_s, approval_s, judgement = alarm
    yield control.timeout(instant_s)
    true = not math.isnan(happened_s)
    if people is not None:
        actions.asked += 1
        with people.request() as turn:
            yield turn
            yield control.timeout(approval_s)
        if not true and judgement < procedure.judgement:
            return
    if true:
        actions.response_s.append(control.now - happened_s)
    else:
        actions.wrong_s.append(control.now)
