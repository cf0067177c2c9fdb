"""Rules about queries and last items: who may ask what, and who can say what that costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from topologies import schema
from topologies.problems import Path, Problem, TopologyError
from topologies.profiles import Profile
from topologies.schema import Topology

QUERIES_MAX = 20e6  # they are known before the run, all at once


def query_problems(topology: Topology, read_profile: Callable[[str], Profile]) -> Iterator[Problem]:
    """Every broken rule about queries and last items."""
    asking = {each.by for each in topology.workload.queries}
    for number, query in enumerate(topology.workload.queries):
        path: Path = ("workload", "queries", number)
        yield from _page(path, query)
        yield from _when(path, query, topology)
    last = {each.name for each in topology.topics if each.last_item != "never"}
    for number, population in enumerate(topology.platforms):
        subscribed = {each.topic for each in population.subscribes}
        reminded = population.login is not None and bool(last & subscribed)
        if population.name in asking or reminded:
            yield from _costs(("platforms", number), population, topology, read_profile)
    yield from _retracts(topology, read_profile)
    yield from _kept(topology, read_profile)
    rates = (each.rate for each in topology.workload.queries if each.rate is not None)
    if sum(rates) * topology.workload.duration > QUERIES_MAX:
        rule = f"may ask for more than {QUERIES_MAX:.0e} queries"
        yield Problem(("workload", "queries"), rule, "lower the rates or the duration")


def _answering(population: schema.Population, topology: Topology) -> set[str]:
    """Controllers whose Brokers answer a population or remind it."""
    asked = {each.topic for each in topology.workload.queries if each.by == population.name}
    if population.login is not None:
        last = {each.name for each in topology.topics if each.last_item != "never"}
        asked |= last & {each.topic for each in population.subscribes}
    brokers = {each.broker for each in topology.topics if each.name in asked}
    return {each.controller for each in topology.brokers if each.name in brokers}


def _retracts(topology: Topology, read_profile: Callable[[str], Profile]) -> Iterator[Problem]:
    """Who tells of dropped items must be a server that does, and say what it costs."""
    hosts = {each.name: each.controller for each in topology.brokers}
    profiles = {each.name: each.profile for each in topology.controllers}
    for number, topic in enumerate(topology.topics):
        if not topic.notify_retract:
            continue
        path: Path = ("topics", number, "notify_retract")
        name = profiles[hosts[topic.broker]]
        try:
            profile = read_profile(name)
        except TopologyError:
            continue  # told where the Controller names it
        if profile.server == "prosody":
            rule = f"profile {name} is Prosody's, which drops items silently"
            yield Problem(path, rule, "leave it out, or use ejabberd", "true")
        elif profile.queries is None:
            rule = f"profile {name} does not say what dropping an item costs"
            yield Problem(path, rule, "add queries to the profile or use another one", "true")


def _kept(topology: Topology, read_profile: Callable[[str], Profile]) -> Iterator[Problem]:
    """What is asked for, sent once more or dropped must be something that the server keeps."""
    hosts = {each.name: each.controller for each in topology.brokers}
    profiles = {each.name: each.profile for each in topology.controllers}
    asked = {each.topic for each in topology.workload.queries if each.kind != "disco"}
    for number, topic in enumerate(topology.topics):
        name, needed = profiles[hosts[topic.broker]], int(topic.last_item != "never")
        if topic.name in asked or topic.notify_retract:
            needed = topic.max_items
        if topic.persist or not needed:
            continue
        try:
            kept = items_kept(topic, read_profile(name).server)
        except TopologyError:
            continue  # told where the Controller names it
        if kept < needed:
            what = "no item" if kept == 0 else "one item"
            rule = f"the server of profile {name} keeps {what} of {topic.name} without it"
            repair = "write persist: true, or ask for nothing that was kept"
            yield Problem(("topics", number, "persist"), rule, repair, False)


def items_kept(topic: schema.Topic, server: str) -> int:
    """Items of a full Topic that a server has.

    What is not to be kept on disk Prosody does not keep at all (`util.pubsub` of 0.12), ejabberd
    only if it may have to send it once more, one item (`mod_pubsub:max_items` of 23), a sketch all
    the same.
    """
    if topic.persist or server == "none":
        return topic.max_items
    return int(server == "ejabberd" and topic.last_item != "never")


def _page(path: Path, query: schema.Query) -> Iterator[Problem]:
    if query.kind in ("page", "pages") and query.page is None:
        rule = "a page needs its length"
        yield Problem((*path, "page"), rule, "write for example page: 50")
    if query.kind not in ("page", "pages") and query.page is not None:
        rule = f"a query of kind {query.kind} has no pages"
        yield Problem((*path, "page"), rule, "write kind: page, or leave it out", query.page)
    if query.kind == "pages" and query.rate is not None:
        rule = "pages are walked through after logins, not at random"
        yield Problem(
            (*path, "rate"), rule, "leave it out, or write kind: page", f"{query.rate:g}/s"
        )


def _when(path: Path, query: schema.Query, topology: Topology) -> Iterator[Problem]:
    """Queries at random have a window, those after logins need logins."""
    duration = topology.workload.duration
    if query.rate is None:
        people = {each.name: each for each in topology.platforms}
        if people[query.by].login is None:
            rule = f"is absent, so it is asked after logins, and {query.by} has no login"
            yield Problem((*path, "rate"), rule, "write for example rate: 1/s")
        if query.start != 0.0 or query.end is not None:
            rule = "is for queries at random, which have a rate"
            place = "start" if query.start != 0.0 else "end"
            yield Problem((*path, place), rule, "leave it out, or give the query a rate")
        return
    if query.start >= duration:
        rule = f"is not before the end of the run, {duration:g} s"
        yield Problem((*path, "start"), rule, "lower it", f"{query.start:g} s")
    if query.end is not None and not query.start < query.end <= duration:
        rule = f"is not after start, {query.start:g} s, and within the run of {duration:g} s"
        yield Problem((*path, "end"), rule, "change it", f"{query.end:g} s")


def _costs(
    path: Path, population: schema.Population, topology: Topology,
    read_profile: Callable[[str], Profile],
) -> Iterator[Problem]:  # fmt: skip
    hosts = _answering(population, topology)
    for name in dict.fromkeys(e.profile for e in topology.controllers if e.name in hosts):
        try:
            known = read_profile(name).queries is not None
        except TopologyError:
            continue  # told where the Controller names it
        if not known:
            rule = (
                f"{population.name} gets answers, and profile {name} does not say what these cost"
            )
            repair = "add queries to the profile or use another one"
            yield Problem((*path, "controller"), rule, repair, population.controller)
