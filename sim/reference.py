"""The oracle: the same grid as the compiled engine, stanza by stanza, slow and plain.

Every copy is a SimPy process that waits for the egress link, travels, and waits for its Platform's
reader. The compiled engine must give the same instants to 1e-9. `run` is also the engine of
`gridlab simulate --engine reference`, about a hundred times slower.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import simpy

from results import histogram
from sim import draws
from sim.draws import Purpose
from sim.intake import ROLES, Intake
from sim.network import Arrivals
from sim.platforms import residents, session_count
from sim.reference_inbound import Door
from sim.reference_servers import (
    FanoutProcessServer,
    FifoServer,
    LoopTurnsServer,
    Publication,
    Surroundings,
)
from sim.state import DELIVERY, INTERVAL, Records
from sim.study import HistogramKey, Sparse, Study, Tally
from topologies import schema
from topologies.plan import Plan, subscribers
from topologies.profiles import FanoutProcess, Fifo, LoopTurns, Profile

Floats = npt.NDArray[np.float64]


def run(study: Study, plan: Plan, profiles: Mapping[str, Profile]) -> list[Tally]:
    """Play the whole plan on every Controller, one after the other."""
    return [
        ReferenceController(study, plan, node, profiles[node.name]).run()
        for node in study.topology.controllers
    ]


class ReferenceController:
    """One Controller, its egress link and its Platforms' readers, as SimPy processes."""

    def __init__(self, study: Study, plan: Plan, node: schema.Controller, profile: Profile) -> None:
        self._study, self._node, self._profile = study, node, profile
        self._env = simpy.Environment()
        self._link = simpy.Resource(self._env)
        self._readers: dict[int, simpy.Resource] = {}
        self._counts = np.array([each.count for each in study.topology.platforms])
        self._first = np.cumsum(self._counts) - self._counts
        self._publications = self._arriving(plan)
        self._levels: list[tuple[float, int, float]] = []  # instant, copies held, their bytes
        self._held, self._held_bytes = 0, 0.0
        self._busy: list[tuple[float, float]] = []
        self._written: list[tuple[float, Publication]] = []
        self._sent: list[tuple[float, float]] = []
        self._received: list[tuple[Publication, int, float]] = []

    def run(self) -> Tally:
        """Play, drain up to the horizon, and count."""
        number = self._study.topology.controllers.index(self._node)
        costs = self._profile.costs
        self._cores = 1 if isinstance(costs, LoopTurns) else self._node.cores
        around = Surroundings(
            self._env, self._cores, self._profile.speed,
            (self._study.seed, self._study.replication, number),
            self._send, lambda start_s, stop_s: self._busy.append((start_s, stop_s)), self._hold,
        )  # fmt: skip
        server: LoopTurnsServer | FanoutProcessServer | FifoServer
        match costs:
            case LoopTurns():
                server = LoopTurnsServer(costs, around)
            case FanoutProcess():
                server = FanoutProcessServer(costs, around)
            case Fifo():
                server = FifoServer(costs, around)
        limits = self._node.limits
        self._door = Door(self._env, self._node, self._profile, server.receive)
        limited = limits.client or limits.client_stanza or limits.account.rate
        enter = self._door.arrive if limited else server.receive
        for publication in self._publications:
            arrival = self._env.timeout(publication.reached_s)
            arrival.callbacks.append(lambda _, publication=publication: enter(publication))
        self._env.run(until=self._study.horizon_s)
        return self._tally()

    def _arriving(self, plan: Plan) -> list[Publication]:
        """The plan's publications of this Controller in order of arrival."""
        topology, rows = self._study.topology, plan.columns()
        homes = {broker.name: broker.controller for broker in topology.brokers}
        lists = [
            subscribers(topology, number, self._study.seed).tolist()
            if homes[topic.broker] == self._node.name
            else None
            for number, topic in enumerate(topology.topics)
        ]
        key = (self._study.seed, Purpose.SERVICE, self._study.replication)
        factors = draws.lognormals(*key, np.arange(len(rows)), self._profile.costs.cv)
        found: list[Publication] = []
        free_s: dict[int, float] = {}  # when a Platform's own uplink is free
        for row in range(len(rows)):
            receivers = lists[rows.topic[row]]
            if receivers is not None:
                publisher = int(rows.publisher[row])
                network = self._population(publisher).network
                intended_s, payload = float(rows.intended_s[row]), float(rows.payload_bytes[row])
                sent_s = intended_s
                if network.uplink is not None:
                    size_bytes = payload + self._profile.publication_bytes
                    begun_s = max(intended_s, free_s.get(publisher, 0.0))
                    free_s[publisher] = sent_s = begun_s + size_bytes / network.uplink
                found.append(
                    Publication(
                        row=row,
                        reached_s=sent_s + network.delay,
                        arrival_s=sent_s + network.delay,
                        intended_s=intended_s,
                        publisher=publisher,
                        topic=int(rows.topic[row]),
                        payload_bytes=payload,
                        factor=float(factors[row]),
                        subscribers=receivers,
                    )
                )
        return sorted(found, key=lambda publication: publication.reached_s)

    def _population(self, platform: int) -> schema.Population:
        place = int(np.searchsorted(self._first, platform, side="right")) - 1
        return self._study.topology.platforms[place]

    def _hold(self, publication: Publication, copies: int) -> None:
        self._held += copies
        self._held_bytes += copies * publication.payload_bytes
        self._levels.append((self._env.now, self._held, self._held_bytes))

    def _send(self, publication: Publication, platform: int) -> None:
        self._written.append((self._env.now, publication))
        self._env.process(self._travel(publication, platform))

    def _travel(self, publication: Publication, platform: int) -> Generator[simpy.Event, Any, None]:
        """A copy's way from the server's write to the end of its Platform's reading."""
        wire_bytes = publication.payload_bytes + self._profile.envelope.notification
        population = self._population(platform)
        with self._link.request() as turn:
            yield turn
            yield self._env.timeout(wire_bytes / self._node.nic)
        self._sent.append((self._env.now, wire_bytes))
        yield self._env.timeout(population.network.delay)
        if population.read_rate is not None:
            reader = self._readers.setdefault(platform, simpy.Resource(self._env))
            with reader.request() as turn:
                yield turn
                yield self._env.timeout(1.0 / population.read_rate)
        self._received.append((publication, platform, self._env.now))

    def _tally(self) -> Tally:
        """The same figures as the compiled engine's, from lists of all that happened."""
        study = self._study
        home = residents(study.topology, self._node.name, study.seed)
        adversaries = np.array([each.role == "adversary" for each in study.topology.platforms])
        intake = Intake(study.timetable, home, adversaries, study.row_stride)
        refused = {each.row for each in self._door.refused}
        unread = self._door.waiting
        self._handled = [each for each in self._publications if each.row not in refused | unread]
        rejected = sum(len(each.subscribers) for each in self._door.refused)
        copies, arrivals = _copies(self._handled), self._arrivals(self._handled)
        intake.enter(arrivals, intake.kind(arrivals), copies)
        for chosen in (refused, unread):
            away = [each for each in self._publications if each.row in chosen]
            turned = self._arrivals(away)
            intake.turn_away(turned, intake.kind(turned), _copies(away), refused=chosen is refused)
        changes = self._owed(copies)
        lasts = [stop for _, stop in self._busy] + [instant for _, _, instant in self._received]
        drained_s = max([study.timetable.duration_s, changes[0][-1], *lasts])
        expected = sum(len(each.subscribers) for each in self._publications)
        busy_s = sum(stop - start for start, stop in self._busy)
        return Tally(
            controller=self._node.name,
            cores=self._cores,
            intervals=self._intervals(arrivals, changes, drained_s),
            offered=intake.offered,
            legitimate=intake.legitimate,
            accepted=intake.accepted,
            refused=intake.refused,
            histograms=self._histograms(),
            publications=self._rows(intake),
            expected=expected,
            delivered=len(self._received),
            rejected=rejected,
            lost=expected - rejected - len(self._received),
            drained_s=drained_s,
            idle_s=self._cores * drained_s - busy_s,
            owed_area_s=float((np.diff(changes[0]) * np.cumsum(changes[1])[:-1]).sum()),
            sojourn_s=self._sojourn_s(copies),
            trace=self._trace(),
        )

    def _arrivals(self, publications: list[Publication]) -> Arrivals:
        columns = (
            "row", "arrival_s", "intended_s", "publisher", "topic", "payload_bytes", "reached_s",
        )  # fmt: skip
        kinds = (np.int64, np.float64, np.float64, np.uint32, np.uint16, np.float64, np.float64)
        return Arrivals(
            *(
                np.array([getattr(each, name) for each in publications], kind)
                for name, kind in zip(columns, kinds, strict=True)
            )
        )

    def _owed(self, copies: npt.NDArray[np.int64]) -> tuple[Floats, npt.NDArray[np.int64]]:
        """Instants at which the number of copies owed changes, and by how much."""
        arrived_s = [each.arrival_s for each in self._handled]
        written_s = [instant for instant, _ in self._written]
        unwritten = int(copies.sum()) - len(written_s)
        ends_s = [self._study.horizon_s] if unwritten else []
        instants_s = np.array([0.0, *arrived_s, *written_s, *ends_s])
        steps = np.array([0, *copies, *[-1] * len(written_s), *[-unwritten] * len(ends_s)])
        order = np.argsort(instants_s, kind="stable")
        return instants_s[order], steps[order]

    def _sojourn_s(self, copies: npt.NDArray[np.int64]) -> float:
        """Time that copies were owed, all together. [s]"""
        missing = {each.row: int(n) for each, n in zip(self._handled, copies, strict=True)}
        total_s = 0.0
        for instant, publication in self._written:
            total_s += instant - publication.arrival_s
            missing[publication.row] -= 1
        for publication in self._handled:
            left_s = self._study.horizon_s - publication.arrival_s
            total_s += missing[publication.row] * left_s
        return total_s

    def _intervals(
        self, arrivals: Arrivals, changes: tuple[Floats, npt.NDArray[np.int64]], drained_s: float
    ) -> Records:
        table, deadline_s = self._study.timetable, self._study.topology.slo.deadline
        rows = np.zeros(len(table.edges_s), INTERVAL)
        rows["start_s"], rows["end_s"] = table.edges_s, np.append(table.edges_s[1:], drained_s)
        for start_s, stop_s in self._busy:
            overlap_s = np.minimum(stop_s, np.append(table.edges_s[1:], np.inf))
            rows["busy_s"] += np.maximum(overlap_s - np.maximum(start_s, rows["start_s"]), 0.0)
        for instant, wire_bytes in self._sent:
            rows["egress_bytes"][self._interval(instant)] += wire_bytes
        for publication, _, instant in self._received:
            rows["received"][self._interval(instant)] += 1
            if self._role(publication) == ROLES[0]:
                latency_s = instant - publication.intended_s
                row = rows[self._interval(publication.intended_s)]
                row["latencies"] += 1
                row["latency_s"] += latency_s
                row["timely"] += latency_s <= deadline_s
        _most(rows, "backlog", changes[0], np.cumsum(changes[1]))
        queued = self._profile.memory.queued_copy
        levels = [(0.0, 0, 0.0), *self._levels]
        held = np.array([count * queued + size for _, count, size in levels])
        _most(rows, "memory_bytes", np.array([instant for instant, _, _ in levels]), held)
        rows["memory_bytes"] += self._idle_memory()
        return rows

    def _interval(self, instant_s: float) -> int:
        return int(self._study.timetable.intervals(np.array([instant_s]))[0])

    def _idle_memory(self) -> float:
        memory, topology = self._profile.memory, self._study.topology
        home = residents(topology, self._node.name, self._study.seed)
        sessions = session_count(topology, self._node.name)
        subscriptions = memory.subscription * len(home.subscribers)
        return memory.base + memory.session * sessions + subscriptions

    def _role(self, publication: Publication) -> str:
        return self._population(publication.publisher).role

    def _histograms(self) -> dict[HistogramKey, Sparse]:
        topology, table = self._study.topology, self._study.timetable
        latencies: dict[HistogramKey, list[float]] = {}
        outcomes = {(each.row, to): instant for each, to, instant in self._received}
        for publication in self._publications:
            segment = int(table.segments(np.array([publication.intended_s]))[0])
            topic, role = topology.topics[publication.topic].name, self._role(publication)
            for subscriber in publication.subscribers:
                population = self._population(subscriber).name
                received_s = outcomes.get((publication.row, subscriber), np.inf)
                key = (segment, topic, population, role)
                latencies.setdefault(key, []).append(received_s - publication.intended_s)
        return {key: histogram.sparse(histogram.count(values)) for key, values in latencies.items()}

    def _rows(self, intake: Intake) -> dict[str, npt.NDArray[Any]]:
        received: dict[int, list[float]] = {}
        for publication, _, instant in self._received:
            received.setdefault(publication.row, []).append(instant)
        rows = intake.rows()
        instants = [received.get(int(row), []) for row in rows["publication"]]
        return rows | {
            "first_s": np.array([min(each, default=np.nan) for each in instants]),
            "last_s": np.array([max(each, default=np.nan) for each in instants]),
            "delivered": np.array([len(each) for each in instants], np.int64),
        }

    def _trace(self) -> Records:
        trace = np.zeros(len(self._received), DELIVERY)
        trace["row"] = [publication.row for publication, _, _ in self._received]
        trace["platform"] = [platform for _, platform, _ in self._received]
        trace["received_s"] = [instant for _, _, instant in self._received]
        return trace


def _copies(publications: list[Publication]) -> npt.NDArray[np.int64]:
    return np.array([len(each.subscribers) for each in publications], np.int64)


def _most(rows: Records, column: str, instants_s: Floats, levels: npt.NDArray[Any]) -> None:
    """The highest level within each interval, the one at its start included."""
    before = np.searchsorted(instants_s, rows["start_s"], side="right") - 1
    after = np.searchsorted(instants_s, rows["end_s"], side="left")
    for row, first, last in zip(rows, before, after, strict=True):
        row[column] = levels[max(first, 0) : max(last, first + 1)].max(initial=0)
