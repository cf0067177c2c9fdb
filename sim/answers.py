"""A plan as its document: the answer, what binds it, what surrounds it, and the evidence."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import topologies
from results.documents import rounded
from results.plan_report import Subject
from results.plans import (
    AdviceText,
    Answer,
    Collected,
    Confidence,
    Constraint,
    Evidence,
    NMinusOne,
    PlanDocument,
    Relaxed,
    Restart,
    UnderAttack,
)
from results.statistics import Estimate
from sim import arrangements, reconnects, uncertainty
from sim.batching import events_per_item
from sim.bounds import cores_at_least
from sim.designs import Design, parallel, part
from sim.planning import Plan, Sizing
from sim.trials import STAGES, Trial
from topologies import drawing, offered
from topologies.schema import Topology
from topologies.streams import mean_rows, streams

ROOM = 2.0  # a limit's rate over what a Platform asks for on average
BURST_S = 10.0  # what a limit's burst lets through at once, in seconds of that rate


def document(plan: Plan, wall_s: float) -> PlanDocument:
    """The document of `gridlab plan --json`."""
    sizings, possible = plan.sizings, plan.possible
    constraints = _constraints(sizings) if possible else []
    found: PlanDocument = {
        "topology": plan.topology.name,
        "question": _question(plan),
        "answer": _answer(plan) if possible else None,
        "reason": "" if possible else _reason(plan),
        "cores_range": uncertainty.cores(plan),
        "slo": [each.text for each in plan.asked],
        "binding": constraints[0] if constraints else None,
        "next": constraints[1:3],
        "headroom": _headroom(sizings) if possible else _none("there is no answer"),
        "n_minus_1": _n_minus_1(sizings) if possible else None,
        "under_attack": _under_attack(plan) if possible else None,
        "restart": _restart(plan) if possible else None,
        "relaxed": _relaxed(sizings),
        "compared": [each for sizing in sizings for each in arrangements.compared(sizing)],
        "collected": [each for sizing in sizings for each in _collected(sizing)],
        "advice": [
            AdviceText(kind=a.kind, place=a.place, text=a.text, repairs=list(a.repairs))
            for a in plan.advice
        ],
        "evidence": [evidence_of(s.controller, t) for s in sizings for t in s.bench.trials],
        "confidence": _confidence(plan),
        "assumptions": list(_assumptions(plan)),
        "check": None,
        "rehearsal": None,
        "seed": plan.seed,
        "wall_s": wall_s,
    }
    whole: PlanDocument = rounded(found)
    return whole


def _question(plan: Plan) -> str:
    promise = " and ".join(each.text for each in plan.asked)
    return f"What is the smallest grid that keeps {promise}?"


def _answer(plan: Plan) -> Answer:
    parts = [
        {
            "controller": sizing.controller,
            "controllers": sizing.design.controllers,
            "cores": sizing.design.cores,
            "memory_bytes": math.ceil(sizing.memory_bytes()),
            "nic_bytes_per_s": sizing.nic,
            "arrangement": sizing.design.arrangement if sizing.design.controllers > 1 else "one",
        }
        for sizing in plan.sizings
    ]
    return {
        "controllers": sum(each["controllers"] for each in parts),  # type: ignore[misc]
        "cores": sum(s.design.cores_total for s in plan.sizings),
        "memory_bytes": sum(
            s.design.controllers * math.ceil(s.memory_bytes()) for s in plan.sizings
        ),
        "limits": limits(plan.topology),
        "parts": parts,  # type: ignore[typeddict-item]
    }


def limits(topology: Topology) -> dict[str, Any]:
    """Limits that no legitimate Platform feels: twice what the busiest asks for, and a burst.

    Of each account in publications, of each client in bytes of payload and stanza.
    """
    per_s: dict[str, float] = {}
    bytes_per_s: dict[str, float] = {}
    largest = 0.0
    for stream in streams(topology):
        if stream.role != "legitimate":
            continue
        each_s = mean_rows(topology, stream) / topology.workload.duration / stream.population.count
        size = stream.payload.size + 290.0
        name = stream.population.name
        per_s[name] = per_s.get(name, 0.0) + each_s
        bytes_per_s[name] = bytes_per_s.get(name, 0.0) + each_s * size
        largest = max(largest, stream.payload.max if stream.payload.cv else stream.payload.size)
    rate, flow = max(per_s.values(), default=0.0), max(bytes_per_s.values(), default=0.0)
    return {
        "account": {"rate_per_s": ROOM * rate, "burst": max(10, math.ceil(BURST_S * rate))},
        "client": {
            "rate_bytes_per_s": ROOM * flow,
            "burst_bytes": max(2.0 * largest, BURST_S * flow),
        },
        "client_stanza_bytes": 1.5 * largest + 1024.0,
    }


def _reason(plan: Plan) -> str:
    """Why nothing is enough: what refused or broke the largest design that was looked at."""
    reasons = []
    for sizing in plan.sizings:
        if sizing.answer is None and sizing.bench.trials:
            largest = max(sizing.bench.trials, key=lambda t: t.design.cores_total)
            text = largest.reason or "misses"
            reasons.append(f"{largest.design.text()} in place of {sizing.controller}: {text}")
        elif sizing.answer is None:
            most = plan.budget
            reasons.append(f"{most.controllers} Controllers with {most.cores} cores are too few")
    return "; ".join(reasons)


def _constraints(sizings: Sequence[Sizing]) -> list[Constraint]:
    """The binding constraint of the tightest Controller first, then the others by their share."""
    tightest = max(sizings, key=lambda each: each.constraints()[0][1])
    found: list[Constraint] = []
    for sizing in (tightest, *(each for each in sizings if each is not tightest)):
        found += [
            {"controller": sizing.controller, "resource": resource, "share": share}
            for resource, share in sizing.constraints()
        ]
    return [found[0], *sorted(found[1:], key=lambda each: -each["share"])]


def _headroom(sizings: Sequence[Sizing]) -> Estimate:
    low, high = min(sizing.headroom for sizing in sizings)
    return {"value": math.sqrt(low * high), "low": low, "high": high, "n": 0}


def _none(reason: str) -> Estimate:
    return {"value": None, "low": None, "high": None, "n": 0, "reason": reason}


def _n_minus_1(sizings: Sequence[Sizing]) -> NMinusOne:
    """Each Controller's answer less one; that of the one which bears it worst."""
    worst = min(sizings, key=lambda s: (s.lost_one is not None, _meets(s.lost_one)))
    lost = worst.lost_one
    total = sum(s.design.controllers for s in sizings)
    cores = sum(s.design.cores_total for s in sizings)
    spare = {
        "controllers": total + len(sizings),
        "cores": cores + sum(s.design.cores for s in sizings),
    }
    if lost is None:
        reason = f"{worst.controller} is one Controller: nothing remains"
        return {"meets": False, "reason": reason, "p99_s": None, "needs": spare}
    needs = None if lost.meets else spare
    return {"meets": lost.meets, "reason": lost.reason, "p99_s": lost.p99, "needs": needs}


