"""Latency histograms of a run, of which it may have one for each of thousands of Topics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from results import histogram

Floats = npt.NDArray[np.float64]
LatencyKey = tuple[int, str, str, str, str, str]


class Histograms(Mapping[LatencyKey, histogram.Counts]):
    """Histograms of latencies [s] and of copies that did not come, made dense one at a time."""

    def __init__(self, parts: dict[LatencyKey, tuple[Floats, int]]) -> None:
        self._parts = parts

    def __getitem__(self, key: LatencyKey) -> histogram.Counts:
        latency_s, missing = self._parts[key]
        counts = histogram.count(latency_s)
        counts[histogram.UNDELIVERED] += missing
        return counts

    def __iter__(self) -> Iterator[LatencyKey]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def total(self) -> histogram.Counts:
        """All deliveries together."""
        merged = histogram.empty()
        for key in self:
            if key[5] == "total":
                merged += self[key]
        return merged
