"""Outbound queues of sessions once more: lists, events and a timer, copy by copy.

Nothing here is shared with the kernels. `transmit` carries one copy to its Platform and ends when
that has read it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator
from typing import Any

import simpy

from sim.reference_books import Log
from sim.reference_stanzas import Publication
from topologies.schema import BurstyReader, SessionQueue

Process = Generator[simpy.Event, Any, None]


class Session:
    """One Platform's session with its queue."""

    def __init__(
        self, env: simpy.Environment, number: int, queue: SessionQueue, delay_s: float,
        envelope_bytes: float, transmit: Callable[[Publication, int], Process],
        hold: Callable[[Publication, int], None], log: Log,
    ) -> None:  # fmt: skip
        self._env, self._number, self._queue, self._log = env, number, queue, log
        self._hold = hold
        self._delay_s, self._envelope_bytes, self._transmit = delay_s, envelope_bytes, transmit
        self._waiting: deque[Publication] = deque()
        self._flying: list[float] = []
        self._cut = False
        self._progress = 0  # how often the queue has moved

    def offer(self, publication: Publication) -> None:
        """A copy is written."""
        if self._cut:
            self._log.discarded["disconnect"] += 1
        elif not self._waiting and self._fits(publication):
            self._send(publication)
        elif self._queue.policy != "coalesce" or not self._coalesced(publication):
            self._keep(publication)

    def _size(self, publication: Publication) -> float:
        return publication.payload_bytes + self._envelope_bytes

    def _fits(self, publication: Publication) -> bool:
        on_their_way = sum(self._flying)
        return not self._flying or on_their_way + self._size(publication) <= self._queue.window

    def _send(self, publication: Publication) -> None:
        self._flying.append(self._size(publication))
        self._env.process(self._fly(publication))

    def _fly(self, publication: Publication) -> Process:
        yield from self._transmit(publication, self._number)
        yield self._env.timeout(self._delay_s)
        self._flying.remove(self._size(publication))
        moved = False
        while self._waiting and self._fits(self._waiting[0]):
            self._hold(self._waiting[0], -1)
            self._send(self._waiting.popleft())
            moved = True
        if moved:
            self._watch()

    def _coalesced(self, publication: Publication) -> bool:
        for place, other in enumerate(self._waiting):
            if other.topic == publication.topic:
                self._hold(other, -1)
                self._hold(publication, 1)
                self._log.discarded["coalesce"] += 1
                self._waiting[place] = publication
                return True
        return False

    def _full(self, publication: Publication) -> bool:
        held_bytes = sum(map(self._size, self._waiting)) + self._size(publication)
        too_many = self._queue.stanzas is not None and len(self._waiting) >= self._queue.stanzas
        return too_many or (self._queue.bytes is not None and held_bytes > self._queue.bytes)

    def _keep(self, publication: Publication) -> None:
        """Let a copy wait, if the policy of a full queue allows."""
        policy = self._queue.policy
        if policy == "disconnect" and self._full(publication):
            self._end()
        while policy in ("drop-oldest", "coalesce") and self._waiting and self._full(publication):
            self._hold(self._waiting.popleft(), -1)
            self._log.discarded["drop-oldest"] += 1
        if self._cut or self._full(publication):
            self._log.discarded[policy] += 1
            return
        self._waiting.append(publication)
        self._hold(publication, 1)
        if len(self._waiting) == 1:
            self._watch()

    def _watch(self) -> None:
        """The queue has moved: it must move again before the timeout, unless it is empty."""
        self._progress += 1
        if self._waiting and self._queue.send_timeout is not None:
            self._env.process(self._expire(self._progress, self._queue.send_timeout))

    def _expire(self, progress: int, timeout_s: float) -> Process:
        yield self._env.timeout(timeout_s)
        if self._progress == progress and self._waiting and not self._cut:
            self._end()

    def _end(self) -> None:
        while self._waiting:
            self._hold(self._waiting.popleft(), -1)
            self._log.discarded["disconnect"] += 1
        self._cut = True
        self._log.cuts.append((self._env.now, self._number))


def read_in_bursts(
    env: simpy.Environment, reader: BurstyReader, phase_s: float, work_s: float
) -> Process:
    """Read for `on`, rest for `off`, until `work_s` of reading is done."""
    cycle_s = reader.on + reader.off
    cycle = math.floor((env.now + phase_s) / cycle_s)
    while work_s >= 0.0:
        opens_s = cycle * cycle_s - phase_s
        room_s = opens_s + reader.on - max(env.now, opens_s)
        if room_s > 0.0:
            read_s = min(work_s, room_s)
            yield env.timeout(max(0.0, opens_s - env.now) + read_s)
            if read_s == work_s:
                return
            work_s -= read_s
        cycle += 1
