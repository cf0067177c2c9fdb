"""Sizes of batches: fixed, geometric, or with a heavy tail.

A heavy-tailed size is a whole number whose mean is exact: with Y >= 1 real, S = floor(Y + U), U
uniform, has E[S | Y] = Y and P(S >= k) = G(k) - G(k - 1) with G(x) = E[min(Y, x)]. Y - 1 is
log-normal, or of Pareto's second kind (Lomax): P(Y - 1 > y) = (1 + y / lambda)^-tail with
lambda = (mean - 1) (tail - 1). Sizes above `max_size` are cut to it.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from topologies import draws
from topologies.workload import Batch

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Key = tuple[str | int, ...]


def sizes(batch: Batch, key: Key, first: int, last: int) -> Integers:
    """Sizes of the batches first .. last - 1."""
    mean, count = batch.mean_size, last - first
    if batch.distribution == "fixed" or mean == 1.0:
        return np.full(count, round(mean), dtype=np.int64)
    if batch.distribution == "geometric":
        tail = np.log1p(-draws.uniforms((*key, "sizes"), first, count))
        return 1 + np.floor(tail / math.log1p(-1.0 / mean)).astype(np.int64)
    if batch.distribution == "pareto":
        left = 1.0 - draws.uniforms((*key, "sizes"), first, count)
        scale = (mean - 1.0) * (batch.tail - 1.0)
        real = 1.0 + scale * (left ** (-1.0 / batch.tail) - 1.0)
    else:
        spread = math.log1p(batch.cv**2)
        normal = draws.normals((*key, "sizes"), first, count)
        real = 1.0 + (mean - 1.0) * np.exp(math.sqrt(spread) * normal - 0.5 * spread)
    rounding = draws.uniforms((*key, "rounding"), first, count)
    whole = np.floor(np.minimum(real, batch.max_size) + rounding)
    return np.asarray(np.minimum(whole, batch.max_size), dtype=np.int64)


def moments(batch: Batch) -> tuple[float, float]:
    """Mean and mean square of a batch's size."""
    mean = batch.mean_size
    if batch.distribution == "fixed" or mean == 1.0:
        return float(round(mean)), float(round(mean)) ** 2
    if batch.distribution == "geometric":
        return mean, 2.0 * mean**2 - mean
    at_least = np.diff(_mean_below(batch, np.arange(batch.max_size + 1.0)))
    return float(at_least.sum()), float(at_least @ (2.0 * np.arange(batch.max_size) + 1.0))


def _mean_below(batch: Batch, limit: Floats) -> Floats:
    """E[min(Y, x)] for each x. With ln(Y - 1) normal (m, s), as for any cut log-normal mean."""
    over, mean = np.maximum(limit - 1.0, 0.0), batch.mean_size - 1.0
    if batch.distribution == "pareto":
        scale = mean * (batch.tail - 1.0)
        above = mean * (1.0 - (1.0 + over / scale) ** (1.0 - batch.tail))
    else:
        from scipy import special

        s = math.sqrt(math.log1p(batch.cv**2))
        with np.errstate(divide="ignore"):
            place = np.log(over / mean) / s + 0.5 * s
        above = mean * special.ndtr(place - s) + over * special.ndtr(-place)
    return np.asarray(np.minimum(limit, 1.0) + above)
