"""What an architect should hear before any search: the grid as described, on paper.

A server that is asked for more than it can do needs less asked of it or more of it; how much of
each, closed forms say. Copies for Platforms of another Controller share one connection, which
stock servers limit; how old the last of them is when it comes, a division says.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from results import units
from sim.batching import batched
from sim.clusters_on_paper import node_loads
from sim.designs import Design, changed, dealt, loads, parallel, part
from sim.services import demands, service
from topologies.profiles import Profile
from topologies.schema import Topic, Topology

TARGET = 0.7  # of the CPU: what a server should be busy at most to keep its latency
BATCH_MAX = 64
BROKERS_MAX = 64
# Inbound bytes per second of one connection from another server, as packaged by Debian 12:
# Prosody's `mod_limits` (30 KiB/s) and ejabberd's example shaper `fast` (100,000 B/s).
STOCK_SERVER_BYTES_PER_S = {"prosody": 30 * 1024.0, "ejabberd": 100e3}
STANZA_BYTES = 290.0  # message, event, items and item around a payload, with both addresses


@dataclass(frozen=True)
class Advice:
    """What was seen, and what would help: the first repair is the least change."""

    kind: str
    place: str
    text: str
    repairs: tuple[str, ...]


def advice(topology: Topology, profiles: Mapping[str, Profile]) -> list[Advice]:
    """All that closed forms say about the topology as it stands."""
    found = []
    for node in topology.controllers:
        found += list(_overload(topology, node.name, profiles[node.name]))
    return [*found, *_federation(topology, profiles)]


def _busy(topology: Topology, controller: str, profile: Profile, cores: int) -> float:
    """How busy a Controller is, or the busiest node of it. [1]"""
    node = next(each for each in topology.controllers if each.name == controller)
    if node.nodes > 1:
        own = node_loads(topology, node, profile, 1.0, attacks=False)
        return float(own.cpu.max()) / cores
    asked = demands(topology, controller, 1.0, attacks=False)
    rate_per_s = sum(demand.rate_per_s for demand in asked)
    return rate_per_s * service(asked, profile).moments.mean / cores


def _overload(topology: Topology, controller: str, profile: Profile) -> Iterator[Advice]:
    node = next(each for each in topology.controllers if each.name == controller)
    cores = node.cores if parallel(profile) else 1
    design = Design(node.nodes, cores, "cluster" if node.nodes > 1 else "subscribers")
    own = part(topology, controller, profile, design)
    busy = _busy(own, controller, profile, cores)
    if busy <= 1.0:
        return
    asked = demands(own, controller, 1.0, attacks=False)
    deliveries = sum(demand.rate_per_s * demand.copies for demand in asked)
    yield Advice(
        "overload",
        f"controllers[{controller}]",
        f"{units.rate(deliveries)} deliveries keep {controller} {units.percent(busy)} busy: more "
        f"than {cores} core{'s' if cores > 1 else ''} of {profile.server} can do"
        f"{' on its busiest node' if node.nodes > 1 else ''}. That is a "
        "question of design, not of tuning",
        tuple(_repairs(own, controller, profile, cores)),
    )


def _repairs(own: Topology, controller: str, profile: Profile, cores: int) -> Iterator[str]:
    """Ways to be no more than `TARGET` busy: ask for less, or share it out."""

    def eased(changed: Topology) -> bool:
        return _busy(changed, controller, profile, cores) <= TARGET

    batch = next((b for b in range(2, BATCH_MAX + 1) if eased(batched(own, b))), None)
    if batch is not None:
        yield f"batching: {batch} events in one item"
    kept = max((k for k in range(1, 100) if eased(_filtered(own, 0.01 * k))), default=0)
    if kept:
        yield f"filters that keep {kept} % of the deliveries or fewer"
    yield _by_topic(own, controller, profile, cores)
    designs = (Design(k, cores) for k in range(2, BROKERS_MAX + 1))
    shared = next((d for d in designs if eased(part(own, controller, profile, d))), None)
    if shared is not None:
        yield f"{shared.controllers} Controllers with a Broker each, the subscribers shared out"
    if parallel(profile):
        yield f"{math.ceil(_busy(own, controller, profile, 1) / TARGET)} cores"


def _by_topic(own: Topology, controller: str, profile: Profile, cores: int) -> str:
    """How many Brokers it takes to which the Topics are dealt out, or why none are enough."""
    busy = {name: load / cores for name, load in loads(own, controller, profile).items()}
    for brokers in range(2, len(busy) + 1):
        if max(sum(busy[name] for name in pile) for pile in dealt(busy, brokers)) <= TARGET:
            return f"{brokers} Brokers on Controllers of their own, the Topics dealt out"
    largest = max(busy, key=lambda name: busy[name])
    share = units.percent(busy[largest])
    return f"more Brokers by Topic are not enough: {largest} alone keeps a server {share} busy"


def _filtered(topology: Topology, share: float) -> Topology:
    """Subscribers that get a share of what they got: so many fewer of them."""
    thinner = []
    for population in topology.platforms:
        wishes = tuple(
            changed(each, fraction=each.fraction * share) for each in population.subscribes
        )
        thinner.append(changed(population, subscribes=wishes))
    return changed(topology, platforms=tuple(thinner))


def _federation(topology: Topology, profiles: Mapping[str, Profile]) -> Iterator[Advice]:
    """Topics whose copies crowd a connection between two Controllers."""
    hosts = {broker.name: broker.controller for broker in topology.brokers}
    for topic in topology.topics:
        home = hosts[topic.broker]
        for name in (node.name for node in topology.controllers):
            copies = sum(
                population.subscriber_count(topic.name)
                for population in topology.platforms
                if population.controller == name
            )
            if name == home or copies == 0:
                continue
            yield from _stale(topology, topic, (home, name), copies, profiles[name].server)


def _stale(
    topology: Topology, topic: Topic, way: tuple[str, str], subscribers: int, server: str
) -> Iterator[Advice]:
    """One Topic's copies on their way from one Controller to another, if they are late."""
    home, name = way
    node = next(each for each in topology.controllers if each.name == name)
    link = topology.link(home, name)
    given = node.limits.server.rate if node.limits.server else None
    limit = given or STOCK_SERVER_BYTES_PER_S.get(server, math.inf)
    rate = min(limit, link.rate or math.inf)
    copies = 1 if link.copies == "domain" else subscribers
    each_s, promise_s = (topic.payload.size + STANZA_BYTES) / rate, topology.slo.deadline
    if copies * each_s <= promise_s:
        return
    whose = "the link's rate" if rate < limit else "the limit"
    if rate == limit and given is None:
        whose = f"{server}'s stock limit"
    repairs = [f"{units.size(copies * each_s * rate / promise_s)}/s or more from {home} to {name}"]
    if copies > 1:
        repairs.insert(0, "one copy for the domain, handed out by a repeater there (links: copies: "
                          f"domain): {units.seconds(each_s)}")  # fmt: skip
    yield Advice(
        "staleness",
        f"topics[{topic.name}]",
        f"an item of {units.size(topic.payload.size)} on {topic.name} goes to {subscribers:,} "
        f"Platforms of {name} in {'as many copies' if copies > 1 else 'one copy'} over one "
        f"connection, which {whose} of {units.size(rate)}/s holds back: the last of them is "
        f"{units.seconds(copies * each_s)} old when it arrives",
        tuple(repairs),
    )
