"""Events that are collected: fewer and larger items, so that a fan-out is made less often.

Whoever collects does not send an event on at once: it waits `hold` after the first one, and sends
all that has come up on the same Topic meanwhile as one item. With m collectors of a Topic and r
events per second between them, a cycle is the hold and the wait for a first event, `hold + m / r`;
so there are `m / (hold + m / r)` items per second, of `1 + r hold / m` events each on average, the
first and a Poisson number. No event waits longer than `hold`.

Publishers can collect on any server: m is their number, and what each of them has is little. The
Broker collects what all of them send (m = 1); it still takes in every event by itself.
"""

from __future__ import annotations

import math

from sim.designs import Collecting, changed
from topologies import offered
from topologies.schema import Arrivals, Batch, Topic, Topology, Trace

LARGEST = 4.0  # standard deviations over the mean number of events that the largest item holds


def collected(topology: Topology, collecting: Collecting) -> Topology:
    """The same events, collected. What adversaries send, traces and batches stay as they are."""
    events = events_per_item(topology, collecting)
    topics = tuple(_larger(topic, events[topic.name]) for topic in topology.topics)
    sizes = {topic.name: topic.payload.size for topic in topology.topics}
    attacks = tuple(
        each if each.size else changed(each, size=sizes[each.topic]) for each in topology.attacks
    )
    arrivals = [_rarer(each, events[each.topic]) for each in topology.workload.arrivals]
    platforms = topology.platforms
    if collecting.place == "broker":
        taken = {name for name, count in events.items() if count > 1.0}
        topics += tuple(
            changed(each, name=_intake(each.name)) for each in topology.topics if each.name in taken
        )
        arrivals += [
            changed(each, topic=_intake(each.topic))
            for each in topology.workload.arrivals
            if each.topic in taken and not _fixed(each)
        ]
        platforms = tuple(
            changed(each, publishes=(*each.publishes,
                                     *(_intake(name) for name in each.publishes if name in taken)))
            for each in platforms
        )  # fmt: skip
    workload = changed(topology.workload, arrivals=tuple(arrivals))
    return changed(topology, topics=topics, platforms=platforms, workload=workload, attacks=attacks)


def _intake(topic: str) -> str:
    """The name under which a Broker takes in what nobody gets as it comes."""
    return f"{topic} as sent"


def events_per_item(topology: Topology, collecting: Collecting) -> dict[str, float]:
    """Mean number of events in one item of each Topic. [1]"""
    rates = offered(topology, "legitimate")
    counts = {population.name: population.count for population in topology.platforms}
    collectors = dict.fromkeys(rates, 0)
    for each in topology.workload.arrivals:
        if not _fixed(each):
            collectors[each.topic] += counts[each.by] if collecting.place == "publishers" else 1
    if collecting.place == "broker":
        collectors = {name: min(count, 1) for name, count in collectors.items()}
    return {
        name: 1.0 + rates[name] * collecting.hold_s / collectors[name] if collectors[name] else 1.0
        for name in rates
    }


def _fixed(arrivals: Arrivals) -> bool:
    """Whether these publications come as they come: of a file, or many at an instant."""
    return isinstance(arrivals, Trace | Batch)


def _larger(topic: Topic, events: float) -> Topic:
    """A Topic whose items hold so many events on average."""
    payload, spread = topic.payload, math.sqrt(events - 1.0)
    if events == 1.0:
        return topic
    # Variance of a sum of n sizes: that of the sizes, n times, and that of n, times their square.
    cv = math.sqrt(payload.cv**2 / events + (spread / events) ** 2)
    most = math.ceil(events + LARGEST * spread)
    size = changed(payload, size=payload.size * events, cv=cv, max=payload.max * most)
    return changed(topic, payload=size)


def _rarer(arrivals: Arrivals, events: float) -> Arrivals:
    """A process at the rate of the items."""
    if _fixed(arrivals):
        return arrivals
    fields: dict[str, object] = {
        name: getattr(arrivals, name) / events
        for name in ("rate", "final_rate")
        if hasattr(arrivals, name)
    }
    if hasattr(arrivals, "rates"):
        fields["rates"] = tuple(rate / events for rate in arrivals.rates)
    return changed(arrivals, **fields)


def batched(topology: Topology, batch: int) -> Topology:
    """The same events, `batch` of them in one item, however long that takes to come together."""
    topics = []
    for topic in topology.topics:
        payload = topic.payload
        larger = {
            "size": payload.size * batch,
            "cv": payload.cv / math.sqrt(batch),
            "max": payload.max * batch,
        }
        topics.append(changed(topic, payload=changed(payload, **larger)))
    arrivals = tuple(_rarer(each, batch) for each in topology.workload.arrivals)
    workload = changed(topology.workload, arrivals=arrivals)
    return changed(topology, topics=tuple(topics), workload=workload)
