"""Knees and scaling: where throughput flattens, latency climbs, and more machines help no more.

References
----------
.. [1] L. Kleinrock, "Power and deterministic rules of thumb for probabilistic problems in computer
   communications," ICC 1979: the knee is where throughput over latency is greatest.
.. [2] N. J. Gunther, "Guerrilla Capacity Planning," 2007, eq. 4.31: the Universal Scalability Law.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from results.statistics import CONFIDENCE, Estimate, Sample

Floats = npt.NDArray[np.float64]
USED_MAX = 0.9
CURVE_POINTS_MIN = 3
FAR = 100.0  # times the largest size: what is said to be there is said of nothing seen


def law(sizes: Floats, one: float, contention: float, coherency: float) -> Floats:
    """Throughput of N machines [2]_: one N / (1 + contention (N - 1) + coherency N (N - 1))."""
    return np.asarray(
        one * sizes / (1.0 + contention * (sizes - 1.0) + coherency * sizes * (sizes - 1.0))
    )


@dataclass(frozen=True)
class Scaling:
    """The Universal Scalability Law fitted to throughputs by size.

    `one` is the throughput of one machine [1/s]; `contention` and `coherency` are the shares of
    work that wait for each other and that pairs must agree on [1]; `peak` is the size past which
    more machines do less, infinite where there is none.
    """

    one: Estimate
    contention: Estimate
    coherency: Estimate
    peak: Estimate


def scaling(sizes: Sequence[float], throughputs: Sequence[float]) -> Scaling:
    """Fit the law by least squares with non-negative coefficients; 95 % intervals from Student's t.

    Parameters
    ----------
    sizes : sequence of float
        Numbers of machines, at least four different ones.
    throughputs : sequence of float
        What they did. [1/s]

    Raises
    ------
    ValueError
        Fewer than four sizes: three coefficients leave nothing to tell how well they fit.
    """
    from scipy.optimize import curve_fit
    from scipy.special import stdtrit

    n, x = np.asarray(sizes, np.float64), np.asarray(throughputs, np.float64)
    if len(np.unique(n)) < 4:
        raise ValueError("a scaling law needs at least four sizes; add some")
    start = (float(x[np.argmin(n)] / n.min()), 0.01, 1e-4)
    best, covariance = curve_fit(
        law, n, x, p0=start, sigma=x, bounds=([0.0, 0.0, 0.0], [np.inf, 1.0, 1.0]),
    )  # fmt: skip
    t = float(stdtrit(len(n) - 3, 0.5 + CONFIDENCE / 2))
    halves = t * np.sqrt(np.maximum(np.diag(covariance), 0.0))
    one, contention, coherency = (
        _around(float(value), float(half), len(n)) for value, half in zip(best, halves, strict=True)
    )
    far = FAR * float(n.max())
    return Scaling(one, contention, coherency, _peak(contention, coherency, len(n), far))


def _around(value: float, half: float, n: int) -> Estimate:
    half = half if math.isfinite(half) else 0.0
    return {"value": value, "low": max(value - half, 0.0), "high": value + half, "n": n}


def _peak(contention: Estimate, coherency: Estimate, n: int, far: float) -> Estimate:
    """sqrt((1 - contention) / coherency); there is none as far as the data can tell."""

    def size(a: float | None, b: float | None) -> float:
        return math.sqrt(max(1.0 - (a or 0.0), 0.0) / b) if b else math.inf

    value = size(contention["value"], coherency["value"])
    if not value < far or not coherency["low"]:
        reason = "more machines do more, as far as can be told"
        return {"value": None, "low": None, "high": None, "n": n, "reason": reason}
    low = size(contention["high"], coherency["high"])
    high = size(contention["low"], coherency["low"])
    return {"value": value, "low": low, "high": high if high < far else None, "n": n}


def knee(loads: Sequence[float], throughputs: Floats, latencies_s: Floats) -> Sample:
    """The load at which throughput over latency is greatest [1]_, of all and of each replication.

    Parameters
    ----------
    loads : sequence of float, ascending
        Offered loads, in any unit.
    throughputs, latencies_s : ndarray, shape (loads, replications)
        What each replication did at each load, and how late. [1/s], [s]

    Returns
    -------
    Sample
        Between two loads the power is a parabola in the logarithm of the load. In the unit of
        `loads`.
    """
    x = np.log(np.asarray(loads, np.float64))
    power = np.where(np.isfinite(latencies_s), throughputs / latencies_s, 0.0)
    whole = _summit(x, power.mean(axis=1))
    parts = np.array([_summit(x, column) for column in power.T])
    return Sample(whole, parts, 0.0)


def knee_of_curve(
    loads: Sequence[float], used: Sequence[float], latencies_s: Sequence[float]
) -> float:
    """The same load from a queueing curve through all points, for few and noisy ones.

    Latency is alone (1 + growth used / (1 - used)), as in M/G/1 with growth (1 + cv^2) / 2, fitted
    by relative least squares where the server is used by `USED_MAX` at most: a run is too short for
    its queue beyond. Its power is greatest where used is 1 / (1 + sqrt(growth)).

    Parameters
    ----------
    loads : sequence of float
        Offered loads, in any unit.
    used : sequence of float
        How much of its time the server worked at each. [1]
    latencies_s : sequence of float
        A latency at each. [s]

    Returns
    -------
    float
        In the unit of `loads`; nan with fewer than `CURVE_POINTS_MIN` points that tell, and where
        latency does not grow.
    """
    from scipy.optimize import nnls

    load, busy, latency_s = (np.asarray(each, np.float64) for each in (loads, used, latencies_s))
    tells = (busy > 0.0) & (busy <= USED_MAX) & np.isfinite(latency_s) & (latency_s > 0.0)
    if np.count_nonzero(tells) < CURVE_POINTS_MIN:
        return math.nan
    load, busy, latency_s = load[tells], busy[tells], latency_s[tells]
    terms = np.column_stack([np.ones(len(busy)), busy / (1.0 - busy)]) / latency_s[:, None]
    (alone_s, grown_s), _ = nnls(terms, np.ones(len(busy)))
    if alone_s <= 0.0 or grown_s <= 0.0:
        return math.nan
    best = 1.0 / (1.0 + math.sqrt(grown_s / alone_s))
    return float(best * load.sum() / busy.sum())


def _summit(x: Floats, power: Floats) -> float:
    """exp of the summit of the parabola through the greatest power and its neighbours."""
    k = int(np.argmax(power))
    if k in (0, len(x) - 1):
        return float(np.exp(x[k]))
    a, b, _ = np.polyfit(x[k - 1 : k + 2] - x[k], power[k - 1 : k + 2], 2)
    shift = -0.5 * b / a if a < 0.0 else 0.0
    return float(np.exp(np.clip(x[k] + shift, x[k - 1], x[k + 1])))
