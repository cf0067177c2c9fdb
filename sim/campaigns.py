"""What happens to a grid from outside: faults and slow machines, as SimPy processes.

They act on the control plane, each at one instant, before the traffic of that instant.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
import simpy

from sim.controller import Controller
from sim.sessions import Sessions
from sim.spells import paces
from sim.stations import Graph
from sim.study import Study
from topologies.schema import Crash, Freeze, Outage, SlowDown

Process = Generator[simpy.Event, Any, None]


class Campaign:
    """The faults of a topology, and what slows its machines.

    Parameters
    ----------
    control : simpy.Environment
        The control plane.
    study : Study
        The replication.
    graph : Graph
        The stations of the topology whose faults they are.
    sessions : Sessions, optional
        What Platforms lose, and how they come back; none if they never lose any.
    stations : sequence of Controller
        The servers, in the graph's order.
    """

    def __init__(
        self, control: simpy.Environment, study: Study, graph: Graph, sessions: Sessions | None,
        stations: Sequence[Controller],
    ) -> None:  # fmt: skip
        self._control, self._graph = control, graph
        self._sessions, self._stations = sessions, stations
        for station in stations:
            if not station.station.node.steady:
                control.process(self._slow_in_spells(study, station))
        for fault in graph.topology.faults:
            match fault:
                case Outage():
                    control.process(self._cut_power(fault))
                case Crash():
                    control.process(self._crash(fault))
                case Freeze():
                    control.process(self._freeze(fault))
                case SlowDown():
                    control.process(self._slow_down(fault))

    def _struck(self, fault: Crash | Freeze | SlowDown) -> list[tuple[int, Controller]]:
        """The station of a Controller, or all nodes of one that is a cluster; no component."""
        names = [each.name for each in self._graph.topology.controllers]
        return [
            (number, station)
            for number, station in enumerate(self._stations)
            if names[station.station.controller] == fault.controller
            and station.station.place is not None
        ]

    def _crash(self, fault: Crash) -> Process:
        """A Controller dies; at the end of the fault it is up again."""
        yield self._control.timeout(fault.start)
        until_s = fault.start + fault.duration
        for number, station in self._struck(fault):
            if self._sessions is None:
                station.crash(self._control.now, until_s)
                continue
            own = self._sessions.crash(number, self._control.now, until_s, fault.notice)
            station.crash(self._control.now, until_s)
            nobody = np.zeros(len(own), np.bool_)
            station.cut_off(own, self._sessions.stamps(own), nobody, self._control.now)
        yield self._control.timeout(until_s - self._control.now)

    def _freeze(self, fault: Freeze) -> Process:
        """A Controller stands still; at the end of the fault it goes on."""
        yield self._control.timeout(fault.start)
        until_s = fault.start + fault.duration
        for number, station in self._struck(fault):
            station.freeze(self._control.now, fault.duration, until_s)
            if self._sessions is not None:
                self._sessions.sockets.close(number, until_s)
        yield self._control.timeout(until_s - self._control.now)

    def _slow_down(self, fault: SlowDown) -> Process:
        """A Controller is slower until the end of the fault."""
        yield self._control.timeout(fault.start)
        own = self._struck(fault)
        for _, station in own:
            station.slow_down(fault.factor)
        yield self._control.timeout(fault.start + fault.duration - self._control.now)
        for _, station in own:
            station.slow_down(1.0 / fault.factor)

    def _slow_in_spells(self, study: Study, station: Controller) -> Process:
        """A station is slower and faster in turn, until the run ends."""
        pace, duration_s = 1.0, study.timetable.duration_s
        end = self._control.timeout(duration_s)
        key = study.seed, study.replication, station.station.machine
        for instant_s, factor in paces(station.station.node, key, duration_s):
            yield self._control.timeout(instant_s - self._control.now)
            station.slow_down(factor / pace)
            pace = factor
        yield end
        station.slow_down(1.0 / pace)

    def _cut_power(self, fault: Outage) -> Process:
        """The Platforms of a population vanish; they come back one by one."""
        assert self._sessions is not None
        names = [population.name for population in self._graph.topology.platforms]
        yield self._control.timeout(fault.start)
        struck = self._sessions.cut_off(
            self._sessions.population == names.index(fault.population),
            self._control.now,
            fault.start + fault.duration,
            fault.spread,
            remember=fault.kind == "disconnect",
        )
        home = self._sessions.station(struck)
        for number, station in enumerate(self._stations):
            own = struck[home == number]
            asleep = self._sessions.resumes(own)
            station.cut_off(own, self._sessions.stamps(own), asleep, self._control.now)
