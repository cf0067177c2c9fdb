"""The grid at work: SimPy conducts, compiled kernels carry.

The control plane is made of SimPy processes: what changes at an instant, and who looks. Between two
of its events nothing but traffic happens, and that is carried there in one go.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from typing import Any

import simpy

from sim.campaigns import Campaign
from sim.failovers import Whereabouts
from sim.fetches import completed, direct
from sim.network import Uplink
from sim.presences import ToldSessions
from sim.requests import Requests, merged
from sim.session_books import logging_in
from sim.sessions import Sessions
from sim.state import Floats
from sim.stations import Graph
from sim.study import Study, Tally
from sim.surges import Surges
from sim.traffic import Traffic
from sim.walks import Walks
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
        traced = study.traced or bool(direct(study.topology).any())
        walks = Walks(graph := Graph(study.topology, profiles), traced)
        if walks.any or traced:  # pages and fetches follow from deliveries
            study = replace(study, traced=True)
        self._study, self._uplink = study, Uplink(plan, profiles)
        self._plan, self._graph = plan, graph
        self._where = Whereabouts(graph)
        self._traffic, self._now_s = Traffic(study, graph, self._where), 0.0
        self._control = simpy.Environment()
        self._requests = Requests(plan, graph, study.seed, walks)
        for station in self._traffic.stations:
            station.subscriptions.first_row = self._requests.first_row
        self._sessions: Sessions | None = None
        if any(population.login is not None for population in study.topology.platforms):
            self._sessions = ToldSessions(study, graph, self._where, self._requests.log_in)
        self._surges = None
        if self._sessions is not None:
            self._surges = Surges(study, graph, self._sessions, self._traffic.stations)
        Campaign(self._control, study, graph, self._sessions, self._traffic.stations)
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
        tallies = completed(self._study, self._plan, self._graph, self._traffic.close())
        if self._sessions is None:
            return tallies
        sessions, topology = self._sessions.close(), self._study.topology
        return [
            replace(tally, sessions=sessions.of(logging_in(topology, tally.controller)))
            for tally in tallies
        ]

    def login_latency_s(self) -> Floats:
        """How long the last login of each Platform took that is online after one. [s]"""
        assert self._sessions is not None
        return self._sessions.latency_s()

    @property
    def plan_sha256(self) -> str:
        """Hash of the plan that was played."""
        return self._uplink.sha256

    def _carry(self, end_s: float) -> None:
        """Traffic until `end_s`."""
        if self._sessions is not None:
            self._carry_sessions(self._sessions, end_s)
            return
        for arrivals, until_s in self._uplink.windows(end_s):
            requests = self._requests.take(until_s)
            self._traffic.publish(merged(arrivals, requests), until_s)
            self._traffic.carry(until_s)

    def _carry_sessions(self, sessions: Sessions, end_s: float) -> None:
        """Traffic until `end_s`, in windows that no answer to a login can reach back into."""
        while self._now_s < end_s:
            assert self._surges is not None
            self._surges.carry(self._now_s, self._uplink.next_s, self._study.horizon_s)
            decided_s, until_s = sessions.horizon(self._now_s)
            until_s = min(until_s, self._surges.begin_s(self._now_s, decided_s))
            self._traffic.turn(self._now_s, sessions.online_s)
            self._traffic.present(self._now_s)
            until_s = min(until_s, end_s, self._where.next_s, self._traffic.presence_s)
            if (requests := self._requests).walks.any:
                until_s = min(until_s, requests.walks.horizon_s(self._now_s, requests.next_s))
            arrivals, until_s = self._uplink.window(self._now_s, until_s)
            assert until_s > self._now_s, "a window without a length never ends"
            arrivals = merged(arrivals, self._requests.take(until_s, sessions.online_s))
            messages = sessions.messages(min(decided_s, until_s), until_s, end_s)
            sent = sessions.sent(arrivals.publisher, arrivals.intended_s)
            if sent.all():
                self._traffic.publish(arrivals, until_s)
            else:
                self._traffic.publish(arrivals[sent], until_s, arrivals[~sent])
            for station, own in zip(self._traffic.stations, messages, strict=True):
                station.greet(own)
            self._traffic.carry(until_s)
            for number, station in enumerate(self._traffic.stations):
                sessions.answered(number, station.answers(until_s))
            if requests.walks.any:
                servers = [station.server for station in self._traffic.stations]
                requests.want(requests.walks.following(servers, sessions.online_s))
            self._now_s = until_s

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
