"""Why a prediction is off, as far as the points tell: costs, discipline, pauses, or queueing.

Each is looked for where nothing else shows. *Costs*: CPU time per publication, wherever it was
measured, at equal pace of the cores where that is known: what is off only because the machine was
slower or faster meanwhile is the *machine*'s. *Discipline*: when a fan-out's first copy leaves
against its last, at the lowest load, which no cost changes. *Pauses*: how much later than most the
late publications are complete, at the lowest load, where nothing queues. *Queueing*: latencies that
are still off under load once the model is told the run's own cost.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from results import histogram
from results.evidence import Metric, counts_of
from results.statistics import Estimate
from results.twin_documents import Cause, MetricError, TwinPoint

COST = 0.05
SPAN = 0.2  # of the time to the last subscriber: Prosody's copies leave in the last fifth
TAIL = 1.3
DRIFT, DRIFT_MAX = 0.05, 0.15
NOISE = 0.15  # of a tail, above which it tells nothing
QUIET = 0.5  # utilisation up to which the lowest load tells about single publications
ENDS_MIN = 20  # publications that a tail needs


def named(
    points: Sequence[TwinPoint],
    drift: Estimate | None = None,
    at_equal_pace: Estimate | None = None,
) -> list[Cause]:
    """What the points tell about the model, the clearest first; nothing where all is well.

    Where the same light load did not cost the same before and after the runs (`drift`), the machine
    comes first: an error in costs of that size is none of the model's. Where it is large, nothing
    else can be told, unless it did cost the same `at_equal_pace`.
    """
    found: list[Cause] = []
    if points and (why := _drifted(drift, DRIFT)):
        found.append({"server": points[0]["server"], "cause": "machine", "why": why})
        if unsteady(drift) and (at_equal_pace is None or unsteady(at_equal_pace)):
            return found
    for server in sorted({each["server"] for each in points}):
        own = sorted(
            (each for each in points if each["server"] == server), key=lambda p: p["utilisation"]
        )
        found += [
            cause
            for look in (_machine, _costs, _discipline, _pauses, _queueing)
            for cause in look(own)
        ]
    return found


def unsteady(drift: Estimate | None) -> str:
    """Why a validation tells nothing: its machine was another one at the end. Empty if not."""
    return _drifted(drift, DRIFT_MAX)


def _drifted(drift: Estimate | None, most: float) -> str:
    value = drift["value"] if drift else None
    if value is None or abs(value - 1.0) <= most:
        return ""
    return f"the same light load cost {value - 1.0:+.0%} after the runs"


def of_metric(point: TwinPoint, metric: Metric, told: bool = False) -> str:
    """Which of them a figure that is off is owed to, as far as the point itself tells.

    The machine is none where the model was `told` of it: its pace, or a light load just before. It
    is one where a figure of the model that was told agrees; from a light load only where that
    figure is scored: one within its bound that noise could have put there tells nothing.
    """
    if metric == "memory":
        return "memory"
    ahead = point["bracketed"].get(metric)
    scored = ahead is not None and not ahead["not_scored"]
    if not told and (_within(point["given_pace"].get(metric)) or (scored and _within(ahead))):
        return "machine"  # at the pace of its cores, or from a light load just before, it agrees
    if metric in ("cpu", "cpu_per_publication", "throughput") or _within(
        point["structure"].get(metric)
    ):
        return "costs"  # with the run's own cost it agrees
    if point["utilisation"] > QUIET:
        return "queueing"
    if _discipline([point]):
        return "discipline"
    return "pauses" if _pauses([point]) else "not explained"


def _within(error: MetricError | None) -> bool:
    off = error["error"] if error else None
    return error is not None and off is not None and abs(off) <= error["bound"]


def _machine(points: Sequence[TwinPoint]) -> list[Cause]:
    """Costs that are off as predicted, by no more than the pace of the cores has moved them."""
    slower = [each["slowdown"] for each in points if each["slowdown"] is not None]
    if not slower or abs(_median(points, paced=False)) <= COST:
        return []
    middle, left = float(np.median(slower)) - 1.0, _median(points, paced=True)
    if abs(middle) <= COST:
        return []
    side = "more" if middle > 0.0 else "less"
    why = (
        f"the same work took its cores {abs(middle):.0%} {side} time than when its costs were "
        f"measured; at equal pace, CPU per publication is off by {left:+.0%}"
    )
    return [_cause(points, "machine", why)]


def _costs(points: Sequence[TwinPoint]) -> list[Cause]:
    paced = all(each["given_pace"] for each in points)
    middle = _off(points, paced)
    if not middle:
        return []
    side = "more" if middle > 0.0 else "less"
    at = "at equal pace of the cores, " if paced else ""
    why = f"{at}predicted CPU per publication is {abs(middle):.0%} {side} than measured"
    return [_cause(points, "costs", why)]


def _off(points: Sequence[TwinPoint], paced: bool) -> float:
    """The median error of CPU per publication; 0 where it is small, or noise hides it. [1]"""
    floors = [floor for each in _cost_errors(points, paced) if (floor := each["noise_floor"])]
    middle = _median(points, paced)
    floor = max(COST, float(np.median(floors)) if floors else 0.0)
    return middle if abs(middle) > floor else 0.0


def _median(points: Sequence[TwinPoint], paced: bool) -> float:
    errors = [error for each in _cost_errors(points, paced) if (error := each["error"])]
    return float(np.median(errors)) if errors else 0.0


def _cost_errors(points: Sequence[TwinPoint], paced: bool) -> list[MetricError]:
    """Errors of CPU per publication, as predicted or given the pace."""
    if paced:
        return [each["given_pace"]["cpu_per_publication"] for each in points if each["given_pace"]]
    return [each["cpu_per_publication"] for each in points]


def _discipline(points: Sequence[TwinPoint]) -> list[Cause]:
    for point in _quiet(points):
        predicted, measured = point["evidence"]["predicted"], point["evidence"]["measured"]
        spans = [side["span"] if side else None for side in (predicted, measured)]
        if spans[0] is None or spans[1] is None or abs(spans[0] - spans[1]) <= SPAN:
            return []
        why = (
            f"copies of a publication leave over the last {spans[1]:.0%} of the time to the last "
            f"subscriber, where {spans[0]:.0%} was predicted"
        )
        return [_cause(points, "discipline", why)]
    return []


def _pauses(points: Sequence[TwinPoint]) -> list[Cause]:
    for point in _quiet(points):
        noise = point["last_p95"]["noise_floor"]
        if noise is None or noise > NOISE:
            return []
        tails = []
        for side in (point["evidence"]["structure"], point["evidence"]["measured"]):
            if side is None or side["publications"] < ENDS_MIN:
                return []
            late = counts_of(side, "last")
            tails.append(histogram.quantile(late, 0.9) / histogram.quantile(late, 0.1))
        ratio = tails[1] / tails[0]
        if not np.isfinite(ratio) or 1.0 / TAIL <= ratio <= TAIL:
            return []
        lack = "has pauses that the model lacks" if ratio > 1.0 else "lacks pauses of the model"
        why = (
            f"the server {lack}: until its last copy, a slow publication (p90) takes "
            f"{tails[1]:.2g} times as long as a quick one (p10), where {tails[0]:.2g} was predicted"
        )
        return [_cause(points, "pauses", why)]
    return []


def _queueing(points: Sequence[TwinPoint]) -> list[Cause]:
    off = {
        metric: error["error"]
        for each in points
        for metric, error in each["structure"].items()
        if not error["not_scored"]
        and error["error"] is not None
        and abs(error["error"]) > error["bound"]
        and each["utilisation"] > QUIET / 2
        and metric != "memory"
    }
    if not off:
        return []
    worst = max(off, key=lambda metric: abs(off[metric]))
    why = f"with the run's own cost, {worst} under load is still off by {off[worst]:+.0%}"
    return [_cause(points, "queueing", why)]


def _quiet(points: Sequence[TwinPoint]) -> list[TwinPoint]:
    """The point of the lowest load, if it is quiet and was measured."""
    return [
        each for each in points[:1] if each["utilisation"] <= QUIET and each["evidence"]["measured"]
    ]


def _cause(points: Sequence[TwinPoint], cause: str, why: str) -> Cause:
    return {"server": points[0]["server"], "cause": cause, "why": why}
