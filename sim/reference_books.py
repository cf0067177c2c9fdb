"""What the oracle's Controllers saw, counted: the same figures as the compiled engine's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from results import histogram
from sim.intake import ROLES, Census, Intake
from sim.kept_items import kept_bytes
from sim.latency_tables import DELAYED
from sim.network import Arrivals
from sim.platforms import residents
from sim.reference_offline import ReferenceStore
from sim.reference_stanzas import Publication
from sim.requests import RETRACT
from sim.session_books import SessionTally
from sim.state import DELIVERY, INTERVAL, Records
from sim.stations import Graph, keeper
from sim.study import HistogramKey, Sparse, Study, Tally
from topologies import schema
from topologies.plan import subscribers
from topologies.profiles import Profile

Floats = npt.NDArray[np.float64]
Received = tuple[Publication, int, float]  # stanza, Platform, instant


@dataclass
class Log:
    """All that happened at one Controller.

    `own` are publications of its Platforms, of which limits `refused` some and did not get to the
    rows `unread`; `stanzas` those that its server was given; `levels` instants with the copies that
    it holds and their bytes; `written` and `received` copies, `sent` bytes by instant; copies that
    queues `discarded`, by cause; sessions that were cut, by instant; `missed` copies had no session
    to go to, of which some were `resent` to one that was resumed; `dropped` publications were never
    sent.
    """

    own: list[Publication] = field(default_factory=list)
    refused: list[Publication] = field(default_factory=list)
    unread: set[int] = field(default_factory=set)
    stanzas: list[Publication] = field(default_factory=list)
    levels: list[tuple[float, int, float]] = field(default_factory=list)
    busy: list[tuple[float, float]] = field(default_factory=list)
    written: list[tuple[float, Publication]] = field(default_factory=list)
    sent: list[tuple[float, float]] = field(default_factory=list)
    discarded: Counter[str] = field(default_factory=Counter)
    cuts: list[tuple[float, int]] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    missed: list[tuple[float, Publication]] = field(default_factory=list)
    dropped: list[Publication] = field(default_factory=list)
    sessions: SessionTally | None = None
    resent: int = 0
    store: ReferenceStore | None = None


class Directory:
    """Who lives where, who is where, and where the copies of publications were sent."""

    def __init__(self, topology: schema.Topology, seed: int) -> None:
        self._topology, self._seed = topology, seed
        self._populations = topology.platforms
        counts = np.array([each.count for each in topology.platforms])
        self._first = np.cumsum(counts) - counts
        self._nodes = dict(_dealt(topology))
        self._place: dict[int, str] = {}  # of Platforms that have moved
        self._directed: dict[int, dict[int, str]] = {}  # by row and Platform

    def place(self, platform: int) -> str:
        """The Controller where a Platform is, or was last."""
        return self._place.get(platform, self.home(platform))

    def move(self, platform: int, controller: str) -> None:
        """A Platform is online there."""
        self._place[platform] = controller

    def direct(self, row: int, chosen: Sequence[int]) -> None:
        """A Broker makes copies for these Platforms, where they are now."""
        self._directed[row] = {each: self.place(each) for each in chosen}

    def went(self, row: int, platform: int) -> str:
        """Where a publication's copy for a Platform was sent, or would have been."""
        return self._directed.get(row, {}).get(platform, self.home(platform))

    def population(self, platform: int) -> schema.Population:
        """A Platform's population."""
        return self._populations[int(np.searchsorted(self._first, platform, side="right")) - 1]

    def home(self, platform: int) -> str:
        """A Platform's Controller, or the node of it."""
        return self._nodes.get(platform, self.population(platform).controller)

    def owner(self, topic: int) -> str:
        """The Controller whose Broker keeps a Topic."""
        name = self._topology.topics[topic].broker
        broker = next(each for each in self._topology.brokers if each.name == name)
        return keeper(self._topology, broker)

    def keeps(self, name: str, topic: int) -> bool:
        """Whether a Controller, or a node of one, makes the copies of a Topic."""
        keeper = self.owner(topic)
        broker = next(
            each for each in self._topology.brokers
            if each.name == self._topology.topics[topic].broker
        )  # fmt: skip
        if broker.kind == "component" or broker.runs_on == "first-node":
            return name == keeper
        return name.partition(" node ")[0] == keeper

    def subscribers(self, topic: int) -> list[int]:
        """Platforms that get a Topic."""
        return [int(each) for each in subscribers(self._topology, topic, self._seed)]

    def receivers(self, stanza: Publication) -> list[int]:
        """Platforms that get a publication, or the answer to a request."""
        if stanza.answer is None or stanza.answer.role == RETRACT:
            return self.subscribers(stanza.answer.topic if stanza.answer else stanza.topic)
        return [stanza.publisher]


