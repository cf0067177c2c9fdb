"""Prediction against measurement, point by point: errors, noise, verdicts, and what they sum up to.

Scores are kept apart. *cost*: the predicted CPU time per publication. *blind*: all that was
predicted before the first measurement. *bracketed*: the same of each run, predicted from a light
load on the same servers just before it. *given pace*: the same, costs and latencies, of the model
told the one thing about the machine that an idle loop beside the server tells, how much its cores'
CPU seconds were worth meanwhile (`results.pacing`). *structure*: latencies of the model told the
one figure that it has most trouble with, the run's own CPU time per publication. Everything here is
computed from the evidence (`results.evidence`), so that a stored proof can be computed again.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np

from results import causes, pacing, statistics
from results.documents import rounded
from results.evidence import METRICS, Evidence, Metric, chosen, samples, together
from results.statistics import Estimate, Sample
from results.twin_documents import (
    MetricError,
    PointEvidence,
    Score,
    Scored,
    TwinPoint,
    TwinRefutation,
    TwinSummary,
)
from results.verdicts import INVARIANT, foreseen, refuted, verdict

# What the median error of a server may be, and a point's error where no noise hides it.
BOUNDS: dict[str, dict[Metric, float]] = {
    "cost": {"cpu_per_publication": 0.05},
    "structure": {"p50": 0.05, "p95": 0.10, "p99": 0.15, "last_p50": 0.10, "last_p95": 0.15},
    "blind": {
        "throughput": 0.05, "p50": 0.10, "p95": 0.15, "p99": 0.15, "last_p50": 0.15,
        "last_p95": 0.15, "cpu": 0.05, "memory": 0.10,
    },
    "bracketed": {
        "cpu_per_publication": 0.05, "throughput": 0.05, "p50": 0.10, "p95": 0.15, "p99": 0.15,
        "last_p50": 0.15, "last_p95": 0.15, "cpu": 0.05, "memory": 0.10,
    },
    "given_pace": {
        "cpu_per_publication": 0.05, "throughput": 0.05, "p50": 0.10, "p95": 0.15, "p99": 0.15,
        "last_p50": 0.15, "last_p95": 0.15, "cpu": 0.05,
    },
}  # fmt: skip
LOOSER = {("prosody", level, "p99"): 0.25 for level in ("blind", "bracketed", "given_pace")}
# Of several servers that share a core, and of a grid that was changed after its costs were fitted.
LOOSE: dict[Metric, float] = {
    "cpu_per_publication": 0.15, "cpu": 0.15, "throughput": 0.10, "memory": 0.20, "p50": 0.20,
    "p95": 0.30, "p99": 0.40, "last_p50": 0.30, "last_p95": 0.30,
}  # fmt: skip
CHANGED = " (changed)"
# Beyond, latencies are shown but not scored.
UTILISATION_MAX = {"blind": 0.7, "bracketed": 0.7, "given_pace": 0.7, "structure": 0.85}
SATURATED = 0.97
PUBLICATIONS_MIN = 400  # for a p99, of all repeats
PLANNED_MIN = 100  # of the plan
REPEATS_MIN = 3  # to know how far they are from each other
AT_ANY_LOAD = ("throughput", "memory", "cpu_per_publication")


def bound(server: str, level: str, metric: Metric) -> float:
    """What the error of a metric may be. [1]

    `server` is a kind, several joined by `+`, either with `CHANGED` behind it.
    """
    if "+" in server or server.endswith(CHANGED):
        return LOOSE[metric]
    return LOOSER.get((server, level, metric), BOUNDS[level][metric])


def point(evidence: PointEvidence, facts: Mapping[str, object]) -> TwinPoint:
    """One load, compared: from what is kept of its sides.

    Parameters
    ----------
    evidence : PointEvidence
        Predicted and measured side, the model told the run's own cost, and told the pace of its
        cores; all but the first are None where no measurement is valid, the last also where no
        pace is known.
    facts : mapping
        What else is said of it: load, server, subscribers, payload_bytes, ledger, generator,
        runs, and `invalid`, the reasons why no measurement counts.
    """
    server, predicted = str(facts["server"]), evidence["predicted"]
    used = max(predicted["used"].values())
    measured, structure = evidence["measured"], evidence["structure"]
    blind = compared(predicted, measured, "blind", server, used)
    given = compared(structure, measured, "structure", server, used)
    paced = compared(evidence.get("given_pace"), measured, "given_pace", server, used)
    ahead, of_them = bracketed(evidence)
    near = max(ahead["used"].values()) if ahead else used
    beside = compared(ahead, of_them, "bracketed", server, near)
    invalid = [str(why) for why in cast(Sequence[object], facts["invalid"])]
    made: dict[str, object] = {name: facts[name] for name in facts if name != "invalid"}
    made |= {
        "utilisation": used,
        "repeats": len(measured["runs"]) if measured else 0,
        "structure": given,
        "given_pace": paced,
        "bracketed": beside,
        "slowdown": slowdown(evidence),
        "verdict": verdict(blind, invalid),
        "verdict_given_pace": verdict(paced, invalid) if paced else None,
        "verdict_bracketed": verdict(beside, invalid) if beside else None,
    }
    made |= {str(name): error for name, error in blind.items()}
    return cast(TwinPoint, {**rounded(made), "evidence": evidence})


def bracketed(kept: PointEvidence) -> tuple[Evidence | None, Evidence | None]:
    """What was predicted of runs just before each, together, and those runs; None where of none."""
    measured, ahead = kept["measured"], kept.get("bracketed", [])
    if not measured or not ahead:
        return None, None
    numbers = [kept["begun"].index(each["begun"]) for each in ahead]
    return together([each["predicted"] for each in ahead]), chosen(measured, numbers)


def slowdown(evidence: PointEvidence) -> float | None:
    """How many times as long the same work took as at the pace for which the costs hold. [1]

    The mean over the measured runs; None where a pace is not known.
    """
    measured = evidence["measured"]
    paces = measured.get("pace_per_s", []) if measured else []
    if not paces or not (reference := evidence["predicted"].get("pace_per_s")):
        return None
    exponent = evidence.get("pace_exponent", pacing.EXPONENT_BEFORE)
    return float(np.mean([pacing.slowdown(pace, reference[0], exponent) for pace in paces]))


def compared(
    predicted: Evidence | None, measured: Evidence | None, level: str, server: str, used: float
) -> dict[Metric, MetricError]:
    """Every metric of both sides, its error, its noise, and whether it is fit to be scored.

    Where each measured repeat has a prediction of its own, of the model told its pace or its cost,
    noise is what is between the repeats beyond that.
    """
    if predicted is None:
        return {}
    ours = samples(predicted)
    theirs = samples(measured) if measured else {}
    found: dict[Metric, MetricError] = {}
    for name in METRICS:
        limit = BOUNDS[level].get(name, BOUNDS["cost"].get(name))
        if limit is None:
            continue
        if name in BOUNDS[level]:
            limit = bound(server, level, name)
        a, b = ours[name], theirs.get(name, Sample(math.nan, reason="not measured"))
        known = math.isfinite(a.value) and math.isfinite(b.value) and b.value > 0.0
        repeats = len(measured["runs"]) if measured else 0
        own = 1 < repeats == len(predicted["runs"])
        noise = noise_floor(_over(b, a) if own else b) if repeats > 1 else None
        publications = measured["publications"] if measured else 0
        found[name] = {
            "predicted": a.estimate(),
            "measured": b.estimate(),
            "error": a.value / b.value - 1.0 if known else None,
            "bound": limit,
            "inside_interval": _inside(a, b, own) if known else None,
            "noise_floor": noise,
            "not_scored": _why_not(name, level, limit, used, publications, repeats, noise, known),
        }
    return found


def noise_floor(measured: Sample) -> float | None:
    """How far two such measurements, of as many repeats each, would be from each other. [1]

    The mean difference between two repeats, over the root of their number.
    """
    repeats = measured.parts
    if len(repeats) < 2 or not np.isfinite(repeats).all():
        return None
    middle = float(np.mean(repeats))
    pairs = [abs(a - b) for a, b in itertools.combinations(repeats.tolist(), 2)]
    between = float(np.mean(pairs)) / math.sqrt(len(repeats))
    return between / middle if middle > 0.0 else None


def _over(measured: Sample, predicted: Sample) -> Sample:
    """Each repeat over what was predicted of it; no parts where they are not of the same runs."""
    if len(measured.parts) != len(predicted.parts):
        return Sample(measured.value)
    with np.errstate(divide="ignore", invalid="ignore"):
        return Sample(measured.value / predicted.value, measured.parts / predicted.parts)


def _why_not(
    name: Metric, level: str, limit: float, used: float, publications: int, repeats: int,
    noise: float | None, known: bool,
) -> str:  # fmt: skip
    """Why a metric does not count for the scores; empty where it does.

    Repeats are of one plan, which the prediction knows: for a 99th percentile all of them together
    have publications enough if the plan has some.
    """
    if not known:
        return "no figure on one side"
    if name == "throughput" and used < SATURATED:
        return INVARIANT
    most = UTILISATION_MAX[level]
    if name not in AT_ANY_LOAD and used > most:
        return f"predicted {used:.0%} busy, above {most:.0%}"
    few = _few_publications(publications, repeats) if name == "p99" else ""
    return few or _noisy(noise, limit, repeats)


def _few_publications(planned: int, repeats: int) -> str:
    """Why they do not tell a p99; empty where they do."""
    if planned < PLANNED_MIN:
        return f"{planned} planned publications, {PLANNED_MIN} needed"
    if planned * repeats < PUBLICATIONS_MIN:
        return f"{planned * repeats} publications, {PUBLICATIONS_MIN} needed"
    return ""


def _noisy(noise: float | None, limit: float, repeats: int) -> str:
    """Why the noise is too much, or unknown; empty where neither."""
    if repeats < REPEATS_MIN:
        return f"{repeats} of {REPEATS_MIN} repeats: how far they are from each other is luck"
    if noise is None:
        return "how far repeats are from each other is not known"
    if noise <= limit / 2:
        return ""
    return f"such measurements differ by {noise:.1%}, more than half the bound"


def _inside(predicted: Sample, measured: Sample, paired: bool) -> bool | None:
    """Whether 1 lies in the joint 95 % interval of predicted over measured."""
    joint = statistics.ratio(measured, predicted, paired=paired)
    if joint["low"] is None or joint["high"] is None:
        return None
    return bool(joint["low"] <= 1.0 <= joint["high"])


def summary(
    points: Sequence[TwinPoint],
    drift: Estimate | None = None,
    at_equal_pace: Estimate | None = None,
) -> TwinSummary:
    """All points together, by server and level: median, 90th percentile and worst error.

    Parameters
    ----------
    points : sequence of TwinPoint
        Of one validation or of several.
    drift : Estimate, optional
        What the same light load cost after the runs, over before. [1]
    at_equal_pace : Estimate, optional
        The same at equal pace of the cores. [1]
    """
    valid = [each for each in points if each["repeats"]]
    names = sorted({each["server"] for each in points})
    servers = {
        name: scores(name, [each for each in valid if each["server"] == name]) for name in names
    }
    verdicts = [each["verdict"]["verdict"] for each in points]
    found = {
        "points": len(points),
        "verdicts": {name: verdicts.count(name) for name in ("agrees", "disagrees", "invalid")},
        "servers": servers,
        "causes": causes.named(valid, drift, at_equal_pace),
    }
    return cast(TwinSummary, rounded(found))


def scores(server: str, points: Sequence[TwinPoint]) -> Scored:
    """One server's points: each level, each metric."""
    levels: Scored = {"cost": {}, "structure": {}, "blind": {}}
    if any(each["bracketed"] for each in points):
        levels["bracketed"] = {}
    if any(each["given_pace"] for each in points):
        levels["given_pace"] = {}
    for level, metrics in BOUNDS.items():
        if level not in levels:
            continue
        for metric in metrics:
            errors = [
                errors_of(each, level)[metric]
                for each in points
                if metric in errors_of(each, level)
            ]
            levels[level][metric] = _score(errors, bound(server, level, metric))  # type: ignore[literal-required]
    return levels


