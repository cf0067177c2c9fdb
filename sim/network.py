"""The way in: publications in the order in which they reach their Controller.

A publication leaves at its intended instant, waits for its Platform's own uplink if that has a
rate, and travels for its population's delay. Delays differ, so publications overtake each other;
`Uplink` sorts them again as the plan's blocks come in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sim.limiters import send
from topologies.plan import Block, Plan
from topologies.profiles import Profile
from topologies.schema import Topology

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Arrivals:
    """Publications in order of arrival: columns of equal length. `row` is the plan's.

    `reached_s` is when they reached their Controller, `arrival_s` when its limits let them through.
    """

    row: Integers
    arrival_s: Floats
    intended_s: Floats
    publisher: npt.NDArray[np.uint32]
    topic: npt.NDArray[np.uint16]
    payload_bytes: Floats
    reached_s: Floats

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, chosen: slice | npt.NDArray[np.bool_] | Integers) -> Arrivals:
        return Arrivals(*(column[chosen] for column in self._columns()))

    def _columns(self) -> tuple[npt.NDArray[Any], ...]:
        return (
            self.row, self.arrival_s, self.intended_s, self.publisher, self.topic,
            self.payload_bytes, self.reached_s,
        )  # fmt: skip

    def at(self, arrival_s: Floats) -> Arrivals:
        """The same at other instants of arrival."""
        return replace(self, arrival_s=arrival_s)

    def followed_by(self, others: Arrivals) -> Arrivals:
        """Both, one after the other."""
        columns = zip(self._columns(), others._columns(), strict=True)
        return Arrivals(*(np.concatenate(pair) for pair in columns))


def nothing() -> Arrivals:
    """No publications."""
    none, instants = np.zeros(0, np.int64), np.zeros(0)
    who, where = np.zeros(0, np.uint32), np.zeros(0, np.uint16)
    return Arrivals(none, instants, instants, who, where, instants, instants)


def delays(topology: Topology) -> tuple[Integers, Floats]:
    """First Platform and delay of each population, in the topology's order. [s]"""
    counts = np.array([population.count for population in topology.platforms])
    delay_s = np.array([population.network.delay for population in topology.platforms])
    return np.cumsum(counts) - counts, delay_s


class _OwnUplinks:
    """Platforms whose uplink has a rate: each sends one publication after another."""

    def __init__(self, topology: Topology, profiles: Mapping[str, Profile]) -> None:
        people = topology.platforms
        rates = [population.network.uplink or np.inf for population in people]
        self._s_per_byte = 1.0 / np.array(rates)
        self._envelope_bytes = np.array(
            [profiles[population.controller].publication_bytes for population in people]
        )
        self.any = bool(self._s_per_byte.any())
        self._free_s = np.zeros(topology.platform_count if self.any else 0)

    def send(self, block: Block, population: Integers, item_bytes: Floats) -> Floats:
        """Instants at which the block's publications are on their way. [s]"""
        if not self.any:
            return block.intended_s
        size_bytes = item_bytes + self._envelope_bytes[population]
        sent_s = np.empty(len(block))
        send_s = size_bytes * self._s_per_byte[population]
        send(block.intended_s, send_s, block.publisher, self._free_s, sent_s)
        return sent_s


class Uplink:
    """A plan's publications by arrival.

    Parameters
    ----------
    plan : Plan
        The publications; its blocks are made one after another, as far as they are needed.
    profiles : mapping of str to Profile
        The profile of each Controller: what surrounds a payload on its way in.
    """

    def __init__(self, plan: Plan, profiles: Mapping[str, Profile]) -> None:
        self._plan = plan
        self._first, self._delay_s = delays(plan.topology)
        self._own = _OwnUplinks(plan.topology, profiles)
        topics = plan.topology.topics
        self._reference_bytes = np.array(
            [each.fetch.reference if each.flow == "direct" else np.nan for each in topics]
        )
        self._digest = hashlib.sha256()
        self._next_block = 0
        self._pending = nothing()
        self._known_s = -np.inf
        self._read()

    def windows(self, end_s: float) -> Iterator[tuple[Arrivals, float]]:
        """Arrivals before `end_s` that were not taken yet, in pieces with the instant each ends at.

        A piece is in order of arrival, then of row; no piece is much longer than a block.
        """
        while self._known_s < end_s:
            yield self._take(self._known_s), self._known_s
            self._read()
        yield self._take(end_s), end_s

    @property
    def next_s(self) -> float:
        """No publication arrives before. [s]"""
        known = self._pending.arrival_s
        return float(known[0]) if len(known) else self._known_s

    def window(self, after_s: float, end_s: float) -> tuple[Arrivals, float]:
        """The first piece that ends after `after_s`, at `end_s` at the latest."""
        while self._known_s <= after_s:
            self._read()
        until_s = min(end_s, self._known_s)
        return self._take(until_s), until_s

    def _read(self) -> None:
        """Make the plan's next block: all arrivals before `_known_s` are known then."""
        if self._next_block < self._plan.blocks:
            block = self._plan.block(self._next_block)
            block.update(self._digest)
            self._next_block += 1
            self._known_s = float(block.intended_s[-1] + self._delay_s.min())
            pending = self._pending.followed_by(self._arrivals(block))
            self._pending = pending[np.argsort(pending.arrival_s, kind="stable")]
        if self._next_block == self._plan.blocks:
            self._known_s = np.inf

    def _take(self, end_s: float) -> Arrivals:
        due = int(np.searchsorted(self._pending.arrival_s, end_s, side="left"))
        taken, self._pending = self._pending[:due], self._pending[due:]
        return taken

    @property
    def sha256(self) -> str:
        """Hash of the plan, once all of it was made."""
        assert self._next_block == self._plan.blocks
        return self._digest.hexdigest()

    def _arrivals(self, block: Block) -> Arrivals:
        population = np.searchsorted(self._first, block.publisher, side="right") - 1
        reference_bytes = self._reference_bytes[block.topic]
        item_bytes = np.where(np.isnan(reference_bytes), block.payload_bytes, reference_bytes)
        arrival_s = self._own.send(block, population, item_bytes) + self._delay_s[population]
        return Arrivals(
            row=np.arange(block.first_row, block.first_row + len(block)),
            arrival_s=arrival_s,
            intended_s=block.intended_s,
            publisher=block.publisher,
            topic=block.topic,
            payload_bytes=item_bytes,
            reached_s=arrival_s,
        )
