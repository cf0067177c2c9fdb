"""Latency histograms whose bins are the leading bits of the float64 itself: 256 per octave (0.4 %).

One implementation for simulated and measured latencies, so both are rounded alike. Counts are int64
and add up over processes, replications and files. Layout of a counts array of `SIZE`:

    0               negative (a clock or bookkeeping error if it ever fills)
    1               zero, and everything below the range
    2 .. SIZE-3     regular bins, ascending
    SIZE-2          above the range
    SIZE-1          undelivered: counts as an infinite latency
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]

BINS_PER_OCTAVE = 256
LOWEST_S = 2.0**-30  # 0.93 ns
HIGHEST_S = 2.0**20  # 12 days
SHIFT = 44  # float64 bits below the eight leading mantissa bits
# A regular bin is (bits >> SHIFT) - OFFSET; the first of them is bin 2.
OFFSET = (int(np.float64(LOWEST_S).view(np.int64)) >> SHIFT) - 2
REGULAR = 50 * BINS_PER_OCTAVE
NEGATIVE, ZERO = 0, 1
ABOVE, UNDELIVERED = REGULAR + 2, REGULAR + 3
SIZE = REGULAR + 4


def bin_index(latency_s: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Bin of each latency [s]; infinity is `UNDELIVERED`."""
    latency = np.asarray(latency_s, dtype=np.float64)
    index = (latency.view(np.int64) >> SHIFT) - OFFSET
    index = np.where(latency < LOWEST_S, np.where(latency < 0.0, NEGATIVE, ZERO), index)
    return np.where(latency >= HIGHEST_S, np.where(np.isinf(latency), UNDELIVERED, ABOVE), index)


def empty() -> Counts:
    """A histogram without counts."""
    return np.zeros(SIZE, dtype=np.int64)


def count(latency_s: npt.ArrayLike) -> Counts:
    """Histogram of the latencies [s]."""
    return np.bincount(bin_index(latency_s).ravel(), minlength=SIZE).astype(np.int64)


def edges_s() -> npt.NDArray[np.float64]:
    """Lower edges of the regular bins and the upper edge of the last, shape (REGULAR + 1,). [s]"""
    bits = (np.arange(REGULAR + 1, dtype=np.int64) + OFFSET + 2) << SHIFT
    return bits.view(np.float64)


def representative_s() -> npt.NDArray[np.float64]:
    """The latency that stands for each bin, shape (SIZE,): its middle, inf when undelivered. [s]"""
    edges = edges_s()
    values = np.empty(SIZE)
    values[NEGATIVE] = values[ZERO] = 0.0
    values[2:ABOVE] = 0.5 * (edges[:-1] + edges[1:])
    values[ABOVE], values[UNDELIVERED] = HIGHEST_S, np.inf
    return values


def quantile(counts: Counts, q: float) -> float:
    """The q-quantile [s]: the bin of the ceil(q n)-th smallest; nan if empty, inf undelivered."""
    total = int(counts.sum())
    if total == 0:
        return math.nan
    rank = min(max(math.ceil(q * total), 1), total)
    return float(representative_s()[int(np.searchsorted(np.cumsum(counts), rank))])


def mean(counts: Counts) -> float:
    """Mean over what was delivered [s]; nan without counts."""
    bins, delivered = sparse(counts[:UNDELIVERED])
    if not len(bins):
        return math.nan
    return float((delivered * representative_s()[bins]).sum()) / int(delivered.sum())


def sparse(counts: Counts) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """The bins that hold something and their counts."""
    bins = np.flatnonzero(counts).astype(np.int32)
    return bins, counts[bins]


def tally(index: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """`sparse` of the latencies in these bins; cheaper than `count` for some hundred of them."""
    bins, counts = np.unique(index, return_counts=True)
    return bins.astype(np.int32), counts.astype(np.int64)


def pairs(latency_s: npt.ArrayLike) -> list[list[int]]:
    """Histogram of the latencies [s] as [bins, counts], ready for JSON."""
    bins, counts = tally(bin_index(latency_s))
    return [bins.tolist(), counts.tolist()]


def dense(bins: npt.NDArray[Any], counts: npt.NDArray[Any]) -> Counts:
    """A full counts array from (bin, count) pairs; repeated bins add up."""
    full = empty()
    np.add.at(full, bins, counts)
    return full
