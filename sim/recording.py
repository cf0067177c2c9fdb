"""From what the Controllers counted to a run's record: header, identities and tables."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from results import environment, histogram
from results.records import (
    ControllerRecord,
    Counts,
    Draft,
    Header,
    Identity,
    Phase,
    TopologyText,
    Verdict,
)
from sim.cautions import cautions
from sim.disciplines import discipline
from sim.latency_tables import DELAYED
from sim.phases import DRAIN, Timetable, phases
from sim.session_records import offline_record, session_record
from sim.stations import Graph, Station
from sim.study import Sparse, Tally
from sim.traffic import modes
from topologies import identity
from topologies.profiles import Profile
from topologies.schema import Topology

TOLERANCE = 1e-9
Columns = dict[str, npt.NDArray[Any]]
LatencyKey = tuple[int, str, str, str, str, str]


@dataclass(frozen=True)
class Outcome:
    """One replication as it comes back from its process."""

    replication: int
    tallies: tuple[Tally, ...]
    publications: int
    plan_sha256: str
    process: int
    peak_rss_bytes: int


@dataclass(frozen=True)
class Occasion:
    """What a simulation was asked for, and when."""

    topology: Topology
    profiles: Mapping[str, Profile]
    timetable: Timetable
    seed: int
    load: float
    engine: str
    door: str
    row_stride: int
    created: datetime
    wall_s: float
    peak_rss_bytes: int


class _Histograms(Mapping[LatencyKey, histogram.Counts]):
    """Sparse histograms that are made dense one at a time."""

    def __init__(self, parts: dict[LatencyKey, list[Sparse]]) -> None:
        self._parts = parts

    def __getitem__(self, key: LatencyKey) -> histogram.Counts:
        bins, counts = zip(*self._parts[key], strict=True)
        return histogram.dense(np.concatenate(bins), np.concatenate(counts))

    def __iter__(self) -> Iterator[LatencyKey]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)


def draft(occasion: Occasion, outcomes: Sequence[Outcome]) -> Draft:
    """The record of a simulation: replications in order, whichever process made them."""
    outcomes = sorted(outcomes, key=lambda outcome: outcome.replication)
    passed = _phases(occasion.timetable, outcomes)
    return Draft(
        header=_header(occasion, outcomes, passed),
        intervals=_intervals(outcomes, passed, _used(occasion)),
        latency=_latency(occasion.timetable, outcomes, passed),
        publications=_publications(outcomes),
    )


def _tallies(outcomes: Sequence[Outcome]) -> list[tuple[int, Tally]]:
    return [(outcome.replication, tally) for outcome in outcomes for tally in outcome.tallies]


def _phases(timetable: Timetable, outcomes: Sequence[Outcome]) -> tuple[Phase, ...]:
    """The timetable's phases, and the drain if anything was left to do after the last."""
    tallies = [tally for _, tally in _tallies(outcomes)]
    latency_s = sum(tally.intervals["latency_s"][:-1] for tally in tallies)
    latencies = sum(tally.intervals["latencies"][:-1] for tally in tallies)
    passed = phases(timetable, np.asarray(latency_s), np.asarray(latencies))
    duration_s, drained_s = timetable.duration_s, max(tally.drained_s for tally in tallies)
    if drained_s > duration_s:
        drain = Phase(name=DRAIN, start_s=duration_s, end_s=drained_s, measured=False)
        passed = (*passed, drain)
    return passed


