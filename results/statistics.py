"""Estimates: a value, its 95 % interval, and the number of independent parts behind it.

Everything rests on *sectioning* [1]_: the figure is computed once from all the data and once from
each independent part (a replication, or a stretch of time), and the parts' spread about the whole
gives the interval. A mean over replications is the special case in which the whole is the mean of
its parts. Quantiles are never averaged.

References
----------
.. [1] S. Asmussen and P. W. Glynn, "Stochastic Simulation: Algorithms and Analysis," 2007, III.5.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NotRequired

import numpy as np
import numpy.typing as npt
from typing_extensions import TypedDict

from results import histogram

FloatArray = npt.NDArray[np.float64]
CONFIDENCE = 0.95
# Two-sided 95 % points of Student's t for 1, 2, ... degrees of freedom, from scipy: loading it for
# one of them would be a fifth of a small simulation's time.
_POINTS = (
    12.706204736175, 4.3026527297495, 3.1824463052837, 2.7764451051978, 2.5705818356363,
    2.446911851145, 2.3646242515928, 2.3060041352042, 2.2621571627982, 2.2281388519863,
    2.2009851600916, 2.1788128296672, 2.1603686564628, 2.1447866879178, 2.1314495455598,
    2.1199052992213, 2.1098155778333, 2.100922040241, 2.0930240544083, 2.0859634472659,
    2.0796138447277, 2.073873067904, 2.068657610419, 2.063898561628, 2.0595385527533,
    2.0555294386429, 2.0518305164803, 2.0484071417952, 2.0452296421327, 2.0422724563012,
    2.0395134463964,
)  # fmt: skip
HALF_A_BIN = 0.5 / histogram.BINS_PER_OCTAVE  # relative rounding of a histogram's latencies


class Estimate(TypedDict):
    """A value with its 95 % interval; null, with the reason, where there is none."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    reason: NotRequired[str]


def _no_parts() -> FloatArray:
    return np.empty(0)


@dataclass(frozen=True)
class Sample:
    """A figure of the whole, and the same figure of each of its independent parts.

    Parameters
    ----------
    value : float
        The figure of all the data; inf where it is unbounded, nan where there is none.
    parts : ndarray, shape (n,)
        The figure of each part; empty where the data cannot be split.
    lowest : float
        What the figure cannot fall below: the interval is cut there.
    reason : str
        Why the value or the interval is missing, where it is.
    resolution : float
        How far off rounding alone may put the value: the interval is wider by that on each side.
    """

    value: float
    parts: FloatArray = field(default_factory=_no_parts)
    lowest: float = -math.inf
    reason: str = ""
    resolution: float = 0.0

    def estimate(self) -> Estimate:
        """The figure with its interval: half-width t sqrt(sum (x - value)^2 / (n - 1) / n)."""
        n = max(len(self.parts), 1)
        if not math.isfinite(self.value):
            return unavailable(self.reason or "no data", n)
        unbounded = int(np.count_nonzero(~np.isfinite(self.parts)))
        if n == 1 or unbounded:
            reason = f"unbounded in {unbounded} of {n} parts" if unbounded else "one replication"
            return _point(self.value, n, self.reason or reason)
        half = _t(n - 1) * math.sqrt(self.variance()) + self.resolution
        return _around(self.value, half, n, self.lowest)

    def later(self, by: float) -> Sample:
        """The same figure, with something added that does not vary."""
        if by == 0.0:
            return self
        return replace(self, value=self.value + by, parts=self.parts + by, lowest=self.lowest + by)

    def variance(self) -> float:
        """Variance of the figure: the parts' mean square about it, divided by their number."""
        n = len(self.parts)
        return float(np.sum((self.parts - self.value) ** 2)) / (n - 1) / n


@dataclass(frozen=True)
class Median(Sample):
    """The median of its parts: its variance is pi / 2 times that of a mean of normal ones."""

    def variance(self) -> float:
        """Variance of the figure."""
        return 0.5 * math.pi * super().variance()


def unavailable(reason: str, n: int = 1) -> Estimate:
    """An estimate without a value, and why."""
    return {"value": None, "low": None, "high": None, "n": n, "reason": reason}


def _point(value: float, n: int, reason: str) -> Estimate:
    return {"value": value, "low": None, "high": None, "n": n, "reason": reason}


def _around(value: float, half_width: float, n: int, lowest: float) -> Estimate:
    low = max(value - half_width, lowest)
    return {"value": value, "low": low, "high": value + half_width, "n": n}


def _t(degrees: float) -> float:
    """Two-sided 95 % point of Student's t."""
    if degrees in range(1, len(_POINTS) + 1):
        return _POINTS[int(degrees) - 1]
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 0.5 + CONFIDENCE / 2))


def mean(values: npt.ArrayLike, lowest: float = -math.inf) -> Estimate:
    """The mean of independent values with its t interval."""
    parts = np.asarray(values, dtype=np.float64)
    return Sample(float(parts.mean()) if parts.size else math.nan, parts, lowest).estimate()


def median(values: Sequence[float]) -> Median:
    """The median of independent values that cannot be negative; nan is none."""
    parts = np.array([value for value in values if not math.isnan(value)])
    if not len(parts):
        return Median(math.nan, reason="no data")
    endless = int(np.isinf(parts).sum())
    reason = f"unbounded in {endless} of {len(parts)} plays" if endless else ""
    return Median(float(np.median(parts)), parts, 0.0, reason)


