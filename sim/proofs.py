"""Proofs of a plan: the answer and one size less once more, on other draws or on a real server."""

from __future__ import annotations

from collections.abc import Callable

from results import Run
from results.documents import rounded
from results.figures import Figures
from results.plans import Check, Evidence, PlanDocument, RealTrial, Rehearsed
from sim.answers import evidence_of
from sim.designs import changed, part
from sim.planning import Plan
from sim.replications import simulate
from sim.trials import STAGES, Trial
from topologies.profiles import Profile
from topologies.schema import Topology

Play = Callable[[Topology, float], Run]
DRIFT = 1.15  # a plan whose costs were further off than this is made again with those of the runs
ROUNDS = 3  # so often at most


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
    plan: Plan, document: PlanDocument, play: Play, duration_s: float
) -> tuple[PlanDocument, dict[str, Profile]]:
    """The document with the answer and one size less played on a real server.

    Parameters
    ----------
    plan, document
        What was found.
    play : callable
        Deploys a topology, plays it for some seconds and gives the measured run.
    duration_s : float
        Length of each run. [s]

    Returns
    -------
    PlanDocument
    dict of str to Profile
        The profiles with the speed that the runs themselves had: what to plan with next where it
        is far from the plan's.
    """
    trials: list[RealTrial] = []
    profiles = dict(plan.profiles)
    answer_meets = less_misses = True
    for sizing in plan.sizings:
        for trial, wanted in ((sizing.answer, True), (sizing.less, False)):
            if trial is None:
                continue
            own = part(plan.topology, sizing.controller, sizing.profile, trial.design)
            run = play(own, duration_s)
            real = _real(plan, sizing.controller, trial, run)
            factor = _slower(own, run, sizing.profile, plan.seed)
            real["slower"] = factor
            trials.append(real)
            answer_meets &= real["meets"] or not wanted
            less_misses &= wanted or not real["meets"]
            speed = sizing.profile.speed * factor
            profiles[sizing.controller] = sizing.profile.model_copy(update={"speed": speed})
    found: Rehearsed = {
        "answer_meets": answer_meets, "less_misses": less_misses, "trials": rounded(trials),
    }  # fmt: skip
    return {**document, "rehearsal": found}, profiles


def drift(document: PlanDocument) -> float:
    """How many times dearer (or cheaper) than planned a publication was in the worst run. [1]"""
    rehearsal = document["rehearsal"]
    assert rehearsal is not None
    return max(max(each["slower"], 1.0 / each["slower"]) for each in rehearsal["trials"])


def _real(plan: Plan, controller: str, trial: Trial, run: Run) -> RealTrial:
    figures = Figures([run])
    return {
        "controller": controller,
        "controllers": trial.design.controllers,
        "cores": trial.design.cores,
        "run_id": run.header.run_id,
        "p99_s": figures.latency().quantile(0.99),
        "meets": all(each.met(each.sample(figures)) for each in plan.asked),
        "slower": 1.0,
        "valid": run.header.verdict.valid,
        "remarks": list(run.header.verdict.reasons),
    }


def _slower(own: Topology, run: Run, profile: Profile, seed: int) -> float:
    """CPU per delivery of a real run over that of the model on the same plan. [1]

    Not per publication: a server that cannot keep up leaves part of what was offered undone.
    """
    duration_s = run.header.duration_s
    played = changed(own, workload=changed(own.workload, duration=duration_s))
    model = simulate(
        played, seed=seed, replications=1, processes=1, plan_replication=0,
        profiles={own.controllers[0].name: profile}, door="gridlab plan",
    )  # fmt: skip
    measured, predicted = (_busy_per_delivery_s(each) for each in (run, model))
    return measured / predicted if measured > 0.0 and predicted > 0.0 else 1.0


def _busy_per_delivery_s(run: Run) -> float:
    figures = Figures([run])
    delivered_per_s = figures.rate("delivered").value
    return figures.busy().value / delivered_per_s if delivered_per_s > 0.0 else 0.0
