"""What a server's first work after a rest costs more, fitted on a light load.

Caches go cold while it rests: other guests of the machine, and the loop that keeps its core awake,
put their own in. Of a Prosody with 50 subscribers the last copy left 0.1 ms later than the model
had it where the server had rested for some two milliseconds, 1 ms after ten, 2.5 ms after fifty and
more (2026-11-27). A mean over all publications hides that: a loaded server hardly rests.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from results import pacing
from topologies.profiles import Fifo, Profile

if TYPE_CHECKING:
    from results import Run

Floats = npt.NDArray[np.float64]
PUBLICATIONS_MIN: Final = 100  # that found the server at rest; fewer tell nothing
PUBLICATIONS_MAX: Final = 2_000  # of which the slopes of all pairs are taken


def further(profiles: Mapping[str, Profile], told: Run, measured: Run) -> dict[str, Profile]:
    """Profiles whose first work after a rest costs as much more as a light load showed.

    Of a grid of one server; another's first copies are not all its own. What the profile has of it
    already is in what the model was told.

    Parameters
    ----------
    profiles : mapping of str to Profile
        Those of the server.
    told : Run
        The model's answer on the plan of the light load, told when the cores were how fast.
    measured : Run
        The light load.
    """
    if len(profiles) > 1:
        return dict(profiles)
    ((name, profile),) = profiles.items()
    if isinstance(profile.costs, Fifo):
        return {name: profile}
    slower = profile.speed * _usual_slowness(profile, name, measured)
    further_s = excess_s(told, measured, profile.costs.cold_after) / slower
    return {name: put(profile, max(of(profile) + further_s, 0.0))}


def of(profile: Profile) -> float:
    """What its first work after a long rest costs more. [s]"""
    return 0.0 if isinstance(profile.costs, Fifo) else profile.costs.cold


def put(profile: Profile, cold_s: float) -> Profile:
    """The profile, but first work after a long rest costs so much more; not of a `fifo`. [s]"""
    if isinstance(profile.costs, Fifo) or cold_s == of(profile):
        return profile
    costs = profile.costs.model_copy(update={"cold": cold_s})
    return profile.model_copy(update={"costs": costs})


def excess_s(told: Run, measured: Run, after_s: float) -> float:
    """How much later last copies leave after a long rest than the model says, than after none. [s]

    The median slope of how late each is in how cold the server was (Theil and Sen), as publications
    in slow spells are late by far more; zero where its 95 % interval has zero in it. After a rest
    of `after_s` a server is 1 - 1/e as cold as it gets. [s]
    """
    from scipy import stats

    intended_s, last_s = _last(measured)
    begun_s, expected_s = _last(told)
    replications = len(begun_s) // max(len(intended_s), 1)
    if not replications or len(begun_s) != replications * len(intended_s):
        return 0.0
    expected_s = np.median(expected_s.reshape(replications, -1), axis=0)
    before_s = np.fmax.accumulate(intended_s + last_s)[:-1]  # some have no copy
    rest_s = intended_s[1:] - before_s
    known = np.flatnonzero((rest_s > 0.0) & np.isfinite(last_s[1:] + expected_s[1:]))
    if len(known) < PUBLICATIONS_MIN:
        return 0.0
    known = known[:: -(-len(known) // PUBLICATIONS_MAX)]
    cold = -np.expm1(-rest_s[known] / after_s)
    slope = stats.theilslopes((last_s - expected_s)[1:][known], cold, alpha=0.95)
    return float(slope.slope) if slope.low_slope > 0.0 or slope.high_slope < 0.0 else 0.0


def _last(run: Run) -> tuple[Floats, Floats]:
    """Intended instants and last copies' latencies of a run's publications, replication after
    replication, each in order of the instants. [s]
    """
    rows: Mapping[str, Any] = run.publications
    order = np.lexsort((rows["intended_s"], rows["replication"]))
    return rows["intended_s"][order], (rows["last_s"] - rows["intended_s"])[order]


def _usual_slowness(profile: Profile, name: str, measured: Run) -> float:
    """How much slower the server's core was half of the time than its costs hold for. [1]"""
    steps = pacing.steps(measured).get(name)
    if not steps or profile.pace_per_s is None:
        return 1.0
    edges_s = np.array([*(begin_s for begin_s, _ in steps), measured.header.duration_s])
    paces = np.array([pace for _, pace in steps])
    order = np.argsort(paces)
    until = np.cumsum(np.diff(edges_s)[order])
    usual = paces[order][np.searchsorted(until, 0.5 * until[-1])]
    return pacing.slowdown(float(usual), profile.pace_per_s)
