"""Peaks of retries after a server has gone down, as an experiment that was published has them.

All clients fail at one instant, their server stays down, and each tries again as its policy says:
how many do so in the worst 20 ms? The experiment's code could not be had; its nine figures are
those of a first wait of at most a second (of 1 to 3 s for decorrelated jitter, whose base is a
second) without a cap, so that these parameters are inferred. Platforms here are refused after 1 ms.

For full jitter the worst moment is just before a second has passed: 1 + 1/2 + 1/16 + ... of the
clients per second try again then. For equal jitter it is anywhere in the second half of the first
second, with 2 of them per second; for decorrelated jitter the end of the third second, with
1/2 + ln(5/2) / 6. The maximum over many windows is somewhat more.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sim.grid import Grid
from sim.phases import Timetable
from sim.study import Study
from sim.verification_logins import free_logins, logins_alone
from sim.verification_worlds import Effort, Figure
from topologies.plan import Plan
from topologies.schema import Topology

SOURCE = "retrystorm (v-code01 on GitHub): peak retries per 20 ms; parameters inferred"
CLIENTS = 10_000
PEAKS = {"full-jitter": ("0.5 s", 327.0), "equal-jitter": ("0.5 s", 438.0),
         "decorrelated": ("1 s", 150.0)}  # fmt: skip
LENGTH_S, WINDOWS = 3.2, 160
ROUNDED = 0.02  # published as one figure with an interval of its own


def retry_storms(effort: Effort) -> Iterator[Figure]:
    """Most retries of 10,000 clients within 20 ms, for three policies of jitter."""
    seeds = effort.seed * 1000 + np.arange(effort.replications)
    for policy, (base, peak) in PEAKS.items():
        found = np.array([_peak(policy, base, int(seed)) for seed in seeds])
        name = f"retry storm of {CLIENTS:,}, {policy}: peak of 20 ms"
        yield Figure(
            name, peak, found, effort.widened(0.05), fluid_error=ROUNDED, published=(peak, SOURCE)
        )


def _peak(policy: str, base: str, seed: int) -> float:
    topology, profile = _topology(policy, base), free_logins(0.0)
    edges_s = np.linspace(0.0, LENGTH_S, WINDOWS + 1)
    table = Timetable("campaign", edges_s, edges_s[[0, -1]], ("whole",))
    plan = Plan(topology, seed)
    study = Study(topology, table, seed, 0, plan.rows)
    tally = Grid(study, plan, {"c": profile}).run()[0].sessions
    assert tally is not None
    return float(tally.attempts[1:WINDOWS].sum(axis=1).max())  # all try once in the first window


def _topology(policy: str, base: str) -> Topology:
    """All fail at the beginning."""
    retry = {"policy": policy, "base": base, "cap": "1000 s", "first": "0 s", "timeout": "1000 s"}
    fault = {"kind": "crash", "name": "down", "controller": "c", "start": "0 s",
             "duration": f"{LENGTH_S!r} s"}  # fmt: skip
    return logins_alone({"clients": CLIENTS}, "0.5 ms", retry, [fault], LENGTH_S)
