"""What each node of a cluster is asked for, on paper: sums of costs by where traffic comes in.

A publication comes in on the node of its publisher and is worked there, or (`runs_on: first-node`)
is passed on to the first node and worked there. Each of its copies for a session on another node
is written as for any session, hops, and is read and written there. So of N subscribers on k nodes
about N (k - 1)/k copies cost twice: what a cluster adds to one server's work.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.clusters import node_name, runs
from sim.services import Demand, demands, publication, warmth
from sim.sojourns import copy_s
from sim.state import Floats
from topologies.profiles import FanoutProcess, LoopTurns, Profile
from topologies.schema import Controller, Topology


@dataclass(frozen=True)
class NodeLoads:
    """What is asked of each node, the first one first.

    CPU time a second on average and, when all coalesces, at least [1]; bytes to its network link
    [B/s]; CPU time of all nodes together for one publication [s].
    """

    cpu: Floats
    cpu_least: Floats
    wire_bytes_per_s: Floats
    service_s: float


def node_loads(
    topology: Topology, node: Controller, profile: Profile, load: float, *, attacks: bool
) -> NodeLoads:
    """What a Controller's nodes are asked for."""
    shares = _shares(topology, node)
    cpu, least, wire = np.zeros((3, node.nodes))
    brokers = {each.name: each.runs_on for each in topology.brokers}
    keepers = {each.name: brokers[each.broker] for each in topology.topics}
    asked = demands(topology, node.name, load, attacks)
    for demand in asked:
        entry = demand.rate_per_s * shares[demand.by]
        here = np.zeros(node.nodes)
        for people in topology.platforms:
            here += people.subscriber_count(demand.topic) * shares.get(people.name, 0.0)
        (passing_s, passing_least_s), size_bytes = (
            _passing_s(demand, profile),
            _wire(demand, profile),
        )
        moments, least_s = publication(demand, profile)
        if keepers[demand.topic] == "first-node":
            away = entry.copy()
            away[0] = 0.0
            cpu, least = cpu + away * passing_s, least + away * passing_least_s
            wire += away * size_bytes
            entry = np.where(np.arange(node.nodes) == 0, demand.rate_per_s, 0.0)
        come = (demand.rate_per_s - entry) * here  # copies from other nodes
        cpu += entry * moments.mean + come * passing_s
        least += entry * least_s + come * passing_least_s
        wire += (entry * demand.copies + come) * size_bytes
    rate_per_s = sum(demand.rate_per_s for demand in asked)
    return NodeLoads(cpu, least, wire, float(cpu.sum()) / rate_per_s if rate_per_s else 0.0)


def _shares(topology: Topology, node: Controller) -> dict[str, Floats]:
    """Of each population of a Controller, the share that each node has. [1]"""
    places = {node_name(node.name, place): place for place in range(node.nodes)}
    found: dict[str, Floats] = {}
    for run in runs(topology):
        if run.station in places:
            people = topology.platforms[run.population]
            own = found.setdefault(people.name, np.zeros(node.nodes))
            own[places[run.station]] = run.count / people.count
    return found


def _passing_s(demand: Demand, profile: Profile) -> tuple[float, float]:
    """CPU time of a stanza that is read from another station and written to one session.

    On average, and at least. [s]
    """
    receive_s, per_byte = profile.receive_s()
    costs, payload = profile.costs, demand.payload.mean
    before_s, write_s = receive_s + per_byte * payload, copy_s(demand, profile)
    if isinstance(costs, LoopTurns):
        before_s += profile.speed * (costs.build + costs.build_per_byte * payload)
        return before_s + write_s, before_s + profile.speed * costs.coalesced
    if isinstance(costs, FanoutProcess):
        before_s += profile.speed * (costs.route + costs.route_per_byte * payload + costs.finish)
        mean, hottest = warmth(demand, costs)
        return before_s + mean * write_s, before_s + hottest * write_s
    return before_s + write_s, before_s + write_s


def _wire(demand: Demand, profile: Profile) -> float:
    return demand.payload.mean + profile.envelope.notification