def _dealt(topology: schema.Topology) -> Iterator[tuple[int, str]]:
    """Platforms of clusters and their nodes: seats go round, Platforms sit down node by node."""
    rounds: dict[str, int] = {}
    first = 0
    for people in topology.platforms:
        home = next(each for each in topology.controllers if each.name == people.controller)
        if home.nodes > 1:
            seats = [0] * home.nodes
            for _ in range(people.count):
                turn = rounds.get(home.name, 0)
                seats[turn % home.nodes] += 1
                rounds[home.name] = turn + 1
            names = [home.name, *(f"{home.name} node {n}" for n in range(2, home.nodes + 1))]
            sitting = [name for name, free in zip(names, seats, strict=True) for _ in range(free)]
            yield from enumerate(sitting, first)
        first += people.count


def columns(stanzas: Sequence[Publication]) -> Arrivals:
    """The publications of a plan that some stanzas are, as columns."""
    names = (
        "row", "arrival_s", "intended_s", "publisher", "topic", "payload_bytes", "reached_s",
    )  # fmt: skip
    kinds = (np.int64, np.float64, np.float64, np.uint32, np.uint16, np.float64, np.float64)
    return Arrivals(
        *(
            np.array([getattr(each, name) for each in stanzas], kind)
            for name, kind in zip(names, kinds, strict=True)
        )
    )


