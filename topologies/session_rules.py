"""Rules about sessions: who can log in where, what a fault may strike, and when."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from topologies import schema
from topologies.problems import Path, Problem, TopologyError
from topologies.profiles import Profile
from topologies.quantities import DELAY_S_MIN
from topologies.schema import Topology

STRIKING = schema.Crash | schema.Freeze | schema.SlowDown  # faults of a Controller


def session_problems(
    topology: Topology, read_profile: Callable[[str], Profile]
) -> Iterator[Problem]:
    """Every broken rule about logins, retries and faults."""
    yield from _logins(topology, read_profile)
    yield from _failovers(topology)
    yield from _addresses(topology)
    yield from _admissions(topology)
    yield from _storage(topology)
    yield from _retries(topology)
    yield from _faults(topology)


def _logins(topology: Topology, read_profile: Callable[[str], Profile]) -> Iterator[Problem]:
    profiles = {each.name: each.profile for each in topology.controllers}
    for number, population in enumerate(topology.platforms):
        path: Path = ("platforms", number)
        if population.login is None:
            continue
        yield from _round_trips((*path, "network", "delay"), population.network.delay)
        if population.login.password == "wrong" and (population.publishes or population.subscribes):
            rule = f"is wrong, so {population.name} can neither publish nor subscribe"
            where = (*path, "login", "password")
            yield Problem(where, rule, "leave publishes and subscribes out", "wrong")
        for name in dict.fromkeys(profiles[each] for each in population.ring):
            try:
                yield from _costs((*path, "login"), population.login, read_profile(name))
            except TopologyError:
                continue  # told where the Controller names it


def _round_trips(path: Path, delay_s: float) -> Iterator[Problem]:
    """What follows from an answer comes later than the answer, however little."""
    if delay_s < DELAY_S_MIN:
        rule = "a login is made of round trips, which take time: 1 us each way at least"
        yield Problem(path, rule, "write for example 50 us", f"{delay_s:g} s")


def _failovers(topology: Topology) -> Iterator[Problem]:
    """Who can turn to another Controller."""
    for number, population in enumerate(topology.platforms):
        path: Path = ("platforms", number, "failover")
        if population.failover and population.login is None:
            rule = f"nobody of {population.name} ever logs in: it has no login"
            repair = "give it one, for example login: {mechanism: scram-sha-1}"
            yield Problem(path, rule, repair)
        if population.controller in population.failover:
            rule = f"is where {population.name} logs in first"
            yield Problem(path, rule, "name others", population.controller)


def _costs(path: Path, login: schema.Login, profile: Profile) -> Iterator[Problem]:
    costs = profile.logins
    if costs is None:
        rule = f"profile {profile.name} does not say what a login costs"
        yield Problem(path, rule, "add logins to the profile or use another one", login.mechanism)
        return
    handshakes = [(each.version, each.key) for each in costs.tls]
    if (login.tls, login.key) not in handshakes:
        known = ", ".join(f"{version} with {key}" for version, key in handshakes) or "none"
        rule = f"profile {profile.name} has no cost of TLS {login.tls} with {login.key}"
        yield Problem((*path, "tls"), rule, f"it has {known}", login.tls)
    mechanisms = [(each.mechanism, each.storage) for each in costs.sasl]
    if (login.mechanism, login.storage) not in mechanisms:
        known = ", ".join(f"{mechanism} with {storage}" for mechanism, storage in mechanisms)
        rule = (
            f"profile {profile.name} has no cost of {login.mechanism} with {login.storage} storage"
        )
        yield Problem((*path, "mechanism"), rule, f"it has {known or 'none'}", login.mechanism)


def _addresses(topology: Topology) -> Iterator[Problem]:
    for number, population in enumerate(topology.platforms):
        if (own := population.addresses) is not None and own > population.count:
            rule = f"is more than its {population.count} Platforms"
            yield Problem(("platforms", number, "addresses"), rule, "lower or delete it", own)


def _admissions(topology: Topology) -> Iterator[Problem]:
    for number, node in enumerate(topology.controllers):
        admission = node.admission
        if admission is not None and admission.rate is None and admission.queue_wait is None:
            rule = "admits all: it has neither rate nor queue_wait"
            repair = "write for example queue_wait: 5 s"
            yield Problem(("controllers", number, "admission"), rule, repair)


def _storage(topology: Topology) -> Iterator[Problem]:
    """Who stores has Platforms that may be away, and Topics whose notifications are stored."""
    normal = {each.name for each in topology.topics if each.notification == "normal"}
    for number, node in enumerate(topology.controllers):
        logging_in = [
            each for each in topology.platforms if each.login is not None and node.name in each.ring
        ]
        wanted = {wish.topic for each in logging_in for wish in each.subscribes}
        if node.offline is None or wanted & normal:
            continue
        rule = "stores nothing: no Topic of Platforms that log in there has notifications to store"
        repair = "write notification: normal at one, or leave it out"
        yield Problem(("controllers", number, "offline"), rule, repair)


def _retries(topology: Topology) -> Iterator[Problem]:
    for number, population in enumerate(topology.platforms):
        retry = population.retry
        if retry.cap < retry.base:
            rule = f"is less than base, {retry.base:g} s"
            yield Problem(
                ("platforms", number, "retry", "cap"), rule, "raise it", f"{retry.cap:g} s"
            )


def _faults(topology: Topology) -> Iterator[Problem]:
    if topology.faults and topology.workload.study == "steady":
        rule = "a steady study has no faults"
        yield Problem(("workload", "study"), rule, "write study: campaign", "steady")
    duration = topology.workload.duration
    for number, fault in enumerate(topology.faults):
        path: Path = ("faults", number)
        if fault.start + fault.duration > duration:
            rule = f"ends after the run, which lasts {duration:g} s"
            yield Problem(
                (*path, "duration"), rule, "start earlier or shorten it", f"{fault.duration:g} s"
            )
        yield from _struck(path, fault, topology)


def _struck(path: Path, fault: schema.AnyFault, topology: Topology) -> Iterator[Problem]:
    """Whoever a fault strikes must be able to come back."""
    if isinstance(fault, schema.Crash):
        yield from _crashed(path, fault, topology)
        return
    if isinstance(fault, schema.Partition):
        yield from _cut_through(path, fault, topology)
        return
    if isinstance(fault, schema.Freeze | schema.SlowDown):
        yield from _once_at_a_time(path, fault, topology)
        return
    for population in topology.platforms:
        if population.name == fault.population and population.login is None:
            rule = f"cannot come back: {population.name} has no login"
            repair = "give it one, for example login: {mechanism: scram-sha-1}"
            yield Problem((*path, "population"), rule, repair, fault.population)


def _cut_through(path: Path, fault: schema.Partition, topology: Topology) -> Iterator[Problem]:
    """A link has two ends, and is cut once at a time."""
    ends = set(fault.link)
    if len(ends) == 1:
        rule = "is a link of a Controller with itself"
        yield Problem((*path, "link"), rule, "name two Controllers", fault.link[0])
    for other in topology.faults:
        same = isinstance(other, schema.Partition) and set(other.link) == ends
        if (
            same
            and other is not fault
            and other.start <= fault.start <= other.start + other.duration
        ):
            rule = f"begins before the link is back after {other.name}"
            yield Problem((*path, "start"), rule, "start later", f"{fault.start:g} s")


def _crashed(path: Path, fault: schema.Crash, topology: Topology) -> Iterator[Problem]:
    """All Platforms of a Controller that crashes log in again, and it crashes once at a time."""
    for population in topology.platforms:
        at_home = population.controller == fault.controller
        asks = any(each.by == population.name for each in topology.workload.queries)
        active = asks or population.publishes or population.subscribes
        if at_home and population.login is None and active:
            rule = f"cannot come back: {population.name} has no login"
            repair = "give it one, for example login: {mechanism: scram-sha-1}"
            yield Problem((*path, "controller"), rule, repair, fault.controller)
    yield from _once_at_a_time(path, fault, topology)


def _once_at_a_time(
    path: Path, fault: schema.Crash | schema.Freeze | schema.SlowDown, topology: Topology
) -> Iterator[Problem]:
    """A Controller that has failed is not struck again."""
    for other in topology.faults:
        if not isinstance(other, STRIKING) or other is fault:
            continue
        lasts = other.start <= fault.start <= other.start + other.duration
        if other.controller == fault.controller and lasts:
            rule = f"begins before {fault.controller} is up again after {other.name}"
            yield Problem((*path, "start"), rule, "start later", f"{fault.start:g} s")