def _meets(trial: Trial | None) -> bool:
    return trial is not None and trial.meets


def _under_attack(plan: Plan) -> UnderAttack | None:
    tried = [sizing for sizing in plan.sizings if sizing.attacked is not None]
    if not tried:
        return None
    worst = min(tried, key=lambda sizing: _meets(sizing.attacked))
    trial, design = worst.attacked, Design(1, 1)
    assert trial is not None
    own = part(plan.topology, worst.controller, worst.profile, design, case="attacks")
    return {
        "meets": trial.meets,
        "reason": trial.reason,
        "p99_s": trial.p99,
        "cores_at_least": cores_at_least(own, worst.controller, worst.profile),
    }


def _restart(plan: Plan) -> Restart | None:
    """The storm after a restart of the Controller whose Platforms take longest to be back."""
    able = [sizing for sizing in plan.sizings if reconnects.possible(sizing.profile)]
    if not able:
        return None
    worst = min(able, key=lambda sizing: (sizing.restarted is not None, _meets(sizing.restarted)))
    trial = worst.restarted
    own = part(plan.topology, worst.controller, worst.profile, worst.design)
    reason = trial.reason if trial is not None else "not simulated: nobody asked for it"
    figures = list(trial.figures.values()) if trial is not None else []
    return {
        "controller": worst.controller,
        "platforms": sum(each.count for each in own.platforms),
        "meets": trial.meets if trial is not None else None,
        "reason": reason,
        "whole_again_s": figures[0] if figures else _none(reason),
        "about_s": reconnects.whole_s(own, worst.profile),
    }


def _relaxed(sizings: Sequence[Sizing]) -> list[Relaxed]:
    """Objectives that one size less would keep: what a softer promise saves."""
    found: list[Relaxed] = []
    for sizing in sizings:
        less = sizing.less
        if less is None or less.verdict != "misses" or less.p99 is None or sizing.answer is None:
            continue
        high_s = less.p99["high"] or less.p99["value"]
        if high_s is not None:
            saves = sizing.design.cores_total - less.design.cores_total
            found.append({"objective": f"p99 < {high_s:.2g} s", "saves_cores": saves})
    return found