def _header(occasion: Occasion, outcomes: Sequence[Outcome], passed: tuple[Phase, ...]) -> Header:
    topology, tallies = occasion.topology, [tally for _, tally in _tallies(outcomes)]
    laws = tuple(_identities(outcomes))
    broken = tuple(
        f"{law.name}: {law.left!r} is not {law.right!r}" for law in laws if not law.holds
    )
    token = f"{occasion.created:%Y%m%dT%H%M%S%f}-{secrets.token_hex(2)}"
    return Header(
        run_id=f"{topology.name}-simulated-{token}",
        origin="simulated",
        door=occasion.door,
        created=occasion.created.isoformat(timespec="milliseconds"),
        topology=TopologyText(
            name=topology.name, text=identity.text(topology), sha256=identity.sha256(topology)
        ),
        plan_sha256=tuple(outcome.plan_sha256 for outcome in outcomes),
        seed=occasion.seed,
        study=topology.workload.study,
        duration_s=topology.workload.duration,
        replications=len(outcomes),
        phases=passed,
        deadline_s=topology.slo.deadline,
        controllers=_controllers(occasion),
        stations=_stations(occasion),
        counts=Counts(
            publications=sum(outcome.publications for outcome in outcomes),
            expected=sum(tally.expected for tally in tallies),
            delivered=sum(tally.delivered for tally in tallies),
            rejected=sum(tally.rejected for tally in tallies),
            discarded=sum(sum(tally.discarded.values()) for tally in tallies),
            lost=sum(tally.lost for tally in tallies),
        ),
        identities=laws,
        verdict=Verdict(
            valid=not broken,
            reasons=broken,
            warnings=tuple(
                cautions(occasion.topology, occasion.profiles, occasion.timetable, tallies, passed)
            ),
        ),
        wall_s=occasion.wall_s,
        peak_rss_bytes=occasion.peak_rss_bytes,
        software=environment.software("numpy", "numba", "simpy"),
        environment=environment.machine(),
        clock={"name": "virtual"},
        measurement={
            "engine": occasion.engine,
            "load": occasion.load,
            "readers": _readers(occasion, outcomes, passed),
            "sessions": _sessions(outcomes),
            **_logins(occasion, outcomes),
            "waterfalls": {t.controller: t.waterfall for _, t in _tallies(outcomes) if t.waterfall},
        },
        publication_stride=occasion.row_stride,
    )


