"""Streams of publications: what a topology says about who publishes on which Topic, and how often.

One stream per entry of `workload.arrivals` and one per attack. Draws are keyed by what a stream is
(role, Topic, population, process, and a number among equals), not by its place in the file.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from topologies import batches, diurnal, schema
from topologies.arrivals import cell_edges, points
from topologies.intensity import intensity

Role = Literal["legitimate", "adversary"]
PUBLICATIONS_MAX = 1e9  # a plan of more would not fit one machine


@dataclass(frozen=True)
class Stream:
    """Publications of one population on one Topic between two instants. [s]"""

    role: Role
    arrivals: schema.Arrivals
    population: schema.Population
    topic: int
    window_s: tuple[float, float]
    payload: schema.Payload
    identity: tuple[str | int, ...]


def streams(topology: schema.Topology) -> list[Stream]:
    """All streams: arrivals in file order, then attacks."""
    populations = {population.name: population for population in topology.platforms}
    topics = {topic.name: number for number, topic in enumerate(topology.topics)}
    seen: Counter[tuple[str, ...]] = Counter()
    found = []
    for role, arrivals, size in _sources(topology):
        number = topics[arrivals.topic]
        payload = topology.topics[number].payload
        if size is not None:
            payload = schema.Payload.model_construct(kind=payload.kind, size=size, cv=0.0, max=size)
        end_s = min(arrivals.end or math.inf, topology.workload.duration)
        window_s = (min(arrivals.start, end_s), end_s)
        what = (role, arrivals.topic, arrivals.by, type(arrivals).__name__)
        identity = (*what, seen[what])
        seen[what] += 1
        population = populations[arrivals.by]
        found.append(Stream(role, arrivals, population, number, window_s, payload, identity))
    return found


def _sources(topology: schema.Topology) -> Iterator[tuple[Role, schema.Arrivals, float | None]]:
    for arrivals in topology.workload.arrivals:
        for each in shared_out(arrivals):
            yield "legitimate", each, None
    for attack in topology.attacks:
        flood = schema.Poisson.model_construct(
            process="poisson",
            topic=attack.topic,
            by=attack.by,
            rate=attack.rate,
            start=attack.start,
            end=attack.start + attack.duration,
        )
        yield "adversary", flood, attack.size


def shared_out(arrivals: schema.Arrivals) -> Iterator[schema.Arrivals]:
    """One process for each of its Topics, with that Topic's share of the rates."""
    if not arrivals.further_topics:
        yield arrivals
        return
    for topic, share in zip(arrivals.topics, arrivals.shares(), strict=True):
        change: dict[str, object] = {"topic": topic, "further_topics": ()}
        for name in ("rate", "final_rate"):
            if hasattr(arrivals, name):
                change[name] = getattr(arrivals, name) * share
        if isinstance(arrivals, schema.Step):
            change["rates"] = tuple(rate * share for rate in arrivals.rates)
        yield arrivals.model_copy(update=change)


def directory(topology: schema.Topology) -> Path:
    """Where relative paths start: beside the topology's file, else the working directory."""
    source = topology.source
    return source.path.parent if source is not None and source.path is not None else Path()


def mean_rows(topology: schema.Topology, stream: Stream) -> float:
    """Publications that a stream makes in the whole run on average, exactly.

    Raises
    ------
    TopologyError
        A trace cannot be read.
    """
    start_s, end_s = stream.window_s
    match stream.arrivals:
        case schema.OnOff() as on_off:
            share_on = on_off.mean_on / (on_off.mean_on + on_off.mean_off)
            return on_off.rate * share_on * (end_s - start_s)
        case schema.Batch() as batch:
            return batch.rate * batches.moments(batch)[0] * (end_s - start_s)
        case schema.Diurnal() as day:
            return diurnal.mean_mass(day, start_s, end_s)
        case schema.Deterministic() | schema.Trace():
            edges_s = cell_edges(topology.workload.duration)
            rows = points(stream.arrivals, stream.window_s, 1.0, (), edges_s, directory(topology))
            return float(rows.first_row[-1])
        case _:
            rate = intensity(stream.arrivals, start_s, end_s, 1.0, ())
            return float(rate.mass(np.array([end_s]))[0])


def offered(topology: schema.Topology, role: Role | None = None) -> dict[str, float]:
    """Mean publications per second on each Topic over the whole run, of one role or all. [1/s]"""
    rates = dict.fromkeys((topic.name for topic in topology.topics), 0.0)
    for stream in streams(topology):
        if role in (None, stream.role):
            rows = mean_rows(topology, stream)
            rates[stream.arrivals.topic] += rows / topology.workload.duration
    return rates
