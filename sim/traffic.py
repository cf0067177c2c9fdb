"""Traffic on the graph of stations: which station works until when, and what lines carry between.

Stations that send nothing back to those that send to them work one after another, each in one go.
Stations on a cycle work side by side in windows: nothing that leaves a station in a window reaches
another before the window's end, since a window is no longer than the shortest delay on the cycle,
counted from the first instant at which anything can leave. So windows are exact, and skip silence.
"""

from __future__ import annotations

import numpy as np

from results.records import StationMode
from sim.controller import Controller
from sim.failovers import Whereabouts
from sim.inbound import server_rule
from sim.intake import Census
from sim.lines import Carrier, closures
from sim.network import Arrivals
from sim.state import Floats
from sim.stations import Graph, Line
from sim.study import Study, Tally


class Traffic:
    """All stations of a grid and the lines between them.

    Parameters
    ----------
    study : Study
        The replication.
    graph : Graph
        Its stations.
    where : Whereabouts
        At which of them Platforms are.
    """

    def __init__(self, study: Study, graph: Graph, where: Whereabouts) -> None:
        self._study, self._graph, self._where = study, graph, where
        self._census = Census(study.timetable, graph)
        self._stations = [
            Controller(study, graph, station, self._census) for station in graph.stations
        ]
        self._carriers = [self._carrier(line) for line in graph.lines]
        self._groups = [(group, _least_delay_s(graph, group)) for group in graph.cycles()]
        self._time_s = np.zeros(len(self._groups))
        self._limited = any(station.limited for station in self._stations)

    def _carrier(self, line: Line) -> Carrier:
        source, target = (self._graph.stations[end] for end in (line.source, line.target))
        envelope = source.profile.envelope
        beside = self._graph.beside(source.name, target.name)
        limits = target.node.limits
        return Carrier(
            line, self._stations[line.target].socket(line),
            (envelope.notification, envelope.relayed),
            closures(self._graph.topology, source.node.name, target.node.name),
            None if beside else server_rule(limits, target.profile),
            np.inf if beside or limits.server_stanza is None else limits.server_stanza,
        )  # fmt: skip

    def publish(self, arrivals: Arrivals, until_s: float, dropped: Arrivals | None = None) -> None:
        """All publications that arrive next, and before `until_s`, each at its Platform's home.

        Those `dropped` would have arrived too, if their Platforms had been online.
        """
        if dropped is not None:
            self._drop(dropped)
        if not len(arrivals) and not self._limited:
            return
        kind = self._census.kind(arrivals)
        self._census.count(kind, arrivals.topic, arrivals.publisher)
        if len(self._stations) == 1:
            self._stations[0].publish(arrivals, kind, until_s)
            return
        home = self._where.of(arrivals.publisher)
        for number, station in enumerate(self._stations):
            own = home == number
            station.publish(arrivals[own], kind[own], until_s)

    def _drop(self, dropped: Arrivals) -> None:
        self._census.count(self._census.kind(dropped), dropped.topic, dropped.publisher)
        home = self._where.of(dropped.publisher)
        for number, station in enumerate(self._stations):
            station.drop(dropped[home == number])

    def turn(self, now_s: float, online_s: Floats) -> None:
        """Let copies and publications go where Platforms are now that are `online_s`. [s]"""
        moved = self._where.passed(now_s, online_s)
        if moved is not None:
            for station in self._stations:
                station.turn(self._where, moved)

    @property
    def presence_s(self) -> float:
        """When the next presence comes upon which something stored goes out. [s]"""
        return min(station.presence_s for station in self._stations)

    def present(self, now_s: float) -> None:
        """Send what is stored to those whose presences come now."""
        for station in self._stations:
            station.present(now_s)

    @property
    def stations(self) -> list[Controller]:
        """All stations."""
        return self._stations

    def carry(self, end_s: float) -> None:
        """Everything before `end_s`; all publications that arrive before are known."""
        for place, (group, delay_s) in enumerate(self._groups):
            while self._time_s[place] < end_s:
                until_s = end_s
                if len(group) > 1:
                    now_s = float(self._time_s[place])
                    quiet_s = min(self._stations[each].idle_until_s(now_s) for each in group)
                    until_s = min(end_s, max(quiet_s, now_s) + delay_s)
                    assert until_s > now_s, "a window without a length never ends"
                for number in group:
                    self._stations[number].carry(until_s)
                for number in group:
                    self._send_on(number)
                self._time_s[place] = until_s

    def _send_on(self, number: int) -> None:
        for line, dispatches, kinds in self._stations[number].sent():
            jobs = self._carriers[line.number].carry(dispatches, kinds)
            self._stations[line.target].receive(line, jobs)

    def close(self) -> list[Tally]:
        """What each station has counted."""
        outcomes = self._stations[0].outcomes
        if self._graph.lines:
            outcomes = outcomes.copy()
            for station in self._stations[1:]:
                others = station.outcomes
                np.minimum(outcomes["first_s"], others["first_s"], out=outcomes["first_s"])
                np.maximum(outcomes["last_s"], others["last_s"], out=outcomes["last_s"])
                outcomes["delivered"] += others["delivered"]
        return [
            station.close(outcomes if self._graph.lines else station.outcomes)
            for station in self._stations
        ]


def modes(graph: Graph) -> dict[int, StationMode]:
    """How the stations of cycles are worked; the others as their discipline has it."""
    return {number: "windowed" for group in graph.cycles() if len(group) > 1 for number in group}


def _least_delay_s(graph: Graph, group: list[int]) -> float:
    """Shortest delay of a line within a group of stations. [s]"""
    within = (line.delay_s for line in graph.lines if line.source in group and line.target in group)
    return min(within, default=np.inf)
