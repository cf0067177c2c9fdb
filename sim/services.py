"""What publications ask of a server, and how much CPU time each takes on average.

A demand is one stream of the topology: its rate, its payloads, its subscribers. The service of a
publication is a linear function of its payload, so two moments of the payload give two moments of
the service.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sim.queues import ONE, Moments, constant, geometric
from topologies import schema
from topologies.profiles import FanoutProcess, Fifo, LoopTurns, Profile
from topologies.schema import Topology
from topologies.streams import mean_rows, streams

AGES = 200  # quantiles of a session's age at which warmth is averaged


@dataclass(frozen=True)
class Demand:
    """Publications of one stream.

    `rate_per_s` counts publications; they come in batches of `batch`; `memoryless` says whether
    the batches come as a Poisson process. [1/s, B]
    """

    topic: str
    rate_per_s: float
    copies: int
    payload: Moments
    batch: Moments
    memoryless: bool
    delay_s: float


@dataclass(frozen=True)
class Service:
    """CPU time per publication over all demands; `least_s` is its mean when all coalesces. [s]"""

    moments: Moments
    least_s: float


def demands(topology: Topology, controller: str, load: float, attacks: bool) -> list[Demand]:
    """What is asked of one Controller; attacks with the rate that they have while they last."""
    hosts = {broker.name: broker.controller for broker in topology.brokers}
    found = []
    for stream in streams(topology):
        topic = topology.topics[stream.topic]
        attack = stream.role == "adversary"
        if hosts[topic.broker] != controller or (attack and not attacks):
            continue
        length_s = topology.workload.duration
        if attack:
            length_s = stream.window_s[1] - stream.window_s[0]
        if length_s <= 0.0:
            continue
        rate_per_s = mean_rows(topology, stream) / length_s * (1.0 if attack else load)
        copies = sum(each.subscriber_count(topic.name) for each in topology.platforms)
        payload = stream.payload
        square = (1.0 + payload.cv**2) * payload.size**2
        found.append(
            Demand(
                topic=topic.name,
                rate_per_s=rate_per_s,
                copies=copies,
                payload=Moments(payload.size, square),
                batch=_batch(stream.arrivals),
                memoryless=isinstance(stream.arrivals, schema.Poisson | schema.Batch),
                delay_s=stream.population.network.delay,
            )
        )
    return found


def _batch(arrivals: schema.Arrivals) -> Moments:
    if not isinstance(arrivals, schema.Batch):
        return ONE
    if arrivals.distribution == "geometric":
        return geometric(arrivals.mean_size)
    return constant(arrivals.mean_size)


def service(asked: Sequence[Demand], profile: Profile) -> Service:
    """CPU time per publication, averaged over the demands by their rates."""
    total_per_s = sum(demand.rate_per_s for demand in asked)
    mean = square = least = 0.0
    for demand in asked:
        moments, least_s = publication(demand, profile, asked)
        share = demand.rate_per_s / total_per_s
        mean += share * moments.mean
        square += share * moments.square
        least += share * least_s
    return Service(Moments(mean, square), least)


def publication(demand: Demand, profile: Profile, asked: Sequence[Demand]) -> tuple[Moments, float]:
    """CPU time of one publication of a demand, and its mean when all its writes coalesce. [s]"""
    match profile.costs:
        case LoopTurns() as costs:
            moments, least_s = _loop_turns(demand, costs)
        case FanoutProcess() as costs:
            moments, least_s = _fanout_process(demand, costs, asked)
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


def _fanout_process(
    demand: Demand, costs: FanoutProcess, asked: Sequence[Demand]
) -> tuple[Moments, float]:
    """Set-up, routing and writes, these as warm as sessions are that are written at random."""
    n = demand.copies
    most_per_s = sum(each.rate_per_s for each in asked if each.copies)
    warmth, hottest = _warmth(costs, most_per_s)
    setup_s = costs.setup + n * costs.setup_per_subscriber
    own = (
        setup_s + n * costs.route + costs.finish,
        costs.setup_per_byte + n * costs.route_per_byte,
    )
    write = (n * warmth * costs.write, n * warmth * costs.write_per_byte)
    moments = linear(own, write, demand, costs.cv)
    cold_s = n * (costs.write + costs.write_per_byte * demand.payload.mean)
    return moments, moments.mean - (warmth - hottest) * cold_s


def _warmth(costs: FanoutProcess, rate_per_s: float) -> tuple[float, float]:
    """Mean relative cost of a write to a session written `rate_per_s`, and the least there is."""
    if not costs.warmth_after:
        return 1.0, 1.0
    quantiles = (np.arange(AGES) + 0.5) / AGES
    ages_s = -np.log1p(-quantiles) / rate_per_s
    factors = np.interp(np.log(ages_s), np.log(costs.warmth_after), costs.warmth_factor)
    return float(factors.mean()), min(costs.warmth_factor)


def _fifo(demand: Demand, costs: Fifo) -> tuple[Moments, float]:
    n = demand.copies
    copies = (n * costs.copy_, n * costs.copy_per_byte)
    moments = linear((costs.publish, costs.publish_per_byte), copies, demand, costs.cv)
    if costs.copy_distribution == "exponential":
        each = linear((0.0, 0.0), (costs.copy_, costs.copy_per_byte), demand, 0.0)
        moments = Moments(moments.mean, moments.square + n * each.square)
    return moments, moments.mean
