"""From a designed experiment to a profile's costs, each with its interval or why there is none.

CPU time per publication is linear in its subscribers and their bytes; that is fitted by weighted
least squares, with intervals from resampled stretches. What a cost consists of is told apart by
what else shows: a fan-out's copies leave one write apart; garbage collection makes the cheapest
publications fall into two groups. What nothing shows keeps the share that the base profile gives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from loadtest.collector import Collector
from loadtest.experiment import SIZES_BYTES, Work
from results.statistics import CONFIDENCE, Estimate, Sample, unavailable
from topologies.profiles import FanoutProcess, LoopTurns, Profile

RESAMPLES = 300
GROUP_MIN = 5  # publications with a pause, and without, that tell its length
APART = 1.7  # groups whose means differ by less than so many spreads are one
Floats = npt.NDArray[np.float64]


@dataclass
class Fitted:
    """A profile's costs, what is known of each figure, and what could not be pinned down."""

    costs: LoopTurns | FanoutProcess
    figures: dict[str, Estimate] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Linear:
    """CPU time of a publication: each + byte * size + copies * (copy + copy_byte * size). [s]"""

    each: float
    byte: float
    copy: float
    copy_byte: float

    def cost_s(self, copies: float, size_bytes: float) -> float:
        """Of a publication of that size to so many. [s]"""
        per_copy_s = self.copy + self.copy_byte * size_bytes
        return self.each + self.byte * size_bytes + copies * per_copy_s


def linear(work: Work) -> tuple[Linear, dict[str, Estimate]]:
    """The four figures, never negative, with intervals from resampling the stretches."""
    from scipy.optimize import nnls

    columns = np.column_stack([work.count, work.size_bytes, work.recipients, work.copied_bytes])
    weights = 1.0 / np.sqrt(np.maximum(work.recipients, 1.0))
    scale = np.array([1.0, 1e3, 1.0, 1e3])

    def solve(rows: npt.NDArray[np.int64]) -> Floats:
        matrix = columns[rows] / scale * weights[rows, None]
        solved, _ = nnls(matrix, work.cpu_s[rows] * weights[rows])
        return np.asarray(solved / scale, dtype=np.float64)

    whole = np.arange(len(work.cpu_s))
    values = solve(whole)
    draws = np.random.default_rng(1)
    tries = np.array([solve(draws.choice(whole, len(whole))) for _ in range(RESAMPLES)])
    names = ("each", "byte", "copy", "copy_byte")
    estimates = {
        name: resampled(values[k], tries[:, k], len(whole)) for k, name in enumerate(names)
    }
    return Linear(*map(float, values)), estimates


