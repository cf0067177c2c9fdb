"""What a Controller was fed: counts by interval, copies to expect, rows for the record."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sim.network import Arrivals
from sim.phases import Timetable
from sim.platforms import Residents
from sim.state import Floats, Integers

ROLES = ("legitimate", "adversary")


class Intake:
    """Books of the publications that one Controller was fed.

    Parameters
    ----------
    timetable : Timetable
        Intervals and segments.
    home : Residents
        Platforms and Topics of the Controller.
    adversaries : ndarray of bool, shape (populations,)
        Which populations attack.
    row_stride : int
        Every so many rows of the plan one is kept for the publications table.
    """

    def __init__(
        self,
        timetable: Timetable,
        home: Residents,
        adversaries: npt.NDArray[np.bool_],
        row_stride: int,
    ) -> None:
        self._timetable, self._home, self._row_stride = timetable, home, row_stride
        self._adversaries = adversaries
        self.roles = 2 if adversaries.any() else 1
        self.segments = len(timetable.segment_edges_s) - 1
        intervals = len(timetable.edges_s)
        self.offered, self.legitimate, self.accepted, self.refused = np.zeros(
            (4, intervals), np.int64
        )
        self._kinds = np.zeros((self.segments * self.roles, len(home.topics)), np.int64)
        self._rows: list[dict[str, npt.NDArray[Any]]] = []

    def role(self, arrivals: Arrivals) -> Integers:
        """0 for publications of legitimate Platforms, 1 for those of adversaries."""
        return self._adversaries[self._home.population(arrivals.publisher)].astype(np.int64)

    def kind(self, arrivals: Arrivals) -> Integers:
        """Segment and role of each publication in one number."""
        segment = self._timetable.segments(arrivals.intended_s)
        return segment * self.roles + (self.role(arrivals) if self.roles > 1 else 0)

    def enter(self, arrivals: Arrivals, kind: Integers, copies: Integers) -> None:
        """Book publications of these kinds that have `copies` subscribers each."""
        accepted = self._timetable.intervals(arrivals.arrival_s)
        self.accepted += np.bincount(accepted, minlength=len(self.offered))
        self._book(arrivals, kind, copies, arrivals.arrival_s)

    def turn_away(
        self, arrivals: Arrivals, kind: Integers, copies: Integers, *, refused: bool
    ) -> None:
        """Book publications that the server refused, or (not refused) never came to handle."""
        if len(arrivals) == 0:
            return
        if refused:
            when = self._timetable.intervals(arrivals.reached_s)
            self.refused += np.bincount(when, minlength=len(self.offered))
        self._book(arrivals, kind, copies, np.full(len(arrivals), np.nan))

    def _book(
        self, arrivals: Arrivals, kind: Integers, copies: Integers, accepted_s: Floats
    ) -> None:
        intervals = self._timetable.intervals(arrivals.intended_s)
        legitimate = intervals[kind % self.roles == 0]
        size = len(self.offered)
        self.offered += np.bincount(intervals, minlength=size)
        self.legitimate += np.bincount(legitimate, minlength=size)
        np.add.at(self._kinds, (kind, arrivals.topic), 1)
        kept = arrivals.row % self._row_stride == 0
        chosen = arrivals[kept]
        self._rows.append(
            {
                "publication": chosen.row,
                "publisher": chosen.publisher,
                "topic": chosen.topic,
                "payload_bytes": chosen.payload_bytes.astype(np.uint32),
                "intended_s": chosen.intended_s,
                "sent_s": chosen.intended_s,
                "accepted_s": accepted_s[kept],
                "expected": copies[kept],
            }
        )

    def expected(self) -> npt.NDArray[np.int64]:
        """Copies to expect in each histogram, shape (segments * roles, pairs)."""
        return self._kinds[:, self._home.pair_topics] * self._home.pair_copies

    def rows(self) -> dict[str, npt.NDArray[Any]]:
        """The kept rows, ordered by row."""
        columns = {
            name: np.concatenate([piece[name] for piece in self._rows]) for name in self._rows[0]
        }
        order = np.argsort(columns["publication"])
        return {name: column[order] for name, column in columns.items()}
