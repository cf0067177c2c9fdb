"""How long Platforms wait before they try again, for all that fail at once.

References
----------
.. [1] M. Brooker, "Exponential Backoff and Jitter," AWS Architecture Blog, 2015: full, equal and
       decorrelated jitter.
"""

from __future__ import annotations

import numpy as np

from sim.state import Floats, Integers
from topologies.schema import Retry

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
