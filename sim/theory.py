"""A topology on paper: utilisation, capacity, waits and memory of each Controller in milliseconds.

A publication is a job whose service is all the CPU time that it and its copies take; of a cluster
the busiest node is told. For `fifo` the forms are exact where arrivals are Poisson or come in
Poisson batches; for the two measured disciplines utilisation and capacity are sums of costs, and
latencies are approximations that say so. Costs fall with load as both servers coalesce, so their
capacity is a range.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import topologies
from results.statistics import Estimate
from sim.clusters import session_count
from sim.clusters_on_paper import node_loads
from sim.kept_items import kept_bytes, owned_by
from sim.platforms import require_supported
from sim.request_support import NOT_ON_PAPER
from sim.services import Demand, demands, service
from sim.sojourns import Sojourns, sojourns
from topologies import support
from topologies.profiles import Profile
from topologies.schema import Controller, Topology

if TYPE_CHECKING:
    from rich.console import RenderableType


def estimate(
    topology: Topology, *, profiles: Mapping[str, Profile] | None = None, load: float = 1.0
) -> dict[str, Any]:
    """What closed forms say about a topology.

    Parameters
    ----------
    topology : Topology
        The grid.
    profiles : mapping of str to Profile, optional
        Cost profile by Controller; those that the topology names by default.
    load : float
        Factor on legitimate rates. [1]

    Returns
    -------
    dict
        `controllers` at the legitimate load, `under_attack` with all attacks at once (null without
        any). Every figure is an estimate: a value with bounds, or null with a reason.

    Raises
    ------
    TopologyError
        A Platform uses a Topic of another Controller, `load` is not positive and finite, or a
        trace or profile cannot be read.
    """
    require_supported(topology)
    _require_local(topology)
    if not 0.0 < load < math.inf:
        rule = "must be more than 0 and finite; write for example 1"
        raise topologies.TopologyError([f'load: "{load}": {rule}'])
    support.refuse(topology, NOT_ON_PAPER, "closed forms")
    if profiles is None:
        profiles = {c.name: topologies.profile(topology, c.name) for c in topology.controllers}
    calm, attacked = (
        {
            node.name: _controller(topology, node, profiles[node.name], load, attacks)
            for node in topology.controllers
        }
        for attacks in (False, True)
    )
    return {
        "origin": "estimated",
        "topology": topology.name,
        "load": load,
        "controllers": calm,
        "under_attack": attacked if topology.attacks else None,
    }


def _require_local(topology: Topology) -> None:
    """No closed form follows a copy from one Controller to another."""
    hosts = {broker.name: broker.controller for broker in topology.brokers}
    homes = {topic.name: hosts[topic.broker] for topic in topology.topics}
    problems = []
    for number, population in enumerate(topology.platforms):
        used = [*population.publishes, *(each.topic for each in population.subscribes)]
        for topic in dict.fromkeys(used):
            if homes[topic] != population.controller:
                problems.append(
                    f'platforms[{number}].controller: "{population.controller}": Topic {topic} is '
                    f"on Controller {homes[topic]}, and no closed form here follows a copy from "
                    "one Controller to another; simulate"
                )
    if problems:
        raise topologies.TopologyError(problems)


def _controller(
    topology: Topology, node: Controller, profile: Profile, load: float, attacks: bool
) -> dict[str, Any]:
    asked = demands(topology, node.name, load, attacks)
    each = service(asked, profile)
    cores = 1 if profile.costs.discipline == "loop-turns" else node.cores
    rate_per_s = sum(demand.rate_per_s for demand in asked)
    copies_per_s = sum(demand.rate_per_s * demand.copies for demand in asked)
    wire_per_s = sum(_wire_bytes(demand, profile) * demand.rate_per_s for demand in asked)
    mean_s, least_s, busy = each.moments.mean, each.least_s, rate_per_s * each.moments.mean
    if node.nodes > 1:  # figures of the busiest node
        own = node_loads(topology, node, profile, load, attacks=attacks)
        busy, wire_per_s = float(own.cpu.max()), float(own.wire_bytes_per_s.max())
        mean_s, least_s = own.service_s, own.service_s * (least_s / mean_s if mean_s else 1.0)
    most_per_s = rate_per_s * cores / busy if busy else 0.0
    found = sojourns(topology, node, profile, asked, each.moments)
    return {
        "form": found.form,
        "offered_load_per_s": _value(rate_per_s),
        "deliveries_per_s": _value(copies_per_s),
        "service_s": _bounded(mean_s, least_s, mean_s),
        "utilisation": _value(busy / cores),
        "capacity_per_s": _bounded(most_per_s, most_per_s, most_per_s * mean_s / least_s)
        if least_s > 0.0
        else _none("a publication costs nothing" if asked else "nothing is published"),
        "egress_share": _value(wire_per_s / node.nic),
        "wait_s": _latency(found, "wait_s"),
        "latency_s": {
            name: _latency(found, f"{name}_s") for name in ("first", "mean", "last", "p99")
        },
        "memory_bytes": _value(_memory_bytes(topology, node, profile, asked)),
    }


def _wire_bytes(demand: Demand, profile: Profile) -> float:
    return demand.copies * (demand.payload.mean + profile.envelope.notification)


def _memory_bytes(
    topology: Topology, node: Controller, profile: Profile, asked: list[Demand]
) -> float:
    """Memory of the idle server with its items and of the largest publication's copies. [B]"""
    memory = profile.memory
    hosts = {broker.name: broker.controller for broker in topology.brokers}
    subscriptions = sum(
        population.subscriber_count(topic.name)
        for topic in topology.topics
        if hosts[topic.broker] == node.name
        for population in topology.platforms
    )
    copies = max(
        (
            demand.copies * memory.queued_copy
            + (min(demand.copies, 1) if memory.shared else demand.copies) * demand.payload.mean
            for demand in asked
        ),
        default=0.0,
    )
    sessions = session_count(topology, node.name)
    copies += kept_bytes(topology, owned_by(topology, node.name), profile.server)
    return memory.base + memory.session * sessions + memory.subscription * subscriptions + copies


