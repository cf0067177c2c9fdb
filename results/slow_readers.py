"""What Platforms that hardly read cost a server, and those who do read: alike for both sides.

They are the adversary's populations that subscribe. What they do not take grows in the kernel and
then in the server; figures of memory are of the server alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from results import statistics, timeline
from results.run import Run
from results.statistics import FloatArray, Sample


def figures(attacked: Run, calm: Run) -> dict[str, Sample]:
    """Figures of a run with such readers beside one without; none where there are none.

    Parameters
    ----------
    attacked, calm : Run
        With and without them, on the same plan.

    Returns
    -------
    dict of str to Sample
        `held_per_reader_bytes` by which the server's memory grows more for each of them [B];
        `others_p99_s` of the deliveries to all others [s]; `cut_sessions` that the server ended.
    """
    populations = _populations(attacked)
    slow = [each for each in populations if _is_slow(each)]
    count = sum(int(each["count"]) for each in slow)
    if not count:
        return {}
    held = (_growth(attacked) - _growth(calm)) / count
    others = [each["name"] for each in populations if each not in slow]
    histograms = [
        np.sum(
            [attacked.latencies.counts(replication=r, population=name) for name in others], axis=0
        )
        for r in _replications(attacked)
    ]
    return {
        "held_per_reader_bytes": Sample(float(held.mean()), held),
        "others_p99_s": statistics.quantile(histograms, 0.99),
        "cut_sessions": Sample(_cut(attacked), reason="over all replications"),
    }


def _populations(run: Run) -> list[dict[str, Any]]:
    import yaml

    return list(yaml.safe_load(run.header.topology.text)["platforms"])


def _is_slow(population: dict[str, Any]) -> bool:
    return population.get("role") == "adversary" and bool(population.get("subscribes"))


def _replications(run: Run) -> list[int]:
    return [int(each) for each in np.unique(run.intervals["replication"])]


def _growth(run: Run) -> FloatArray:
    """By replication, from the memory at the start to the most while it is published. [B]"""
    found = []
    for replication in _replications(run):
        line = timeline.timeline(run, replication)
        levels = np.sum(list(line.memory_bytes.values()), axis=0)
        levels = levels[: int(np.searchsorted(line.end_s, run.header.duration_s, "right"))]
        found.append(levels.max() - levels[0])
    return np.array(found)


def _cut(run: Run) -> float:
    """Sessions that the server ended, mean over replications. [1]"""
    measurement = run.header.measurement
    if run.header.origin == "measured":
        return float(len(measurement["generator"]["lost_sessions"]))
    ended = measurement.get("sessions", {}).values()
    return float(sum(each.get("cut", 0) for each in ended)) / run.header.replications
