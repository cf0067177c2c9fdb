"""When the queries of a topology are asked, and by whom; drawn as the plan's publications are."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import numpy.typing as npt

from topologies import draws, schema
from topologies.arrivals import cell_edges, points
from topologies.intensity import Floats
from topologies.streams import directory

Integers = npt.NDArray[np.int64]


def asked(
    topology: schema.Topology, seed: int, replication: int, load: float
) -> tuple[Floats, Integers, Integers]:
    """All queries that have a rate, in order: instant, Platform, number of the query. [s]

    Draws are keyed by what a query is (kind, Topic, population, and a number among equals).

    Parameters
    ----------
    topology : Topology
        The description.
    seed : int
        Key of all draws.
    replication : int
        Which repetition.
    load : float
        Factor on the rates of legitimate populations. [1]
    """
    people, offsets = {each.name: each for each in topology.platforms}, topology.platform_offsets()
    seen: Counter[tuple[str, ...]] = Counter()
    pieces = [(np.zeros(0), np.zeros(0, np.int64), np.zeros(0, np.int64))]
    for number, query in enumerate(topology.workload.queries):
        what = ("query", query.kind, query.topic, query.by)
        key = (seed, replication, *what, seen[what])
        seen[what] += 1
        if query.rate is None:
            continue
        population = people[query.by]
        factor = load if population.role == "legitimate" else 1.0
        instants_s = _instants_s(topology, query, query.rate * factor, key)
        share = draws.uniforms((*key, "askers"), 0, len(instants_s))
        chosen = np.minimum((share * population.count).astype(np.int64), population.count - 1)
        pieces.append((instants_s, offsets[query.by] + chosen, np.full(len(chosen), number)))
    instants_s, platform, which = (np.concatenate(column) for column in zip(*pieces, strict=True))
    order = np.argsort(instants_s, kind="stable")
    return instants_s[order], platform[order], which[order]


def _instants_s(
    topology: schema.Topology, query: schema.Query, rate_per_s: float, key: tuple[str | int, ...]
) -> Floats:
    """A Poisson process of this rate between start and end. [1/s, s]"""
    process = schema.Poisson.model_construct(
        process="poisson", topic=query.topic, by=query.by, rate=rate_per_s, start=query.start,
        end=query.end,
    )  # fmt: skip
    duration_s = topology.workload.duration
    end_s = min(query.end or math.inf, duration_s)
    edges_s = cell_edges(duration_s)
    found = points(
        process, (min(query.start, end_s), end_s), 1.0, key, edges_s, directory(topology)
    )
    return found.instants(0, len(edges_s) - 1)
