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
from sim.services import Demand, demands, publication
from sim.sojourns import copy_s
from sim.state import Floats
from topologies.profiles import FanoutProcess, LoopTurns, Profile
from topologies.schema import Controller, Topology


@dataclass(frozen=True)
class NodeLoads:
    """Of each node: CPU time a second [1], bytes to its network link [B/s]. Per publication: all
    nodes' CPU time [s]."""

    cpu: Floats
    wire_bytes_per_s: Floats
    service_s: float


def node_loads(
    topology: Topology, node: Controller, profile: Profile, load: float, *, attacks: bool
) -> NodeLoads:
    """What a Controller's nodes are asked for, the first one first."""
    shares = _shares(topology, node)
    cpu, wire = np.zeros((2, node.nodes))
    brokers = {each.name: each.runs_on for each in topology.brokers}
    keepers = {each.name: brokers[each.broker] for each in topology.topics}
    asked = demands(topology, node.name, load, attacks)
    for demand in asked:
        entry = demand.rate_per_s * shares[demand.by]
        here = np.zeros(node.nodes)
        for people in topology.platforms:
            here += people.subscriber_count(demand.topic) * shares.get(people.name, 0.0)
        passing_s, size_bytes = _passing_s(demand, profile), _wire_bytes(demand, profile)
        if keepers[demand.topic] == "first-node":
            away = entry.copy()
            away[0] = 0.0
            cpu += away * passing_s
            wire += away * size_bytes
            entry = np.where(np.arange(node.nodes) == 0, demand.rate_per_s, 0.0)
        cpu += entry * publication(demand, profile)[0].mean
        come = (demand.rate_per_s - entry) * here  # copies from other nodes
        cpu += come * passing_s
        wire += (entry * demand.copies + come) * size_bytes
    rate_per_s = sum(demand.rate_per_s for demand in asked)
    return NodeLoads(cpu, wire, float(cpu.sum()) / rate_per_s if rate_per_s else 0.0)


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


def _passing_s(demand: Demand, profile: Profile) -> float:
    """CPU time of a stanza that is read from another station and written to one session. [s]"""
    receive_s, per_byte = profile.receive_s()
    costs, payload = profile.costs, demand.payload.mean
    first_s = 0.0
    if isinstance(costs, LoopTurns):
        first_s = costs.build + costs.build_per_byte * payload
    elif isinstance(costs, FanoutProcess):
        first_s = costs.route + costs.route_per_byte * payload + costs.finish
    return receive_s + per_byte * payload + profile.speed * first_s + copy_s(demand, profile)


def _wire_bytes(demand: Demand, profile: Profile) -> float:
    return demand.payload.mean + profile.envelope.notification
