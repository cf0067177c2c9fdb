"""What publications ask of a server, and how much CPU time each takes on average.

A demand is one stream of the topology: its rate, its payloads, its subscribers. The service of a
publication is a linear function of its payload, so two moments of the payload give two moments of
the service.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sim.queues import ONE, Moments, constant, cut_lognormal
from topologies import batches, schema
from topologies.arrivals import read_trace
from topologies.profiles import FanoutProcess, Fifo, LoopTurns, Profile
from topologies.schema import Topology
from topologies.streams import Stream, directory, mean_rows, streams

AGES = 200  # quantiles of a session's age at which warmth is averaged


@dataclass(frozen=True)
class Receivers:
    """Sessions of one population that get a publication, and how often each is written. [1/s]"""

    count: int
    written_per_s: float


@dataclass(frozen=True)
class Demand:
    """Publications of one stream, by the population `by`.

    `rate_per_s` counts publications; they come in batches of `batch`; `memoryless` says whether
    the batches come as a Poisson process. [1/s, B]
    """

    topic: str
    rate_per_s: float
    receivers: tuple[Receivers, ...]
    payload: Moments
    batch: Moments
    memoryless: bool
    delay_s: float
    by: str = ""

    @property
    def copies(self) -> int:
        """Receivers in all."""
        return sum(each.count for each in self.receivers)


@dataclass(frozen=True)
class Service:
    """CPU time per publication over all demands; `least_s` is its mean when all coalesces. [s]"""

    moments: Moments
    least_s: float


def demands(topology: Topology, controller: str, load: float, attacks: bool) -> list[Demand]:
    """What is asked of one Controller; attacks with the rate that they have while they last."""
    hosts = {broker.name: broker.controller for broker in topology.brokers}
    local = {topic.name for topic in topology.topics if hosts[topic.broker] == controller}
    offered = []
    for stream in streams(topology):
        rate_per_s = _rate_per_s(topology, stream, load)
        wanted = attacks or stream.role == "legitimate"
        if wanted and rate_per_s > 0.0 and stream.arrivals.topic in local:
            offered.append((stream, rate_per_s))
    rates_per_s: dict[str, float] = {}
    for stream, rate_per_s in offered:
        topic = stream.arrivals.topic
        rates_per_s[topic] = rates_per_s.get(topic, 0.0) + rate_per_s
    return [
        Demand(
            topic=stream.arrivals.topic,
            rate_per_s=rate_per_s,
            receivers=_receivers(topology, stream.arrivals.topic, rates_per_s),
            payload=_payload(topology, stream),
            batch=_batch(stream.arrivals),
            memoryless=isinstance(stream.arrivals, schema.Poisson | schema.Batch),
            delay_s=stream.population.network.delay,
            by=stream.population.name,
        )
        for stream, rate_per_s in offered
    ]


def _rate_per_s(topology: Topology, stream: Stream, load: float) -> float:
    """Mean publications of a stream: over the run, or while an attack lasts. [1/s]"""
    if stream.role == "legitimate":
        return load * mean_rows(topology, stream) / topology.workload.duration
    length_s = stream.window_s[1] - stream.window_s[0]
    return mean_rows(topology, stream) / length_s if length_s > 0.0 else 0.0


def _receivers(
    topology: Topology, topic: str, rates_per_s: dict[str, float]
) -> tuple[Receivers, ...]:
    """A Topic's receivers by population, each written for the other Topics that it may have too.

    A receiver of this Topic has another with the chance that its population subscribes to that.
    """
    found = []
    for population in topology.platforms:
        count = population.subscriber_count(topic)
        if count:
            written_per_s = rates_per_s[topic] + sum(
                rate_per_s * population.subscriber_count(other) / population.count
                for other, rate_per_s in rates_per_s.items()
                if other != topic
            )
            found.append(Receivers(count, written_per_s))
    return tuple(found)


def _payload(topology: Topology, stream: Stream) -> Moments:
    """Moments of a stream's payloads: those of its trace, if that has any, else of the Topic."""
    if isinstance(stream.arrivals, schema.Trace):
        trace = read_trace(directory(topology) / stream.arrivals.file)
        if trace.payload_bytes is not None:
            start_s, end_s = stream.window_s
            inside = (trace.intended_s >= start_s) & (trace.intended_s < end_s)
            sizes = trace.payload_bytes[inside].astype(np.float64)
            return Moments(float(sizes.mean()), float(np.square(sizes).mean()))
    payload = stream.payload
    return cut_lognormal(payload.size, payload.cv, payload.max)


def _batch(arrivals: schema.Arrivals) -> Moments:
    return Moments(*batches.moments(arrivals)) if isinstance(arrivals, schema.Batch) else ONE


