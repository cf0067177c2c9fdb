"""How long copies take on paper, by discipline; what has no closed form says why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sim.queues import ONE, Flow, Moments, batch_wait_s, mgc_wait_s, mm1_quantile_s, ps_sojourn_s
from sim.services import Demand, publication
from topologies.profiles import FanoutProcess, Fifo, LoopTurns, Profile
from topologies.schema import Controller, Limits, Population, Topology


@dataclass(frozen=True)
class Sojourns:
    """Mean wait of a publication and mean latency of its first, average and last copy. [s]

    None where there is no form: `reason` says why. `form` names the queue, exact or not.
    """

    form: str
    reason: str = ""
    wait_s: float | None = None
    first_s: float | None = None
    mean_s: float | None = None
    last_s: float | None = None
    p99_s: float | None = None


def sojourns(
    topology: Topology,
    node: Controller,
    profile: Profile,
    asked: Sequence[Demand],
    service: Moments,
) -> Sojourns:
    """The form that fits a Controller's discipline, cores and arrivals."""
    if (without := _without_form(topology, node, profile, asked)) is not None:
        return without
    way_s = _way_s(topology, node, profile, asked)
    match profile.costs:
        case Fifo() as costs:
            return _fifo(node, profile, costs, asked, service, way_s)
        case LoopTurns():
            return _loop_turns(profile, asked, way_s)
        case FanoutProcess():
            return _fanout_process(node, profile, asked, service, way_s)


def _without_form(
    topology: Topology, node: Controller, profile: Profile, asked: Sequence[Demand]
) -> Sojourns | None:
    """Why nothing is known of how long copies take, whatever the discipline; None if it is."""
    if not asked:
        return Sojourns("idle", "nothing is published")
    if node.nodes > 1 or not all(demand.memoryless for demand in asked):
        hops = "copies hop between nodes; simulate"
        reason = hops if node.nodes > 1 else "arrivals are not all Poisson; simulate"
        return Sojourns("utilisation law only", reason)
    limited = node.limits != Limits() or node.queue or any(map(_narrow, topology.platforms))
    if limited or topology.faults:
        reason = "limits, rates of Platforms and faults have no form; simulate"
        return Sojourns("utilisation law only, as offered", reason)
    if not isinstance(profile.costs, Fifo) and profile.costs.cold > 0.0:
        reason = "the first work after a rest costs more (costs.cold), which has no form; simulate"
        return Sojourns("utilisation law only, without what is cold", reason)
    return None


def _narrow(population: Population) -> bool:
    network = population.network
    return bool(network.uplink or network.downlink or population.reader)


def _way_s(
    topology: Topology, node: Controller, profile: Profile, asked: Sequence[Demand]
) -> float:
    """Mean of what a copy takes beside the server: both delays, its bytes, its reading. [s]

    Waits for the link and for readers are left out: they are short where both are far from full.
    """
    total, weights = 0.0, 0.0
    for demand in asked:
        for population in topology.platforms:
            copies = population.subscriber_count(demand.topic) * demand.rate_per_s
            wire_s = (demand.payload.mean + profile.envelope.notification) / node.nic
            read_s = 1.0 / population.read_rate if population.read_rate else 0.0
            way_s = demand.delay_s + population.network.delay + wire_s + read_s
            total, weights = total + copies * way_s, weights + copies
    return total / weights if weights else 0.0


@dataclass(frozen=True)
class _Course:
    """A publication of one demand in the server: work before the first copy, and per copy. [s]"""

    demand: Demand
    service: Moments
    before_s: float
    step_s: float


def _courses(asked: Sequence[Demand], profile: Profile) -> list[_Course]:
    courses = []
    for demand in asked:
        moments, _ = publication(demand, profile)
        step_s = copy_s(demand, profile)
        before_s = moments.mean - demand.copies * step_s
        courses.append(_Course(demand, moments, before_s, step_s))
    return courses


def copy_s(demand: Demand, profile: Profile) -> float:
    """Mean time between two copies of a publication that leave one after another. [s]"""
    costs, payload = profile.costs, demand.payload.mean
    if isinstance(costs, Fifo):
        return profile.speed * (costs.copy_ + costs.copy_per_byte * payload)
    return profile.speed * (costs.write + costs.write_per_byte * payload)