def _value(value: float) -> Estimate:
    return {"value": value, "low": value, "high": value, "n": 0}


def _bounded(value: float, low: float, high: float) -> Estimate:
    return {"value": value, "low": low, "high": high, "n": 0}


def _none(reason: str) -> Estimate:
    return {"value": None, "low": None, "high": None, "n": 0, "reason": reason}


def _latency(found: Sojourns, name: str) -> Estimate:
    value = getattr(found, name)
    if value is None:
        return _none(found.reason if name != "p99_s" else "no closed form; simulate")
    if math.isinf(value):
        return _none("unbounded: more is offered than the server can do")
    return _value(value)


def render(document: Mapping[str, Any]) -> RenderableType:
    """The document as a table for people."""
    from rich.table import Table

    table = Table(title=f"{document['topology']} on paper", title_justify="left")
    parts = [("", document["controllers"])]
    if document["under_attack"]:
        parts.append((" under attack", document["under_attack"]))
    table.add_column("")
    columns = [(name + suffix, figures) for suffix, part in parts for name, figures in part.items()]
    for name, _ in columns:
        table.add_column(name, justify="right")
    for title, path, form in _LINES:
        table.add_row(title, *(_cell(figures, path, form) for _, figures in columns))
    table.add_row("form", *(figures["form"] for _, figures in columns))
    return table


def _cell(figures: Mapping[str, Any], path: tuple[str, ...], form: str) -> str:
    from results import units

    for step in path:
        figures = figures[step]
    value = figures["value"]
    if value is None:
        return "∞" if figures["reason"].startswith("unbounded") else "–"
    write = {
        "rate": units.rate, "time": units.seconds, "share": units.percent, "size": units.size,
    }[form]  # fmt: skip
    return write(value)


_LINES = (
    ("offered load", ("offered_load_per_s",), "rate"),
    ("deliveries", ("deliveries_per_s",), "rate"),
    ("CPU per publication", ("service_s",), "time"),
    ("utilisation", ("utilisation",), "share"),
    ("capacity, at least", ("capacity_per_s",), "rate"),
    ("egress link", ("egress_share",), "share"),
    ("mean wait", ("wait_s",), "time"),
    ("first copy", ("latency_s", "first"), "time"),
    ("mean copy", ("latency_s", "mean"), "time"),
    ("last copy", ("latency_s", "last"), "time"),
    ("p99", ("latency_s", "p99"), "time"),
    ("memory", ("memory_bytes",), "size"),
)
