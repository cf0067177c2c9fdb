"""What a replication is about, and what one Controller counted in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sim.phases import Timetable
from sim.session_books import SessionTally
from sim.state import Integers, Records
from topologies.schema import Topology

HistogramKey = tuple[int, str, str, str]  # segment, Topic, receiving population, publisher's role
StageKey = tuple[int, str, str, str, str]  # and the stage
Sparse = tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]
HORIZON = 10.0  # run lengths until what is not received counts as lost


@dataclass(frozen=True)
class Study:
    """One replication: the same for all its Controllers.

    `rows` is the plan's length, of which every `row_stride`-th is kept for the record; `traced`
    keeps every delivery. Of every `stage_stride`-th publication (0: of none) the copies for every
    `copy_stride`-th Platform are followed through their stages.
    """

    topology: Topology
    timetable: Timetable
    seed: int
    replication: int
    rows: int
    row_stride: int = 1
    traced: bool = False
    stage_stride: int = 0
    copy_stride: int = 1

    @property
    def horizon_s(self) -> float:
        """Instant at which what is not received counts as lost. [s]"""
        delay_s = max(population.network.delay for population in self.topology.platforms)
        links_s = [link.delay for link in self.topology.links]
        way_s = 2.0 * delay_s + 2.0 * max(links_s, default=0.0)
        return HORIZON * self.timetable.duration_s + way_s


@dataclass(frozen=True)
class Tally:
    """What one Controller counted in one replication.

    `intervals` are those of the timetable and one more for the drain, which ends at `drained_s`;
    `offered`, `legitimate`, `accepted` and `refused` publications have one entry for each.
    Histograms are sparse. `discarded` copies were given up by the policy of a full session queue,
    `cuts` says when which Platform's session ended. Of the `lost` copies `missed` ones were for
    Platforms without a session and `dropped_copies` belong to the `dropped` publications that were
    never sent. `owed_area_s` is the integral of the copies owed over time, `sojourn_s` the sum of
    the times that copies were owed. `offline` says what was stored for whoever was offline.
    """

    controller: str
    cores: int
    intervals: Records
    offered: Integers
    legitimate: Integers
    accepted: Integers
    refused: Integers
    histograms: Mapping[HistogramKey, Sparse]
    publications: Mapping[str, npt.NDArray[Any]]
    expected: int
    delivered: int
    rejected: int
    discarded: Mapping[str, int]
    lost: int
    missed: int
    dropped: int
    dropped_copies: int
    drained_s: float
    idle_s: float
    owed_area_s: float
    sojourn_s: float
    trace: Records
    cuts: npt.NDArray[np.float64]
    sessions: SessionTally | None = None
    stages: Mapping[StageKey, Sparse] = field(default_factory=dict)
    offline: Mapping[str, float] = field(default_factory=dict)
    waterfall: Mapping[str, Any] = field(default_factory=dict)
