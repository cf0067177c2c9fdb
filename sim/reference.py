"""The oracle: the same grid as the compiled engine, stanza by stanza, slow and plain.

Every copy is a SimPy process that waits for the egress link, then travels and waits for its
Platform's reader, or for the line to another Controller. The compiled engine must give the same
instants to 1e-9. `run` is also the engine of `gridlab simulate --engine reference`, about a hundred
times slower.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import simpy

from results import histogram
from sim import draws
from sim.draws import Purpose
from sim.intake import ROLES, Census, Intake
from sim.network import Arrivals
from sim.platforms import residents, session_count
from sim.reference_inbound import Door
from sim.reference_servers import (
    FanoutProcessServer,
    FifoServer,
    LoopTurnsServer,
    Publication,
    Socket,
    Surroundings,
    Target,
)
from sim.state import DELIVERY, INTERVAL, Records
from sim.stations import Graph
from sim.study import HistogramKey, Sparse, Study, Tally
from topologies import schema
from topologies.plan import Plan, subscribers
from topologies.profiles import FanoutProcess, Fifo, LoopTurns, Profile

Floats = npt.NDArray[np.float64]
Received = tuple[Publication, int, float]  # stanza, Platform, instant
FAN_OUT, EVERYBODY = "a publication", "everybody"


def run(study: Study, plan: Plan, profiles: Mapping[str, Profile]) -> list[Tally]:
    """Play the whole plan on all Controllers and drain it up to the horizon."""
    env = simpy.Environment()
    grid = {
        node.name: ReferenceController(study, env, node, profiles[node.name])
        for node in study.topology.controllers
    }
    people = Directory(study.topology)
    published = _publications(study, plan, people, profiles)
    for stanza in published:
        home = grid[people.home(stanza.publisher)]
        home.expect(stanza)
        arrival = env.timeout(stanza.reached_s)
        arrival.callbacks.append(lambda _, home=home, stanza=stanza: home.enter(stanza))
    for controller in grid.values():
        controller.connect(grid)
    env.run(until=study.horizon_s)
    graph = Graph(study.topology, profiles)
    census, arrivals = Census(study.timetable, graph), _columns(published)
    census.count(census.kind(arrivals), arrivals.topic)
    refused = [each for controller in grid.values() for each in controller.refused]
    census.refuse(_columns(refused).topic)
    received = [entry for controller in grid.values() for entry in controller.received]
    return [controller.tally(graph, census, published, received) for controller in grid.values()]


class Directory:
    """Who lives where."""

    def __init__(self, topology: schema.Topology) -> None:
        self._populations = topology.platforms
        counts = np.array([each.count for each in topology.platforms])
        self._first = np.cumsum(counts) - counts

    def population(self, platform: int) -> schema.Population:
        """A Platform's population."""
        return self._populations[int(np.searchsorted(self._first, platform, side="right")) - 1]

    def home(self, platform: int) -> str:
        """A Platform's Controller."""
        return self.population(platform).controller


def _publications(
    study: Study, plan: Plan, people: Directory, profiles: Mapping[str, Profile]
) -> list[Publication]:
    """The plan's publications in the order in which they reach their Controllers."""
    topology, rows = study.topology, plan.columns()
    owners = {broker.name: broker.controller for broker in topology.brokers}
    key = (study.seed, Purpose.SERVICE, study.replication)
    spread = {
        name: draws.lognormals(*key, np.arange(len(rows)), profiles[name].costs.cv)
        for name in owners.values()
    }
    found = []
    free_s: dict[int, float] = {}  # when a Platform's own uplink is free
    for row in range(len(rows)):
        publisher, topic = int(rows.publisher[row]), int(rows.topic[row])
        network = people.population(publisher).network
        intended_s, payload = float(rows.intended_s[row]), float(rows.payload_bytes[row])
        sent_s = intended_s
        if network.uplink is not None:
            size_bytes = payload + profiles[people.home(publisher)].publication_bytes
            begun_s = max(intended_s, free_s.get(publisher, 0.0))
            free_s[publisher] = sent_s = begun_s + size_bytes / network.uplink
        found.append(
            Publication(
                row=row,
                reached_s=sent_s + network.delay,
                arrival_s=sent_s + network.delay,
                intended_s=intended_s,
                socket=publisher,
                publisher=publisher,
                topic=topic,
                payload_bytes=payload,
                spread=float(spread[owners[topology.topics[topic].broker]][row]),
                published=True,
                copies=[],
            )
        )
    return sorted(found, key=lambda publication: publication.reached_s)


