"""What no design can escape: operational laws, in milliseconds, before anything is simulated.

Of one Controller: its cores cannot do more work than there is time (utilisation law), its link
cannot send more bytes, its memory cannot hold less than its sessions, and a copy cannot arrive
before its publication is worked through in an idle server. Two figures of CPU are kept apart: what
is asked at least, when all writes coalesce and caches are warm, decides what is impossible; what is
asked on average decides what is advised.

References
----------
.. [1] P. J. Denning and J. P. Buzen, "The operational analysis of queueing network models," ACM
   Computing Surveys 10(3), 1978.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sim.clusters import session_count
from sim.clusters_on_paper import node_loads
from sim.designs import parallel
from sim.kept_items import kept_bytes
from sim.services import Demand, demands, publication, service
from sim.sojourns import copy_s
from topologies.profiles import FanoutProcess, Profile
from topologies.schema import Topology

RESOURCES = ("cpu", "link", "memory", "readers", "latency")


@dataclass(frozen=True)
class Share:
    """How much of a resource is used: `least` certainly, `mean` on average, at `mean` load. [1]"""

    resource: str
    least: float
    mean: float

    @property
    def impossible(self) -> bool:
        """Whether more is asked than there is, whatever happens."""
        return self.least >= 1.0


def shares(topology: Topology, controller: str, profile: Profile, p99_s: float) -> list[Share]:
    """What one Controller's topology asks of each of its resources.

    Parameters
    ----------
    topology : Topology
        A Controller alone, see `sim.designs.part`.
    controller : str
        Its name.
    profile : Profile
        Its costs.
    p99_s : float
        Bound on the p99 of latency; the share of it that remains in an idle grid is reported. [s]
    """
    node = next(each for each in topology.controllers if each.name == controller)
    asked = demands(topology, controller, 1.0, attacks=bool(topology.attacks))
    rate_per_s = sum(demand.rate_per_s for demand in asked)
    cost = service(asked, profile)
    cores = node.cores if parallel(profile) else 1
    wire_per_s = sum(
        demand.rate_per_s * demand.copies * (demand.payload.mean + profile.envelope.notification)
        for demand in asked
    )
    least, mean = rate_per_s * cost.least_s, rate_per_s * cost.moments.mean
    if node.nodes > 1:  # of the busiest node
        own = node_loads(topology, node, profile, 1.0, attacks=bool(topology.attacks))
        least, mean = float(own.cpu_least.max()), float(own.cpu.max())
        wire_per_s = float(own.wire_bytes_per_s.max())
    link = wire_per_s / node.nic
    memory = memory_bytes(topology, controller, profile) / node.memory
    readers = _readers(topology, asked)
    floor = floor_s(topology, asked, profile, node.nic) / p99_s
    return [
        Share("cpu", least / cores, mean / cores),
        Share("link", link, link),
        Share("memory", memory, memory),
        Share("readers", readers, readers),
        Share("latency", floor, floor),
    ]


def memory_bytes(topology: Topology, controller: str, profile: Profile) -> float:
    """Memory of the idle server: base, sessions, subscriptions, items. [B]"""
    memory = profile.memory
    subscriptions = sum(topology.fan_out().values())
    sessions = session_count(topology, controller)
    items = kept_bytes(topology, tuple(range(len(topology.topics))), profile.server)
    return memory.base + memory.session * sessions + memory.subscription * subscriptions + items


def _readers(topology: Topology, asked: Sequence[Demand]) -> float:
    """The busiest population's reading: items that each Platform gets over what it can take."""
    most = 0.0
    for population in topology.platforms:
        if population.read_rate is None:
            continue
        items_per_s = sum(
            demand.rate_per_s * population.subscriber_count(demand.topic) / population.count
            for demand in asked
        )
        most = max(most, items_per_s / population.read_rate)
    return most


def floor_s(
    topology: Topology, asked: Sequence[Demand], profile: Profile, nic_bytes_per_s: float
) -> float:
    """The least p99 that any number of cores and no other traffic leaves: the way and own work. [s]

    Copies of one publication leave one after another; the bound is the 99th percentile over all
    copies of the grid of the delays and of the work before each of them, at the cheapest. Where a
    publication's copies may be worked by several cores at once, only its routing is counted.
    """
    found: list[tuple[float, float]] = []  # latency of the j-th copy, and how many such copies
    for demand in asked:
        n = demand.copies
        if n == 0:
            continue
        moments, least_s = publication(demand, profile)
        step_s = _step_s(demand, profile, moments.mean, least_s)
        before_s = max(least_s - n * step_s, 0.0) if step_s else 0.0
        wire_s = (demand.payload.mean + profile.envelope.notification) / nic_bytes_per_s
        way_s = demand.delay_s + _delay_s(topology, demand.topic) + wire_s
        parts = min(n, 100)
        for part in range(parts):
            place = (part + 1) * n / parts
            worked_s = max(before_s + place * step_s, place * wire_s)
            found.append((way_s + worked_s, demand.rate_per_s * n / parts))
    found.sort()
    total, passed = sum(weight for _, weight in found), 0.0
    for latency_s, weight in found:
        passed += weight
        if passed >= 0.99 * total:
            return latency_s
    return 0.0


def _step_s(demand: Demand, profile: Profile, mean_s: float, least_s: float) -> float:
    """Time between two copies that nothing can shorten. [s]"""
    costs, payload = profile.costs, demand.payload.mean
    if isinstance(costs, FanoutProcess):
        return profile.speed * (costs.route + costs.route_per_byte * payload)
    return copy_s(demand, profile) * least_s / mean_s if mean_s else 0.0


def _delay_s(topology: Topology, topic: str) -> float:
    """The shortest delay to any receiver of a Topic. [s]"""
    return min(
        (p.network.delay for p in topology.platforms if p.subscriber_count(topic)), default=0.0
    )


def cores_at_least(topology: Topology, controller: str, profile: Profile) -> int:
    """The fewest cores that the work fits in, whatever coalesces: more than its CPU time asks."""
    asked = demands(topology, controller, 1.0, attacks=bool(topology.attacks))
    busy = sum(demand.rate_per_s for demand in asked) * service(asked, profile).least_s
    return math.floor(busy) + 1
