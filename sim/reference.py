"""The oracle: the same grid as the compiled engine, stanza by stanza, slow and plain.

Every copy is a SimPy process that waits for the egress link, then travels and waits for its
Platform's reader, or for the line to another Controller. The compiled engine must give the same
instants to 1e-9. `run` is also the engine of `gridlab simulate --engine reference`, about a hundred
times slower.
"""

from __future__ import annotations

from collections.abc import Mapping

import simpy

from sim.intake import Census
from sim.reference_books import Directory, columns
from sim.reference_controller import ReferenceController
from sim.reference_fetches import ReferenceFetches
from sim.reference_intake import publications
from sim.reference_stanzas import Publication
from sim.stations import Graph
from sim.study import Study, Tally
from topologies.plan import Plan
from topologies.profiles import Profile


def run(study: Study, plan: Plan, profiles: Mapping[str, Profile]) -> list[Tally]:
    """Play the whole plan on all Controllers, drain it up to the horizon, and count."""
    grid, published = play(study, plan, profiles)
    graph = Graph(study.topology, profiles)
    census, arrivals = Census(study.timetable, graph), columns(published)
    census.count(census.kind(arrivals), arrivals.topic, arrivals.publisher)
    logs = [controller.closed_log() for controller in grid]
    refused = columns([each for log in logs for each in log.refused])
    census.refuse(refused.topic, refused.publisher)
    received = [entry for log in logs for entry in log.received]
    return [controller.books.tally(graph, census, published, received) for controller in grid]


def play(
    study: Study, plan: Plan, profiles: Mapping[str, Profile]
) -> tuple[list[ReferenceController], list[Publication]]:
    """Play the whole plan and drain it: the Controllers, and all publications."""
    env = simpy.Environment()
    graph = Graph(study.topology, profiles)
    people = Directory(study.topology, study.seed)
    fetches = ReferenceFetches(study, env, plan, people)
    grid = {
        each.name: ReferenceController(study, env, graph, each, people, fetches)
        for each in graph.stations
    }
    published = publications(study, plan, people, graph)

    def come(stanza: Publication) -> None:
        grid[people.place(stanza.publisher)].enter(stanza)

    for stanza in published:
        arrival = env.timeout(stanza.reached_s)
        arrival.callbacks.append(lambda _, stanza=stanza: come(stanza))
    for number, controller in enumerate(grid.values()):
        controller.connect(grid)
        if graph.answers:
            controller.meet(number, published, plan.rows)
    env.run(until=study.horizon_s)
    for stanza in published:
        if stanza.reached_s >= study.horizon_s:
            grid[people.home(stanza.publisher)].log.own.append(stanza)
    return list(grid.values()), published