def resampled(value: float, tries: Floats, n: int) -> Estimate:
    """A figure with the interval that as many tries of resampled data span."""
    low, high = np.quantile(tries, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return {"value": float(value), "low": float(low), "high": float(high), "n": n}


def _mean(values: Floats) -> Estimate:
    return Sample(float(np.mean(values)), np.asarray(values), 0.0).estimate()


def fit(work: Work, base: Profile, seen: Collector | None = None) -> Fitted:
    """The costs of the base profile's discipline as this experiment shows them.

    Parameters
    ----------
    work : Work
        What the publications did cost.
    base : Profile
        Costs that are kept where nothing shows them, as for the sessions of the experiment.
    seen : Collector, optional
        What the garbage collector was seen to do; else it is told from the costs.

    Raises
    ------
    ValueError
        A discipline that no server has.
    """
    if isinstance(base.costs, LoopTurns):
        return _loop_turns(work, base.costs, base.speed, seen)
    if isinstance(base.costs, FanoutProcess):
        return _fanout_process(work, base.costs, base.speed)
    raise ValueError(f"{base.name}: discipline {base.costs.discipline} is of no server")


def _writes(work: Work) -> dict[int, Estimate]:
    """Time between one copy and the next of a lone fan-out, by payload size, of many. [s]"""
    found = {}
    most = np.nanmax(work.fan_out)
    for size in SIZES_BYTES:
        cell = work.cell(most, size)
        gaps_s = (work.last_s[cell] - work.first_s[cell]) / (most - 1.0)
        if len(gaps_s) >= GROUP_MIN:
            middle = float(np.median(gaps_s))
            tries = np.random.default_rng(2).choice(gaps_s, (RESAMPLES, len(gaps_s)))
            found[size] = resampled(middle, np.median(tries, axis=1), len(gaps_s))
    return found


@dataclass(frozen=True)
class Pauses:
    """Collections that fall into lone publications to few: how long, how often. [s], [1]"""

    length: Estimate
    spread: float
    share: Estimate


def pauses(work: Work, size_bytes: float) -> Pauses | None:
    """Two groups of the CPU time of lone publications to few subscribers; None where there is one.

    The split is the one that leaves the least variance within the two groups.
    """
    cell = work.cell(np.nanmin(work.fan_out), size_bytes)
    cost_s = np.sort(work.cpu_s[cell])
    if len(cost_s) < 4 * GROUP_MIN:
        return None
    splits = range(GROUP_MIN, len(cost_s) - GROUP_MIN + 1)
    within = [np.var(cost_s[:k]) * k + np.var(cost_s[k:]) * (len(cost_s) - k) for k in splits]
    at = splits[int(np.argmin(within))]
    low_s, high_s = cost_s[:at], cost_s[at:]
    spread_s = float(np.std(low_s) + np.std(high_s))
    if np.mean(high_s) - np.mean(low_s) < APART * spread_s:
        return None
    n, share = len(cost_s), len(high_s) / len(cost_s)
    half = 1.96 * np.sqrt(share * (1.0 - share) / n)
    length = _mean(high_s - np.mean(low_s))
    relative = float(np.std(high_s, ddof=1)) / float(np.mean(high_s) - np.mean(low_s))
    proportion: Estimate = {
        "value": share, "low": max(share - half, 0.0), "high": min(share + half, 1.0), "n": n,
    }  # fmt: skip
    return Pauses(length, min(relative, 1.0), proportion)


def _pauses(work: Work, base: LoopTurns, fitted: Fitted) -> dict[str, float]:
    """Length and frequency of collections, from the cheapest cells."""
    few = float(np.nanmin(work.fan_out))
    small, large = SIZES_BYTES
    found, often = pauses(work, small), pauses(work, large)
    changes: dict[str, float] = {}
    allocated = few * (1.0 + base.allocation_write) + base.allocation_publish
    if found is not None:
        assert found.length["value"] is not None
        assert found.share["value"] is not None
        fitted.figures |= {"collection": found.length, "collection_share": found.share}
        changes["collection"] = found.length["value"]
        changes["collection_cv"] = round(found.spread, 2)
        changes["collection_every"] = allocated / found.share["value"]
        if often is not None and often.share["value"]:
            more = allocated * often.share["value"] / found.share["value"]
            beyond = (more - allocated) / few / (large - small)
            changes["allocation_per_byte"] = max(beyond, 0.0)
            fitted.figures["collection_share_large"] = often.share
        else:
            fitted.kept["allocation_per_byte"] = "large items do not fall into two groups"
    else:
        fitted.kept["collection"] = (
            "lone publications do not fall into two groups: scaled with the speed"
        )
    return changes


def _loop_turns(work: Work, base: LoopTurns, speed: float, seen: Collector | None) -> Fitted:
    """Prosody: collection as it was seen, writes from the gaps, the rest is building."""
    line, figures = linear(work)
    small, large = SIZES_BYTES
    fitted = Fitted(base, figures)
    changes = _pauses(work, base, fitted) if seen is None else dict(seen.changes)
    if seen is not None:
        fitted.figures |= seen.figures
        fitted.kept |= seen.kept
    changes.setdefault("collection", base.collection * speed)
    costs = base.model_copy(update=changes)
    writes = _writes(work)
    write = writes.get(small, unavailable("too few lone publications to many"))
    fitted.figures["write"] = write
    write_s = write["value"] if write["value"] is not None else base.write * speed
    slope = 0.0
    if large in writes and writes[large]["value"] is not None:
        slope = max(((writes[large]["value"] or 0.0) - write_s) / (large - small), 0.0)
    # What collection takes of each copy, byte and publication, by the allocation that drives it.
    tax_s = costs.collection / costs.collection_every
    plain = tax_s * (1.0 + costs.allocation_write - costs.allocation_per_byte * 400.0)
    build_s = line.copy - plain - (write_s - 400.0 * slope)
    per_byte_s = line.copy_byte - tax_s * costs.allocation_per_byte - slope
    publish_s = line.each - tax_s * costs.allocation_publish - base.acknowledge * speed
    fitted.costs = costs.model_copy(
        update={
            "publish": max(publish_s, 0.0),
            "publish_per_byte": line.byte,
            "build": max(build_s, 0.0),
            "build_per_byte": max(per_byte_s, 0.0),
            "write": max(write_s - 400.0 * slope, 0.0),
            "write_per_byte": slope,
            "acknowledge": base.acknowledge * speed,
            "wake": base.wake,
            "collection_step": max(base.collection_step * speed, 1e-4),
        }
    )
    for name, value in (("build", build_s), ("publish", publish_s)):
        if value <= 0.0:
            fitted.kept[name] = "what the rest leaves for it is not more than nothing: set to 0"
    for name in ("allocation_write", "allocation_publish", "collection_step", "acknowledge", "cv"):
        if name not in fitted.figures:
            fitted.kept.setdefault(name, "not visible from outside: the base profile's")
    return fitted


def _fanout_process(work: Work, base: FanoutProcess, speed: float) -> Fitted:
    """ejabberd: set-up per subscriber from the first copies, the rest in the base's shares."""
    line, figures = linear(work)
    fitted = Fitted(base, figures)
    small, _ = SIZES_BYTES
    lone = work.payload_bytes < 2 * small
    fan_outs = np.unique(work.fan_out[lone & ~np.isnan(work.fan_out)])
    tries = np.array(
        [_slope(work, fan_outs, small, draws) for draws in map(np.random.default_rng, range(100))]
    )
    slope_s = _slope(work, fan_outs, small, None)
    per_subscriber = resampled(slope_s, tries, int(np.count_nonzero(lone)))
    fitted.figures["setup_per_subscriber"] = per_subscriber
    within = 0.0 <= slope_s < line.copy
    if not within:
        slope_s = base.setup_per_subscriber * speed
        fitted.kept["setup_per_subscriber"] = "first copies do not show it: scaled with the speed"
    rest_s, shares = line.copy - slope_s, base.route + base.write
    bytes_s = base.route_per_byte + base.write_per_byte
    finish_s = base.finish * speed
    fitted.costs = base.model_copy(
        update={
            "setup": max(line.each - finish_s, 0.0),
            "setup_per_byte": line.byte,
            "setup_per_subscriber": slope_s,
            "route": rest_s * base.route / shares,
            "write": rest_s * base.write / shares,
            "route_per_byte": line.copy_byte * base.route_per_byte / bytes_s,
            "write_per_byte": line.copy_byte * base.write_per_byte / bytes_s,
            "finish": finish_s,
        }
    )
    fitted.kept["route"] = "only its sum with write is seen: shared as in the base profile"
    for name in ("slice_recipients", "warmth_after", "wake", "finish", "cv"):
        fitted.kept[name] = "not visible from outside: the base profile's"
    return fitted


def _slope(work: Work, fan_outs: Floats, size: float, draws: np.random.Generator | None) -> float:
    """How much later the first copy leaves for each further subscriber; of resampled if asked."""
    middles = []
    for fan_out in fan_outs:
        first_s = work.first_s[work.cell(fan_out, size)]
        if draws is not None and len(first_s):
            first_s = draws.choice(first_s, len(first_s))
        middles.append(float(np.median(first_s)) if len(first_s) else np.nan)
    return float(np.polyfit(fan_outs, middles, 1)[0]) if len(fan_outs) > 1 else np.nan


def crossing(
    miss: Callable[[float], float], low: float, high: float, steps: int = 7
) -> tuple[float, bool]:
    """Where a rising function crosses 0, by bisection; the nearer end, and False, where nowhere."""
    ends = miss(low), miss(high)
    if ends[0] >= 0.0 or ends[1] <= 0.0:
        return (low, False) if abs(ends[0]) <= abs(ends[1]) else (high, False)
    for _ in range(steps):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if miss(middle) > 0.0 else (middle, high)
    return 0.5 * (low + high), True
