"""What is published: counts by interval, copies to expect, rows for the record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sim.network import Arrivals, nothing
from sim.phases import Timetable
from sim.platforms import Residents
from sim.state import Floats, Integers, Records
from sim.stations import Graph

ROLES = ("legitimate", "adversary")
FEW = 64  # counters for each publication: then they are counted one by one


class Census:
    """Every publication of the grid by kind (segment and role in one number) and Topic.

    Parameters
    ----------
    timetable : Timetable
        Intervals and segments.
    graph : Graph
        Who lives where.
    """

    def __init__(self, timetable: Timetable, graph: Graph) -> None:
        self._timetable, self._graph = timetable, graph
        platforms = graph.topology.platforms
        self._adversaries = np.array([each.role == "adversary" for each in platforms])
        self._population = np.array([part.population for part in graph.parts])
        self.roles = 2 if self._adversaries.any() else 1
        self.segments = len(timetable.segment_edges_s) - 1
        asked = [False] * len(graph.topology.topics)
        asked += [each.population is not None for each in graph.answers]
        self._asked, kinds = np.array(asked, np.bool_), self.segments * self.roles
        # What is asked counts where it was asked for: a row for each station, the first is for all.
        rows = 1 + len(graph.stations) if graph.answers else 1
        self._kinds = np.zeros((rows, kinds, len(asked)), np.int64)
        self._refused = np.zeros((rows, len(asked)), np.int64)
        self._displaced: dict[tuple[int, int, int], Integers] = {}  # station, Topic, population

    def kind(self, arrivals: Arrivals) -> Integers:
        """Segment and role of each publication in one number."""
        segment = self._timetable.segments(arrivals.intended_s)
        if self.roles == 1:
            return segment
        population = self._population[self._graph.part(arrivals.publisher)]
        return np.asarray(segment * self.roles + self._adversaries[population], np.int64)

    def count(
        self, kind: Integers, topic: npt.NDArray[np.uint16], publisher: npt.NDArray[np.uint32]
    ) -> None:
        """Book publications of these kinds on these Topics."""
        place = (self._row(topic, publisher), kind, topic)
        if FEW * len(topic) < self._kinds.size:
            np.add.at(self._kinds, place, 1)
            return
        flat = np.ravel_multi_index(place, self._kinds.shape)
        counts = np.bincount(flat, minlength=self._kinds.size)
        self._kinds += counts.reshape(self._kinds.shape)

    def _row(self, topic: npt.NDArray[np.uint16], publisher: npt.NDArray[np.uint32]) -> Integers:
        """Where each is counted: requests at home, what may have many receivers for all."""
        row, asked = np.zeros(len(topic), np.int64), self._asked[topic]
        if asked.any():
            row[asked] = 1 + self._graph.station(publisher[asked])
        return row

    def displace(
        self, kind: Integers, topic: int, moved: Sequence[tuple[int, int, int, int]]
    ) -> None:
        """Publications of a Topic whose copies go where Platforms are that have moved.

        Each entry says from which station to which, of which population, and how many.
        """
        counts = np.bincount(kind, minlength=self._kinds.shape[1])
        for home, station, population, copies in moved:
            for place, sign in ((home, -1), (station, 1)):
                key = (place, topic, population)
                known = self._displaced.get(key, np.zeros(len(counts), np.int64))
                self._displaced[key] = known + sign * copies * counts

    def refuse(self, topic: npt.NDArray[np.uint16], publisher: npt.NDArray[np.uint32]) -> None:
        """Book publications that a limit refuses; they are counted too."""
        np.add.at(self._refused, (self._row(topic, publisher), topic), 1)

    def rejected(self, home: Residents, station: int) -> int:
        """Copies that a station does not get because their publications were refused."""
        refused = self._refused[[0, 1 + station][: len(self._refused)]].sum(axis=0)
        return int((refused[home.pair_topics] * home.pair_copies).sum())

    def expected(self, home: Residents, station: int) -> npt.NDArray[np.int64]:
        """Copies to expect on a station in each histogram, shape (segments * roles, pairs)."""
        kinds = self._kinds[[0, 1 + station][: len(self._kinds)]].sum(axis=0)
        expected: npt.NDArray[np.int64] = kinds[:, home.pair_topics] * home.pair_copies
        for (place, topic, population), copies in self._displaced.items():
            if place == station:
                expected[:, home.pairs[topic, population]] += copies
        return expected


class Intake:
    """Books of the publications that the Platforms of one station send.

    Parameters
    ----------
    timetable : Timetable
        Intervals and segments.
    roles : int
        Roles that kinds tell apart.
    row_stride : int
        Every so many rows of the plan one is kept for the publications table.
    topics : int, optional
        Numbers from here on are requests, which are no publications; absent: there are none.
    """

    def __init__(
        self, timetable: Timetable, roles: int, row_stride: int, topics: int | None = None
    ) -> None:
        self._timetable, self._roles, self._row_stride = timetable, roles, row_stride
        self._topics = topics
        intervals = len(timetable.edges_s)
        self.offered, self.legitimate, self.accepted, self.refused = np.zeros(
            (4, intervals), np.int64
        )
        self._rows: list[dict[str, npt.NDArray[Any]]] = []
        nobody = np.zeros(0, np.int64)
        self.enter(nothing(), nobody, nobody)  # a table without rows has its columns, too

    def enter(self, arrivals: Arrivals, kind: Integers, copies: Integers) -> None:
        """Book publications of these kinds that have `copies` subscribers each."""
        if self._topics is not None:
            own = arrivals.topic < self._topics
            arrivals, kind, copies = arrivals[own], kind[own], copies[own]
        accepted = self._timetable.intervals(arrivals.arrival_s)
        self.accepted += np.bincount(accepted, minlength=len(self.offered))
        self._book(arrivals, kind, copies, arrivals.arrival_s)

    def turn_away(
        self, arrivals: Arrivals, kind: Integers, copies: Integers, *, refused: bool,
        sent: bool = True,
    ) -> None:  # fmt: skip
        """Book publications that the server refused, or (not refused) never came to handle.

        Those not `sent` never left their Platforms.
        """
        if self._topics is not None:
            own = arrivals.topic < self._topics
            arrivals, kind, copies = arrivals[own], kind[own], copies[own]
        if len(arrivals) == 0:
            return
        if refused:
            when = self._timetable.intervals(arrivals.reached_s)
            self.refused += np.bincount(when, minlength=len(self.offered))
        self._book(arrivals, kind, copies, np.full(len(arrivals), np.nan), sent=sent)

    def _book(
        self, arrivals: Arrivals, kind: Integers, copies: Integers, accepted_s: Floats,
        *, sent: bool = True,
    ) -> None:  # fmt: skip
        intervals = self._timetable.intervals(arrivals.intended_s)
        legitimate = intervals[kind % self._roles == 0]
        size = len(self.offered)
        self.offered += np.bincount(intervals, minlength=size)
        self.legitimate += np.bincount(legitimate, minlength=size)
        kept = arrivals.row % self._row_stride == 0
        chosen = arrivals[kept]
        if not len(chosen) and self._rows:
            return
        self._rows.append(
            {
                "publication": chosen.row,
                "publisher": chosen.publisher,
                "topic": chosen.topic,
                "payload_bytes": chosen.payload_bytes.astype(np.uint32),
                "intended_s": chosen.intended_s,
                "sent_s": chosen.intended_s if sent else np.full(len(chosen), np.nan),
                "accepted_s": accepted_s[kept],
                "expected": copies[kept],
            }
        )

    def table(self, outcomes: Records) -> dict[str, npt.NDArray[Any]]:
        """The kept rows, with what has become of each."""
        rows = self.rows()
        chosen = outcomes[rows["publication"] // self._row_stride]
        received = chosen["delivered"] > 0
        return rows | {
            "first_s": np.where(received, chosen["first_s"], np.nan),
            "last_s": np.where(received, chosen["last_s"], np.nan),
            "delivered": chosen["delivered"],
        }

    def rows(self) -> dict[str, npt.NDArray[Any]]:
        """The kept rows, ordered by row."""
        columns = {
            name: np.concatenate([piece[name] for piece in self._rows]) for name in self._rows[0]
        }
        order = np.argsort(columns["publication"])
        return {name: column[order] for name, column in columns.items()}
