"""Rules that need more than one field of a topology: who may, when, and how much."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator

from topologies import arrivals, query_rules, schema, session_rules, streams
from topologies.problems import FOUND_MAX, Path, Problem, TopologyError
from topologies.profiles import FanoutProcess, Profile
from topologies.schema import Topology

DURATION_S_MAX = 366 * 86_400.0
PLATFORMS_MAX = 10_000_000
PAYLOAD_BYTES_MAX = 10e6
PERIODS_MAX = 10_000
SWITCHES_MAX = 1_000_000


def topology_problems(topology: Topology, read_profile: Callable[[str], Profile]) -> list[Problem]:
    """Every broken rule of a topology whose names all resolve."""
    rules = (
        _addresses,
        _links,
        _limits,
        _neighbours,
        _queues,
        _payloads,
        _populations,
        _topics,
        _arrivals,
        _attacks,
        _amounts,
    )
    read_profile = functools.cache(read_profile)
    found = list(_profiles(topology, read_profile))
    found += [problem for rule in rules for problem in rule(topology)]
    found += session_rules.session_problems(topology, read_profile)
    found += query_rules.query_problems(topology, read_profile)
    return found[:FOUND_MAX]


def profile_problems(profile: Profile) -> list[Problem]:
    """Every broken rule of a profile."""
    costs = profile.costs
    if not isinstance(costs, FanoutProcess):
        return []
    ages, factors = costs.warmth_after, costs.warmth_factor
    found = []
    if len(ages) != len(factors):
        rule = f"has {len(factors)} entries where warmth_after has {len(ages)}"
        found.append(Problem(("costs", "warmth_factor"), rule, "give one factor per age"))
    if any(low >= high for low, high in itertools.pairwise(ages)):
        rule, repair = "ages must rise", "sort them, each once"
        found.append(Problem(("costs", "warmth_after"), rule, repair))
    return found


def _profiles(topology: Topology, read_profile: Callable[[str], Profile]) -> Iterator[Problem]:
    for number, controller in enumerate(topology.controllers):
        path: Path = ("controllers", number)
        try:
            costs = read_profile(controller.profile).costs
        except TopologyError as error:
            yield from _inner((*path, "profile"), controller.profile, error)
            continue
        if costs.discipline == "loop-turns" and controller.cores != 1:
            rule = "is more than the one core that a server with a single event loop uses"
            yield Problem((*path, "cores"), rule, "write cores: 1", controller.cores)


def _inner(path: Path, value: str, error: TopologyError) -> Iterator[Problem]:
    """What is wrong with a file that the topology names."""
    for message in error.problems:
        rule, _, repair = message.rpartition("; ")
        yield Problem(path, rule, repair, value)


def _addresses(topology: Topology) -> Iterator[Problem]:
    domains = {each.name: each.domain for each in topology.controllers}
    for number, broker in enumerate(topology.brokers):
        address = f"{broker.name}.{domains[broker.controller]}"
        if address in domains.values():
            rule = f"its address {address} is the domain of a Controller"
            yield Problem(("brokers", number, "name"), rule, "rename one", broker.name)


def _links(topology: Topology) -> Iterator[Problem]:
    seen = set()
    for number, link in enumerate(topology.links):
        path: Path = ("links", number, "to")
        if link.from_ == link.to:
            rule = "is the Controller that the link comes from"
            yield Problem(path, rule, "name another or delete the link", link.to)
        ends = frozenset((link.from_, link.to))
        if ends in seen:
            rule = f"is linked to {link.from_} already, in both directions"
            yield Problem(path, rule, "delete one of the two links", link.to)
        seen.add(ends)


def _limits(topology: Topology) -> Iterator[Problem]:
    for number, node in enumerate(topology.controllers):
        client = node.limits.client
        if node.limits.shape == "drop" and client is not None and client.burst == 0.0:
            rule = "is 0: a policer without a burst refuses every stanza"
            path: Path = ("controllers", number, "limits", "client", "burst")
            yield Problem(path, rule, "write for example burst: 20 kB", client.burst)


def _neighbours(topology: Topology) -> Iterator[Problem]:
    duration_s = topology.workload.duration
    for number, node in enumerate(topology.controllers):
        path: Path = ("controllers", number)
        if (own := node.neighbours) is not None:
            if node.slowness is not None:
                rule = "says how slow the machine is, as `neighbours` does"
                yield Problem((*path, "slowness"), rule, "leave one of the two out", None)
            if own.mean / own.share * SWITCHES_MAX < duration_s:
                rule = f"makes more than {SWITCHES_MAX:,} spells in the run"
                place = (*path, "neighbours", "mean")
                yield Problem(place, rule, "raise it or shorten the run", f"{own.mean:g} s")
        slow = node.slowness
        if slow is not None and len(slow.steps) * duration_s > SWITCHES_MAX * slow.length_s:
            rule = f"makes more than {SWITCHES_MAX:,} steps in the run"
            repair, shown = "make steps longer or shorten the run", f"{slow.length_s:g} s in all"
            yield Problem((*path, "slowness", "steps"), rule, repair, shown)


def _queues(topology: Topology) -> Iterator[Problem]:
    for number, node in enumerate(topology.controllers):
        if (queue := node.queue) is None:
            continue
        path: Path = ("controllers", number, "queue", "policy")
        bounded = queue.bytes is not None or queue.stanzas is not None
        if queue.policy == "grow" and bounded:
            rule, repair = "does not bound a queue", "choose another policy or leave the bound out"
            yield Problem(path, rule, repair, queue.policy)
        if queue.policy in ("disconnect", "drop-oldest", "drop-newest") and not bounded:
            rule, repair = "needs a bound", "write for example stanzas: 10000"
            yield Problem(path, rule, repair, queue.policy)


def _payloads(topology: Topology) -> Iterator[Problem]:
    for number, topic in enumerate(topology.topics):
        path: Path = ("topics", number, "payload")
        if topic.payload.size > topic.payload.max:
            rule = f"is more than the largest size, {topic.payload.max:g} B"
            yield Problem((*path, "size"), rule, "lower it or raise max", topic.payload.size)
        if topic.payload.max > PAYLOAD_BYTES_MAX:
            rule = f"is more than {PAYLOAD_BYTES_MAX / 1e6:g} MB, which no server takes in a stanza"
            yield Problem((*path, "max"), rule, "lower it", topic.payload.max)
    for number, attack in enumerate(topology.attacks):
        if attack.size is not None and attack.size > PAYLOAD_BYTES_MAX:
            rule = f"is more than {PAYLOAD_BYTES_MAX / 1e6:g} MB, which no server takes in a stanza"
            yield Problem(("attacks", number, "size"), rule, "lower it", attack.size)


def _populations(topology: Topology) -> Iterator[Problem]:
    for number, population in enumerate(topology.platforms):
        path: Path = ("platforms", number)
        for place, each in enumerate(population.subscribes):
            if each.platforms_of(population.count) == 0:
                rule = f"selects none of {population.count} Platforms"
                where = (*path, "subscribes", place, "fraction")
                yield Problem(where, rule, "raise it or delete the entry", each.fraction)


def _topics(topology: Topology) -> Iterator[Problem]:
    published = {topic for each in topology.platforms for topic in each.publishes}
    for number, topic in enumerate(topology.topics):
        if topic.name not in published:
            repair = "add it to some population's publishes"
            yield Problem(
                ("topics", number, "name"), "nobody may publish on it", repair, topic.name
            )
    used = {topic.broker for topic in topology.topics}
    for number, broker in enumerate(topology.brokers):
        if broker.name not in used:
            path = ("brokers", number, "name")
            yield Problem(path, "keeps no Topic", "delete it or use it", broker.name)


def _arrivals(topology: Topology) -> Iterator[Problem]:
    populations = {each.name: each for each in topology.platforms}
    for number, each in enumerate(topology.workload.arrivals):
        path: Path = ("workload", "arrivals", number)
        population = populations[each.by]
        for topic in each.topics:
            yield from _may_publish(path, population, topic)
        if len(set(each.topics)) < len(each.topics):
            rule = "names a Topic twice"
            yield Problem((*path, "further_topics"), rule, "name each once")
        if population.role == "adversary":
            rule, repair = "is an adversary population", "publish with it in attacks"
            yield Problem((*path, "by"), rule, repair, each.by)
        window = _window(path, each.start, each.end, topology.workload.duration)
        yield from window or _process(path, each, topology)


def _may_publish(path: Path, population: schema.Population, topic: str) -> Iterator[Problem]:
    if topic not in population.publishes:
        rule = f"does not publish on {topic}"
        yield Problem((*path, "by"), rule, f"add {topic} to its publishes", population.name)


def _window(path: Path, start: float, end: float | None, duration: float) -> list[Problem]:
    """The window lies inside the run and is not empty."""
    found = []
    if start >= duration:
        rule = f"is not before the end of the run, {duration:g} s"
        found.append(Problem((*path, "start"), rule, "lower it", f"{start:g} s"))
    if end is not None and end > duration:
        rule = f"is after the end of the run, {duration:g} s"
        found.append(Problem((*path, "end"), rule, "lower or delete it", f"{end:g} s"))
    if end is not None and end <= start:
        rule = f"is not after start, {start:g} s"
        found.append(Problem((*path, "end"), rule, "raise it", f"{end:g} s"))
    return found


def _process(path: Path, each: schema.Arrivals, topology: Topology) -> Iterator[Problem]:
    duration = topology.workload.duration
    match each:
        case schema.Batch() if each.distribution == "fixed" and each.mean_size % 1.0:
            rule, repair = "must be whole where sizes are fixed", "round it or use geometric"
            yield Problem((*path, "mean_size"), rule, repair, each.mean_size)
        case schema.Sine() if each.period * PERIODS_MAX < duration:
            rule = f"is shorter than a {PERIODS_MAX:,}th of the run"
            yield Problem((*path, "period"), rule, "use poisson", f"{each.period:g} s")
        case schema.Diurnal():
            yield from _day(path, each, duration)
        case schema.Trace() | schema.Deterministic() if each.further_topics:
            rule = f"a {each.process} process has one Topic"
            yield Problem((*path, "further_topics"), rule, "use another process or delete it")
        case schema.OnOff() if (each.mean_on + each.mean_off) * SWITCHES_MAX < duration:
            rule = f"switches more than {SWITCHES_MAX:,} times in the run"
            yield Problem((*path, "mean_on"), rule, "use batch or poisson", f"{each.mean_on:g} s")
        case schema.Trace():
            yield from _trace(path, each, topology)


def _day(path: Path, each: schema.Diurnal, duration: float) -> Iterator[Problem]:
    if not any(each.parts):
        yield Problem((*path, "shape"), "is nowhere above 0", "give a part some rate")
    if each.period * PERIODS_MAX < duration:
        rule = f"is shorter than a {PERIODS_MAX:,}th of the run"
        yield Problem((*path, "period"), rule, "use poisson", f"{each.period:g} s")
    if each.spikes and (each.spikes.every + each.spikes.length) * SWITCHES_MAX < duration:
        rule = f"come more than {SWITCHES_MAX:,} times in the run"
        yield Problem((*path, "spikes"), rule, "raise every or length")


def _trace(path: Path, each: schema.Trace, topology: Topology) -> Iterator[Problem]:
    start, end = each.start, min(each.end or topology.workload.duration, topology.workload.duration)
    try:
        times = arrivals.read_trace(streams.directory(topology) / each.file).intended_s
    except TopologyError as error:
        yield from _inner((*path, "file"), each.file, error)
        return
    if not ((times >= start) & (times < end)).any():
        rule = f"has no instant between {start:g} s and {end:g} s"
        yield Problem((*path, "file"), rule, "shift its times or the window", each.file)


def _attacks(topology: Topology) -> Iterator[Problem]:
    populations = {each.name: each for each in topology.platforms}
    if topology.attacks and topology.workload.study == "steady":
        rule = "a steady study has no attacks"
        yield Problem(("workload", "study"), rule, "write study: campaign", "steady")
    for number, attack in enumerate(topology.attacks):
        path: Path = ("attacks", number)
        population = populations[attack.by]
        yield from _may_publish(path, population, attack.topic)
        if population.role != "adversary":
            rule, repair = "is not an adversary population", "give it role: adversary"
            yield Problem((*path, "by"), rule, repair, attack.by)
        if attack.start + attack.duration > topology.workload.duration:
            rule = f"ends after the run, which lasts {topology.workload.duration:g} s"
            repair = "start earlier or shorten it"
            yield Problem((*path, "duration"), rule, repair, f"{attack.duration:g} s")


def _amounts(topology: Topology) -> Iterator[Problem]:
    """Bounds that keep a plan's arithmetic exact and its size on one machine."""
    duration = topology.workload.duration
    if duration > DURATION_S_MAX:
        rule = f"is more than {DURATION_S_MAX / 86_400:g} days"
        yield Problem(("workload", "duration"), rule, "shorten it", f"{duration:g} s")
    if topology.platform_count > PLATFORMS_MAX:
        rule = f"hold {topology.platform_count:,} Platforms, more than {PLATFORMS_MAX:,}"
        yield Problem(("platforms",), rule, "lower the counts")
    rows = sum(each.rate * each.duration for each in topology.attacks)
    rows += sum(_rate_max(each) for each in topology.workload.arrivals) * duration
    if rows > streams.PUBLICATIONS_MAX:
        most = f"{streams.PUBLICATIONS_MAX:.0e}"
        rule = f"may ask for {rows:.3g} publications, more than {most}"
        yield Problem(("workload",), rule, "lower the rates or the duration")


def _rate_max(each: schema.Arrivals) -> float:
    """No instant of the process has a higher rate than this; traces are bounded by their file."""
    match each:
        case schema.Sine():
            most = each.rate * (1.0 + each.amplitude)
        case schema.Ramp():
            most = max(each.rate, each.final_rate)
        case schema.Step():
            most = max(each.rates)
        case schema.Diurnal():
            most = each.rate_max
        case schema.Batch():
            most = each.rate * each.mean_size
        case schema.Deterministic() | schema.Poisson() | schema.OnOff():
            most = each.rate
        case _:
            most = 0.0
    return most
