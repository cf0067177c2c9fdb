"""Student's t: its distribution and its quantiles.

Written out here because the first result of a small simulation needs one quantile, for which
loading scipy takes a fifth of all its time. With x = v / (v + t^2) and v degrees of freedom,

    P(T <= t) = 1 - I_x(v / 2, 1 / 2) / 2    for t >= 0,

where I is the regularised incomplete beta function, by its continued fraction [1]_.

References
----------
.. [1] NIST Digital Library of Mathematical Functions, 8.17.22; evaluated by the modified Lentz
       algorithm, 3.10(iii).
"""

from __future__ import annotations

import math
from functools import cache

TINY, CLOSE = 1e-300, 1e-15


def distribution(degrees: float, t: float) -> float:
    """Probability that T is at most t, with `degrees` of freedom (more than 0)."""
    if t < 0.0:
        return 1.0 - distribution(degrees, -t)
    return 1.0 - 0.5 * _beta(0.5 * degrees, 0.5, degrees, t * t)


@cache
def quantile(degrees: float, probability: float) -> float:
    """Where the distribution reaches a probability from 1/2 to less than 1.

    By Newton's method from 0: for positive t the distribution is concave, so that steps go up to
    the quantile and never past it.
    """
    t = 0.0
    while (step := (probability - distribution(degrees, t)) / _density(degrees, t)) > CLOSE * t:
        t += step
    return t


def _density(degrees: float, t: float) -> float:
    half = 0.5 * degrees
    scale = _log_ratio(half) - 0.5 * math.log(math.pi * degrees)
    return math.exp(scale - (half + 0.5) * math.log1p(t * t / degrees))


def _log_ratio(half: float) -> float:
    """log(Gamma(half + 1/2) / Gamma(half)); of large numbers by its series, to 15 digits."""
    if half < 50.0:
        return math.lgamma(half + 0.5) - math.lgamma(half)
    return 0.5 * math.log(half) - 1 / (8 * half) + 1 / (192 * half**3) - 1 / (640 * half**5)


def _beta(a: float, b: float, over: float, rest: float) -> float:
    """I_x(a, b), regularised, at x = over / (over + rest); a or b is 1/2."""
    if rest == 0.0:
        return 1.0
    whole = over + rest
    if over * (a + b + 2.0) > (a + 1.0) * whole:  # the fraction converges fast on the other side
        return 1.0 - _beta(b, a, rest, over)
    x = over / whole
    scale = _log_ratio(a + b - 0.5) - 0.5 * math.log(math.pi)
    front = math.exp(scale + a * math.log(x) - b * math.log1p(over / rest)) / a
    return front / _fraction(a, b, x)


def _fraction(a: float, b: float, x: float) -> float:
    """1 + d_1 / (1 + d_2 / (1 + ...)), with the d of DLMF 8.17.22."""
    value, c, d, m = 1.0, 1.0, 0.0, 0
    while True:
        for coefficient in (
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0)),
            (m + 1.0) * (b - m - 1.0) * x / ((a + 2 * m + 1.0) * (a + 2 * m + 2.0)),
        ):
            d = 1.0 / ((1.0 + coefficient * d) or TINY)
            c = (1.0 + coefficient / c) or TINY
            value *= c * d
        if abs(c * d - 1.0) <= CLOSE:
            return value
        m += 1
