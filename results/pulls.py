"""Herds that fetch what an item refers to, in figures: alike for simulated and for real ones.

Of one replication both sides know the histogram of latencies (from the intended instant until a
subscriber holds the payload), when each item was held by all, and what was sent. What follows from
that is computed here, once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from results import histogram, statistics
from results.statistics import Sample
from results.variants import Curve, thinned

AXES: Final = ("time since the item [s]", "share of the subscribers that hold it [1]")


@dataclass(frozen=True)
class Herds:
    """One replication.

    Parameters
    ----------
    latency : Counts
        From the intended instant until the payload is held; never counts as infinite. [s]
    all_there_s : sequence of float
        By item, until the last subscriber holds it; infinite where one never does. [s]
    timely : int
        Payloads that were held within the deadline.
    publisher_bytes, broker_bytes : float
        That Publishers and Broker have sent, for each item. [B]
    """

    latency: histogram.Counts
    all_there_s: Sequence[float]
    timely: int
    publisher_bytes: float
    broker_bytes: float


def figures(herds: Sequence[Herds], duration_s: float) -> dict[str, Sample]:
    """What came of the herds; the parts are the replications.

    Parameters
    ----------
    herds : sequence of Herds
        The replications.
    duration_s : float
        Of each. [s]

    Returns
    -------
    dict of str to Sample
        `p99_s` and `p50_s` of the latency; `all_there_s`, mean over the items; `goodput_per_s`;
        `late_share`, not within the deadline, and `lost_share`, never; bytes of an item.
    """
    expected = [max(int(each.latency.sum()), 1) for each in herds]
    by_name = {
        "all_there_s": [float(np.mean(each.all_there_s)) for each in herds],
        "goodput_per_s": [each.timely / duration_s for each in herds],
        "late_share": [1.0 - e.timely / n for e, n in zip(herds, expected, strict=True)],
        "lost_share": [
            e.latency[histogram.UNDELIVERED] / n for e, n in zip(herds, expected, strict=True)
        ],
        "publisher_bytes": [each.publisher_bytes for each in herds],
        "broker_bytes": [each.broker_bytes for each in herds],
    }
    latencies = [each.latency for each in herds]
    quantiles = {name: statistics.quantile(latencies, q) for name, q in
                 (("p99_s", 0.99), ("p50_s", 0.5))}  # fmt: skip
    return quantiles | {name: _mean(values) for name, values in by_name.items()}


def _mean(values: Sequence[float]) -> Sample:
    parts = np.array(values)
    reason = "" if np.isfinite(parts).all() else "unbounded: some never hold it"
    return Sample(float(parts.mean()), parts, 0.0, reason)


def curve(herds: Sequence[Herds]) -> Curve:
    """Share of the subscribers that hold an item, by the time since it was due."""
    counts = np.sum([each.latency for each in herds], axis=0)
    filled = np.flatnonzero(counts)
    filled = filled[filled != histogram.UNDELIVERED]
    held = np.cumsum(counts[filled]) / counts.sum()
    x = [0.0, *histogram.representative_s()[filled].tolist()]
    return thinned(x, [0.0, *held.tolist()])
