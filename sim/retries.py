"""How long Platforms wait before they try again, for all that fail at once.

References
----------
.. [1] M. Brooker, "Exponential Backoff and Jitter," AWS Architecture Blog, 2015: full, equal and
       decorrelated jitter.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sim.state import Floats, Integers
from topologies.schema import Population, Retry

EXPONENT_MAX = 60  # beyond it base * 2^n has long met every cap


def waits_s(retry: Retry, failures: Integers, before_s: Floats, uniform: Floats) -> Floats:
    """Wait of each Platform after its last failed attempt.

    Parameters
    ----------
    retry : Retry
        The policy.
    failures : ndarray of int
        Attempts that failed since the session was lost, the last one included.
    before_s : ndarray
        The wait before; `base` before the first. [s]
    uniform : ndarray
        One uniform draw on [0, 1) each.

    Returns
    -------
    ndarray
        [s]
    """
    top_s = np.minimum(retry.cap, retry.base * np.exp2(np.minimum(failures, EXPONENT_MAX)))
    match retry.policy:
        case "fixed":
            return np.full(len(failures), retry.base)
        case "exponential":
            return np.asarray(top_s)
        case "full-jitter":
            return np.asarray(uniform * top_s)
        case "equal-jitter":
            return np.asarray(0.5 * top_s + uniform * (0.5 * top_s))
        case "memoryless":
            return np.minimum(retry.cap, -retry.base * np.log1p(-uniform))
        case "decorrelated":
            spread_s = 3.0 * before_s - retry.base
            return np.minimum(retry.cap, retry.base + uniform * spread_s)


class Waits:
    """The waits of all Platforms, one after another; remembered where a policy needs it.

    Parameters
    ----------
    people : sequence of Population
        The populations, in the topology's order.
    count : int
        Platforms of all of them.
    """

    def __init__(self, people: Sequence[Population], count: int) -> None:
        self._retries = [each.retry for each in people]
        self._base_s = np.array([each.base for each in self._retries])
        needed = any(each.policy == "decorrelated" for each in self._retries)
        self._last_s = np.zeros(count if needed else 0)

    def forget(self, platform: Integers, population: npt.NDArray[np.uint16]) -> None:
        """The next wait of these Platforms is their first."""
        if len(self._last_s):
            self._last_s[platform] = self._base_s[population]

    def after(
        self, platform: Integers, population: npt.NDArray[np.uint16], failures: Integers,
        uniform: Floats,
    ) -> tuple[Floats, npt.NDArray[np.bool_]]:  # fmt: skip
        """How long Platforms wait after so many failures, and which of them try again at all."""
        wait_s, again = np.zeros(len(platform)), np.ones(len(platform), np.bool_)
        for number in np.unique(population):
            retry, own = self._retries[number], population == number
            before_s = self._last_s[platform[own]] if len(self._last_s) else wait_s[own]
            wait_s[own] = waits_s(retry, failures[own], before_s, uniform[own])
            again[own] = failures[own] < retry.attempts
        if len(self._last_s):
            self._last_s[platform] = wait_s
        return wait_s, again
