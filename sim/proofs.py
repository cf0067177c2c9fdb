"""Proofs of a plan: the answer and one size less once more, on other draws or on a real server."""

from __future__ import annotations

from collections.abc import Callable

from results import Run
from results.documents import rounded
from results.figures import Figures
from results.plans import Check, Evidence, PlanDocument, RealTrial, Rehearsed
from sim.answers import evidence_of
from sim.designs import part
from sim.planning import Plan
from sim.trials import STAGES
from topologies.schema import Topology


def checked(plan: Plan, document: PlanDocument) -> PlanDocument:
    """The document with the answer and one size less simulated on draws of their own."""
    evidence: list[Evidence] = []
    answer_meets = less_misses = True
    for sizing in plan.sizings:
        bench = sizing.bench.with_seed(plan.seed + 1)
        for trial, wanted in ((sizing.answer, True), (sizing.less, False)):
            if trial is None:
                continue
            again = bench.simulated(
                trial.design, trial.case, 1.0, bench.bounded(trial.design), STAGES[-1:]
            )
            evidence.append(evidence_of(sizing.controller, again))
            if wanted:
                answer_meets &= again.meets
            else:
                less_misses &= not again.meets
    check: Check = {
        "answer_meets": answer_meets,
        "less_misses": less_misses,
        "evidence": rounded(evidence),
    }
    return {**document, "check": check}


def rehearsed(
    plan: Plan, document: PlanDocument, play: Callable[[Topology, float], Run], duration_s: float
) -> PlanDocument:
    """The document with the answer and one size less played on a real server.

    Parameters
    ----------
    plan, document
        What was found.
    play : callable
        Deploys a topology, plays it for some seconds and gives the measured run.
    duration_s : float
        Length of each run. [s]
    """
    trials: list[RealTrial] = []
    answer_meets = less_misses = True
    for sizing in plan.sizings:
        for trial, wanted in ((sizing.answer, True), (sizing.less, False)):
            if trial is None:
                continue
            own = part(plan.topology, sizing.controller, sizing.profile, trial.design)
            run = play(own, duration_s)
            figures = Figures([run])
            meets = all(each.met(each.sample(figures)) for each in plan.asked)
            verdict = run.header.verdict
            trials.append(
                {
                    "controller": sizing.controller,
                    "controllers": trial.design.controllers,
                    "cores": trial.design.cores,
                    "run_id": run.header.run_id,
                    "p99_s": figures.latency().quantile(0.99),
                    "meets": meets,
                    "valid": verdict.valid,
                    "remarks": list(verdict.reasons),
                }
            )
            if wanted:
                answer_meets &= meets
            else:
                less_misses &= not meets
    found: Rehearsed = {
        "answer_meets": answer_meets, "less_misses": less_misses, "trials": rounded(trials),
    }  # fmt: skip
    return {**document, "rehearsal": found}
