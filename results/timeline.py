"""How a run goes over time, replications averaged, and how soon it recovers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from results.run import Run
from results.statistics import FloatArray, Sample

SLOWED = 2.0  # recovered: mean latency within this factor of what it was before
TIMELY = 0.95  # and at least this share of what was timely before


@dataclass(frozen=True)
class Timeline:
    """Rates and levels in each of K intervals; replications averaged."""

    phase: npt.NDArray[np.str_]
    start_s: FloatArray
    end_s: FloatArray
    offered_per_s: FloatArray
    legitimate_per_s: FloatArray
    throughput_per_s: FloatArray
    goodput_per_s: FloatArray
    latency_s: FloatArray  # mean of the copies intended in the interval and delivered; nan if none
    utilisation: dict[str, FloatArray]
    backlog_copies: dict[str, FloatArray]
    memory_bytes: dict[str, FloatArray]


def timeline(run: Run, replication: int | None = None, until_s: float = np.inf) -> Timeline:
    """The run's timeline, of one replication or averaged over all, whole or up to an instant."""
    table = run.intervals
    rows = table["start_s"] < until_s
    if replication is not None:
        rows &= table["replication"] == replication
    interval = table["interval"][rows].astype(np.int64)
    numbers, first = np.unique(interval, return_index=True)
    place = np.searchsorted(numbers, interval)
    start_s, end_s = (table[name][rows][first] for name in ("start_s", "end_s"))
    replications = len(np.unique(table["replication"][rows]))
    seconds = (end_s - start_s) * replications

    def total(column: str, controller: str | None = None) -> FloatArray:
        weights = table[column][rows].astype(np.float64)
        if controller is not None:
            weights = weights * (table["controller"][rows] == controller)
        return np.bincount(place, weights=weights, minlength=len(numbers)).astype(np.float64)

    controllers = run.header.controllers
    with np.errstate(invalid="ignore", divide="ignore"):
        latency_s = total("latency_sum_s") / total("latency_count")
    return Timeline(
        phase=table["phase"][rows][first],
        start_s=start_s,
        end_s=end_s,
        offered_per_s=total("offered") / seconds,
        legitimate_per_s=total("offered_legitimate") / seconds,
        throughput_per_s=total("delivered") / seconds,
        goodput_per_s=total("timely") / seconds,
        latency_s=latency_s,
        utilisation={
            name: total("busy_s", name) / seconds / controller.usable_cores
            for name, controller in controllers.items()
        },
        backlog_copies={n: total("backlog_copies_max", n) / replications for n in controllers},
        memory_bytes={n: total("memory_bytes_max", n) / replications for n in controllers},
    )


def recovery(run: Run, phase: str) -> Sample:
    """Time from a phase's end until the run is as it was in its first measured phase. [s]

    Recovered is the first interval after the phase whose mean latency is at most `SLOWED` times,
    and whose timely deliveries per publication are at least `TIMELY` times, those of the first
    measured phase, or within what 95 % of its intervals saw: traffic may come in pulses. The answer
    is as coarse as the intervals are long.
    """
    end_s = next(p.end_s for p in run.header.phases if p.name == phase)
    calm = next(p.name for p in run.header.phases if p.measured)
    parts = []
    for replication in np.unique(run.intervals["replication"]):
        line = timeline(run, int(replication))
        with np.errstate(invalid="ignore", divide="ignore"):
            timely = line.goodput_per_s / line.legitimate_per_s
        before = line.phase == calm
        after = np.arange(len(before)) > np.flatnonzero(line.phase == phase)[-1]
        quick = line.latency_s <= max(
            SLOWED * _mean(line.latency_s[before]), _quantile(line.latency_s[before], 0.95)
        )
        ample = timely >= TIMELY * min(_mean(timely[before]), _quantile(timely[before], 0.05))
        back = np.flatnonzero(after & quick & ample)
        parts.append(max(line.start_s[back[0]] - end_s, 0.0) if len(back) else np.inf)
    missing = int(np.isinf(parts).sum())
    reason = f"unbounded: not recovered at the end in {missing} of {len(parts)} replications"
    return Sample(float(np.mean(parts)), np.array(parts), 0.0, reason if missing else "")


def _quantile(values: FloatArray, q: float) -> float:
    """Quantile of what is known; nan of nothing."""
    known = values[np.isfinite(values)]
    return float(np.quantile(known, q)) if len(known) else np.nan


def _mean(values: FloatArray) -> float:
    """Mean of what is known; nan of nothing."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else np.nan
