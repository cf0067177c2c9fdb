"""The clock of a server that may stand still, for the oracle: work takes the longer for it."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Any

import simpy

from topologies import schema

FIRST_PRIORITY, LAST_PRIORITY = 0, 100


class StoppedClock:
    """A simulation's environment as a server sees it: what ends in or after a freeze ends later.

    Parameters
    ----------
    env : simpy.Environment
        Everybody's environment.
    freezes : sequence of schema.Freeze
        When the server stands still.
    """

    def __init__(self, env: simpy.Environment, freezes: Sequence[schema.Freeze]) -> None:
        self._env, self._freezes = env, sorted(freezes, key=lambda each: each.start)
        self.up_s = 0.0  # since when the server runs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._env, name)

    def schedule(self, event: simpy.Event, priority: int = 1, delay: float = 0.0) -> None:
        """What `simpy.Environment.schedule` does, on this clock."""
        instant_s = self._env.now + delay + self.pause_s(self._env.now, self._env.now + delay)
        heapq.heappush(self._env._queue, (instant_s, priority, next(self._env._eid), event))

    def timeout(self, delay_s: float) -> simpy.Event:
        """Work of this length."""
        event = simpy.Event(self._env)
        event._ok, event._value = True, None
        self.schedule(event, 1, delay_s)
        return event

    def pause_s(self, start_s: float, stop_s: float) -> float:
        """How long it stands still within work that would last from `start_s` to `stop_s`. [s]"""
        paused_s = 0.0
        for each in self._freezes:
            if start_s < each.start <= stop_s + paused_s:
                paused_s += each.duration
        return paused_s

    def stands_until(self) -> float | None:
        """If it stands still now, until when. [s]"""
        for each in self._freezes:
            if each.start <= self._env.now < each.start + each.duration:
                return each.start + each.duration
        return None

    def thawed_s(self, instant_s: float) -> float:
        """The instant, or when it goes on if it stands still then. [s]"""
        for each in self._freezes:
            if each.start <= instant_s < each.start + each.duration:
                return each.start + each.duration
        return instant_s

    def rest_s(self, since_s: float) -> float:
        """How long the server has rested by now that had nothing to do since then. [s]"""
        now_s: float = self._env.now
        begun = (each for each in self._freezes if each.start <= now_s)
        ends_s = (each.start + each.duration for each in begun)
        return max(0.0, now_s - max(since_s, self.up_s, *ends_s))

    def worked(self, start_s: float, stop_s: float) -> list[tuple[float, float]]:
        """What of a stretch of time is not standstill."""
        found = []
        for each in self._freezes:
            if start_s < each.start <= stop_s:
                found.append((start_s, each.start))
                start_s = each.start + each.duration
        return [*found, (start_s, stop_s)]


def freezes_of(topology: schema.Topology, controller: str) -> list[schema.Freeze]:
    """When a Controller stands still, or the cluster that it is a node of."""
    freezes = (each for each in topology.faults if isinstance(each, schema.Freeze))
    return [each for each in freezes if each.controller == controller.partition(" node ")[0]]


def cut_between(
    topology: schema.Topology, one: str, other: str, now_s: float
) -> schema.Partition | None:
    """The fault that keeps stanzas from going from one Controller to another now."""
    cuts = (each for each in topology.faults if isinstance(each, schema.Partition))
    for cut in cuts:
        lasts = cut.start <= now_s < cut.start + cut.duration
        if lasts and {one, other} == set(cut.link):
            return cut
    return None


def event_in(env: simpy.Environment, delay_s: float, priority: int) -> simpy.Event:
    """An event after a delay, of this priority among those of its instant."""
    event = simpy.Event(env)
    event._ok, event._value = True, None
    env.schedule(event, priority, delay_s)
    return event


def at(env: simpy.Environment, instant_s: float, priority: int = 1) -> simpy.Event:
    """An event at exactly this instant."""
    event = simpy.Event(env)
    event._ok, event._value = True, None
    heapq.heappush(env._queue, (instant_s, priority, next(env._eid), event))
    return event
