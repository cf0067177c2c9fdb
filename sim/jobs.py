"""Jobs on their way to a station: its Platforms' publications, and what other stations send on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sim.state import Floats, Integers


@dataclass(frozen=True)
class Jobs:
    """Stanzas for one station: columns of equal length.

    `row` is the publication's in the plan, `kind` its segment and role, `socket` the session here
    that it comes in on, `target` whom it is for (see `sim.routes`).
    """

    row: Integers
    arrival_s: Floats
    intended_s: Floats
    payload_bytes: Floats
    topic: npt.NDArray[np.uint16]
    kind: Integers
    socket: Integers
    target: npt.NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, chosen: slice | npt.NDArray[np.bool_] | Integers) -> Jobs:
        return Jobs(*(column[chosen] for column in self.columns()))

    def columns(self) -> tuple[npt.NDArray[Any], ...]:
        """All columns in the order of the fields."""
        return (
            self.row, self.arrival_s, self.intended_s, self.payload_bytes, self.topic, self.kind,
            self.socket, self.target,
        )  # fmt: skip


def together(parts: list[Jobs]) -> Jobs:
    """Jobs of several sources in order of arrival; at one instant in the order of the sources."""
    if len(parts) == 1:
        return parts[0]
    columns = zip(*(part.columns() for part in parts), strict=True)
    whole = Jobs(*(np.concatenate(column) for column in columns))
    return whole[np.argsort(whole.arrival_s, kind="stable")]


def feeds(copies: Integers, rows_most: int, copies_most: int) -> Iterator[tuple[int, int]]:
    """Stretches of jobs with so many rows and copies at most, or of one job with more copies."""
    total, first = np.cumsum(copies), 0
    while first < len(total):
        room = total[first] - copies[first] + copies_most
        following = int(np.searchsorted(total, room, side="right"))
        following = min(max(following, first + 1), first + rows_most)
        yield first, min(following, len(total))
        first = following


class Inbox:
    """Jobs that a station will get, by source; each source's come in order.

    Parameters
    ----------
    sources : int
        How many there are; the first are taken first at one instant.
    """

    def __init__(self, sources: int) -> None:
        self._waiting: list[list[Jobs]] = [[] for _ in range(sources)]
        self._closed_until_s = -np.inf

    def close(self, until_s: float) -> None:
        """The station reads nothing until then; what comes before waits in its sockets."""
        self._closed_until_s = until_s

    def put(self, source: int, jobs: Jobs) -> None:
        """Further jobs of a source."""
        if len(jobs):
            self._waiting[source].append(jobs)

    def add(self, source: int, jobs: Jobs) -> None:
        """Further jobs of a source, some of which may come before others that are known."""
        self._waiting[source] = [together([*self._waiting[source], jobs])]

    def forget(self, source: int) -> None:
        """Nothing more of a source is on its way."""
        self._waiting[source] = []

    def next_s(self) -> float:
        """Instant of the first arrival; infinite without one. [s]"""
        firsts_s = (float(pieces[0].arrival_s[0]) for pieces in self._waiting if pieces)
        return max(self._closed_until_s, min(firsts_s, default=np.inf))

    def take(self, end_s: float) -> Jobs | None:
        """What arrives before `end_s`, in order."""
        if end_s <= self._closed_until_s:
            return None
        due = []
        for pieces in self._waiting:
            while pieces and pieces[0].arrival_s[0] < end_s:
                piece = pieces.pop(0)
                ripe = int(np.searchsorted(piece.arrival_s, end_s, side="left"))
                due.append(piece[:ripe])
                if ripe < len(piece):
                    pieces.insert(0, piece[ripe:])
                    break
        if not due:
            return None
        jobs = together(due)
        if self._closed_until_s == -np.inf:
            return jobs
        return replace(jobs, arrival_s=np.maximum(jobs.arrival_s, self._closed_until_s))
