"""Closed forms of the queues that a grid is made of: waits, batches, several servers, bounds.

Symbols: lambda is `rate_per_s` [1/s], S the service time [s], rho = lambda E[S] the load. Means are
infinite from rho = 1 (for several cores, rho = cores) on.

References
----------
.. [1] L. Kleinrock, "Queueing Systems, Volume 1: Theory," 1975, chapter 5.
.. [2] M. L. Chaudhry and J. G. C. Templeton, "A First Course in Bulk Queues," 1983, section 3.2.
.. [3] A. O. Allen, "Probability, Statistics, and Queueing Theory," 1990, section 5.4.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist


@dataclass(frozen=True)
class Moments:
    """First two moments of a random time or size."""

    mean: float
    square: float

    @property
    def variance(self) -> float:
        """Second central moment."""
        return max(self.square - self.mean**2, 0.0)

    @property
    def scv(self) -> float:
        """Squared coefficient of variation; 0 for what is always 0. [1]"""
        return self.variance / self.mean**2 if self.mean else 0.0


ONE = Moments(1.0, 1.0)


def constant(value: float) -> Moments:
    """Moments of a constant."""
    return Moments(value, value**2)


def geometric(mean: float) -> Moments:
    """Moments of a geometric size, 1 or more."""
    return Moments(mean, 2.0 * mean**2 - mean)


def compound(count: Moments, each: Moments) -> Moments:
    """Moments of a sum of `count` independent terms."""
    mean = count.mean * each.mean
    return Moments(mean, count.mean * each.variance + count.square * each.mean**2)


def cut_lognormal(mean: float, cv: float, most: float) -> Moments:
    """Moments of min(X, most), X log-normal with this mean and coefficient of variation.

    With ln X normal (m, s), E[X^k; X < most] = E[X^k] Phi((ln most - m) / s - k s).
    """
    if cv == 0.0:
        return constant(min(mean, most))
    s = math.sqrt(math.log1p(cv**2))
    limit = math.log(most / mean) / s + 0.5 * s
    normal = NormalDist()
    above = normal.cdf(-limit)
    return Moments(
        mean * normal.cdf(limit - s) + most * above,
        (1.0 + cv**2) * mean**2 * normal.cdf(limit - 2.0 * s) + most**2 * above,
    )


@dataclass(frozen=True)
class Flow:
    """Jobs at `rate_per_s` that come in Poisson batches of `batch` and take `service` each."""

    rate_per_s: float
    batch: Moments
    service: Moments


def batch_wait_s(flows: Sequence[Flow]) -> float:
    """Mean wait of a job in M^X/G/1 that several flows share; M/G/1 where batches are of one.

    A batch waits as one job with all its service would in M/G/1: lambda E[B^2] / (2 (1 - rho)),
    [1]_ eq. 5.70. A job waits also for those before it in its batch, (E[X^2] - E[X]) / (2 E[X]) on
    average [2]_. [s]
    """
    rate = rho = square = before = 0.0
    for flow in flows:
        size, jobs_per_s = flow.batch, flow.rate_per_s
        rate += jobs_per_s
        rho += jobs_per_s * flow.service.mean
        square += jobs_per_s / size.mean * compound(size, flow.service).square
        others = (size.square - size.mean) / (2.0 * size.mean)
        before += jobs_per_s * others * flow.service.mean
    return square / (2.0 * (1.0 - rho)) + before / rate if rho < 1.0 else math.inf


def erlang_c(load: float, cores: int) -> float:
    """Probability that an arrival waits in M/M/c; `load` is lambda E[S]. [1]_ eq. 3.40. [1]"""
    if load >= cores:
        return 1.0
    blocked = 1.0  # Erlang's B by its recursion: B(0) = 1, B(c) = a B(c-1) / (c + a B(c-1))
    for core in range(1, cores + 1):
        blocked = load * blocked / (core + load * blocked)
    return cores * blocked / (cores - load * (1.0 - blocked))


def mgc_wait_s(rate_per_s: float, service: Moments, cores: int) -> float:
    """Mean wait in M/G/c: that of M/M/c times (1 + cv^2) / 2; exact for M/M/c and one core.

    [3]_ eq. 5.4.3. [s]
    """
    load = rate_per_s * service.mean
    if load >= cores:
        return math.inf
    wait_s = erlang_c(load, cores) * service.mean / (cores - load)
    return 0.5 * (1.0 + service.scv) * wait_s


def ps_sojourn_s(rate_per_s: float, work_s: float, service_s: float) -> float:
    """Mean time to get `work_s` of one's own work done in M/G/1 with processor sharing.

    work / (1 - rho), whatever the distribution (Kleinrock 1967). [s]
    """
    rho = rate_per_s * service_s
    return work_s / (1.0 - rho) if rho < 1.0 else math.inf


def mm1_quantile_s(rate_per_s: float, service_s: float, q: float) -> float:
    """q-quantile of the sojourn in M/M/1, which is exponential with mean E[S] / (1 - rho). [s]"""
    rho = rate_per_s * service_s
    return -math.log1p(-q) * service_s / (1.0 - rho) if rho < 1.0 else math.inf