def quantile(parts: Sequence[histogram.Counts], q: float) -> Sample:
    """The q-quantile of the merged histogram, and of each part's own [s].

    What was not delivered counts as infinite: where that is more than 1 - q of all, the quantile is
    unbounded. It is not available from fewer than 1 / (1 - q) values.
    """
    filled = [counts for counts in parts if counts.any()]
    if not filled:
        return Sample(math.nan, reason="no deliveries")
    merged = np.sum(filled, axis=0)
    total = int(merged.sum())
    if total * (1.0 - q) < 1.0 - 1e-9:
        needed = math.ceil(1.0 / (1.0 - q) - 1e-6)
        return Sample(math.nan, reason=f"{name(q)} needs {needed} deliveries; there are {total}")
    value = histogram.quantile(merged, q)
    own = np.array([histogram.quantile(counts, q) for counts in filled])
    reason = ""
    if math.isinf(value):
        lost = 100.0 * merged[histogram.UNDELIVERED] / total
        reason = f"unbounded: {lost:.3g} % of the deliveries never arrive"
    resolution = value * HALF_A_BIN if math.isfinite(value) else 0.0
    return Sample(value, own, 0.0, reason, resolution)


def name(q: float) -> str:
    """How a quantile is called: p50, p99, p999."""
    return "p" + f"{100.0 * q:g}".replace(".", "")


def difference(a: Sample, b: Sample, *, paired: bool) -> Estimate:
    """How much more `b` is than `a`: by pairs of parts, else Welch's interval."""
    if paired:
        parts = b.parts - a.parts if len(a.parts) == len(b.parts) else _no_parts()
        reason = a.reason or b.reason
        resolution = a.resolution + b.resolution
        return Sample(b.value - a.value, parts, -math.inf, reason, resolution).estimate()
    return _welch(b.value - a.value, (a, 1.0), (b, 1.0), -math.inf)


def ratio(a: Sample, b: Sample, *, paired: bool) -> Estimate:
    """How many times `a` the figure `b` is: by pairs of parts, else Welch's (first order)."""
    if a.value == 0.0 or not math.isfinite(a.value):
        reason = a.reason or ("the first is zero" if a.value == 0.0 else "no data")
        return unavailable(reason, min(max(len(a.parts), 1), max(len(b.parts), 1)))
    value = b.value / a.value
    if paired:
        with np.errstate(divide="ignore", invalid="ignore"):
            parts = b.parts / a.parts if len(a.parts) == len(b.parts) else _no_parts()
        resolution = b.resolution / a.value + value * a.resolution / a.value
        kind = type(b)  # of medians it is a median
        return kind(value, parts, 0.0, a.reason or b.reason, resolution).estimate()
    return _welch(value, (a, value / a.value), (b, 1.0 / a.value), 0.0)


def _welch(
    value: float, a: tuple[Sample, float], b: tuple[Sample, float], lowest: float
) -> Estimate:
    """Interval of a figure that depends on two independent samples with these sensitivities."""
    samples = (a[0], b[0])
    n = min(max(len(sample.parts), 1) for sample in samples)
    reason = samples[0].reason or samples[1].reason
    if not math.isfinite(value):
        return unavailable(reason or "no data", n)
    if n == 1 or not all(np.isfinite(sample.parts).all() for sample in samples):
        return _point(value, n, reason or "one side has no interval")
    variances = [weight**2 * sample.variance() for sample, weight in (a, b)]
    resolution = sum(abs(weight) * sample.resolution for sample, weight in (a, b))
    total = sum(variances)
    if total == 0.0:
        return _around(value, resolution, n, lowest)
    shares = (v**2 / (len(sample.parts) - 1) for v, sample in zip(variances, samples, strict=True))
    half = _t(total**2 / sum(shares)) * math.sqrt(total) + resolution
    return _around(value, half, n, lowest)


def mser5(batch_means: npt.ArrayLike) -> int:
    """Index of the first of these batch means to keep: where the warm-up ends.

    Marginal standard error rule [1]_ on means of five consecutive observations: cut d batches so
    that sum_{i >= d} (x_i - mean_d)^2 / (n - d)^2 is least, d at most n / 2. The result n // 2 says
    that the run is too short to tell.

    References
    ----------
    .. [1] K. P. White, "An effective truncation heuristic for bias reduction in simulation output,"
       Simulation 69(6), 1997; MSER-5: Spratt 1998.
    """
    series = np.asarray(batch_means, dtype=np.float64)
    if series.size < 2:
        return 0
    kept = np.arange(series.size, 0, -1)
    centred = series - series.mean()
    sums = np.cumsum(centred[::-1])[::-1]
    squares = np.cumsum(centred[::-1] ** 2)[::-1]
    errors = (squares - sums**2 / kept) / kept**2
    return int(np.argmin(errors[: series.size // 2 + 1]))


def certainty(sample: Sample, bound: float) -> float:
    """How sure it is that the true figure lies on the same side of a bound as its value. [1]

    One minus the one-sided level of Student's t at the bound; 1 where the value is unbounded (it
    lies beyond any bound), 0.5 where the parts say nothing.
    """
    from scipy.special import stdtr

    n = len(sample.parts)
    if math.isinf(sample.value):
        return 1.0
    if math.isnan(sample.value):
        return 1.0
    if n < 2:
        return 0.5
    if not np.isfinite(sample.parts).all():
        return float(np.mean((sample.parts > bound) == (sample.value > bound)))
    error = math.sqrt(sample.variance()) + sample.resolution
    if error == 0.0:
        return 1.0
    return float(stdtr(n - 1, abs(sample.value - bound) / error))
