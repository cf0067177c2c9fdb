"""Ratios of what head and base cost, over pairs of their plays, and the verdict on each.

A metric's ratio is head / base: for a cost the median over pairs of their ratios, for a quantile
the quantile of head's merged histogram over base's. Its interval is a bootstrap over pairs [1]_
(95 %), so what two plays of a pair share cancels. A metric fails only when its whole interval is
beyond the budget, and passes only when the whole interval is within.

References
----------
.. [1] B. Efron and R. J. Tibshirani, "An Introduction to the Bootstrap," 1993, chapters 13 and 14.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import numpy.typing as npt
from typing_extensions import TypedDict

from results import histogram
from results.figures import Figures

if TYPE_CHECKING:
    from results.run import Run

Verdict = Literal["pass", "fail", "inconclusive", "reported", "unavailable"]
Floats = npt.NDArray[np.float64]
RESAMPLES: Final = 1999
CONFIDENCE: Final = 0.95
QUANTILES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
COSTS: Final = {
    "cpu_s_per_delivery": "server CPU seconds per delivery",
    "memory_bytes": "most memory that the servers held",
    "egress_bytes_per_delivery": "bytes that the servers sent per delivery",
}


class MetricVerdict(TypedDict):
    """One metric: ratio head / base with its 95 % interval, the budget and the verdict on it."""

    name: str
    ratio: float | None
    low: float | None
    high: float | None
    budget: float | None
    verdict: Verdict


def metrics(
    sides: tuple[Sequence[Run], Sequence[Run]],
    budgets: Mapping[str, float],
    seed: int,
    paces: tuple[Floats, Floats] | None,
) -> list[MetricVerdict]:
    """Every metric with its interval; those with a budget are gated, the others reported.

    Parameters
    ----------
    sides : pair of sequence of Run
        The plays of base and of head, a pair at each place.
    budgets : mapping
        By metric, how much dearer head may be. [1]
    seed : int
        Of the bootstrap.
    paces : pair of ndarray, optional
        What a CPU second was worth in each play of base and of head. [1]
    """
    count = len(sides[0])
    generator = np.random.default_rng(seed)  # of the bootstrap alone: no draw of a model
    chosen = generator.integers(count, size=(RESAMPLES, count))
    found = []
    for name in COSTS:
        base, head = (np.array([cost(name, run) for run in side]) for side in sides)
        if paces is not None and name == "cpu_s_per_delivery":
            base, head = base * paces[0], head * paces[1]
        found.append(_judged_cost(name, base, head, chosen, budgets.get(name)))
    parts = [[Figures([run]).latency().counts for run in side] for side in sides]
    for name, (ratio, ratios) in _quantile_ratios(parts[0], parts[1], chosen).items():
        found.append(_verdict(name, ratio, ratios, budgets.get(name)))
    return found


def judged(name: str, base: Floats, head: Floats, budget: float, *, seed: int = 1) -> MetricVerdict:
    """The gate's verdict on costs that were measured in pairs, whatever they are costs of.

    Parameters
    ----------
    name : str
        The metric's.
    base, head : ndarray, shape (n,)
        A cost of each play, a pair at each place; any unit.
    budget : float
        How much dearer head may be. [1]
    seed : int
        Of the bootstrap.
    """
    chosen = np.random.default_rng(seed).integers(len(base), size=(RESAMPLES, len(base)))
    return _judged_cost(name, base, head, chosen, budget)


def _judged_cost(
    name: str,
    base: Floats,
    head: Floats,
    chosen: npt.NDArray[np.int64],
    budget: float | None,
) -> MetricVerdict:
    ratios = _ratios(base, head)
    resampled: Floats = np.median(ratios[chosen], axis=1)
    return _verdict(name, float(np.median(ratios)), resampled, budget)


def cost(name: str, run: Run) -> float:
    """A figure of `COSTS` of one run over its measured phases; nan where there is none.

    CPU time of a real server is that of the whole run, disturbed seconds included: it is counted,
    not timed, and two plays at once are compared over the same time.
    """
    if name == "cpu_s_per_delivery":
        counted = run.header.measurement.get("server", {}).get("cpu_per_delivery_s")
        if counted is not None:
            return float(counted)
    figures = Figures([run])
    delivered_per_s = figures.rate("delivered").value
    if name == "cpu_s_per_delivery":
        return figures.busy().value / delivered_per_s
    if name == "egress_bytes_per_delivery":
        return figures.rate("egress_bytes").value / delivered_per_s
    return float(sum(figures.memory_bytes_max(each) for each in figures.controllers))


def _ratios(base: Floats, head: Floats) -> Floats:
    """Head over base of each pair; nan where base is nothing."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(base > 0.0, head / base, math.nan)


def _quantile_ratios(
    base: Sequence[histogram.Counts],
    head: Sequence[histogram.Counts],
    chosen: npt.NDArray[np.int64],
) -> dict[str, tuple[float, Floats]]:
    """Ratio of the sides' merged quantiles, and that of every resample of the pairs."""
    weights = np.stack([np.bincount(row, minlength=len(base)) for row in chosen])
    weights = np.concatenate([np.ones((1, len(base)), np.int64), weights])
    sides = [_quantiles(np.stack(list(parts)), weights) for parts in (base, head)]
    found = {}
    for name in QUANTILES:
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = sides[1][name] / sides[0][name]
        found[name] = float(ratios[0]), ratios[1:]
    return found


def _quantiles(parts: npt.NDArray[np.int64], weights: npt.NDArray[np.int64]) -> dict[str, Floats]:
    """Quantiles of each weighted sum of histograms; nan where nothing was delivered. [s]"""
    filled = np.flatnonzero(parts.any(axis=0))
    if not len(filled):
        return dict.fromkeys(QUANTILES, np.full(len(weights), math.nan))
    values_s = histogram.representative_s()[filled]
    # Counts are whole numbers far below 2**53: floats are exact, and their product is fast.
    running = np.cumsum(weights.astype(np.float64) @ parts[:, filled].astype(np.float64), axis=1)
    found = {}
    for name, q in QUANTILES.items():
        rank = np.maximum(np.ceil(q * running[:, -1]), 1.0)
        places = [np.searchsorted(row, each) for row, each in zip(running, rank, strict=True)]
        found[name] = values_s[places]
    return found


def _verdict(name: str, ratio: float, ratios: Floats, budget: float | None) -> MetricVerdict:
    """Where the interval lies about the budget."""
    known = math.isfinite(ratio) and bool(np.isfinite(ratios).all())
    tail = 50.0 * (1.0 - CONFIDENCE)
    low, high = np.percentile(ratios, [tail, 100.0 - tail]).tolist() if known else (None, None)
    verdict: Verdict = "reported"
    if budget is not None:
        if low is None or high is None:
            verdict = "unavailable"
        elif low > 1.0 + budget:
            verdict = "fail"
        else:
            verdict = "pass" if high <= 1.0 + budget else "inconclusive"
    value = ratio if known else None
    return {"name": name, "ratio": value, "low": low, "high": high, "budget": budget,
            "verdict": verdict}  # fmt: skip
