"""How many connections one source address may open, and in what time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

_KEPT: Final = 65_536  # addresses remembered; those seen longest ago are forgotten first


class Gate:
    """A token bucket for each source address: `connections` at once, refilled within `per_s`.

    The memory is bounded, also against one that comes from ever new addresses.

    Parameters
    ----------
    connections : int
        What an address that was away may open at once. [1]
    per_s : float
        Time in which so many are allowed again. [s]
    clock : callable
        Time now; a test turns it by hand. [s]
    """

    def __init__(
        self, connections: int, per_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._burst = float(connections)
        self._rate_per_s = connections / per_s
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def admits(self, address: str) -> bool:
        """Whether this address may open one more connection now; it is counted if so."""
        now_s = self._clock()
        tokens = self._tokens(address, now_s)
        allowed = tokens >= 1.0
        self._buckets.pop(address, None)
        self._buckets[address] = (tokens - allowed, now_s)
        if len(self._buckets) > _KEPT:
            self._forget(now_s)
        return allowed

    def _tokens(self, address: str, now_s: float) -> float:
        tokens, then_s = self._buckets.get(address, (self._burst, now_s))
        return min(self._burst, tokens + (now_s - then_s) * self._rate_per_s)

    def _forget(self, now_s: float) -> None:
        """Forget the address seen longest ago, and those after it that are whole again."""
        while True:
            del self._buckets[next(iter(self._buckets))]
            oldest = next(iter(self._buckets))
            if self._tokens(oldest, now_s) < self._burst:
                return