def barred(point: TwinPoint, why: str, steady: bool) -> TwinPoint:
    """The point scored where each run tells of the machine itself: bracketed, and at equal pace.

    At equal pace, and structure that was told pace and cost of each repeat, only where the machine
    was `steady` but for its pace. What is off otherwise tells nothing.
    """
    kept = dict(point)
    for name in METRICS:
        if name in point:
            kept[name] = _for_nothing(point[name], why)
    structure = point["evidence"]["structure"]
    own = structure is not None and len(structure["runs"]) == point["repeats"] > 1
    if not (own and steady and point["given_pace"]):
        kept["structure"] = {name: _for_nothing(e, why) for name, e in point["structure"].items()}
    if not steady:
        kept["given_pace"] = {name: _for_nothing(e, why) for name, e in point["given_pace"].items()}
    return cast(TwinPoint, kept)


def _for_nothing(error: MetricError, why: str) -> MetricError:
    return {**error, "not_scored": error["not_scored"] or why}


def errors_of(point: TwinPoint, level: str) -> dict[Metric, MetricError]:
    """The errors of a point at a level."""
    if level == "structure":
        return point["structure"]
    if level == "given_pace":
        return point["given_pace"]
    if level == "bracketed":
        return point["bracketed"]
    return {name: point[name] for name in METRICS if name in point}


