"""A Broker that looks through rows of rights for each publication: M/G/1 whose service grows.

Service is a + b rows, as was seen on a server that scanned all its rows for each publication. The
rows are one for each Platform and Topic that it has a right on, or, with templates, one for each
template and Topic and one for each Platform.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from sim.procedures.outcome import Occasion, Outcome, curve
from sim.procedures.waiting import departures_s, poisson_s, weighted
from topologies.procedures import PolicyGrowth

AXES: Final = ("rows of rights [1]", "mean latency of a publication [s]")
REASONS: Final = {"collateral": "rights are looked up for all alike"}


def rows(procedure: PolicyGrowth) -> int:
    """Rows that are looked through for each publication."""
    rights = min(procedure.rights, procedure.topics)
    if procedure.templates is None:
        return procedure.platforms * rights
    return procedure.platforms + procedure.templates * rights


def work_s(procedure: PolicyGrowth) -> float:
    """Service of one publication. [s]"""
    return procedure.base + procedure.row * rows(procedure)


def mean_latency_s(rate_per_s: float, service_s: float) -> float:
    """M/D/1: service and Pollaczek-Khinchine's wait; infinite at 1 and beyond. [s]"""
    busy = rate_per_s * service_s
    return service_s + busy * service_s / (2.0 * (1.0 - busy)) if busy < 1.0 else np.inf


def play(procedure: PolicyGrowth, occasion: Occasion) -> Outcome:
    """One replication."""
    draw = occasion.stream("publications")
    arrival_s = poisson_s(draw, procedure.rate, 0.0, procedure.duration)
    service_s = work_s(procedure)
    done_s = departures_s(arrival_s, np.full(len(arrival_s), service_s))
    late = done_s > procedure.duration + 60.0
    latency_s = np.where(late, np.inf, done_s - arrival_s)
    sizes = np.geomspace(100.0, 1e6, 100)
    services_s = procedure.base + procedure.row * sizes
    return Outcome(
        {
            "goodput_per_s": float((latency_s <= occasion.deadline_s).sum()) / procedure.duration,
            "rows": float(rows(procedure)),
            "service_s": service_s,
            "utilisation_share": procedure.rate * service_s,
            "mean_latency_s": float(latency_s.mean()) if not late.any() else np.inf,
        },
        weighted(latency_s),
        curve(sizes, [mean_latency_s(procedure.rate, each) for each in services_s]),
    )
