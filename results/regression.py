"""A performance gate: is `head` dearer than `base`, beyond a budget and beyond chance?

Base and head are played in pairs on one machine, at once or in alternating order (AB, BA, AB, ...),
so that a machine that drifts moves both. A metric's ratio is head / base: for a cost the median
over pairs of their ratios, for a quantile the quantile of head's merged histogram over base's. Its
interval is a bootstrap over pairs [1]_ (95 %), so what two plays of a pair share cancels. A metric
fails only when its whole interval is beyond the budget, passes only when the whole interval is
within; else pairs are added up to a limit, and then it is inconclusive.

References
----------
.. [1] B. Efron and R. J. Tibshirani, "An Introduction to the Bootstrap," 1993, chapters 13 and 14.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import numpy.typing as npt
from typing_extensions import TypedDict

from results import histogram, pacing
from results.figures import Figures
from results.records import RecordError

if TYPE_CHECKING:
    from results.run import Run

Verdict = Literal["pass", "fail", "inconclusive", "reported", "unavailable"]
Floats = npt.NDArray[np.float64]
RESAMPLES: Final = 1999
CONFIDENCE: Final = 0.95
INVALID_SHARE_MAX: Final = 0.5
QUANTILES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
COSTS: Final = {
    "cpu_s_per_delivery": "server CPU seconds per delivery",
    "memory_bytes": "most memory that the servers held",
    "egress_bytes_per_delivery": "bytes that the servers sent per delivery",
}
DEFAULT_BUDGETS: Final = {"cpu_s_per_delivery": 0.05}
ALIASES: Final = {"cpu": "cpu_s_per_delivery", "memory": "memory_bytes",
                  "bytes": "egress_bytes_per_delivery"}  # fmt: skip


class MetricVerdict(TypedDict):
    """One metric: ratio head / base with its 95 % interval, the budget and the verdict on it."""

    name: str
    ratio: float | None
    low: float | None
    high: float | None
    budget: float | None
    verdict: Verdict


class Invariant(TypedDict):
    """Something that holds or not, whatever the machine: on both sides, over all plays."""

    holds: bool
    base: int
    head: int


class Regression(TypedDict):
    """The document of `gridlab regress --json`."""

    verdict: Literal["pass", "fail", "inconclusive", "invalid"]
    metrics: list[MetricVerdict]
    pairs: int
    at_once: int  # pairs whose sides were played at the same time
    discarded: int
    invariants: dict[str, Invariant]
    reasons: list[str]
    at_equal_pace: bool  # whether CPU time could be compared so
    base: list[str]
    head: list[str]


Play = Callable[[int], "Run"]
PlayPair = Callable[[int], tuple["Run", "Run"]]
Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Limits:
    """How many pairs are played, and the budget of each gated metric. [1]

    None beyond `pairs_min` is begun that would end after `within_s` [s]; nor any at all then, once
    one was not valid.
    """

    pairs_min: int = 6
    pairs_max: int = 14
    within_s: float = math.inf
    budgets: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_BUDGETS))


def read_budgets(texts: Sequence[str]) -> dict[str, float]:
    """Budgets of `--budget p99=5%`: how much dearer head may be, as a share; CPU's is always set.

    Raises
    ------
    RecordError
        Not a metric's name and a share.
    """
    names = (*COSTS, *QUANTILES, *ALIASES)
    budgets = dict(DEFAULT_BUDGETS)
    for text in texts:
        found = re.fullmatch(r"([a-z0-9_]+)=([0-9]+(?:\.[0-9]+)?) ?%", text.strip())
        if found is None or found[1] not in names:
            raise RecordError(
                f'--budget: "{text}": must be a metric and a share in percent; metrics are '
                f"{', '.join(names)}; write for example p99=5%"
            )
        budgets[ALIASES.get(found[1], found[1])] = float(found[2]) / 100.0
    return budgets


@dataclass
class Pairs:
    """What was played so far: valid pairs of runs, and how many plays were discarded."""

    base: list[Run] = field(default_factory=list)
    head: list[Run] = field(default_factory=list)
    discarded: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.base)

    @property
    def at_once(self) -> int:
        """How many were played at the same time on the same cores."""
        generators = [run.header.measurement.get("generator", {}) for run in self.base]
        return sum(each.get("settings", {}).get("beside", 0) > 0 for each in generators)


def in_turn(base: Play, head: Play) -> PlayPair:
    """Pairs of two sides that are played one after the other, in an order that changes."""

    def play(number: int) -> tuple[Run, Run]:
        if number % 2 == 0:
            first = base(number)
            return first, head(number)
        last = head(number)
        return base(number), last

    return play


def regress(
    play: PlayPair, limits: Limits, *, seed: int = 1, progress: Progress | None = None
) -> tuple[Regression, Pairs]:
    """Play pairs until every gated metric is decided, or up to the limit; the verdict.

    Parameters
    ----------
    play : callable
        Plays base and head once each; gets the number of the pair, which both sides shall use as
        the replication, so that both play the same plan.
    limits : Limits
        Numbers of pairs, and budgets.
    seed : int
        Of the bootstrap.
    progress : callable, optional
        Gets the share done and a remark.
    """
    pairs, document, begun_s = Pairs(), None, time.monotonic()
    for number in range(math.ceil(limits.pairs_max * (1.0 + INVALID_SHARE_MAX))):
        if progress is not None:
            progress(len(pairs) / limits.pairs_max, f"pair {len(pairs) + 1}")
        _play_pair(pairs, play, number)
        document = _judged(pairs, limits, seed)
        decided = document["verdict"] in ("pass", "fail")
        used_s = time.monotonic() - begun_s
        late = used_s * (number + 2) / (number + 1) > limits.within_s
        # Pairs of a large grid take long: so many as are needed are played whatever that takes.
        late = late and (len(pairs) >= limits.pairs_min or bool(pairs.discarded))
        if decided or late or len(pairs) == limits.pairs_max:
            break
    assert document is not None
    return document, pairs


def _play_pair(pairs: Pairs, play: PlayPair, number: int) -> None:
    """Play one pair; keep it if both are valid."""
    runs = dict(zip(("base", "head"), play(number), strict=True))
    bad = [
        f"{name} of pair {number + 1}: {'; '.join(run.header.verdict.reasons)}"
        for name, run in runs.items()
        if not run.header.verdict.valid
    ]
    if bad:
        pairs.discarded += bad
        return
    pairs.base.append(runs["base"])
    pairs.head.append(runs["head"])


def _judged(pairs: Pairs, limits: Limits, seed: int) -> Regression:
    """The verdict on the pairs so far."""
    document: Regression = {
        "verdict": "invalid",
        "metrics": [],
        "pairs": len(pairs),
        "at_once": pairs.at_once,
        "discarded": len(pairs.discarded),
        "invariants": {},
        "reasons": list(pairs.discarded),
        "at_equal_pace": False,
        "base": [run.header.run_id for run in pairs.base],
        "head": [run.header.run_id for run in pairs.head],
    }
    if len(pairs) < limits.pairs_min:
        document["reasons"].append(f"only {len(pairs)} of {limits.pairs_min} pairs were valid")
        return document
    paces = relative_paces(pairs)
    document["at_equal_pace"] = paces is not None
    document["metrics"] = metrics(pairs, limits.budgets, seed, paces)
    document["invariants"] = invariants(pairs)
    broken = [name for name, law in document["invariants"].items() if not law["holds"]]
    document["reasons"] += [f"{name}: more often on head than on base" for name in broken]
    verdicts = {each["verdict"] for each in document["metrics"]}
    if broken or "fail" in verdicts:
        document["verdict"] = "fail"
    else:
        undecided = verdicts & {"inconclusive", "unavailable"}
        document["verdict"] = "inconclusive" if undecided else "pass"
    return document


def metrics(
    pairs: Pairs, budgets: Mapping[str, float], seed: int, paces: tuple[Floats, Floats] | None
) -> list[MetricVerdict]:
    """Every metric with its interval; those with a budget are gated, the others reported.

    `paces` of the plays of base and of head are those of `relative_paces`.
    """
    generator = np.random.default_rng(seed)  # of the bootstrap alone: no draw of a model
    chosen = generator.integers(len(pairs), size=(RESAMPLES, len(pairs)))
    sides = (pairs.base, pairs.head)
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


def relative_paces(pairs: Pairs) -> tuple[Floats, Floats] | None:
    """Of each play of base and of head, what a CPU second was worth against the fastest play's. [1]

    None if it is not known of all, or does not matter as pairs were played at once: then CPU
    seconds are compared as they are.
    """
    if pairs.at_once:
        return None
    sides = [[pacing.pace_per_s(run) for run in side] for side in (pairs.base, pairs.head)]
    known = [each for side in sides for each in side if each is not None]
    if not known or len(known) < 2 * len(pairs):
        return None
    worth = [
        [1.0 / pacing.slowdown(each, max(known)) for each in side if each is not None]
        for side in sides
    ]
    return np.array(worth[0]), np.array(worth[1])


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


def invariants(pairs: Pairs) -> dict[str, Invariant]:
    """Nothing lost, doubled or refused more often on head than on base."""
    found: dict[str, Invariant] = {}
    for name in ("lost", "duplicated", "reordered", "rejected"):
        base, head = (
            sum(int(getattr(run.header.counts, name)) for run in side)
            for side in (pairs.base, pairs.head)
        )
        found[f"nothing more {name}"] = {"holds": head <= base, "base": base, "head": head}
    return found