class Books:
    """A Controller's log as a tally.

    Parameters
    ----------
    study : Study
        The replication.
    node : schema.Controller
        The Controller.
    profile : Profile
        Its profile.
    cores : int
        Cores that its server uses.
    log : Log
        What happened there.
    people : Directory
        Where everybody was.
    """

    def __init__(
        self, study: Study, node: schema.Controller, profile: Profile, cores: int, log: Log,
        people: Directory,
    ) -> None:  # fmt: skip
        self._study, self._node, self._profile, self._cores = study, node, profile, cores
        self._log, self._topology, self._people = log, study.topology, people

    def tally(
        self, graph: Graph, census: Census, published: Sequence[Publication],
        everywhere: Sequence[Received],
    ) -> Tally:  # fmt: skip
        """The same figures as the compiled engine's, from lists of all that happened."""
        study, number = self._study, graph.number(self._node.name)
        home, intake = residents(graph, number, study.seed), self._intake(census)
        copies = np.array([len(each.copies) for each in self._log.stanzas], np.int64)
        changes = self._owed(copies)
        lasts = [stop for _, stop in self._log.busy] + [
            instant for _, _, instant in self._log.received
        ]
        drained_s = max([study.timetable.duration_s, changes[0][-1], *lasts])
        histograms = self._histograms(published)
        expected = sum(
            int(counts.sum()) for key, (_, counts) in histograms.items() if key[3] != DELAYED
        )
        busy_s = sum(stop - start for start, stop in self._log.busy)
        return Tally(
            controller=self._node.name,
            cores=self._cores,
            intervals=self._intervals(changes, drained_s),
            offered=intake.offered,
            legitimate=intake.legitimate,
            accepted=intake.accepted,
            refused=intake.refused,
            histograms=histograms,
            publications=_rows(intake, everywhere),
            expected=expected,
            delivered=len(self._log.received),
            rejected=census.rejected(home, number),
            discarded=dict(self._log.discarded),
            lost=expected
            - census.rejected(home, number)
            - self._log.discarded.total()
            - len(self._log.received),
            missed=len(self._log.missed) - self._log.resent,
            dropped=len(self._log.dropped),
            dropped_copies=self._dropped_copies(),
            drained_s=drained_s,
            idle_s=self._cores * drained_s - busy_s,
            owed_area_s=float((np.diff(changes[0]) * np.cumsum(changes[1])[:-1]).sum()),
            sojourn_s=self._sojourn_s(copies),
            trace=self._trace(),
            cuts=np.array(self._log.cuts).reshape(-1, 2),
            sessions=self._log.sessions,
            offline=self._log.store.figures(self._late()) if self._log.store else {},
        )

    def _late(self) -> int:
        return sum(stanza.resumed for stanza, *_ in self._log.received)

    def _dropped_copies(self) -> int:
        return sum(len(self._people.receivers(each)) for each in self._log.dropped)

    def _intake(self, census: Census) -> Intake:
        """Books of the publications of its own Platforms."""
        fan_out = np.array(list(self._topology.fan_out().values()))
        intake = Intake(self._study.timetable, census.roles, self._study.row_stride)
        refused = {each.row for each in self._log.refused}
        unread, dropped = self._log.unread, {each.row for each in self._log.dropped}
        published = [each for each in self._log.own if each.answer is None]
        for chosen in (refused, unread, dropped):
            away = columns([each for each in published if each.row in chosen])
            copies = fan_out[away.topic]
            intake.turn_away(
                away, census.kind(away), copies, refused=chosen is refused,
                sent=chosen is not dropped,
            )  # fmt: skip
        outside = refused | unread | dropped
        own = columns([each for each in published if each.row not in outside])
        intake.enter(own, census.kind(own), fan_out[own.topic])
        return intake

    def _owed(self, copies: npt.NDArray[np.int64]) -> tuple[Floats, npt.NDArray[np.int64]]:
        """Instants at which the number of copies owed changes, and by how much."""
        arrived_s = [each.arrival_s for each in self._log.stanzas]
        written_s = [instant for instant, _ in (*self._log.written, *self._log.missed)]
        missing = self._unwritten(copies)
        ends = [(self._end_s(each), missing[id(each)]) for each in self._log.stanzas]
        ends = [(instant, left) for instant, left in ends if left]
        instants_s = np.array([0.0, *arrived_s, *written_s, *(instant for instant, _ in ends)])
        steps = np.array([0, *copies, *[-1] * len(written_s), *(-left for _, left in ends)])
        order = np.argsort(instants_s, kind="stable")
        return instants_s[order], steps[order]

    def _sojourn_s(self, copies: npt.NDArray[np.int64]) -> float:
        """Time that copies were owed, all together. [s]"""
        missing, total_s = self._unwritten(copies), 0.0
        for instant, stanza in (*self._log.written, *self._log.missed):
            total_s += instant - stanza.arrival_s
        for stanza in self._log.stanzas:
            total_s += missing[id(stanza)] * (self._end_s(stanza) - stanza.arrival_s)
        return total_s

    def _unwritten(self, copies: npt.NDArray[np.int64]) -> dict[int, int]:
        """Copies of each stanza that were never written."""
        missing = {id(each): int(n) for each, n in zip(self._log.stanzas, copies, strict=True)}
        for _, stanza in (*self._log.written, *self._log.missed):
            missing[id(stanza)] -= 1
        return missing

    def _end_s(self, stanza: Publication) -> float:
        """Until when unwritten copies of a stanza are owed. [s]"""
        return min(stanza.lost_s, self._study.horizon_s)

    def _intervals(
        self, changes: tuple[Floats, npt.NDArray[np.int64]], drained_s: float
    ) -> Records:
        table, deadline_s = self._study.timetable, self._study.topology.slo.deadline
        rows = np.zeros(len(table.edges_s), INTERVAL)
        rows["start_s"], rows["end_s"] = table.edges_s, np.append(table.edges_s[1:], drained_s)
        for start_s, stop_s in self._log.busy:
            overlap_s = np.minimum(stop_s, np.append(table.edges_s[1:], np.inf))
            rows["busy_s"] += np.maximum(overlap_s - np.maximum(start_s, rows["start_s"]), 0.0)
        for instant, wire_bytes in self._log.sent:
            rows["egress_bytes"][self._interval(instant)] += wire_bytes
        for publication, _, instant in self._log.received:
            rows["received"][self._interval(instant)] += 1
            if publication.answer is None and self._role(publication) == ROLES[0]:
                latency_s = instant - publication.intended_s
                row = rows[self._interval(publication.intended_s)]
                row["latencies"] += 1
                row["latency_s"] += latency_s
                row["timely"] += latency_s <= deadline_s
        _most(rows, "backlog", changes[0], np.cumsum(changes[1]))
        queued = self._profile.memory.queued_copy
        levels = [(0.0, 0, 0.0), *self._log.levels]
        held = np.array([count * queued + size for _, count, size in levels])
        _most(rows, "memory_bytes", np.array([instant for instant, _, _ in levels]), held)
        rows["memory_bytes"] += self._idle_memory()
        return rows

    def _interval(self, instant_s: float) -> int:
        return int(self._study.timetable.intervals(np.array([instant_s]))[0])

    def _idle_memory(self) -> float:
        memory, fan_out = self._profile.memory, self._topology.fan_out().values()
        own = tuple(
            each for each in range(len(fan_out)) if self._people.keeps(self._node.name, each)
        )
        kept = sum(n for each, n in enumerate(fan_out) if each in own)
        everybody = range(self._topology.platform_count)
        sessions = sum(self._people.home(each) == self._node.name for each in everybody)
        items = kept_bytes(self._topology, own, self._profile.server)
        return memory.base + memory.session * sessions + memory.subscription * kept + items

    def _role(self, publication: Publication) -> str:
        return self._people.population(publication.publisher).role

    def _histograms(self, published: Sequence[Publication]) -> dict[HistogramKey, Sparse]:
        table = self._study.timetable
        latencies: dict[HistogramKey, list[float]] = {}
        outcomes = {(each.row, to): instant for each, to, instant in self._log.received}
        stored = self._log.store is not None and self._log.store.possible
        late = {(each.row, to) for each, to, _ in self._log.received if stored and each.resumed}
        for publication in published:
            segment = int(table.segments(np.array([publication.intended_s]))[0])
            topic, role = self._labels(publication)
            for subscriber in self._people.receivers(publication):
                if self._people.went(publication.row, subscriber) != self._node.name:
                    continue
                population = self._people.population(subscriber).name
                received_s = outcomes.get((publication.row, subscriber), np.inf)
                key = (segment, topic, population, role)
                latencies.setdefault(key, []).append(received_s - publication.intended_s)
                if (publication.row, subscriber) in late:
                    key = (segment, topic, population, DELAYED)
                    latencies.setdefault(key, []).append(received_s - publication.intended_s)
        return {key: histogram.sparse(histogram.count(values)) for key, values in latencies.items()}

    def _labels(self, publication: Publication) -> tuple[str, str]:
        """Topic and role under which its deliveries are counted."""
        if publication.answer is not None:
            return publication.answer.name, publication.answer.role
        return self._topology.topics[publication.topic].name, self._role(publication)

    def _trace(self) -> Records:
        trace = np.zeros(len(self._log.received), DELIVERY)
        trace["row"] = [publication.row for publication, _, _ in self._log.received]
        trace["platform"] = [platform for _, platform, _ in self._log.received]
        trace["received_s"] = [instant for _, _, instant in self._log.received]
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
