"""A calendar of events: instants with the Platforms that they are about, taken in order of time.

Events come in any order and are taken a window at a time. Those that are near lie in an array that
each window looks through; the others are not touched until the near ones are used up.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sim.state import Floats, Integers

NEAR = 4096  # events that are looked through in each window, about

Events = tuple[Floats, Integers, Integers, Floats]


def _nothing() -> Events:
    return np.empty(0), np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)


def _joined(pieces: list[Events]) -> Events:
    if len(pieces) == 1:
        return pieces[0]
    instants, platforms, stamps, deadlines = (
        np.concatenate(column) for column in zip(*pieces, strict=True)
    )
    return instants, platforms, stamps, deadlines


def _chosen(events: Events, which: npt.NDArray[np.bool_]) -> Events:
    return events[0][which], events[1][which], events[2][which], events[3][which]


class Calendar:
    """Events: an instant, a Platform, the attempt and step that it is about, and its deadline."""

    def __init__(self) -> None:
        self._near, self._near_min_s = [_nothing()], np.inf
        self._far: list[Events] = [_nothing()]
        self._far_min_s = self._edge_s = np.inf

    @property
    def next_s(self) -> float:
        """Instant of the earliest event; infinite without one. [s]"""
        return min(self._near_min_s, self._far_min_s)

    def __len__(self) -> int:
        return sum(len(each[0]) for each in (*self._near, *self._far))

    def add(
        self, instants_s: Floats, platforms: Integers, stamps: Integers, deadlines_s: Floats
    ) -> None:
        """Enter events."""
        if not len(instants_s):
            return
        events = (instants_s, platforms, stamps, deadlines_s)
        near = instants_s < self._edge_s
        if near.all():
            self._enter_near(events)
        else:
            self._enter_near(_chosen(events, near))
            far = _chosen(events, ~near)
            self._far.append(far)
            self._far_min_s = min(self._far_min_s, float(far[0].min()))

    def add_those(self, which: npt.NDArray[np.bool_], *events: Any) -> None:
        """Enter some of these events; all of them cost less."""
        if which.all():
            self.add(*events)
        else:
            self.add(*(column[which] for column in events))

    def _enter_near(self, events: Events) -> None:
        if len(events[0]):
            self._near.append(events)
            self._near_min_s = min(self._near_min_s, float(events[0].min()))

    def take(self, end_s: float) -> Events:
        """Remove the events before `end_s`: in no order."""
        taken: list[Events] = []
        while self.next_s < end_s:
            if self._near_min_s >= end_s or sum(len(each[0]) for each in self._near) > 4 * NEAR:
                self._sort_out(end_s)
            near = _joined(self._near)
            due = near[0] < end_s
            if due.all():
                taken.append(near)
                self._near, self._near_min_s = [_nothing()], np.inf
                continue
            taken.append(_chosen(near, due))
            left = _chosen(near, ~due)
            self._near = [left]
            self._near_min_s = float(left[0].min(initial=np.inf))
        return _joined(taken) if taken else _nothing()

    def _sort_out(self, end_s: float) -> None:
        """Decide anew which events are near: those before `end_s`, and some that come next."""
        events = _joined([*self._near, *self._far])
        instants_s = events[0]
        place = int((instants_s < end_s).sum()) + NEAR
        self._edge_s = np.inf
        if place >= len(instants_s):
            self._near, self._far = [events], [_nothing()]
            self._near_min_s, self._far_min_s = float(instants_s.min(initial=np.inf)), np.inf
            return
        self._edge_s = float(np.partition(instants_s, place)[place])
        near = instants_s < self._edge_s
        self._near, self._far = [_chosen(events, near)], [_chosen(events, ~near)]
        self._near_min_s = float(self._near[0][0].min(initial=np.inf))
        self._far_min_s = float(self._far[0][0].min(initial=np.inf))
