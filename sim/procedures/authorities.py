"""A certificate for somebody it was not meant for, and how it is found and shut out.

Platforms meet the false Controller one after another and believe it, unless they accept one
certificate alone. It is found by those who watch logs of certificates or by the authority itself;
then Platforms may stop trusting the authority, each when its new trust list arrives, which also
shuts out true Controllers that have no certificate of another one's yet.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from sim.procedures.outcome import Floats, Occasion, Outcome, curve
from topologies.procedures import Authorities

AXES: Final = ("time [s]", "share of the Platforms at the false Controller [1]")
REASONS: Final = {"p99_s": "nothing waits", "goodput_per_s": "see the Platform hours shut out"}


def play(procedure: Authorities, occasion: Occasion) -> Outcome:
    """One replication."""
    n, end_s = procedure.platforms, procedure.duration
    draw = occasion.stream("platforms")
    pinned = draw.random(n) < procedure.pinned
    met_s = np.where(pinned, np.inf, draw.exponential(procedure.meets, n))
    known_s = _known_s(procedure, occasion.stream("watch"))
    listed_s = known_s + draw.exponential(procedure.push, n)
    left_s = listed_s if procedure.remove else np.full(n, np.inf)
    fooled_s = (np.minimum(left_s, end_s) - np.minimum(met_s, end_s)).clip(0.0)
    without_s = _shut_out_s(procedure, listed_s, occasion.stream("renewal"))
    rotated_s = _waiting_s(procedure, pinned, occasion.stream("administrator"))
    mitigated_s = float(np.quantile(np.where(met_s < left_s, left_s, 0.0), 0.99, method="higher"))
    ends = np.linspace(0.0, end_s, 200)
    at_false = [float(((met_s <= t) & (left_s > t)).mean()) for t in ends]
    return Outcome(
        {
            "exposed_platform_h": float(fooled_s.sum()) / 3600.0,
            "shut_out_platform_h": float(without_s.sum() + rotated_s.sum()) / 3600.0,
            "fooled_share": float((fooled_s > 0.0).mean()),
            "collateral": float(((without_s + rotated_s) > 0.0).mean()),
            "time_to_detect_s": known_s if known_s < end_s else math.inf,
            "time_to_mitigate_s": mitigated_s if mitigated_s < end_s else math.inf,
        },
        curve=curve(ends, at_false),
    )


def _known_s(procedure: Authorities, draw: np.random.Generator) -> float:
    """When anybody finds out. [s]"""
    told_s, watched_s = draw.exponential(procedure.told_after), math.inf
    seen_s = draw.exponential(1.0)
    if procedure.watched is not None:
        watched_s = seen_s * procedure.watched
    return min(math.inf if procedure.unknown_to_it else told_s, watched_s)


def _shut_out_s(procedure: Authorities, listed_s: Floats, draw: np.random.Generator) -> Floats:
    """How long each Platform trusts no authority of its Controller's. [s]"""
    n, end_s = procedure.platforms, procedure.duration
    renewed = draw.random(n) < procedure.renewed
    new_s = draw.exponential(procedure.renewal, n)
    if not procedure.remove:
        return np.zeros(n)
    until_s = np.minimum(listed_s.min() + new_s, end_s)
    return np.asarray(np.where(renewed, 0.0, (until_s - np.minimum(listed_s, end_s)).clip(0.0)))


def _waiting_s(
    procedure: Authorities, pinned: np.ndarray[tuple[int], np.dtype[np.bool_]],
    draw: np.random.Generator,
) -> Floats:  # fmt: skip
    """How long those that accept one certificate wait for somebody to admit the next. [s]"""
    n = procedure.platforms
    waits_s = draw.exponential(procedure.consulted, n)
    if procedure.rotation is None:
        return np.zeros(n)
    left_s = max(procedure.duration - procedure.rotation, 0.0)
    return np.asarray(np.where(pinned, np.minimum(waits_s, left_s), 0.0))
