"""Old data is ignored, and clocks are wrong: what is valid and dropped, what is old and taken.

An item of age d is dropped if d + offset > W, where W is the window and the offset is the
receiver's clock less the stamping one's. A replay comes again when it is older.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from sim.procedures.outcome import Floats, Occasion, Outcome, curve
from topologies.procedures import Skew

AXES: Final = ("window [s]", "share of valid items dropped [1]")
REASONS: Final = {"time_to_recover_s": "nothing has to recover"}
PAIRS: Final = 20_000  # pairs of an item and a receiver that are drawn


def play(procedure: Skew, occasion: Occasion) -> Outcome:
    """One replication."""
    draw = occasion.stream("skew")
    standard = draw.standard_normal((4, PAIRS))
    delay_s = _delays_s(procedure, standard[0])
    receiver_s = procedure.offset * standard[1]
    stamp_s = (procedure.broker_offset if procedure.stamp == "broker" else procedure.offset) * (
        standard[2]
    )
    late_s = draw.exponential(procedure.replay_delay, PAIRS)
    travelled_s = delay_s
    if procedure.stamp == "broker":
        travelled_s = 0.5 * delay_s  # stamped half-way, as it passes the Broker
    age_s = travelled_s + receiver_s - stamp_s
    window_s = np.inf if procedure.window is None else procedure.window
    dropped = age_s > window_s
    if procedure.stamp == "broker":
        replayed_age_s = travelled_s + receiver_s - stamp_s  # the Broker stamps it anew
    else:
        replayed_age_s = age_s + late_s
    taken = replayed_age_s <= window_s
    if procedure.known_ids:
        taken &= False
    per_s = procedure.rate * procedure.receivers
    windows = np.geomspace(0.05, 60.0, 80)
    return Outcome(
        {
            "goodput_per_s": per_s * float(1.0 - dropped.mean()),
            "false_drop_share": float(dropped.mean()),
            "stale_accepted_share": float(taken.mean()),
            "stale_accepted_per_s": per_s * procedure.replays * float(taken.mean()),
            "collateral": float(dropped.mean()),
        },
        curve=curve(windows, np.array([(age_s > w).mean() for w in windows])),
    )


def _delays_s(procedure: Skew, standard: Floats) -> Floats:
    """Log-normal delays of the wanted mean and variation. [s]"""
    spread = np.sqrt(np.log1p(procedure.delay_cv**2))
    return np.asarray(procedure.delay * np.exp(spread * standard - 0.5 * spread**2))