def _columns(stanzas: Sequence[Publication]) -> Arrivals:
    columns = (
        "row", "arrival_s", "intended_s", "publisher", "topic", "payload_bytes", "reached_s",
    )  # fmt: skip
    kinds = (np.int64, np.float64, np.float64, np.uint32, np.uint16, np.float64, np.float64)
    return Arrivals(
        *(
            np.array([getattr(each, name) for each in stanzas], kind)
            for name, kind in zip(columns, kinds, strict=True)
        )
    )


class ReferenceController:
    """One Controller, its egress link, lines and its Platforms' readers, as SimPy processes."""

    def __init__(
        self, study: Study, env: simpy.Environment, node: schema.Controller, profile: Profile
    ) -> None:
        self._study, self._env, self._node, self._profile = study, env, node, profile
        self._topology, self._people = study.topology, Directory(study.topology)
        self._names = [each.name for each in self._topology.controllers]
        self._link = simpy.Resource(env)
        self._readers: dict[int, simpy.Resource] = {}
        self._grid: Mapping[str, ReferenceController] = {}
        self._lines: dict[str, simpy.Resource] = {}
        self._own: list[Publication] = []
        self._stanzas: list[Publication] = []
        self._levels: list[tuple[float, int, float]] = []  # instant, copies held, their bytes
        self._held, self._held_bytes = 0, 0.0
        self._busy: list[tuple[float, float]] = []
        self._written: list[tuple[float, Publication]] = []
        self._sent: list[tuple[float, float]] = []
        self.received: list[Received] = []
        self._cores = 1 if isinstance(profile.costs, LoopTurns) else node.cores
        self._server = self._serving()
        self._door = Door(env, node, profile, lambda stanza: self.take(stanza, FAN_OUT))

    def _serving(self) -> LoopTurnsServer | FanoutProcessServer | FifoServer:
        number = self._names.index(self._node.name)
        receive_s, per_byte = self._profile.receive_s()
        around = Surroundings(
            self._env, self._cores, self._profile.speed,
            (self._study.seed, self._study.replication, number),
            self._send, lambda start_s, stop_s: self._busy.append((start_s, stop_s)), self._hold,
            lambda payload_bytes: receive_s + per_byte * payload_bytes,
        )  # fmt: skip
        match self._profile.costs:
            case LoopTurns() as costs:
                return LoopTurnsServer(costs, around)
            case FanoutProcess() as costs:
                return FanoutProcessServer(costs, around)
            case Fifo() as costs:
                return FifoServer(costs, around)

    def connect(self, grid: Mapping[str, ReferenceController]) -> None:
        """Get to know the others."""
        self._grid = grid
        self._lines = {name: simpy.Resource(self._env) for name in grid}

    def expect(self, stanza: Publication) -> None:
        """One of its own Platforms publishes."""
        self._own.append(stanza)

    def enter(self, stanza: Publication) -> None:
        """A publication of one of its own Platforms reaches it."""
        limits = self._node.limits
        limited = limits.client or limits.client_stanza or limits.account.rate
        if limited:
            self._door.arrive(stanza)
        else:
            self.take(stanza, FAN_OUT)

    def take(self, stanza: Publication, target: Target) -> None:
        """A stanza for somebody has come: decide who gets copies, and hand it to the server."""
        owner = self._owner(stanza.topic)
        published = target == FAN_OUT and owner == self._node.name
        copies: list[tuple[Socket, Target]]
        if published:
            copies = self._fan_out(self._subscribers(stanza.topic))
        elif target == FAN_OUT:
            copies = [(owner, FAN_OUT)]
        elif target == EVERYBODY:
            chosen = self._subscribers(stanza.topic)
            copies = [(each, each) for each in chosen if self._lives_here(each)]
        else:
            assert isinstance(target, int)
            copies = [(target, target)]
        stanza = replace(stanza, published=published, copies=copies)
        self._stanzas.append(stanza)
        self._server.receive(stanza)

    def _owner(self, topic: int) -> str:
        name = self._topology.topics[topic].broker
        return next(each.controller for each in self._topology.brokers if each.name == name)

    def _subscribers(self, topic: int) -> list[int]:
        return [int(each) for each in subscribers(self._topology, topic, self._study.seed)]

    def _lives_here(self, platform: int) -> bool:
        return self._people.home(platform) == self._node.name

    def _fan_out(self, chosen: list[int]) -> list[tuple[Socket, Target]]:
        """Each subscriber's copy, or one for all that live beyond a link which has it so."""
        copies: list[tuple[Socket, Target]] = []
        for platform in chosen:
            home = self._people.home(platform)
            if home == self._node.name:
                copies.append((platform, platform))
            elif self._topology.link(self._node.name, home).copies == "subscriber":
                copies.append((home, platform))
            elif (home, EVERYBODY) not in copies:
                copies.append((home, EVERYBODY))
        return copies

    def _hold(self, publication: Publication, copies: int) -> None:
        self._held += copies
        self._held_bytes += copies * publication.payload_bytes
        self._levels.append((self._env.now, self._held, self._held_bytes))

    def _send(self, stanza: Publication, socket: Socket, target: Target) -> None:
        self._written.append((self._env.now, stanza))
        if isinstance(socket, str):
            self._env.process(self._pass_on(stanza, socket, target))
        else:
            self._env.process(self._travel(stanza, socket))

    def _leave(self, wire_bytes: float) -> Generator[simpy.Event, Any, None]:
        """A copy's way through the egress link."""
        with self._link.request() as turn:
            yield turn
            yield self._env.timeout(wire_bytes / self._node.nic)
        self._sent.append((self._env.now, wire_bytes))

    def _travel(self, publication: Publication, platform: int) -> Generator[simpy.Event, Any, None]:
        """A copy's way from the server's write to the end of its Platform's reading."""
        population = self._people.population(platform)
        yield from self._leave(publication.payload_bytes + self._profile.envelope.notification)
        yield self._env.timeout(population.network.delay)
        if population.read_rate is not None:
            reader = self._readers.setdefault(platform, simpy.Resource(self._env))
            with reader.request() as turn:
                yield turn
                yield self._env.timeout(1.0 / population.read_rate)
        self.received.append((publication, platform, self._env.now))

    def _pass_on(
        self, stanza: Publication, peer: str, target: Target
    ) -> Generator[simpy.Event, Any, None]:
        """A copy's way to another Controller; it is there before what else happens then."""
        link = self._topology.link(self._node.name, peer)
        wire_bytes = stanza.payload_bytes + self._profile.envelope.notification
        yield from self._leave(wire_bytes)
        with self._lines[peer].request() as turn:
            yield turn
            yield self._env.timeout(0.0 if link.rate is None else wire_bytes / link.rate)
        arrived = simpy.Event(self._env)
        arrived._ok, arrived._value = True, None
        first = self._names.index(self._node.name) - len(self._names)
        self._env.schedule(arrived, first, link.delay)
        yield arrived
        come = replace(stanza, arrival_s=self._env.now, socket=f"from {self._node.name}")
        self._grid[peer].take(come, target)

    def tally(
        self, graph: Graph, census: Census, published: Sequence[Publication],
        everywhere: Sequence[Received],
    ) -> Tally:  # fmt: skip
        """The same figures as the compiled engine's, from lists of all that happened."""
        study, number = self._study, self._names.index(self._node.name)
        home, intake = residents(graph, number, study.seed), self._intake(census)
        copies = np.array([len(each.copies) for each in self._stanzas], np.int64)
        changes = self._owed(copies)
        lasts = [stop for _, stop in self._busy] + [instant for _, _, instant in self.received]
        drained_s = max([study.timetable.duration_s, changes[0][-1], *lasts])
        expected = int(census.expected(home).sum())
        busy_s = sum(stop - start for start, stop in self._busy)
        return Tally(
            controller=self._node.name,
            cores=self._cores,
            intervals=self._intervals(changes, drained_s),
            offered=intake.offered,
            legitimate=intake.legitimate,
            accepted=intake.accepted,
            refused=intake.refused,
            histograms=self._histograms(published),
            publications=_rows(intake, everywhere),
            expected=expected,
            delivered=len(self.received),
            rejected=census.rejected(home),
            lost=expected - census.rejected(home) - len(self.received),
            drained_s=drained_s,
            idle_s=self._cores * drained_s - busy_s,
            owed_area_s=float((np.diff(changes[0]) * np.cumsum(changes[1])[:-1]).sum()),
            sojourn_s=self._sojourn_s(copies),
            trace=self._trace(),
        )

    def _intake(self, census: Census) -> Intake:
        """Books of the publications of its own Platforms."""
        intake = Intake(self._study.timetable, census.roles, self._study.row_stride)
        fan_out = np.array(list(self._topology.fan_out().values()))
        refused = {each.row for each in self._door.refused}
        unread = self._door.waiting
        for chosen in (refused, unread):
            away = _columns([each for each in self._own if each.row in chosen])
            copies = fan_out[away.topic]
            intake.turn_away(away, census.kind(away), copies, refused=chosen is refused)
        own = _columns([each for each in self._own if each.row not in refused | unread])
        intake.enter(own, census.kind(own), fan_out[own.topic])
        return intake

    @property
    def refused(self) -> list[Publication]:
        """Publications that its limits refused."""
        return self._door.refused

    def _owed(self, copies: npt.NDArray[np.int64]) -> tuple[Floats, npt.NDArray[np.int64]]:
        """Instants at which the number of copies owed changes, and by how much."""
        arrived_s = [each.arrival_s for each in self._stanzas]
        written_s = [instant for instant, _ in self._written]
        unwritten = int(copies.sum()) - len(written_s)
        ends_s = [self._study.horizon_s] if unwritten else []
        instants_s = np.array([0.0, *arrived_s, *written_s, *ends_s])
        steps = np.array([0, *copies, *[-1] * len(written_s), *[-unwritten] * len(ends_s)])
        order = np.argsort(instants_s, kind="stable")
        return instants_s[order], steps[order]

    def _sojourn_s(self, copies: npt.NDArray[np.int64]) -> float:
        """Time that copies were owed, all together. [s]"""
        missing = {id(each): int(n) for each, n in zip(self._stanzas, copies, strict=True)}
        total_s = 0.0
        for instant, stanza in self._written:
            total_s += instant - stanza.arrival_s
            missing[id(stanza)] -= 1
        for stanza in self._stanzas:
            left_s = self._study.horizon_s - stanza.arrival_s
            total_s += missing[id(stanza)] * left_s
        return total_s

    def _intervals(
        self, changes: tuple[Floats, npt.NDArray[np.int64]], drained_s: float
    ) -> Records:
        table, deadline_s = self._study.timetable, self._study.topology.slo.deadline
        rows = np.zeros(len(table.edges_s), INTERVAL)
        rows["start_s"], rows["end_s"] = table.edges_s, np.append(table.edges_s[1:], drained_s)
        for start_s, stop_s in self._busy:
            overlap_s = np.minimum(stop_s, np.append(table.edges_s[1:], np.inf))
            rows["busy_s"] += np.maximum(overlap_s - np.maximum(start_s, rows["start_s"]), 0.0)
        for instant, wire_bytes in self._sent:
            rows["egress_bytes"][self._interval(instant)] += wire_bytes
        for publication, _, instant in self.received:
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
        memory, fan_out = self._profile.memory, self._topology.fan_out().values()
        kept = sum(n for each, n in enumerate(fan_out) if self._owner(each) == self._node.name)
        sessions = session_count(self._topology, self._node.name)
        return memory.base + memory.session * sessions + memory.subscription * kept

    def _role(self, publication: Publication) -> str:
        return self._people.population(publication.publisher).role

    def _histograms(self, published: Sequence[Publication]) -> dict[HistogramKey, Sparse]:
        table = self._study.timetable
        latencies: dict[HistogramKey, list[float]] = {}
        outcomes = {(each.row, to): instant for each, to, instant in self.received}
        for publication in published:
            segment = int(table.segments(np.array([publication.intended_s]))[0])
            topic, role = self._topology.topics[publication.topic].name, self._role(publication)
            for subscriber in self._subscribers(publication.topic):
                if not self._lives_here(subscriber):
                    continue
                population = self._people.population(subscriber).name
                received_s = outcomes.get((publication.row, subscriber), np.inf)
                key = (segment, topic, population, role)
                latencies.setdefault(key, []).append(received_s - publication.intended_s)
        return {key: histogram.sparse(histogram.count(values)) for key, values in latencies.items()}

    def _trace(self) -> Records:
        trace = np.zeros(len(self.received), DELIVERY)
        trace["row"] = [publication.row for publication, _, _ in self.received]
        trace["platform"] = [platform for _, platform, _ in self.received]
        trace["received_s"] = [instant for _, _, instant in self.received]
        return trace


def _most(rows: Records, column: str, instants_s: Floats, levels: npt.NDArray[Any]) -> None:
    """The highest level within each interval, the one at its start included."""
    before = np.searchsorted(instants_s, rows["start_s"], side="right") - 1
    after = np.searchsorted(instants_s, rows["end_s"], side="left")
    for row, first, last in zip(rows, before, after, strict=True):
        row[column] = levels[max(first, 0) : max(last, first + 1)].max(initial=0)


def _rows(intake: Intake, everywhere: Sequence[Received]) -> dict[str, npt.NDArray[Any]]:
    """Rows of the publications table, with what all Controllers delivered."""
    received: dict[int, list[float]] = {}
    for publication, _, instant in everywhere:
        received.setdefault(publication.row, []).append(instant)
    rows = intake.rows()
    instants = [received.get(int(row), []) for row in rows["publication"]]
    return rows | {
        "first_s": np.array([min(each, default=np.nan) for each in instants]),
        "last_s": np.array([max(each, default=np.nan) for each in instants]),
        "delivered": np.array([len(each) for each in instants], np.int64),
    }
