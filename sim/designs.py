"""Designs of a grid: how many Controllers with how many cores, and what each of them carries.

A design says how the work of one Controller of a topology is shared out. `subscribers`: each of k
Controllers, federated domains, serves 1/k of the subscribers and takes in every publication, of
which one copy travels to each. `topics`: the Topics are dealt out to Brokers on k Controllers, and
all who want a Topic connect to its Controller. Either way the busiest of the k Controllers is a
topology of its own, which paper and simulation can answer. `cluster`: k nodes share the domain;
what is published becomes copies on the publisher's node, of which those for other nodes' sessions
hop. That is one topology with all nodes (`sim.clusters`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from results import units
from sim.services import demands, service
from topologies.model import Model
from topologies.profiles import Profile
from topologies.schema import Population, Subscription, Topic, Topology
from topologies.streams import shared_out

Arrangement = Literal["subscribers", "topics", "cluster"]
Place = Literal["publishers", "broker"]
Case = Literal["normal", "attacks", "restart"]
AnyModel = TypeVar("AnyModel", bound=Model)
# What other parts of a topology say of more than one Controller has no place in one of them.
ELSEWHERE = ("links", "faults", "defences")


@dataclass(frozen=True)
class Collecting:
    """Who collects events into items, and how long after the first of them. [s]"""

    hold_s: float
    place: Place

    @property
    def text(self) -> str:
        """For people: `publishers collect for 50 ms`."""
        who = "publishers collect" if self.place == "publishers" else "the Broker collects"
        return f"{who} for {units.seconds(self.hold_s)}"


@dataclass(frozen=True)
class Design:
    """`controllers` with `cores` and a network link each in place of one.

    Without a `nic` the link is the file's [B/s]; without `collecting` events go out one by one.
    """

    controllers: int
    cores: int
    arrangement: Arrangement = "subscribers"
    nic: float | None = None
    collecting: Collecting | None = None

    @property
    def cores_total(self) -> int:
        """Cores of all Controllers."""
        return self.controllers * self.cores

    @property
    def held_s(self) -> float:
        """How long an event may be held before it goes out. [s]"""
        return self.collecting.hold_s if self.collecting else 0.0

    def text(self) -> str:
        """For people: `3 Controllers with 4 cores each`."""
        cores = f"{self.cores} core{'s' if self.cores > 1 else ''}"
        if self.nic is not None:
            cores += f" and {units.bits(self.nic)}"
        each = f"1 Controller with {cores}"
        if self.controllers > 1 and self.arrangement == "cluster":
            each = f"a cluster of {self.controllers} nodes with {cores} each"
        elif self.controllers > 1:
            each = f"{self.controllers} Controllers with {cores} each"
        return f"{each}, if {self.collecting.text}" if self.collecting else each


def parallel(profile: Profile) -> bool:
    """Whether more than one core is of use to one server of this kind."""
    return profile.costs.discipline != "loop-turns"


def part(
    topology: Topology,
    controller: str,
    profile: Profile,
    design: Design,
    *,
    case: Case = "normal",
) -> Topology:
    """The busiest Controller of a design as a topology, in normal operation or under attack.

    Of a cluster it is all of it; after a restart a node by itself, since logins cross no nodes.
    Platforms of other Controllers that take part in its Topics count as its own. Under attack all
    attacks begin at once and last as long as the run.
    """
    own, count = _alone(topology, controller, case), 1
    if design.controllers > 1 and design.arrangement == "topics":
        own = _with_topics(own, _busiest_topics(own, controller, profile, design.controllers))
    elif design.arrangement == "cluster" and case != "restart":
        own = changed(own, platforms=tuple(changed(p, login=None) for p in own.platforms))
        count = design.controllers
    elif design.controllers > 1:
        own = _with_share(own, 1.0 / design.controllers)
    nodes = tuple(
        changed(node, cores=design.cores, nodes=count, nic=design.nic or node.nic)
        for node in own.controllers
    )
    return changed(own, controllers=nodes)


def changed(model: AnyModel, **fields: object) -> AnyModel:
    """A copy with some fields changed, unchecked; a topology keeps its source."""
    return model.model_copy(update=fields)


def _alone(topology: Topology, controller: str, case: Case) -> Topology:
    """What happens on the Topics of one Controller, as if all who take part lived there."""
    hosts = {broker.name: broker.controller for broker in topology.brokers}
    topics = tuple(topic for topic in topology.topics if hosts[topic.broker] == controller)
    attacks = topology.attacks if case == "attacks" else ()
    duration = topology.workload.duration
    alone = changed(
        topology,
        controllers=tuple(node for node in topology.controllers if node.name == controller),
        brokers=tuple(b for b in topology.brokers if b.controller == controller),
        attacks=tuple(
            changed(each, start=0.0, duration=duration)
            for each in attacks
            if getattr(each, "topic", None) in {topic.name for topic in topics}
        ),
    )
    own = _with_topics(alone, topics, controller)
    return changed(own, **{name: () for name in ELSEWHERE if name in Topology.model_fields})


def _with_topics(
    topology: Topology, topics: tuple[Topic, ...], controller: str | None = None
) -> Topology:
    """Only these Topics, with those who take part in them, on one Controller."""
    names = {topic.name for topic in topics}
    home = controller or topology.controllers[0].name
    platforms = []
    for population in topology.platforms:
        publishes = tuple(name for name in population.publishes if name in names)
        subscribes = tuple(each for each in population.subscribes if each.topic in names)
        if publishes or subscribes or (population.controller == home and controller):
            fields = {"publishes": publishes, "subscribes": subscribes, "controller": home,
                      "failover": ()}  # fmt: skip
            away = changed(population, **fields)
            if population.controller != home:
                delay_s = topology.link(home, population.controller).delay
                network = changed(away.network, delay=away.network.delay + delay_s)
                away = changed(away, network=network)
            platforms.append(away)
    processes = (own for each in topology.workload.arrivals for own in shared_out(each))
    arrivals = tuple(each for each in processes if each.topic in names)
    attacks = tuple(each for each in topology.attacks if each.topic in names)
    brokers = {topic.broker for topic in topics}
    return changed(
        topology,
        topics=topics,
        brokers=tuple(each for each in topology.brokers if each.name in brokers),
        platforms=tuple(platforms),
        workload=changed(topology.workload, arrivals=arrivals),
        attacks=attacks,
    )


def _with_share(topology: Topology, share: float) -> Topology:
    """A share of the subscribers of each population, rounded up; publishers stay."""
    return changed(topology, platforms=tuple(_shared(each, share) for each in topology.platforms))


def _shared(population: Population, share: float) -> Population:
    if not population.subscribes:
        return population
    if not population.publishes:
        fields: dict[str, object] = {"count": math.ceil(population.count * share - 1e-9)}
    else:
        fields = {"subscribes": tuple(_thinner(each, population.count, share)
                                      for each in population.subscribes)}  # fmt: skip
    return changed(population, **fields)


def _thinner(subscription: Subscription, count: int, share: float) -> Subscription:
    """A subscription of a share of those who have it, rounded up."""
    wanted = math.ceil(subscription.platforms_of(count) * share - 1e-9)
    return changed(subscription, fraction=wanted / count)


def loads(topology: Topology, controller: str, profile: Profile) -> dict[str, float]:
    """Mean CPU time per second that each Topic asks of the Controller. [1]"""
    found: dict[str, float] = {}
    for demand in demands(topology, controller, 1.0, attacks=bool(topology.attacks)):
        mean_s = service([demand], profile).moments.mean
        found[demand.topic] = found.get(demand.topic, 0.0) + demand.rate_per_s * mean_s
    return found


def _busiest_topics(
    topology: Topology, controller: str, profile: Profile, brokers: int
) -> tuple[Topic, ...]:
    """Topics of the busiest of so many Brokers, dealt out largest first to the idlest one."""
    shares = loads(topology, controller, profile)
    piles = dealt(shares, brokers)
    busiest = max(piles, key=lambda pile: sum(shares[name] for name in pile))
    return tuple(topic for topic in topology.topics if topic.name in busiest)


def dealt(loads: Mapping[str, float], piles: int) -> list[list[str]]:
    """Names dealt out to piles, the largest first and always to the smallest pile (Graham 1969)."""
    found: list[list[str]] = [[] for _ in range(piles)]
    heights = [0.0] * piles
    for name in sorted(loads, key=lambda name: (-loads[name], name)):
        lowest = heights.index(min(heights))
        found[lowest].append(name)
        heights[lowest] += loads[name]
    return found


def smaller(design: Design, profile: Profile) -> Design | None:
    """The design of one size less: one core less of each, else one Controller less."""
    if parallel(profile) and design.cores > 1:
        return replace(design, cores=design.cores - 1)
    return replace(design, controllers=design.controllers - 1) if design.controllers > 1 else None
