"""What a competent user of SimPy would write first: the yardstick of `gridlab bench sim`.

One `Resource` a station, one process a copy, nothing batched and nothing counted on the way. It
plays the same plan with the same draws as the kernels, so every latency must come out alike; and
it shares no code with them but the draws.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import simpy

from sim import draws
from sim.draws import Purpose
from topologies import TopologyError
from topologies.plan import Block, subscribers
from topologies.profiles import Fifo, Profile
from topologies.schema import Topology

Floats = npt.NDArray[np.float64]
Process = Generator[simpy.Event, Any, None]


@dataclass(frozen=True)
class Receivers:
    """The subscribers of one Topic, in the order in which they are served."""

    readers: Sequence[simpy.Resource | None]
    read_s: Sequence[float]
    delay_s: Sequence[float]


class NaiveGrid:
    """One `fifo` Controller, its link and its Platforms' readers.

    Parameters
    ----------
    topology : Topology
        A grid of one Controller.
    rows : Block
        The publications to play.
    profile : Profile
        Costs of the Controller; the discipline must be `fifo`.
    seed, replication : int
        Key of the draws.
    """

    def __init__(
        self, topology: Topology, rows: Block, profile: Profile, seed: int, replication: int
    ) -> None:
        if len(topology.controllers) != 1 or not isinstance(profile.costs, Fifo):
            rule = "the naive model has one Controller with a fifo profile"
            raise TopologyError([f"controllers: {rule}; use sim.simulate for this one"])
        node = topology.controllers[0]
        self._rows, self._profile, self._costs = rows, profile, profile.costs
        self._key, self._nic = (seed, replication), node.nic
        self._env = simpy.Environment()
        ranked = any(topic.priority for topic in topology.topics)
        self._cpu = (simpy.PriorityResource if ranked else simpy.Resource)(self._env, node.cores)
        self._rank = [(-each.priority,) if ranked else () for each in topology.topics]
        self._link = simpy.Resource(self._env)
        self._delay_s = np.repeat(
            [population.network.delay for population in topology.platforms],
            [population.count for population in topology.platforms],
        )
        self._receivers = self._subscribed(topology, seed)
        key = (seed, Purpose.SERVICE, replication)
        self._factor = draws.lognormals(*key, np.arange(len(rows)), profile.costs.cv)
        self._latency_s: list[float] = []

    def run(self) -> Floats:
        """Play it all; the latency of every copy, in order of receipt. [s]"""
        self._env.process(self._publications())
        self._env.run()
        return np.array(self._latency_s)

    def _subscribed(self, topology: Topology, seed: int) -> list[Receivers]:
        populations = np.repeat(
            np.arange(len(topology.platforms)), [each.count for each in topology.platforms]
        )
        read_s = [1.0 / each.read_rate if each.read_rate else 0.0 for each in topology.platforms]
        readers: dict[int, simpy.Resource] = {}
        found = []
        for topic in range(len(topology.topics)):
            chosen = subscribers(topology, topic, seed).tolist()
            times_s = [read_s[populations[platform]] for platform in chosen]
            for platform, time_s in zip(chosen, times_s, strict=True):
                if time_s and platform not in readers:
                    readers[platform] = simpy.Resource(self._env)
            delays_s = [float(self._delay_s[platform]) for platform in chosen]
            found.append(Receivers([readers.get(each) for each in chosen], times_s, delays_s))
        return found

    def _publications(self) -> Process:
        arrival_s = self._rows.intended_s + self._delay_s[self._rows.publisher]
        for place in np.argsort(arrival_s, kind="stable").tolist():
            yield self._env.timeout(float(arrival_s[place]) - self._env.now)
            self._env.process(self._publish(place))

    def _publish(self, place: int) -> Process:
        """A core takes in the publication and makes its copies, one after another."""
        costs, speed = self._costs, self._profile.speed
        size = float(self._rows.payload_bytes[place])
        intended_s = float(self._rows.intended_s[place])
        receivers = self._receivers[self._rows.topic[place]]
        intake_s = speed * (costs.publish + costs.publish_per_byte * size) * self._factor[place]
        wire_s = (size + self._profile.envelope.notification) / self._nic
        with self._cpu.request(*self._rank[self._rows.topic[place]]) as turn:
            yield turn
            yield self._env.timeout(intake_s)
            for copy, copy_s in enumerate(self._copies_s(place, size, len(receivers.delay_s))):
                yield self._env.timeout(copy_s)
                self._env.process(self._deliver(receivers, copy, wire_s, intended_s))

    def _copies_s(self, place: int, size: float, count: int) -> list[float]:
        """Service time of each copy. [s]"""
        mean_s = self._profile.speed * (self._costs.copy_ + self._costs.copy_per_byte * size)
        if self._costs.copy_distribution == "constant":
            return [mean_s] * count
        seed, replication = self._key
        row = self._rows.first_row + place
        drawn = draws.exponentials(seed, Purpose.COPY, replication, row, count)
        return list((mean_s * drawn).tolist())

    def _deliver(
        self, receivers: Receivers, copy: int, wire_s: float, intended_s: float
    ) -> Process:
        with self._link.request() as turn:
            yield turn
            yield self._env.timeout(wire_s)
        yield self._env.timeout(receivers.delay_s[copy])
        reader = receivers.readers[copy]
        if reader is not None:
            with reader.request() as turn:
                yield turn
                yield self._env.timeout(receivers.read_s[copy])
        self._latency_s.append(self._env.now - intended_s)
