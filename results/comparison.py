"""Two runs side by side: what differs, by how much, and whether that is more than chance.

Where replications of both sides played the same plan (equal hashes) they are compared pair by pair,
so that a difference is the system's and not the dice's; else both count as independent (Welch).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

from results import statistics
from results.documents import (
    Change,
    Comparison,
    PhaseComparison,
    Prediction,
    PredictionError,
    Side,
    rounded,
)
from results.figures import Figures, Unit, measured_phases, units
from results.records import RecordError
from results.run import Run
from results.statistics import Sample

Runs = Run | Sequence[Run]


def compare(a: Runs, b: Runs) -> Comparison:
    """Every figure of `b` against `a`, phase by phase; differences are b - a, ratios b / a.

    Parameters
    ----------
    a, b : Run or sequence of Run
        Runs of one topology on each side; their replications are pooled.

    Raises
    ------
    RecordError
        The sides have not the same kind of study, the same deadline and a phase in common.
    """
    sides = _runs(a), _runs(b)
    _refuse_incomparable(*sides)
    only_a, only_b, paired = pairs(*sides)
    common = [name for name in measured_phases(sides[0][0]) if name in measured_phases(sides[1][0])]
    phases = [
        _phase(name, Figures(sides[0], [name], only_a), Figures(sides[1], [name], only_b), paired)
        for name in common
    ]
    document: Comparison = {
        "a": _side(sides[0], only_a),
        "b": _side(sides[1], only_b),
        "paired": paired,
        "phases": phases,
        "warnings": [warning for side in sides for run in side for warning in _warnings(run)],
    }
    return cast(Comparison, rounded(document))


def pairs(a: Sequence[Run], b: Sequence[Run]) -> tuple[list[Unit], list[Unit], bool]:
    """The replications to compare, and whether they pair: those with a common plan, else all."""
    plans_a, plans_b = _by_plan(a), _by_plan(b)
    common = [plan for plan in plans_a if plan in plans_b]
    if common:
        return [plans_a[plan] for plan in common], [plans_b[plan] for plan in common], True
    return units(a), units(b), False


def _by_plan(runs: Sequence[Run]) -> dict[str, Unit]:
    """Replications by the plan they played; none where a plan was played twice or is not known."""
    found: dict[str, Unit] = {}
    for run in runs:
        own = units([run])
        if len(own) != len(run.header.plan_sha256):
            return {}
        for plan, unit in zip(run.header.plan_sha256, own, strict=True):
            if plan in found:
                return {}
            found[plan] = unit
    return found


def _runs(side: Runs) -> list[Run]:
    return [side] if isinstance(side, Run) else list(side)


def _refuse_incomparable(a: Sequence[Run], b: Sequence[Run]) -> None:
    if not a or not b:
        raise RecordError("a comparison needs a run on both sides")
    for side in (a, b):
        if len({(run.header.topology.sha256, run.header.origin) for run in side}) > 1:
            names = ", ".join(run.header.run_id for run in side)
            raise RecordError(f"{names}: runs of one side must be of one topology and origin")
    one, other = a[0].header, b[0].header
    place = f"{one.run_id} and {other.run_id}"
    refuse_unlike(place, (one.study, other.study), (one.deadline_s, other.deadline_s))
    if not set(measured_phases(a[0])) & set(measured_phases(b[0])):
        raise RecordError(
            f"{place}: no phase in common: {', '.join(measured_phases(a[0]))} against "
            f"{', '.join(measured_phases(b[0]))}"
        )


def refuse_unlike(place: str, studies: tuple[str, str], deadlines_s: tuple[float, float]) -> None:
    """Refuse two sides whose figures mean different things, if need be before they are run.

    Raises
    ------
    RecordError
        One is a campaign and the other a steady study, or their deadlines differ.
    """
    one, other = studies
    if one != other:
        raise RecordError(
            f"{place}: {one} and {other} studies do not compare; set workload.study alike"
        )
    if deadlines_s[0] != deadlines_s[1]:
        raise RecordError(
            f"{place}: goodput counts deliveries within {deadlines_s[0]:g} s and "
            f"{deadlines_s[1]:g} s; set slo.deadline alike and run again"
        )


def _warnings(run: Run) -> list[str]:
    verdict = run.header.verdict
    if verdict.valid:
        return []
    return [f"{run.header.run_id} is not valid: {'; '.join(verdict.reasons)}"]


def _side(runs: Sequence[Run], only: Sequence[Unit]) -> Side:
    header = runs[0].header
    return {
        "run_ids": [run.header.run_id for run in runs],
        "origin": header.origin,
        "topology": header.topology.name,
        "replications": len(only),
    }


def _phase(name: str, a: Figures, b: Figures, paired: bool) -> PhaseComparison:
    def change(one: Sample, other: Sample) -> Change:
        return {
            "a": one.estimate(),
            "b": other.estimate(),
            "difference": statistics.difference(one, other, paired=paired),
            "ratio": statistics.ratio(one, other, paired=paired),
        }

    latency_a, latency_b = a.latency(), b.latency()
    controllers = [name for name in a.controllers if name in b.controllers]
    return {
        "name": name,
        "offered_load_per_s": change(a.rate("offered"), b.rate("offered")),
        "throughput_per_s": change(a.rate("delivered"), b.rate("delivered")),
        "goodput_per_s": change(a.rate("timely"), b.rate("timely")),
        "latency_s": {
            "p50": change(latency_a.sample(0.5), latency_b.sample(0.5)),
            "p99": change(latency_a.sample(0.99), latency_b.sample(0.99)),
            "p999": change(latency_a.sample(0.999), latency_b.sample(0.999)),
        },
        "utilisation": {n: change(a.utilisation(n), b.utilisation(n)) for n in controllers},
    }


def prediction_error(predicted: Runs, measured: Runs) -> Prediction:
    """How far a simulated run is off a measured one, over their measured phases.

    Where both played the same plan, only that plan's replications are taken. Intervals are over
    replications; for a single one, over ten equal stretches of time: rates from the run's
    intervals, quantiles from the publications' first and last copies (see `latencies.Latency`).
    """
    only_predicted, only_measured, _ = pairs(_runs(predicted), _runs(measured))
    one = Figures(_runs(predicted), only=only_predicted)
    other = Figures(_runs(measured), only=only_measured)
    latencies = one.latency(), other.latency()
    quantiles = {
        statistics.name(q): _error(latencies[0].sample(q), latencies[1].sample(q))
        for q in (0.5, 0.95, 0.99)
    }
    document = {
        "throughput": _error(one.rate("delivered"), other.rate("delivered")),
        **quantiles,
        "cpu": _error(one.busy(), other.busy()),
        "cpu_per_publication": _error(one.busy_per_publication(), other.busy_per_publication()),
        "utilisation": _error(one.busiest(), other.busiest()),
    }
    return cast(Prediction, rounded(document))


def _error(predicted: Sample, measured: Sample) -> PredictionError:
    known = math.isfinite(predicted.value) and math.isfinite(measured.value)
    return {
        "predicted": predicted.estimate(),
        "measured": measured.estimate(),
        "error": predicted.value / measured.value - 1.0 if known and measured.value else None,
    }