def service(asked: Sequence[Demand], profile: Profile) -> Service:
    """CPU time per publication, averaged over the demands by their rates."""
    if not asked:
        return Service(constant(0.0), 0.0)
    total_per_s = sum(demand.rate_per_s for demand in asked)
    mean = square = least = 0.0
    for demand in asked:
        moments, least_s = publication(demand, profile)
        share = demand.rate_per_s / total_per_s
        mean += share * moments.mean
        square += share * moments.square
        least += share * least_s
    return Service(Moments(mean, square), least)


def publication(demand: Demand, profile: Profile) -> tuple[Moments, float]:
    """CPU time of one publication of a demand, and its mean when all its writes coalesce. [s]"""
    match profile.costs:
        case LoopTurns() as costs:
            moments, least_s = _loop_turns(demand, costs)
        case FanoutProcess() as costs:
            moments, least_s = _fanout_process(demand, costs)
        case Fifo() as costs:
            moments, least_s = _fifo(demand, costs)
    speed = profile.speed
    return Moments(speed * moments.mean, speed**2 * moments.square), speed * least_s


def linear(own: tuple[float, float], further: tuple[float, float], demand: Demand,
           cv: float) -> Moments:  # fmt: skip
    """Moments of F (a + b Z) + (c + d Z): payload Z, a factor F of mean 1 and the given cv."""
    (a, b), (c, d), z = own, further, demand.payload
    square_own = a**2 + 2 * a * b * z.mean + b**2 * z.square
    square_all = (a + c) ** 2 + 2 * (a + c) * (b + d) * z.mean + (b + d) ** 2 * z.square
    return Moments(a + c + (b + d) * z.mean, square_all + cv**2 * square_own)


def _loop_turns(demand: Demand, costs: LoopTurns) -> tuple[Moments, float]:
    """Read, build and write; garbage collection as a cost per allocation."""
    n = demand.copies
    steps = max(np.ceil(costs.collection / costs.collection_step), 1.0)
    cycle = costs.collection_every + (steps - 1.0) * costs.collection_step_every
    collection_s = costs.collection / cycle  # per delivery's worth of allocation
    beyond = max(demand.payload.mean - 400.0, 0.0)
    allocated = costs.allocation_publish + n * (1.0 + costs.allocation_per_byte * beyond)
    own = (costs.publish + n * costs.build, costs.publish_per_byte + n * costs.build_per_byte)
    written = n * (costs.write + collection_s * costs.allocation_write)
    further = costs.acknowledge + collection_s * allocated
    moments = linear(own, (further + written, n * costs.write_per_byte), demand, costs.cv)
    return moments, moments.mean - written + n * costs.coalesced


def _fanout_process(demand: Demand, costs: FanoutProcess) -> tuple[Moments, float]:
    """Set-up, routing and writes, these as warm as sessions are that are written at random."""
    n, (mean, hottest) = demand.copies, warmth(demand, costs)
    setup_s = costs.setup + n * costs.setup_per_subscriber
    own = (
        setup_s + n * costs.route + costs.finish,
        costs.setup_per_byte + n * costs.route_per_byte,
    )
    write = (n * mean * costs.write, n * mean * costs.write_per_byte)
    moments = linear(own, write, demand, costs.cv)
    cold_s = n * (costs.write + costs.write_per_byte * demand.payload.mean)
    return moments, moments.mean - (mean - hottest) * cold_s


def warmth(demand: Demand, costs: FanoutProcess) -> tuple[float, float]:
    """Relative cost of a write to a demand's receivers, on average and at least. [1]"""
    n = demand.copies
    warmths = [each.count * _warmth(costs, each.written_per_s) for each in demand.receivers]
    hottest = min(costs.warmth_factor) if costs.warmth_after else 1.0
    return sum(warmths) / n if n else 1.0, hottest


def _warmth(costs: FanoutProcess, rate_per_s: float) -> float:
    """Mean relative cost of a write to a session written `rate_per_s` at random."""
    if not costs.warmth_after:
        return 1.0
    quantiles = (np.arange(AGES) + 0.5) / AGES
    ages_s = -np.log1p(-quantiles) / rate_per_s
    factors = np.interp(np.log(ages_s), np.log(costs.warmth_after), costs.warmth_factor)
    return float(factors.mean())


def _fifo(demand: Demand, costs: Fifo) -> tuple[Moments, float]:
    n = demand.copies
    copies = (n * costs.copy_, n * costs.copy_per_byte)
    moments = linear((costs.publish, costs.publish_per_byte), copies, demand, costs.cv)
    if costs.copy_distribution == "exponential":
        each = linear((0.0, 0.0), (costs.copy_, costs.copy_per_byte), demand, 0.0)
        moments = Moments(moments.mean, moments.square + n * each.square)
    return moments, moments.mean
