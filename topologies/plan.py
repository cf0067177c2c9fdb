"""The plan: who publishes what, where, when; one for paper, simulation and load.

Columns `intended_s f64, publisher u32, topic u16, payload_bytes u32`, one row per publication,
sorted by time and, at the same instant, by stream (arrivals in file order, then attacks). It holds
open arrivals only and is made in blocks of `BLOCK_ROWS`, any block alone from (seed, replication).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from topologies import draws, schema
from topologies.arrivals import EvenPoints, TracePoints, cell_edges, points
from topologies.intensity import Floats
from topologies.problems import TopologyError
from topologies.streams import PUBLICATIONS_MAX, Stream, directory, offered, streams

BLOCK_ROWS = 65_536

Publishers = npt.NDArray[np.uint32]
Topics = npt.NDArray[np.uint16]
Payloads = npt.NDArray[np.uint32]
Columns = tuple[Floats, Publishers, Topics, Payloads]


@dataclass(frozen=True)
class Block:
    """Consecutive rows of a plan: columns of equal length, and the number of the first row."""

    first_row: int
    intended_s: Floats
    publisher: Publishers
    topic: Topics
    payload_bytes: Payloads

    def __len__(self) -> int:
        return len(self.intended_s)

    def update(self, digest: hashlib._Hash) -> None:
        """Feed the columns to a hash: one after another, little-endian."""
        digest.update(self.intended_s.astype("<f8", copy=False).tobytes())
        digest.update(self.publisher.astype("<u4", copy=False).tobytes())
        digest.update(self.topic.astype("<u2", copy=False).tobytes())
        digest.update(self.payload_bytes.astype("<u4", copy=False).tobytes())


class Plan:
    """Every publication of one replication, the same for all sides.

    Parameters
    ----------
    topology : Topology
        The description.
    seed : int
        Key of all draws.
    replication : int
        Which repetition; each has draws of its own.
    load : float
        Factor on the rates of legitimate arrivals; attacks keep theirs. [1]

    Raises
    ------
    TopologyError
        `load` is not positive and finite, or a trace cannot be read.
    """

    def __init__(
        self, topology: schema.Topology, seed: int = 1, replication: int = 0, load: float = 1.0
    ) -> None:
        if not 0.0 < load < math.inf:
            rule = "must be more than 0 and finite; write for example 1"
            raise TopologyError([f'load: "{load}": {rule}'])
        self.topology, self.seed, self.replication, self.load = topology, seed, replication, load
        self.duration_s = topology.workload.duration
        edges_s = cell_edges(self.duration_s)
        self._rows_of = [
            _StreamRows(topology, stream, (seed, replication, *stream.identity), load, edges_s)
            for stream in streams(topology)
        ]
        self._first_row = np.sum([rows.points.first_row for rows in self._rows_of], axis=0)
        self.rows = int(self._first_row[-1])
        if self.rows > PUBLICATIONS_MAX:
            rule = f"asks for {self.rows:,} publications, more than {PUBLICATIONS_MAX:.0e}"
            raise TopologyError([f"load: {load:g}: {rule}; lower the load, rates or duration"])
        self.blocks = -(-self.rows // BLOCK_ROWS)

    def __iter__(self) -> Iterator[Block]:
        return (self.block(number) for number in range(self.blocks))

    def block(self, number: int) -> Block:
        """Rows `number * BLOCK_ROWS` and the following, made alone.

        Raises
        ------
        IndexError
            The plan has no such block.
        """
        if not 0 <= number < self.blocks:
            raise IndexError(f"block {number}: the plan has {self.blocks} blocks")
        return self._between(number * BLOCK_ROWS, min((number + 1) * BLOCK_ROWS, self.rows))

    def columns(self) -> Block:
        """All rows at once."""
        return self._between(0, self.rows)

    @cached_property
    def sha256(self) -> str:
        """Hash over the blocks' bytes."""
        digest = hashlib.sha256()
        for block in self:
            block.update(digest)
        return digest.hexdigest()

    def _between(self, first: int, last: int) -> Block:
        """Rows first .. last - 1, from the cells that hold them."""
        low = int(np.searchsorted(self._first_row, first, side="right")) - 1
        high = int(np.searchsorted(self._first_row, last, side="left"))
        parts = [rows.columns(low, high) for rows in self._rows_of]
        intended_s, publisher, topic, payload = (
            np.concatenate(column) for column in zip(*parts, strict=True)
        )
        before = int(self._first_row[min(low, high)])
        order = np.argsort(intended_s, kind="stable")[first - before : last - before]
        return Block(first, intended_s[order], publisher[order], topic[order], payload[order])


