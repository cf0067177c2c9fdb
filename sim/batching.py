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
from topologies.schema import Arrivals, Batch, Topic, Topology, Trace
from topologies.streams import mean_rows, shared_out, streams

LARGEST = 4.0  # standard deviations over the mean number of events that the largest item holds


def collected(topology: Topology, collecting: Collecting) -> Topology:
    """The same events, collected. What adversaries send, traces and batches stay as they are.

    Traces and batches beside other processes go to a Topic of their own, which has the same
    subscribers, so that their items stay as small as they are.
    """
    topology = _parted(topology)
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
            if each.topic in taken
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


def _uncollected(topic: str) -> str:
    """The name under which traces and batches go out that share a Topic with what is collected."""
    return f"{topic} as it comes"


def _parted(topology: Topology) -> Topology:
    """Each process on one Topic, and no trace or batch on a Topic of another process."""
    arrivals = [one for each in topology.workload.arrivals for one in shared_out(each)]
    mixed = {each.topic for each in arrivals if _fixed(each)}
    mixed &= {each.topic for each in arrivals if not _fixed(each)}
    moved = {(each.by, each.topic) for each in arrivals if _fixed(each) and each.topic in mixed}
    further = tuple(
        changed(each, name=_uncollected(each.name), last_item="never")
        for each in topology.topics
        if each.name in mixed
    )
    platforms = []
    for each in topology.platforms:
        publishes = (_uncollected(topic) for by, topic in sorted(moved) if by == each.name)
        wishes = (wish for wish in each.subscribes if wish.topic in mixed)
        subscribes = (changed(wish, topic=_uncollected(wish.topic)) for wish in wishes)
        platforms.append(
            changed(each, publishes=(*each.publishes, *publishes),
                    subscribes=(*each.subscribes, *subscribes))
        )  # fmt: skip
    own = tuple(
        changed(each, topic=_uncollected(each.topic))
        if (each.by, each.topic) in moved and _fixed(each) else each
        for each in arrivals
    )  # fmt: skip
    workload = changed(topology.workload, arrivals=own)
    topics = (*topology.topics, *further)
    return changed(topology, topics=topics, platforms=tuple(platforms), workload=workload)


def events_per_item(topology: Topology, collecting: Collecting) -> dict[str, float]:
    """Mean number of events in one item of each Topic, of those that are collected. [1]"""
    rates: dict[str, dict[str, float]] = {each.name: {} for each in topology.topics}
    for stream in streams(topology):
        if stream.role == "legitimate" and not _fixed(stream.arrivals):
            who = stream.population.name if collecting.place == "publishers" else ""
            own = rates[stream.arrivals.topic]
            rate = mean_rows(topology, stream) / topology.workload.duration
            own[who] = own.get(who, 0.0) + rate
    counts = {population.name: population.count for population in topology.platforms} | {"": 1}
    found = {}
    for topic, groups in rates.items():
        per_item = {who: 1.0 + rate * collecting.hold_s / counts[who]
                    for who, rate in groups.items()}  # fmt: skip
        items = sum(rate / per_item[who] for who, rate in groups.items())
        found[topic] = sum(groups.values()) / items if items else 1.0
    return found


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
    """The same events, `batch` of them in one item, however long that takes to come together.

    Traces and batches stay as they are, as in `collected`.
    """
    topology, topics = _parted(topology), []
    together = {each.topic for each in topology.workload.arrivals if not _fixed(each)}
    for topic in topology.topics:
        payload = topic.payload
        if topic.name not in together:
            topics.append(topic)
            continue
        larger = {
            "size": payload.size * batch,
            "cv": payload.cv / math.sqrt(batch),
            "max": payload.max * batch,
        }
        topics.append(changed(topic, payload=changed(payload, **larger)))
    arrivals = tuple(_rarer(each, batch) for each in topology.workload.arrivals)
    workload = changed(topology.workload, arrivals=arrivals)
    return changed(topology, topics=tuple(topics), workload=workload)
