"""How often something is taken over in a year, how long nobody sees it, and what it costs.

Attempts that would succeed come as a Poisson process; hardening, vetting and locks stop shares of
them. While a Controller is in other hands it sees the passwords of whoever logs in with PLAIN, not
those of SCRAM or EXTERNAL; these get new ones afterwards, and an administrator whose credentials
were seen may be impersonated again.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from sim.procedures.outcome import Occasion, Outcome, curve
from topologies.procedures import Breaches

AXES: Final = ("day of the year [1]", "breaches so far [1]")
REASONS: Final = {"p99_s": "nothing waits", "goodput_per_s": "traffic goes on meanwhile"}
DAYS: Final = 365.0


def play(procedure: Breaches, occasion: Occasion) -> Outcome:
    """One year."""
    draw = occasion.stream("breaches")
    tried = draw.poisson(procedure.yearly)
    fate = draw.random((tried, 4))
    passes = fate[:, 0] >= procedure.hardening
    passes &= fate[:, 1] >= procedure.screening
    days = np.sort(fate[passes, 2] * DAYS)
    dwell_s = draw.exponential(procedure.dwell, tried)[passes] * (1.0 - procedure.sensors)
    seen = procedure.accounts * -np.expm1(-procedure.logins * dwell_s / procedure.accounts)
    exposed = float(np.minimum(procedure.plain * seen, procedure.accounts).sum())
    again = (fate[passes, 3] < procedure.reused) & (not procedure.one_time)
    return Outcome(
        {
            "breaches_per_year": float(passes.sum()),
            "controlled_days": float(dwell_s.sum()) / 86_400.0,
            "exposed_credentials": exposed,
            "repeated_per_year": float(again.sum()),
            "reissue_h": exposed / procedure.reissued_per_hour,
            "time_to_detect_s": float(dwell_s.mean()) if len(dwell_s) else np.nan,
        },
        curve=curve([0.0, *days, DAYS], [*range(len(days) + 1), len(days)]),
    )
