"""A fan-out in ciw, with the same draws: another program of the trade, for `gridlab bench sim`.

Node 1 is the server, 2 the egress link, 3 the way to the Platforms, and each Platform's reader is a
node of its own. A publication is a batch of its copies, whose services are given one after another.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import ciw
import numpy as np

from sim import draws
from sim.draws import Purpose
from sim.state import Floats
from topologies.plan import Block
from topologies.profiles import Fifo, Profile
from topologies.schema import Topology

READERS = 4  # number of the first reader's node
END_S = 1e9


class ByCopy(ciw.routing.NodeRouting):  # type: ignore[misc]
    """Copy k of a publication goes to reader k; customers are numbered from 1."""

    def __init__(self, copies: int) -> None:
        self._copies = copies

    def next_node(self, customer: Any) -> Any:
        """The customer's reader."""
        reader = (customer.id_number - 1) % self._copies
        return self.simulation.nodes[READERS + reader]


class CiwFanOut:
    """One `fifo` core, its link, and the readers of one population that gets one Topic.

    Parameters
    ----------
    topology : Topology
        One Controller with one core, one Topic, one population that publishes, one that receives.
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
        costs, (source, sink) = profile.costs, topology.platforms
        assert isinstance(costs, Fifo)
        assert sink.read_rate is not None
        self._intended_s, self._copies = rows.intended_s, sink.count
        arrival_s = rows.intended_s + source.network.delay
        waits_s = [float(arrival_s[0]), *(late - early for early, late in pairwise(arrival_s))]
        sizes_bytes = rows.payload_bytes.astype(np.float64)
        services_s: list[float] = []
        for place, size_bytes in enumerate(sizes_bytes.tolist()):
            key = (seed, Purpose.COPY, replication, rows.first_row + place, sink.count)
            copy_s = profile.speed * (costs.copy_ + costs.copy_per_byte * size_bytes)
            own_s = copy_s * draws.exponentials(*key)
            own_s[0] += profile.speed * (costs.publish + costs.publish_per_byte * size_bytes)
            services_s += own_s.tolist()
        wire_bytes = float(sizes_bytes[0]) + profile.envelope.notification
        fixed = ciw.dists.Deterministic
        readers = sink.count
        self._network = ciw.create_network(
            arrival_distributions=[
                ciw.dists.Sequential([*waits_s, float("inf")]), *[None] * (2 + readers)
            ],
            batching_distributions=[fixed(readers), *[fixed(1)] * (2 + readers)],
            service_distributions=[
                ciw.dists.Sequential(services_s), fixed(wire_bytes / topology.controllers[0].nic),
                fixed(sink.network.delay), *[fixed(1.0 / sink.read_rate)] * readers,
            ],
            number_of_servers=[1, 1, float("inf"), *[1] * readers],
            routing=ciw.routing.NetworkRouting(
                routers=[
                    ciw.routing.Direct(to=2), ciw.routing.Direct(to=3), ByCopy(readers),
                    *(ciw.routing.Leave() for _ in range(readers)),
                ]
            ),
        )  # fmt: skip

    def run(self) -> Floats:
        """Play it all; the latency of every copy. [s]"""
        simulation = ciw.Simulation(self._network)
        simulation.simulate_until_max_time(END_S)
        records = simulation.get_all_records()
        left = [(each.id_number, each.exit_date) for each in records if each.node >= READERS]
        numbers, exit_s = np.array(left).T
        row = (numbers.astype(np.int64) - 1) // self._copies
        return np.asarray(exit_s - self._intended_s[row])