def _one_after_another(
    form: str, wait_s: float, courses: Sequence[_Course], way_s: float, p99_s: float | None = None
) -> Sojourns:
    """Copies that follow each other after a wait: averages over publications and over copies."""
    published = sum(course.demand.rate_per_s for course in courses)
    copied = sum(course.demand.rate_per_s * course.demand.copies for course in courses)
    if copied == 0.0:
        return Sojourns(form, "nobody subscribes", wait_s)
    first_s = mean_s = last_s = wait_s + way_s
    for course in courses:
        n, share = course.demand.copies, course.demand.rate_per_s / published
        first_s += share * (course.before_s + course.step_s)
        last_s += share * course.service.mean
        weight = course.demand.rate_per_s * n / copied
        mean_s += weight * (course.before_s + 0.5 * (n + 1) * course.step_s)
    return Sojourns(form, "", wait_s, first_s, mean_s, last_s, p99_s)


def _batch_wait_s(courses: Sequence[_Course]) -> float:
    """Mean wait of a publication with one core. [s]"""
    return batch_wait_s(
        [Flow(each.demand.rate_per_s, each.demand.batch, each.service) for each in courses]
    )


def _fifo(
    node: Controller, profile: Profile, costs: Fifo, asked: Sequence[Demand], service: Moments,
    way_s: float,
) -> Sojourns:  # fmt: skip
    courses = _courses(asked, profile)
    if node.cores == 1:
        p99_s = _single_copy_p99_s(costs, courses, way_s)
        return _one_after_another("M^X/G/1", _batch_wait_s(courses), courses, way_s, p99_s)
    if any(demand.batch != ONE for demand in asked):
        return Sojourns("utilisation law only", "batches on several cores; simulate")
    rate_per_s = sum(demand.rate_per_s for demand in asked)
    wait_s = mgc_wait_s(rate_per_s, service, node.cores)
    return _one_after_another("M/G/c, Allen and Cunneen", wait_s, courses, way_s)


def _single_copy_p99_s(costs: Fifo, courses: Sequence[_Course], way_s: float) -> float | None:
    """The one case whose distribution is known: M/M/1."""
    exponential = costs.copy_distribution == "exponential" and costs.publish == 0.0
    per_byte = costs.publish_per_byte + costs.copy_per_byte
    single = all(c.demand.copies == 1 and c.demand.batch == ONE for c in courses)
    if not (exponential and per_byte == 0.0 and single):
        return None
    rate_per_s = sum(course.demand.rate_per_s for course in courses)
    return mm1_quantile_s(rate_per_s, courses[0].service.mean, 0.99) + way_s


def _loop_turns(profile: Profile, asked: Sequence[Demand], way_s: float) -> Sojourns:
    """Near up to a load of 0.7; the last copy waits for turns in between, which have no form."""
    courses = _courses(asked, profile)
    form = "M^X/G/1, an approximation: nothing coalesces"
    found = _one_after_another(form, _batch_wait_s(courses), courses, way_s)
    return replace(found, last_s=None, reason="other publications come between; simulate")


def _fanout_process(
    node: Controller, profile: Profile, asked: Sequence[Demand], service: Moments, way_s: float
) -> Sojourns:
    """Fan-outs of different publishers interleave, for the mean copy near to processor sharing."""
    law = "utilisation law only"
    if node.cores > 1:
        return Sojourns(law, "several cores on one run queue; simulate")
    if any(demand.batch != ONE for demand in asked):
        return Sojourns(law, "batches that interleave; simulate")
    rate_per_s, costs = sum(demand.rate_per_s for demand in asked), profile.costs
    assert isinstance(costs, FanoutProcess)
    copied = sum(demand.rate_per_s * demand.copies for demand in asked)
    if copied == 0.0:
        return Sojourns(law, "nobody subscribes")
    mean_s = way_s
    for course in _courses(asked, profile):
        n = course.demand.copies
        setup_s = profile.speed * (costs.setup + n * costs.setup_per_subscriber)
        work_s = 0.5 * (setup_s + course.service.mean)
        weight = course.demand.rate_per_s * n / copied
        mean_s += weight * ps_sojourn_s(rate_per_s, work_s, service.mean)
    form = "M/G/1 with processor sharing, an approximation"
    return Sojourns(form, "depends on how many publishers take turns; simulate", mean_s=mean_s)
