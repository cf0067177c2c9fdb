"""The grid at work: SimPy conducts, compiled kernels carry.

The control plane is made of SimPy processes: what changes at an instant, and who looks. Between two
of its events nothing but traffic happens, and that is carried there in one go.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any

import simpy

from sim.network import Uplink
from sim.stations import Graph
from sim.study import Study, Tally
from sim.traffic import Traffic
from topologies.plan import Plan
from topologies.profiles import Profile

Watch = Callable[[float], None]


class Grid:
    """A topology's Controllers, wired to one plan of publications.

    Parameters
    ----------
    study : Study
        The replication.
    plan : Plan
        Its publications.
    profiles : mapping of str to Profile
        The profile of each Controller.
    window_s : float, optional
        Longest stretch that traffic is carried in one go; results do not depend on it. [s]
    watch : callable, optional
        Called with the share of the run that is done at each interval's end. [1]
    """

    def __init__(
        self,
        study: Study,
        plan: Plan,
        profiles: Mapping[str, Profile],
        *,
        window_s: float | None = None,
        watch: Watch | None = None,
    ) -> None:
        self._study, self._uplink = study, Uplink(plan, profiles)
        self._traffic = Traffic(study, Graph(study.topology, profiles))
        self._control = simpy.Environment()
        self._control.process(self._pass(study.timetable.segment_edges_s.tolist()))
        if window_s is not None:
            self._control.process(self._tick(window_s))
        if watch is not None:
            self._control.process(self._report(watch))

    def run(self) -> list[Tally]:
        """Play the whole plan, drain it, and return what each Controller counted."""
        duration_s = self._study.timetable.duration_s
        while self._control.peek() <= duration_s:
            self._carry(self._control.peek())
            self._control.step()
        self._carry(self._study.horizon_s)
        return self._traffic.close()

    @property
    def plan_sha256(self) -> str:
        """Hash of the plan that was played."""
        return self._uplink.sha256

    def _carry(self, end_s: float) -> None:
        """Traffic until `end_s`."""
        for arrivals, until_s in self._uplink.windows(end_s):
            self._traffic.publish(arrivals, until_s)
            self._traffic.carry(until_s)

    def _pass(self, edges_s: list[float]) -> Generator[simpy.Event, Any, None]:
        """Phases pass: each begins with an event of the control plane."""
        for edge_s in edges_s:
            yield self._control.timeout(edge_s - self._control.now)

    def _tick(self, window_s: float) -> Generator[simpy.Event, Any, None]:
        while True:
            yield self._control.timeout(window_s)

    def _report(self, watch: Watch) -> Generator[simpy.Event, Any, None]:
        timetable = self._study.timetable
        for edge_s in timetable.edges_s.tolist():
            yield self._control.timeout(edge_s - self._control.now)
            watch(edge_s / timetable.duration_s)
