"""When things are counted: phases, the intervals of the timeline, and the segments of histograms.

A campaign's phases are before, during and after its attacks and faults. A steady study has a
warm-up, whose length is known only after the run: its histograms are kept by segments, fine ones in
the first half, and merged when the cut is known. What is to be laid beside a measurement has the
warm-up of that: on the same plan, another stretch has other publications.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from results import statistics
from results.records import Phase
from topologies.schema import AnyFault, Attack, Topology

Floats = npt.NDArray[np.float64]

INTERVALS = 100
BATCH_INTERVALS = 5  # the five of MSER-5
WHOLE, WARM_UP, STEADY, DRAIN = "whole", "warm-up", "steady", "drain"


@dataclass(frozen=True)
class Timetable:
    """Edges of intervals and of segments, first to last; segments end where intervals do. [s]"""

    study: str
    edges_s: Floats
    segment_edges_s: Floats
    names: tuple[str, ...]

    @property
    def duration_s(self) -> float:
        """Length of the run. [s]"""
        return float(self.edges_s[-1])

    def intervals(self, instants_s: Floats) -> npt.NDArray[np.int64]:
        """Interval of each instant; past the end, the one that is left for the drain."""
        return np.searchsorted(self.edges_s, instants_s, side="right") - 1

    def segments(self, instants_s: Floats) -> npt.NDArray[np.int64]:
        """Segment in which each publication is intended."""
        return np.searchsorted(self.segment_edges_s[1:-1], instants_s, side="right")


def timetable(topology: Topology, warm_up_s: float | None = None) -> Timetable:
    """Edges of a topology's run; a steady study's warm-up is found afterwards, unless given. [s]"""
    duration_s = topology.workload.duration
    if topology.workload.study == "steady" and warm_up_s is not None:
        return _timetable("given", (WARM_UP, STEADY), [0.0, warm_up_s, duration_s])
    if topology.workload.study == "steady":
        edges_s = np.linspace(0.0, duration_s, INTERVALS + 1)
        half = edges_s[: INTERVALS // 2 + 1 : BATCH_INTERVALS]
        return Timetable("steady", edges_s, np.append(half, duration_s), ())
    return _timetable("campaign", *_campaign(topology))


def _timetable(study: str, names: tuple[str, ...], phase_edges_s: list[float]) -> Timetable:
    """Phases that are known before the run."""
    duration_s = phase_edges_s[-1]
    pieces = [
        np.linspace(start_s, end_s, _parts(end_s - start_s, duration_s) + 1)[:-1]
        for start_s, end_s in itertools.pairwise(phase_edges_s)
    ]
    edges_s = np.append(np.concatenate(pieces), duration_s)
    return Timetable(study, edges_s, np.array(phase_edges_s), names)


def _parts(length_s: float, duration_s: float) -> int:
    return max(1, round(INTERVALS * length_s / duration_s))


def _campaign(topology: Topology) -> tuple[tuple[str, ...], list[float]]:
    """Names of the phases and their edges: from the first disturbance to the end of the last."""
    duration_s = topology.workload.duration
    disturbances: list[Attack | AnyFault] = [*topology.attacks, *topology.faults]
    if not disturbances:
        return (WHOLE,), [0.0, duration_s]
    start_s = min(each.start for each in disturbances)
    end_s = max(each.start + each.duration for each in disturbances)
    edges = [0.0, min(start_s, duration_s), min(end_s, duration_s), duration_s]
    spans = zip(("before", "during", "after"), edges, edges[1:], strict=False)
    kept = [(name, stop) for name, begin, stop in spans if stop > begin]
    return tuple(name for name, _ in kept), [0.0, *(stop for _, stop in kept)]


def phases(timetable: Timetable, latency_s: Floats, latencies: Floats) -> tuple[Phase, ...]:
    """The run's phases, given sum and count of latencies by interval over all replications.

    The warm-up ends where MSER-5 says, on means of five intervals each.
    """
    if timetable.study != "steady":
        return _named(timetable.names, timetable.segment_edges_s)
    sums = latency_s.reshape(-1, BATCH_INTERVALS).sum(axis=1)
    counts = latencies.reshape(-1, BATCH_INTERVALS).sum(axis=1)
    if (counts == 0).any():
        return _named((STEADY,), [0.0, timetable.duration_s])
    cut = statistics.mser5(sums / counts)
    if cut == 0:
        return _named((STEADY,), [0.0, timetable.duration_s])
    warm_s = timetable.edges_s[cut * BATCH_INTERVALS]
    return _named((WARM_UP, STEADY), [0.0, warm_s, timetable.duration_s])


def too_short(timetable: Timetable, passed: Sequence[Phase]) -> bool:
    """Whether the warm-up was cut where the rule may cut at most, at half the run."""
    return passed[0].name == WARM_UP and passed[0].end_s >= 0.5 * timetable.duration_s


def _named(names: Sequence[str], edges_s: Sequence[float] | Floats) -> tuple[Phase, ...]:
    return tuple(
        Phase(name=name, start_s=float(start_s), end_s=float(end_s), measured=name != WARM_UP)
        for name, start_s, end_s in zip(names, edges_s, edges_s[1:], strict=False)
    )