def _logins(occasion: Occasion, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Sessions by population, and what was stored, where there is anything to tell."""
    tallies = [
        [tally.sessions for tally in outcome.tallies if tally.sessions is not None]
        for outcome in outcomes
    ]
    found = session_record(occasion.topology, tallies)
    stored = offline_record(tally for _, tally in _tallies(outcomes))
    return ({"logins": found} if found else {}) | ({"offline": stored} if stored else {})


def _controllers(occasion: Occasion) -> dict[str, ControllerRecord]:
    """Controllers, and Brokers that are processes of their own."""
    graph = Graph(occasion.topology, occasion.profiles)
    return {each.name: _controller(each) for each in graph.stations}


def _controller(station: Station) -> ControllerRecord:
    node, profile = station.node, station.profile
    return ControllerRecord(
        cores=node.cores,
        memory_bytes=node.memory,
        nic_bytes_per_s=node.nic,
        profile=profile.name,
        discipline=profile.costs.discipline,
        speed=profile.speed / (1.0 + node.waits),
        server=f"{profile.server} {profile.version}",
    )


def _stations(occasion: Occasion) -> dict[str, Any]:
    """How each station was worked: links and readers are scanned with the server's deliveries."""
    reference = occasion.engine == "reference"
    graph = Graph(occasion.topology, occasion.profiles)
    stations: dict[str, Any] = {}
    windowed = modes(graph)
    for each in graph.stations:
        own = windowed.get(each.number, discipline(each.profile).mode)
        stations[each.name] = "event" if reference else own
        for part in ("egress", "readers"):
            stations[f"{each.name}/{part}"] = "event" if reference else "batched"
    for line in graph.lines:
        ends = (graph.stations[end].name for end in (line.source, line.target))
        stations["/".join(ends)] = "event" if reference else "batched"
    return stations


def _identities(outcomes: Sequence[Outcome]) -> Iterator[Identity]:
    """Laws that every replication must obey; of each, the replication that is furthest off."""
    sides: dict[str, list[tuple[float, float]]] = {}
    for _, tally in _tallies(outcomes):
        at, busy_s = f" ({tally.controller})", float(tally.intervals["busy_s"].sum())
        received = int(tally.intervals["received"].sum())
        for name, left, right in (
            ("copies expected = delivered + rejected + discarded + lost", tally.expected,
             tally.delivered + tally.rejected + sum(tally.discarded.values()) + tally.lost),
            ("copies delivered = received in all intervals", tally.delivered, received),
            ("Little: copies owed over time = sum of times owed", tally.owed_area_s,
             tally.sojourn_s),
            ("busy + idle = cores x time", busy_s + tally.idle_s, tally.cores * tally.drained_s),
        ):  # fmt: skip
            sides.setdefault(name + at, []).append((left, right))
    for name, pairs in sides.items():
        left, right = max(pairs, key=lambda pair: _distance(*pair))
        holds = _distance(left, right) <= TOLERANCE
        yield Identity(name=name, left=left, right=right, tolerance=TOLERANCE, holds=holds)


def _distance(left: float, right: float) -> float:
    return abs(left - right) / max(abs(left), abs(right), 1e-300)


def _sessions(outcomes: Sequence[Outcome]) -> dict[str, dict[str, int]]:
    """By Controller, sessions cut and copies given up by cause, over all replications."""
    found: dict[str, dict[str, int]] = {}
    for _, tally in _tallies(outcomes):
        counts = {"cut": len(tally.cuts), **tally.discarded}
        for name, number in counts.items():
            if number:
                kept = found.setdefault(tally.controller, {})
                kept[name] = kept.get(name, 0) + number
    return found


def _readers(
    occasion: Occasion, outcomes: Sequence[Outcome], passed: tuple[Phase, ...]
) -> dict[str, dict[str, float]]:
    """Share of time that the Platforms of each population with a read rate spend reading."""
    shares: dict[str, dict[str, float]] = {}
    histograms = _latency(occasion.timetable, outcomes, passed)
    for population in occasion.topology.platforms:
        if population.read_rate is None or not population.subscribes:
            continue
        capacity = population.read_rate * population.count * len(outcomes)
        for phase in passed:
            if phase.name == DRAIN:
                continue
            copies = sum(
                int(counts.sum())
                for key, counts in histograms.items()
                if (key[1], key[3], key[5]) == (phase.name, population.name, "total")
                and key[4] != DELAYED
            )
            share = copies / (capacity * (phase.end_s - phase.start_s))
            shares.setdefault(population.name, {})[phase.name] = share
    return shares


def _used(occasion: Occasion) -> dict[str, float]:
    """CPU time of each station over the time of its core that its work took. [1]"""
    graph = Graph(occasion.topology, occasion.profiles)
    return {each.name: 1.0 / (1.0 + each.node.waits) for each in graph.stations}


def _intervals(
    outcomes: Sequence[Outcome], passed: tuple[Phase, ...], used: Mapping[str, float]
) -> Columns:
    """The intervals table; the drain ends for all when the last replication has drained.

    Of the time that work took on a station's core so much is its own CPU time, by its name [1].
    """
    drained = passed[-1].name == DRAIN
    pieces: list[Columns] = []
    for replication, tally in _tallies(outcomes):
        count = len(tally.intervals) if drained else len(tally.intervals) - 1
        rows = tally.intervals[:count]
        end_s = rows["end_s"].copy()
        end_s[-1] = passed[-1].end_s
        middle_s = 0.5 * (rows["start_s"] + end_s)
        phase = np.searchsorted([each.end_s for each in passed], middle_s)
        pieces.append(
            {
                "replication": np.full(count, replication),
                "interval": np.arange(count),
                "phase": np.array([passed[number].name for number in phase]),
                "controller": np.full(count, tally.controller),
                "start_s": rows["start_s"],
                "end_s": end_s,
                "offered": tally.offered[:count],
                "offered_legitimate": tally.legitimate[:count],
                "accepted": tally.accepted[:count],
                "rejected": tally.refused[:count],
                "delivered": rows["received"],
                "timely": rows["timely"],
                "busy_s": rows["busy_s"] * used[tally.controller],
                "backlog_copies_max": rows["backlog"],
                "memory_bytes_max": rows["memory_bytes"],
                "egress_bytes": rows["egress_bytes"],
                "latency_sum_s": rows["latency_s"],
                "latency_count": rows["latencies"],
            }
        )
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


def _latency(
    timetable: Timetable, outcomes: Sequence[Outcome], passed: tuple[Phase, ...]
) -> _Histograms:
    """Histograms by phase: those of its segments together."""
    ends_s = [phase.end_s for phase in passed]
    of_segment = [
        passed[int(np.searchsorted(ends_s, start_s, side="right"))].name
        for start_s in timetable.segment_edges_s[:-1]
    ]
    parts: dict[LatencyKey, list[Sparse]] = {}
    for replication, tally in _tallies(outcomes):
        for (segment, topic, population, role), sparse in tally.histograms.items():
            key = (replication, of_segment[segment], topic, population, role, "total")
            parts.setdefault(key, []).append(sparse)
        for (segment, topic, population, role, stage), sparse in tally.stages.items():
            key = (replication, of_segment[segment], topic, population, role, stage)
            parts.setdefault(key, []).append(sparse)
    return _Histograms(parts)


def _publications(outcomes: Sequence[Outcome]) -> Columns:
    pieces = [
        {"replication": np.full(len(tally.publications["publication"]), replication)}
        | dict(tally.publications)
        for replication, tally in _tallies(outcomes)
    ]
    columns = {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
    order = np.lexsort((columns["publication"], columns["replication"]))
    return {name: column[order] for name, column in columns.items()}
