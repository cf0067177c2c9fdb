"""The uncertain inputs of a topology: its figures with the spread that their provenance allows.

A published figure may be a tenth off, a derived one a third, an assumed one (or one without a
source) a factor of two, either way; measured costs a fifth, and a machine's speed a third.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sim.axes import LOAD, Settings
from sim.bounds import shares
from sim.designs import Design, parallel, part
from sim.scenarios import Base, world
from topologies import TopologyError
from topologies.model import Sourced
from topologies.profiles import Profile
from topologies.schema import Topology

SPREAD = {"published": 1.1, "measured": 1.2, "derived": 1.35, "assumed": 2.0}
SPEED = 1.3
COSTS = (
    "publish", "build", "write", "coalesced", "setup", "setup_per_subscriber", "route", "copy",
    "collection",
)  # fmt: skip


@dataclass(frozen=True)
class Input:
    """A figure that may be `spread` times larger or smaller than `base`, in `unit`."""

    path: str
    base: float
    unit: str
    spread: float
    kind: str
    whole: bool = False

    def text(self, share: float) -> str:
        """The value at a share of the way from low to high, on a logarithmic scale."""
        value = self.base * self.spread ** (2.0 * share - 1.0)
        if self.whole:
            return str(max(1, round(value)))
        return f"{float(f'{value:.9g}')!r} {self.unit}".strip()

    def ends(self) -> str:
        """For people: `250 to 1,000 B`."""
        low, high = self.base / self.spread, self.base * self.spread
        return f"{low:.4g} to {high:.4g} {self.unit}".strip()


def inputs(topology: Topology, profiles: Mapping[str, Profile]) -> list[Input]:
    """Every figure of the workload and of the costs that could be otherwise."""
    return [Input(LOAD, 1.0, "", SPREAD["derived"], "derived"), *_workload(topology),
            *_populations(topology), *_costs(profiles)]  # fmt: skip


def _kind(section: Sourced, *around: Sourced) -> str:
    """The provenance of a section, or of one around it."""
    for each in (section, *around):
        if each.provenance is not None:
            return each.provenance.kind
    return "assumed"


def _workload(topology: Topology) -> Iterator[Input]:
    for number, arrivals in enumerate(topology.workload.arrivals):
        rate = getattr(arrivals, "rate", None)
        if rate is not None:
            kind = _kind(arrivals, topology.workload)
            path = f"workload.arrivals[{number}].rate"
            yield Input(path, rate, "/s", SPREAD[kind], kind)
    for topic in topology.topics:
        kind = _kind(topic)
        yield Input(f"topics[{topic.name}].payload.size", topic.payload.size, "B", SPREAD[kind],
                    kind)  # fmt: skip


def _populations(topology: Topology) -> Iterator[Input]:
    for population in topology.platforms:
        if population.role == "adversary":
            continue
        kind, place = _kind(population), f"platforms[{population.name}]"
        if population.subscribes:
            yield Input(f"{place}.count", population.count, "", SPREAD[kind], kind, True)
        if population.network.delay:
            yield Input(f"{place}.network.delay", population.network.delay, "s", SPREAD[kind], kind)
        if population.read_rate is not None:
            yield Input(f"{place}.read_rate", population.read_rate, "/s", SPREAD[kind], kind)


def _costs(profiles: Mapping[str, Profile]) -> Iterator[Input]:
    for profile in {each.name: each for each in profiles.values()}.values():
        kind, place = profile.provenance.kind, f"profile[{profile.name}]"
        yield Input(f"{place}.speed", profile.speed, "", SPEED, kind)
        costs = profile.costs.model_dump(by_alias=True)
        for name in COSTS:
            if isinstance(value := costs.get(name), float) and value > 0.0:
                yield Input(f"{place}.costs.{name}", value, "s", SPREAD[kind], kind)


def on_paper(base: Base, settings: Settings) -> dict[str, float]:
    """Core seconds a second that a setting asks of each Controller, by closed forms. [1]"""
    return {name: shares["cpu"] for name, shares in _on_paper(base, settings).items()}


def _on_paper(base: Base, settings: Settings) -> dict[str, dict[str, float]]:
    """Of each Controller with a Broker: core seconds a second, link, latency of an idle grid."""
    topology, profiles, load = world(base, settings)
    hosts = {broker.controller for broker in topology.brokers}
    found: dict[str, dict[str, float]] = {}
    for node in topology.controllers:
        if node.name not in hosts:
            continue
        cores = node.cores if parallel(profiles[node.name]) else 1
        design = Design(node.nodes, cores, "cluster" if node.nodes > 1 else "subscribers")
        own = part(topology, node.name, profiles[node.name], design)
        scales = {"cpu": load * cores, "link": load, "latency": 1.0}
        found[node.name] = {
            share.resource: scales[share.resource] * share.mean
            for share in shares(own, node.name, profiles[node.name], 1.0)
            if share.resource in scales
        }
    return found


def strongest(base: Base, known: list[Input], count: int) -> list[Input]:
    """The inputs that move the closed forms most, from one end to the other, each by itself."""
    effects = []
    for each in known:
        try:
            low, high = (_on_paper(base, ((each.path, each.text(share)),)) for share in (0.0, 1.0))
        except TopologyError:
            continue
        pairs = ((low[node][name], high[node][name]) for node in low for name in low[node])
        moved = [abs(math.log(more / less)) for less, more in pairs if less * more]
        effects.append((max(moved, default=0.0), each))
    effects.sort(key=lambda pair: -pair[0])
    return [each for _, each in effects[:count]]
