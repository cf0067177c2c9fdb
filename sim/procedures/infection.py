"""An item that takes over the Platforms that read it and have a flaw; these publish it further.

Every Platform receives one Topic; those that publish do so on a Topic at random. Steps of one
second: each publisher that is taken over sends its Poisson number of items, each of which takes
over all vulnerable Platforms of its Topic at once, or first a few that are watched: if one of
these is noticed before the others' time has come, the item is stopped. Where nothing is held, the
alarm only tells: nobody stands between publishers and the others who could stop it.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from sim.procedures.outcome import Occasion, Outcome, curve, since
from topologies.procedures import Infection

AXES: Final = ("time [s]", "share of the Platforms taken over [1]")
REASONS: Final = {"p99_s": "nothing waits", "goodput_per_s": "traffic goes on"}


def play(procedure: Infection, occasion: Occasion) -> Outcome:
    """One replication."""
    n, draw = procedure.platforms, occasion.stream("platforms")
    topic = draw.integers(0, procedure.topics, n)
    vulnerable = draw.random(n) < procedure.vulnerable
    publishes = draw.random(n) < (0.0 if procedure.read_only else procedure.publishers)
    first_few = draw.random(n) < procedure.first_few
    noticed_after_s = draw.exponential(procedure.alarm, n)
    mended_s = np.full(n, np.inf)
    if procedure.patch is not None:
        mended_s = draw.exponential(1.0 / procedure.patch, n)
    taken_s = np.full(n, np.inf)
    taken_s[0] = 0.0  # the first publisher, whatever its rights
    publishes[0] = True
    chance = occasion.stream("items")
    alarm_s, later = math.inf, []  # later: (instant, topic) of items for the others
    shares = []
    for second in range(int(procedure.duration)):
        now_s = float(second)
        active = int(((taken_s <= now_s) & publishes & (mended_s > now_s)).sum())
        alarm_s = min(alarm_s, float((taken_s + noticed_after_s)[1:].min()))
        stopped = procedure.first_few < 1.0 and now_s >= alarm_s
        for about in chance.integers(0, procedure.topics, chance.poisson(procedure.pace * active)):
            if chance.random() < procedure.validated or stopped:
                continue
            reached = (topic == about) & first_few
            _take(taken_s, reached & vulnerable & (mended_s > now_s), now_s)
            later.append((now_s + procedure.held, int(about)))
        due = [about for at_s, about in later if at_s <= now_s]
        later = [each for each in later if each[0] > now_s]
        for about in due if not stopped else []:
            _take(taken_s, (topic == about) & vulnerable & (mended_s > now_s), now_s)
        shares.append(float((taken_s <= now_s).mean()))
    return Outcome(
        {
            "taken_over_share": shares[-1],
            "time_to_detect_s": since(0.0, alarm_s if alarm_s < procedure.duration else None),
        },
        curve=curve(range(len(shares)), shares),
    )


def _take(
    taken_s: np.ndarray[tuple[int], np.dtype[np.float64]],
    who: np.ndarray[tuple[int], np.dtype[np.bool_]],
    now_s: float,
) -> None:
    taken_s[who & (taken_s == np.inf)] = now_s
