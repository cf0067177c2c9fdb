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
from dataclasses import dataclass


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


def mg1_wait_s(rate_per_s: float, service: Moments) -> float:
    """Mean wait before service in M/G/1: lambda E[S^2] / (2 (1 - rho)), Pollaczek and Khinchine.

    [1]_ eq. 5.70. [s]
    """
    rho = rate_per_s * service.mean
    return rate_per_s * service.square / (2.0 * (1.0 - rho)) if rho < 1.0 else math.inf


@dataclass(frozen=True)
class BatchSojourn:
    """Mean times from a batch's arrival until its copies are done. [s]"""

    first_s: float
    mean_s: float
    last_s: float


def batch_sojourn_s(
    rate_per_s: float, size: Moments, service: Moments, setup: Moments | None = None
) -> BatchSojourn:
    """Sojourn of the first, the average and the last copy of a batch in M^X/G/1.

    A batch waits as one job of service setup + X copies would in M/G/1; its first copy is done one
    service after that, its last after all X. The copy that an average copy is has
    (E[X^2] - E[X]) / (2 E[X]) others of its batch before it [2]_. [s]

    Parameters
    ----------
    rate_per_s : float
        Batches. [1/s]
    size : Moments
        Copies in a batch.
    service : Moments
        Service of one copy. [s]
    setup : Moments, optional
        Work on the batch before its first copy, independent of the size. [s]
    """
    before = setup or constant(0.0)
    copies = compound(size, service)
    mean_s = before.mean + copies.mean
    batch = Moments(mean_s, before.variance + copies.variance + mean_s**2)
    start_s = mg1_wait_s(rate_per_s, batch) + before.mean
    others = (size.square - size.mean) / (2.0 * size.mean)
    return BatchSojourn(
        first_s=start_s + service.mean,
        mean_s=start_s + (others + 1.0) * service.mean,
        last_s=start_s + size.mean * service.mean,
    )


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