def _score(errors: Sequence[MetricError], limit: float) -> Score:
    counted = [error for error in errors if not error["not_scored"]]
    off = [abs(error["error"]) for error in counted if error["error"] is not None]
    inside = [e["inside_interval"] for e in counted if e["inside_interval"] is not None]
    floors = [error["noise_floor"] for error in errors if error["noise_floor"] is not None]
    every = [abs(error["error"]) for error in errors if error["error"] is not None]
    return {
        "points": len(off),
        "not_scored": len(errors) - len(off),
        "median_error": float(np.median(off)) if off else None,
        "p90_error": float(np.quantile(off, 0.9)) if off else None,
        "worst": max(off, default=None),
        "inside_interval": sum(inside) / len(inside) if inside else None,
        "noise_floor": float(np.median(floors)) if floors else None,
        "bound": limit,
        "median_of_all": float(np.median(every)) if every else None,
    }


def refutations(points: Sequence[TwinPoint]) -> list[TwinRefutation]:
    """Where the model fails: every figure that was predicted and is off, by how much, and why.

    As it was predicted before all runs, just before each, and given the pace of the cores.
    """
    return [
        cast(
            TwinRefutation,
            rounded(
                {
                    "server": each["server"],
                    "load": each["load"],
                    "utilisation": each["utilisation"],
                    "metric": name,
                    **({level: True} if level != "blind" else {}),
                    "error": error["error"],
                    "bound": error["bound"],
                    "noise_floor": error["noise_floor"],
                    "cause": causes.of_metric(each, name, level != "blind"),
                }
            ),
        )
        for each in points
        if each["repeats"]
        for level in ("blind", "bracketed", "given_pace")
        for name, error in errors_of(each, level).items()
        if foreseen(name, error) and refuted(error)
    ]
