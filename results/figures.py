"""Figures of one or more runs over chosen phases, of the whole and of each independent part.

The parts are the replications. A single replication of a steady study is split into `BATCHES` equal
stretches of time instead (batch means), which stand for independent parts as far as they are long
against the time that a queue remembers. A campaign is never split: its figures change over time.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from results import histogram, latencies
from results.latencies import Latency
from results.statistics import FloatArray, Sample
from results.tables import Columns

if TYPE_CHECKING:
    from results.run import Run

BATCHES = 10
BATCHES_MIN = 8
Unit = tuple["Run", int]  # a run and one of its replications


def units(runs: Sequence[Run]) -> list[Unit]:
    """Every replication of every run."""
    return [
        (run, int(replication))
        for run in runs
        for replication in np.unique(run.intervals["replication"])
    ]


def measured_phases(run: Run) -> tuple[str, ...]:
    """Names of the phases whose figures count, each once: not warm-up, drain or what was cut."""
    return tuple(dict.fromkeys(phase.name for phase in run.header.phases if phase.measured))


class Figures:
    """Rates, utilisation and latency over some phases.

    Parameters
    ----------
    runs : sequence of Run
        Runs of one system; their replications are pooled.
    phases : sequence of str, optional
        Names of phases; all measured ones by default.
    only : sequence of (run, replication), optional
        The replications to take, in the order that the parts shall have; all by default.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        phases: Sequence[str] | None = None,
        only: Sequence[Unit] | None = None,
    ) -> None:
        self.units = list(only) if only is not None else units(runs)
        self.phases = tuple(phases) if phases is not None else measured_phases(runs[0])
        steady = all(run.header.study == "steady" for run, _ in self.units)
        self.batched = len(self.units) == 1 and steady

    @cached_property
    def _rows(self) -> tuple[Columns, npt.NDArray[np.int64]]:
        """The interval rows of the phases and the part that each belongs to."""
        pieces: list[Columns] = []
        parts: list[npt.NDArray[np.int64]] = []
        for index, (run, replication) in enumerate(self.units):
            table = run.intervals
            chosen = (table["replication"] == replication) & np.isin(table["phase"], self.phases)
            pieces.append({name: values[chosen] for name, values in table.items()})
            middle = 0.5 * (pieces[-1]["start_s"] + pieces[-1]["end_s"])
            parts.append(self._batch(middle) if self.batched else np.full(len(middle), index))
        merged = {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
        return merged, np.concatenate(parts)

    def _batch(self, instants_s: FloatArray) -> npt.NDArray[np.int64]:
        """Which of the equal stretches of the phases' time holds each instant; -1 outside."""
        run = self.units[0][0]
        spans = [(p.start_s, p.end_s) for p in run.header.phases if p.name in self.phases]
        elapsed = np.zeros(len(instants_s))
        inside = np.zeros(len(instants_s), dtype=bool)
        for start_s, end_s in spans:
            elapsed += np.clip(instants_s - start_s, 0.0, end_s - start_s)
            inside |= (instants_s >= start_s) & (instants_s < end_s)
        total_s = sum(end_s - start_s for start_s, end_s in spans)
        batch = np.minimum((elapsed / total_s * BATCHES).astype(np.int64), BATCHES - 1)
        return np.where(inside, batch, -1)

    @cached_property
    def _seconds(self) -> FloatArray:
        """Length of each part; 0 for a stretch without an interval of its own. [s]"""
        if not self.batched:
            return np.array(
                [
                    sum(p.end_s - p.start_s for p in run.header.phases if p.name in self.phases)
                    for run, _ in self.units
                ]
            )
        rows, part = self._rows
        one = (rows["controller"] == rows["controller"][:1]) & (part >= 0)
        lengths = (rows["end_s"] - rows["start_s"])[one]
        return np.bincount(part[one], weights=lengths, minlength=BATCHES).astype(np.float64)

    def _totals(self, column: str, controller: str | None = None) -> FloatArray:
        """A column's sum in each part."""
        rows, part = self._rows
        chosen = part >= 0
        if controller is not None:
            chosen &= rows["controller"] == controller
        weights = rows[column][chosen].astype(np.float64)
        totals = np.bincount(part[chosen], weights=weights, minlength=len(self._seconds))
        return totals.astype(np.float64)

    def _per(self, upper: FloatArray, lower: FloatArray) -> Sample:
        """One sum over another, whole and by part."""
        if lower.sum() <= 0.0:
            return Sample(np.nan, reason="no data")
        filled = lower > 0.0
        parts = upper[filled] / lower[filled]
        if self.batched and len(parts) < BATCHES_MIN:
            parts = parts[:0]
        return Sample(float(upper.sum() / lower.sum()), parts, 0.0)

    def rate(self, column: str) -> Sample:
        """A column's counts per second, all Controllers together. [1/s]"""
        return self._per(self._totals(column), self._seconds)

    def utilisation(self, controller: str) -> Sample:
        """Busy time of a Controller over the time of the cores that it can use. [1]"""
        cores = self.units[0][0].header.controllers[controller].usable_cores
        return self._per(self._totals("busy_s", controller), cores * self._seconds)

    @property
    def controllers(self) -> list[str]:
        """Names of the Controllers."""
        return list(self.units[0][0].header.controllers)

    def busiest(self) -> Sample:
        """Utilisation of the Controller that is busiest. [1]"""
        return max((self.utilisation(name) for name in self.controllers), key=lambda s: s.value)

    def busy(self) -> Sample:
        """Core seconds used per second, all Controllers together. [1]"""
        return self.rate("busy_s")

    def busy_per_publication(self) -> Sample:
        """Core time used per publication, all Controllers together. [s]"""
        return self._per(self._totals("busy_s"), self._totals("offered"))

    def timely_share(self) -> Sample:
        """Share of the expected legitimate deliveries that arrive within the deadline. [1]"""
        expected = [counts.sum() for counts in self._by_unit()]
        timely = self._totals("timely")
        if self.batched:
            timely = timely.sum(keepdims=True)
        return self._per(timely, np.array(expected, dtype=np.float64))

    def egress_share(self, controller: str) -> float:
        """Share of a Controller's network link in use. [1]"""
        nic_bytes_per_s = self.units[0][0].header.controllers[controller].nic_bytes_per_s
        sent_per_s = self._totals("egress_bytes", controller).sum() / self._seconds.sum()
        return float(sent_per_s / nic_bytes_per_s)

    def memory_bytes_max(self, controller: str) -> int:
        """Most memory that a Controller held in any replication. [B]"""
        rows, _ = self._rows
        return round(
            float(rows["memory_bytes_max"][rows["controller"] == controller].max(initial=0))
        )

    def latency(self, topic: str | None = None) -> Latency:
        """Latency of the legitimate deliveries, of all Topics or of one."""
        parts = self._by_unit(topic)
        merged = np.sum(parts, axis=0)
        if not self.batched:
            return Latency(merged, tuple(parts))
        return Latency(merged, tuple(self._batches(topic)), approximate=True)

    def _by_unit(self, topic: str | None = None) -> list[histogram.Counts]:
        return [
            run.latencies.counts(replication=replication, phases=self.phases, topic=topic)
            for run, replication in self.units
        ]

    def _batches(self, topic: str | None) -> list[histogram.Counts]:
        """Histograms by stretch of time; none where roles or Topics cannot be told apart."""
        rows, _ = self._rows
        publications = self.units[0][0].publications
        mixed = bool((rows["offered"] != rows["offered_legitimate"]).any())
        if topic is not None or mixed or not len(publications["publication"]):
            return []
        chosen = publications["replication"] == self.units[0][1]
        part = np.where(chosen, self._batch(publications["intended_s"]), -1)
        histograms = latencies.spread(publications, part, BATCHES)
        return histograms if sum(h.any() for h in histograms) >= BATCHES_MIN else []
