"""The garbage collector of `loop-turns`, for the oracle."""

from __future__ import annotations

from sim import draws
from sim.draws import Purpose
from sim.reference_stanzas import Surroundings
from topologies.profiles import LoopTurns


class Collector:
    """Garbage collection: cycles by allocation, each spent in steps by allocation."""

    def __init__(self, costs: LoopTurns, around: Surroundings) -> None:
        self._costs, self._around, self._key = costs, around, around.draw_key
        seed, replication, controller = around.draw_key
        start = draws.uniform_at(seed, Purpose.COLLECTION_START, replication, controller, 0)
        self._allocated = start * costs.collection_every
        self._left_s, self._cycles = 0.0, 0

    def collect_s(self, allocation: float) -> float:
        """Time taken for this much allocation. [s]"""
        if self._costs.collection == 0.0:
            return 0.0
        self._allocated += allocation
        if self._left_s == 0.0:
            if self._allocated < self._costs.collection_every:
                return 0.0
            self._begin()
            return self._step_s()
        spent_s = 0.0
        while self._left_s > 0.0 and self._allocated >= self._costs.collection_step_every:
            self._allocated -= self._costs.collection_step_every
            spent_s += self._step_s()
        if self._left_s == 0.0:
            self._allocated = 0.0
        return spent_s

    def _begin(self) -> None:
        seed, replication, controller = self._key
        normal = draws.normal_at(seed, Purpose.COLLECTION, replication, controller, self._cycles)
        length = max(0.0, 1.0 + self._costs.collection_cv * normal)
        self._left_s = self._around.speed * self._costs.collection * length
        self._allocated, self._cycles = 0.0, self._cycles + 1

    def _step_s(self) -> float:
        step_s = min(self._around.speed * self._costs.collection_step, self._left_s)
        self._left_s -= step_s
        return step_s

    def slow_down(self, factor: float) -> None:
        """What is left of a cycle takes so many times as long."""
        self._left_s *= factor
