"""A run's latency histograms, merged over whatever is asked for."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from results import histogram, statistics
from results.tables import Columns, Key


class Latencies:
    """Histograms by replication, phase, Topic, receiving population, role and stage.

    Parameters
    ----------
    columns : Columns
        The latency table, its rows ordered by key.
    """

    def __init__(self, columns: Columns) -> None:
        names = [name for name in columns if name not in ("bin", "count")]
        changed = np.arange(len(columns["bin"])) == 0
        for name in names:
            changed[1:] |= columns[name][1:] != columns[name][:-1]
        starts = np.flatnonzero(changed)
        heads = zip(*(columns[name][starts].tolist() for name in names), strict=True)
        ends = np.append(starts[1:], len(changed))[: len(starts)]
        self._bins, self._counts = columns["bin"], columns["count"]
        self._slices: list[tuple[Key, slice]] = [
            (head, slice(start, end)) for head, start, end in zip(heads, starts, ends, strict=True)
        ]

    @property
    def keys(self) -> list[Key]:
        """What there is a histogram for."""
        return [key for key, _ in self._slices]

    def topics(self) -> list[str]:
        """Topics with legitimate deliveries, by name."""
        return sorted({key[2] for key in self.keys if key[4] == "legitimate"})

    def counts(
        self,
        *,
        replication: int | None = None,
        phases: Collection[str] | None = None,
        topic: str | None = None,
        population: str | None = None,
        role: str = "legitimate",
        stage: str = "total",
    ) -> histogram.Counts:
        """One histogram of all that fits; None fits everything."""
        merged = histogram.empty()
        for key, rows in self._slices:
            if (
                key[4:] == (role, stage)
                and replication in (None, key[0])
                and topic in (None, key[2])
                and population in (None, key[3])
                and (phases is None or key[1] in phases)
            ):
                np.add.at(merged, self._bins[rows], self._counts[rows])
        return merged


@dataclass(frozen=True)
class Latency:
    """A latency distribution and those of its independent parts.

    Parameters
    ----------
    counts : Counts
        All deliveries.
    parts : tuple of Counts
        The same by replication; or, where `approximate`, by stretch of time, each publication's
        copies taken as spread evenly between its first and its last. These give the spread alone:
        their quantiles are scaled so that their union's falls on that of `counts`.
    """

    counts: histogram.Counts
    parts: tuple[histogram.Counts, ...] = ()
    approximate: bool = False

    def sample(self, q: float) -> statistics.Sample:
        """The q-quantile of the whole and of each part. [s]"""
        if not self.approximate:
            return statistics.quantile(self.parts or (self.counts,), q)
        whole = statistics.quantile((self.counts,), q)
        union = statistics.quantile(self.parts, q)
        if not np.isfinite([whole.value, union.value]).all() or union.value <= 0.0:
            return whole
        parts = union.parts * (whole.value / union.value)
        return replace(whole, parts=parts, reason="")

    def quantile(self, q: float) -> statistics.Estimate:
        """The q-quantile with its interval. [s]"""
        return self.sample(q).estimate()

    def mean_s(self) -> float:
        """Mean over what was delivered. [s]"""
        return histogram.mean(self.counts)


def spread(columns: Columns, part: npt.NDArray[np.int64], parts: int) -> list[histogram.Counts]:
    """Histograms of the deliveries by part, from the publications' first and last copies.

    Parameters
    ----------
    columns : Columns
        The publications table.
    part : ndarray, shape (rows,)
        Which part each publication belongs to; -1 for none.
    parts : int
        How many parts there are.
    """
    places = (np.arange(16) + 0.5) / 16
    histograms = [histogram.empty() for _ in range(parts)]
    for index, counts in enumerate(histograms):
        rows = np.flatnonzero((part == index) & (columns["expected"] > 0))
        arrived = rows[columns["delivered"][rows] > 0]
        first = columns["first_s"][arrived] - columns["intended_s"][arrived]
        length = columns["last_s"][arrived] - columns["first_s"][arrived]
        bins = histogram.bin_index(first[:, None] + length[:, None] * places)
        np.add.at(counts, bins, columns["delivered"][arrived][:, None])
        lost = columns["expected"][rows] - np.minimum(
            columns["delivered"][rows], columns["expected"][rows]
        )
        counts[histogram.UNDELIVERED] += len(places) * int(lost.sum())
    return histograms