def _collected(sizing: Sizing) -> Iterator[Collected]:
    """Smaller designs that would do if events were collected into items, and what that saves."""
    for trial in sizing.collected:
        design, collecting = trial.design, trial.design.collecting
        assert collecting is not None
        alone = part(sizing.bench.topology, sizing.controller, sizing.profile, Design(1, 1))
        events = events_per_item(alone, collecting)
        asked = offered(alone, "legitimate")
        items = sum(rate / events[name] for name, rate in asked.items())
        saved = sizing.design.cores_total - design.cores_total if sizing.answer else None
        yield {
            "controller": sizing.controller,
            "by": collecting.place,
            "hold_s": collecting.hold_s,
            "events_per_item": sum(asked.values()) / items,
            "controllers": design.controllers,
            "cores": design.cores,
            "saves_cores": saved,
            "p99_s": trial.p99,
        }


def evidence_of(controller: str, trial: Trial) -> Evidence:
    """A trial as the document has it."""
    return {
        "controller": controller,
        "controllers": trial.design.controllers,
        "cores": trial.design.cores,
        "nic_bytes_per_s": trial.design.nic,
        "arrangement": trial.design.arrangement,
        "held_s": trial.design.held_s,
        "collected_by": trial.design.collecting.place if trial.design.collecting else None,
        "case": trial.case,
        "load": trial.load,
        "verdict": trial.verdict,
        "reason": trial.reason,
        "certainty": trial.certainty,
        "p99_s": trial.p99,
        "figures": trial.figures,
        "shares": {s.resource: s.mean for s in trial.shares if math.isfinite(s.mean)},
        "replications": trial.replications,
        "window_s": trial.window_s,
    }


def _confidence(plan: Plan) -> Confidence:
    trials = [t for s in plan.sizings for t in _judged(s) if t is not None]
    value = min((trial.certainty for trial in trials), default=1.0)
    replications = max((trial.replications for trial in trials), default=0)
    text = (
        "chance that the model judges the answer and one size less the same way with other draws "
        f"({max(replications, STAGES[0])} replications each); how far the model itself is to be "
        "trusted, gridlab validate says"
    )
    return {"value": value, "text": text}


def _judged(sizing: Sizing) -> tuple[Trial | None, ...]:
    """The trials that an answer stands on."""
    back = (sizing.restarted,) if sizing.bench.returns else ()
    return (sizing.answer, sizing.less, *back)


def _assumptions(plan: Plan) -> Iterator[str]:
    """What the answer rests on beside the figures of the file."""
    for sizing in plan.sizings:
        profile = sizing.profile
        yield (
            f"{sizing.controller}: costs of {profile.server} {profile.version} measured on "
            f"{profile.machine} ({profile.measured}), speed {profile.speed:g}"
        )
        if parallel(profile) and profile.server == "ejabberd":
            yield (
                f"{sizing.controller}: all cores share one run queue, and two do twice the work "
                "of one; only one core was ever measured"
            )
        own = part(plan.topology, sizing.controller, profile, Design(1, 1))
        if login := reconnects.assumed(own, profile):
            yield (
                f"{sizing.controller}: after a restart of {reconnects.DOWN_S:g} s, Platforms that "
                f"do not say how log in by {login}, all from {1e3 * reconnects.NEAR_S:g} ms away "
                "at least"
            )
        if sizing.compared:
            yield (
                f"{sizing.controller}: between federated domains a copy of each publication costs "
                "what a publication costs and its way takes no time; between nodes of a cluster "
                "each copy is read and written once more, after a hop of at least a twentieth of "
                "the time that a delivery has; clusters are tried in windows of 4 s to 20 s"
            )
    yield (
        "busy windows of 10 s to 2 min, at the peak of processes that follow a day, all peaks at "
        "once; ramps, steps, traces and on-off processes are played whole"
    )


def subject(plan: Plan) -> Subject:
    """What the plan's page shows beside the document."""
    words = [f"gridlab plan {plan.topology.name}.yaml"]
    words += [f"--slo '{each.text}'" for each in plan.asked]
    words += [f"--controllers-max {plan.budget.controllers} --cores-max {plan.budget.cores}"]
    words += [f"--seed {plan.seed}"]
    return Subject(
        text=topologies.text(plan.topology),
        drawing=drawing.draw(plan.topology),
        drawing_text=drawing.describe(plan.topology, None),
        command=" ".join(words),
        bound_s=next(
            (each.bound for each in plan.asked if each.figure != "timely"),
            plan.topology.slo.deadline,
        ),
    )
