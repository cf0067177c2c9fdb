"""Work on a core that is slower at some times than at others."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence


class Core:
    """When work is done that begins at some time.

    Parameters
    ----------
    slower : sequence of (float, float)
        From when on [s] work takes how many times as long [1]; what is before the first is as the
        first. Empty: it takes as long as it is throughout.
    """

    def __init__(self, slower: Sequence[tuple[float, float]] = ()) -> None:
        self._from_s = [at_s for at_s, _ in slower] or [0.0]
        self._times = [times for _, times in slower] or [1.0]

    def done_s(self, start_s: float, work_s: float) -> float:
        """The instant at which work of this length is done. [s]"""
        place = max(bisect_right(self._from_s, start_s) - 1, 0)
        while True:
            times = self._times[place]
            place += 1
            until_s = self._from_s[place] if place < len(self._from_s) else math.inf
            end_s = start_s + work_s * times
            if end_s <= until_s:
                return end_s
            work_s -= (until_s - start_s) / times
            start_s = until_s
