"""Simulated means with their standard errors, for tests against closed forms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import sim
from topologies.profiles import Profile
from topologies.schema import Topology


@dataclass(frozen=True)
class Mean:
    """A mean over replications and its standard error."""

    value: float
    error: float

    def __str__(self) -> str:
        return f"{self.value:.6g} +- {self.error:.2g}"

    def matches(self, expected: float, narrow: float) -> bool:
        """Within four standard errors of `expected`, which are less than `narrow` of it."""
        return abs(self.value - expected) < 4 * self.error < narrow * expected


def mean(values) -> Mean:
    """The mean of independent values."""
    values = np.asarray(values, dtype=float)
    return Mean(float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values))))


@dataclass(frozen=True)
class Measured:
    """Mean latency of first, average and last copy, and utilisation. [s, 1]"""

    first_s: Mean
    mean_s: Mean
    last_s: Mean
    utilisation: Mean


def measure(
    topology: Topology, profile: Profile, replications: int = 24, seed: int = 11
) -> Measured:
    """Simulate a steady study and take means after its first tenth."""
    run = sim.simulate(
        topology, seed=seed, replications=replications, processes=1, profiles={"c": profile}
    )
    rows, intervals = run.publications, run.intervals
    warm_s = 0.1 * run.header.duration_s
    kept = rows["intended_s"] >= warm_s
    inside = (intervals["start_s"] >= warm_s - 1e-9) & (intervals["phase"] != "drain")
    first, average, last, busy = [], [], [], []
    for replication in range(replications):
        own = kept & (rows["replication"] == replication)
        first.append((rows["first_s"] - rows["intended_s"])[own].mean())
        last.append((rows["last_s"] - rows["intended_s"])[own].mean())
        table = {
            name: intervals[name][inside & (intervals["replication"] == replication)]
            for name in ("latency_sum_s", "latency_count", "busy_s")
        }
        average.append(table["latency_sum_s"].sum() / table["latency_count"].sum())
        busy.append(table["busy_s"].sum() / (0.9 * run.header.duration_s))
    return Measured(mean(first), mean(average), mean(last), mean(busy))