class _StreamRows:
    """A stream's rows: its points; for each row a publisher and a payload drawn by row number."""

    def __init__(
        self,
        topology: schema.Topology,
        stream: Stream,
        key: tuple[str | int, ...],
        load: float,
        edges_s: Floats,
    ) -> None:
        self._stream, self._key = stream, key
        self._offset = topology.platform_offsets()[stream.population.name]
        factor = load if stream.role == "legitimate" else 1.0
        start = directory(topology)
        self.points = points(stream.arrivals, stream.window_s, factor, key, edges_s, start)

    def columns(self, low: int, high: int) -> Columns:
        """The rows of the cells low .. high - 1."""
        first, last = (int(self.points.first_row[cell]) for cell in (low, max(low, high)))
        if first == last:
            return (
                np.zeros(0),
                np.zeros(0, np.uint32),
                np.zeros(0, np.uint16),
                np.zeros(0, np.uint32),
            )
        intended_s = self.points.instants(low, high)
        topic = np.full(last - first, self._stream.topic, dtype=np.uint16)
        return intended_s, self._publishers(first, last), topic, self._payloads(first, last)

    def _publishers(self, first: int, last: int) -> Publishers:
        count = self._stream.population.count
        if isinstance(self.points, EvenPoints):
            chosen = np.arange(first, last) % count
        else:
            share = draws.uniforms((*self._key, "publishers"), first, last - first)
            chosen = np.minimum((share * count).astype(np.int64), count - 1)
        return np.asarray(self._offset + chosen, dtype=np.uint32)

    def _payloads(self, first: int, last: int) -> Payloads:
        if isinstance(self.points, TracePoints) and self.points.payload_bytes is not None:
            return self.points.payload_bytes[first:last]
        payload = self._stream.payload
        size = np.full(last - first, payload.size)
        if payload.cv > 0.0:
            variance = math.log1p(payload.cv**2)
            normal = draws.normals((*self._key, "payloads"), first, last - first)
            size *= np.exp(math.sqrt(variance) * normal - 0.5 * variance)
        whole = np.maximum(np.rint(np.minimum(size, payload.max)), 1.0)
        return np.asarray(whole, dtype=np.uint32)


def subscribers(topology: schema.Topology, topic_index: int, seed: int) -> Publishers:
    """Platforms that subscribe to a Topic, ascending.

    Of each population the share that it names, rounded to whole Platforms; which ones is drawn from
    (seed, population, Topic), and a larger share holds every Platform of a smaller one.
    """
    topic = topology.topics[topic_index].name
    offsets = topology.platform_offsets()
    chosen = [np.zeros(0, dtype=np.int64)]
    for population in topology.platforms:
        count = population.subscriber_count(topic)
        if count > 0:
            chosen.append(offsets[population.name] + _sample(population, topic, count, seed))
    return np.concatenate(chosen).astype(np.uint32)


def _sample(
    population: schema.Population, topic: str, count: int, seed: int
) -> npt.NDArray[np.int64]:
    if count == population.count:
        return np.arange(population.count)
    rank = draws.generator(seed, "subscribers", population.name, topic).random(population.count)
    return np.sort(np.argsort(rank, kind="stable")[:count])


__all__ = ["BLOCK_ROWS", "Block", "Plan", "offered", "subscribers"]
