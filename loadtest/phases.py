"""Stretches of a measured run: what counts, and what was cut out because of the generator."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from results.records import Phase

if TYPE_CHECKING:
    from loadtest.engine import Played
    from loadtest.verdict import Second
    from topologies.schema import Topology

WARM_UP_S = 3.0
WARM_UP_SHARE = 0.1
LIMITED = "limited"
CUTS_MAX = 15


def usual_warm_up_s(topology: Topology) -> float:
    """What does not count at the beginning of a steady study, measured or predicted for it. [s]"""
    return min(WARM_UP_S, WARM_UP_SHARE * topology.workload.duration)


def phases(played: Played) -> tuple[Phase, ...]:
    """Warm-up and steady part, or a campaign's parts, as far as they were played; the drain."""
    workload, end_s = played.topology.workload, played.played_s
    if played.script and played.script.phases:
        parts = list(played.script.phases)
    elif workload.study == "steady":
        warm_up_s = played.settings.warm_up_s
        if warm_up_s is None:
            warm_up_s = usual_warm_up_s(played.topology)
        parts = [("warm-up", 0.0, warm_up_s), ("steady", warm_up_s, end_s)]
    else:
        parts = _campaign(played.topology, end_s)
    passed = [
        Phase(name=name, start_s=start_s, end_s=min(stop_s, end_s), measured=name != "warm-up")
        for name, start_s, stop_s in parts
        if start_s < min(stop_s, end_s)
    ]
    harvest = played.harvest
    last_ns = max(
        int(harvest.received.received_ns.max(initial=0)), int(harvest.answered_ns.max(initial=0))
    )
    drained_s = (last_ns - played.start_ns) / 1e9
    if drained_s > end_s:
        passed.append(Phase(name="drain", start_s=end_s, end_s=drained_s, measured=False))
    return tuple(passed)


def _campaign(topology: Topology, end_s: float) -> list[tuple[str, float, float]]:
    """Before, during and after the attacks, taken together."""
    if not topology.attacks:
        return [("whole", 0.0, end_s)]
    start_s = min(attack.start for attack in topology.attacks)
    stop_s = max(attack.start + attack.duration for attack in topology.attacks)
    return [("before", 0.0, start_s), ("during", start_s, stop_s), ("after", stop_s, math.inf)]


def without_limited(
    whole: Sequence[Phase], judged: Sequence[Second], latency_s: float
) -> tuple[Phase, ...]:
    """The same stretches with the seconds cut out in which the generator was the limit.

    What was published in such a second, and so shortly before it that it was still on its way, is
    kept under the phase `limited`, which does not count. A phase that is cut in two has two
    stretches of its name. Where nothing would be left that counts, nothing is cut: such a run is
    invalid.

    Parameters
    ----------
    whole : sequence of Phase
        One after another.
    judged : sequence of Second
        The run's seconds.
    latency_s : float
        How long most deliveries take; at most a second is cut before a limited one. [s]
    """
    before_s = min(latency_s, 1.0)
    cuts = _merged([(s.second - before_s, s.second + 1.0) for s in judged if s.exceeded])
    parts: list[Phase] = []
    for phase in whole:
        parts += _cut(phase, cuts) if phase.measured else [phase]
    return tuple(parts) if any(each.measured for each in parts) else tuple(whole)


def _merged(cuts: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The cuts, ascending, those that touch as one; at most `CUTS_MAX`, the nearest ones joined."""
    while True:
        joined: list[tuple[float, float]] = []
        for start_s, end_s in cuts:
            if joined and start_s <= joined[-1][1]:
                joined[-1] = (joined[-1][0], end_s)
            else:
                joined.append((start_s, end_s))
        if len(joined) <= CUTS_MAX:
            return joined
        gaps = [later[0] - earlier[1] for earlier, later in itertools.pairwise(joined)]
        place = gaps.index(min(gaps))
        cuts = [*joined[:place], (joined[place][0], joined[place + 1][1]), *joined[place + 2 :]]


def _cut(phase: Phase, cuts: Sequence[tuple[float, float]]) -> list[Phase]:
    parts: list[Phase] = []
    at_s = phase.start_s
    for cut_start_s, cut_end_s in cuts:
        start_s, end_s = max(cut_start_s, at_s), min(cut_end_s, phase.end_s)
        if start_s >= end_s:
            continue
        if start_s > at_s:
            parts.append(phase.model_copy(update={"start_s": at_s, "end_s": start_s}))
        parts.append(Phase(name=LIMITED, start_s=start_s, end_s=end_s, measured=False))
        at_s = end_s
    if at_s < phase.end_s:
        parts.append(phase.model_copy(update={"start_s": at_s}))
    return parts
