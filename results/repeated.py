"""One variant of an attack that was played several times: the medians of its plays.

A machine drifts, and a single play of a second or two may meet a spell in which all is slow: the
median of a few plays hardly minds one. Plays in doubt do not count while there are others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from results import statistics
from results.variants import Measured, Play


def sound(plays: Sequence[Measured]) -> list[Measured]:
    """Those that are not in doubt; all, if all are."""
    return [each for each in plays if not each.doubts] or list(plays)


def together(plays: Sequence[Measured], numbers: Sequence[int] = ()) -> Measured:
    """Medians over the plays that count, a part each; a single play stays as it is.

    Parameters
    ----------
    plays : sequence of Measured
        Of one variant, in the order in which they were played.
    numbers : sequence of int, optional
        The place of each among all plays, from 1 on; the variant then shows each of them.
    """
    if len(plays) == 1:
        return plays[0]
    counted = sound(plays)
    names = dict.fromkeys(name for each in counted for name in each.samples)
    samples = {
        name: statistics.median(
            [each.samples[name].value for each in counted if name in each.samples]
        )
        for name in names
    }
    doubts = dict.fromkeys(doubt for each in counted for doubt in each.doubts)
    shown = [_shown(number, each) for number, each in zip(numbers, plays, strict=bool(numbers))]
    return replace(counted[0], samples=samples, doubts=tuple(doubts), slower=(), plays=tuple(shown))


def _shown(number: int, play: Measured) -> Play:
    figures = {
        name: sample.value if math.isfinite(sample.value) else None
        for name, sample in play.samples.items()
    }
    return {
        "number": number, "figures": figures, "doubts": list(play.doubts), "runs": dict(play.runs),
    }  # fmt: skip
